"""Who reaches whom: every ordered pair of guests, measured by tokens.

Tenants' addresses overlap, so an answer from 10.0.0.12 does not say whose 10.0.0.12 that is.  A socket does: it stays
in the namespace in which it was opened.  One process opens sockets in every guest, sends a token from each to each
other's addresses and looks at which guest's socket it comes out.  The guest that gets a token echoes it with its own
number.  Isolation is stricter than not being reached: a guest's packet socket hears every frame that comes in, so
that a token in another tenant's frames is a leak even if the stack there drops it.
"""

import ctypes
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address

from nvo3.lab import system
from nvo3.lab.errors import LabError
from nvo3.lab.names import Names
from nvo3.lab.record import Guest
from nvo3.lab.vnic import VNIC

TIMEOUT_S = 1.5
_RESEND_S = 0.1  # a first packet may be lost while a neighbour is resolved
_SETTLE_S = 0.2  # how long we listen for what should not come; what should come takes some 1 ms
_EVERY_PROTOCOL = 0x0003  # ETH_P_ALL of <linux/if_ether.h>
_ETHERTYPE = 0x88B5  # IEEE 802 local experimental: for guests whose addresses the network does not know
_BUFFER_BYTES = 1 << 20
_BURST = 1000  # datagrams read from one socket before the others have their turn

# nonce of the run; 0 probe, 1 echo; guest that sent the probe; guest that echoes; number of the target, see _Target
_TOKEN = struct.Struct("!8sBHHI")
_PROBE, _ECHO = 0, 1
_EAR = 0  # beside the families 4, 6 and 2: the socket that hears all frames


@dataclass(frozen=True, slots=True)
class Cell:
    """An ordered pair of guests.

    expected: both are in one network.  reachable: for an expected pair, every address both ways; for another, any
    token.

    detail: what was missing or what leaked, empty if expected == reachable.
    """

    source: str
    target: str
    expected: bool
    reachable: bool
    detail: str = ""

    @property
    def right(self) -> bool:
        return self.expected == self.reachable


@dataclass(frozen=True, slots=True)
class Target:
    """What a token is sent to.  source, target: numbers of guests.  family: 4, 6, or 2 for a MAC address."""

    source: int
    target: int
    family: int
    address: str


# Classic BPF (socket-filter of the kernel's documentation): frames of at most 128 bytes, as ours are.  A guest may
# have other traffic.
_SHORT_FRAMES = ((0x80, 0, 0, 0), (0x25, 1, 0, 128), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
_SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>


@dataclass(slots=True)
class Seen:
    """What arrived.

    probes: (number of the target, guest whose socket got it).  echoes: the same, where the answer came back.  heard:
    (guest that sent a token, guest at whose vNIC it came in, to whatever address).
    """

    probes: set[tuple[int, int]] = field(default_factory=set)
    heard: set[tuple[int, int]] = field(default_factory=set)
    echoes: set[tuple[int, int]] = field(default_factory=set)


def targets(guests: Sequence[Guest]) -> list[Target]:
    """Return what to send for every ordered pair: to each address of a family that both have, else to the MAC."""
    families = [{ip_address(address).version for address in guest.plain_addresses} for guest in guests]
    found = []
    for one, _ in enumerate(guests):
        for other, guest in enumerate(guests):
            if one == other:
                continue
            addresses = [(int(ip_address(text).version), text) for text in guest.plain_addresses]
            common = [pair for pair in addresses if pair[0] in families[one]]
            found += [Target(one, other, family, text) for family, text in common or [(2, guest.mac)]]
    return found


def judge(guests: Sequence[Guest], sent: Sequence[Target], seen: Seen) -> list[Cell]:
    """Return the matrix: what was sent against what arrived."""
    leaks = {(sent[number].source, at) for number, at in seen.probes} | seen.heard
    missing: dict[tuple[int, int], list[str]] = {}
    for number, target in enumerate(sent):
        if (number, target.target) not in seen.probes:
            missing.setdefault((target.source, target.target), []).append(f"{target.address} not reached")
        elif (number, target.target) not in seen.echoes:
            missing.setdefault((target.source, target.target), []).append(f"no answer from {target.address}")
    return [
        _cell(guests, one, other, missing.get((one, other), []), (one, other) in leaks)
        for one in range(len(guests))
        for other in range(len(guests))
        if one != other
    ]


def _cell(guests: Sequence[Guest], one: int, other: int, missing: list[str], leak: bool) -> Cell:
    source, target = guests[one], guests[other]
    expected = (source.tenant, source.network) == (target.tenant, target.network)
    if expected:
        return Cell(source.name, target.name, True, not missing, ", ".join(missing))
    detail = f"a packet of {source.name} arrived at {target.name}" if leak else ""
    return Cell(source.name, target.name, False, leak, detail)


def measure(names: Names, guests: Sequence[Guest], timeout_s: float = TIMEOUT_S) -> list[Cell]:
    """Measure the matrix.

    Ends as soon as all that should arrive has, plus a moment for what should not; at most after `timeout_s`.
    """
    if len(guests) < 2:
        return []
    sent = targets(guests)
    with _Sockets(names, guests) as sockets:
        return judge(guests, sent, _Run(guests, sent, sockets).run(timeout_s))


class _Sockets:
    """Per guest: an UDP socket for each address, a packet socket for tokens in frames of their own, one that hears all.

    Keys are (guest, family); the first of a family sends.
    """

    def __init__(self, names: Names, guests: Sequence[Guest]) -> None:
        self.all: list[tuple[int, int, socket.socket]] = []
        self.senders: dict[tuple[int, int], socket.socket] = {}
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
            self._add(number, family, socket.socket(kind, socket.SOCK_DGRAM), (text, self.port))
        packet = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETHERTYPE))
        self._add(number, 2, packet, (VNIC, _ETHERTYPE))
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing until it is bound: the filter comes first
        _attach_filter(ear)
        self._add(number, _EAR, ear, (VNIC, _EVERY_PROTOCOL))

    def _add(self, number: int, family: int, one: socket.socket, address: tuple[str, int]) -> None:
        one.setblocking(False)
        try:
            if family not in (2, _EAR):
                # To the vNIC whatever the routes say: also what is not in our subnet must not be reached.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, VNIC.encode())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            one.bind(address)
        except OSError:  # the guest has lost its vNIC or the address: unreachable
            one.close()
            return
        self.all.append((number, family, one))
        self.senders.setdefault((number, family), one)


class _Run:
    """One measurement."""

    def __init__(self, guests: Sequence[Guest], sent: Sequence[Target], sockets: _Sockets) -> None:
        self._sent = sent
        self._sockets = sockets
        self._nonce = secrets.token_bytes(8)
        self._seen = Seen()
        network = [(guest.tenant, guest.network) for guest in guests]
        self._wanted = {number for number, one in enumerate(sent) if network[one.source] == network[one.target]}
        self._unwanted = [number for number in range(len(sent)) if number not in self._wanted]

    def run(self, timeout_s: float) -> Seen:
        with selectors.DefaultSelector() as selector:
            for number, family, one in self._sockets.all:
                selector.register(one, selectors.EVENT_READ, (number, family))
            self._exchange(selector, timeout_s)
        return self._seen

    def _exchange(self, selector: selectors.BaseSelector, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._send(self._unwanted, selector)
        while (pending := self._pending()) and time.monotonic() < deadline - _SETTLE_S:
            self._send(pending, selector)
            self._receive_for(selector, _RESEND_S, until_answered=True)
        # Once more, now that every path is warm; then listen.
        self._send(self._unwanted, selector)
        self._receive_for(selector, _SETTLE_S, until_answered=False)

    def _pending(self) -> list[int]:
        return sorted(number for number in self._wanted if (number, self._sent[number].target) not in self._seen.echoes)

    def _send(self, numbers: Iterable[int], selector: selectors.BaseSelector) -> None:
        for count, number in enumerate(numbers):
            one = self._sent[number]
            sender = self._sockets.senders.get((one.source, one.family))
            if sender:
                with suppress(OSError):  # no route, no neighbour: not reached, which the matrix shows
                    sender.sendto(_TOKEN.pack(self._nonce, _PROBE, one.source, 0, number), self._destination(one))
            if count % 64 == 63:
                self._receive(selector, 0)

    def _destination(self, target: Target) -> tuple[str, int] | tuple[str, int, int, int, bytes]:
        if target.family == 2:
            return (VNIC, _ETHERTYPE, 0, 0, bytes.fromhex(target.address.replace(":", "")))
        return (target.address, self._sockets.port)

    def _receive_for(self, selector: selectors.BaseSelector, duration_s: float, *, until_answered: bool) -> None:
        end = time.monotonic() + duration_s
        while (left := end - time.monotonic()) > 0 and not (until_answered and not self._pending()):
            self._receive(selector, left)

    def _receive(self, selector: selectors.BaseSelector, timeout_s: float) -> None:
        for key, _ in selector.select(timeout_s):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            at, family = key.data
            for data, peer in _datagrams(one):
                if family == _EAR:
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
            if at == source:
                self._seen.echoes.add((number, answerer))
            return
        self._seen.probes.add((number, at))
        with suppress(OSError):
            one.sendto(_TOKEN.pack(nonce, _ECHO, source, at, number), peer)

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
