"""STT codec (draft-davie-stt-08, with the flag bits as implementations count them).  Bytes in, values out; no I/O.

    IPv4 | pseudo-TCP header | first bytes of the STT frame
    IPv4 | pseudo-TCP header | next bytes of the STT frame ...

    STT frame: STT header | inner Ethernet frame

The same rules and the same names for what breaks them as `native/stt.h`; docs/protocols/stt.md explains both.
"""

import struct
from dataclasses import dataclass, replace
from typing import Self

from nvo3.wire import ipv4
from nvo3.wire.check import require_range
from nvo3.wire.checksum import checksum, pseudo_header
from nvo3.wire.errors import Malformed, Truncated
from nvo3.wire.ipv4 import Ipv4Header

DST_PORT = 7471
HEADER_LEN = 18
TOTAL_MIN = HEADER_LEN + 14  # an STT header and an Ethernet header
TOTAL_MAX = 65535
MSS_MIN = 8  # Linux sends no less: TCP_MIN_SND_MSS of 48 bytes with 40 of options

CSUM_VERIFIED = 0x01
CSUM_PARTIAL = 0x02
IPV4 = 0x04
TCP = 0x08
_KNOWN_FLAGS = CSUM_VERIFIED | CSUM_PARTIAL | IPV4 | TCP

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# |  version (0)  |     flags     |   L4 offset   | reserved (0)  |
# |              MSS              | PCP |V|          VID          |
# |                                                               |
# |                          context id                           |
# |          padding (0)          |
_HEADER = struct.Struct("!BBBxHHQ2x")
_VLAN_PRESENT = 0x1000

# ports; sequence number as total and offset; acknowledgement number as id; data offset, flags; window; checksum; urgent
_TCP = struct.Struct("!HHHHIBBHHH")
_TCP_DOFF = 5 << 4
_FIN_SYN_RST_URG = 0x27
_PSH = 0x08
_ACK = 0x10
_TCP_CSUM_OFS = 16

_PROTOCOL_TCP = 6


@dataclass(frozen=True, slots=True)
class SttHeader:
    """The header in front of the inner frame.

    context_id: 0..2^64-1.  flags: CSUM_VERIFIED, or CSUM_PARTIAL with IPV4 and TCP as they apply, or 0.
    l4_offset: of the inner L4 header from the inner Ethernet header, in bytes, 0..255; 0 without CSUM_PARTIAL.
    mss: the inner MSS in bytes, 0 where the inner frame is no TSO frame.  vlan_tci: PCP << 13 | VID, or None without a tag.
    """

    context_id: int
    flags: int = 0
    l4_offset: int = 0
    mss: int = 0
    vlan_tci: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry, or a peer would drop."""
        require_range(self, context_id=2**64 - 1, l4_offset=255, mss=65535)
        if self.flags & ~_KNOWN_FLAGS:
            raise ValueError(f"flags: {self.flags:#x} has bits beyond {_KNOWN_FLAGS:#x}")
        if self.vlan_tci is not None and self.vlan_tci & ~0xEFFF:
            raise ValueError(f"vlan_tci: {self.vlan_tci:#x} is not PCP << 13 | VID")
        if not self.flags & CSUM_PARTIAL and (self.l4_offset or self.flags & (IPV4 | TCP)):
            raise ValueError("l4_offset, IPV4 and TCP need CSUM_PARTIAL")
        if broken := _broken_rule(self.flags, self.mss):
            raise ValueError(broken.message)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> tuple[Self, memoryview]:
        """Return the header and a view (not a copy) of the inner frame.

        Raises Truncated below TOTAL_MIN bytes; Malformed for another version, checksum both verified and partial, or an MSS
        that nothing can use.  Unknown flags, the reserved byte, the padding, and what needs CSUM_PARTIAL and lacks it are ignored.
        """
        if len(data) < TOTAL_MIN:
            raise Truncated("frame_truncated", f"{len(data)} bytes, an STT and an Ethernet header need {TOTAL_MIN}")
        version, flags, l4_offset, mss, vlan, context_id = _HEADER.unpack_from(data)
        if version:
            raise Malformed("version", f"{version}, only 0 is known")
        flags &= _KNOWN_FLAGS
        if broken := _broken_rule(flags, mss):
            raise broken
        if not flags & CSUM_PARTIAL:
            flags, l4_offset = flags & CSUM_VERIFIED, 0
        # Senders exist that leave V clear beside a tag.
        vlan_tci = vlan & ~_VLAN_PRESENT if vlan else None
        return cls(context_id, flags, l4_offset, mss, vlan_tci), memoryview(data)[HEADER_LEN:]

    def serialize(self) -> bytes:
        """Return the 18 bytes of the header."""
        vlan = 0 if self.vlan_tci is None else self.vlan_tci | _VLAN_PRESENT
        return _HEADER.pack(0, self.flags, self.l4_offset, self.mss, vlan, self.context_id)


def _broken_rule(flags: int, mss: int) -> Malformed | None:
    if flags & CSUM_VERIFIED and flags & CSUM_PARTIAL:
        return Malformed("flags", f"{flags:#x} says checksum both verified and partial")
    if mss and not (flags & CSUM_PARTIAL and flags & TCP):
        return Malformed("mss", f"{mss} without a partial TCP checksum")
    if 0 < mss < MSS_MIN:
        return Malformed("mss", f"{mss} is below {MSS_MIN}")
    return None


@dataclass(frozen=True, slots=True)
class SttSegment:
    """A pseudo-TCP header and its payload, part of an STT frame.

    id: of the frame, 32 bits.  total: bytes of the frame, TOTAL_MIN..TOTAL_MAX.  offset: of the payload in the frame.
    """

    src_port: int
    dst_port: int
    id: int
    total: int
    offset: int
    payload: bytes | memoryview

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, src_port=65535, dst_port=65535, id=2**32 - 1, total=TOTAL_MAX, offset=65535)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        """Return the segment that the IP payload `data` is; its payload is a view.

        Raises Truncated or Malformed.  The checksum is not looked at (see `SttPacket`); ACK, PSH, the window and the urgent
        pointer are ignored.
        """
        if len(data) < _TCP.size:
            raise Truncated("tcp_truncated", f"{len(data)} bytes, the pseudo-TCP header has {_TCP.size}")
        src_port, dst_port, total, offset, id_, doff, flags, _window, _checksum, _urgent = _TCP.unpack_from(data)
        payload = memoryview(data)[_TCP.size :]
        if doff >> 4 != 5:
            raise Malformed("tcp_offset", f"data offset {doff >> 4}, only 5 is allowed")
        if flags & _FIN_SYN_RST_URG:
            raise Malformed("tcp_flags", f"{flags:#04x} has SYN, FIN, RST or URG")
        if not payload:
            raise Malformed("empty", "segment without payload")
        if total < TOTAL_MIN:
            raise Malformed("total", f"frame of {total} bytes, at least {TOTAL_MIN} are needed")
        if offset + len(payload) > total:
            raise Malformed("past_end", f"{len(payload)} bytes at {offset} of a frame of {total}")
        return cls(src_port, dst_port, id_, total, offset, payload)

    def serialize(self) -> bytes:
        """Return header and payload, the checksum field zero; PSH is set if the segment is the last of its frame.

        Raises ValueError for a payload that is not within the frame.
        """
        if not self.payload or self.offset + len(self.payload) > self.total or not TOTAL_MIN <= self.total <= TOTAL_MAX:
            raise ValueError(f"payload: {len(self.payload)} bytes at {self.offset} of a frame of {self.total}, limit {TOTAL_MAX}")
        flags = _ACK | (_PSH if self.offset + len(self.payload) == self.total else 0)
        header = _TCP.pack(self.src_port, self.dst_port, self.total, self.offset, self.id, _TCP_DOFF, flags, 0xFFFF, 0, 0)
        return header + bytes(self.payload)


@dataclass(frozen=True, slots=True)
class SttPacket:
    """An IPv4 packet with an STT segment.

    source, destination: 4 bytes each.  tos: DSCP:6 ECN:2.  ip_id: IPv4 identification.  df: Don't Fragment.
    """

    source: bytes
    destination: bytes
    segment: SttSegment
    tos: int = 0
    ttl: int = 64
    ip_id: int = 0
    df: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        self._ip_header()

    def _ip_header(self) -> Ipv4Header:
        return Ipv4Header(self.source, self.destination, _PROTOCOL_TCP, self.tos, self.ttl, self.ip_id, self.df)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        """Return the packet at the beginning of `data`; what follows its end is Ethernet padding.

        Raises Truncated; Malformed for an IP fragment, another protocol than TCP, a wrong checksum, or a wrong segment.
        """
        ip, tcp = Ipv4Header.parse(data)
        if ip.protocol != _PROTOCOL_TCP:
            raise Malformed("ip_protocol", f"{ip.protocol}, only {_PROTOCOL_TCP} is allowed")
        segment = SttSegment.parse(tcp)
        if checksum(tcp, pseudo_header(ip.source, ip.destination, _PROTOCOL_TCP, len(tcp))):
            raise Malformed("tcp_checksum", f"{int.from_bytes(tcp[_TCP_CSUM_OFS : _TCP_CSUM_OFS + 2], 'big'):#06x} is wrong")
        return cls(ip.source, ip.destination, segment, ip.tos, ip.ttl, ip.ip_id, ip.df)

    def serialize(self) -> bytes:
        """Return the packet with its checksums.  Raises ValueError where it is longer than an IPv4 packet can be."""
        tcp = self.segment.serialize()
        start = pseudo_header(self.source, self.destination, _PROTOCOL_TCP, len(tcp))
        tcp = tcp[:_TCP_CSUM_OFS] + checksum(tcp, start).to_bytes(2, "big") + tcp[_TCP_CSUM_OFS + 2 :]
        return self._ip_header().serialize(tcp)


def segment(frame: bytes, mtu: int, packet: SttPacket) -> list[bytes]:
    """Cut an STT frame into IPv4 packets of at most `mtu` bytes.

    frame: STT header and inner frame.  packet: gives addresses, ports, id and all else that the headers have in common; its
    ip_id is the first packet's and counts up.  Raises ValueError for an MTU that leaves no room, or a frame out of range.
    """
    room = mtu - ipv4.HEADER_LEN - _TCP.size
    if room < 1:
        raise ValueError(f"mtu: {mtu} leaves no payload behind {ipv4.HEADER_LEN + _TCP.size} bytes of headers")
    if not TOTAL_MIN <= len(frame) <= TOTAL_MAX:
        raise ValueError(f"frame: {len(frame)} bytes are not in {TOTAL_MIN}..{TOTAL_MAX}")
    return [
        replace(
            packet,
            ip_id=(packet.ip_id + index) & 0xFFFF,
            segment=replace(packet.segment, total=len(frame), offset=offset, payload=frame[offset : offset + room]),
        ).serialize()
        for index, offset in enumerate(range(0, len(frame), room))
    ]
