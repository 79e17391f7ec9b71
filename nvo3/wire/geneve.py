"""Geneve header codec with options (RFC 8926, sections 3.4 and 3.5).  Bytes in, values out; no I/O."""

import struct
from dataclasses import dataclass
from typing import Self

from nvo3.wire.check import require_range
from nvo3.wire.errors import Malformed, Truncated

DST_PORT = 6081
HEADER_LEN = 8
VNI_MAX = 2**24 - 1
OPTIONS_MAX = 252
_ETHERNET_LEN = 14

#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# |Ver|  opt len  |O|C|    rsvd   |          protocol             |
# |                      VNI                      |   reserved    |
_HEADER = struct.Struct("!BBHI")
_LENGTH_MASK = 0x3F
_FLAG_O = 0x80
_FLAG_C = 0x40
_ETHERNET = 0x6558

# |          option class         |      type     |R|R|R| length  |
_OPTION = struct.Struct("!HBB")
_OPTION_LENGTH_MASK = 0x1F
_OPTION_CRITICAL = 0x80


@dataclass(frozen=True, slots=True)
class GeneveOption:
    """class_: 16 bits.  type: 8 bits, with 0x80 critical: who does not know it drops the frame.  data: 0..124 bytes in words of 4."""

    class_: int
    type: int
    data: bytes = b""

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, class_=65535, type=255)
        if len(self.data) % 4 or len(self.data) > 124:
            raise ValueError(f"data: {len(self.data)} bytes are not a multiple of 4, at most 124")

    def serialize(self) -> bytes:
        """Return header and data of the option."""
        return _OPTION.pack(self.class_, self.type, len(self.data) // 4) + self.data


@dataclass(frozen=True, slots=True)
class GeneveHeader:
    """The header in front of the inner frame.

    vni: Virtual Network Identifier, 0..VNI_MAX.  options: up to OPTIONS_MAX bytes of them.  oam: the frame is for the endpoint
    itself.
    """

    vni: int
    options: tuple[GeneveOption, ...] = ()
    oam: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, vni=VNI_MAX)
        if (size := len(self._options())) > OPTIONS_MAX:
            raise ValueError(f"options: {size} bytes exceed {OPTIONS_MAX}")

    def _options(self) -> bytes:
        return b"".join(option.serialize() for option in self.options)

    @classmethod
    def parse(cls, data: bytes | memoryview) -> tuple[Self, memoryview]:
        """Return the header and a view (not a copy) of the inner frame.

        Raises Truncated where the header, its options and an Ethernet header do not fit; Malformed for another version, a payload
        that is not Ethernet, an option that does not fit.  Whether a critical option is known is the caller's to say, so the bit
        that counts them is ignored, and so are reserved bits.
        """
        if len(data) < HEADER_LEN + _ETHERNET_LEN:
            raise Truncated("frame_truncated", f"{len(data)} bytes, Geneve and Ethernet headers need {HEADER_LEN + _ETHERNET_LEN}")
        first, flags, protocol, last = _HEADER.unpack_from(data)
        if first & ~_LENGTH_MASK:
            raise Malformed("geneve_version", f"{first >> 6}, only 0 is known")
        if protocol != _ETHERNET:
            raise Malformed("geneve_protocol", f"{protocol:#06x}, only {_ETHERNET:#06x} is known")
        end = HEADER_LEN + 4 * (first & _LENGTH_MASK)
        if len(data) < end + _ETHERNET_LEN:
            raise Truncated("frame_truncated", f"{len(data)} bytes, with options and Ethernet header {end + _ETHERNET_LEN}")
        view = memoryview(data)
        return cls(last >> 8, _parse_options(view[HEADER_LEN:end]), bool(flags & _FLAG_O)), view[end:]

    def serialize(self) -> bytes:
        """Return the header with its options."""
        options = self._options()
        is_critical = any(option.type & _OPTION_CRITICAL for option in self.options)
        flags = (_FLAG_O if self.oam else 0) | (_FLAG_C if is_critical else 0)
        return _HEADER.pack(len(options) // 4, flags, _ETHERNET, self.vni << 8) + options


def _parse_options(data: memoryview) -> tuple[GeneveOption, ...]:
    options = []
    while data:
        class_, type_, length = _OPTION.unpack_from(data)
        end = _OPTION.size + 4 * (length & _OPTION_LENGTH_MASK)
        if end > len(data):
            raise Malformed("geneve_options", f"option of {end} bytes in {len(data)}")
        options.append(GeneveOption(class_, type_, bytes(data[_OPTION.size : end])))
        data = data[end:]
    return tuple(options)
