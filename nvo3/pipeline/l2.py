"""Table l2: destination MAC -> local port or remote hypervisor.  Every MAC is known, so an unknown one is dropped."""

from nvo3.model.ids import mac_to_int
from nvo3.model.logical import Network, Port
from nvo3.pipeline.flow import FROM_UNDERLAY, OUT_PORT, Cond, Field, FlowSpec, SetField, Table, build_flow
from nvo3.pipeline.path import Path

_RESERVED = 110
_UNICAST = 100
_GROUP = 50
_GROUP_BIT = 1 << 40
# IEEE 802.1Q-2018 section 8.6.3: 01-80-C2-00-00-0X stays on its link.
_RESERVED_PREFIX, _RESERVED_MASK = 0x0180C2000000, 0xFFFFFFFFFFF0


def base() -> list[FlowSpec]:
    """Flows of every bridge."""
    return [build_flow(Table.L2, _RESERVED, [Cond(Field.ETH_DST, _RESERVED_PREFIX, _RESERVED_MASK)])]


def for_network(network: Network) -> list[FlowSpec]:
    """Broadcast and multicast go to flood."""
    match = (Cond(Field.ETH_DST, _GROUP_BIT, _GROUP_BIT), Cond(Field.METADATA, network.vni))
    return [build_flow(Table.L2, _GROUP, match, owner=network.uuid, goto=Table.FLOOD)]


def to_local(network: Network, port: Port, ofport: int) -> list[FlowSpec]:
    """A guest on this hypervisor."""
    match = (Cond(Field.ETH_DST, mac_to_int(port.mac)), Cond(Field.METADATA, network.vni))
    actions = [SetField(OUT_PORT, ofport)]
    return [build_flow(Table.L2, _UNICAST, match, owner=port.uuid, actions=actions, goto=Table.OUTPUT)]


def to_remote(network: Network, port: Port, path: Path) -> list[FlowSpec]:
    """A guest on another hypervisor; not for what came from the underlay itself."""
    match = (
        Cond(Field.ETH_DST, mac_to_int(port.mac)),
        Cond(Field.METADATA, network.vni),
        Cond(FROM_UNDERLAY, 0),
    )
    return [build_flow(Table.L2, _UNICAST, match, owner=port.uuid, actions=path.actions)]
