"""What went through tunnels, from a bridge's flow statistics.  No I/O.

Sent: by flows of `l2` and `flood`, which name the outer destination.  Received and admitted: by flows of `admit`, which name the
outer source.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from nvo3.openflow import encoder
from nvo3.openflow.decoder import InstalledFlow, WireKey
from nvo3.pipeline.flow import Field, FlowSpec, Output, SetField, Table

TABLES = (Table.ADMIT, Table.L2, Table.FLOOD)  # whose statistics are needed


@dataclass(slots=True)
class Traffic:
    """Frames as guests have them, without outer headers."""

    n_packets: int = 0
    n_bytes: int = 0

    def add(self, flow: InstalledFlow) -> None:
        """Count what a flow has counted."""
        self.n_packets += flow.n_packets
        self.n_bytes += flow.n_bytes


@dataclass(slots=True)
class TunnelTraffic:
    """Of one bridge.  sent: by outer destination and encapsulation.  received: by outer source."""

    sent: dict[tuple[IPv4Address, str], Traffic] = field(default_factory=dict)
    received: dict[IPv4Address, Traffic] = field(default_factory=dict)


def traffic(desired: Iterable[FlowSpec], installed: Iterable[InstalledFlow], encapsulations: Mapping[int, str]) -> TunnelTraffic:
    """Return what a bridge's tunnels carried since the flows that say so were added.

    desired: the bridge's flows, which say what the installed ones are for.  encapsulations: by the tunnel port's ofport.
    """
    counted = {flow.key: flow for flow in installed}
    found = TunnelTraffic()
    for flow in desired:
        table = flow.key.table
        if table not in TABLES:
            continue
        there = counted.get(WireKey(table, flow.key.priority, encoder.serialize_match(flow)))
        if there is None or not there.n_packets:
            continue
        if table is Table.ADMIT:
            for condition in flow.key.match:
                if condition.field is Field.TUN_IPV4_SRC:
                    found.received.setdefault(IPv4Address(condition.value), Traffic()).add(there)
            continue
        for destination, ofport in _copies(flow):
            if (name := encapsulations.get(ofport)) is not None:
                found.sent.setdefault((destination, name), Traffic()).add(there)
    return found


def _copies(flow: FlowSpec) -> Iterable[tuple[IPv4Address, int]]:
    """Yield outer destination and port of each copy that a flow sends through a tunnel."""
    destination = None
    for action in flow.actions:
        match action:
            case SetField(Field.TUN_IPV4_DST, value):
                destination = IPv4Address(value)
            case Output(port) if destination is not None:
                yield destination, port
