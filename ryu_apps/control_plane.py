"""`nvo3.api.plane.ControlPlane` on the running core: status, waiting, counters."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any
from uuid import UUID

import eventlet

from nvo3 import tunnels
from nvo3.accounts import SPOOFED
from nvo3.controller import Controller
from nvo3.events import EventLog
from nvo3.model.ids import Dpid, dpid_of
from nvo3.model.status import (
    AgentEntry,
    AgentStatus,
    FlowEntry,
    HypervisorStatus,
    NetworkStatus,
    PortCounters,
    PortStatus,
    TunnelStatus,
)
from nvo3.openflow import comparison, encoder, foreign
from nvo3.openflow.connection import LiveSession
from nvo3.pipeline import compose
from nvo3.tunnels import TunnelTraffic
from ryu_apps.agents import Agents
from ryu_apps.guests import Guests

_NO_HYPERVISOR = HypervisorStatus("connecting", False, 0, None, (), 0)


class Plane:
    """switches: the connections, kept by the context.  agents: the sessions with vNICs.  guests: what they ask.  events: as logged."""

    def __init__(
        self, controller: Controller, switches: Mapping[Dpid, LiveSession], agents: Agents, guests: Guests, events: EventLog
    ) -> None:
        self._core = controller
        self.events = events
        self._agents = agents
        self._guests = guests
        self._switches = switches
        self._changed = eventlet.event.Event()

    def changed(self) -> None:
        """The core has handled an event: wake those who wait."""
        event, self._changed = self._changed, eventlet.event.Event()
        event.send()

    # Status.

    def hypervisor_status(self, hypervisor: UUID) -> HypervisorStatus:
        """See `ControlPlane`."""
        bridge = self._core.bridges.get(hypervisor)
        if bridge is None:
            return _NO_HYPERVISOR
        inventory = self._core.inventory
        host = inventory.hosts[hypervisor]
        vtep_ip = inventory.vtep_ip(hypervisor)
        detail = bridge.refused or bridge.detail
        if vtep_ip is None and host.view.vtep_ip is not None:
            detail = detail or f"nvo3-vtep-ip {host.view.vtep_ip} belongs to another hypervisor"
        connected = bridge.connected and bridge.switch
        offered = tuple(e for e in inventory.encapsulation_order if e in host.tunnels)
        state = _state(bridge.connected, bridge.switch and bridge.synced and vtep_ip is not None, detail)
        n_ports = sum(len(inventory.hosting(network)[hypervisor]) for network in inventory.networks_of(hypervisor))
        n_flows, mtu = bridge.table.n_flows, host.view.underlay_mtu
        return HypervisorStatus(state, connected, dpid_of(hypervisor), vtep_ip, offered, n_flows, detail, n_ports, mtu)

    def network_status(self, network: UUID) -> NetworkStatus:
        """See `ControlPlane`."""
        inventory = self._core.inventory
        row = inventory.networks.get(network)
        if row is None:
            return NetworkStatus((), ())
        names = sorted((inventory.hosts[h].row.name, h) for h in inventory.hosting(network))
        pairs = tuple((a, b, compose.encapsulation(inventory, row, here, there)) for (a, here), (b, there) in combinations(names, 2))
        problems = (compose.problem(inventory, row, here, there) for (_, here), (_, there) in combinations(names, 2))
        return NetworkStatus(tuple(n for n, _ in names), pairs, next(filter(None, problems), ""))

    def port_status(self, port: UUID) -> PortStatus:
        """See `ControlPlane`."""
        inventory = self._core.inventory
        binding, row = inventory.binding(port), inventory.ports.get(port)
        if binding is None or row is None:
            return PortStatus("unbound")
        epoch = self._core.changed_at(port)
        hosting = inventory.hosting(row.network)
        connected = [h for h in hosting if self._core.bridges[h].switch or h == binding.hypervisor]
        up = all(self._core.is_realized(h, epoch) for h in connected)
        others = [inventory.hosts[h].row.name for h in inventory.claims(port) if h != binding.hypervisor]
        detail = f"also plugged in at {', '.join(others)}" if others else ""
        name = inventory.hosts[binding.hypervisor].row.name
        return PortStatus("up" if up else "pending", name, binding.vport.interface, binding.vport.ofport, detail)

    def agent_status(self, port: UUID) -> AgentStatus | None:
        """See `ControlPlane`."""
        return self._agents.status(port)

    def agent_table(self, port: UUID, timeout_s: float) -> tuple[AgentEntry, ...] | None:
        """See `ControlPlane`."""
        return self._agents.table(port, timeout_s)

    # Waiting.

    def wait_realized(self, timeout_s: float) -> tuple[str, ...]:
        """See `ControlPlane`."""
        epoch = self._core.epoch

        def missing() -> tuple[str, ...]:
            return tuple(self._core.inventory.hosts[h].row.name for h in self._core.unrealized(epoch))

        self._wait(lambda: not missing(), timeout_s)
        return missing()

    def wait_port_up(self, port: UUID, timeout_s: float) -> PortStatus:
        """See `ControlPlane`."""
        self._wait(lambda: self.port_status(port).state == "up", timeout_s)
        return self.port_status(port)

    def wait_hypervisor_connected(self, hypervisor: UUID, timeout_s: float) -> HypervisorStatus:
        """See `ControlPlane`."""

        def ready() -> bool:
            status = self.hypervisor_status(hypervisor)
            return status.state == "connected" and self._core.is_realized(hypervisor, self._core.epoch)

        self._wait(ready, timeout_s)
        return self.hypervisor_status(hypervisor)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> None:
        with eventlet.Timeout(timeout_s, False):
            while not condition():
                self._changed.wait()

    # Counters.

    def port_counters(self, port: UUID, timeout_s: float) -> PortCounters | None:
        """See `ControlPlane`."""
        binding = self._core.inventory.binding(port)
        switch = self._switches.get(dpid_of(binding.hypervisor)) if binding is not None else None
        if binding is None or switch is None:
            return None
        session, cookie = switch.session, encoder.cookie_of_owner(port)
        requests = [session.request_port(binding.vport.ofport), session.request_flows(cookie)]
        answers = switch.ask(requests, timeout_s)
        if answers is None or not answers[0].ports:
            return None
        counted, flows = answers[0].ports[0], answers[1].flows
        spoofed = sum(f.n_packets for f in flows if f.key.table in SPOOFED and not f.instructions)
        return PortCounters(
            counted.rx_packets,
            counted.rx_bytes,
            counted.tx_packets,
            counted.tx_bytes,
            counted.rx_dropped,
            counted.tx_dropped,
            spoofed,
            self._guests.outcomes(port),
        )

    # Flows and tunnels.

    def flows(self, hypervisor: UUID, owner: UUID | None, timeout_s: float) -> tuple[FlowEntry, ...] | None:
        """See `ControlPlane`."""
        bridge, switch = self._core.bridges.get(hypervisor), self._switches.get(dpid_of(hypervisor))
        if bridge is None or switch is None:
            return None
        session = switch.session
        request = session.request_all_flows() if owner is None else session.request_flows(encoder.cookie_of_owner(owner))
        answers = switch.ask([request], timeout_s)
        if answers is None:
            return None
        desired = [flow for flow in bridge.table if owner is None or flow.owner == owner]
        return comparison.compare(desired, answers[0].flows, eventlet.sleep)

    def tunnels(self, timeout_s: float) -> tuple[TunnelStatus, ...]:
        """See `ControlPlane`."""
        inventory = self._core.inventory
        hypervisors = {h: switch for h in inventory.hosts if (switch := self._switches.get(dpid_of(h))) is not None}
        asked = {
            h: eventlet.spawn(switch.ask, [switch.session.request_table(table) for table in tunnels.TABLES], timeout_s)
            for h, switch in hypervisors.items()
        }
        found: dict[UUID, TunnelTraffic] = {}
        for hypervisor, thread in asked.items():
            answers = thread.wait()
            bridge, host = self._core.bridges.get(hypervisor), inventory.hosts.get(hypervisor)
            if bridge is None or host is None or answers is None:
                continue
            installed = [flow for answer in answers for flow in answer.flows]
            names = {ofport: name for name, ofport in host.tunnels.items()}
            found[hypervisor] = tunnels.traffic(installed, names)
            eventlet.sleep(0)
        return tunnels.between(inventory, found)

    def remove_foreign_flows(self, hypervisor: UUID) -> bool:
        """See `ControlPlane`."""
        switch = self._switches.get(dpid_of(hypervisor))
        if switch is not None:
            foreign.remove(switch)
        return switch is not None


def _state(database: bool, ready: bool, detail: str) -> Any:
    if not database:
        return "connecting"
    if ready:
        return "connected"
    return "error" if detail else "configuring"
