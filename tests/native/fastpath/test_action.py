"""What actions make of a packet: scapy computes the checksums that must come out."""

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.native.fastpath import openflow as of
from tests.native.fastpath.conftest import GSO_TCPV4, GSO_UDP_L4, NEEDS_CSUM, Frame, Switch, plain

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
_ETHER = Ether(src=A, dst=B)
_IP = IP(src="10.0.0.1", dst="10.0.1.2", tos=0xBA, ttl=9)
_PAYLOAD = Raw(bytes(range(101)))
_INNER = {"tcp": TCP(sport=1000, dport=80, seq=7), "udp": UDP(sport=1000, dport=53), "icmp": ICMP()}


def _run(switch: Switch, packet: Packet | bytes | Frame, *actions: bytes) -> Frame:
    switch.add(of.match(in_port=of.HOST), b"".join(actions) + of.output(of.NET))
    (frame,) = switch.from_host(packet).net
    return frame


def _right(packet: Packet) -> bytes:
    """Return the bytes of a packet with all lengths and checksums computed anew."""
    fresh = packet.copy()
    for layer in (IP, TCP, UDP, ICMP):
        if layer in fresh:
            fresh[layer].chksum = None
    return bytes(fresh)


_CHANGES = {
    "dl_src": (of.set_dl_src(C), lambda p: setattr(p[Ether], "src", C)),
    "dl_dst": (of.set_dl_dst(C), lambda p: setattr(p[Ether], "dst", C)),
    "nw_src": (of.set_nw_src("203.0.113.77"), lambda p: setattr(p[IP], "src", "203.0.113.77")),
    "nw_dst": (of.set_nw_dst("203.0.113.77"), lambda p: setattr(p[IP], "dst", "203.0.113.77")),
    "nw_tos": (of.set_nw_tos(0x48), lambda p: setattr(p[IP], "tos", 0x4A)),
    "tp_src": (of.set_tp_src(65000), lambda p: setattr(p[TCP if TCP in p else UDP], "sport", 65000)),
    "tp_dst": (of.set_tp_dst(65000), lambda p: setattr(p[TCP if TCP in p else UDP], "dport", 65000)),
}


@pytest.mark.parametrize("change", _CHANGES)
@pytest.mark.parametrize("l4", _INNER)
@pytest.mark.parametrize("options", [b"", b"\x94\x04\x00\x00\x01\x01\x01\x00"], ids=["", "options"])
@pytest.mark.parametrize("tagged", [False, True], ids=["", "tagged"])
def test_change(switch: Switch, change: str, l4: str, options: bytes, tagged: bool) -> None:
    ip = _IP.copy()
    ip.options = options
    packet = Ether(bytes(_ETHER / (Dot1Q(vlan=5) / ip if tagged else ip) / _INNER[l4] / _PAYLOAD))
    action, apply = _CHANGES[change]
    if l4 != "icmp" or not change.startswith("tp_"):
        expected = packet.copy()
        apply(expected)
    else:
        expected = packet
    assert _run(switch, packet, action).data == _right(expected)


def test_all_changes_at_once(switch: Switch) -> None:
    packet = Ether(bytes(_ETHER / _IP / _INNER["tcp"] / _PAYLOAD))
    expected = packet.copy()
    for _, apply in _CHANGES.values():
        apply(expected)
    assert _run(switch, packet, *(action for action, _ in _CHANGES.values())).data == _right(expected)


@pytest.mark.parametrize("old", range(0, 65536, 4099))
def test_every_checksum_comes_out_right(switch: Switch, old: int) -> None:
    """Sums around 0 and 0xffff included (RFC 1624)."""
    switch.add(of.match(in_port=of.HOST), of.set_nw_dst("255.255.0.0") + of.set_tp_dst(0xFFFF) + of.output(of.NET))
    for low in (0, 1, 0x7FFF, 0xFFFE, 0xFFFF):
        for l4 in (TCP, UDP):
            packet = Ether(
                bytes(_ETHER / IP(src="0.0.0.0", dst="0.0.0.0", id=old) / l4(sport=old, dport=low) / Raw(struct.pack("!H", low)))
            )
            expected = packet.copy()
            expected[IP].dst, expected[l4].dport = "255.255.0.0", 0xFFFF
            (frame,) = switch.from_host(packet).net
            assert frame.data == _right(expected)


def test_udp_without_checksum_stays_so(switch: Switch) -> None:
    packet = Ether(bytes(_ETHER / _IP / UDP(sport=1, dport=2, chksum=0) / _PAYLOAD))
    frame = _run(switch, packet, of.set_nw_src("1.2.3.4"), of.set_tp_src(99))
    assert frame.packet[UDP].chksum == 0 and frame.packet[UDP].sport == 99


def test_wrong_checksum_stays_wrong(switch: Switch) -> None:
    packet = Ether(bytes(_ETHER / _IP / TCP(chksum=0x1234) / _PAYLOAD))
    good = Ether(bytes(_ETHER / _IP / TCP() / _PAYLOAD))
    wrong_by = (packet[TCP].chksum - good[TCP].chksum) % 0xFFFF
    frame = _run(switch, packet, of.set_nw_src("1.2.3.4"))
    good[IP].src = "1.2.3.4"
    assert (frame.packet[TCP].chksum - Ether(_right(good))[TCP].chksum) % 0xFFFF == wrong_by


def _pseudo(ip: IP, protocol: int, length: int) -> int:
    total = sum(struct.unpack("!6H", bytes(ip)[12:20] + struct.pack("!HH", protocol, length)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("kind", ["partial tcp", "tso", "uso"])
def test_partial_checksum_keeps_the_pseudo_header(switch: Switch, kind: str) -> None:
    """What waits for a NIC to complete it is the sum of the pseudo header, ports left out."""
    l4, protocol, offset = (UDP, 17, 6) if kind == "uso" else (TCP, 6, 16)
    packet = Ether(bytes(_ETHER / _IP / l4(sport=1, dport=2) / Raw(bytes(4000))))
    length = len(packet[l4])
    packet[l4].chksum = _pseudo(packet[IP], protocol, length)
    gso = {"partial tcp": (0, 0), "tso": (GSO_TCPV4, 1400), "uso": (GSO_UDP_L4, 1400)}[kind]
    frame = Frame(bytes(packet), NEEDS_CSUM, gso[0], 54, gso[1], 34, offset)
    out = _run(switch, frame, of.set_nw_src("1.2.3.4"), of.set_nw_dst("250.251.252.253"), of.set_tp_src(0xFFFF), of.set_nw_tos(0xFC))
    assert (out.flags, out.gso_type, out.gso_size, out.csum_start, out.csum_offset) == (NEEDS_CSUM, *gso, 34, offset)
    found = out.packet
    assert found[l4].chksum == _pseudo(found[IP], protocol, length)
    assert (found[IP].src, found[l4].sport, found[IP].tos) == ("1.2.3.4", 0xFFFF, 0xFE)
    header = found[IP].copy()
    header.chksum = None
    assert IP(bytes(header)).chksum == found[IP].chksum


def test_tos_keeps_ecn_and_the_checksum_right(switch: Switch) -> None:
    switch.add(of.match(in_port=of.HOST), of.set_nw_tos(0xB8) + of.output(of.NET))
    for ecn in range(4):
        for dscp in (0, 0x28, 0xFC):
            packet = _ETHER / IP(tos=dscp | ecn, id=dscp << 8 | ecn) / UDP()
            (frame,) = switch.from_host(packet).net
            assert frame.data == bytes(_ETHER / IP(tos=0xB8 | ecn, id=dscp << 8 | ecn) / UDP())


def test_ports_of_a_later_fragment_are_data(switch: Switch) -> None:
    packet = bytes(_ETHER / IP(src="10.0.0.1", frag=100, proto=6) / _PAYLOAD)
    expected = bytes(_ETHER / IP(src="1.2.3.4", frag=100, proto=6) / _PAYLOAD)
    assert _run(switch, packet, of.set_tp_src(1), of.set_tp_dst(2), of.set_nw_src("1.2.3.4")).data == expected


@pytest.mark.parametrize(
    "packet", [_ETHER / ARP(), _ETHER / IPv6() / TCP(), _ETHER / Raw(b"\x08"), Ether(dst=B, src=A, type=0x800) / Raw(b"\x45")]
)
def test_what_is_not_there_is_not_changed(switch: Switch, packet: Packet) -> None:
    actions = (of.set_nw_src("1.2.3.4"), of.set_nw_dst("1.2.3.4"), of.set_nw_tos(4), of.set_tp_src(1), of.set_tp_dst(1), of.strip_vlan())
    assert _run(switch, packet, *actions).data == bytes(packet)


def test_l4_that_is_cut_off_is_not_changed(switch: Switch) -> None:
    switch.add(of.match(in_port=of.HOST), of.set_nw_src("1.2.3.4") + of.set_tp_src(1) + of.output(of.NET))
    for size in range(20):
        packet = _ETHER / IP(src="10.0.0.1", proto=6) / Raw(bytes(size))
        (frame,) = switch.from_host(packet).net
        assert frame.data == bytes(_ETHER / IP(src="1.2.3.4", proto=6) / Raw(bytes(size)))


_VLAN = {
    "set vid": (None, [of.set_vlan_vid(7)], Dot1Q(vlan=7)),
    "set pcp": (None, [of.set_vlan_pcp(5)], Dot1Q(vlan=0, prio=5)),
    "set both": (None, [of.set_vlan_vid(7), of.set_vlan_pcp(5)], Dot1Q(vlan=7, prio=5)),
    "change vid": (Dot1Q(vlan=1, prio=3, dei=1), [of.set_vlan_vid(4095)], Dot1Q(vlan=4095, prio=3, dei=1)),
    "change pcp": (Dot1Q(vlan=1, prio=3, dei=1), [of.set_vlan_pcp(0)], Dot1Q(vlan=1, prio=0, dei=1)),
    "strip": (Dot1Q(vlan=1, prio=3), [of.strip_vlan()], None),
    "strip nothing": (None, [of.strip_vlan()], None),
    "set and strip": (None, [of.set_vlan_vid(7), of.strip_vlan()], None),
}


@pytest.mark.parametrize("name", _VLAN)
@pytest.mark.parametrize("partial", [False, True], ids=["", "partial"])
def test_vlan(switch: Switch, name: str, partial: bool) -> None:
    before, actions, after = _VLAN[name]
    rest = _IP / _INNER["tcp"] / _PAYLOAD
    frame = plain(_ETHER / before / rest if before else _ETHER / rest)
    if partial:
        frame = Frame(frame.data, NEEDS_CSUM, GSO_TCPV4, 54 + 4 * bool(before), 50, 34 + 4 * bool(before), 16)
    out = _run(switch, frame, *actions)
    assert out.data == bytes(_ETHER / after / rest if after else _ETHER / rest)
    if partial:
        assert (out.csum_start, out.hdr_len, out.gso_size) == (34 + 4 * bool(after), 54 + 4 * bool(after), 50)


def test_changes_reach_behind_a_new_tag(switch: Switch) -> None:
    out = _run(switch, _ETHER / _IP / _INNER["tcp"], of.set_vlan_vid(7), of.set_nw_dst("1.2.3.4"))
    expected = _ETHER / Dot1Q(vlan=7) / _IP / _INNER["tcp"]
    expected[IP].dst = "1.2.3.4"
    assert out.data == bytes(expected)


_OUTPUTS = {
    "net": ([of.NET], 0, 1),
    "in_port": ([of.IN_PORT], 1, 0),
    "its own port": ([of.HOST], 0, 0),
    "none": ([of.NONE], 0, 0),
    "no output": ([], 0, 0),
    "flood": ([of.FLOOD], 0, 1),
    "all": ([of.ALL], 0, 1),
    "several": ([of.NET, of.IN_PORT, of.NET], 1, 2),
    "none among others": ([of.NET, of.NONE, of.HOST], 0, 1),
}


@pytest.mark.parametrize("name", _OUTPUTS)
def test_output(switch: Switch, name: str) -> None:
    ports, n_host, n_net = _OUTPUTS[name]
    switch.add(of.match(), b"".join(map(of.output, ports)))
    out = switch.from_host(_ETHER / _IP)
    assert (len(out.host), len(out.net)) == (n_host, n_net)
    assert switch.drops() == ({} if n_host + n_net else {"drop_action": 1})


def test_each_output_has_the_changes_before_it(switch: Switch) -> None:
    switch.add(
        of.match(), of.output(of.NET) + of.set_dl_dst(C) + of.output(of.NET) + of.set_vlan_vid(3) + of.output(of.NET) + of.set_dl_dst(A)
    )
    first, second, third = switch.from_host(_ETHER / _IP / _INNER["udp"]).net
    changed = Ether(src=A, dst=C)
    assert first.data == bytes(_ETHER / _IP / _INNER["udp"])
    assert second.data == bytes(changed / _IP / _INNER["udp"])
    assert third.data == bytes(changed / Dot1Q(vlan=3) / _IP / _INNER["udp"])


_TYPE, _LENGTH, _PORT, _ARGUMENT = 5, 6, 7, 8  # enum fastpath_error
_TUNNEL = of.set_tunnel(of.STT, 1, macs=(A, B), addresses=("192.0.2.1", "192.0.2.2"))
_REFUSED = {
    "unknown type": (struct.pack("!HHxxxx", 12, 8), _TYPE),
    "enqueue": (struct.pack("!HHxxxxxxxxxxxx", 11, 16), _TYPE),
    "vendor": (struct.pack("!HHI", 0xFFFF, 8, 1), _TYPE),
    "tunnel below": (struct.pack("!HHxxxx", 0x1000, 8), _TYPE),
    "tunnel above": (struct.pack("!HHxxxx", 0x100B, 8), _TYPE),
    "length 0": (struct.pack("!HHxxxx", 0, 0), _LENGTH),
    "length of 4": (struct.pack("!HHxxxx", 0, 4), _LENGTH),
    "length not of 8": (struct.pack("!HHxxxxxxxx", 0, 12), _LENGTH),
    "length beyond the end": (struct.pack("!HHxxxx", 0, 16), _LENGTH),
    "output too long": (struct.pack("!HHHxxxxxxxxxx", 0, 16, 1), _LENGTH),
    "MAC too short": (struct.pack("!HHxxxx", 4, 8), _LENGTH),
    "set tunnel too short": (struct.pack("!HH52x", 0x1005, 56), _LENGTH),
    "strip tunnel too long": (struct.pack("!HH12x", 0x1006, 16), _LENGTH),
    "cut off": (of.output(of.NET)[:7], _LENGTH),
    "port 0": (of.output(0), _PORT),
    "port 3": (of.output(3), _PORT),
    "controller": (of.output(of.CONTROLLER), _PORT),
    "table": (of.output(0xFFF9), _PORT),
    "vid": (of.set_vlan_vid(0x1000), _ARGUMENT),
    "pcp": (of.set_vlan_pcp(8), _ARGUMENT),
    "tos": (of.set_nw_tos(1), _ARGUMENT),
    "VNI of 25 bits": (of.set_tunnel(of.VXLAN, 1 << 24, macs=(A, B), addresses=("192.0.2.1", "192.0.2.2")), _ARGUMENT),
    "segments too small": (of.set_tunnel(of.STT, 1, macs=(A, B), addresses=("192.0.2.1", "192.0.2.2"), segment=67), _ARGUMENT),
    "tunnel in a tunnel": (_TUNNEL + _TUNNEL, _ARGUMENT),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_refused(switch: Switch, name: str) -> None:
    actions, error = _REFUSED[name]
    id_ = switch.add(of.match(), of.output(of.NET))
    for before in (b"", of.output(of.NET)):
        assert switch.try_add(of.match(dl_src=A), 1, before + actions) == (error, 0)
        assert switch.modify(id_, before + actions) == error
    assert switch.from_host(_ETHER / _IP).net


def test_every_truncation_is_refused(switch: Switch) -> None:
    actions = _TUNNEL + of.output(of.NET)
    boundaries = (0, 64, 72)
    for size in range(len(actions) + 1):
        assert (switch.try_add(of.match(), 1, actions[:size])[0] == 0) == (size in boundaries)
