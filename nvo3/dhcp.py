"""DHCPv4 of a network, answered by the controller (RFC 2131).  A pure function from what a guest asks to what it is told: no I/O, no clock,
no leases.

A port's addresses are in the NB database, so a guest is given exactly its port's, whoever it says that it is, and no other guest can be
given that.  There is nothing to remember between messages: any controller may answer any of them, before and after a restart.

The server is the first host address of the port's pool, which is not given out unless somebody asks for it; nobody else hears what is
sent to it, be it a port's or not.  A port that has this address itself hears of the next one.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from nvo3.model.ids import SERVICE_MAC, mac_to_int
from nvo3.model.logical import Network, Port, dhcp_server
from nvo3.wire import dhcp, ethernet, udp
from nvo3.wire.dhcp import DhcpMessage, Kind, Option
from nvo3.wire.errors import Malformed, WireError
from nvo3.wire.ethernet import EthernetHeader
from nvo3.wire.ipv4 import Ipv4Header
from nvo3.wire.udp import UdpHeader

_MAX_SIZE_MIN = 576  # bytes of IP that any client takes (RFC 2131 section 2)
_IP_UDP_LEN = 28
_BROADCAST = IPv4Address("255.255.255.255")
_NOBODY = IPv4Address(0)


@dataclass(frozen=True, slots=True)
class Answer:
    """outcome: one word for counters.  frame: for the port that asked, None for silence."""

    outcome: str
    frame: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Lease:
    """What a port may be told: an address of its own, its pool, and who tells it."""

    address: IPv4Address
    pool: IPv4Network
    server: IPv4Address


def answer(network: Network, port: Port, frame: bytes) -> Answer:
    """Answer a frame that came in by a port.  Never raises for what the frame holds."""
    try:
        header, packet = EthernetHeader.parse(frame)
        if header.ethertype != ethernet.IPV4:
            raise Malformed("ethertype", f"{header.ethertype:#06x} is not IPv4's")
        _, datagram = Ipv4Header.parse(packet)
        ports, payload = UdpHeader.parse(datagram)
        if (ports.src_port, ports.dst_port) != (dhcp.CLIENT_PORT, dhcp.SERVER_PORT):
            raise Malformed("dhcp_ports", f"from {ports.src_port} to {ports.dst_port}")
        return _answer(network, port, DhcpMessage.parse(payload))
    except WireError:
        return Answer("malformed")


def _answer(network: Network, port: Port, request: DhcpMessage) -> Answer:
    said = request.options.get(Option.MESSAGE_TYPE)
    kind = next((kind for kind in Kind if said == bytes((kind,))), None)
    if request.op != dhcp.REQUEST or kind is None:
        return Answer("malformed")
    if request.giaddr != _NOBODY:
        return Answer("relayed")
    if (request.htype, request.chaddr) != (dhcp.ETHERNET, mac_to_int(port.mac).to_bytes(6, "big")):
        return Answer("another_mac")
    wanted = request.address(Option.REQUESTED_ADDRESS) or request.ciaddr
    lease = _lease(network, port, wanted)
    if lease is None or not network.dhcp:
        return Answer("no_address")
    match kind:
        case Kind.DISCOVER:
            return _tell(network, port, request, lease, Kind.OFFER)
        case Kind.REQUEST:
            return _answer_request(network, port, request, lease, wanted)
        case Kind.INFORM if request.ciaddr == lease.address:
            return _tell(network, port, request, lease, Kind.ACK, given=False)
        case Kind.DECLINE | Kind.RELEASE:  # the address is the port's anyway
            return Answer(kind.name.lower())
    return Answer("malformed")


def _lease(network: Network, port: Port, wanted: IPv4Address) -> _Lease | None:
    """Return what a port is told: of several addresses the one that it wants, else the first."""
    own = [a for a in port.addresses if isinstance(a, IPv4Address)]
    address = wanted if wanted in own else next(iter(own), None)
    pools = (pool for pool in network.pools if isinstance(pool, IPv4Network) and address is not None and address in pool)
    pool = next(pools, None)
    if address is None or pool is None:
        return None
    server = dhcp_server(pool)
    return _Lease(address, pool, server if server != address else server + 1)


def _answer_request(network: Network, port: Port, request: DhcpMessage, lease: _Lease, wanted: IPv4Address) -> Answer:
    """RFC 2131 section 4.3.2: who selects an offer names its server; who reboots, renews or rebinds names an address only."""
    server = request.address(Option.SERVER_ID)
    if server not in (None, lease.server):
        return Answer("another_server")
    if wanted == _NOBODY:
        return Answer("malformed")
    if wanted != lease.address:
        return _refuse(port, request, lease)
    return _tell(network, port, request, lease, Kind.ACK)


def _refuse(port: Port, request: DhcpMessage, lease: _Lease) -> Answer:
    options = _head(request, lease, Kind.NAK) | {Option.MESSAGE: b"the address of this port is another"}
    reply = DhcpMessage(dhcp.REPLY, request.xid, request.chaddr, options, flags=request.flags)
    return Answer("nak", _frame(port, lease, _BROADCAST, reply))


def _tell(network: Network, port: Port, request: DhcpMessage, lease: _Lease, kind: Kind, *, given: bool = True) -> Answer:
    """given: with the address and for how long; not to one that has it by other means (RFC 2131 section 4.3.5)."""
    options = _head(request, lease, kind)
    if given:
        options |= _times(network)
    limit = _limit(network, request) - dhcp.EMPTY_SIZE - sum(map(dhcp.option_size, options.values()))
    for code, value in _parameters(network, request, lease):
        if dhcp.option_size(value) <= limit:
            limit -= dhcp.option_size(value)
            options[code] = value
    address = lease.address if given else _NOBODY
    reply = DhcpMessage(dhcp.REPLY, request.xid, request.chaddr, options, flags=request.flags, ciaddr=request.ciaddr, yiaddr=address)
    return Answer(kind.name.lower(), _frame(port, lease, _destination(request, lease), reply))


def _head(request: DhcpMessage, lease: _Lease, kind: Kind) -> dict[int, bytes]:
    options: dict[int, bytes] = {Option.MESSAGE_TYPE: bytes((kind,)), Option.SERVER_ID: lease.server.packed}
    if Option.CLIENT_ID in request.options:  # RFC 6842 section 3
        options[Option.CLIENT_ID] = request.options[Option.CLIENT_ID][: dhcp.OPTION_MAX]
    return options


def _times(network: Network) -> dict[int, bytes]:
    """The lease, and RFC 2131 section 4.4.5's times of renewal and rebinding."""
    seconds = {
        Option.LEASE_TIME: network.lease_s,
        Option.RENEWAL_TIME: network.lease_s // 2,
        Option.REBINDING_TIME: network.lease_s * 7 // 8,
    }
    return {code: struct.pack("!I", value) for code, value in seconds.items()}


def _parameters(network: Network, request: DhcpMessage, lease: _Lease) -> Iterator[tuple[int, bytes]]:
    """Yield what a client asks for, the most important first; all where it says nothing.

    The mask stands before the router (RFC 2132 section 3.3).  The MTU is told even to those that do not ask: with one that is too large
    packets are lost.
    """
    yield Option.SUBNET_MASK, lease.pool.netmask.packed
    yield Option.MTU, struct.pack("!H", network.mtu)
    asked = request.options.get(Option.PARAMETERS)
    for code, value in _on_request(network, lease):
        if value and (asked is None or code in asked):
            yield code, value


def _on_request(network: Network, lease: _Lease) -> Iterator[tuple[int, bytes]]:
    gateway = b"".join(g.packed for g in network.gateways if g.version == 4)
    yield Option.CLASSLESS_ROUTES, _routes(network, gateway)
    yield Option.ROUTER, gateway
    yield Option.DNS_SERVERS, b"".join(s.packed for s in network.dns_servers if s.version == 4)
    yield Option.BROADCAST, lease.pool.broadcast_address.packed
    yield Option.DOMAIN, network.domain.encode("ascii")


def _routes(network: Network, gateway: bytes) -> bytes:
    """RFC 3442: who gets routes takes no notice of the router option, so the default route is one of them."""
    if not network.routes:
        return b""
    value = b"\0" + gateway if gateway else b""
    for route in network.routes:
        length = route.destination.prefixlen
        value += bytes((length,)) + route.destination.network_address.packed[: (length + 7) // 8] + route.nexthop.packed
    return value


def _limit(network: Network, request: DhcpMessage) -> int:
    """Return how long a message may be: what the client takes, in one packet of the network."""
    value = request.options.get(Option.MAX_SIZE, b"")
    said = int.from_bytes(value, "big") if len(value) == 2 else 0
    return min(max(said, _MAX_SIZE_MIN), network.mtu) - _IP_UDP_LEN


def _destination(request: DhcpMessage, lease: _Lease) -> IPv4Address:
    """RFC 2131 section 4.1: to the address that the client has, or will have unless it cannot take that yet."""
    if request.ciaddr == lease.address:
        return request.ciaddr
    return _BROADCAST if request.flags & dhcp.FLAG_BROADCAST else lease.address


def _frame(port: Port, lease: _Lease, destination: IPv4Address, reply: DhcpMessage) -> bytes:
    source, target = lease.server.packed, destination.packed
    datagram = UdpHeader(dhcp.SERVER_PORT, dhcp.CLIENT_PORT).serialize(source, target, reply.serialize())
    packet = Ipv4Header(source, target, udp.PROTOCOL).serialize(datagram)
    mac = ethernet.BROADCAST if destination == _BROADCAST else reply.chaddr
    return EthernetHeader(mac, mac_to_int(SERVICE_MAC).to_bytes(6, "big"), ethernet.IPV4).serialize(packet)
