"""VXLAN header codec (RFC 7348, section 5).  Bytes in, values out; no I/O."""

import struct
from dataclasses import dataclass
from typing import Self

from nvo3.wire.check import require_range
from nvo3.wire.errors import Malformed, Truncated

DST_PORT = 4789
HEADER_LEN = 8
VNI_MAX = 2**24 - 1
_ETHERNET_LEN = 14

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# |R|R|R|R|I|R|R|R|                  reserved                     |
# |                      VNI                      |   reserved    |
_HEADER = struct.Struct("!II")
_FLAG_I = 0x08


@dataclass(frozen=True, slots=True)
class VxlanHeader:
    """The header in front of the inner frame.

    vni: VXLAN Network Identifier, 0..VNI_MAX.  reserved: the 24 reserved bits behind the flags; reserved_low: the 8 behind the
    VNI; both 0 but for an extension that the ends have agreed on.
    """

    vni: int
    reserved: int = 0
    reserved_low: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, vni=VNI_MAX, reserved=2**24 - 1, reserved_low=255)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> tuple[Self, memoryview]:
        """Return the header and a view (not a copy) of the inner frame.

        Raises Truncated where the header and an Ethernet header do not fit, Malformed if I is clear.  The reserved flags are
        ignored.
        """
        if len(data) < HEADER_LEN + _ETHERNET_LEN:
            raise Truncated("frame_truncated", f"{len(data)} bytes, VXLAN and Ethernet headers need {HEADER_LEN + _ETHERNET_LEN}")
        first, second = _HEADER.unpack_from(data)
        if not first >> 24 & _FLAG_I:
            raise Malformed("vxlan_flags", f"{first >> 24:#04x} has I clear")
        return cls(second >> 8, first & 0xFFFFFF, second & 0xFF), memoryview(data)[HEADER_LEN:]

    def serialize(self) -> bytes:
        """Return the 8 bytes of the header."""
        return _HEADER.pack(_FLAG_I << 24 | self.reserved, self.vni << 8 | self.reserved_low)
