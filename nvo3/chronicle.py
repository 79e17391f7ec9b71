"""Which of the core's events users want to hear of, and in which words.  No I/O, no clock."""

from collections.abc import Callable
from uuid import UUID

from nvo3.controller import Controller, Event
from nvo3.events import EventLog
from nvo3.model.event import (
    FlowsConfirmed,
    FlowsRefused,
    HypervisorChanged,
    NorthboundChanged,
    SwitchConnected,
    SwitchDisconnected,
    VnicReported,
)
from nvo3.model.inventory import Binding
from nvo3.model.logical import Settings
from nvo3.model.physical import Hypervisor
from nvo3.model.status import HypervisorStatus


class Chronicle:
    """hypervisor_status: as the API has it.  Calls `foresee` before the core handles an event, `note` after."""

    def __init__(self, core: Controller, log: EventLog, hypervisor_status: Callable[[UUID], HypervisorStatus]) -> None:
        self._core = core
        self._log = log
        self._status = hypervisor_status
        self._before: dict[UUID, str] = {}  # what an update of the NB database is about and was there -> name
        self._states: dict[UUID, tuple[str, str]] = {}  # hypervisor -> state, detail
        self._agents: set[UUID] = set()  # ports
        self._bound: dict[UUID, Binding] = {}
        self._started = False

    def foresee(self, event: Event) -> None:
        """Keep the names of what may be gone afterwards."""
        if isinstance(event, NorthboundChanged):
            uuids = [uuid for _, uuid in event.deleted] + [row.uuid for row in event.upserted if not isinstance(row, Settings)]
            self._before = {uuid: name for uuid in uuids if (name := self._name(uuid)) is not None}

    def note(self, event: Event) -> None:
        """Write down what an event has brought."""
        match event:
            case NorthboundChanged():
                self._note_northbound(event)
            case HypervisorChanged(hypervisor):
                self._note_hypervisor(hypervisor)
            case SwitchConnected(dpid) | SwitchDisconnected(dpid) | FlowsConfirmed(dpid) | FlowsRefused(dpid):
                self._note_hypervisor(self._core.hypervisor_of(dpid))
            case VnicReported(port, encapsulations):
                self._note_agent(port, encapsulations is not None)

    def note_binding(self, port: UUID) -> None:
        """Write down where a port is bound, if that has changed."""
        before, after = self._bound.pop(port, None), self._core.inventory.binding(port)
        if after is not None:
            self._bound[port] = after
        name = self._name(port)
        if before == after or name is None:  # it has gone, which says it all
            return
        if after is None:
            self._log.add("port", "unbound", name)
        else:
            self._log.add("port", "bound", name, f"{self._name(after.hypervisor)}, {after.vport.interface}")

    def _name(self, uuid: UUID) -> str | None:
        inventory = self._core.inventory
        if (port := inventory.ports.get(uuid)) is not None:
            return f"{self._name(port.network)}/{port.name}"
        if (network := inventory.networks.get(uuid)) is not None:
            return f"{self._name(network.tenant)}/{network.name}"
        if (tenant := inventory.tenants.get(uuid)) is not None:
            return tenant.name
        host = inventory.hosts.get(uuid)
        return host.row.name if host is not None else None

    def _note_northbound(self, event: NorthboundChanged) -> None:
        before, self._before = self._before, {}
        for kind, uuid in event.deleted:
            self._states.pop(uuid, None)
            self._agents.discard(uuid)
            if uuid in before:
                self._log.add(kind, "deleted", before[uuid])
        for row in event.upserted if self._started else ():  # what was there at the start is no news
            if isinstance(row, Settings):
                self._log.add("settings", "changed", "")
                continue
            name, old = self._name(row.uuid), before.get(row.uuid)
            if name is None or isinstance(row, Hypervisor) and name == old:  # what a hypervisor told is stored in its row, too
                continue
            detail = f"was {old}" if old is not None and old != name else ""
            self._log.add(type(row).__name__.lower(), "created" if old is None else "changed", name, detail)
        self._started = True

    def _note_hypervisor(self, hypervisor: UUID | None) -> None:
        name = self._name(hypervisor) if hypervisor is not None else None
        if hypervisor is None or name is None:
            return
        status = self._status(hypervisor)
        now = status.state, status.detail
        if self._states.get(hypervisor, ("connecting", "")) != now:
            self._states[hypervisor] = now
            self._log.add("hypervisor", status.state, name, status.detail)

    def _note_agent(self, port: UUID, is_there: bool) -> None:
        name = self._name(port)
        if name is None or is_there == (port in self._agents):
            return
        (self._agents.add if is_there else self._agents.discard)(port)
        self._log.add("agent", "connected" if is_there else "absent", name)
