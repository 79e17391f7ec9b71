"""The flow table against a model that goes through a list, and what a lookup costs where there are many entries."""

import random
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from nvo3.cvsw.flow import key_of
from nvo3.cvsw.packet_key import PacketKey
from nvo3.cvsw.table import FlowTable
from nvo3.wire.of10 import Command, FlowMod
from nvo3.wire.of10_match import Match
from tests.native.conftest import Tool
from tests.native.fastpath import openflow as of
from tests.native.fastpath.conftest import Switch

_A, _B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
_ADDRESSES = [f"10.0.0.{n}" for n in range(4)]
_EXACT = 1 << 16
_ALL = ("in_port", "dl_src", "dl_dst", "dl_vlan", "dl_vlan_pcp", "dl_type", "nw_tos", "nw_proto", "nw_src", "nw_dst", "tp_src", "tp_dst")

Fields = dict[str, int | str | tuple[str, int]]
_prefixes = st.tuples(st.sampled_from(_ADDRESSES), st.sampled_from([0, 8, 30, 31, 32]))
_values = {
    "in_port": st.sampled_from([of.HOST, of.NET]),
    "dl_src": st.sampled_from([_A, _B]),
    "dl_dst": st.sampled_from([_A, _B]),
    "dl_vlan": st.sampled_from([of.UNTAGGED, 0, 1]),
    "dl_vlan_pcp": st.sampled_from([0, 1]),
    "dl_type": st.sampled_from([0x800, 0x806, 0x86DD]),
    "nw_tos": st.sampled_from([0, 0x28]),
    "nw_proto": st.sampled_from([1, 6, 17]),
    "nw_src": _prefixes,
    "nw_dst": _prefixes,
    "tp_src": st.sampled_from([1, 2]),
    "tp_dst": st.sampled_from([1, 2]),
}
# Many entries with few masks, and some with any.
_fields = st.one_of(
    st.fixed_dictionaries({"dl_src": _values["dl_src"]}),
    st.fixed_dictionaries({"in_port": _values["in_port"]}),
    st.fixed_dictionaries({"dl_type": st.just(0x800), "nw_dst": _prefixes}),
    st.fixed_dictionaries({}, optional=_values),
)


@dataclass(frozen=True)
class _Packet:
    """A packet's fields; vlan None: untagged.  nw_proto of ARP: its operation."""

    dl_src: str
    dl_dst: str
    vlan: tuple[int, int] | None
    dl_type: int
    nw_tos: int
    nw_proto: int
    nw_src: str
    nw_dst: str
    tp_src: int
    tp_dst: int

    def serialize(self) -> bytes:
        head = of.mac_bytes(self.dl_dst) + of.mac_bytes(self.dl_src)
        if self.vlan:
            head += b"\x81\x00" + (self.vlan[0] | self.vlan[1] << 13).to_bytes(2, "big")
        head += self.dl_type.to_bytes(2, "big")
        source, destination = IPv4Address(self.nw_src).packed, IPv4Address(self.nw_dst).packed
        if self.dl_type == 0x806:
            return head + bytes.fromhex("000108000604") + self.nw_proto.to_bytes(2, "big") + bytes(6) + source + bytes(6) + destination
        if self.dl_type == 0x86DD:
            return head + b"\x60" + bytes(39)
        ports = bytes((self.tp_src, self.tp_dst)) if self.nw_proto == 1 else bytes((0, self.tp_src, 0, self.tp_dst))
        ip = bytes((0x45, self.nw_tos, 0, 40, 0, 0, 0, 0, 64, self.nw_proto, 0, 0)) + source + destination
        return head + ip + ports.ljust(20, b"\0")


_packets = st.builds(
    _Packet,
    dl_src=_values["dl_src"],
    dl_dst=_values["dl_dst"],
    vlan=st.none() | st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1])),
    dl_type=_values["dl_type"],
    nw_tos=st.sampled_from([0, 0x28, 0x2B]),
    nw_proto=_values["nw_proto"],
    nw_src=st.sampled_from(_ADDRESSES),
    nw_dst=st.sampled_from(_ADDRESSES),
    tp_src=_values["tp_src"],
    tp_dst=_values["tp_dst"],
)


def _is_in(address: str, prefix: object) -> bool:
    network, length = prefix if isinstance(prefix, tuple) else (prefix, 32)
    return (int(IPv4Address(address)) ^ int(IPv4Address(network))) >> (32 - length) == 0


def _matches(fields: Fields, port: int, p: _Packet) -> bool:
    """Tell what OpenFlow 1.0 says, sections 3.4 and 5.2.3."""
    checks = {
        "in_port": port,
        "dl_src": p.dl_src,
        "dl_dst": p.dl_dst,
        "dl_type": p.dl_type,
        "dl_vlan": p.vlan[0] if p.vlan else of.UNTAGGED,
    }
    if fields.get("dl_vlan") != of.UNTAGGED:
        checks["dl_vlan_pcp"] = p.vlan[1] if p.vlan else -1
    kind = fields.get("dl_type")
    if kind in (0x800, 0x806):
        checks["nw_proto"] = p.nw_proto
        if not (_is_in(p.nw_src, fields.get("nw_src", (p.nw_src, 0))) and _is_in(p.nw_dst, fields.get("nw_dst", (p.nw_dst, 0)))):
            return False
    if kind == 0x800:
        checks["nw_tos"] = p.nw_tos & 0xFC
        if fields.get("nw_proto") in (1, 6, 17):
            checks |= {"tp_src": p.tp_src, "tp_dst": p.tp_dst}
    return all(fields.get(name, value) == value for name, value in checks.items())


def _priority(fields: Fields, priority: int) -> int:
    is_exact = all(name in fields for name in _ALL) and all(
        isinstance(fields[n], tuple) and fields[n][1] == 32 for n in ("nw_src", "nw_dst")
    )
    return _EXACT if is_exact else priority


def _exact_of(p: _Packet, port: int) -> Fields:
    vlan, pcp = p.vlan or (of.UNTAGGED, 0)
    ends: Fields = {"nw_src": (p.nw_src, 32), "nw_dst": (p.nw_dst, 32), "tp_src": p.tp_src, "tp_dst": p.tp_dst}
    return {
        "in_port": port, "dl_src": p.dl_src, "dl_dst": p.dl_dst, "dl_vlan": vlan, "dl_vlan_pcp": pcp, "dl_type": p.dl_type,
        "nw_tos": p.nw_tos & 0xFC, "nw_proto": p.nw_proto, **ends,
    }  # fmt: skip


_operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _fields),
        st.tuples(st.just("exact"), _packets),
        st.tuples(st.just("delete"), st.integers(0, 20)),
        st.tuples(st.just("packet"), _packets),
    ),
    min_size=4,
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(_operations, st.randoms(use_true_random=False))
def test_model(tool: Tool, operations: list[tuple[str, object]], chance: random.Random) -> None:
    switch = Switch(tool)
    try:
        entries: dict[int, tuple[Fields, int]] = {}
        priorities = list(range(100))
        chance.shuffle(priorities)
        for what, value in operations:
            if what in ("add", "exact"):
                fields: Fields = _exact_of(value, chance.choice((1, 2))) if isinstance(value, _Packet) else dict(value)  # type: ignore[call-overload]
                priority = priorities.pop()
                # An entry of the same match and priority is replaced; only those without wildcards have one priority.
                id_ = switch.add(of.match(**fields), of.output(of.IN_PORT), priority)
                entries = {one: entry for one, entry in entries.items() if switch.stats(one)[2]}
                entries[id_] = (fields, _priority(fields, priority))
            elif what == "delete" and entries:
                gone = sorted(entries)[int(str(value)) % len(entries)]
                assert switch.delete(gone) == 0
                del entries[gone]
            elif isinstance(value, _Packet):
                port = chance.choice((of.HOST, of.NET))
                before = {id_: switch.stats(id_)[0] for id_ in entries}
                out = (switch.from_host if port == of.HOST else switch.from_net)(value.serialize())
                met = [id_ for id_ in entries if switch.stats(id_)[0] != before[id_]]
                right = [id_ for id_, (fields, _) in entries.items() if _matches(fields, port, value)]
                best = max((entries[id_][1] for id_ in right), default=None)
                assert len(met) == (1 if right else 0)
                assert not right or (met[0] in right and entries[met[0]][1] == best)
                assert len(out.host) + len(out.net) == 1
    finally:
        switch.close()


def _key_of(p: _Packet, port: int) -> PacketKey:
    """Return a packet as the control side sees it."""
    vlan, pcp = p.vlan or (of.UNTAGGED, 0)
    key = PacketKey(port, of.mac_bytes(p.dl_src), of.mac_bytes(p.dl_dst), vlan, pcp, p.dl_type)
    if p.dl_type == 0x86DD:
        return key
    key = replace(key, nw_proto=p.nw_proto, nw_src=int(IPv4Address(p.nw_src)), nw_dst=int(IPv4Address(p.nw_dst)))
    return key if p.dl_type == 0x806 else replace(key, nw_tos=p.nw_tos, tp_src=p.tp_src, tp_dst=p.tp_dst)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.lists(_fields, min_size=1, max_size=12), st.lists(_packets, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_control_side_agrees(tool: Tool, entries: list[Fields], packets: list[_Packet], chance: random.Random) -> None:
    """The agent's control keeps the same table in Python: what it replaces, forgets and finds is the same."""
    switch, table = Switch(tool), FlowTable(100)
    try:
        ids: dict[int, bytes] = {}
        added = [*entries, *(_exact_of(packet, of.HOST) for packet in packets[:3])]
        for fields, priority in zip(added, chance.sample(range(1 << 16), len(added)), strict=True):
            match = of.match(**fields)
            ids[switch.add(match, of.output(of.IN_PORT), priority)] = key_of(Match.parse(match), priority)
            table.apply(FlowMod(Command.ADD, Match.parse(match), priority), 0.0)
        ids = {id_: key for id_, key in ids.items() if switch.stats(id_)[2]}
        assert sorted(ids.values()) == sorted(entry.flow.key for entry in table)
        for packet in packets:
            port = chance.choice((of.HOST, of.NET))
            before = {id_: switch.stats(id_)[0] for id_ in ids}
            (switch.from_host if port == of.HOST else switch.from_net)(packet.serialize())
            met = [key for id_, key in ids.items() if switch.stats(id_)[0] != before[id_]]
            found = table.lookup(_key_of(packet, port), 0, 0.0)
            assert met == ([found.key] if found else [])
    finally:
        switch.close()


def _entries(switch: Switch, n: int) -> None:
    for i in range(n):
        address = f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"
        switch.add(of.match(in_port=of.HOST, dl_type=0x800, nw_dst=address), of.output(of.IN_PORT), 10)
    switch.add(of.match(in_port=of.HOST, dl_type=0x806), of.output(of.IN_PORT), 5)
    switch.add(of.match(dl_dst=_A), of.output(of.IN_PORT), 1)


def _cost(switch: Switch, n: int) -> float:
    """Return how many entries were compared for a packet that the cache does not know."""
    _entries(switch, n)
    before = switch.counters()
    frames = []
    for i in range(0, 10_000, 25):
        frames.append(bytes(Ether(src=_A, dst=_B) / IP(dst=f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}") / TCP(sport=i)))
    for start in range(0, len(frames), 25):
        out = switch.from_host(*frames[start : start + 25])
        assert len(out.host) == sum(i * 25 < n for i in range(start, start + 25))
    after = switch.counters()
    assert after["classifier_lookups"] - before.get("classifier_lookups", 0) >= 0.95 * len(frames)
    return (after["classifier_compared"] - before.get("classifier_compared", 0)) / len(frames)


def test_cost_does_not_grow(tool: Tool) -> None:
    costs = {}
    for n in (10, 1000, 10_000):
        switch = Switch(tool, 10_010)
        try:
            costs[n] = _cost(switch, n)
        finally:
            switch.close()
    # As many as there are masks, or a bucket's neighbours.
    assert max(costs.values()) < 3


def test_cache_is_asked_first(switch: Switch) -> None:
    _entries(switch, 100)
    frame = bytes(Ether(src=_A, dst=_B) / IP(dst="10.0.0.7") / TCP())
    for _ in range(10):
        switch.from_host(*[frame] * 30)
    assert switch.counters()["classifier_lookups"] == 1
