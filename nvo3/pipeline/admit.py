"""Table admit: a decapsulated frame passes only where its outer source is a hypervisor of its network, or a vNIC in it.

The encapsulation does not matter here, so a network may change its own without a moment in which one side refuses what the other sends.
"""

from ipaddress import IPv4Address

from nvo3.model.logical import Network
from nvo3.pipeline.flow import Cond, Field, FlowSpec, Table, build_flow


def from_peer(network: Network, vtep_ip: IPv4Address) -> list[FlowSpec]:
    """Frames of a network from another of its tunnel endpoints."""
    match = [Cond(Field.METADATA, network.vni), Cond(Field.TUN_IPV4_SRC, int(vtep_ip))]
    return [build_flow(Table.ADMIT, 100, match, owner=network.uuid, goto=Table.L2)]
