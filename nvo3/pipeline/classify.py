"""Table classify: where a packet came from, and so which network it belongs to.

A guest's port leads to its network.  A tunnel port copies the VNI out of the tunnel key and leaves the decision to `admit`.  The patch to
br-phy leads to the flat network.  Anything else is dropped, tagged frames of a secured port too: a network has no VLANs.
"""

from nvo3.model.logical import Network, Port
from nvo3.model.physical import Encapsulation
from nvo3.pipeline.flow import FROM_UNDERLAY, Cond, Field, FlowSpec, Move, SetField, Table, build_flow

_PRIORITY = 100
_UNTAGGED = Cond(Field.VLAN_VID, 0)


def from_port(network: Network, port: Port, ofport: int) -> list[FlowSpec]:
    """Frames of a guest."""
    match = [Cond(Field.IN_PORT, ofport)]
    if port.port_security:
        match.append(_UNTAGGED)
    return [build_flow(Table.CLASSIFY, _PRIORITY, match, owner=port.uuid, metadata=network.vni, goto=Table.PORT_SECURITY)]


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
