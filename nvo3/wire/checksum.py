"""The Internet checksum (RFC 1071) and the pseudo headers of RFC 9293 and RFC 8200, section 8.1."""

import struct


def fold(data: bytes | memoryview, start: int = 0) -> int:
    """Return `start` plus the one's complement sum of `data`, 0..65535, not complemented.

    An odd last byte is padded with zero.
    """
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total: int = start + sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data: bytes | memoryview, start: int = 0) -> int:
    """Return the checksum of `data`, 0..65535: to write into a field that was zero, or 0 where the field was right."""
    return fold(data, start) ^ 0xFFFF


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Return the sum of the pseudo header; source, destination: 4 bytes each or 16; length: of the upper layer, in bytes."""
    return fold(source + destination + struct.pack("!II", length, protocol))
