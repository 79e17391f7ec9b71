"""Router discovery of IPv6 (RFC 4861 sections 4.1, 4.2 and 4.6, RFC 8106).  Bytes in, values out; no I/O.

    advertisement: | type 134 | code 0 | checksum | hop limit | M O …| router lifetime | reachable time | retransmission timer | options |

An option is type, length in units of 8 bytes, value.
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network

from nvo3.wire.checksum import checksum, pseudo_header
from nvo3.wire.errors import Malformed, Truncated

PROTOCOL = 58  # ICMPv6
SOLICITATION = 133
ADVERTISEMENT = 134
ALL_NODES = IPv6Address("ff02::1")
INFINITE = 0xFFFFFFFF  # lifetimes of prefixes and resolvers, in seconds
ROUTER_LIFETIME_MAX = 0xFFFF  # seconds (RFC 8319 section 4)

_HEADER_LEN = 40
_IPV6 = struct.Struct("!IHBB16s16s")
_VERSION = 6 << 28
_HOP_LIMIT = 255  # of all of neighbour discovery: the packet has crossed no router
_SOLICITATION = struct.Struct("!BBHI")
_ADVERTISEMENT = struct.Struct("!BBHBBHII")
_CHECKSUM = slice(2, 4)
_SOURCE_LINK_LAYER, _PREFIX, _MTU, _RDNSS, _DNSSL = 1, 3, 5, 25, 31
_ON_LINK, _AUTONOMOUS = 0x80, 0x40


def parse_solicitation(packet: bytes | memoryview) -> IPv6Address:
    """Return who solicits; `::` where it has no address yet.

    packet: of IPv6, perhaps with padding behind it.  Raises Truncated; Malformed for what RFC 4861 section 6.1.1 has a router
    discard, but for the checksum: a guest may leave that to its vNIC.
    """
    if len(packet) < _HEADER_LEN + _SOLICITATION.size:
        raise Truncated("rs_truncated", f"{len(packet)} bytes, a router solicitation has {_HEADER_LEN + _SOLICITATION.size}")
    first, length, protocol, hop_limit, source, _ = _IPV6.unpack_from(packet)
    if (first >> 28, protocol, hop_limit) != (6, PROTOCOL, _HOP_LIMIT):
        raise Malformed("rs_header", f"version {first >> 28}, protocol {protocol}, hop limit {hop_limit}")
    if not _SOLICITATION.size <= length <= len(packet) - _HEADER_LEN:
        raise Truncated("rs_truncated", f"{length} bytes by its header, {len(packet) - _HEADER_LEN} are there")
    kind, code, _, _ = _SOLICITATION.unpack_from(packet, _HEADER_LEN)
    if (kind, code) != (SOLICITATION, 0):
        raise Malformed("rs_type", f"type {kind}, code {code}")
    sender = IPv6Address(source)
    for option in _options(packet[_HEADER_LEN + _SOLICITATION.size : _HEADER_LEN + length]):
        if option == _SOURCE_LINK_LAYER and sender == IPv6Address(0):
            raise Malformed("rs_option", "a link-layer address, and no address")
    return sender


def _options(data: bytes | memoryview) -> list[int]:
    kinds = []
    offset = 0
    while offset < len(data):
        size = 8 * data[offset + 1] if offset + 1 < len(data) else 0
        if not size or offset + size > len(data):
            raise Malformed("rs_option", f"option of {size} bytes at byte {offset} of {len(data)}")
        kinds.append(data[offset])
        offset += size
    return kinds


def advertisement(source: IPv6Address, destination: IPv6Address, router_lifetime_s: int, options: Iterable[bytes]) -> bytes:
    """Return an IPv6 packet; router_lifetime_s: 0 for one that is no default router.  Neither M nor O: there is no DHCPv6."""
    message = bytearray(_ADVERTISEMENT.pack(ADVERTISEMENT, 0, 0, 64, 0, router_lifetime_s, 0, 0) + b"".join(options))
    start = pseudo_header(source.packed, destination.packed, PROTOCOL, len(message))
    message[_CHECKSUM] = checksum(bytes(message), start).to_bytes(2, "big")
    return _IPV6.pack(_VERSION, len(message), PROTOCOL, _HOP_LIMIT, source.packed, destination.packed) + message


def source_link_layer(mac: bytes) -> bytes:
    """Return the option that says at which MAC address the sender is (RFC 4861 section 4.6.1)."""
    return bytes((_SOURCE_LINK_LAYER, 1)) + mac


def prefix_information(prefix: IPv6Network, *, autonomous: bool, lifetime_s: int) -> bytes:
    """Return the option of a prefix that is on the link (RFC 4861 section 4.6.2); autonomous: guests make addresses in it."""
    flags = _ON_LINK | (_AUTONOMOUS if autonomous else 0)
    return struct.pack("!BBBBIII16s", _PREFIX, 4, prefix.prefixlen, flags, lifetime_s, lifetime_s, 0, prefix.network_address.packed)


def mtu(size: int) -> bytes:
    """Return the option of the link's MTU, in bytes (RFC 4861 section 4.6.4)."""
    return struct.pack("!BBHI", _MTU, 1, 0, size)


def dns_servers(servers: Iterable[IPv6Address], lifetime_s: int) -> bytes:
    """Return the option of recursive resolvers (RFC 8106 section 5.1), nothing for none."""
    addresses = b"".join(server.packed for server in servers)
    return struct.pack("!BBHI", _RDNSS, 1 + len(addresses) // 8, 0, lifetime_s) + addresses if addresses else b""


def dns_domain(domain: str, lifetime_s: int) -> bytes:
    """Return the option of the domain to search (RFC 8106 section 5.2), nothing for "".  domain: labels of at most 63 characters."""
    if not domain:
        return b""
    labels = [label.encode("ascii") for label in domain.rstrip(".").split(".")]
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    name += b"\0" * (-len(name) % 8)
    return struct.pack("!BBHI", _DNSSL, 1 + len(name) // 8, 0, lifetime_s) + name
