"""What ports and tunnels have carried since the controller started: counters that only grow.  No I/O, no clock.

A switch counts for a flow, and for an interface on a bridge; both end with a move of the port, with a restart of the switch, with a change
of the network.  What each has counted since the last reading is added here to the port, or to the tunnel; where a counter has fallen,
it began anew, and all of it is new.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import NamedTuple, Self
from uuid import UUID

from nvo3.model.inventory import Inventory
from nvo3.model.logical import NONE
from nvo3.model.physical import Vport
from nvo3.openflow.decoder import CountedFlow, InstalledFlow, PortStats
from nvo3.openflow.encoder import cookie_of_owner
from nvo3.pipeline import compose
from nvo3.pipeline.flow import Table
from nvo3.tunnels import admitted_from, sent_to

SPOOFED = (Table.PORT_SECURITY, Table.UNDERLAY)  # where what a guest may not send is dropped
TABLES = (*SPOOFED, Table.ADMIT, Table.L2, Table.FLOOD)  # whose flows are read
_UNKNOWN = (1 << 64) - 1  # OpenFlow 1.3.5 section 7.3.5.6: a counter that the switch does not have
_SLICE = 200  # readings between two chances for others


class Tunnel(NamedTuple):
    """source and destination: hypervisors."""

    source: UUID
    destination: UUID
    encapsulation: str


class PortCount(NamedTuple):
    """See `PortStats`."""

    rx_packets: int = 0
    rx_bytes: int = 0
    rx_dropped: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    tx_dropped: int = 0

    @classmethod
    def of(cls, stats: PortStats) -> Self:
        """Return an interface's counters; one that it does not have is 0."""
        counted = (stats.rx_packets, stats.rx_bytes, stats.rx_dropped, stats.tx_packets, stats.tx_bytes, stats.tx_dropped)
        return cls(*(0 if n == _UNKNOWN else n for n in counted))


@dataclass(slots=True)
class PortAccount:
    """last: what each interface that the port has had showed, by hypervisor and OpenFlow port."""

    count: PortCount = PortCount()
    n_spoofed: int = 0
    last: dict[tuple[UUID, int], PortCount] = field(default_factory=dict)


@dataclass(slots=True)
class TunnelAccount:
    """Frames as guests have them.  sent: counted by the source.  received: by the destination."""

    sent_packets: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    received_bytes: int = 0


_NOTHING = PortCount()


class Accounts:
    """ports and tunnels: read by others."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self.ports: dict[UUID, PortAccount] = {}
        self.tunnels: dict[Tunnel, TunnelAccount] = {}
        self._flows: dict[UUID, dict[bytes, tuple[int, int]]] = {}  # by hypervisor: what each flow showed last

    def take(self, hypervisor: UUID, ports: Iterable[PortStats], flows: Iterable[CountedFlow]) -> Iterator[None]:
        """Take a bridge's readings; yields now and then, for the caller to let others run.

        flows: all of `TABLES` that have counted something.
        """
        yield from self._take_ports(hypervisor, ports)
        yield from self._take_flows(hypervisor, flows)

    def forget(self) -> None:
        """Close the accounts of what is gone."""
        for port in self.ports.keys() - self._inventory.ports.keys():
            del self.ports[port]
        hosts = self._inventory.hosts.keys()
        for tunnel in [t for t in self.tunnels if t.source not in hosts or t.destination not in hosts]:
            del self.tunnels[tunnel]
        for hypervisor in self._flows.keys() - hosts:
            del self._flows[hypervisor]

    def _take_ports(self, hypervisor: UUID, ports: Iterable[PortStats]) -> Iterator[None]:
        bound = {vport.ofport: port for port, vport in self._vports(hypervisor)}
        for n, now in enumerate(ports, 1):
            if not n % _SLICE:
                yield
            port = bound.get(now.ofport)
            if port is None or port not in self._inventory.ports:
                continue
            account = self.ports.setdefault(port, PortAccount())
            place, count = (hypervisor, now.ofport), PortCount.of(now)
            before = account.last.get(place, _NOTHING)
            if any(n < m for n, m in zip(count, before, strict=True)):
                before = _NOTHING
            account.last[place] = count
            account.count = PortCount(*(total + n - m for total, n, m in zip(account.count, count, before, strict=True)))

    def _take_flows(self, hypervisor: UUID, flows: Iterable[CountedFlow]) -> Iterator[None]:
        owners = {cookie_of_owner(port): port for port, _ in self._vports(hypervisor)}
        known, seen = self._flows.get(hypervisor, {}), dict[bytes, tuple[int, int]]()
        for n, flow in enumerate(flows, 1):
            if not n % _SLICE:
                yield
                if hypervisor not in self._inventory.hosts:
                    return
            before = known.get(flow.identity, (0, 0))
            seen[flow.identity] = flow.n_packets, flow.n_bytes
            if flow.n_packets == before[0]:
                continue
            if flow.n_packets < before[0]:
                before = (0, 0)
            self._count(hypervisor, owners, flow.decode(), flow.n_packets - before[0], max(flow.n_bytes - before[1], 0))
        self._flows[hypervisor] = seen

    def _count(self, here: UUID, owners: dict[int, UUID], flow: InstalledFlow, n_packets: int, n_bytes: int) -> None:
        if flow.key.table in SPOOFED:
            port = owners.get(flow.cookie)
            if not flow.instructions and port is not None:
                self.ports.setdefault(port, PortAccount()).n_spoofed += n_packets
            return
        encapsulations = {ofport: name for name, ofport in self._inventory.hosts[here].tunnels.items()}
        for ip, name in sent_to(flow, encapsulations):
            there = self._endpoints().get(ip)
            if there is not None:
                account = self.tunnels.setdefault(Tunnel(here, there, name), TunnelAccount())
                account.sent_packets += n_packets
                account.sent_bytes += n_bytes
        tunnel = self._tunnel_to(here, flow)
        if tunnel is not None:
            account = self.tunnels.setdefault(tunnel, TunnelAccount())
            account.received_packets += n_packets
            account.received_bytes += n_bytes

    def _tunnel_to(self, here: UUID, flow: InstalledFlow) -> Tunnel | None:
        """Return the tunnel whose packets a flow admits.

        The flow does not know the encapsulation: it is the one that carries the network between the two now.
        """
        admitted = admitted_from(flow)
        network = self._networks().get(admitted[0]) if admitted is not None else None
        there = self._endpoints().get(admitted[1]) if admitted is not None else None
        if there is None or network is None or there == here:
            return None
        name = compose.encapsulation(self._inventory, self._inventory.networks[network], there, here)
        return Tunnel(there, here, name) if name is not None and name != NONE else None

    def _vports(self, hypervisor: UUID) -> Iterator[tuple[UUID, Vport]]:
        """Yield the ports that are bound at a hypervisor, each with its interface."""
        for network in self._inventory.networks_of(hypervisor):
            for port in self._inventory.hosting(network).get(hypervisor, ()):
                binding = self._inventory.binding(port)
                if binding is not None:
                    yield port, binding.vport

    def _endpoints(self) -> dict[IPv4Address, UUID]:
        """Hypervisors by outer address: their own, and those of vNICs that are plugged in there."""
        found: dict[IPv4Address, UUID] | None = self._inventory.memo.get("endpoints")
        if found is None:
            found = self._inventory.memo["endpoints"] = dict(self._each_endpoint())
        return found

    def _each_endpoint(self) -> Iterator[tuple[IPv4Address, UUID]]:
        inventory = self._inventory
        for network in inventory.networks:
            for port in inventory.vnics_of(network):
                ip, binding = inventory.ports[port].underlay_ip, inventory.binding(port)
                if ip is not None and binding is not None:
                    yield ip, binding.hypervisor
        for hypervisor in inventory.hosts:
            vtep_ip = inventory.vtep_ip(hypervisor)
            if vtep_ip is not None:
                yield vtep_ip, hypervisor

    def _networks(self) -> dict[int, UUID]:
        """Networks by VNI."""
        found: dict[int, UUID] | None = self._inventory.memo.get("vnis")
        if found is None:
            found = self._inventory.memo["vnis"] = {int(row.vni): uuid for uuid, row in self._inventory.networks.items()}
        return found
