"""What a flow entry matches: packets by scapy, matches by OpenFlow 1.0's specification."""

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.native.fastpath import openflow as of
from tests.native.fastpath.conftest import Switch

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
_ETHER = Ether(src=A, dst=B)
_IP = _ETHER / IP(src="10.0.0.1", dst="10.0.1.2", tos=0xB8)
_TCP = _IP / TCP(sport=1000, dport=80)
_SNAP = Ether(src=A, dst=B, type=28) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x800)


def _matches(switch: Switch, match: bytes, packet: Packet | bytes) -> bool:
    """Tell whether a packet from the guest's stack meets an entry: what it meets comes back."""
    id_ = switch.add(match, of.output(of.IN_PORT))
    out = switch.from_host(packet)
    assert len(out.host) + len(out.net) == 1
    assert switch.stats(id_)[0] == len(out.host)
    switch.delete(id_)
    return bool(out.host)


_PACKETS: dict[str, tuple[Packet, dict[str, int | str], dict[str, int | str]]] = {
    "in_port": (_TCP, {"in_port": of.HOST}, {"in_port": of.NET}),
    "dl_src": (_TCP, {"dl_src": A}, {"dl_src": B}),
    "dl_dst": (_TCP, {"dl_dst": B}, {"dl_dst": A}),
    "dl_type": (_TCP, {"dl_type": 0x800}, {"dl_type": 0x806}),
    "ipv6": (_ETHER / IPv6() / TCP(), {"dl_type": 0x86DD}, {"dl_type": 0x800}),
    "802.2": (Ether(src=A, dst=B, type=20) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(bytes(17)), {"dl_type": 0x5FF}, {"dl_type": 20}),
    "snap": (_SNAP / IP(), {"dl_type": 0x800}, {"dl_type": 0x5FF}),
    "vlan": (_ETHER / Dot1Q(vlan=7, prio=5) / IP(), {"dl_vlan": 7}, {"dl_vlan": 8}),
    "vlan of none": (_TCP, {"dl_vlan": of.UNTAGGED}, {"dl_vlan": 0}),
    "untagged is not tagged": (_ETHER / Dot1Q(vlan=0) / IP(), {"dl_vlan": 0}, {"dl_vlan": of.UNTAGGED}),
    "pcp": (_ETHER / Dot1Q(vlan=7, prio=5) / IP(), {"dl_vlan": 7, "dl_vlan_pcp": 5}, {"dl_vlan": 7, "dl_vlan_pcp": 4}),
    "pcp of any vlan": (_ETHER / Dot1Q(vlan=7, prio=0) / IP(), {"dl_vlan_pcp": 0}, {"dl_vlan_pcp": 1}),
    "type in a tag": (_ETHER / Dot1Q(vlan=7) / IP(), {"dl_type": 0x800}, {"dl_type": 0x8100}),
    "nw_proto": (_TCP, {"dl_type": 0x800, "nw_proto": 6}, {"dl_type": 0x800, "nw_proto": 17}),
    "nw_tos": (_TCP, {"dl_type": 0x800, "nw_tos": 0xB8}, {"dl_type": 0x800, "nw_tos": 0x28}),
    "nw_src": (_TCP, {"dl_type": 0x800, "nw_src": "10.0.0.1"}, {"dl_type": 0x800, "nw_src": "10.0.0.2"}),
    "nw_dst": (_TCP, {"dl_type": 0x800, "nw_dst": "10.0.1.2"}, {"dl_type": 0x800, "nw_dst": "10.0.0.2"}),
    "tcp": (_TCP, {"dl_type": 0x800, "nw_proto": 6, "tp_dst": 80}, {"dl_type": 0x800, "nw_proto": 6, "tp_dst": 81}),
    "udp": (_IP / UDP(sport=53), {"dl_type": 0x800, "nw_proto": 17, "tp_src": 53}, {"dl_type": 0x800, "nw_proto": 17, "tp_src": 54}),
    "icmp": (
        _IP / ICMP(type=8, code=3),
        {"dl_type": 0x800, "nw_proto": 1, "tp_src": 8, "tp_dst": 3},
        {"dl_type": 0x800, "nw_proto": 1, "tp_src": 0},
    ),
    "arp": (
        _ETHER / ARP(op=2, psrc="10.0.0.1", pdst="10.0.0.9"),
        {"dl_type": 0x806, "nw_proto": 2, "nw_src": "10.0.0.1", "nw_dst": "10.0.0.9"},
        {"dl_type": 0x806, "nw_proto": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _PACKETS)
def test_field(switch: Switch, name: str) -> None:
    packet, right, wrong = _PACKETS[name]
    assert _matches(switch, of.match(**right), packet)
    assert not _matches(switch, of.match(**wrong), packet)


@pytest.mark.parametrize("field", ["nw_src", "nw_dst"])
@pytest.mark.parametrize("prefix", range(33))
def test_prefix(switch: Switch, field: str, prefix: int) -> None:
    inside, outside = 0x0A0000FF ^ (1 << 31 - prefix if prefix < 32 else 0), 0x0A0000FF ^ (1 << 32 - prefix if prefix else 0)
    match = of.match(dl_type=0x800, **{field: ("10.0.0.255", prefix)})
    name = {"nw_src": "src", "nw_dst": "dst"}[field]
    for address, expected in ((inside, True), (outside, prefix == 0)):
        text = ".".join(str(byte) for byte in struct.pack("!I", address & 0xFFFFFFFF))
        assert _matches(switch, match, _ETHER / IP(**{name: text}) / TCP()) == expected


def test_tos_is_matched_without_ecn(switch: Switch) -> None:
    assert _matches(switch, of.match(dl_type=0x800, nw_tos=0xB8), _ETHER / IP(tos=0xBB))


def _exact(**changes: int | str | tuple[str, int]) -> bytes:
    fields: dict[str, int | str | tuple[str, int]] = {
        "in_port": of.HOST, "dl_src": A, "dl_dst": B, "dl_vlan": of.UNTAGGED, "dl_vlan_pcp": 0, "dl_type": 0x800, "nw_tos": 0xB8,
        "nw_proto": 6, "nw_src": "10.0.0.1", "nw_dst": "10.0.1.2", "tp_src": 1000, "tp_dst": 80,
    }  # fmt: skip
    return of.match(**(fields | changes))


def test_match_without_wildcards(switch: Switch) -> None:
    assert struct.unpack_from("!I", _exact())[0] == 0
    assert _matches(switch, _exact(), _TCP)
    assert not _matches(switch, _exact(tp_dst=81), _TCP)


def test_match_without_wildcards_is_above_every_priority(switch: Switch) -> None:
    exact = switch.add(_exact(), of.output(of.NET), priority=0)
    other = switch.add(of.match(in_port=of.HOST), of.output(of.IN_PORT), priority=65535)
    assert switch.from_host(_TCP).net
    assert (switch.stats(exact)[0], switch.stats(other)[0]) == (1, 0)


def test_fields_without_meaning_do_not_matter(switch: Switch) -> None:
    """OpenFlow 1.0, section 3.4: network and transport fields count only where the type and the protocol give them a meaning."""
    assert _matches(switch, of.match(nw_src="9.9.9.9", nw_proto=99, tp_dst=9), _TCP)
    assert _matches(switch, of.match(dl_type=0x86DD, nw_src="9.9.9.9", tp_dst=9), _ETHER / IPv6())
    assert _matches(switch, of.match(dl_type=0x800, nw_proto=47, tp_dst=9), _ETHER / IP(proto=47) / Raw(bytes(8)))


def test_ip_options_are_not_taken_for_ports(switch: Switch) -> None:
    packet = _ETHER / IP(options=b"\x94\x04\x00\x00" * 3) / TCP(dport=80)
    assert _matches(switch, of.match(dl_type=0x800, nw_proto=6, tp_dst=80), packet)


@pytest.mark.parametrize(("offset", "has_ports"), [(0, True), (1, False), (0x200, False), (0x1000, False), (0x1FFF, False)])
def test_only_the_first_fragment_has_ports(switch: Switch, offset: int, has_ports: bool) -> None:
    """0x200 and 0x1000 are where a mask of 9 bits sees no offset."""
    packet = _ETHER / IP(flags="MF", frag=offset, proto=6) / Raw(struct.pack("!HH", 1000, 80) + bytes(16))
    assert _matches(switch, of.match(dl_type=0x800, nw_proto=6, tp_dst=80), packet) == has_ports
    assert _matches(switch, of.match(dl_type=0x800, nw_proto=6, tp_src=0, tp_dst=0), packet) != has_ports


def test_cut_off_headers(switch: Switch) -> None:
    data = bytes(Ether(src=A, dst=B) / IP(len=40) / TCP(dport=80))
    for size in range(14, len(data)):
        # An IP packet of which bytes are missing has no fields but the type.
        assert not _matches(switch, of.match(dl_type=0x800, nw_proto=6), data[:size])
        assert _matches(switch, of.match(dl_type=0x800), data[:size])


@pytest.mark.parametrize("size", range(14))
def test_runt(switch: Switch, size: int) -> None:
    assert not switch.from_host(bytes(size)).net
    assert switch.drops() == {"drop_short": 1}


def test_highest_priority_wins(switch: Switch) -> None:
    by_priority = {
        1: switch.add(of.match(in_port=of.HOST), of.output(of.IN_PORT), priority=1),
        3: switch.add(of.match(dl_type=0x800), of.output(of.IN_PORT), priority=3),
        2: switch.add(of.match(dl_src=A), of.output(of.IN_PORT), priority=2),
    }
    for priority in (3, 2, 1):
        assert switch.from_host(_TCP).host
        assert {one: switch.stats(id_)[0] for one, id_ in by_priority.items()} == {one: int(one == priority) for one in by_priority}
        switch.delete(by_priority.pop(priority))


def test_priority_after_a_deletion(switch: Switch) -> None:
    """The flow cache has seen the packet; what it has seen is worthless then."""
    high = switch.add(of.match(dl_type=0x800), of.output(of.IN_PORT), priority=3)
    low = switch.add(of.match(dl_src=A), of.output(of.NET), priority=2)
    assert switch.from_host(_TCP).host
    switch.delete(high)
    assert switch.from_host(_TCP).net
    assert switch.stats(low)[0] == 1
    switch.add(of.match(dl_type=0x800), of.output(of.IN_PORT), priority=3)
    assert switch.from_host(_TCP).host


def test_same_match_and_priority_replace(switch: Switch) -> None:
    old = switch.add(of.match(dl_src=A), of.output(of.IN_PORT), priority=3)
    new = switch.add(of.match(dl_src=A), of.output(of.NET), priority=3)
    assert not switch.stats(old)[2] and switch.stats(new)[2]
    assert switch.from_host(_TCP).net


def test_modify_keeps_counters(switch: Switch) -> None:
    id_ = switch.add(of.match(dl_src=A), of.output(of.IN_PORT))
    assert switch.from_host(_TCP).host
    assert switch.modify(id_, of.output(of.NET)) == 0
    assert switch.from_host(_TCP).net
    assert switch.stats(id_) == (2, 2 * len(_TCP), True)


def test_ids_are_not_used_again(switch: Switch) -> None:
    seen = set()
    for _ in range(50):
        id_ = switch.add(of.match(dl_src=A), of.output(of.NET))
        assert id_ not in seen
        seen.add(id_)
        assert switch.delete(id_) == 0
        assert switch.delete(id_) and switch.modify(id_, b"")
    assert not any(switch.stats(id_)[2] for id_ in seen)


def test_miss_passes_untouched_both_ways(switch: Switch) -> None:
    assert switch.from_host(_TCP).net[0].data == bytes(_TCP)
    assert switch.from_net(_TCP).host[0].data == bytes(_TCP)
    switch.miss_drops()
    assert not switch.from_host(_TCP).net and not switch.from_net(_TCP).host
    assert switch.drops() == {"drop_miss": 2}


def test_table_is_bounded(switch: Switch) -> None:
    for i in range(1000):
        switch.add(of.match(nw_src=f"10.0.{i >> 8}.{i & 255}", dl_type=0x800))
    error, _ = switch.try_add(of.match(dl_src=A))
    assert error == 4  # FASTPATH_TABLE_FULL
    switch.clear()
    switch.add(of.match(dl_src=A))


@pytest.mark.parametrize("match", [of.match(tunnel=6), of.match(tunnel=255), of.match(tunnel=1, id_bits=33)])
def test_tunnel_that_there_is_not(switch: Switch, match: bytes) -> None:
    assert switch.try_add(match)[0] == 3  # FASTPATH_BAD_MATCH
