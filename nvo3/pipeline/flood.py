"""Table flood: broadcast and multicast, replicated at the sender (head-end replication, RFC 8293 section 3.2).

Local ports get a copy each, the hypervisors that host the network one each.  OVS never sends a packet back out of its in_port.  An action
list is limited to 64 KB by OpenFlow's length field, so a long list is cut into parts that are looked up one after the other.
"""

from collections.abc import Sequence

from nvo3.model.logical import Network
from nvo3.pipeline.flow import (
    FLOOD_PART,
    FROM_UNDERLAY,
    OUT_PORT,
    Action,
    Cond,
    Field,
    FlowSpec,
    Resubmit,
    SetField,
    Table,
    build_flow,
)
from nvo3.pipeline.path import Path

_PRIORITY = 100
_PART_SIZE = 500  # destinations in one flow; each takes at most 64 bytes


def to_all(network: Network, ofports: Sequence[int], paths: Sequence[Path]) -> list[FlowSpec]:
    """ofports: the network's local ports.  paths: one to each other hypervisor of the network, those without a tunnel first."""
    local: list[tuple[Action, ...]] = [(SetField(OUT_PORT, p), Resubmit(Table.OUTPUT)) for p in ofports]
    remote = [path.actions for path in paths]
    return [*_parts(network, 0, local + remote), *_parts(network, 1, local)]


def _parts(network: Network, from_underlay: int, copies: Sequence[tuple[Action, ...]]) -> list[FlowSpec]:
    flows = []
    for part, start in enumerate(range(0, len(copies), _PART_SIZE)):
        actions = [action for copy in copies[start : start + _PART_SIZE] for action in copy]
        if start + _PART_SIZE < len(copies):
            actions += [SetField(FLOOD_PART, part + 1), Resubmit(Table.FLOOD)]
        match = (
            Cond(Field.METADATA, network.vni),
            Cond(FROM_UNDERLAY, from_underlay),
            Cond(FLOOD_PART, part),
        )
        flows.append(build_flow(Table.FLOOD, _PRIORITY, match, owner=network.uuid, actions=actions))
    return flows
