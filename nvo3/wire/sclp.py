"""SCLP codec (Kawashima et al., NetSoft 2015), native and over UDP.  Bytes in, values out; no I/O.

    IPv4 | SCLP header | bytes of the SCLP frame
    IPv4 | UDP | SCLP header | bytes of the SCLP frame

    SCLP frame: VXLAN or Geneve header | inner Ethernet frame

An SCLP header and its bytes are a record.  The same rules and the same names for what breaks them as `native/sclp.h`;
docs/protocols/sclp.md explains both.  What the frame begins with is in `vxlan` and `geneve`, and here what the inner frame's
checksum and segmentation still need (`Offload`).
"""

import struct
from dataclasses import dataclass, replace
from typing import Self

from nvo3.wire import ipv4
from nvo3.wire.check import require_range
from nvo3.wire.checksum import checksum, pseudo_header
from nvo3.wire.errors import Malformed, Truncated
from nvo3.wire.geneve import GeneveHeader, GeneveOption
from nvo3.wire.ipv4 import Ipv4Header
from nvo3.wire.stt import CSUM_PARTIAL, IPV4, MSS_MIN, TCP
from nvo3.wire.vxlan import VxlanHeader

PROTOCOL = 234  # IP protocol
UDP_PORT = 7234  # ours
HEADER_LEN = 12
TOTAL_MIN = 8 + 14  # a VXLAN or Geneve header and an Ethernet header
TOTAL_MAX = 65535
ID_MASK = 0xFFFFFFFE

# source and destination port; id, its least significant bit the first-segment flag; remaining; checksum
_HEADER = struct.Struct("!HHIHH")
_CSUM_OFS = 10

_PROTOCOL_UDP = 17
_UDP = struct.Struct("!HHHH")
_UDP_CSUM_OFS = 6

# the Geneve option of the offload state
OPTION_CLASS = 0xFFEA  # in the experimental range of RFC 8926
OPTION_TYPE = 0x81  # critical: who does not know it drops the frame
_OFFLOAD = struct.Struct("!BBH")  # flags, L4 offset, MSS


@dataclass(frozen=True, slots=True)
class SclpSegment:
    """An SCLP header and its payload, part of an SCLP frame.

    dst_port: 4789 for VXLAN, 6081 for Geneve.  id: of the frame, 32 bits of which the least significant is 0.  first: it is the
    first of its frame.  remaining: bytes of the frame behind this segment.
    """

    src_port: int
    dst_port: int
    id: int
    first: bool
    remaining: int
    payload: bytes | memoryview

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, src_port=65535, dst_port=65535, id=ID_MASK, remaining=TOTAL_MAX)
        if self.id & ~ID_MASK:
            raise ValueError(f"id: {self.id:#x} has the bit of the first-segment flag")
        if not self.payload:
            raise ValueError("payload: empty")
        if broken := _broken_total(self.first, self.remaining + len(self.payload)):
            raise ValueError(broken.message)

    @classmethod
    def parse(cls, record: bytes | memoryview, *, covered: bool = False) -> Self:
        """Return the segment that `record` is; its payload is a view.

        covered: UDP's checksum covers the record and was right, so a checksum of 0 means none.  Raises Truncated or Malformed.
        """
        if len(record) < HEADER_LEN:
            raise Truncated("sclp_truncated", f"{len(record)} bytes, the SCLP header has {HEADER_LEN}")
        src_port, dst_port, id_, remaining, found = _HEADER.unpack_from(record)
        payload = memoryview(record)[HEADER_LEN:]
        first = bool(id_ & ~ID_MASK)
        if not payload:
            raise Malformed("empty", "segment without payload")
        if broken := _broken_total(first, remaining + len(payload)):
            raise broken
        if not (covered and not found) and checksum(record):
            raise Malformed("sclp_checksum", f"{found:#06x} is wrong")
        return cls(src_port, dst_port, id_ & ID_MASK, first, remaining, payload)

    def serialize(self, *, covered: bool = False) -> bytes:
        """Return the record; covered: with a checksum of 0, since UDP's will cover it."""
        header = _HEADER.pack(self.src_port, self.dst_port, self.id | self.first, self.remaining, 0)
        record = header + bytes(self.payload)
        return record if covered else _with_checksum(record, _CSUM_OFS, checksum(record))


def _with_checksum(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + value.to_bytes(2, "big") + data[offset + 2 :]


def _broken_total(first: bool, extent: int) -> Malformed | None:
    if extent > TOTAL_MAX:
        return Malformed("total", f"{extent} bytes to the end of the frame, at most {TOTAL_MAX} are allowed")
    if first and extent < TOTAL_MIN:
        return Malformed("total", f"frame of {extent} bytes, at least {TOTAL_MIN} are needed")
    return None


@dataclass(frozen=True, slots=True)
class Udp:
    """UDP around records.  has_checksum: the checksum is not 0, which would mean none."""

    src_port: int
    dst_port: int = UDP_PORT
    has_checksum: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, src_port=65535, dst_port=65535)


@dataclass(frozen=True, slots=True)
class SclpPacket:
    """An IPv4 packet with records.

    source, destination: 4 bytes each.  records: one, as bytes; over UDP, in a super-packet that the kernel made of several
    datagrams, one for each.  udp: None for native SCLP.  tos, ttl, ip_id, df: see `Ipv4Header`.
    """

    source: bytes
    destination: bytes
    records: tuple[bytes | memoryview, ...]
    udp: Udp | None = None
    tos: int = 0
    ttl: int = 64
    ip_id: int = 0
    df: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        self._ip_header()
        if not self.records or (len(self.records) > 1 and not self.udp):
            raise ValueError(f"records: {len(self.records)}, native SCLP has one and UDP at least one")

    def _ip_header(self) -> Ipv4Header:
        protocol = _PROTOCOL_UDP if self.udp else PROTOCOL
        return Ipv4Header(self.source, self.destination, protocol, self.tos, self.ttl, self.ip_id, self.df)

    @property
    def is_covered(self) -> bool:
        """Whether UDP's checksum covers the records."""
        return self.udp is not None and self.udp.has_checksum

    @classmethod
    def parse(cls, data: bytes | memoryview, gso_size: int = 0) -> Self:
        """Return the packet at the beginning of `data`; its records are views, each for `SclpSegment.parse`.

        gso_size: of the datagrams of a UDP super-packet in bytes, 0 if the packet is none.  Raises Truncated; Malformed for an IP
        fragment, another protocol than SCLP and UDP, a wrong checksum or length.
        """
        ip, payload = Ipv4Header.parse(data)
        udp, records = None, [payload]
        if ip.protocol == _PROTOCOL_UDP:
            udp, payload = _parse_udp(ip, payload)
            pitch = gso_size or len(payload) or 1
            records = [payload[at : at + pitch] for at in range(0, len(payload) or 1, pitch)]
        elif ip.protocol != PROTOCOL:
            raise Malformed("ip_protocol", f"{ip.protocol}, only {PROTOCOL} and {_PROTOCOL_UDP} are allowed")
        return cls(ip.source, ip.destination, tuple(records), udp, ip.tos, ip.ttl, ip.ip_id, ip.df)

    def segments(self) -> list[SclpSegment]:
        """Return the records parsed.  Raises WireError for the first that is wrong."""
        return [SclpSegment.parse(record, covered=self.is_covered) for record in self.records]

    def serialize(self) -> bytes:
        """Return the packet with its checksums.  Raises ValueError where it is longer than an IPv4 packet can be."""
        payload = b"".join(map(bytes, self.records))
        if self.udp:
            payload = self._with_udp(self.udp, payload)
        return self._ip_header().serialize(payload)

    def _with_udp(self, udp: Udp, payload: bytes) -> bytes:
        length = _UDP.size + len(payload)
        if length > ipv4.TOTAL_MAX - ipv4.HEADER_LEN:
            raise ValueError(f"packet of {ipv4.HEADER_LEN + length} bytes exceeds {ipv4.TOTAL_MAX}")
        data = _UDP.pack(udp.src_port, udp.dst_port, length, 0) + payload
        if not udp.has_checksum:
            return data
        value = checksum(data, pseudo_header(self.source, self.destination, _PROTOCOL_UDP, length))
        return _with_checksum(data, _UDP_CSUM_OFS, value or 0xFFFF)


def _parse_udp(ip: Ipv4Header, data: memoryview) -> tuple[Udp, memoryview]:
    if len(data) < _UDP.size:
        raise Truncated("udp_truncated", f"{len(data)} bytes, the UDP header has {_UDP.size}")
    src_port, dst_port, length, found = _UDP.unpack_from(data)
    if not _UDP.size <= length <= len(data):
        raise Malformed("udp_length", f"{length} is not in {_UDP.size}..{len(data)}")
    data = data[:length]
    if found and checksum(data, pseudo_header(ip.source, ip.destination, _PROTOCOL_UDP, length)):
        raise Malformed("udp_checksum", f"{found:#06x} is wrong")
    return Udp(src_port, dst_port, bool(found)), data[_UDP.size :]


def segment(frame: bytes, mtu: int, packet: SclpPacket, src_port: int, dst_port: int, id_: int) -> list[bytes]:
    """Cut an SCLP frame into IPv4 packets of at most `mtu` bytes.

    frame: VXLAN or Geneve header and inner frame.  packet: gives addresses, UDP and all else that the outer headers have in
    common; its records do not matter, and its ip_id is the first packet's and counts up.  src_port, dst_port, id_: SCLP's.
    Raises ValueError for an MTU that leaves no room, or a frame out of range.
    """
    headers = ipv4.HEADER_LEN + (_UDP.size if packet.udp else 0) + HEADER_LEN
    room = mtu - headers
    if room < 1:
        raise ValueError(f"mtu: {mtu} leaves no payload behind {headers} bytes of headers")
    if not TOTAL_MIN <= len(frame) <= TOTAL_MAX:
        raise ValueError(f"frame: {len(frame)} bytes are not in {TOTAL_MIN}..{TOTAL_MAX}")
    packets = []
    for index, offset in enumerate(range(0, len(frame), room)):
        payload = frame[offset : offset + room]
        remaining = len(frame) - offset - len(payload)
        record = SclpSegment(src_port, dst_port, id_, not offset, remaining, payload).serialize(covered=packet.is_covered)
        packets.append(replace(packet, ip_id=(packet.ip_id + index) & 0xFFFF, records=(record,)).serialize())
    return packets


@dataclass(frozen=True, slots=True)
class Offload:
    """What the inner frame's checksum and segmentation still need, carried where both ends have agreed on it.

    flags: CSUM_PARTIAL, with IPV4 and TCP as they apply (STT's, from `nvo3.wire.stt`).  l4_offset: of the inner L4 header from
    the inner Ethernet header, 0..255.  mss: the inner MSS in bytes, 0 where the inner frame is no TSO frame.
    """

    flags: int
    l4_offset: int
    mss: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for what a peer would drop."""
        require_range(self, l4_offset=255, mss=65535)
        if broken := _broken_rule(self.flags, self.mss):
            raise ValueError(broken.message)

    @classmethod
    def from_vxlan(cls, header: VxlanHeader) -> Self | None:
        """Return what the reserved bytes say, or None where they say nothing.  Raises Malformed."""
        flags, mss = header.reserved >> 16, header.reserved & 0xFFFF
        return cls._from_wire(flags, header.reserved_low, mss) if flags & CSUM_PARTIAL else None

    @classmethod
    def from_geneve(cls, header: GeneveHeader) -> Self | None:
        """Return what the option, the first one, says, or None where there is none.  Raises Malformed."""
        places = [place for place, option in enumerate(header.options) if (option.class_, option.type) == (OPTION_CLASS, OPTION_TYPE)]
        if not places:
            return None
        size = len(header.options[places[0]].data)
        if places[0] or size != _OFFLOAD.size:
            raise Malformed("offload", f"option at place {places[0]}, with {size} bytes")
        offload = cls._from_wire(*_OFFLOAD.unpack(header.options[0].data))
        if places[1:]:
            raise Malformed("offload", f"option at place {places[1]}, too")
        return offload

    @classmethod
    def _from_wire(cls, flags: int, l4_offset: int, mss: int) -> Self:
        if broken := _broken_rule(flags, mss):
            raise broken
        return cls(flags, l4_offset, mss)

    def in_vxlan(self, vni: int) -> VxlanHeader:
        """Return the header for `vni` that says it."""
        return VxlanHeader(vni, self.flags << 16 | self.mss, self.l4_offset)

    def in_geneve(self, header: GeneveHeader) -> GeneveHeader:
        """Return `header` with the option in front of its others.  Raises ValueError where they become too long."""
        option = GeneveOption(OPTION_CLASS, OPTION_TYPE, _OFFLOAD.pack(self.flags, self.l4_offset, self.mss))
        return replace(header, options=(option, *header.options))


def _broken_rule(flags: int, mss: int) -> Malformed | None:
    if not flags & CSUM_PARTIAL or flags & ~(CSUM_PARTIAL | IPV4 | TCP):
        return Malformed("offload", f"flags {flags:#x} are not CSUM_PARTIAL with IPV4 and TCP")
    if mss and not flags & TCP:
        return Malformed("mss", f"{mss} without TCP")
    if 0 < mss < MSS_MIN:
        return Malformed("mss", f"{mss} is below {MSS_MIN}")
    return None
