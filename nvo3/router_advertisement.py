"""Router advertisements of a network, sent by the controller (RFC 4861, RFC 4862, RFC 8106).  Pure functions from the model to frames.

They tell a guest the prefixes, the MTU and the resolvers.  The lifetimes of these have no end, so none needs to be told again.  In a
prefix of 64 bits the guest makes its address of its MAC (SLAAC), and that is the one that its port was given, and may send from.

The default router: where the network's gateway is a port's address, that port's guest, in whose name the advertisement is then sent.
Else there is none: the sender is the controller's own address on the link, with a router lifetime of 0.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from nvo3.dhcp import Answer
from nvo3.model.ids import SERVICE_MAC, Mac, mac_to_int
from nvo3.model.logical import LINK_LOCAL, SLAAC_PREFIX_LENGTH, Network, Port, eui64
from nvo3.wire import ethernet, ndp
from nvo3.wire.errors import Malformed, WireError
from nvo3.wire.ethernet import EthernetHeader

_SERVICE_ADDRESS = eui64(SERVICE_MAC, LINK_LOCAL)


def answer(network: Network, port: Port, router: Port | None, frame: bytes) -> Answer:
    """Answer a router solicitation that came in by a port.  Never raises for what the frame holds.

    router: the port that has the network's gateway.
    """
    try:
        header, packet = EthernetHeader.parse(frame)
        if header.ethertype != ethernet.IPV6:
            raise Malformed("ethertype", f"{header.ethertype:#06x} is not IPv6's")
        ndp.parse_solicitation(packet)
    except WireError:
        return Answer("malformed")
    if not network.configures(6):
        return Answer("no_address")
    return Answer("advertisement", advertisement(network, port, router))


def advertisement(network: Network, port: Port, router: Port | None, before: Network | None = None) -> bytes:
    """Return the frame that tells a port's guest what there is.  before: the network as it was told; what is gone is taken back.

    To all nodes, of which the port's guest is one: so it does, whichever addresses it has (RFC 4861 section 6.2.6).
    """
    mac, source, lifetime_s = SERVICE_MAC, _SERVICE_ADDRESS, 0
    if router is not None and router.uuid != port.uuid:
        mac, source, lifetime_s = router.mac, router.link_local, ndp.ROUTER_LIFETIME_MAX
    options = [ndp.source_link_layer(_packed(mac)), ndp.mtu(network.mtu), *_told(network, port, ndp.INFINITE)]
    if before is not None:
        options += [option for option in _told(_gone(before, network), port, 0) if option]
    return _frame(port, mac, ndp.advertisement(source, ndp.ALL_NODES, lifetime_s, options))


def farewell(port: Port, router: Port) -> bytes:
    """Return the frame by which a guest hears that a port's is its default router no more."""
    packet = ndp.advertisement(router.link_local, ndp.ALL_NODES, 0, [ndp.source_link_layer(_packed(router.mac))])
    return _frame(port, router.mac, packet)


def _told(network: Network, port: Port, lifetime_s: int) -> Iterator[bytes]:
    for pool in network.pools if network.dhcp else ():
        if isinstance(pool, IPv6Network):
            autonomous = pool.prefixlen == SLAAC_PREFIX_LENGTH and (not lifetime_s or _may_use(port, pool))
            yield ndp.prefix_information(pool, autonomous=autonomous, lifetime_s=lifetime_s)
    yield ndp.dns_servers([s for s in network.dns_servers if isinstance(s, IPv6Address)], lifetime_s)
    yield ndp.dns_domain(network.domain, lifetime_s)


def _may_use(port: Port, pool: IPv6Network) -> bool:
    """Tell whether a guest may send from the address that it would make; else it would choose that before the one it was given."""
    return not port.port_security or eui64(port.mac, pool) in port.addresses


def _gone(before: Network, now: Network) -> Network:
    """Return what guests were told and are not any more."""
    pools = tuple(pool for pool in before.pools if pool not in now.pools)
    servers = tuple(server for server in before.dns_servers if server not in now.dns_servers)
    return replace(before, pools=pools, dns_servers=servers, domain="" if before.domain == now.domain else before.domain)


def _packed(mac: Mac) -> bytes:
    return mac_to_int(mac).to_bytes(6, "big")


def _frame(port: Port, source: Mac, packet: bytes) -> bytes:
    """To the guest's MAC address, that of all nodes would do as well (RFC 6085)."""
    return EthernetHeader(_packed(port.mac), _packed(source), ethernet.IPV6).serialize(packet)
