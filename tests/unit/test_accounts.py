"""Counters that stay with a port and a tunnel, whatever the switches that count."""

import struct
from dataclasses import replace
from ipaddress import IPv4Address

from nvo3.accounts import Accounts, PortCount, Tunnel
from nvo3.model.event import NorthboundChanged
from nvo3.model.physical import Hypervisor, HypervisorView, Vport
from nvo3.openflow import encoder
from nvo3.openflow.decoder import CountedFlow, PortStats, counted_flows
from nvo3.pipeline.flow import Field, FlowSpec, Table
from tests.pipeline.world import World, identifier, mac

_FLOW_STATS = struct.Struct("!HBxIIHHHH4xQQQ")
UNKNOWN = (1 << 64) - 1


def stats(ofport: int, n: int, rx_dropped: int = 0) -> PortStats:
    return PortStats(ofport, n, 2 * n, 100 * n, 200 * n, rx_dropped, 0)


def counted(flow: FlowSpec, n_packets: int) -> CountedFlow:
    """A flow as its switch reports it, with 100 bytes a packet."""
    rest = encoder.serialize_match(flow) + encoder.serialize_instructions(flow)
    key, cookie = flow.key, encoder.cookie_of(flow)
    head = _FLOW_STATS.pack(48 + len(rest), key.table, n_packets, 7, key.priority, 0, 0, 0, cookie, n_packets, 100 * n_packets)
    (one,) = counted_flows(memoryview(head + rest))
    return one


class Reader:
    """Reads bridges into accounts."""

    def __init__(self, world: World) -> None:
        self.accounts = Accounts(world.core.inventory)

    def read(self, hypervisor: Hypervisor, *read: PortStats | CountedFlow) -> None:
        ports = [r for r in read if isinstance(r, PortStats)]
        for _ in self.accounts.take(hypervisor.uuid, ports, [r for r in read if isinstance(r, CountedFlow)]):
            pass

    def rx_packets(self, port: str) -> int:
        return self.accounts.ports[identifier(port)].count.rx_packets


def test_a_port_s_counter_goes_on_at_another_hypervisor_and_back() -> None:
    world = World()
    reader = Reader(world)
    reader.read(world.here, stats(1, 10), stats(2, 1000), stats(77, 5))
    reader.read(world.here, stats(1, 15), stats(2, 1000))
    assert reader.rx_packets("r1") == 15 and reader.rx_packets("r2") == 1000

    there = world.core.inventory.hosts[world.there.uuid].view
    world.report(world.there, replace(there, vports=(*there.vports, Vport(identifier("r1"), "tap1", 30))))
    reader.read(world.here, stats(1, 16), stats(2, 1000))  # the old interface is not the port's any more
    reader.read(world.there, stats(30, 4))
    assert reader.rx_packets("r1") == 19 and reader.rx_packets("r2") == 1000

    world.report(world.there, there)
    reader.read(world.here, stats(1, 18))
    assert reader.accounts.ports[identifier("r1")].count == PortCount(22, 2200, 0, 44, 4400, 0)


def test_a_switch_that_begins_anew_adds_to_what_there_was() -> None:
    world = World()
    reader = Reader(world)
    for n in (100, 120, 3, 3, 8):
        reader.read(world.here, stats(1, n))
    assert reader.rx_packets("r1") == 128


def test_a_counter_that_the_switch_does_not_have_is_zero() -> None:
    world = World()
    reader = Reader(world)
    reader.read(world.here, stats(1, 1, rx_dropped=UNKNOWN))
    assert reader.accounts.ports[identifier("r1")].count == PortCount(1, 100, 0, 2, 200, 0)


def test_what_port_security_drops_counts_for_its_port_also_when_the_flow_begins_anew() -> None:
    world = World()
    reader = Reader(world)
    checks = [f for f in world.flows() if f.key.table == Table.PORT_SECURITY and f.owner == identifier("r1")]
    drop = next(f for f in checks if f.goto is None)
    passes = next(f for f in checks if f.goto is not None)
    for n in (5, 7, 2):
        reader.read(world.here, counted(drop, n), counted(passes, 1000))
    assert reader.accounts.ports[identifier("r1")].n_spoofed == 9
    assert identifier("r2") not in reader.accounts.ports


def test_a_tunnel_s_counters_outlive_the_flows_that_count() -> None:
    world = World()
    reader = Reader(world)
    here, there = world.here.uuid, world.there.uuid
    to_there = int(IPv4Address("192.0.2.2"))
    flows = world.flows()
    unicast = next(f for f in flows if f.key.table == Table.L2 and f.owner == identifier("r9"))
    flood = next(f for f in flows if f.key.table == Table.FLOOD and any(getattr(a, "value", 0) == to_there for a in f.actions))
    admit = next(f for f in flows if f.key.table == Table.ADMIT and any(c == (Field.TUN_IPV4_SRC, to_there, None) for c in f.key.match))

    reader.read(world.here, counted(unicast, 10), counted(flood, 3), counted(admit, 8))
    reader.read(world.here, counted(flood, 5))  # the port is gone, and with it the flow
    reader.read(world.here, counted(unicast, 2), counted(flood, 5), counted(admit, 9))
    sent = reader.accounts.tunnels[Tunnel(here, there, "geneve")]
    received = reader.accounts.tunnels[Tunnel(there, here, "geneve")]
    assert (sent.sent_packets, sent.sent_bytes, sent.received_packets) == (17, 1700, 0)
    assert (received.received_packets, received.received_bytes, received.sent_packets) == (17, 1700, 0)


def test_a_frame_to_many_counts_once_for_each_copy() -> None:
    world = World()
    third = Hypervisor(identifier("third"), "third", "tcp:192.0.2.3:6640")
    world.core.handle(NorthboundChanged((third,)), 0.0)
    guest = Vport(identifier("r2"), "r2", 1)
    world.report(third, HypervisorView(IPv4Address("192.0.2.3"), (("vxlan", 65001),), None, (guest,), 1500, mac(0x83)))
    reader = Reader(world)
    flood = [f for f in world.flows() if f.key.table == Table.FLOOD and f.owner == world.red.uuid]
    reader.read(world.here, *(counted(f, 6) for f in flood))
    sent = {tunnel.encapsulation: account.sent_packets for tunnel, account in reader.accounts.tunnels.items()}
    assert sent == {"geneve": 6, "vxlan": 6}


def test_what_is_gone_has_no_account() -> None:
    world = World()
    reader = Reader(world)
    unicast = next(f for f in world.flows() if f.key.table == Table.L2 and f.owner == identifier("r9"))
    reader.read(world.here, stats(1, 1), stats(2, 1), counted(unicast, 1))
    world.core.handle(NorthboundChanged(deleted=(("port", identifier("r1")), ("hypervisor", world.there.uuid))), 0.0)
    reader.accounts.forget()
    assert set(reader.accounts.ports) == {identifier("r2")} and not reader.accounts.tunnels
