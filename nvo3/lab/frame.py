"""Ethernet frames of a guest, made by hand, to send what its stack would not.

Ethernet (IEEE 802.3): destination 6, source 6, type 2
IPv4 (RFC 791) 20 | IPv6 (RFC 8200) 40
UDP (RFC 768): source port 2, destination port 2, length 2, checksum 2
"""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

ETHERTYPE_TOKEN = 0x88B5  # IEEE 802 local experimental
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_PROTOCOL_UDP = 17
_TTL = 64
_DONT_FRAGMENT = 0x4000


def mac_bytes(mac: str) -> bytes:
    """Return the six bytes of a MAC address such as 02:00:00:00:00:01."""
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(destination: str, source: str, ethertype: int, payload: bytes) -> bytes:
    """Return a frame; destination and source: MAC addresses."""
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", ethertype) + payload


def udp(macs: tuple[str, str], addresses: tuple[str, str], port: int, payload: bytes) -> bytes:
    """Return a frame with an UDP datagram; macs, addresses: destination and source, of one family; port: both ports."""
    destination, source = map(ip_address, addresses)
    if isinstance(destination, IPv4Address) != isinstance(source, IPv4Address):
        raise ValueError(f"{source} and {destination} are not of one family")
    datagram = _datagram(source.packed, destination.packed, port, payload)
    header = _ipv4(source, destination, len(datagram)) if isinstance(source, IPv4Address) else b""
    if isinstance(source, IPv6Address):
        header = struct.pack("!IHBB", 6 << 28, len(datagram), _PROTOCOL_UDP, _TTL) + source.packed + destination.packed
    return ethernet(*macs, _ETHERTYPES[source.version], header + datagram)


def _ipv4(source: IPv4Address, destination: IPv4Address | IPv6Address, length: int) -> bytes:
    def header(checksum: int) -> bytes:
        first = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, _DONT_FRAGMENT, _TTL, _PROTOCOL_UDP, checksum)
        return first + source.packed + destination.packed

    return header(internet_checksum(header(0)))


def _datagram(source: bytes, destination: bytes, port: int, payload: bytes) -> bytes:
    length = 8 + len(payload)
    pseudo_header = source + destination + struct.pack("!HH", _PROTOCOL_UDP, length)
    plain = struct.pack("!HHH", port, port, length)
    checksum = internet_checksum(pseudo_header + plain + b"\0\0" + payload) or 0xFFFF  # 0 would say that there is none
    return plain + struct.pack("!H", checksum) + payload


def internet_checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071 over `data`, 0..65535."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
