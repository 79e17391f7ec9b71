"""Ethernet II headers (IEEE 802.3 clause 3.2), without VLAN tags.  Bytes in, values out; no I/O."""

import struct
from dataclasses import dataclass
from typing import Self

from nvo3.wire.errors import Truncated

HEADER_LEN = 14
IPV4 = 0x0800
IPV6 = 0x86DD
BROADCAST = b"\xff" * 6

_HEADER = struct.Struct("!6s6sH")


@dataclass(frozen=True, slots=True)
class EthernetHeader:
    """destination, source: 6 bytes each."""

    destination: bytes
    source: bytes
    ethertype: int

    @classmethod
    def parse(cls, data: bytes | memoryview) -> tuple[Self, memoryview]:
        """Return the header and a view of the payload, padding included.  Raises Truncated."""
        if len(data) < HEADER_LEN:
            raise Truncated("ethernet_truncated", f"{len(data)} bytes, an Ethernet header has {HEADER_LEN}")
        return cls(*_HEADER.unpack_from(data)), memoryview(data)[HEADER_LEN:]

    def serialize(self, payload: bytes) -> bytes:
        """Return the frame with `payload`, not padded."""
        return _HEADER.pack(self.destination, self.source, self.ethertype) + payload
