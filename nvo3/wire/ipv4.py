"""IPv4 packets (RFC 791) as tunnels use them: no options, no fragments.  Bytes in, values out; no I/O."""

import struct
from dataclasses import dataclass
from typing import Self

from nvo3.wire.check import require_range
from nvo3.wire.checksum import checksum
from nvo3.wire.errors import Malformed, Truncated

HEADER_LEN = 20
TOTAL_MAX = 65535

# version and IHL, TOS; length, id, flags and fragment offset; TTL, protocol, checksum; source; destination
_HEADER = struct.Struct("!BBHHHBBH4s4s")
_DF = 0x4000
_FRAGMENT_MASK = 0x3FFF  # MF and the offset


@dataclass(frozen=True, slots=True)
class Ipv4Header:
    """source, destination: 4 bytes each.  tos: DSCP:6 ECN:2.  ip_id: identification.  df: Don't Fragment."""

    source: bytes
    destination: bytes
    protocol: int
    tos: int = 0
    ttl: int = 64
    ip_id: int = 0
    df: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, protocol=255, tos=255, ttl=255, ip_id=65535)
        for name, address in (("source", self.source), ("destination", self.destination)):
            if len(address) != 4:
                raise ValueError(f"{name}: {len(address)} bytes, an IPv4 address has 4")

    @classmethod
    def parse(cls, data: bytes | memoryview) -> tuple[Self, memoryview]:
        """Return the header at the beginning of `data` and a view of the payload; what follows its end is Ethernet padding.

        Options are skipped.  Raises Truncated; Malformed for lengths that contradict each other, a wrong checksum, a fragment.
        """
        if len(data) < HEADER_LEN:
            raise Truncated("ip_truncated", f"{len(data)} bytes, an IPv4 header has {HEADER_LEN}")
        first, tos, total_len, ip_id, fragment, ttl, protocol, found, source, destination = _HEADER.unpack_from(data)
        version, header_len = first >> 4, 4 * (first & 15)
        if version != 4 or header_len < HEADER_LEN or total_len < header_len:
            raise Malformed("ip_header", f"version {version}, {header_len} bytes of header, {total_len} in all")
        if total_len > len(data):
            raise Truncated("ip_truncated", f"{len(data)} of {total_len} bytes")
        if checksum(data[:header_len]):
            raise Malformed("ip_checksum", f"{found:#06x} is wrong")
        if fragment & _FRAGMENT_MASK:
            raise Malformed("ip_fragment", f"flags and offset {fragment:#06x}")
        header = cls(source, destination, protocol, tos, ttl, ip_id, bool(fragment & _DF))
        return header, memoryview(data)[header_len:total_len]

    def serialize(self, payload: bytes) -> bytes:
        """Return the packet with `payload`.  Raises ValueError where it is longer than an IPv4 packet can be."""
        total_len = HEADER_LEN + len(payload)
        if total_len > TOTAL_MAX:
            raise ValueError(f"packet of {total_len} bytes exceeds {TOTAL_MAX}")
        fields = (0x45, self.tos, total_len, self.ip_id, _DF if self.df else 0, self.ttl, self.protocol)
        without = _HEADER.pack(*fields, 0, self.source, self.destination)
        return _HEADER.pack(*fields, checksum(without), self.source, self.destination) + payload
