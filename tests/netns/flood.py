"""Sends the beginnings of STT frames whose rest never comes; run in the namespace of INTERFACE.

Each frame claims 65,535 bytes and has two segments of 1400 that do not touch.  Half the frames say that they come from
SOURCE, half that they come from strangers.  MACS: of the receiver and of SOURCE, joined by a comma; Open vSwitch learns
neighbours from tunnelled packets, and a wrong MAC would turn away what it sends to SOURCE.  PACKETS_PER_S: 0 for as
fast as it goes.
"""

import socket
import struct
import sys
import time

from nvo3.wire import stt

_STRANGERS = [bytes((198, 51, 100, number)) for number in range(1, 9)]  # RFC 5737: documentation
_TOTAL, _LENGTH, _OFFSETS = 65535, 1400, (0, 10000)
_TCP = 14 + 20
_ID, _CHECKSUM = _TCP + 8, _TCP + 16


def _packet(macs: bytes, source: bytes, destination: bytes, port: int, offset: int) -> tuple[bytearray, int]:
    """Return a frame whose id is 0, and its checksum."""
    segment = stt.SttSegment(40000, port, 0, _TOTAL, offset, bytes(_LENGTH))
    frame = bytearray(macs + b"\x08\x00" + stt.SttPacket(source, destination, segment).serialize())
    return frame, int.from_bytes(frame[_CHECKSUM : _CHECKSUM + 2], "big")


def _number(frame: bytearray, checksum: int, id_: int) -> None:
    """Write an id, and the checksum that it makes (RFC 1624)."""
    total = (~checksum & 0xFFFF) + (id_ >> 16) + (id_ & 0xFFFF)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!I", frame, _ID, id_)
    struct.pack_into("!H", frame, _CHECKSUM, ~total & 0xFFFF)


def main(interface: str, macs: str, source: str, destination: str, port: str, first: str, count: str, packets_per_s: str) -> None:
    both, pace = bytes.fromhex(macs.replace(":", "").replace(",", "")), int(packets_per_s)
    sources = [socket.inet_aton(source)] * len(_STRANGERS) + _STRANGERS
    packets = [[_packet(both, one, socket.inet_aton(destination), int(port), offset) for offset in _OFFSETS] for one in sources]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((interface, 0))
        started = time.monotonic()
        for number in range(int(count)):
            for frame, checksum in packets[number % len(packets)]:
                _number(frame, checksum, int(first) + number)
                sender.send(frame)
            ahead_s = 2 * number / pace - (time.monotonic() - started) if pace else 0
            if ahead_s > 0.001:
                time.sleep(ahead_s)
        print(time.monotonic() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
