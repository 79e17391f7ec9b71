"""Protocol numbers and the conditions that select a protocol, for the tables that look into packets."""

from nvo3.model.logical import Network
from nvo3.pipeline.flow import IN_PORT, Action, Cond, Field, Match, Move, Output, SetField

ARP: Match = (Cond(Field.ETH_TYPE, 0x0806),)
IPV4: Match = (Cond(Field.ETH_TYPE, 0x0800),)
IPV6: Match = (Cond(Field.ETH_TYPE, 0x86DD),)

TCP = 6  # Field.IP_PROTO
UDP = 17

DHCP_SERVER_PORT, DHCP_CLIENT_PORT = 67, 68  # RFC 2131 section 4.1

CVSW: Match = (Cond(Field.ETH_TYPE, 0xABBA),)
CVSW_VERSION = 2
CVSW_FROM_AGENT = (2, 8, 10, 12, 13, 14)  # message types, see wire.cvsw.Type

ARP_REQUEST = 1  # RFC 826
ARP_REPLY = 2
ROUTER_SOLICITATION = 133  # RFC 4861 section 4.1
ROUTER_ADVERTISEMENT = 134  # RFC 4861 section 4.2
ND_SOLICITATION = 135  # RFC 4861 section 4.3
ND_ADVERTISEMENT = 136  # RFC 4861 section 4.4
ND_OPTION_TARGET_LINK_LAYER = 2  # RFC 4861 section 4.6.1
ND_FLAGS_SOLICITED_OVERRIDE = 0x60000000  # RFC 4861 section 4.4: R S O


def arp_reply(mac: int, address: int) -> tuple[Action, ...]:
    """Actions that turn an ARP request into the reply that `address` is at `mac`, and send it back."""
    return (
        Move(Field.ETH_SRC, Field.ETH_DST, 48),
        SetField(Field.ETH_SRC, mac),
        SetField(Field.ARP_OP, ARP_REPLY),
        Move(Field.ARP_SHA, Field.ARP_THA, 48),
        SetField(Field.ARP_SHA, mac),
        Move(Field.ARP_SPA, Field.ARP_TPA, 32),
        SetField(Field.ARP_SPA, address),
        Output(IN_PORT),
    )


def udp_to(dst_port: int, src_port: int | None = None) -> Match:
    """Conditions for UDP over IPv4 to a port, from another or from any."""
    source = () if src_port is None else (Cond(Field.UDP_SRC, src_port),)
    return (*IPV4, Cond(Field.IP_PROTO, UDP), *source, Cond(Field.UDP_DST, dst_port))


def icmpv6(icmp_type: int) -> Match:
    """Conditions for an ICMPv6 message of a type, code 0 (RFC 4443)."""
    return (
        *IPV6,
        Cond(Field.IP_PROTO, 58),
        Cond(Field.ICMPV6_TYPE, icmp_type),
        Cond(Field.ICMPV6_CODE, 0),
    )


def server_says(network: Network) -> list[Match]:
    """Conditions for what only the controller says in a network: DHCP's answers, router advertisements."""
    said = [udp_to(DHCP_CLIENT_PORT)] if network.configures(4) else []
    return [*said, icmpv6(ROUTER_ADVERTISEMENT)] if network.configures(6) else said
