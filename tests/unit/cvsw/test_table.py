"""The flow table: OpenFlow 1.0's rules, each by what a packet or a controller would notice."""

from ipaddress import IPv4Network

import pytest

from nvo3.cvsw.flow import Flow
from nvo3.cvsw.packet_key import PacketKey
from nvo3.cvsw.table import Counters, Entry, FlowTable
from nvo3.wire import of10
from nvo3.wire.of10 import Command, FlowMod, Reason
from nvo3.wire.of10_action import Output, SetNwTos, StripTunnel
from nvo3.wire.of10_error import Code, OpenFlowError
from nvo3.wire.of10_match import VLAN_NONE, Match, Tunnel, TunnelMatch

HOST, NET = Output(1), Output(2)
DST = bytes.fromhex("020000000002")
TCP = PacketKey(1, bytes(6), DST, VLAN_NONE, 0, 0x800, 0xB8, 6, 0x0A000001, 0x0A000002, 1000, 80)
EXACT = Match(1, bytes(6), DST, VLAN_NONE, 0, 0x800, 0xB8, 6, IPv4Network("10.0.0.1/32"), IPv4Network("10.0.0.2/32"), 1000, 80)


def add(table: FlowTable, match: Match, priority: int = 100, actions: tuple = (NET,), now: float = 0.0, **fields: int) -> list:
    return table.apply(FlowMod(Command.ADD, match, priority, actions, **fields), now)


def winner(table: FlowTable, packet: PacketKey = TCP, now: float = 0.0) -> tuple | None:
    flow = table.lookup(packet, 100, now)
    return flow.actions if flow else None


def refusal(table: FlowTable, mod: FlowMod) -> Code:
    before = {entry.flow.key: (entry.flow, entry.counters) for entry in table}
    digest = table.digest
    with pytest.raises(OpenFlowError) as caught:
        table.apply(mod, 0.0)
    assert {entry.flow.key: (entry.flow, entry.counters) for entry in table} == before
    assert table.digest == digest
    return caught.value.code


@pytest.fixture
def table() -> FlowTable:
    return FlowTable(8)


IPV4 = {"dl_type": 0x800}
OVER_TCP = {"dl_type": 0x800, "nw_proto": 6}


@pytest.mark.parametrize(
    "match",
    [
        Match(),
        Match(in_port=1),
        Match(dl_src=bytes(6)),
        Match(dl_dst=DST),
        Match(dl_vlan=VLAN_NONE),
        Match(dl_type=0x800),
        Match(**IPV4, nw_tos=0xB8),
        Match(**OVER_TCP),
        Match(**IPV4, nw_src=IPv4Network("10.0.0.0/8")),
        Match(**IPV4, nw_dst=IPv4Network("10.0.0.0/30")),
        Match(**IPV4, nw_dst=IPv4Network("10.0.0.2/32")),
        Match(**OVER_TCP, tp_src=1000),
        Match(**OVER_TCP, tp_dst=80),
        EXACT,
    ],
)
def test_match_takes_the_packet(table: FlowTable, match: Match) -> None:
    add(table, match)
    assert winner(table) == (NET,)


@pytest.mark.parametrize(
    "match",
    [
        Match(in_port=2),
        Match(dl_src=DST),
        Match(dl_dst=bytes(6)),
        Match(dl_vlan=0),
        Match(dl_vlan=5),
        Match(dl_vlan_pcp=1),
        Match(dl_vlan_pcp=0),
        Match(dl_type=0x806),
        Match(**IPV4, nw_tos=0),
        Match(**IPV4, nw_proto=17),
        Match(**IPV4, nw_src=IPv4Network("11.0.0.0/8")),
        Match(**IPV4, nw_dst=IPv4Network("10.0.0.4/30")),
        Match(**OVER_TCP, tp_src=1001),
        Match(**OVER_TCP, tp_dst=81),
        Match(tunnel=TunnelMatch(Tunnel.VXLAN, 0, 0)),
    ],
)
def test_match_leaves_the_packet(table: FlowTable, match: Match) -> None:
    add(table, match)
    assert winner(table) is None


@pytest.mark.parametrize(
    ("match", "means"),
    [
        (Match(dl_vlan=VLAN_NONE, dl_vlan_pcp=3), Match(dl_vlan=VLAN_NONE)),
        (Match(nw_proto=17, nw_tos=4, nw_src=IPv4Network("1.2.3.4/32"), tp_dst=1), Match()),
        (Match(dl_type=0x806, nw_tos=4, nw_proto=1, tp_src=7), Match(dl_type=0x806, nw_proto=1)),
        (Match(dl_type=0x86DD, nw_proto=6, tp_dst=80), Match(dl_type=0x86DD)),
        (Match(**IPV4, tp_dst=80), Match(**IPV4)),
        (Match(**IPV4, nw_proto=47, tp_dst=80), Match(**IPV4, nw_proto=47)),
    ],
)
def test_fields_without_a_meaning_do_not_count(table: FlowTable, match: Match, means: Match) -> None:
    add(table, match, actions=(HOST,))
    add(table, means, actions=(NET,))
    [entry] = table
    assert (entry.flow.match, entry.flow.actions) == (means, (NET,))


def test_priority_without_a_vlan_is_of_tagged_packets(table: FlowTable) -> None:
    add(table, Match(dl_vlan_pcp=0))
    assert winner(table, PacketKey(dl_vlan=5)) == (NET,)
    assert winner(table, PacketKey(dl_vlan=0)) == (NET,)
    assert winner(table, PacketKey(dl_vlan=5, dl_vlan_pcp=1)) is None


def test_ecn_is_not_of_the_tos_that_is_matched(table: FlowTable) -> None:
    add(table, Match(**IPV4, nw_tos=0xB8))
    assert winner(table, PacketKey(dl_type=0x800, nw_tos=0xB8 | 3)) == (NET,)


@pytest.mark.parametrize(
    ("match", "takes"),
    [
        (TunnelMatch(Tunnel.STT, 5001, 24), True),
        (TunnelMatch(Tunnel.STT, 5001, 32), False),
        (TunnelMatch(Tunnel.STT, 0x07001389, 32), True),
        (TunnelMatch(Tunnel.STT, 0, 0), True),
        (TunnelMatch(Tunnel.STT, 5002, 24), False),
        (TunnelMatch(Tunnel.VXLAN, 5001, 24), False),
    ],
)
def test_tunnel_match(table: FlowTable, match: TunnelMatch, takes: bool) -> None:
    add(table, Match(in_port=2, tunnel=match), actions=(StripTunnel(Tunnel.STT), HOST))
    packet = PacketKey(in_port=2, tp_src=40000, tp_dst=7471, tunnel=Tunnel.STT, tunnel_id=0x07001389)
    assert (winner(table, packet) is not None) == takes


def test_tunnel_packet_is_still_a_packet(table: FlowTable) -> None:
    add(table, Match(in_port=2, **OVER_TCP, tp_dst=7471))
    assert winner(table, PacketKey(in_port=2, **OVER_TCP, tp_dst=7471, tunnel=Tunnel.STT, tunnel_id=1)) == (NET,)


def test_higher_priority_first(table: FlowTable) -> None:
    add(table, Match(dl_dst=DST), 5, (HOST,))
    add(table, Match(in_port=1), 6, (NET,))
    add(table, Match(), 4, ())
    assert winner(table) == (NET,)


def test_exact_match_is_before_every_priority(table: FlowTable) -> None:
    add(table, Match(dl_dst=DST), 65535, (HOST,))
    add(table, EXACT, 0, (NET,))
    assert winner(table) == (NET,)


def test_exact_matches_are_identical_whatever_their_priorities(table: FlowTable) -> None:
    add(table, EXACT, 1, (HOST,))
    add(table, EXACT, 2, (NET,))
    assert len(table) == 1
    assert winner(table) == (NET,)


def test_identical_entry_is_replaced_with_its_counters(table: FlowTable) -> None:
    add(table, Match(), actions=(HOST,), cookie=1, flags=of10.FLAG_SEND_FLOW_REM)
    winner(table)
    assert add(table, Match(), actions=(NET,), cookie=2, now=5.0) == [], "a replaced entry is not told of"
    [stats] = table.stats(of10.FlowStatsRequest(), 6.0)
    assert (stats.cookie, stats.actions, stats.n_packets, stats.n_bytes, stats.duration_ns) == (2, (NET,), 0, 0, 10**9)


def test_another_priority_is_another_entry(table: FlowTable) -> None:
    add(table, Match(), 1)
    add(table, Match(), 2)
    assert len(table) == 2


@pytest.mark.parametrize(
    ("other", "overlaps"),
    [
        (Match(in_port=1), True),
        (Match(), True),
        (Match(dl_dst=DST), True),
        (Match(**IPV4, nw_src=IPv4Network("10.0.0.0/9")), True),
        (Match(in_port=2), False),
        (Match(**IPV4, nw_src=IPv4Network("11.0.0.0/8")), False),
    ],
)
def test_overlap_is_refused_where_asked(table: FlowTable, other: Match, overlaps: bool) -> None:
    add(table, Match(in_port=1, **IPV4, nw_src=IPv4Network("10.0.0.0/8")))
    mod = FlowMod(Command.ADD, other, 100, flags=of10.FLAG_CHECK_OVERLAP)
    if overlaps:
        assert refusal(table, mod) is Code.FMFC_OVERLAP
    else:
        table.apply(mod, 0.0)
    add(table, other)


def test_other_priorities_do_not_overlap(table: FlowTable) -> None:
    add(table, Match(), 1)
    add(table, Match(), 2, flags=of10.FLAG_CHECK_OVERLAP)
    assert len(table) == 2


def test_full_table(table: FlowTable) -> None:
    for i in range(8):
        add(table, Match(in_port=i))
    assert refusal(table, FlowMod(Command.ADD, Match(in_port=8), 100)) is Code.FMFC_ALL_TABLES_FULL
    assert refusal(table, FlowMod(Command.MODIFY, Match(in_port=8), 100)) is Code.FMFC_ALL_TABLES_FULL
    add(table, Match(in_port=7), actions=(HOST,))
    assert len(table) == 8


@pytest.mark.parametrize("port", [0, 3, 0xFFF9, 0xFFFA, 0xFFFD, 0xFFFE])
def test_port_that_a_vnic_does_not_have(table: FlowTable, port: int) -> None:
    assert refusal(table, FlowMod(Command.ADD, Match(), actions=(Output(port),))) is Code.BAC_BAD_OUT_PORT


@pytest.mark.parametrize("port", [1, 2, 0xFFF8, 0xFFFB, 0xFFFC, 0xFFFF])
def test_port_that_a_vnic_has(table: FlowTable, port: int) -> None:
    add(table, Match(), actions=(Output(port),))
    assert winner(table) == (Output(port),)


def test_modify_is_loose(table: FlowTable) -> None:
    add(table, Match(in_port=1, dl_type=0x800), 1, (HOST,), cookie=7, idle_timeout=9)
    add(table, Match(in_port=1), 2, (HOST,))
    add(table, Match(in_port=2), 2, (HOST,))
    winner(table)
    table.apply(FlowMod(Command.MODIFY, Match(in_port=1), 9, (NET,), cookie=8), 1.0)
    found = {stats.match: stats for stats in table.stats(of10.FlowStatsRequest(), 2.0)}
    assert found[Match(in_port=1, dl_type=0x800)].actions == found[Match(in_port=1)].actions == (NET,)
    assert found[Match(in_port=2)].actions == (HOST,)
    first = found[Match(in_port=1, dl_type=0x800)]
    assert (first.cookie, first.idle_timeout, first.duration_ns) == (7, 9, 2 * 10**9), "only actions change"
    assert sum(stats.n_packets for stats in found.values()) == 1, "counters go on"


def test_modify_strict_takes_the_identical_entry(table: FlowTable) -> None:
    add(table, Match(in_port=1), 1, (HOST,))
    add(table, Match(in_port=1), 2, (HOST,))
    table.apply(FlowMod(Command.MODIFY_STRICT, Match(in_port=1), 1, (NET,)), 0.0)
    assert {entry.flow.priority: entry.flow.actions for entry in table} == {1: (NET,), 2: (HOST,)}


@pytest.mark.parametrize("command", [Command.MODIFY, Command.MODIFY_STRICT])
def test_modify_of_nothing_adds(table: FlowTable, command: Command) -> None:
    add(table, Match(in_port=2), actions=(HOST,))
    table.apply(FlowMod(command, Match(in_port=1), 5, (NET,), cookie=3), 0.0)
    assert {entry.flow.match.in_port: entry.flow.cookie for entry in table} == {2: 0, 1: 3}


def test_delete_is_loose(table: FlowTable) -> None:
    add(table, Match(**IPV4, nw_src=IPv4Network("10.1.0.0/16")), 1, flags=of10.FLAG_SEND_FLOW_REM, cookie=4)
    add(table, Match(**IPV4, nw_src=IPv4Network("10.0.0.0/8")), 2)
    add(table, Match(**IPV4, nw_src=IPv4Network("10.0.0.0/7")), 3)
    add(table, Match(in_port=1), 4)
    [removed] = table.apply(FlowMod(Command.DELETE, Match(**IPV4, nw_src=IPv4Network("10.0.0.0/8"))), 2.5)
    assert {entry.flow.priority for entry in table} == {3, 4}
    assert (removed.cookie, removed.priority, removed.reason, removed.duration_ns) == (4, 1, Reason.DELETE, 2_500_000_000)


def test_delete_of_all(table: FlowTable) -> None:
    for i in range(8):
        add(table, Match(in_port=i), i)
    assert table.apply(FlowMod(Command.DELETE, Match()), 0.0) == []
    assert (len(table), table.digest) == (0, 0)


def test_delete_strict_takes_the_identical_entry(table: FlowTable) -> None:
    add(table, Match(in_port=1), 1)
    add(table, Match(in_port=1), 2)
    add(table, Match(in_port=1, dl_type=0x800), 1)
    table.apply(FlowMod(Command.DELETE_STRICT, Match(in_port=1), 1), 0.0)
    assert {(entry.flow.match.dl_type, entry.flow.priority) for entry in table} == {(None, 2), (0x800, 1)}
    table.apply(FlowMod(Command.DELETE_STRICT, Match(), 2), 0.0)
    assert len(table) == 2


@pytest.mark.parametrize("command", [Command.DELETE, Command.DELETE_STRICT])
def test_delete_by_output(table: FlowTable, command: Command) -> None:
    add(table, Match(in_port=1), 1, (HOST,))
    table.apply(FlowMod(command, Match(in_port=1), 1, out_port=2), 0.0)
    assert len(table) == 1
    table.apply(FlowMod(command, Match(in_port=1), 1, out_port=1), 0.0)
    assert len(table) == 0


def test_out_port_is_not_of_modifications(table: FlowTable) -> None:
    add(table, Match(), actions=(HOST,))
    table.apply(FlowMod(Command.MODIFY, Match(), actions=(NET,), out_port=2), 0.0)
    assert winner(table) == (NET,)


def test_hard_timeout(table: FlowTable) -> None:
    add(table, Match(), hard_timeout=10, flags=of10.FLAG_SEND_FLOW_REM)
    assert table.next_deadline == 10.0
    assert winner(table, now=9.0) == (NET,)
    assert table.expire(9.99) == []
    [removed] = table.expire(10.0)
    assert (removed.reason, removed.n_packets, removed.n_bytes) == (Reason.HARD_TIMEOUT, 1, 100)
    assert (len(table), table.next_deadline) == (0, None)


def test_idle_timeout_starts_again_with_each_packet(table: FlowTable) -> None:
    add(table, Match(), idle_timeout=10, flags=of10.FLAG_SEND_FLOW_REM)
    winner(table, now=8.0)
    assert table.expire(10.0) == []
    assert table.next_deadline == 18.0
    assert table.expire(17.9) == []
    [removed] = table.expire(18.0)
    assert removed.reason is Reason.IDLE_TIMEOUT


def test_earlier_timeout_counts(table: FlowTable) -> None:
    add(table, Match(), idle_timeout=10, hard_timeout=12, flags=of10.FLAG_SEND_FLOW_REM)
    for now in (5.0, 10.0, 11.0):
        winner(table, now=now)
    [removed] = table.expire(20.0)
    assert removed.reason is Reason.HARD_TIMEOUT


def test_replacement_starts_timeouts_again(table: FlowTable) -> None:
    add(table, Match(), hard_timeout=10)
    add(table, Match(), hard_timeout=10, now=5.0)
    table.expire(14.0)
    assert len(table) == 1
    table.expire(15.0)
    assert len(table) == 0


def test_expiry_is_told_only_where_asked(table: FlowTable) -> None:
    add(table, Match(), hard_timeout=1)
    assert table.expire(1.0) == []
    assert len(table) == 0


def test_replacing_forever_takes_no_memory(table: FlowTable) -> None:
    for i in range(1000):
        add(table, Match(), hard_timeout=60000, now=float(i))
    assert len(table._deadlines) < 50


def test_statistics_select(table: FlowTable) -> None:
    add(table, Match(in_port=1), 1, (HOST,))
    add(table, Match(in_port=1, dl_type=0x800), 2, (NET,))
    add(table, Match(in_port=2), 3, (NET,))
    assert {s.priority for s in table.stats(of10.FlowStatsRequest(Match(in_port=1)), 0.0)} == {1, 2}
    assert {s.priority for s in table.stats(of10.FlowStatsRequest(out_port=2), 0.0)} == {2, 3}
    buckets = [table.stats(of10.FlowStatsRequest(), 0.0, 2, bucket) for bucket in range(4)]
    assert sorted(s.priority for bucket in buckets for s in bucket) == [1, 2, 3]


def test_digest_is_of_the_content_not_of_the_order() -> None:
    one, other = FlowTable(8), FlowTable(8)
    flows = [Flow(Match(in_port=i), 5, (SetNwTos(4 * i), NET), i) for i in range(5)]
    for flow in flows:
        one.apply(flow.add(), 0.0)
    for flow in reversed(flows):
        other.apply(flow.add(), 3.0)
    assert one.digest == other.digest != 0
    for change in ({"cookie": 9}, {"idle_timeout": 1}, {"hard_timeout": 1}, {"flags": 1}, {"actions": ()}, {"priority": 6}):
        before = one.digest
        one.apply(FlowMod(**{"command": Command.ADD, "match": Match(in_port=1), "priority": 5, "actions": (NET,), **change}), 0.0)
        assert one.digest != before


class _Fast:
    """A datapath that notes what it is told, and refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.flows: dict[bytes, tuple] = {}
        self.told: list[str] = []
        self.refuses = False
        self.refuses_in_port: int | None = None
        self.now_used: float | None = None

    def put(self, entry: Entry) -> None:
        self._take("put", entry)

    def modify(self, entry: Entry) -> None:
        self._take("modify", entry)

    def _take(self, what: str, entry: Entry) -> None:
        if self.refuses or (self.refuses_in_port is not None and entry.flow.match.in_port == self.refuses_in_port):
            raise OpenFlowError(Code.FMFC_UNSUPPORTED, "not this one")
        self.told.append(what)
        self.flows[entry.flow.key] = entry.flow.actions

    def remove(self, entry: Entry) -> None:
        self.told.append("remove")
        del self.flows[entry.flow.key]

    def counters(self, entry: Entry) -> Counters:
        return Counters(7, 700, self.now_used)


def test_datapath_gets_every_change_and_has_the_counters() -> None:
    fast = _Fast()
    table = FlowTable(8, fast)
    add(table, Match(), 1, (HOST,), idle_timeout=10, flags=of10.FLAG_SEND_FLOW_REM)
    add(table, Match(), 1, (NET,), idle_timeout=10, flags=of10.FLAG_SEND_FLOW_REM)
    table.apply(FlowMod(Command.MODIFY, Match(), 1, (HOST,)), 0.0)
    [stats] = table.stats(of10.FlowStatsRequest(), 0.0)
    assert (stats.n_packets, stats.n_bytes) == (7, 700)
    fast.now_used = 8.0
    assert table.expire(10.0) == []
    [removed] = table.expire(18.0)
    assert (removed.n_packets, removed.n_bytes) == (7, 700)
    assert fast.told == ["put", "put", "modify", "remove"]
    assert fast.flows == {}


def test_what_the_datapath_refuses_changes_nothing() -> None:
    fast = _Fast()
    table = FlowTable(8, fast)
    add(table, Match(), 1, (HOST,))
    fast.refuses = True
    assert refusal(table, FlowMod(Command.ADD, Match(in_port=1), 1)) is Code.FMFC_UNSUPPORTED
    assert refusal(table, FlowMod(Command.ADD, Match(), 1)) is Code.FMFC_UNSUPPORTED
    assert refusal(table, FlowMod(Command.MODIFY, Match(), 1, (NET,))) is Code.FMFC_UNSUPPORTED
    assert fast.told == ["put"]


def test_modification_of_which_a_part_is_refused_changes_nothing() -> None:
    fast = _Fast()
    table = FlowTable(8, fast)
    for in_port in (1, 2, 3):
        add(table, Match(in_port=in_port), 1, (HOST,))
    fast.refuses_in_port = 2
    assert refusal(table, FlowMod(Command.MODIFY, Match(), 1, (NET,))) is Code.FMFC_UNSUPPORTED
    assert set(fast.flows.values()) == {(HOST,)}


def test_clear() -> None:
    fast = _Fast()
    table = FlowTable(8, fast)
    add(table, Match(in_port=1), hard_timeout=1)
    add(table, Match(in_port=2))
    table.clear()
    assert (len(table), table.digest, fast.flows) == (0, 0, {})
    assert table.expire(2.0) == []


def test_buckets_are_of_the_table_as_it_is(table: FlowTable) -> None:
    def told() -> list[tuple[int, int]]:
        replies = [table.stats(of10.FlowStatsRequest(), 0.0, 2, bucket) for bucket in range(4)]
        return sorted((entry.match.in_port or 0, len(entry.actions)) for reply in replies for entry in reply)

    for in_port in (1, 2, 3):
        add(table, Match(in_port=in_port))
    assert told() == [(1, 1), (2, 1), (3, 1)]
    add(table, Match(in_port=4))
    add(table, Match(in_port=2), actions=())
    table.apply(FlowMod(Command.DELETE_STRICT, Match(in_port=1), 100), 0.0)
    table.apply(FlowMod(Command.MODIFY_STRICT, Match(in_port=3), 100, (HOST, NET)), 0.0)
    assert told() == [(2, 0), (3, 2), (4, 1)]
    table.clear()
    assert told() == []
