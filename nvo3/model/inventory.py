"""Inventory: all that is known, indexed for the questions that the pipeline asks.  No I/O, no clock.

Rows come from the NB database, views from the hypervisors.  A view outlives the connection that brought it: a hypervisor whose database
is not reachable still forwards, and its neighbours must still find it.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

from nvo3.model.logical import CVSW, NONE, Network, Port, Settings, Tenant
from nvo3.model.physical import ENCAPSULATIONS, Hypervisor, HypervisorView, Vport

_NO_VIEW = HypervisorView(None, (), None, ())


@dataclass(slots=True)
class Host:
    """A hypervisor and what it last told.  tunnels: encapsulation -> ofport.  vports: by port.  ofports: ofport -> port."""

    row: Hypervisor
    view: HypervisorView = _NO_VIEW
    tunnels: dict[str, int] = field(default_factory=dict)
    vports: dict[UUID, Vport] = field(default_factory=dict)
    ofports: dict[int, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a port is plugged in."""

    hypervisor: UUID
    vport: Vport


@dataclass(frozen=True, slots=True)
class Agent:
    """What a vNIC's agent can do now.  encapsulations: it has.  accepts: hypervisors and ports whose tunnels it takes frames from."""

    encapsulations: frozenset[str]
    accepts: frozenset[UUID] = frozenset()


class Inventory:
    """Dictionaries are read by other modules and written by this one only."""

    def __init__(self) -> None:
        self.tenants: dict[UUID, Tenant] = {}
        self.networks: dict[UUID, Network] = {}
        self.ports: dict[UUID, Port] = {}
        self.hosts: dict[UUID, Host] = {}
        self._settings = Settings(tuple(ENCAPSULATIONS))
        # Interfaces with a port's iface-id, by port, oldest first; the newest is the binding, so that a port can be plugged in at its
        # new hypervisor before it is unplugged at the old one.
        self._claims: dict[UUID, dict[UUID, Vport]] = {}
        # network -> hypervisor -> the network's ports that are bound there
        self._hosting: dict[UUID, dict[UUID, set[UUID]]] = {}
        self._bound_to: dict[UUID, Binding] = {}
        self._networks_of: dict[UUID, set[UUID]] = {}  # hypervisor -> networks that it hosts
        self._ports_of: dict[UUID, set[UUID]] = {}
        self._vteps: dict[IPv4Address, list[UUID]] = {}
        self._offloaded: dict[UUID, set[UUID]] = {}  # network -> ports whose vNICs encapsulate, bound or not
        self._agents: dict[UUID, Agent] = {}  # by port
        self._flat: set[UUID] = set()
        # What others computed from this inventory as it is; empty after every change.
        self.memo: dict[Hashable, Any] = {}

    # Questions.

    def hosting(self, network: UUID) -> dict[UUID, set[UUID]]:
        """Return the hypervisors that host a network, each with the network's ports bound there."""
        return self._hosting.get(network, {})

    def networks_of(self, hypervisor: UUID) -> set[UUID]:
        """Return the networks that have a port bound at a hypervisor."""
        return self._networks_of.get(hypervisor, set())

    def ports_of(self, network: UUID) -> set[UUID]:
        """Return the ports of a network, bound or not."""
        return self._ports_of.get(network, set())

    def binding(self, port: UUID) -> Binding | None:
        """Return where a port is bound."""
        return self._bound_to.get(port)

    def port_at(self, hypervisor: UUID, ofport: int) -> UUID | None:
        """Return the port that is bound at an OpenFlow port of a hypervisor's bridge."""
        port = self.hosts[hypervisor].ofports.get(ofport)
        binding = self._bound_to.get(port) if port is not None else None
        return port if binding is not None and (binding.hypervisor, binding.vport.ofport) == (hypervisor, ofport) else None

    def router_of(self, network: Network) -> Port | None:
        """Return the port that has the network's IPv6 gateway, None without one."""
        gateway = next((g for g in network.gateways if g.version == 6), None)
        if gateway is None:
            return None
        key = ("router", network.uuid, gateway)
        if key not in self.memo:
            ports = (self.ports[port] for port in self.ports_of(network.uuid))
            self.memo[key] = next((port for port in ports if gateway in port.addresses), None)
        router: Port | None = self.memo[key]
        return router

    def vnics_of(self, network: UUID) -> Iterator[UUID]:
        """Yield the ports of a network whose vNICs encapsulate: bound where a patch leads to the underlay."""
        for port in self._offloaded.get(network, ()):
            if self.patch_of(port) is not None:
                yield port

    @property
    def any_offloaded(self) -> bool:
        """Tell whether any port's vNIC is to encapsulate."""
        return any(self._offloaded.values())

    def patch_of(self, port: UUID) -> int | None:
        """Return the OpenFlow port through which a port's vNIC reaches the underlay; None if the vNIC does not encapsulate, or cannot."""
        binding = self._bound_to.get(port)
        if binding is None or self.ports[port].offload != CVSW:
            return None
        return self.hosts[binding.hypervisor].view.patch_ofport

    def agent(self, port: UUID) -> Agent | None:
        """Return what the agent of a port's vNIC can do, None while it does nothing."""
        return self._agents.get(port)

    def claims(self, port: UUID) -> dict[UUID, Vport]:
        """Return every hypervisor that has an interface for the port, oldest claim first."""
        return self._claims.get(port, {})

    def vtep_ip(self, hypervisor: UUID) -> IPv4Address | None:
        """Return the tunnel endpoint of a hypervisor; None without one, or where another hypervisor had the address first."""
        ip = self.hosts[hypervisor].view.vtep_ip
        return ip if ip is not None and self._vteps[ip][0] == hypervisor else None

    @property
    def flat_network(self) -> UUID | None:
        """Return the flat network: the one with the lowest VNI, should there be more than one."""
        return min(self._flat, key=lambda n: self.networks[n].vni, default=None)

    @property
    def encapsulation_order(self) -> tuple[str, ...]:
        """What AUTO prefers, best first."""
        return self._settings.encapsulation_order

    @property
    def sclp_payload(self) -> str:
        """What tunnels of SCLP carry."""
        return self._settings.sclp_payload

    # Rows of the NB database.  Each returns nothing; `bind` follows where a binding may have changed.

    def put_settings(self, settings: Settings) -> None:
        """Replace the settings."""
        self.memo.clear()
        self._settings = settings

    def put_network(self, network: Network) -> None:
        """Add or replace a network."""
        self.memo.clear()
        self.networks[network.uuid] = network
        self._ports_of.setdefault(network.uuid, set())
        (self._flat.add if network.encapsulation == NONE else self._flat.discard)(network.uuid)

    def remove_network(self, network: UUID) -> None:
        """Remove a network; its ports are gone before it."""
        self.memo.clear()
        self.networks.pop(network, None)
        self._ports_of.pop(network, None)
        self._flat.discard(network)

    def put_port(self, port: Port) -> None:
        """Add or replace a port."""
        self.memo.clear()
        self.ports[port.uuid] = port
        self._ports_of.setdefault(port.network, set()).add(port.uuid)
        self._put_offloaded(port, port.offload == CVSW)

    def _put_offloaded(self, port: Port, offloaded: bool) -> None:
        there = self._offloaded.setdefault(port.network, set())
        (there.add if offloaded else there.discard)(port.uuid)
        if not there:
            del self._offloaded[port.network]

    def set_agent(self, port: UUID, agent: Agent | None) -> None:
        """Take what the agent of a port's vNIC can do now."""
        self.memo.clear()
        if agent is not None:
            self._agents[port] = agent
        else:
            self._agents.pop(port, None)

    def remove_port(self, port: UUID) -> None:
        """Remove a port that is not bound any more."""
        self.memo.clear()
        row = self.ports.pop(port, None)
        if row is not None:
            self._ports_of.get(row.network, set()).discard(port)
            self._put_offloaded(row, False)
            self._agents.pop(port, None)

    def put_hypervisor(self, row: Hypervisor) -> None:
        """Add or replace a hypervisor."""
        self.memo.clear()
        if row.uuid in self.hosts:
            self.hosts[row.uuid].row = row
        else:
            self.hosts[row.uuid] = Host(row)

    def remove_hypervisor(self, hypervisor: UUID) -> None:
        """Remove a hypervisor whose view was emptied before."""
        self.memo.clear()
        self.hosts.pop(hypervisor, None)
        self._networks_of.pop(hypervisor, None)

    # Views of the hypervisors.

    def set_view(self, hypervisor: UUID, view: HypervisorView = _NO_VIEW) -> set[UUID]:
        """Take a hypervisor's new view; return the ports whose interface there is new, gone or changed."""
        self.memo.clear()
        host = self.hosts[hypervisor]
        if host.view.vtep_ip is not None:
            self._vteps[host.view.vtep_ip].remove(hypervisor)
        if view.vtep_ip is not None:
            self._vteps.setdefault(view.vtep_ip, []).append(hypervisor)
        before, after = host.vports, {v.port: v for v in view.vports}
        changed = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
        host.view, host.tunnels, host.vports = view, dict(view.tunnels), after
        host.ofports = {v.ofport: v.port for v in view.vports}
        for port in changed:
            self._claim(port, hypervisor, after.get(port))
        return changed

    def _claim(self, port: UUID, hypervisor: UUID, vport: Vport | None) -> None:
        claims = self._claims.setdefault(port, {})
        if vport is not None:
            claims[hypervisor] = vport
        else:
            claims.pop(hypervisor, None)
        if not claims:
            del self._claims[port]

    def sort_claims(self) -> Iterator[UUID]:
        """Order double claims by hypervisor name, and yield their ports: after a start nobody knows which was first."""
        for port, claims in self._claims.items():
            if len(claims) > 1:
                ordered = sorted(claims.items(), key=lambda item: self.hosts[item[0]].row.name)
                claims.clear()
                claims.update(ordered)
                yield port

    def bind(self, port: UUID) -> tuple[Binding | None, Binding | None]:
        """Bring a port's binding up to date with its claims and its row; return the binding before and after."""
        self.memo.clear()
        before = self._bound_to.pop(port, None)
        after = None
        if port in self.ports and (claims := self._claims.get(port)):
            after = Binding(*list(claims.items())[-1])
            self._bound_to[port] = after
        if port in self.ports:
            self._place(self.ports[port], before, after)
        return before, after

    def unbind(self, port: UUID) -> Binding | None:
        """Take a port's binding away, before its row goes; return what it was."""
        self.memo.clear()
        before = self._bound_to.pop(port, None)
        if before is not None:
            self._place(self.ports[port], before, None)
        return before

    def _place(self, port: Port, before: Binding | None, after: Binding | None) -> None:
        hosting = self._hosting.setdefault(port.network, {})
        if before is not None:
            there = hosting[before.hypervisor]
            there.discard(port.uuid)
            if not there:
                del hosting[before.hypervisor]
                self._networks_of[before.hypervisor].discard(port.network)
        if after is not None:
            hosting.setdefault(after.hypervisor, set()).add(port.uuid)
            self._networks_of.setdefault(after.hypervisor, set()).add(port.network)
        if not hosting:
            del self._hosting[port.network]
