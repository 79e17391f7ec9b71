"""What went through tunnels, from a bridge's flow statistics.  No I/O.

Sent: by flows of `l2` and `flood`, which name the outer destination.  Received and admitted: by flows of `admit`, which name the
outer source.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import permutations
from uuid import UUID

from nvo3.model.inventory import Inventory
from nvo3.model.logical import NONE
from nvo3.model.status import TunnelStatus
from nvo3.openflow.decoder import InstalledFlow, match_values, tunnel_outputs
from nvo3.pipeline import compose
from nvo3.pipeline.flow import Field, Table

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
    """Of one bridge.  sent: by outer destination and encapsulation.  received: by VNI and outer source."""

    sent: dict[tuple[IPv4Address, str], Traffic] = field(default_factory=dict)
    received: dict[tuple[int, IPv4Address], Traffic] = field(default_factory=dict)


def traffic(installed: Iterable[InstalledFlow], encapsulations: Mapping[int, str]) -> TunnelTraffic:
    """Return what a bridge's tunnels carried since the flows that say so were added.

    installed: flows of ours.  encapsulations: by the tunnel port's ofport.
    """
    found = TunnelTraffic()
    for flow in installed:
        if not flow.n_packets:
            continue
        for copy in sent_to(flow, encapsulations):
            found.sent.setdefault(copy, Traffic()).add(flow)
        source = admitted_from(flow)
        if source is not None:
            found.received.setdefault(source, Traffic()).add(flow)
    return found


def sent_to(flow: InstalledFlow, encapsulations: Mapping[int, str]) -> list[tuple[IPv4Address, str]]:
    """Return outer destination and encapsulation of each copy that a flow sends through a tunnel, from what its switch says of it."""
    if flow.key.table not in (Table.L2, Table.FLOOD):
        return []
    return [(IPv4Address(ip), encapsulations[ofport]) for ofport, ip in tunnel_outputs(flow.instructions) if ofport in encapsulations]


def admitted_from(flow: InstalledFlow) -> tuple[int, IPv4Address] | None:
    """Return VNI and outer source of what a flow admits, from what its switch says of it; None for a flow that does not admit."""
    if flow.key.table != Table.ADMIT or not flow.instructions:
        return None
    values = match_values(flow.key.match)
    if Field.TUN_IPV4_SRC not in values:
        return None
    return values.get(Field.METADATA, 0), IPv4Address(values[Field.TUN_IPV4_SRC])


def between(inventory: Inventory, found: Mapping[UUID, TunnelTraffic]) -> tuple[TunnelStatus, ...]:
    """Return each direction between two tunnel endpoints that some network uses, or something was sent in.

    found: what each hypervisor's bridge counted, as far as it could be asked.
    """
    vteps = {ip: h for h in inventory.hosts if (ip := inventory.vtep_ip(h)) is not None}
    used: dict[tuple[UUID, UUID, str], set[UUID]] = {}
    for network in inventory.networks.values():
        for here, there in permutations(inventory.hosting(network.uuid), 2):
            name = compose.encapsulation(inventory, network, here, there)
            if name is not None and name != NONE:
                used.setdefault((here, there, name), set()).add(network.uuid)
    for here, counted in found.items():
        for ip, name in counted.sent:
            if ip in vteps:
                used.setdefault((here, vteps[ip], name), set())
    rows = [_row(inventory, found, *ends, networks) for ends, networks in used.items()]
    rows += _of_vnics(inventory, found)
    return tuple(sorted(rows, key=lambda row: (row.here, row.there, row.encapsulation)))


def _row(
    inventory: Inventory, found: Mapping[UUID, TunnelTraffic], here: UUID, there: UUID, encapsulation: str, networks: set[UUID]
) -> TunnelStatus:
    sent = received = None
    from_ip, to_ip = inventory.vtep_ip(here), inventory.vtep_ip(there)
    if here in found and to_ip is not None:
        sent = _numbers([found[here].sent.get((to_ip, encapsulation))])
    if there in found and from_ip is not None:
        received = _numbers(found[there].received.get((inventory.networks[n].vni, from_ip)) for n in networks)
    names = tuple(sorted(_network_name(inventory, network) for network in networks))
    return TunnelStatus(inventory.hosts[here].row.name, inventory.hosts[there].row.name, encapsulation, names, sent, received)


def _of_vnics(inventory: Inventory, found: Mapping[UUID, TunnelTraffic]) -> Iterator[TunnelStatus]:
    """Yield what hypervisors sent to vNICs that decapsulate; what vNICs send to one another no switch counts."""
    ports = {port.underlay_ip: port for port in inventory.ports.values() if port.underlay_ip is not None}
    for here, counted in found.items():
        for (ip, name), one in counted.sent.items():
            if (port := ports.get(ip)) is not None:
                network = _network_name(inventory, port.network)
                numbers = one.n_packets, one.n_bytes
                yield TunnelStatus(inventory.hosts[here].row.name, f"{network}/{port.name}", name, (network,), numbers, None)


def _numbers(counted: Iterable[Traffic | None]) -> tuple[int, int]:
    known = [one for one in counted if one is not None]
    return sum(one.n_packets for one in known), sum(one.n_bytes for one in known)


def _network_name(inventory: Inventory, network: UUID) -> str:
    row = inventory.networks[network]
    return f"{inventory.tenants[row.tenant].name}/{row.name}"
