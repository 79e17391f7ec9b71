"""Sends the beginnings of frames whose rest never comes; run in the namespace of INTERFACE.

ENCAPSULATION: `stt`, `sclp` or `sclp-udp`, and NUMBER where it goes: the TCP port, the IP protocol, the UDP port.  Each frame
claims 65,535 bytes and has two segments of 1400 that do not touch.  Half the frames say that they come from SOURCE, half that
they come from strangers.  MACS: of the receiver and of SOURCE, joined by a comma; Open vSwitch learns neighbours from
tunnelled packets, and a wrong MAC would turn away what it sends to SOURCE.  PACKETS_PER_S: 0 for as fast as it goes.
"""

import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nvo3.wire import sclp, stt, vxlan
from nvo3.wire.ipv4 import Ipv4Header

_STRANGERS = [bytes((198, 51, 100, number)) for number in range(1, 9)]  # RFC 5737: documentation
_TOTAL, _LENGTH, _OFFSETS = 65535, 1400, (0, 10000)
_SRC_PORT = 40000
_L4 = 14 + 20


def _stt(source: bytes, destination: bytes, port: int, offset: int) -> bytes:
    segment = stt.SttSegment(_SRC_PORT, port, 0, _TOTAL, offset, bytes(_LENGTH))
    return stt.SttPacket(source, destination, segment).serialize()


def _record(offset: int, *, covered: bool) -> bytes:
    segment = sclp.SclpSegment(_SRC_PORT, vxlan.DST_PORT, 0, not offset, _TOTAL - offset - _LENGTH, bytes(_LENGTH))
    return segment.serialize(covered=covered)


def _sclp(source: bytes, destination: bytes, protocol: int, offset: int) -> bytes:
    return Ipv4Header(source, destination, protocol).serialize(_record(offset, covered=False))


def _sclp_udp(source: bytes, destination: bytes, port: int, offset: int) -> bytes:
    records = (_record(offset, covered=True),)
    return sclp.SclpPacket(source, destination, records, sclp.Udp(_SRC_PORT, port)).serialize()


@dataclass(frozen=True, slots=True)
class _Kind:
    """make: an IPv4 packet of the frame 0.  id_ofs, checksum_ofs: in an Ethernet frame.  shift: of the id in its field."""

    make: Callable[[bytes, bytes, int, int], bytes]
    id_ofs: int
    checksum_ofs: int
    shift: int = 0


_KINDS = {
    "stt": _Kind(_stt, _L4 + 8, _L4 + 16),
    "sclp": _Kind(_sclp, _L4 + 4, _L4 + 10, shift=1),
    "sclp-udp": _Kind(_sclp_udp, _L4 + 8 + 4, _L4 + 6, shift=1),
}


@dataclass(slots=True)
class _Packet:
    """An Ethernet frame, and what stands in it for the frame 0: the id's field, where only a flag may be set, and the checksum."""

    kind: _Kind
    data: bytearray
    flag: int = field(init=False)
    checksum: int = field(init=False)

    def __post_init__(self) -> None:
        (self.flag,) = struct.unpack_from("!I", self.data, self.kind.id_ofs)
        (self.checksum,) = struct.unpack_from("!H", self.data, self.kind.checksum_ofs)

    def number(self, number: int) -> None:
        """Write the id of a frame, and the checksum that it makes (RFC 1624); 0 would be none in UDP, elsewhere 0xffff is the same."""
        id_ = number << self.kind.shift
        total = (~self.checksum & 0xFFFF) + (id_ >> 16) + (id_ & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!I", self.data, self.kind.id_ofs, id_ | self.flag)
        struct.pack_into("!H", self.data, self.kind.checksum_ofs, (~total & 0xFFFF) or 0xFFFF)


def _packets(kind: _Kind, macs: bytes, source: bytes, destination: bytes, number: int) -> list[_Packet]:
    """Return the packets of one frame."""
    frames = (macs + b"\x08\x00" + kind.make(source, destination, number, offset) for offset in _OFFSETS)
    return [_Packet(kind, bytearray(frame)) for frame in frames]


def main(interface: str, macs: str, source: str, destination: str, encapsulation: str, *numbers: str) -> None:
    target, first, count, pace = map(int, numbers)
    both, kind = bytes.fromhex(macs.replace(":", "").replace(",", "")), _KINDS[encapsulation]
    sources = [socket.inet_aton(source)] * len(_STRANGERS) + _STRANGERS
    frames = [_packets(kind, both, one, socket.inet_aton(destination), target) for one in sources]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((interface, 0))
        started = time.monotonic()
        for number in range(count):
            for packet in frames[number % len(frames)]:
                packet.number(first + number)
                sender.send(packet.data)
            ahead_s = 2 * number / pace - (time.monotonic() - started) if pace else 0
            if ahead_s > 0.001:
                time.sleep(ahead_s)
        print(time.monotonic() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
