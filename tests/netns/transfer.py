"""Moves bytes between two namespaces and tells what became of them; run inside each, see `main`.

TCP: one connection, its bytes hashed at both ends.  UDP: datagrams with a number and a hash of their own.  A program says "ready" when the
other may start, and its last line is JSON.
"""

import argparse
import hashlib
import json
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_BUFFER_BYTES = 32 << 20
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # <asm-generic/socket.h>
_BLOCK_BYTES = 1 << 20
_BEGINNING = struct.Struct("!Q8s")  # of a datagram: its number, hash of number and rest
_QUIET_S = 0.8  # longer than anything on the way can be held back


def _noise() -> bytes:
    """Return bytes that no packet's end or repetition fits into."""
    return random.Random(1).randbytes(_BLOCK_BYTES + 65536)


def _blocks(size: int) -> Iterator[bytes]:
    """Yield `size` bytes of which no two stretches are alike."""
    noise = _noise()
    for number in range(0, size, _BLOCK_BYTES):
        yield (number.to_bytes(8, "big") + noise[number >> 20 & 0xFFFF :])[: min(_BLOCK_BYTES, size - number)]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _say(**values: object) -> None:
    print(json.dumps(values), flush=True)


def tcp_receive(address: str, port: int) -> None:
    """Take one connection and answer with the hash of what came."""
    with socket.create_server((address, port), family=_family(address)) as server:
        print("ready", flush=True)
        peer, _ = server.accept()
    digest, buffer = hashlib.sha256(), bytearray(_BLOCK_BYTES)
    with peer:
        while size := peer.recv_into(buffer):
            digest.update(memoryview(buffer)[:size])
        peer.sendall(digest.digest())


def tcp_send(address: str, port: int, size: int) -> None:
    """Send, and tell both ends' hashes and how long it took until the other had all of it."""
    digest = hashlib.sha256()
    with socket.create_connection((address, port)) as peer:
        started = time.monotonic()
        for block in _blocks(size):
            digest.update(block)
            peer.sendall(block)
        peer.shutdown(socket.SHUT_WR)
        answer = peer.recv(32, socket.MSG_WAITALL)
        seconds = time.monotonic() - started
    _say(sent=digest.hexdigest(), received=answer.hex(), gbps=size * 8e-9 / seconds)


def _hash(number: int, rest: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=8)
    digest.update(rest)
    return digest.digest()


def udp_send(address: str, port: int, size: int, datagram_bytes: int, bytes_per_s: int) -> None:
    """Send `size` bytes in datagrams, not faster than asked for."""
    noise = memoryview(_noise())
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
        sender.connect((address, port))
        started, count = time.monotonic(), size // datagram_bytes
        for number in range(count):
            start = number * 7919 % _BLOCK_BYTES
            rest = noise[start : start + datagram_bytes - _BEGINNING.size]
            sender.send(_BEGINNING.pack(number, _hash(number, rest)) + rest)
            ahead_s = number * datagram_bytes / bytes_per_s - (time.monotonic() - started)
            if ahead_s > 0.001:
                time.sleep(ahead_s)
    _say(sent=count)


def udp_receive(address: str, port: int) -> None:
    """Take datagrams until standard input ends and no more come."""
    seen, counts, sizes = bytearray(), dict.fromkeys(("intact", "corrupt", "duplicate"), 0), set()
    with socket.socket(_family(address), socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        receiver.bind((address, port))
        print("ready", flush=True)
        inputs = [receiver, sys.stdin]
        while (ready := select.select(inputs, [], [], _QUIET_S if len(inputs) == 1 else None)[0]) or len(inputs) > 1:
            if sys.stdin in ready and not sys.stdin.read():
                inputs = [receiver]
            if receiver in ready:
                data = receiver.recv(65536)
                sizes.add(len(data))
                number, digest = _BEGINNING.unpack_from(data) if len(data) > _BEGINNING.size else (0, b"")
                if digest != _hash(number, memoryview(data)[_BEGINNING.size :]):
                    counts["corrupt"] += 1
                    continue
                seen.extend(bytes(max(0, number + 1 - len(seen))))
                counts["duplicate" if seen[number] else "intact"] += 1
                seen[number] = 1
    _say(**counts, sizes=sorted(sizes), overrun=_receive_errors())


def _receive_errors() -> int:
    """Return how many datagrams this namespace lost because nobody took them in time."""
    v4 = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Udp:")]
    v6 = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(dict(zip(*v4, strict=True))["RcvbufErrors"]) + int(v6["Udp6RcvbufErrors"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("tcp-receive", "tcp-send", "udp-receive", "udp-send"))
    parser.add_argument("address")
    parser.add_argument("numbers", type=int, nargs="+")
    arguments = parser.parse_args()
    globals()[arguments.what.replace("-", "_")](arguments.address, *arguments.numbers)


if __name__ == "__main__":
    main()
