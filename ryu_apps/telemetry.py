"""What /metrics says: of the core, as it handles events; of ports and tunnels, as the switches were last asked."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import get_args
from uuid import UUID

from nvo3.accounts import Accounts, PortAccount, Tunnel, TunnelAccount
from nvo3.controller import Bridge, Controller, Event
from nvo3.exposition import Family, escape, labels_of
from nvo3.metrics import Metrics
from nvo3.model.event import (
    FlowsConfirmed,
    FlowsRefused,
    HypervisorChanged,
    NorthboundChanged,
    SwitchConnected,
    SwitchDisconnected,
)
from nvo3.model.status import AgentState, HypervisorState, PortState
from nvo3.openflow.connection import COUNTERS

_PORT_FAMILIES: tuple[tuple[str, str, Callable[[PortAccount], int]], ...] = (
    ("nvo3_port_rx_packets", "Frames from the guest.", lambda a: a.count.rx_packets),
    ("nvo3_port_rx_bytes", "Bytes from the guest.", lambda a: a.count.rx_bytes),
    ("nvo3_port_rx_dropped_packets", "Frames from the guest that the interface dropped.", lambda a: a.count.rx_dropped),
    ("nvo3_port_tx_packets", "Frames to the guest.", lambda a: a.count.tx_packets),
    ("nvo3_port_tx_bytes", "Bytes to the guest.", lambda a: a.count.tx_bytes),
    ("nvo3_port_tx_dropped_packets", "Frames to the guest that the interface dropped.", lambda a: a.count.tx_dropped),
    ("nvo3_port_spoofed_packets", "Frames from the guest that port security dropped.", lambda a: a.n_spoofed),
)
_TUNNEL_FAMILIES: tuple[tuple[str, str, Callable[[TunnelAccount], int]], ...] = (
    ("nvo3_tunnel_sent_packets", "Frames sent into the tunnel.", lambda a: a.sent_packets),
    ("nvo3_tunnel_sent_bytes", "Bytes of the frames sent into the tunnel.", lambda a: a.sent_bytes),
    ("nvo3_tunnel_received_packets", "Frames that came out of the tunnel and were admitted.", lambda a: a.received_packets),
    ("nvo3_tunnel_received_bytes", "Bytes of the frames that came out of the tunnel and were admitted.", lambda a: a.received_bytes),
)


class Telemetry:
    """metrics: for those who have something to count.  accounts: of ports and tunnels, kept by whoever asks the switches."""

    def __init__(self, core: Controller, metrics: Metrics) -> None:
        self.metrics = metrics
        self.accounts = Accounts(core.inventory)
        self._core = core
        self._databases: set[UUID] = set()
        self._changes: deque[tuple[int, float]] = deque()  # epochs that the NB database caused, not realized yet, and since when
        self._blocker: UUID | None = None  # one that the first of them waits for
        metrics.read_counter(
            "nvo3_openflow_protocol_errors", "Connections closed because the peer broke OpenFlow.", lambda: COUNTERS.protocol_errors
        )
        metrics.read_counter(
            "nvo3_openflow_handshake_timeouts", "Connections closed because the peer said nothing.", lambda: COUNTERS.handshake_timeouts
        )

    def read_states(self, hypervisors: Callable[[UUID], HypervisorState], agents: Callable[[], Mapping[str, int]]) -> None:
        """Have objects counted by state at each scrape.  hypervisors: the state of one.  agents: how many in each state."""
        metrics = self.metrics
        metrics.read_states(
            "nvo3_hypervisors", "Hypervisors.", get_args(HypervisorState), lambda: Counter(hypervisors(h) for h in self._core.bridges)
        )
        metrics.read_states("nvo3_ports", "Ports.", get_args(PortState), self._port_states)
        metrics.read_states("nvo3_agents", "Agents of vNICs.", get_args(AgentState), agents)
        metrics.read_gauge("nvo3_networks", "Networks.", lambda: len(self._core.inventory.networks))
        metrics.read_gauge("nvo3_tenants", "Tenants.", lambda: len(self._core.inventory.tenants))
        metrics.read_gauge(
            "nvo3_flows", "Flows that switches should have.", lambda: sum(b.table.n_flows for b in self._core.bridges.values())
        )

    # What the core does.

    def handled(self, event: Event, epoch_before: int, began_at: float, now: float) -> None:
        """The core has handled an event, and its effects are carried out."""
        metrics = self.metrics
        metrics.events.labels(type(event).__name__).inc()
        metrics.event_duration.observe(now - began_at)
        match event:
            case NorthboundChanged():
                if self._core.epoch > epoch_before:
                    self._changes.append((self._core.epoch, began_at))
            case SwitchConnected(dpid) if self._core.knows(dpid):
                metrics.connections.labels("openflow").inc()
            case SwitchDisconnected(dpid) if self._core.knows(dpid):
                metrics.disconnections.labels("openflow").inc()
            case HypervisorChanged(hypervisor, connected):
                self._note_database(hypervisor, connected)
            case FlowsRefused():
                metrics.refusals.inc()
            case FlowsConfirmed():
                pass
            case _:
                return
        self._note_realized(now)

    def _note_database(self, hypervisor: UUID, connected: bool) -> None:
        if connected == (hypervisor in self._databases):
            return
        (self._databases.add if connected else self._databases.discard)(hypervisor)
        (self.metrics.connections if connected else self.metrics.disconnections).labels("ovsdb").inc()

    def _note_realized(self, now: float) -> None:
        while self._changes:
            epoch, began_at = self._changes[0]
            bridge = self._core.bridges.get(self._blocker) if self._blocker is not None else None
            if bridge is not None and self._blocker is not None and not self._is_in_force(self._blocker, bridge, epoch):
                return
            self._blocker = next(self._core.unrealized(epoch), None)
            if self._blocker is not None:
                return
            self._changes.popleft()
            self.metrics.realization.observe(now - began_at)

    def _is_in_force(self, hypervisor: UUID, bridge: Bridge, epoch: int) -> bool:
        return not bridge.connected or bridge.configured and self._core.is_realized(hypervisor, epoch)

    def _port_states(self) -> Mapping[str, int]:
        """Count ports as `Plane.port_status` tells their state, all at once."""
        core, inventory, states = self._core, self._core.inventory, Counter[str]()
        reached = {hypervisor: self._realized_up_to(hypervisor, bridge) for hypervisor, bridge in core.bridges.items()}
        for network in inventory.networks:
            hosting = inventory.hosting(network)
            everywhere = min((reached[h] for h in hosting if core.bridges[h].switch), default=float("inf"))
            bound = 0
            for hypervisor, ports in hosting.items():
                up_to = min(everywhere, reached[hypervisor])
                n_up = sum(core.changed_at(port) <= up_to for port in ports)
                states["up"] += n_up
                states["pending"] += len(ports) - n_up
                bound += len(ports)
            states["unbound"] += len(inventory.ports_of(network)) - bound
        return states

    def _realized_up_to(self, hypervisor: UUID, bridge: Bridge) -> float:
        """Return the last epoch that is in force on a bridge, -1 for none."""
        last = bridge.pending[0] - 1 if bridge.pending else self._core.epoch
        return last if self._core.is_realized(hypervisor, last) else -1

    # Ports and tunnels.

    def families(self) -> Iterator[Family]:
        """Yield the counters of ports and tunnels."""
        ports = list(self._labelled_ports())
        for name, text, value in _PORT_FAMILIES:
            yield Family(name, text, ((labels, value(account)) for labels, account in ports))
        tunnels = list(self._labelled_tunnels())
        for name, text, read in _TUNNEL_FAMILIES:
            yield Family(name, text, ((labels, read(account)) for labels, account in tunnels))

    def _labelled_ports(self) -> Iterable[tuple[str, PortAccount]]:
        inventory = self._core.inventory
        begins = {
            uuid: labels_of(("tenant", "network"), (inventory.tenants[row.tenant].name, row.name)).removesuffix("}")
            for uuid, row in inventory.networks.items()
            if row.tenant in inventory.tenants
        }
        for port, account in self.accounts.ports.items():
            row = inventory.ports.get(port)
            if row is not None and row.network in begins:
                yield f'{begins[row.network]},port="{escape(row.name)}"}}', account

    def _labelled_tunnels(self) -> Iterable[tuple[str, TunnelAccount]]:
        hosts = self._core.inventory.hosts
        for tunnel, account in self.accounts.tunnels.items():
            if tunnel.source in hosts and tunnel.destination in hosts:
                yield _tunnel_labels(tunnel, hosts[tunnel.source].row.name, hosts[tunnel.destination].row.name), account


def _tunnel_labels(tunnel: Tunnel, source: str, destination: str) -> str:
    return labels_of(("from", "to", "encapsulation"), (source, destination, tunnel.encapsulation))
