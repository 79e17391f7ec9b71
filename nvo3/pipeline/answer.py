"""Tables answer and send_answer: ARP requests (RFC 826) and neighbour solicitations (RFC 4861) are answered from the model.

Every address of a network is known on each of its hypervisors, so a question never crosses the underlay.  In a network with pools a
question for an address that nobody has is dropped; a pure L2 network knows no addresses and lets it pass.  A guest is not told about its
own address, or its duplicate address detection (RFC 5227, RFC 4862) would find itself.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

from nvo3.model.ids import SERVICE_MAC, mac_to_int
from nvo3.model.logical import Network, Port, dhcp_server
from nvo3.pipeline.flow import (
    IN_PORT,
    Cond,
    Field,
    FlowSpec,
    Match,
    Move,
    Output,
    Resubmit,
    SetField,
    Table,
    build_flow,
)
from nvo3.pipeline.packet import (
    ARP,
    ARP_REQUEST,
    ND_ADVERTISEMENT,
    ND_FLAGS_SOLICITED_OVERRIDE,
    ND_OPTION_TARGET_LINK_LAYER,
    ND_SOLICITATION,
    arp_reply,
    icmpv6,
)

_OWN = 110
_ANSWER = 100
_SERVER = 90
_UNKNOWN = 10
_REST = 0


def base() -> list[FlowSpec]:
    """Flows of every bridge."""
    # The option's link-layer address is a field of an advertisement only, so it is set in a table that matches one.
    finish = (Move(Field.ETH_SRC, Field.ND_TLL, 48), Output(IN_PORT))
    return [
        build_flow(Table.ANSWER, _REST, goto=Table.L2),
        build_flow(Table.SEND_ANSWER, _ANSWER, icmpv6(ND_ADVERTISEMENT), actions=finish),
    ]


def for_network(network: Network) -> list[FlowSpec]:
    """Questions that nobody can answer end here, where all addresses are known; but for those about the DHCP server."""
    if not network.pools:
        return []
    questions: list[Match] = [ARP, icmpv6(ND_SOLICITATION)]
    flows = [build_flow(Table.ANSWER, _UNKNOWN, (*q, Cond(Field.METADATA, network.vni)), owner=network.uuid) for q in questions]
    servers = [dhcp_server(pool) for pool in network.pools if isinstance(pool, IPv4Network)] if network.dhcp else []
    for server in servers:  # where it is no port's: who renews a lease sends to it (RFC 2131 section 4.4.5)
        match = (*_question(server), Cond(Field.METADATA, network.vni))
        actions = arp_reply(mac_to_int(SERVICE_MAC), int(server))
        flows.append(build_flow(Table.ANSWER, _SERVER, match, owner=network.uuid, actions=actions))
    return flows


def for_port(network: Network, port: Port) -> list[FlowSpec]:
    """Answers that any guest of the network gets about this port's addresses."""
    flows = []
    for address in _addresses(network, port):
        match = (*_question(address), Cond(Field.METADATA, network.vni))
        actions = arp_reply(mac_to_int(port.mac), int(address)) if address.version == 4 else _advertisement(port, address)
        flows.append(build_flow(Table.ANSWER, _ANSWER, match, owner=port.uuid, actions=actions))
    return flows


def for_owner(network: Network, port: Port, ofport: int) -> list[FlowSpec]:
    """What the port itself asks about its own addresses: silence."""
    return [
        build_flow(Table.ANSWER, _OWN, (Cond(Field.IN_PORT, ofport), *_question(a)), owner=port.uuid) for a in _addresses(network, port)
    ]


def _addresses(network: Network, port: Port) -> tuple[IPv4Address | IPv6Address, ...]:
    return (port.link_local, *port.addresses) if network.pools or port.addresses else ()


def _question(address: IPv4Address | IPv6Address) -> Match:
    if address.version == 4:
        return (*ARP, Cond(Field.ARP_OP, ARP_REQUEST), Cond(Field.ARP_TPA, int(address)))
    return (*icmpv6(ND_SOLICITATION), Cond(Field.ND_TARGET, int(address)))


def _advertisement(port: Port, address: IPv4Address | IPv6Address) -> tuple[Move | SetField | Resubmit, ...]:
    return (
        Move(Field.ETH_SRC, Field.ETH_DST, 48),
        SetField(Field.ETH_SRC, mac_to_int(port.mac)),
        Move(Field.IPV6_SRC, Field.IPV6_DST, 128),
        SetField(Field.IPV6_SRC, int(address)),
        SetField(Field.ND_RESERVED, ND_FLAGS_SOLICITED_OVERRIDE),
        SetField(Field.ND_OPTIONS_TYPE, ND_OPTION_TARGET_LINK_LAYER),
        SetField(Field.ICMPV6_TYPE, ND_ADVERTISEMENT),
        Resubmit(Table.SEND_ANSWER),
    )
