"""Table underlay: between a guest's vNIC that encapsulates and the underlay, through the patch to br-phy.

The guest is a tunnel endpoint that its tenant controls.  It sends tunnel packets from its own outer MAC and IP address and nothing else,
and to one receiver each, and gets nothing but tunnel packets; who may reach whom in a network is decided where they are decapsulated.
The address is the controller's to give, so its ARP requests are answered here (RFC 826), and the guest is not asked.

What else it sends from its outer MAC address runs into one flow, and counts as spoofed as what `port_security` drops does.
"""

from nvo3.model.ids import mac_to_int
from nvo3.model.logical import Port
from nvo3.model.physical import ENCAPSULATIONS, Encapsulation
from nvo3.pipeline.flow import Cond, Field, FlowSpec, Match, Output, SetField, Table, build_flow
from nvo3.pipeline.packet import ARP, ARP_REQUEST, IPV4, TCP, UDP, arp_reply

_PRIORITY = 100
_DROP = 1
_UNICAST = Cond(Field.ETH_DST, 0, 1 << 40)


def for_port(port: Port, ofport: int, patch: int) -> list[FlowSpec]:
    """All flows of one port."""
    if port.underlay_ip is None:
        return []
    ip, flows = int(port.underlay_ip), []
    deliver = (SetField(Field.ETH_DST, mac_to_int(port.mac)), Output(ofport))
    for tunnel in dict.fromkeys(_tunnel_packet(e) for e in ENCAPSULATIONS.values()):
        out = (Cond(Field.IN_PORT, ofport), _UNICAST, *IPV4, Cond(Field.IPV4_SRC, ip), *tunnel)
        to_vnic = (Cond(Field.IN_PORT, patch), *IPV4, Cond(Field.IPV4_DST, ip), *tunnel)
        flows.append(build_flow(Table.UNDERLAY, _PRIORITY, out, owner=port.uuid, actions=[Output(patch)]))
        flows.append(build_flow(Table.UNDERLAY, _PRIORITY, to_vnic, owner=port.uuid, actions=deliver))
    question = (Cond(Field.IN_PORT, patch), *ARP, Cond(Field.ARP_OP, ARP_REQUEST), Cond(Field.ARP_TPA, ip))
    flows.append(build_flow(Table.UNDERLAY, _PRIORITY, question, owner=port.uuid, actions=arp_reply(mac_to_int(port.underlay_mac), ip)))
    flows.append(build_flow(Table.UNDERLAY, _DROP, (Cond(Field.IN_PORT, ofport),), owner=port.uuid))
    return flows


def _tunnel_packet(encapsulation: Encapsulation) -> Match:
    """Conditions for an encapsulation's packets, without IPv4's."""
    protocol = Cond(Field.IP_PROTO, encapsulation.protocol)
    if encapsulation.dst_port is None:
        return (protocol,)
    return (protocol, Cond({TCP: Field.TCP_DST, UDP: Field.UDP_DST}[encapsulation.protocol], encapsulation.dst_port))
