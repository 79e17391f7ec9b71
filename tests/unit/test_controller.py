"""The core: events in, effects out, and how much it computes for a change."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from uuid import UUID, uuid4

import pytest

from nvo3.controller import (
    RETRY_S,
    SETTLE_S,
    Advertise,
    ChangeFlows,
    ConfigureBridge,
    ConnectHypervisor,
    Controller,
    DisconnectHypervisor,
    Effect,
    RememberView,
    SyncSwitch,
)
from nvo3.model.event import (
    FlowsConfirmed,
    FlowsRefused,
    HypervisorChanged,
    NorthboundChanged,
    SwitchConnected,
    SwitchDisconnected,
    Tick,
)
from nvo3.model.ids import Dpid, Mac, Vni, dpid_of
from nvo3.model.logical import CVSW, MTU_MAX, NONE, Network, Port, Settings, Tenant
from nvo3.model.physical import Hypervisor, HypervisorView, Vport
from nvo3.model.tunnel_key import CONTEXT_ID, TunnelKey
from nvo3.pipeline import compose
from nvo3.pipeline.flow import Cond, Field, Move, Output, SetField, Table

TUNNELS = (("vxlan", 65001), ("geneve", 65002))


class System:
    """A controller with hypervisors whose switches confirm at once."""

    def __init__(self, n_hypervisors: int = 2, tunnels: tuple[tuple[str, int], ...] = TUNNELS) -> None:
        self.core = Controller()
        self.now = 0.0
        self.tenant = Tenant(uuid4(), "red")
        self.network = Network(uuid4(), self.tenant.uuid, "web", Vni(5001))
        self.hypervisors = [Hypervisor(uuid4(), f"hv{i}", f"tcp:192.0.2.{i + 1}:6640") for i in range(n_hypervisors)]
        self.views = {h.uuid: HypervisorView(IPv4Address(f"192.0.2.{i + 1}"), tunnels, None, ()) for i, h in enumerate(self.hypervisors)}
        self.do(NorthboundChanged((self.tenant, self.network, *self.hypervisors)))
        for hypervisor in self.hypervisors:
            self.do(HypervisorChanged(hypervisor.uuid, True, self.views[hypervisor.uuid]))
            self.do(SwitchConnected(dpid_of(hypervisor.uuid)))

    def do(self, event) -> list[Effect]:
        effects = self.core.handle(event, self.now)
        for effect in effects:
            if isinstance(effect, ChangeFlows):
                self.core.handle(FlowsConfirmed(effect.dpid, effect.epoch), self.now)
            if isinstance(effect, SyncSwitch):
                _, epoch = self.core.desired_flows(effect.dpid)
                self.core.handle(FlowsConfirmed(effect.dpid, epoch), self.now)
        return effects

    def port(self, n: int, network: Network | None = None) -> Port:
        return Port(uuid4(), (network or self.network).uuid, f"p{n}", Mac(f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}"))

    def plug(self, hypervisor: int, port: Port, ofport: int) -> list[Effect]:
        row = self.hypervisors[hypervisor]
        view = self.views[row.uuid]
        others = tuple(v for v in view.vports if v.port != port.uuid)
        self.views[row.uuid] = replace(view, vports=(*others, Vport(port.uuid, f"v{ofport}", ofport)))
        return self.do(HypervisorChanged(row.uuid, True, self.views[row.uuid]))

    def unplug(self, hypervisor: int, port: Port) -> list[Effect]:
        row = self.hypervisors[hypervisor]
        view = self.views[row.uuid]
        self.views[row.uuid] = replace(view, vports=tuple(v for v in view.vports if v.port != port.uuid))
        return self.do(HypervisorChanged(row.uuid, True, self.views[row.uuid]))

    def change(self, row, **values):
        changed = replace(row, **values)
        self.do(NorthboundChanged((changed,)))
        return changed

    def flows(self, hypervisor: int, table: Table) -> list:
        return [f for f in self.core.bridges[self.hypervisors[hypervisor].uuid].table if f.key.table == table]

    def tunnel_ports(self, hypervisor: int) -> set[int]:
        """The tunnel ports that unicast of the network leaves a hypervisor by."""
        return {a.port for f in self.flows(hypervisor, Table.L2) for a in f.actions if isinstance(a, Output)}


def changed(effects: list[Effect]) -> dict[Dpid, ChangeFlows]:
    return {e.dpid: e for e in effects if isinstance(e, ChangeFlows)}


def test_a_start_connects_every_hypervisor() -> None:
    core = Controller()
    rows = [Hypervisor(uuid4(), f"hv{i}", "tcp:192.0.2.1:6640") for i in range(2)]
    effects = core.handle(NorthboundChanged(tuple(rows)), 0.0)
    assert [e.hypervisor for e in effects if isinstance(e, ConnectHypervisor)] == rows


def test_no_switch_is_touched_before_every_hypervisor_has_reported() -> None:
    core = Controller()
    rows = [Hypervisor(uuid4(), f"hv{i}", "tcp:192.0.2.1:6640") for i in range(2)]
    core.handle(NorthboundChanged(tuple(rows)), 10.0)
    assert core.handle(SwitchConnected(dpid_of(rows[0].uuid)), 10.1) == []
    view = HypervisorView(IPv4Address("192.0.2.1"), TUNNELS, None, ())
    assert core.handle(HypervisorChanged(rows[0].uuid, True, view), 10.2) == [RememberView(rows[0].uuid, view)]
    effects = core.handle(HypervisorChanged(rows[1].uuid, False, None, "refused"), 10.3)
    assert effects == [SyncSwitch(dpid_of(rows[0].uuid))]


def test_a_silent_hypervisor_holds_the_others_up_for_a_bounded_time() -> None:
    core = Controller()
    rows = [Hypervisor(uuid4(), f"hv{i}", "tcp:192.0.2.1:6640") for i in range(2)]
    core.handle(NorthboundChanged(tuple(rows)), 10.0)
    core.handle(SwitchConnected(dpid_of(rows[0].uuid)), 10.1)
    assert core.handle(Tick(), 10.0 + SETTLE_S - 0.01) == []
    assert core.handle(Tick(), 10.0 + SETTLE_S) == [SyncSwitch(dpid_of(rows[0].uuid))]


def test_an_added_port_costs_its_own_hypervisors_only() -> None:
    system = System(n_hypervisors=6)
    for n in range(200):
        port = system.port(n)
        system.do(NorthboundChanged((port,)))
        system.plug(n % 4, port, n + 1)  # hypervisors 4 and 5 do not host the network
    before = system.core.n_computed
    port = system.port(900)
    effects = system.do(NorthboundChanged((port,))) + system.plug(1, port, 900)
    hosts = {dpid_of(h.uuid) for h in system.hypervisors[:4]}
    assert set(changed(effects)) <= hosts
    # Three parts (local, remote, answers) on each of four hypervisors, twice, and one flood flow.
    assert system.core.n_computed - before <= 4 * 3 * 2 + 1
    n_flows = sum(len(e.adds) for e in changed(effects).values())
    assert n_flows < 20


def test_one_event_changes_a_bridge_once() -> None:
    system = System()
    ports = [system.port(n) for n in range(50)]
    system.plug(0, ports[0], 1)
    effects = system.do(NorthboundChanged(tuple(ports)))
    assert [e.dpid for e in effects if isinstance(e, ChangeFlows)] == [dpid_of(system.hypervisors[0].uuid)]


def test_auto_takes_the_best_that_both_ends_offer() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    assert system.tunnel_ports(0) == {65002}
    weak = system.hypervisors[1].uuid
    system.views[weak] = replace(system.views[weak], tunnels=(("vxlan", 65001),))
    system.do(HypervisorChanged(weak, True, system.views[weak]))
    assert system.tunnel_ports(0) == system.tunnel_ports(1) == {65001}


def test_settings_change_the_order_of_auto() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    system.do(NorthboundChanged((Settings(("vxlan", "geneve")),)))
    assert system.tunnel_ports(0) == {65001}


def test_change_of_encapsulation_leaves_what_is_admitted_alone() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    admitted = system.flows(0, Table.ADMIT)
    effects = system.do(NorthboundChanged((replace(system.network, encapsulation="vxlan"),)))
    assert system.tunnel_ports(0) == {65001}
    assert system.flows(0, Table.ADMIT) == admitted
    assert all(not e.deletes for e in changed(effects).values())


def test_named_encapsulation_that_a_hypervisor_lacks_reaches_nobody_there() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b, replace(system.network, encapsulation="gre"))))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    assert system.tunnel_ports(0) == set()


def test_gre_carries_the_vni_as_nvgre_does() -> None:
    system = System(tunnels=(("gre", 65003),))
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    keys = {a.value for f in system.flows(0, Table.L2) for a in f.actions if isinstance(a, SetField) and a.field is Field.TUN_ID}
    assert keys == {5001 << 8}


def test_stt_carries_vni_ingress_port_and_version_of_the_network() -> None:
    system = System(tunnels=(("stt", 65004),))
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 7)
    system.plug(1, port_b, 1)

    def key() -> tuple[TunnelKey, Move]:
        (flow,) = [f for f in system.flows(0, Table.L2) if any(isinstance(a, Output) for a in f.actions)]
        assert [type(a) for a in flow.actions] == [SetField, Move, SetField, Output]
        return TunnelKey.parse(flow.actions[0].value, CONTEXT_ID), flow.actions[1]

    before, move = key()
    assert (before.vni, before.ingress_port) == (5001, 0)
    assert (move.src, move.dst, move.n_bits) == (Field.IN_PORT, Field.TUN_ID, 16)
    assert TunnelKey.parse(7 << move.dst_offset, CONTEXT_ID).ingress_port == 7
    system.change(system.network, mtu=9000)
    after, _ = key()
    assert after.vni == 5001 and after.version != before.version


@pytest.mark.parametrize(
    ("mtu", "underlay_mtus", "used"),
    [
        (1400, (1500, 1500), "vxlan"),
        (1451, (1500, 1500), "stt"),
        (9000, (1500, 1500), "stt"),
        (9000, (9100, 9100), "vxlan"),
        (9000, (9100, 1500), "stt"),
        (9000, (None, 9100), "vxlan"),
        (9000, (None, None), "vxlan"),
    ],
)
def test_auto_takes_the_first_encapsulation_that_carries_the_networks_mtu(
    mtu: int, underlay_mtus: tuple[int | None, ...], used: str
) -> None:
    tunnels = (("stt", 65004), ("geneve", 65002), ("vxlan", 65001))
    system = System(tunnels=tunnels)
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((Settings(("vxlan", "stt")), port_a, port_b, replace(system.network, mtu=mtu))))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    for hypervisor, underlay_mtu in zip(system.hypervisors, underlay_mtus, strict=True):
        system.do(HypervisorChanged(hypervisor.uuid, True, replace(system.views[hypervisor.uuid], underlay_mtu=underlay_mtu)))
    assert system.tunnel_ports(0) == system.tunnel_ports(1) == {dict(tunnels)[used]}


def test_a_mtu_that_nothing_carries_is_told_and_small_packets_go_on() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    network = replace(system.network, mtu=9000)
    system.do(NorthboundChanged((port_a, port_b, network)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    a, b = (h.uuid for h in system.hypervisors)
    assert compose.problem(system.core.inventory, network, a, b) == ""
    system.do(HypervisorChanged(b, True, replace(system.views[b], underlay_mtu=1500)))
    assert system.tunnel_ports(0) == {65002}
    problem = compose.problem(system.core.inventory, network, a, b)
    assert "1450 bytes" in problem and "1500" in problem and "9000" in problem


def test_a_port_moves_when_it_is_plugged_in_elsewhere_and_not_when_it_is_unplugged() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(0, port_b, 2)
    assert changed(system.plug(1, port_b, 7))
    assert system.core.inventory.binding(port_b.uuid).hypervisor == system.hypervisors[1].uuid
    assert system.tunnel_ports(0) == {65002}
    assert not changed(system.unplug(0, port_b))
    assert system.core.inventory.binding(port_b.uuid).hypervisor == system.hypervisors[1].uuid


def test_a_deleted_port_leaves_no_flow_behind() -> None:
    system = System()
    empty = [list(system.core.bridges[h.uuid].table) for h in system.hypervisors]
    ports = [system.port(n) for n in range(4)]
    system.do(NorthboundChanged(tuple(ports)))
    for n, port in enumerate(ports):
        system.plug(n % 2, port, n + 1)
    system.do(NorthboundChanged(deleted=(("network", system.network.uuid), *(("port", p.uuid) for p in ports))))
    assert [list(system.core.bridges[h.uuid].table) for h in system.hypervisors] == empty


def test_a_network_that_takes_over_a_vni_in_the_same_change_keeps_its_flows() -> None:
    system = System()
    old, new_network = system.port(1), Network(uuid4(), system.tenant.uuid, "new", Vni(5001))
    new = system.port(1, new_network)
    system.plug(0, old, 1)
    system.plug(0, new, 2)
    system.do(NorthboundChanged((old,)))
    gone = (("network", system.network.uuid), ("port", old.uuid))
    effects = system.do(NorthboundChanged((new_network, new), gone))
    (change,) = changed(effects).values()
    keys = {f.key for f in system.core.bridges[system.hypervisors[0].uuid].table}
    assert not keys & set(change.deletes)
    assert system.flows(0, Table.OUTPUT)[0].owner == new.uuid


def test_two_hypervisors_with_one_vtep_address_do_not_share_it() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    thief = system.hypervisors[1].uuid
    good = system.views[thief]
    system.do(HypervisorChanged(thief, True, replace(good, vtep_ip=IPv4Address("192.0.2.1"))))
    assert system.core.inventory.vtep_ip(thief) is None
    assert system.tunnel_ports(0) == set()
    system.do(HypervisorChanged(thief, True, good))
    assert system.tunnel_ports(0) == {65002}


def test_a_lost_database_takes_nothing_away() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    assert system.do(HypervisorChanged(system.hypervisors[1].uuid, False, None, "connection lost")) == []
    assert system.tunnel_ports(0) == {65002}


def test_a_refused_change_is_tried_again_from_the_start() -> None:
    system = System()
    dpid = dpid_of(system.hypervisors[0].uuid)
    system.now = 100.0
    assert system.do(FlowsRefused(dpid, "bad action")) == []
    assert not system.core.is_realized(system.hypervisors[0].uuid, system.core.epoch)
    assert system.do(Tick()) == []
    system.now = 100.0 + RETRY_S
    assert system.do(Tick()) == [SyncSwitch(dpid)]


def test_realized_means_confirmed() -> None:
    system = System()
    first = system.hypervisors[0].uuid
    port = system.port(1)
    system.do(NorthboundChanged((port,)))
    row = replace(system.views[first], vports=(Vport(port.uuid, "v1", 1),))
    (change,) = changed(system.core.handle(HypervisorChanged(first, True, row), 0.0)).values()
    assert list(system.core.unrealized(system.core.epoch)) == [first]
    system.core.handle(FlowsConfirmed(change.dpid, change.epoch), 0.0)
    assert list(system.core.unrealized(system.core.epoch)) == []


def test_changes_while_a_switch_is_away_wait_for_its_return() -> None:
    system = System()
    dpid = dpid_of(system.hypervisors[0].uuid)
    system.do(SwitchDisconnected(dpid))
    port = system.port(1)
    assert not changed(system.do(NorthboundChanged((port,))) + system.plug(0, port, 1))
    assert system.do(SwitchConnected(dpid)) == [SyncSwitch(dpid)]
    flows, _ = system.core.desired_flows(dpid)
    assert any(f.owner == port.uuid for f in flows)


def test_flat_network_asks_for_the_patch_and_uses_it() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    effects = system.do(NorthboundChanged((replace(system.network, encapsulation=NONE),)))
    assert {(e.hypervisor, e.patch) for e in effects if isinstance(e, ConfigureBridge)} == {(h.uuid, True) for h in system.hypervisors}
    assert not system.core.is_realized(system.hypervisors[0].uuid, 0)
    for hypervisor in system.hypervisors:
        system.views[hypervisor.uuid] = replace(system.views[hypervisor.uuid], patch_ofport=65000)
        system.do(HypervisorChanged(hypervisor.uuid, True, system.views[hypervisor.uuid]))
    assert system.tunnel_ports(0) == {65000}
    effects = system.do(NorthboundChanged((replace(system.network, encapsulation="auto"),)))
    assert {e.patch for e in effects if isinstance(e, ConfigureBridge)} == {False}


def test_the_patch_belongs_to_one_flat_network_and_passes_to_the_next_when_that_has_gone() -> None:
    system = System()
    row = system.hypervisors[0]
    system.views[row.uuid] = replace(system.views[row.uuid], patch_ofport=65000)
    second = Network(uuid4(), system.tenant.uuid, "db", Vni(5002), NONE)
    ports = [system.port(1), system.port(2, second)]
    system.do(NorthboundChanged((replace(system.network, encapsulation=NONE), second, *ports)))
    for ofport, port in enumerate(ports, 1):
        system.plug(0, port, ofport)

    def owners() -> list[UUID]:
        flows, _ = system.core.desired_flows(dpid_of(row.uuid))
        return [f.owner for f in flows if f.key.match == (Cond(Field.IN_PORT, 65000),)]

    assert owners() == [system.network.uuid]
    system.do(NorthboundChanged((replace(system.network, encapsulation="auto"),)))
    assert owners() == [second.uuid]
    system.do(NorthboundChanged((replace(system.network, encapsulation=NONE),)))
    assert owners() == [system.network.uuid]


def test_another_payload_of_sclp_goes_to_every_hypervisor_and_is_in_force_when_each_says_so() -> None:
    system = System()
    a, b = (h.uuid for h in system.hypervisors)
    order = system.core.inventory.encapsulation_order
    assert system.do(NorthboundChanged((Settings(order, "geneve"),))) == [ConfigureBridge(h, False, "geneve") for h in (a, b)]
    assert system.do(NorthboundChanged((Settings(order, "geneve"),))) == []
    for hypervisor in (a, b):
        system.do(HypervisorChanged(hypervisor, True, system.views[hypervisor], configured=False))
    assert list(system.core.unrealized(system.core.epoch)) == [a, b]
    system.do(HypervisorChanged(a, True, system.views[a]))
    assert list(system.core.unrealized(system.core.epoch)) == [b]
    system.do(HypervisorChanged(b, False, None, "connection lost"))
    assert list(system.core.unrealized(system.core.epoch)) == []
    late = Hypervisor(uuid4(), "late", "tcp:192.0.2.9:6640")
    assert ConfigureBridge(late.uuid, False, "geneve") in system.do(NorthboundChanged((late,)))


def test_a_hypervisor_looks_again_at_its_interfaces_when_a_vnic_begins_or_ends_to_encapsulate() -> None:
    system = System()
    a, b = (h.uuid for h in system.hypervisors)
    first, second = system.port(1), system.port(2)
    system.do(NorthboundChanged((first, second)))
    system.plug(0, first, 1)
    system.plug(1, second, 1)

    def told(row: Port) -> set[UUID]:
        return {e.hypervisor for e in system.do(NorthboundChanged((row,))) if isinstance(e, ConfigureBridge)}

    first, second = (replace(row, offload=CVSW, underlay_ip=IPv4Address(f"192.0.2.20{i}")) for i, row in enumerate((first, second)))
    assert told(first) == {a, b}  # each gets the patch to the underlay
    assert system.core.encapsulates(first.uuid) and not system.core.encapsulates(second.uuid)
    assert told(second) == {b}
    assert told(replace(second, name="other")) == set()
    assert told(replace(second, offload=NONE, underlay_ip=None)) == {b}
    assert told(second) == {b}
    effects = system.do(NorthboundChanged(deleted=(("port", second.uuid),)))
    assert {e.hypervisor for e in effects if isinstance(e, ConfigureBridge)} == {b}
    assert not system.core.encapsulates(second.uuid)


def test_a_guest_without_an_agent_is_told_apart_only_where_that_is_sure() -> None:
    """Who is taken for one loses its table."""
    system = System()
    here, elsewhere = (dpid_of(h.uuid) for h in system.hypervisors)
    plain, other = system.port(1), replace(system.port(2), offload=CVSW, underlay_ip=IPv4Address("192.0.2.200"))
    system.do(NorthboundChanged((plain, other)))
    system.plug(0, plain, 1)
    system.plug(0, other, 2)
    assert system.core.is_plain(here, 1)
    assert not any(system.core.is_plain(dpid, ofport) for dpid, ofport in ((here, 2), (here, 3), (elsewhere, 1), (Dpid(7), 1)))
    system.change(other, offload=NONE, underlay_ip=None)
    assert system.core.is_plain(here, 2)
    # It has moved: this interface is not its any more.
    system.plug(1, plain, 5)
    assert (system.core.is_plain(here, 1), system.core.is_plain(elsewhere, 5)) == (False, True)
    # A controller that was started just now, before the hypervisors have reported.
    core, hypervisor = Controller(), replace(system.hypervisors[1], seen=system.views[system.hypervisors[1].uuid])
    core.handle(NorthboundChanged((system.tenant, system.network, hypervisor, plain)), 0.0)
    assert not core.is_plain(elsewhere, 5)
    core.handle(HypervisorChanged(hypervisor.uuid, True, system.views[hypervisor.uuid]), 0.1)
    assert core.is_plain(elsewhere, 5)


def test_a_removed_hypervisor_is_let_go_and_forgotten_by_the_others() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    gone = system.hypervisors[1].uuid
    effects = system.do(NorthboundChanged(deleted=(("hypervisor", gone),)))
    assert DisconnectHypervisor(gone) in effects
    assert system.tunnel_ports(0) == set() and not system.flows(0, Table.ADMIT)
    assert system.do(SwitchConnected(dpid_of(gone))) == []


def test_an_unknown_switch_is_ignored() -> None:
    assert System().do(SwitchConnected(dpid_of(UUID(int=7)))) == []


def test_addresses_are_answered_on_every_hypervisor_of_the_network_before_the_port_is_plugged_in() -> None:
    system = System()
    here = system.port(1)
    system.do(NorthboundChanged((here,)))
    system.plug(0, here, 1)
    absent = replace(system.port(2), addresses=(ip_address("10.0.0.2"),))
    system.do(NorthboundChanged((absent,)))
    answers = [f for f in system.flows(0, Table.ANSWER) if f.owner == absent.uuid]
    assert len(answers) == 2 and not [f for f in system.flows(1, Table.ANSWER) if f.owner == absent.uuid]


def test_a_controller_that_starts_while_a_hypervisor_is_away_goes_by_what_it_last_told() -> None:
    system = System()
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    told = [e for e in system.plug(1, port_b, 1) if isinstance(e, RememberView)]
    assert told == [RememberView(system.hypervisors[1].uuid, system.views[system.hypervisors[1].uuid])]

    rows = [replace(h, seen=system.views[h.uuid]) for h in system.hypervisors]
    fresh = Controller()
    fresh.handle(NorthboundChanged((system.tenant, system.network, port_a, port_b, *rows)), 0.0)
    first = rows[0].uuid
    fresh.handle(HypervisorChanged(first, True, rows[0].seen), 0.0)
    fresh.handle(HypervisorChanged(rows[1].uuid, False, None, "Connection refused"), 0.0)
    assert set(fresh.desired_flows(dpid_of(first))[0]) == set(system.core.bridges[first].table)

    # What it tells now counts, whatever is remembered.
    unplugged = replace(rows[1].seen, vports=())
    fresh.handle(HypervisorChanged(rows[1].uuid, True, unplugged), 0.0)
    fresh.handle(NorthboundChanged((rows[1],)), 0.0)
    assert fresh.inventory.binding(port_b.uuid) is None


@pytest.mark.parametrize("best", range(6))
def test_auto_prefers_the_best_that_both_ends_have(best: int) -> None:
    order = [("stt", 65004), ("sclp-udp", 65006), ("sclp", 65005), ("geneve", 65002), ("vxlan", 65001), ("gre", 65003)]
    system = System(tunnels=tuple(order[best:]))
    port_a, port_b = system.port(1), system.port(2)
    system.do(NorthboundChanged((port_a, port_b)))
    system.plug(0, port_a, 1)
    system.plug(1, port_b, 1)
    assert system.tunnel_ports(0) == system.tunnel_ports(1) == {order[best][1]}


def test_sclp_carries_the_vni_and_frames_larger_than_the_underlays() -> None:
    for name, ofport in (("sclp", 65005), ("sclp-udp", 65006)):
        system = System(tunnels=((name, ofport), *TUNNELS))
        port_a, port_b = system.port(1), system.port(2)
        system.do(NorthboundChanged((Settings(("vxlan", name)), port_a, port_b, replace(system.network, mtu=MTU_MAX))))
        system.plug(0, port_a, 1)
        system.plug(1, port_b, 1)
        for hypervisor in system.hypervisors:
            system.do(HypervisorChanged(hypervisor.uuid, True, replace(system.views[hypervisor.uuid], underlay_mtu=1500)))
        assert system.tunnel_ports(0) == {ofport}
        keys = {a.value for f in system.flows(0, Table.L2) for a in f.actions if isinstance(a, SetField) and a.field is Field.TUN_ID}
        assert keys == {5001}


def advertised(effects: list[Effect]) -> list[Advertise]:
    return [effect for effect in effects if isinstance(effect, Advertise)]


def test_guest_at_a_port_is_the_one_that_is_bound_there() -> None:
    system = System()
    port = system.port(1)
    system.do(NorthboundChanged((port,)))
    system.plug(0, port, 7)
    here, there = (dpid_of(hypervisor.uuid) for hypervisor in system.hypervisors)
    assert system.core.guest_at(here, 7) == (system.network, port)
    assert system.core.guest_at(here, 8) is system.core.guest_at(there, 7) is system.core.guest_at(Dpid(1), 7) is None
    system.plug(1, port, 7)  # before it is unplugged here
    assert system.core.guest_at(there, 7) == (system.network, port) and system.core.guest_at(here, 7) is None
    system.do(NorthboundChanged(deleted=(("port", port.uuid),)))
    assert system.core.guest_at(there, 7) is None


def test_change_of_what_routers_advertise_is_advertised() -> None:
    system = System()
    before = system.network
    network = replace(before, pools=(ip_network("fd00::/64"),))
    assert advertised(system.do(NorthboundChanged((network,)))) == [Advertise(network.uuid, before, None)]
    for same in (replace(network, name="other"), replace(network, vni=Vni(7)), replace(network, lease_s=60)):
        assert advertised(system.do(NorthboundChanged((same,)))) == []
        system.do(NorthboundChanged((network,)))
    for other in (replace(network, mtu=1300), replace(network, dns_servers=(ip_address("fd00::53"),)), replace(network, domain="example")):
        assert advertised(system.do(NorthboundChanged((other,)))) == [Advertise(network.uuid, network, None)]
        system.do(NorthboundChanged((network,)))
    assert advertised(system.do(NorthboundChanged((replace(network, dhcp=False),)))) == []


def test_port_that_takes_the_gateways_address_is_advertised() -> None:
    system = System()
    system.network = system.change(system.network, pools=(ip_network("fd00::/64"),), gateways=(ip_address("fd00::1"),))
    gateway, guest = (replace(system.port(n), addresses=(ip_address(f"fd00::{n}"),)) for n in (1, 2))
    assert advertised(system.do(NorthboundChanged((guest,)))) == []
    assert advertised(system.do(NorthboundChanged((gateway,)))) == [Advertise(system.network.uuid, None, None)]
    renamed = replace(gateway, name="renamed")
    system.do(NorthboundChanged((renamed,)))
    assert system.core.inventory.router_of(system.network) == renamed
    assert advertised(system.do(NorthboundChanged(deleted=(("port", gateway.uuid),)))) == [Advertise(system.network.uuid, None, renamed)]
    assert system.core.inventory.router_of(system.network) is None
