"""UDP datagrams (RFC 768) over IPv4.  Bytes in, values out; no I/O."""

import struct
from dataclasses import dataclass
from typing import Self

from nvo3.wire.checksum import checksum, pseudo_header
from nvo3.wire.errors import Truncated

HEADER_LEN = 8
PROTOCOL = 17

_HEADER = struct.Struct("!HHHH")


@dataclass(frozen=True, slots=True)
class UdpHeader:
    """src_port, dst_port: 0..65535."""

    src_port: int
    dst_port: int

    @classmethod
    def parse(cls, data: bytes | memoryview) -> tuple[Self, memoryview]:
        """Return the header and a view of the payload.  Raises Truncated.

        Deviates: the checksum is not looked at.  A guest that leaves it to its vNIC sends a datagram in which it is not there yet.
        """
        if len(data) < HEADER_LEN:
            raise Truncated("udp_truncated", f"{len(data)} bytes, a UDP header has {HEADER_LEN}")
        src_port, dst_port, length, _ = _HEADER.unpack_from(data)
        if not HEADER_LEN <= length <= len(data):
            raise Truncated("udp_truncated", f"{length} bytes by its header, {len(data)} are there")
        return cls(src_port, dst_port), memoryview(data)[HEADER_LEN:length]

    def serialize(self, source: bytes, destination: bytes, payload: bytes) -> bytes:
        """Return the datagram with `payload`.  source, destination: IPv4 addresses, 4 bytes each."""
        length = HEADER_LEN + len(payload)
        without = _HEADER.pack(self.src_port, self.dst_port, length, 0)
        value = checksum(without + payload, pseudo_header(source, destination, PROTOCOL, length)) or 0xFFFF
        return _HEADER.pack(self.src_port, self.dst_port, length, value) + payload
