"""Table classify: where a packet came from, and so which network it belongs to.

A guest's port leads to its network, and its control frames to `vnic_control`.  Where the vNIC encapsulates, what it sends from its outer
MAC address, and what comes for that from the underlay, leads to `underlay`.  Nobody else's control frames get any further.  A tunnel port
copies the VNI out of the tunnel key and leaves the decision to `admit`.  The patch to br-phy leads to the flat network.  Anything else is
dropped, tagged frames of a secured port too: a network has no VLANs.
"""

from nvo3.model.ids import mac_to_int
from nvo3.model.logical import Network, Port
from nvo3.model.physical import Encapsulation
from nvo3.pipeline.flow import FROM_UNDERLAY, Cond, Field, FlowSpec, Move, SetField, Table, build_flow
from nvo3.pipeline.packet import ARP, CVSW

_VNIC_CONTROL = 130
_CONTROL = 125
_VNIC = 120
_PRIORITY = 100
_UNTAGGED = Cond(Field.VLAN_VID, 0)


def base() -> list[FlowSpec]:
    """Flows of every bridge."""
    return [build_flow(Table.CLASSIFY, _CONTROL, CVSW)]


def from_vnic(port: Port, ofport: int, patch: int) -> list[FlowSpec]:
    """Frames of a vNIC that encapsulates, and what the underlay has for it."""
    if port.underlay_ip is None:
        return []
    outer_mac = mac_to_int(port.underlay_mac)
    ways = (
        (_VNIC, (Cond(Field.IN_PORT, ofport), Cond(Field.ETH_SRC, outer_mac), _UNTAGGED), Table.UNDERLAY),
        (_VNIC, (Cond(Field.IN_PORT, patch), Cond(Field.ETH_DST, outer_mac), _UNTAGGED), Table.UNDERLAY),
        (_VNIC, (Cond(Field.IN_PORT, patch), *ARP, Cond(Field.ARP_TPA, int(port.underlay_ip))), Table.UNDERLAY),
    )
    return [build_flow(Table.CLASSIFY, priority, match, owner=port.uuid, goto=table) for priority, match, table in ways]


def from_port(network: Network, port: Port, ofport: int) -> list[FlowSpec]:
    """Frames of a guest."""
    match = [Cond(Field.IN_PORT, ofport)]
    control = build_flow(Table.CLASSIFY, _VNIC_CONTROL, (*match, *CVSW), owner=port.uuid, goto=Table.VNIC_CONTROL)
    if port.port_security:
        match.append(_UNTAGGED)
    return [control, build_flow(Table.CLASSIFY, _PRIORITY, match, owner=port.uuid, metadata=network.vni, goto=Table.PORT_SECURITY)]


def from_tunnel(encapsulation: Encapsulation, ofport: int) -> list[FlowSpec]:
    """Frames that a tunnel port decapsulated, of whatever network."""
    vni = encapsulation.key.vni
    actions = (
        Move(Field.TUN_ID, Field.METADATA, vni.n, src_offset=vni.offset),
        SetField(FROM_UNDERLAY, 1),
    )
    return [build_flow(Table.CLASSIFY, _PRIORITY, [Cond(Field.IN_PORT, ofport)], actions=actions, goto=Table.ADMIT)]


def from_patch(network: Network, ofport: int) -> list[FlowSpec]:
    """Frames of the flat network, from br-phy."""
    return [
        build_flow(
            Table.CLASSIFY,
            _PRIORITY,
            [Cond(Field.IN_PORT, ofport)],
            owner=network.uuid,
            actions=[SetField(FROM_UNDERLAY, 1)],
            metadata=network.vni,
            goto=Table.L2,
        )
    ]
