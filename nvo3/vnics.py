"""The part of the core that follows vNICs that encapsulate: their rules, and what their agents have of them.  No I/O, no clock.

A vNIC is there while its port is bound where a patch leads to the underlay; whoever speaks to its agent is told by `StartVnic` and
`StopVnic`, and gets its rules by `Vnics.desired` and `ChangeRules`.  Nothing is sent to a vNIC through a tunnel before its agent has
confirmed the rule that takes it: until then, and when the agent is gone, the hypervisor's switch decapsulates for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

from nvo3.model.event import VnicReported
from nvo3.model.ids import Dpid, Mac, dpid_of
from nvo3.model.inventory import Agent, Inventory
from nvo3.pipeline import compose
from nvo3.pipeline.compose import Kind, Part
from nvo3.pipeline.diff import FlowTable
from nvo3.pipeline.vnic import VnicRule


@dataclass(frozen=True, slots=True)
class Place:
    """Where a vNIC is, and how it is to be.

    ofport: on the bridge.  underlay_ip: its tunnel endpoint.  underlay_mtu: bytes of IP that its link is to carry.
    """

    dpid: Dpid
    ofport: int
    mac: Mac
    underlay_ip: IPv4Address
    underlay_mtu: int


@dataclass(frozen=True, slots=True)
class StartVnic:
    """Speak to the agent of a port's vNIC, from now on at this place."""

    port: UUID
    place: Place


@dataclass(frozen=True, slots=True)
class StopVnic:
    """There is no such vNIC any more; its agent is told to forget what it has, before the hypervisor stops taking tunnel packets."""

    port: UUID


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """Change the rules of a vNIC.  deletes: keys of rules."""

    port: UUID
    adds: tuple[VnicRule, ...]
    deletes: tuple[Any, ...]
    epoch: int


VnicEffect = StartVnic | StopVnic | ChangeRules


@dataclass(slots=True)
class Vnic:
    """table: the desired rules, but for the dirty parts.  sources: who has a rule, and the epoch in which it changed last.

    encapsulations: of the agent, None while it is not there.  confirmed: the epoch up to which it has its rules.
    """

    place: Place
    network: UUID
    table: FlowTable[VnicRule] = field(default_factory=FlowTable)
    sources: dict[UUID, int] = field(default_factory=dict)
    encapsulations: frozenset[str] | None = None
    confirmed: int = -1


class Vnics:
    """mark: the core's, for parts of a hypervisor's bridge."""

    def __init__(self, inventory: Inventory, mark: Callable[..., None]) -> None:
        self._inventory = inventory
        self._mark_bridge = mark
        self._vnics: dict[UUID, Vnic] = {}
        self._touched: set[UUID] = set()
        self._dirty: dict[UUID, set[Part]] = {}

    def desired(self, port: UUID) -> FlowTable[VnicRule]:
        """Return the rules that a vNIC should have, as of the last flush."""
        return self._vnics[port].table

    # What an event concerns.

    def mark_port(self, network: UUID, port: UUID) -> None:
        """A port has changed, come, moved or gone."""
        self._touched.add(port)
        for vnic in self._inventory.vnics_of(network):
            self._mark(vnic, Part(Kind.VNIC_TO, network, port), Part(Kind.VNIC_FROM, network, port))

    def mark_hypervisor(self, network: UUID, hypervisor: UUID) -> None:
        """A hypervisor hosts a network or no longer does, or is reached, or reaches others, in another way."""
        here = self._inventory.hosting(network).get(hypervisor, set())
        for vnic in self._inventory.vnics_of(network):
            self._mark(vnic, Part(Kind.VNIC_FROM, network, hypervisor), *(Part(Kind.VNIC_TO, network, port) for port in here))
        for port in here:
            self.mark_place(port)

    def mark_network(self, network: UUID) -> None:
        """All of a network's rules may have changed."""
        for port in self._inventory.ports_of(network):
            self.mark_place(port)

    def mark_place(self, port: UUID) -> None:
        """A vNIC may have come, moved or gone, or reach others in another way."""
        row = self._inventory.ports[port]
        if port in self._vnics or row.underlay_ip is not None:
            self._touched.add(port)
            self._mark(port, *self._all_parts(row.network, port))

    def _all_parts(self, network: UUID, vnic: UUID) -> set[Part]:
        known = self._vnics.get(vnic)
        parts: set[Part] = set(known.table.parts_of(network)) if known is not None else set()
        parts |= {Part(Kind.VNIC_TO, network, port) for port in self._inventory.ports_of(network)}
        sources = (*self._inventory.hosting(network), *self._inventory.vnics_of(network))
        return parts | {Part(Kind.VNIC_FROM, network, source) for source in sources}

    def _mark(self, port: UUID, *parts: Part) -> None:
        if port in self._vnics:
            self._dirty.setdefault(port, set()).update(parts)

    # What agents report.

    def handle_reported(self, event: VnicReported) -> None:
        """An agent has confirmed rules, is there, or is gone."""
        vnic = self._vnics.get(event.port)
        if vnic is None:
            return
        vnic.encapsulations, vnic.confirmed = event.encapsulations, event.epoch
        self._follow_agent(event.port, vnic)

    def _follow_agent(self, port: UUID, vnic: Vnic) -> None:
        """Bring what others know of an agent up to date."""
        before, after = self._inventory.agent(port), None
        if vnic.encapsulations is not None:
            after = Agent(vnic.encapsulations, frozenset(s for s, epoch in vnic.sources.items() if epoch <= vnic.confirmed))
        if before == after:
            return
        self._inventory.set_agent(port, after)
        accepted = [agent.accepts if agent is not None else frozenset() for agent in (before, after)]
        is_other = (before and before.encapsulations) != (after and after.encapsulations)
        for source in accepted[0] | accepted[1] if is_other else accepted[0] ^ accepted[1]:
            if source in self._inventory.hosts:
                self._mark_bridge(source, Part(Kind.REMOTE, vnic.network, port))
            else:
                self._mark(source, Part(Kind.VNIC_TO, vnic.network, port))
        if is_other:
            self._mark(port, *self._all_parts(vnic.network, port))

    # From parts to effects.

    def settle(self) -> list[VnicEffect]:
        """Start, move and stop vNICs that were touched; before parts are computed, since what their agents had is void."""
        effects: list[VnicEffect] = []
        touched, self._touched = self._touched, set()
        for port in touched:
            place, vnic, row = self._place(port), self._vnics.get(port), self._inventory.ports.get(port)
            if vnic is not None and (row is None or (vnic.place, vnic.network) != (place, row.network)):
                self._forget(port, vnic)
                if place is None:
                    effects.append(StopVnic(port))
                vnic = None
            if vnic is None and place is not None and row is not None:
                self._vnics[port] = Vnic(place, row.network)
                self._mark(port, *self._all_parts(row.network, port))
                effects.append(StartVnic(port, place))
        return effects

    def _forget(self, port: UUID, vnic: Vnic) -> None:
        vnic.encapsulations = None
        self._follow_agent(port, vnic)
        self._dirty.pop(port, None)
        del self._vnics[port]

    def _place(self, port: UUID) -> Place | None:
        inventory = self._inventory
        binding = inventory.binding(port)
        if binding is None or inventory.patch_of(port) is None:
            return None
        row, mtu = inventory.ports[port], inventory.hosts[binding.hypervisor].view.underlay_mtu
        if row.underlay_ip is None or mtu is None:
            return None
        return Place(dpid_of(binding.hypervisor), binding.vport.ofport, row.mac, row.underlay_ip, mtu)

    @property
    def is_dirty(self) -> bool:
        """Tell whether any rules are to be computed."""
        return bool(self._dirty)

    def flush(self, epoch: int) -> Iterator[VnicEffect]:
        """Compute the dirty parts, which may mark parts of bridges; yield the changes, which are of this epoch."""
        changes: dict[UUID, tuple[dict[Any, VnicRule], set[Any]]] = {}
        while self._dirty:
            port, parts = self._dirty.popitem()
            vnic = self._vnics[port]
            computed = [(part, tuple(compose.compute_vnic(self._inventory, port, part))) for part in parts]
            for part, rules in computed:
                if part.kind is Kind.VNIC_FROM and part.subject is not None and vnic.table.of(part) != rules:
                    vnic.sources.pop(part.subject, None)
                    if rules:
                        vnic.sources[part.subject] = epoch
            adds, deletes = vnic.table.replace(computed)
            self._follow_agent(port, vnic)
            if adds or deletes:
                added, deleted = changes.setdefault(port, ({}, set()))
                for key in deletes:
                    added.pop(key, None)
                deleted |= set(deletes)
                added.update((rule.key, rule) for rule in adds)
                deleted -= added.keys()
        for port, (added, deleted) in changes.items():
            yield ChangeRules(port, tuple(added.values()), tuple(deleted), epoch)
