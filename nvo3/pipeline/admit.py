"""Table admit: a decapsulated frame passes only where its outer source is a hypervisor of its network, or a vNIC in it.

What a vNIC puts into its tunnels no port security has seen.  Where the controller tells guests their addresses, it is not told by a vNIC.

The encapsulation does not matter here, so a network may change its own without a moment in which one side refuses what the other sends.
"""

from ipaddress import IPv4Address

from nvo3.model.logical import Network, Port
from nvo3.pipeline.flow import Cond, Field, FlowSpec, Table, build_flow
from nvo3.pipeline.packet import server_says


def from_peer(network: Network, vtep_ip: IPv4Address) -> list[FlowSpec]:
    """Frames of a network from another of its tunnel endpoints."""
    match = [Cond(Field.METADATA, network.vni), Cond(Field.TUN_IPV4_SRC, int(vtep_ip))]
    return [build_flow(Table.ADMIT, 100, match, owner=network.uuid, goto=Table.L2)]


def from_vnic(network: Network, port: Port) -> list[FlowSpec]:
    """Frames of a network from a guest's vNIC that encapsulates, but for what servers say."""
    if port.underlay_ip is None:
        return []
    source = (Cond(Field.METADATA, network.vni), Cond(Field.TUN_IPV4_SRC, int(port.underlay_ip)))
    refused = [build_flow(Table.ADMIT, 110, (*source, *said), owner=port.uuid) for said in server_says(network)]
    return [*from_peer(network, port.underlay_ip), *refused]
