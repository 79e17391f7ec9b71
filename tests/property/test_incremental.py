"""Whatever happened in whatever order: the flows are those that a fresh controller computes from the final state."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nvo3.controller import ChangeFlows, Controller
from nvo3.model.event import HypervisorChanged, NorthboundChanged, SwitchConnected
from nvo3.model.ids import Mac, Vni, dpid_of
from nvo3.model.logical import Network, Port, Tenant
from nvo3.model.physical import Hypervisor, HypervisorView, Vport
from nvo3.pipeline.flow import FlowKey, FlowSpec

N_HYPERVISORS, N_NETWORKS, N_PORTS = 3, 3, 6
TENANT = Tenant(UUID(int=1), "red")
HYPERVISORS = [Hypervisor(UUID(int=(10 + i) << 90), f"hv{i}", "tcp:192.0.2.1:6640") for i in range(N_HYPERVISORS)]
ALL_TUNNELS = (("geneve", 65002), ("vxlan", 65001), ("gre", 65003))

hypervisor_ids = st.integers(0, N_HYPERVISORS - 1)
network_ids = st.integers(0, N_NETWORKS - 1)
port_ids = st.integers(0, N_PORTS - 1)


class Incremental(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.core = Controller()
        self.networks: dict[int, Network] = {}
        self.ports: dict[int, Port] = {}
        self.views = [HypervisorView(IPv4Address(f"192.0.2.{i + 1}"), ALL_TUNNELS, None, ()) for i in range(N_HYPERVISORS)]
        self.installed: dict[int, dict[FlowKey, FlowSpec]] = {}
        self.do(NorthboundChanged((TENANT, *HYPERVISORS)))
        for i in range(N_HYPERVISORS):
            self.report(i)
        for hypervisor in HYPERVISORS:
            dpid = dpid_of(hypervisor.uuid)
            self.do(SwitchConnected(dpid))
            self.installed[dpid] = {f.key: f for f in self.core.desired_flows(dpid)[0]}

    def do(self, event) -> None:
        for effect in self.core.handle(event, 0.0):
            if isinstance(effect, ChangeFlows):
                flows = self.installed[effect.dpid]
                for key in effect.deletes:
                    del flows[key]  # never a flow that is not there
                flows.update((f.key, f) for f in effect.adds)

    def report(self, i: int, **values) -> None:
        self.views[i] = replace(self.views[i], **values)
        self.do(HypervisorChanged(HYPERVISORS[i].uuid, True, self.views[i]))

    @rule(n=network_ids, encapsulation=st.sampled_from(["auto", "none", "vxlan", "gre"]), pool=st.booleans(), shift=st.booleans())
    def put_network(self, n, encapsulation, pool, shift) -> None:
        pools = (ip_network("10.0.0.0/24"),) if pool else ()
        vni = Vni(5000 + n + 100 * shift)
        self.networks[n] = Network(UUID(int=100 + n), TENANT.uuid, f"n{n}", vni, encapsulation, pools=pools)
        self.do(NorthboundChanged((self.networks[n],)))

    @rule(n=network_ids)
    def delete_network(self, n) -> None:
        if self.networks.pop(n, None) is None:
            return
        uuid = UUID(int=100 + n)
        gone = [p for p, row in self.ports.items() if row.network == uuid]
        self.do(NorthboundChanged(deleted=(*(("port", self.ports.pop(p).uuid) for p in gone), ("network", uuid))))

    @rule(p=port_ids, n=network_ids, secure=st.booleans(), address=st.booleans())
    def put_port(self, p, n, secure, address) -> None:
        if n not in self.networks:
            return
        addresses = (ip_address(f"10.0.0.{p + 2}"),) if address else ()
        mac = Mac(f"02:00:00:00:00:{p:02x}")
        self.ports[p] = Port(UUID(int=1000 + p), self.networks[n].uuid, f"p{p}", mac, addresses, secure)
        self.do(NorthboundChanged((self.ports[p],)))

    @rule(p=port_ids)
    def delete_port(self, p) -> None:
        if p in self.ports:
            self.do(NorthboundChanged(deleted=(("port", self.ports.pop(p).uuid),)))

    def _without(self, i: int, p: int):
        return tuple(v for v in self.views[i].vports if v.port != UUID(int=1000 + p))

    @rule(p=port_ids, i=hypervisor_ids, ofport=st.integers(1, 3), first=st.booleans())
    def plug(self, p, i, ofport, first) -> None:
        """Plug in here and unplug elsewhere, in either order."""
        vport = Vport(UUID(int=1000 + p), f"v{p}", ofport * 10 + p)
        others = [j for j in range(N_HYPERVISORS) if j != i]
        if first:
            self.report(i, vports=(*self._without(i, p), vport))
        for j in others:
            self.report(j, vports=self._without(j, p))
        self.report(i, vports=(*self._without(i, p), vport))

    @rule(p=port_ids, i=hypervisor_ids)
    def unplug(self, p, i) -> None:
        self.report(i, vports=self._without(i, p))

    @rule(i=hypervisor_ids, n=st.integers(0, 3), patch=st.booleans(), vtep=st.sampled_from([None, "192.0.2.1", "own"]))
    def change_hypervisor(self, i, n, patch, vtep) -> None:
        if vtep == "192.0.2.1" and any(v.vtep_ip == IPv4Address(vtep) for v in self.views):
            return  # who was first is history, which a fresh controller does not know
        ip = IPv4Address(f"192.0.2.{i + 1}" if vtep == "own" else vtep) if vtep else None
        if ip in [v.vtep_ip for j, v in enumerate(self.views) if j != i and ip]:
            return
        self.report(i, tunnels=ALL_TUNNELS[:n], patch_ofport=65000 if patch else None, vtep_ip=ip)

    @invariant()
    def flows_are_those_of_a_fresh_controller(self) -> None:
        if not self.installed:
            return
        fresh = Controller()
        fresh.handle(NorthboundChanged((TENANT, *HYPERVISORS, *self.networks.values(), *self.ports.values())), 0.0)
        for hypervisor, view in zip(HYPERVISORS, self.views, strict=True):
            fresh.handle(HypervisorChanged(hypervisor.uuid, True, view), 0.0)
        for hypervisor in HYPERVISORS:
            want = {f.key: f for f in fresh.desired_flows(dpid_of(hypervisor.uuid))[0]}
            table = self.core.bridges[hypervisor.uuid].table
            assert {f.key: f for f in table} == want
            assert table.n_flows == len(list(table)) == len(want)
            assert self.installed[dpid_of(hypervisor.uuid)] == want


Incremental.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestIncremental = Incremental.TestCase
