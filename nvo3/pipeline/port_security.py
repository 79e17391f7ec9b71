"""Table port_security: a guest sends only from its own addresses.

Source MAC always.  Where the addresses are known (the network has pools, or the port has addresses): source IPv4 and IPv6, the sender of
ARP (RFC 826) and the source and link-layer option of a neighbour solicitation (RFC 4861 section 4.3).  Replies and advertisements are
dropped, since `answer` gives them; so are router advertisements and redirects.  In a pure L2 network a guest's ARP and ND must
carry its own MAC.

Where the controller tells guests their addresses, what they ask goes to `configuration`, DHCP from the unspecified address too (and
nothing else from that), and nobody else may tell: what servers say, and routers, is dropped from every port.

What a port may not send runs into one flow of that port, whose counter is the port's number of spoofed packets.
"""

from nvo3.model.ids import mac_to_int
from nvo3.model.logical import Network, Port
from nvo3.pipeline.flow import Cond, Field, FlowSpec, Match, Table, build_flow
from nvo3.pipeline.packet import (
    ARP,
    ARP_REQUEST,
    DHCP_CLIENT_PORT,
    DHCP_SERVER_PORT,
    IPV4,
    IPV6,
    ND_ADVERTISEMENT,
    ND_SOLICITATION,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    icmpv6,
    server_says,
    udp_to,
)

_ASK = 130  # what goes to the controller
_TELL = 125  # what it alone says
_ND = 120  # what of neighbour discovery may pass
_ND_DROP = 110  # the rest of it, before the rule for IPv6 at large
_PASS = 100
_DROP = 1
_DROPPED_ND = (ND_ADVERTISEMENT, ROUTER_ADVERTISEMENT, 137)  # 137: redirect (RFC 4861 section 4.5)


def check(network: Network, port: Port, ofport: int) -> list[FlowSpec]:
    """All flows of one port."""
    in_port = (Cond(Field.IN_PORT, ofport),)
    configuration = _configuration(network, port, in_port)
    if not port.port_security:
        return [*configuration, _flow(port, _PASS, in_port, passes=True)]
    source = (*in_port, Cond(Field.ETH_SRC, mac_to_int(port.mac)))
    known = bool(network.pools or port.addresses)
    flows = _known_addresses(port, in_port, source) if known else _mac_only(port, in_port, source)
    flows.append(_flow(port, _DROP, in_port, passes=False))
    return [*configuration, *flows]


def _configuration(network: Network, port: Port, in_port: Match) -> list[FlowSpec]:
    """What a guest asks and what it may not tell, where the controller tells it."""
    asked: list[Match] = []
    if network.configures(4):
        own4 = [0, *(int(a) for a in port.addresses if a.version == 4)]
        asked += [(*m, *udp_to(DHCP_SERVER_PORT, DHCP_CLIENT_PORT)) for m in _sources(port, in_port, Field.IPV4_SRC, own4)]
    if network.configures(6):
        own6 = [0, *(int(a) for a in (port.link_local, *port.addresses) if a.version == 6)]
        asked += [(*m, *icmpv6(ROUTER_SOLICITATION)) for m in _sources(port, in_port, Field.IPV6_SRC, own6)]
    asks = [build_flow(Table.PORT_SECURITY, _ASK, m, owner=port.uuid, goto=Table.CONFIGURATION) for m in asked]
    return [*asks, *(_flow(port, _TELL, (*in_port, *said), passes=False) for said in server_says(network))]


def _sources(port: Port, in_port: Match, field: Field, own: list[int]) -> list[Match]:
    """Conditions for the addresses that a port may ask from."""
    if not port.port_security:
        return [in_port]
    return [(*in_port, Cond(Field.ETH_SRC, mac_to_int(port.mac)), Cond(field, address)) for address in own]


def _known_addresses(port: Port, in_port: Match, source: Match) -> list[FlowSpec]:
    mac = mac_to_int(port.mac)
    request = (*source, *ARP, Cond(Field.ARP_OP, ARP_REQUEST), Cond(Field.ARP_SHA, mac))
    matches: list[Match] = [(*request, Cond(Field.ARP_SPA, 0))]  # a probe (RFC 5227 section 2.1.1)
    for address in port.addresses:
        if address.version == 4:
            matches.append((*request, Cond(Field.ARP_SPA, int(address))))
            matches.append((*source, *IPV4, Cond(Field.IPV4_SRC, int(address))))
    own6 = [int(a) for a in (port.link_local, *port.addresses) if a.version == 6]
    matches += [(*source, *IPV6, Cond(Field.IPV6_SRC, a)) for a in own6]
    flows = [_flow(port, _PASS, m, passes=True) for m in matches]

    solicitation = (*source, *icmpv6(ND_SOLICITATION))
    nd: list[Match] = []
    for address6 in own6:
        # Duplicate address detection: from the unspecified address, without an option (RFC 4862 section 5.4.2).
        nd.append((*solicitation, Cond(Field.IPV6_SRC, 0), Cond(Field.ND_TARGET, address6), Cond(Field.ND_SLL, 0)))
        nd += [(*solicitation, Cond(Field.IPV6_SRC, address6), Cond(Field.ND_SLL, sll)) for sll in (mac, 0)]
    flows += [_flow(port, _ND, m, passes=True) for m in nd]
    flows += [_flow(port, _ND_DROP, (*in_port, *icmpv6(t)), passes=False) for t in (ND_SOLICITATION, *_DROPPED_ND)]
    return flows


def _mac_only(port: Port, in_port: Match, source: Match) -> list[FlowSpec]:
    mac = mac_to_int(port.mac)
    nd: list[Match] = [(*source, *ARP, Cond(Field.ARP_SHA, mac))]
    for link_layer in (mac, 0):
        nd.append((*source, *icmpv6(ND_SOLICITATION), Cond(Field.ND_SLL, link_layer)))
        nd.append((*source, *icmpv6(ND_ADVERTISEMENT), Cond(Field.ND_TLL, link_layer)))
    dropped: list[Match] = [(*in_port, *ARP), (*in_port, *icmpv6(ND_SOLICITATION)), (*in_port, *icmpv6(ND_ADVERTISEMENT))]
    return [
        *(_flow(port, _ND, m, passes=True) for m in nd),
        *(_flow(port, _ND_DROP, m, passes=False) for m in dropped),
        _flow(port, _PASS, source, passes=True),
    ]


def _flow(port: Port, priority: int, match: Match, *, passes: bool) -> FlowSpec:
    goto = Table.ANSWER if passes else None
    return build_flow(Table.PORT_SECURITY, priority, match, owner=port.uuid, goto=goto)
