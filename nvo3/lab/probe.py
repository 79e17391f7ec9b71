"""Tokens between guests: sockets in every guest, served by one process.  What arrived is for `matrix` to judge."""

import ctypes
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from nvo3.lab import frame, parallel, system
from nvo3.lab.agent import TAP
from nvo3.lab.errors import LabError
from nvo3.lab.matrix import Cell, Seen, Target, judge, targets
from nvo3.lab.names import Names
from nvo3.lab.record import Guest
from nvo3.lab.vnic import VNIC
from nvo3.model.logical import CVSW

TIMEOUT_S = 1.5
_RESEND_S = 0.1  # a first packet may be lost while a neighbour is resolved
_SETTLE_S = 0.2  # how long we listen for what should not come; what should come takes some 1 ms
_BUFFER_BYTES = 1 << 20
_BURST = 1000  # datagrams read from one socket before the others have their turn

# The kernel has one table of neighbours of a family for all namespaces, of 1024 entries unless told otherwise
# (gc_thresh3 of arp(7)).  A large lab is measured in parts that leave room for others.
_NEIGHBOURS_AT_ONCE = 300

# Beside the IP versions 4 and 6: frames with tokens of their own, and the socket that hears and sends whole frames.
_TOKENS = 2
_FRAMES = 0
_EVERY_PROTOCOL = 0x0003  # ETH_P_ALL of <linux/if_ether.h>

# Classic BPF (socket-filter of the kernel's documentation): frames of at most 128 bytes, as ours are.  A guest may have
# other traffic.
_SHORT_FRAMES = ((0x80, 0, 0, 0), (0x25, 1, 0, 128), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
_SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>

# nonce of the run; _PROBE or _ECHO; guest that sent the probe; guest that echoes; number of the target
_TOKEN = struct.Struct("!8sBHHI")
_PROBE, _ECHO = 0, 1


def measure(names: Names, guests: Sequence[Guest], timeout_s: float = TIMEOUT_S) -> list[Cell]:
    """Measure the matrix.

    Ends as soon as all that should arrive has, plus a moment for what should not; at most after `timeout_s`, in a large
    lab for each part of it.
    """
    if len(guests) < 2:
        return []
    sent = targets(guests)
    with _Sockets(names, guests) as sockets, selectors.DefaultSelector() as selector:
        seen = _Run(names, guests, sent, sockets, selector).run(timeout_s)
    return judge(guests, sent, seen)


def _device(guest: Guest) -> str:
    """Return the device that has a guest's addresses."""
    return TAP if guest.offload == CVSW else VNIC


class _Sockets:
    """Per guest: an UDP socket for each address, one for frames with tokens of their own, one that hears all frames."""

    def __init__(self, names: Names, guests: Sequence[Guest]) -> None:
        self.all: list[tuple[int, int, socket.socket]] = []
        self.senders: dict[tuple[int, int], socket.socket] = {}  # (guest, family): the first of a family sends
        self.port = 49152 + secrets.randbelow(16000)  # dynamic ports, RFC 6335 section 6
        for number, guest in enumerate(guests):
            with suppress(LabError):  # its namespace is gone: unreachable, and the matrix says so
                system.call_in(names.netns(guest.name), partial(self._open, number, guest))

    def __enter__(self) -> "_Sockets":
        return self

    def __exit__(self, *_: object) -> None:
        for _number, _family, one in self.all:
            one.close()

    def _open(self, number: int, guest: Guest) -> None:
        for text in guest.plain_addresses:
            family = ip_address(text).version
            kind = socket.AF_INET if family == 4 else socket.AF_INET6
            one = socket.socket(kind, socket.SOCK_DGRAM)
            with suppress(OSError):  # without its device: binding fails, too
                # By the vNIC whatever the routes say: a network may have several prefixes.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _device(guest).encode())
            self._add(number, family, one, (text, self.port))
        tokens = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(frame.ETHERTYPE_TOKEN))
        self._add(number, _TOKENS, tokens, (_device(guest), frame.ETHERTYPE_TOKEN))
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing until it is bound: the filter first
        _attach_filter(frames)
        self._add(number, _FRAMES, frames, (_device(guest), _EVERY_PROTOCOL))

    def _add(self, number: int, family: int, one: socket.socket, address: tuple[str, int]) -> None:
        one.setblocking(False)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            one.bind(address)
        except OSError:  # the guest has lost its vNIC or the address: unreachable
            one.close()
            return
        self.all.append((number, family, one))
        self.senders.setdefault((number, family), one)


class _Run:
    """One measurement."""

    def __init__(
        self,
        names: Names,
        guests: Sequence[Guest],
        sent: Sequence[Target],
        sockets: _Sockets,
        selector: selectors.BaseSelector,
    ) -> None:
        self._names = names
        self._guests = guests
        self._sent = sent
        self._sockets = sockets
        self._selector = selector
        self._nonce = secrets.token_bytes(8)
        self._seen = Seen()
        self._pending: set[int] = set()
        for number, family, one in sockets.all:
            selector.register(one, selectors.EVENT_READ, (number, family))

    def run(self, timeout_s: float) -> Seen:
        foreign = [number for number, one in enumerate(self._sent) if not one.expected]
        self._send(foreign)
        self._exchange(timeout_s - _SETTLE_S)
        self._send(foreign)  # once more, now that every path is warm
        self._receive_for(_SETTLE_S)
        return self._seen

    def _exchange(self, timeout_s: float) -> None:
        """Send what should be answered, in parts, each again until it is."""
        parts = self._parts()
        for index, part in enumerate(parts):
            if index:
                self._forget_neighbours()
            deadline = time.monotonic() + timeout_s
            self._pending = set(part)
            while self._pending and time.monotonic() < deadline:
                self._send(sorted(self._pending))
                self._receive_for(_RESEND_S, until_answered=True)

    def _parts(self) -> list[list[int]]:
        """Return the numbers of expected targets, both directions of a pair together: each needs both neighbours."""
        pairs: dict[tuple[int, int], list[int]] = {}
        for number, one in enumerate(self._sent):
            if one.expected:
                pairs.setdefault((min(one.source, one.target), max(one.source, one.target)), []).append(number)
        parts: list[list[int]] = [[]]
        for numbers in pairs.values():
            if len(parts[-1]) + len(numbers) > 2 * _NEIGHBOURS_AT_ONCE:  # of two families
                parts.append([])
            parts[-1] += numbers
        return parts

    def _forget_neighbours(self) -> None:
        def forget(guest: Guest) -> None:
            system.ip([f"neighbour flush dev {_device(guest)}"], self._names.netns(guest.name), force=True)

        parallel.each(forget, self._guests)

    def _send(self, numbers: Iterable[int]) -> None:
        for count, number in enumerate(numbers):
            one = self._sent[number]
            sender = self._sockets.senders.get((one.source, one.family if one.expected else _FRAMES))
            if sender:
                with suppress(OSError):  # no route, no neighbour, link down: not reached, which the matrix shows
                    self._send_one(sender, one, _TOKEN.pack(self._nonce, _PROBE, one.source, 0, number))
            if count % 64 == 63:
                self._receive(0)

    def _send_one(self, sender: socket.socket, target: Target, token: bytes) -> None:
        if not target.expected:
            sender.send(self._frame(target, token))
        elif target.family == _TOKENS:
            device = _device(self._guests[target.source])
            sender.sendto(token, (device, frame.ETHERTYPE_TOKEN, 0, 0, frame.mac_bytes(target.address)))
        else:
            sender.sendto(token, (target.address, self._sockets.port))

    def _frame(self, target: Target, token: bytes) -> bytes:
        """Return a frame to a guest of another network, as the sender would make it if both were in one."""
        source, macs = self._guests[target.source], (self._guests[target.target].mac, self._guests[target.source].mac)
        if target.family == _TOKENS:
            return frame.ethernet(*macs, frame.ETHERTYPE_TOKEN, token)
        own = next(text for text in source.plain_addresses if ip_address(text).version == target.family)
        return frame.udp(macs, (target.address, own), self._sockets.port, token)

    def _receive_for(self, duration_s: float, *, until_answered: bool = False) -> None:
        end = time.monotonic() + duration_s
        while (left := end - time.monotonic()) > 0 and not (until_answered and not self._pending):
            self._receive(left)

    def _receive(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            at, family = key.data
            for data, peer in _datagrams(one):
                if family == _FRAMES:
                    self._overhear(at, data, peer)
                else:
                    self._handle(one, at, data, peer)

    def _handle(self, one: socket.socket, at: int, data: bytes, peer: tuple[object, ...]) -> None:
        if len(data) < _TOKEN.size:
            return
        nonce, kind, source, answerer, number = _TOKEN.unpack_from(data)
        if nonce != self._nonce or number >= len(self._sent):
            return
        if kind == _ECHO:
            self._handle_echo(at, source, answerer, number)
            return
        self._seen.probes.add((number, at))
        with suppress(OSError):
            one.sendto(_TOKEN.pack(nonce, _ECHO, source, at, number), peer)

    def _handle_echo(self, at: int, source: int, answerer: int, number: int) -> None:
        if at == source:
            self._seen.echoes.add((number, answerer))
            if answerer == self._sent[number].target:
                self._pending.discard(number)

    def _overhear(self, at: int, frame: bytes, peer: tuple[object, ...]) -> None:
        """Note whose token a frame carries, to whatever address: the guest's stack drops what is not for it."""
        where = frame.find(self._nonce)
        if where < 0 or peer[2] == socket.PACKET_OUTGOING or len(frame) < where + _TOKEN.size:
            return
        _, kind, source, answerer, _ = _TOKEN.unpack_from(frame, where)
        self._seen.heard.add((answerer if kind == _ECHO else source, at))


def _attach_filter(one: socket.socket) -> None:
    """Let a packet socket pass short frames only."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _SHORT_FRAMES)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HL", len(_SHORT_FRAMES), ctypes.addressof(buffer))
    one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _datagrams(one: socket.socket) -> Iterator[tuple[bytes, tuple[object, ...]]]:
    for _ in range(_BURST):
        try:
            yield one.recvfrom(256)
        except BlockingIOError:
            return
        except OSError:  # an error of an earlier packet (no neighbour): the socket goes on
            continue
