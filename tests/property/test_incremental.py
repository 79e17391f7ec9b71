"""Whatever happened in whatever order: the flows are those that a fresh controller computes from the final state."""

import copy
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nvo3.controller import ChangeFlows, Controller
from nvo3.model.event import HypervisorChanged, NorthboundChanged, SwitchConnected, VnicReported
from nvo3.model.ids import Mac, Vni, dpid_of
from nvo3.model.logical import CVSW, NONE, Network, Port, Tenant
from nvo3.model.physical import Hypervisor, HypervisorView, Vport
from nvo3.pipeline.flow import Field, FlowKey, FlowSpec, SetField, Table
from nvo3.vnics import ChangeRules, StartVnic, StopVnic

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
        self.views = [
            HypervisorView(IPv4Address(f"192.0.2.{i + 1}"), ALL_TUNNELS, 65000, (), 1500, Mac(f"02:aa:00:00:00:{i:02x}"))
            for i in range(N_HYPERVISORS)
        ]
        self.rules: dict[UUID, dict] = {}  # of each vNIC, as told
        self.history: dict[UUID, list[tuple[int, dict]]] = {}  # each vNIC's rules, by epoch
        self.agents: dict[UUID, tuple[frozenset[str], dict]] = {}  # vNIC -> what its agent has, and which rules
        self.installed: dict[int, dict[FlowKey, FlowSpec]] = {}
        self.do(NorthboundChanged((TENANT, *HYPERVISORS)))
        for i in range(N_HYPERVISORS):
            self.report(i)
        for hypervisor in HYPERVISORS:
            dpid = dpid_of(hypervisor.uuid)
            self.do(SwitchConnected(dpid))
            self.installed[dpid] = {f.key: f for f in self.core.desired_flows(dpid)[0]}
        # A vNIC that encapsulates, and takes what comes from another hypervisor: what most histories need to be of interest.
        self.put_network(0, "auto", False, False)
        for p in range(2):
            self.put_port(p, 0, False, False, p == 0)
            self.plug(p, p, 1, False)
        self.report_agent(0, ("gre", "vxlan"), 0)

    def do(self, event) -> None:
        for effect in self.core.handle(event, 0.0):
            if isinstance(effect, ChangeFlows):
                flows = self.installed[effect.dpid]
                for key in effect.deletes:
                    del flows[key]  # never a flow that is not there
                flows.update((f.key, f) for f in effect.adds)
            elif isinstance(effect, StartVnic):
                self.rules[effect.port], self.history[effect.port] = {}, []
                self.agents.pop(effect.port, None)
            elif isinstance(effect, StopVnic):
                for known in (self.rules, self.history):
                    del known[effect.port]
                self.agents.pop(effect.port, None)
            elif isinstance(effect, ChangeRules):
                rules = self.rules[effect.port]
                for key in effect.deletes:
                    del rules[key]  # never a rule that is not there
                rules.update((rule.key, rule) for rule in effect.adds)
                self.history[effect.port].append((effect.epoch, dict(rules)))

    def report(self, i: int, **values) -> None:
        self.views[i] = replace(self.views[i], **values)
        self.do(HypervisorChanged(HYPERVISORS[i].uuid, True, self.views[i]))

    @rule(
        n=network_ids,
        encapsulation=st.sampled_from(["auto", "none", "vxlan", "gre"]),
        pool=st.booleans(),
        shift=st.booleans(),
        dhcp=st.booleans(),
    )
    def put_network(self, n, encapsulation, pool, shift, dhcp=True) -> None:
        pools = (ip_network("10.0.0.0/24"),) if pool else ()
        vni = Vni(5000 + n + 100 * shift)
        self.networks[n] = Network(UUID(int=100 + n), TENANT.uuid, f"n{n}", vni, encapsulation, pools=pools, dhcp=dhcp)
        self.do(NorthboundChanged((self.networks[n],)))

    @rule(n=network_ids)
    def delete_network(self, n) -> None:
        if self.networks.pop(n, None) is None:
            return
        uuid = UUID(int=100 + n)
        gone = [p for p, row in self.ports.items() if row.network == uuid]
        self.do(NorthboundChanged(deleted=(*(("port", self.ports.pop(p).uuid) for p in gone), ("network", uuid))))

    @rule(p=port_ids, n=network_ids, secure=st.booleans(), address=st.booleans(), offload=st.booleans())
    def put_port(self, p, n, secure, address, offload) -> None:
        if n not in self.networks:
            return
        addresses = (ip_address(f"10.0.0.{p + 2}"),) if address else ()
        mac = Mac(f"02:00:00:00:00:{p:02x}")
        vnic = (CVSW, IPv4Address(f"192.0.2.{100 + p}")) if offload else (NONE, None)
        self.ports[p] = Port(UUID(int=1000 + p), self.networks[n].uuid, f"p{p}", mac, addresses, secure, *vnic)
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

    @rule(p=port_ids, encapsulations=st.sampled_from([None, ("vxlan",), ("gre", "vxlan")]), age=st.integers(0, 2))
    def report_agent(self, p, encapsulations, age) -> None:
        """An agent has come, or gone, or confirms what it was told some changes ago."""
        port = UUID(int=1000 + p)
        if port not in self.rules:
            return
        history = self.history[port][: len(self.history[port]) - age]
        if encapsulations is None or not history:
            self.agents.pop(port, None)
            self.do(VnicReported(port, None))
            return
        self.agents[port] = (frozenset(encapsulations), history[-1][1])
        self.do(VnicReported(port, frozenset(encapsulations), history[-1][0]))

    @invariant()
    def nothing_is_sent_to_a_vnic_that_does_not_take_it(self) -> None:
        endpoints = {port.underlay_ip: port.uuid for port in self.ports.values() if port.underlay_ip}
        vteps = {dpid_of(h.uuid): view.vtep_ip for h, view in zip(HYPERVISORS, self.views, strict=True)}

        def takes(vnic, source) -> bool:
            return vnic in self.agents and ("from", source) in self.agents[vnic][1]

        for dpid, flows in self.installed.items():
            for flow in flows.values():
                for action in flow.actions if flow.key.table == Table.L2 else ():
                    if isinstance(action, SetField) and action.field is Field.TUN_IPV4_DST and IPv4Address(action.value) in endpoints:
                        assert takes(endpoints[IPv4Address(action.value)], vteps[dpid])
        for rules in self.rules.values():
            for rule_ in rules.values():
                if rule_.key[0] == "to" and rule_.outer_dst in endpoints:
                    assert takes(endpoints[rule_.outer_dst], rule_.outer_src)

    @invariant()
    def flows_are_those_of_a_fresh_controller(self) -> None:
        if not self.installed:
            return
        fresh, old = Controller(), copy.deepcopy(self.core)
        fresh.handle(NorthboundChanged((TENANT, *HYPERVISORS, *self.networks.values(), *self.ports.values())), 0.0)
        for hypervisor, view in zip(HYPERVISORS, self.views, strict=True):
            fresh.handle(HypervisorChanged(hypervisor.uuid, True, view), 0.0)
        for core in (fresh, old):
            for vnic, (encapsulations, _) in self.agents.items():
                core.handle(VnicReported(vnic, encapsulations, core.epoch), 0.0)
        for hypervisor in HYPERVISORS:
            dpid = dpid_of(hypervisor.uuid)
            want = {f.key: f for f in fresh.desired_flows(dpid)[0]}
            assert {f.key: f for f in old.desired_flows(dpid)[0]} == want
            table = self.core.bridges[hypervisor.uuid].table
            assert table.n_flows == len(list(table))
            assert self.installed[dpid] == {f.key: f for f in table}
        for vnic, rules in self.rules.items():
            assert {r.key: r for r in old.desired_rules(vnic)[0]} == {r.key: r for r in fresh.desired_rules(vnic)[0]}
            assert {r.key: r for r in self.core.desired_rules(vnic)[0]} == rules


Incremental.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestIncremental = Incremental.TestCase
