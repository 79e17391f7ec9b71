"""The core: `handle(event, now)` takes what happened and returns what to do.  No I/O, no clock.

Incremental: an event marks the parts (`pipeline.compose.Part`) of the bridges that it concerns, these are computed again, and the
difference goes to each bridge as one change.  Every batch of changes has a number, the epoch; an object is realized when no bridge that
it concerns has a change of that epoch or before still to confirm.

After a start nothing is taken from a bridge before all hypervisors have reported, or had their time: what this controller does not know yet
is not what nobody wants.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

from nvo3.model.event import (
    FlowsConfirmed,
    FlowsRefused,
    HypervisorChanged,
    Kind,
    NorthboundChanged,
    SwitchConnected,
    SwitchDisconnected,
    Tick,
    VnicReported,
)
from nvo3.model.ids import Dpid, dpid_of
from nvo3.model.inventory import Binding, Inventory
from nvo3.model.logical import NONE, Network, Port, Settings, Tenant
from nvo3.model.physical import Hypervisor, HypervisorView
from nvo3.pipeline import compose
from nvo3.pipeline.compose import Kind as PartKind
from nvo3.pipeline.compose import Part
from nvo3.pipeline.diff import FlowTable
from nvo3.pipeline.flow import FlowKey, FlowSpec
from nvo3.pipeline.vnic import VnicRule
from nvo3.vnics import VnicEffect, Vnics

SETTLE_S = 3.0  # how long after a start a hypervisor has to report
RETRY_S = 2.0  # how long after a refusal a bridge is read and brought up to date again

Event = NorthboundChanged | HypervisorChanged | SwitchConnected | SwitchDisconnected | FlowsConfirmed | FlowsRefused | VnicReported | Tick


@dataclass(frozen=True, slots=True)
class ConnectHypervisor:
    """Keep a connection to a hypervisor's database; replaces one to another remote."""

    hypervisor: Hypervisor
    dpid: Dpid


@dataclass(frozen=True, slots=True)
class DisconnectHypervisor:
    """The hypervisor is no longer ours: take back what was configured there, and let go."""

    hypervisor: UUID


@dataclass(frozen=True, slots=True)
class ConfigureBridge:
    """How br-int is to be.  patch: joined to br-phy.  sclp_payload: what its tunnels of SCLP carry.

    Which of its ports belong to vNICs that encapsulate, `Controller.encapsulates` tells.
    """

    hypervisor: UUID
    patch: bool
    sclp_payload: str


@dataclass(frozen=True, slots=True)
class RememberView:
    """Store what a hypervisor told, for a controller that starts when it cannot be asked."""

    hypervisor: UUID
    view: HypervisorView


@dataclass(frozen=True, slots=True)
class Advertise:
    """Tell a network's guests what it is now, by router advertisements.

    before, router_before: what they were told, where that has changed.
    """

    network: UUID
    before: Network | None = None
    router_before: Port | None = None


@dataclass(frozen=True, slots=True)
class SyncSwitch:
    """Read a bridge's flows and bring them to `Controller.desired_flows`."""

    dpid: Dpid


@dataclass(frozen=True, slots=True)
class ChangeFlows:
    """Change a bridge's flows, all at once."""

    dpid: Dpid
    adds: tuple[FlowSpec, ...]
    deletes: tuple[FlowKey, ...]
    epoch: int


@dataclass(frozen=True, slots=True)
class PortMoved:
    """A port is bound elsewhere, or nowhere, or somewhere at last."""

    port: UUID


Effect = (
    PortMoved
    | ConnectHypervisor
    | DisconnectHypervisor
    | ConfigureBridge
    | RememberView
    | Advertise
    | SyncSwitch
    | ChangeFlows
    | VnicEffect
)


@dataclass(slots=True)
class Bridge:
    """br-int of one hypervisor, as the core follows it.

    table: its desired flows, but for the dirty parts, which are computed when its switch is there to be told.
    reported: its database has told a view, or why not.  live: it has told one to this controller.  pending: epochs sent and
    not confirmed.  synced: between the end of a reading and the next refusal or disconnection.  configured: what was last written into its
    database is in force.
    """

    dpid: Dpid
    table: FlowTable[FlowSpec] = field(default_factory=FlowTable)
    dirty: set[Part] = field(default_factory=set)
    connected: bool = False  # database
    reported: bool = False
    live: bool = False
    configured: bool = True
    switch: bool = False  # OpenFlow
    synced: bool = False
    pending: deque[int] = field(default_factory=deque)
    detail: str = ""
    refused: str = ""
    retry_at: float | None = None


class Controller:
    """Not re-entrant: one thread calls `handle`."""

    def __init__(self) -> None:
        self.inventory = Inventory()
        self.bridges: dict[UUID, Bridge] = {}
        self.epoch = 0
        self.n_computed = 0  # parts computed, ever
        self._by_dpid: dict[Dpid, UUID] = {}
        self._changed_at: dict[UUID, int] = {}  # port -> epoch of the last change that concerns it
        self._dirty: dict[UUID, set[Part]] = {}
        self._effects: list[Effect] = []
        self.vnics = Vnics(self.inventory, self._mark)
        self._patch_wanted = False
        self._payload_wanted = self.inventory.sclp_payload
        self._settled = False
        self._settle_at: float | None = None
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            NorthboundChanged: self._handle_northbound,
            HypervisorChanged: self._handle_hypervisor,
            SwitchConnected: self._handle_switch_connected,
            SwitchDisconnected: self._handle_switch_disconnected,
            FlowsConfirmed: self._handle_confirmed,
            FlowsRefused: self._handle_refused,
            VnicReported: self._handle_vnic,
            Tick: self._handle_tick,
        }

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take an event.  now: seconds, monotonic.  Return the effects, in the order in which they must happen."""
        self._handlers[type(event)](event, now)
        if not self._settled:
            self._try_settle(now)
        self._flush()
        effects, self._effects = self._effects, []
        return effects

    # What the shell asks.

    def desired_flows(self, dpid: Dpid) -> tuple[Iterable[FlowSpec], int]:
        """Return what a bridge should have now, and the epoch of that; the bridge counts as synced from here on."""
        hypervisor = self._by_dpid[dpid]
        bridge = self.bridges[hypervisor]
        self._compute(hypervisor, bridge)
        bridge.synced = True
        bridge.pending = deque([self.epoch])
        return bridge.table, self.epoch

    def desired_rules(self, port: UUID) -> tuple[Iterable[VnicRule], int]:
        """Return what a vNIC that was started should have now, and the epoch of that."""
        return self.vnics.desired(port), self.epoch

    def guest_at(self, dpid: Dpid, ofport: int) -> tuple[Network, Port] | None:
        """Return whose packets come in by a port of a bridge, None where no port of ours is bound there."""
        hypervisor = self._by_dpid.get(dpid)
        port = self.inventory.port_at(hypervisor, ofport) if hypervisor is not None else None
        if port is None:
            return None
        row = self.inventory.ports[port]
        return self.inventory.networks[row.network], row

    def knows(self, dpid: Dpid) -> bool:
        """Tell whether a bridge belongs to a registered hypervisor."""
        return dpid in self._by_dpid

    def hypervisor_of(self, dpid: Dpid) -> UUID | None:
        """Return the hypervisor of a bridge, None where it is not registered."""
        return self._by_dpid.get(dpid)

    def encapsulates(self, port: UUID) -> bool:
        """Tell whether the vNIC of a port is to encapsulate."""
        row = self.inventory.ports.get(port)
        return row is not None and row.offload != NONE

    def is_plain(self, dpid: Dpid, ofport: int) -> bool:
        """Tell whether a port of a bridge is known to be a guest's whose vNIC is not to encapsulate."""
        hypervisor = self._by_dpid.get(dpid)
        if hypervisor is None or not (self._settled and self.bridges[hypervisor].live):
            return False
        ports = (port for port, vport in self.inventory.hosts[hypervisor].vports.items() if vport.ofport == ofport)
        port = next(ports, None)
        binding = self.inventory.binding(port) if port is not None else None
        return port is not None and binding is not None and binding.hypervisor == hypervisor and not self.encapsulates(port)

    def unrealized(self, epoch: int) -> Iterator[UUID]:
        """Yield the connected hypervisors on which changes up to an epoch are not in force yet."""
        return (h for h, b in self.bridges.items() if b.connected and not (b.configured and self.is_realized(h, epoch)))

    def is_realized(self, hypervisor: UUID, epoch: int) -> bool:
        """Tell whether all changes up to an epoch are in force on a bridge."""
        bridge = self.bridges[hypervisor]
        host = self.inventory.hosts[hypervisor]
        if self._patch_wanted and host.view.patch_ofport is None and self._hosts_flat(hypervisor):
            return False
        return bridge.switch and bridge.synced and not (bridge.pending and bridge.pending[0] <= epoch)

    def changed_at(self, port: UUID) -> int:
        """Return the epoch of the last change that concerns a port."""
        return self._changed_at.get(port, 0)

    def _hosts_flat(self, hypervisor: UUID) -> bool:
        return self.inventory.flat_network in self.inventory.networks_of(hypervisor)

    # The NB database.

    def _handle_northbound(self, event: NorthboundChanged, now: float) -> None:
        if self._settle_at is None:
            self._settle_at = now + SETTLE_S
        flat_before = self.inventory.flat_network
        # Children go before their parents, and come after them.
        order: tuple[Kind, ...] = ("port", "network", "tenant", "hypervisor")
        for kind, uuid in sorted(event.deleted, key=lambda d: order.index(d[0])):
            self._delete(kind, uuid)
        types = (Settings, Hypervisor, Tenant, Network, Port)
        for row in sorted(event.upserted, key=lambda r: types.index(type(r))):
            self._upsert(row)
        if self.inventory.flat_network != flat_before:  # another one has, or had, the patch to the underlay
            for network in self.inventory.networks.keys() & {flat_before, self.inventory.flat_network}:
                self._mark_network(network)
        self._follow_bridge()

    def _delete(self, kind: Kind, uuid: UUID) -> None:
        match kind:
            case "port":
                self._delete_port(uuid)
            case "network":
                self._mark_network(uuid)
                self.inventory.remove_network(uuid)
            case "tenant":
                self.inventory.tenants.pop(uuid, None)
            case "hypervisor":
                self._delete_hypervisor(uuid)

    def _upsert(self, row: Tenant | Network | Port | Hypervisor | Settings) -> None:
        match row:
            case Settings():
                self._upsert_settings(row)
            case Tenant():
                self.inventory.tenants[row.uuid] = row
            case Network():
                self._upsert_network(row)
            case Port():
                self._upsert_port(row)
            case Hypervisor():
                self._upsert_hypervisor(row)

    def _upsert_settings(self, row: Settings) -> None:
        before = self.inventory.encapsulation_order, self.inventory.sclp_payload
        self.inventory.put_settings(row)
        if (row.encapsulation_order, row.sclp_payload) != before:
            for network in self.inventory.networks:
                self._mark_network(network)

    def _upsert_network(self, row: Network) -> None:
        before = self.inventory.networks.get(row.uuid)
        router = self.inventory.router_of(before) if before is not None else None
        self.inventory.put_network(row)
        self._mark_network(row.uuid)
        if before is not None and row.configures(6) and _advertised(before) != _advertised(row):
            self._effects.append(Advertise(row.uuid, before, router))

    def _follow_router(self, network: UUID, *ports: Port | None) -> Callable[[], None]:
        """Take note of a network's router before these ports change; call what it returns afterwards."""
        row = self.inventory.networks.get(network)
        gateways = set(row.gateways) if row is not None else set()
        if row is None or not any(port is not None and gateways & set(port.addresses) for port in ports):
            return lambda: None
        router = self.inventory.router_of(row)

        def changed() -> None:
            if self.inventory.router_of(row) != router and row.configures(6):
                self._effects.append(Advertise(network, None, router))

        return changed

    def _upsert_port(self, row: Port) -> None:
        before = self.inventory.ports.get(row.uuid)
        if before is not None and before.network != row.network:
            self._delete_port(row.uuid)
        encapsulated = self.encapsulates(row.uuid)
        router_changed = self._follow_router(row.network, before, row)
        self.inventory.put_port(row)
        router_changed()
        self._rebind(row.uuid)
        self._mark_port(row)
        if self.encapsulates(row.uuid) != encapsulated:
            self._configure_claimed(row.uuid)

    def _delete_port(self, port: UUID) -> None:
        row = self.inventory.ports.get(port)
        if row is None:
            return
        self._mark_port(row)
        router_changed = self._follow_router(row.network, row)
        before = self.inventory.unbind(port)
        self._mark_moved(row, before, None)
        self.inventory.remove_port(port)
        router_changed()
        if row.offload != NONE:
            self._configure_claimed(port)
        self._changed_at.pop(port, None)

    def _upsert_hypervisor(self, row: Hypervisor) -> None:
        known = self.inventory.hosts.get(row.uuid)
        self.inventory.put_hypervisor(row)
        dpid = dpid_of(row.uuid)
        if known is None:
            self.bridges[row.uuid] = Bridge(dpid)
            self._by_dpid[dpid] = row.uuid
            self._mark(row.uuid, compose.BASE)
        if row.seen is not None and not self.bridges[row.uuid].live:
            self._set_view(row.uuid, row.seen)
        if known is None or known.row.remote != row.remote:
            self._effects.append(ConnectHypervisor(row, dpid))
            self._configure(row.uuid)

    def _delete_hypervisor(self, hypervisor: UUID) -> None:
        if hypervisor not in self.bridges:
            return
        self._set_view(hypervisor, HypervisorView(None, (), None, ()))
        self.inventory.remove_hypervisor(hypervisor)
        self._dirty.pop(hypervisor, None)
        bridge = self.bridges.pop(hypervisor)
        del self._by_dpid[bridge.dpid]
        self._effects.append(DisconnectHypervisor(hypervisor))

    def _follow_bridge(self) -> None:
        patch = self.inventory.flat_network is not None or self.inventory.any_offloaded
        payload = self.inventory.sclp_payload
        if (patch, payload) != (self._patch_wanted, self._payload_wanted):
            self._patch_wanted, self._payload_wanted = patch, payload
            for hypervisor in self.bridges:
                self._configure(hypervisor)

    def _configure_claimed(self, port: UUID) -> None:
        """Configure anew where an interface is plugged in for a port."""
        for hypervisor in self.inventory.claims(port):
            self._configure(hypervisor)

    def _configure(self, hypervisor: UUID) -> None:
        self._effects.append(ConfigureBridge(hypervisor, self._patch_wanted, self._payload_wanted))

    # Hypervisors.

    def _handle_hypervisor(self, event: HypervisorChanged, now: float) -> None:
        bridge = self.bridges.get(event.hypervisor)
        if bridge is None:
            return
        bridge.connected, bridge.detail, bridge.configured = event.connected, event.detail, event.configured
        bridge.reported = bridge.reported or event.view is not None or bool(event.detail)
        if event.view is not None:
            bridge.live = True
            self._set_view(event.hypervisor, event.view)
            if event.view != self.inventory.hosts[event.hypervisor].row.seen:
                self._effects.append(RememberView(event.hypervisor, event.view))

    def _set_view(self, hypervisor: UUID, view: HypervisorView) -> None:
        before = self.inventory.hosts[hypervisor].view
        if view == before:
            return
        ips = {ip for ip in (before.vtep_ip, view.vtep_ip) if ip is not None}
        vteps_before = self._vteps(ips)
        changed = self.inventory.set_view(hypervisor, view)
        vteps = self._vteps(ips)
        moved = {h for h in vteps_before.keys() | vteps.keys() if vteps_before.get(h) != vteps.get(h)}
        if (before.tunnels, before.patch_ofport) != (view.tunnels, view.patch_ofport):
            self._mark(hypervisor, compose.TUNNELS)
            moved.add(hypervisor)
        if (before.underlay_mtu, before.underlay_mac) != (view.underlay_mtu, view.underlay_mac):
            moved.add(hypervisor)
        if before.patch_ofport != view.patch_ofport:
            self._mark_vnics(hypervisor)
        for other in moved:
            self._mark_paths(other)
        for port in changed:
            self._rebind(port)

    def _vteps(self, ips: set[IPv4Address]) -> dict[UUID, IPv4Address | None]:
        """Hypervisors that claim one of these addresses, and what each of them may use: an address has one owner."""
        hosts = self.inventory.hosts
        return {h: self.inventory.vtep_ip(h) for h, host in hosts.items() if host.view.vtep_ip in ips}

    def _rebind(self, port: UUID) -> None:
        before, after = self.inventory.bind(port)
        if before != after:
            self._mark_moved(self.inventory.ports[port], before, after)

    # Switches.

    def _handle_switch_connected(self, event: SwitchConnected, now: float) -> None:
        hypervisor = self._by_dpid.get(event.dpid)
        if hypervisor is None:
            return
        bridge = self.bridges[hypervisor]
        bridge.switch, bridge.synced, bridge.refused, bridge.retry_at = True, False, "", None
        bridge.pending.clear()
        if self._settled:
            self._effects.append(SyncSwitch(event.dpid))

    def _handle_switch_disconnected(self, event: SwitchDisconnected, now: float) -> None:
        hypervisor = self._by_dpid.get(event.dpid)
        if hypervisor is not None:
            bridge = self.bridges[hypervisor]
            bridge.switch = bridge.synced = False
            bridge.pending.clear()
            bridge.retry_at = None

    def _handle_confirmed(self, event: FlowsConfirmed, now: float) -> None:
        hypervisor = self._by_dpid.get(event.dpid)
        if hypervisor is None:
            return
        bridge = self.bridges[hypervisor]
        bridge.refused = ""
        while bridge.pending and bridge.pending[0] <= event.epoch:
            bridge.pending.popleft()

    def _handle_refused(self, event: FlowsRefused, now: float) -> None:
        hypervisor = self._by_dpid.get(event.dpid)
        if hypervisor is None:
            return
        bridge = self.bridges[hypervisor]
        bridge.synced, bridge.refused = False, event.detail
        if bridge.retry_at is None:
            bridge.retry_at = now + RETRY_S

    def _handle_vnic(self, event: VnicReported, now: float) -> None:
        self.vnics.handle_reported(event)

    def _handle_tick(self, event: Tick, now: float) -> None:
        for bridge in self.bridges.values():
            if bridge.retry_at is not None and now >= bridge.retry_at:
                bridge.retry_at = None
                self._effects.append(SyncSwitch(bridge.dpid))

    def _try_settle(self, now: float) -> None:
        if self._settle_at is None:
            return
        if now < self._settle_at and not all(b.reported for b in self.bridges.values()):
            return
        self._settled = True
        for port in list(self.inventory.sort_claims()):
            self._rebind(port)
        self._effects += [SyncSwitch(b.dpid) for b in self.bridges.values() if b.switch]

    # Which parts an event concerns.

    def _mark(self, hypervisor: UUID, *parts: Part) -> None:
        self._dirty.setdefault(hypervisor, set()).update(parts)

    def _mark_vnics(self, hypervisor: UUID) -> None:
        """The patch to the underlay has come or gone."""
        for network in self.inventory.networks_of(hypervisor):
            for port in self.inventory.hosting(network)[hypervisor]:
                if self.inventory.ports[port].offload != NONE:
                    self._mark_port(self.inventory.ports[port])

    def _mark_network(self, network: UUID) -> None:
        self.vnics.mark_network(network)
        for hypervisor in self.inventory.hosting(network):
            self._mark_membership(hypervisor, network)

    def _mark_membership(self, hypervisor: UUID, network: UUID) -> None:
        """All of a network on one bridge: what is there, and what should be."""
        hosting = self.inventory.hosting(network)
        parts: set[Part] = set(self.bridges[hypervisor].table.parts_of(network))
        if hypervisor in hosting:
            parts |= {Part(PartKind.NETWORK, network), Part(PartKind.FLOOD, network)}
            parts |= {Part(PartKind.PEER, network, peer) for peer in hosting}
            for port in self.inventory.ports_of(network):
                parts |= self._parts_of_port(network, port)
        self._mark(hypervisor, *parts)

    @staticmethod
    def _parts_of_port(network: UUID, port: UUID) -> set[Part]:
        kinds = (PartKind.LOCAL, PartKind.REMOTE, PartKind.ANSWERS)
        return {Part(kind, network, port) for kind in kinds}

    def _mark_port(self, port: Port) -> None:
        self.vnics.mark_port(port.network, port.uuid)
        for hypervisor in self.inventory.hosting(port.network):
            self._mark(hypervisor, *self._parts_of_port(port.network, port.uuid))

    def _mark_moved(self, port: Port, before: Binding | None, after: Binding | None) -> None:
        """A port's binding has changed, the inventory has it already."""
        network, hosting = port.network, self.inventory.hosting(port.network)
        self._effects.append(PortMoved(port.uuid))
        self.vnics.mark_port(network, port.uuid)
        ends = {b.hypervisor for b in (before, after) if b is not None}
        for end in ends:
            n_here = len(hosting.get(end, ()))
            arrived = after is not None and after.hypervisor == end and n_here == 1
            if n_here == 0 or arrived:
                self._mark_membership(end, network)
                self.vnics.mark_hypervisor(network, end)
                for other in hosting:
                    self._mark(other, Part(PartKind.PEER, network, end), Part(PartKind.FLOOD, network))
            else:
                self._mark(end, Part(PartKind.FLOOD, network))
        for hypervisor in hosting:
            self._mark(hypervisor, Part(PartKind.LOCAL, network, port.uuid), Part(PartKind.REMOTE, network, port.uuid))

    def _mark_paths(self, hypervisor: UUID) -> None:
        """How a hypervisor is reached, or reaches others, has changed."""
        for network in self.inventory.networks_of(hypervisor):
            hosting = self.inventory.hosting(network)
            self.vnics.mark_hypervisor(network, hypervisor)
            self._mark(hypervisor, Part(PartKind.NETWORK, network))
            for other in hosting:
                self._mark(other, Part(PartKind.FLOOD, network), Part(PartKind.PEER, network, hypervisor))
                reached = self.inventory.ports_of(network) if other == hypervisor else hosting[hypervisor]
                self._mark(other, *(Part(PartKind.REMOTE, network, port) for port in reached))

    # From parts to effects.

    def _flush(self) -> None:
        self._effects += self.vnics.settle()
        if not self._dirty and not self.vnics.is_dirty:
            return
        self.epoch += 1
        self._effects += self.vnics.flush(self.epoch)
        for hypervisor, parts in self._dirty.items():
            bridge = self.bridges[hypervisor]
            bridge.dirty |= parts
            self._changed_at.update((p.subject, self.epoch) for p in parts if p.subject in self.inventory.ports)
            if not bridge.synced:
                continue
            adds, deletes = self._compute(hypervisor, bridge)
            if adds or deletes:
                bridge.pending.append(self.epoch)
                self._effects.append(ChangeFlows(bridge.dpid, tuple(adds), tuple(deletes), self.epoch))
        self._dirty.clear()

    def _compute(self, hypervisor: UUID, bridge: Bridge) -> tuple[list[FlowSpec], list[FlowKey]]:
        """Compute a bridge's dirty parts; return the flows to add or replace, and the keys to delete."""
        parts, bridge.dirty = bridge.dirty, set()
        self.n_computed += len(parts)
        return bridge.table.replace([(p, compose.compute(self.inventory, hypervisor, p)) for p in parts])


def _advertised(network: Network) -> object:
    """Return what of a network guests are told by router advertisements."""
    return network.dhcp, network.pools, network.gateways, network.dns_servers, network.domain, network.mtu
