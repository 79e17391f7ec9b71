"""What leaves in a tunnel: taken apart by scapy, and by what was written from the STT draft alone."""

import random
import struct

import pytest
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from nvo3.wire.checksum import checksum
from tests.native.fastpath import openflow as of
from tests.native.fastpath.conftest import GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, Frame, Switch, plain
from tests.netns import stt_layer

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
MACS = ("02:aa:00:00:00:02", "02:aa:00:00:00:01")
ADDRESSES = ("192.0.2.2", "192.0.2.1")
VNI = 0x123456
_ETHER = Ether(src=A, dst=B)
_DATAGRAMS = {"vxlan": of.VXLAN, "geneve": of.GENEVE, "nvgre": of.NVGRE}
_NOISE = random.Random(3).randbytes(65483)


def tunnel(switch: Switch, kind: int, *more: bytes, id_: int = VNI, flags: int = 0, segment: int = 0) -> None:
    action = of.set_tunnel(kind, id_, macs=MACS, addresses=ADDRESSES, flags=flags, segment=segment)
    switch.add(of.match(in_port=of.HOST), action + b"".join(more) + of.output(of.NET))


def large(family: int = 4, size: int = 60000, *, mss: int = 1400, udp: bool = False, between: list[Packet] | None = None) -> Frame:
    """Return a frame that its stack leaves to be cut."""
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=65530, tos=2) if family == 4 else IPv6(src="fd00::1", dst="fd00::2", tc=2)
    for header in between or []:
        ip /= header
    l4 = UDP(sport=5000, dport=6000) if udp else TCP(sport=5000, dport=6000, seq=0xFFFFF000, flags="PAF", options=[("Timestamp", (1, 2))])
    packet = Ether(bytes(_ETHER / ip / l4 / Raw(_NOISE[:size])))
    start = len(packet) - len(packet[type(l4)])
    data = bytearray(bytes(packet))
    offset = 6 if udp else 16
    head = bytes(packet[IP])[12:20] if family == 4 else bytes(packet[IPv6])[8:40]
    length = len(packet[type(l4)])
    partial = ~checksum(head + struct.pack("!II", length, 17 if udp else 6)) & 0xFFFF
    data[start + offset : start + offset + 2] = struct.pack("!H", partial)
    kind = GSO_UDP_L4 if udp else GSO_TCPV4 if family == 4 else GSO_TCPV6
    return Frame(bytes(data), NEEDS_CSUM, kind, start + (8 if udp else 32), mss, start, offset)


def check_outer(frame: Frame, protocol: int, mtu: int = 1500) -> IP:
    """Check what all outer headers have in common and return IP."""
    ether = frame.packet
    assert (ether.dst, ether.src, ether.type) == (*MACS, 0x800)
    ip = ether[IP]
    assert (ip.dst, ip.src) == ADDRESSES
    assert (ip.proto, ip.flags, ip.frag, ip.ttl, ip.ihl) == (protocol, "DF", 0, 128, 5)
    assert ip.len == len(frame.data) - 14
    assert frame.gso_type or ip.len <= mtu
    assert checksum(bytes(ip)[:20]) == 0
    return ip


def inner_of(frame: Frame, kind: str) -> bytes:
    """Take a packet of VXLAN, NVGRE or Geneve apart and return what is in it."""
    assert (frame.flags, frame.gso_type) == (0, 0)
    ip = check_outer(frame, 47 if kind == "nvgre" else 17)
    if kind == "nvgre":
        gre = GRE(bytes(ip.payload))
        assert (gre.key_present, gre.chksum_present, gre.seqnum_present, gre.version, gre.proto) == (1, 0, 0, 0, 0x6558)
        assert gre.key == VNI << 8  # VSID, FlowID 0 (RFC 7637, section 3.2)
        return bytes(ip.payload)[8:]
    udp = ip[UDP]
    assert udp.chksum == 0 and udp.len == ip.len - 20 and 32768 <= udp.sport < 61000
    payload = bytes(udp.payload)
    if kind == "vxlan":
        assert udp.dport == 4789
        assert bytes(VXLAN(flags="Instance", vni=VNI)) == payload[:8]
    else:
        assert udp.dport == 6081
        geneve = GENEVE(payload[:8])
        assert (geneve.version, geneve.optionlen, geneve.oam, geneve.critical, geneve.proto, geneve.vni) == (0, 0, 0, 0, 0x6558, VNI)
    return payload[8:]


def check_cut(original: Frame, parts: list[bytes]) -> None:
    """Check that packets are what a NIC makes of a large TCP or UDP frame, by scapy's checksums."""
    whole = original.packet
    l4 = UDP if original.gso_type == GSO_UDP_L4 else TCP
    rest = bytes(whole[l4].payload)
    for index, data in enumerate(parts):
        packet = Ether(data)
        payload = rest[index * original.gso_size : (index + 1) * original.gso_size]
        expected = Ether(original.data[: len(original.data) - len(rest)] + payload)
        is_last = index == len(parts) - 1
        if IP in expected:
            expected[IP].len = None
            expected[IP].id = (whole[IP].id + index) & 0xFFFF
            expected[IP].chksum = None
        else:
            expected[IPv6].plen = whole[IPv6].plen - len(rest) + len(payload)
        if l4 is TCP:
            expected[TCP].seq = (whole[TCP].seq + index * original.gso_size) & 0xFFFFFFFF
            expected[TCP].flags = "FPA" if is_last else "A"
        else:
            expected[UDP].len = None
        expected[l4].chksum = None
        assert packet == Ether(bytes(expected)) and data == bytes(expected)
    assert sum(len(bytes(Ether(data)[l4].payload)) for data in parts) == len(rest)


@pytest.mark.parametrize("kind", _DATAGRAMS)
@pytest.mark.parametrize(
    "inner", [_ETHER / IP() / UDP() / Raw(b"hello"), _ETHER / ARP(), _ETHER / IPv6() / TCP(), _ETHER / Dot1Q(vlan=9) / IP(), _ETHER]
)
def test_datagram(switch: Switch, kind: str, inner: Packet) -> None:
    tunnel(switch, _DATAGRAMS[kind])
    (frame,) = switch.from_host(inner).net
    assert inner_of(frame, kind) == bytes(inner)


@pytest.mark.parametrize("kind", _DATAGRAMS)
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
@pytest.mark.parametrize("size", [1, 1300, 1301, 60000])
def test_datagrams_of_a_large_frame(switch: Switch, kind: str, family: int, udp: bool, size: int) -> None:
    tunnel(switch, _DATAGRAMS[kind])
    original = large(family, size, mss=1300, udp=udp)
    frames = switch.from_host(original).net
    assert len(frames) == -(-size // 1300)
    check_cut(original, [inner_of(frame, kind) for frame in frames])
    assert len({frame.packet[IP].id for frame in frames}) == len(frames)


@pytest.mark.parametrize("kind", _DATAGRAMS)
@pytest.mark.parametrize("mss", [216, 536, 1000, 1398])
def test_datagrams_have_the_segment_size_of_the_frame(switch: Switch, kind: str, mss: int) -> None:
    """Whatever that is: none is fixed."""
    tunnel(switch, _DATAGRAMS[kind])
    original = large(4, 4 * mss + 1, mss=mss)
    frames = [inner_of(frame, kind) for frame in switch.from_host(original).net]
    check_cut(original, frames)
    assert [len(Ether(frame)[TCP].payload) for frame in frames] == [mss] * 4 + [1]


@pytest.mark.parametrize("kind", _DATAGRAMS)
def test_ipv6_extension_headers_are_stepped_over(switch: Switch, kind: str) -> None:
    """Their length counts units of 8 bytes."""
    tunnel(switch, _DATAGRAMS[kind])
    extensions = [IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(bytes((6, 2)) + b"\x01\x14" + bytes(20))]
    original = large(6, 5000, mss=1300, between=extensions)
    assert original.csum_start == 14 + 40 + 8 + 24
    frames = switch.from_host(original).net
    assert len(frames) == 4
    check_cut(original, [inner_of(frame, kind) for frame in frames])


@pytest.mark.parametrize("kind", _DATAGRAMS)
@pytest.mark.parametrize("family", [4, 6])
def test_partial_checksum_is_completed(switch: Switch, kind: str, family: int) -> None:
    tunnel(switch, _DATAGRAMS[kind])
    original = large(family, 1000)
    frame = Frame(original.data, NEEDS_CSUM, 0, 0, 0, original.csum_start, original.csum_offset)
    (out,) = switch.from_host(frame).net
    expected = frame.packet
    expected[TCP].chksum = None
    assert inner_of(out, kind) == bytes(expected)


@pytest.mark.parametrize("kind", _DATAGRAMS)
def test_too_large_for_the_underlay(switch: Switch, kind: str) -> None:
    switch.underlay("192.0.2.1", MACS[1], 1450)
    tunnel(switch, _DATAGRAMS[kind])
    room = 1450 - 20 - (8 if kind == "nvgre" else 16)
    assert len(switch.from_host(bytes(_ETHER / Raw(bytes(room - 14)))).net) == 1
    assert not switch.from_host(bytes(_ETHER / Raw(bytes(room - 13)))).net
    assert not switch.from_host(large(4, 10000, mss=1420)).net
    assert switch.drops() == {"drop_too_large": 2}


def test_action_names_its_own_mtu(switch: Switch) -> None:
    tunnel(switch, of.VXLAN, segment=600)
    assert not switch.from_host(bytes(_ETHER / Raw(bytes(600)))).net
    assert switch.from_host(bytes(_ETHER / Raw(bytes(600 - 36 - 14)))).net


def _stt_frame(frame: Frame, mtu: int = 1500) -> stt_layer.STT:
    """Take an STT super-packet as a NIC does and return the frame in it."""
    ip = check_outer(frame, 6)
    tcp = ip[TCP]
    total = len(bytes(tcp.payload))
    assert (frame.flags, frame.csum_start, frame.csum_offset) == (NEEDS_CSUM, 34, 16)
    if total > mtu - 40:
        assert (frame.gso_type, frame.gso_size, frame.hdr_len) == (GSO_TCPV4, mtu - 40, 54)
    else:
        assert frame.gso_type == 0
    pseudo = ~checksum(bytes(ip)[12:20] + struct.pack("!HH", 6, ip.len - 20)) & 0xFFFF
    assert tcp.chksum == pseudo
    assert (tcp.dport, tcp.seq, tcp.dataofs, tcp.flags, tcp.urgptr) == (7471, total << 16, 5, "PA", 0)
    assert 32768 <= tcp.sport < 61000
    return stt_layer.STT(bytes(tcp.payload))


@pytest.mark.parametrize("inner", [_ETHER / IP() / UDP() / Raw(b"hello"), _ETHER / ARP(), _ETHER / IPv6() / TCP(), _ETHER])
def test_stt(switch: Switch, inner: Packet) -> None:
    tunnel(switch, of.STT, id_=0xFEDCBA9876543210)
    (frame,) = switch.from_host(inner).net
    stt = _stt_frame(frame)
    assert stt.context_id == 0xFEDCBA9876543210
    assert (stt.version, stt.flags, stt.l4_offset, stt.mss, stt.v, stt.padding) == (0, 0, 0, 0, 0, 0)
    assert bytes(stt.payload) == bytes(inner)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [1000, 60000, 65000])
def test_stt_of_a_large_frame(switch: Switch, family: int, size: int) -> None:
    """It crosses whole, and its state in the header."""
    tunnel(switch, of.STT)
    original = large(family, size)
    (frame,) = switch.from_host(original).net
    stt = _stt_frame(frame)
    assert (stt.flags.checksum_partial, stt.flags.checksum_verified) == (True, False)
    assert (stt.flags.ipv4, stt.flags.tcp, stt.mss, stt.l4_offset) == (family == 4, True, original.gso_size, original.csum_start)
    assert bytes(stt.payload) == original.data


def test_stt_of_a_partial_checksum(switch: Switch) -> None:
    tunnel(switch, of.STT)
    original = large(4, 500, udp=True)
    (frame,) = switch.from_host(Frame(original.data, NEEDS_CSUM, 0, 0, 0, 34, 6)).net
    stt = _stt_frame(frame)
    assert (stt.flags.checksum_partial, stt.flags.tcp, stt.mss, stt.l4_offset) == (True, False, 0, 34)
    assert bytes(stt.payload) == original.data


@pytest.mark.parametrize("tci", [0x0001, 0x0FFF, 0xE000, 0xA064])
def test_stt_carries_the_tag_in_its_header(switch: Switch, tci: int) -> None:
    tunnel(switch, of.STT)
    inner = _ETHER / Dot1Q(vlan=tci & 0xFFF, prio=tci >> 13) / IP() / UDP()
    (frame,) = switch.from_host(inner).net
    stt = _stt_frame(frame)
    assert (stt.v, stt.vid, stt.pcp) == (1, tci & 0xFFF, tci >> 13)
    assert bytes(stt.payload) == bytes(_ETHER / IP() / UDP())


def test_stt_leaves_the_other_tags(switch: Switch) -> None:
    tunnel(switch, of.STT)
    (frame,) = switch.from_host(_ETHER / Dot1AD(vlan=2) / Dot1Q(vlan=1) / IP()).net
    stt = _stt_frame(frame)
    assert (stt.v, bytes(stt.payload)) == (0, bytes(_ETHER / Dot1AD(vlan=2) / Dot1Q(vlan=1) / IP()))


def test_stt_tag_of_a_large_frame(switch: Switch) -> None:
    tunnel(switch, of.STT)
    original = large(4, 3000)
    tagged = original.data[:12] + b"\x81\x00\x00\x05" + original.data[12:]
    (frame,) = switch.from_host(Frame(tagged, NEEDS_CSUM, GSO_TCPV4, 70, 1400, 38, 16)).net
    stt = _stt_frame(frame)
    assert (stt.vid, stt.l4_offset, stt.mss, bytes(stt.payload)) == (5, 34, 1400, original.data)


@pytest.mark.parametrize("case", ["uso", "ecn"])
def test_stt_cuts_what_it_cannot_describe(switch: Switch, case: str) -> None:
    tunnel(switch, of.STT)
    original = large(4, 5000, udp=case == "uso", mss=1300)
    if case == "ecn":
        original = Frame(original.data, NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 66, 1300, 34, 16)
    frames = switch.from_host(original).net
    inner = [_stt_frame(frame) for frame in frames]
    assert all(not stt.flags.checksum_partial and not stt.mss for stt in inner)
    check_cut(Frame(original.data, NEEDS_CSUM, original.gso_type & 0x7F, 0, 1300, 34), [bytes(stt.payload) for stt in inner])


def test_stt_ids_differ(switch: Switch) -> None:
    tunnel(switch, of.STT)
    frames = switch.from_host(*[_ETHER / IP() / UDP()] * 20).net
    assert len({frame.packet[TCP].ack for frame in frames}) == 20


def test_source_port_by_inner_flow(switch: Switch) -> None:
    tunnel(switch, of.VXLAN)
    ports = {}
    for sport in (*range(1000, 1050), *range(1000, 1050)):
        for ip in (IP(), IPv6()):
            (frame,) = switch.from_host(_ETHER / ip / UDP(sport=sport)).net
            ports.setdefault((sport, ip.version), set()).add(frame.packet[UDP].sport)
    assert all(len(found) == 1 for found in ports.values())
    assert len(set().union(*ports.values())) > 90


@pytest.mark.parametrize("kind", [of.VXLAN, of.NVGRE, of.STT, of.GENEVE, of.SCLP])
@pytest.mark.parametrize("ecn", range(4))
def test_ecn_is_copied_and_dscp_is_not(switch: Switch, kind: int, ecn: int) -> None:
    tunnel(switch, kind)
    for inner in (_ETHER / IP(tos=0xB8 | ecn), _ETHER / IPv6(tc=0xB8 | ecn), _ETHER / ARP()):
        (frame,) = switch.from_host(inner).net
        assert frame.packet[IP].tos == (0 if ARP in inner else ecn)


@pytest.mark.parametrize("flags", [0, of.UDP], ids=["native", "udp"])
@pytest.mark.parametrize("size", [0, 20, 60000])
@pytest.mark.parametrize("family", [4, 6])
def test_sclp(switch: Switch, flags: int, size: int, family: int) -> None:
    """Records are parsed here from the format's description; docs/protocols/sclp.md."""
    tunnel(switch, of.SCLP, flags=flags | of.OFFLOAD)
    original = large(family, size) if size else plain(_ETHER / IP() / UDP())
    frame = _sclp_frame(switch.from_host(original).net, bool(flags))
    head, inner = frame[:8], frame[8:]
    if size:
        state = bytes((2 | 8 | (4 if family == 4 else 0),))
        assert head == b"\x08" + state + struct.pack("!H", 1400) + VNI.to_bytes(3, "big") + bytes((original.csum_start,))
    else:
        assert head == b"\x08\0\0\0" + VNI.to_bytes(3, "big") + b"\0"
    assert inner == original.data


def _sclp_frame(frames: list[Frame], is_udp: bool) -> bytes:
    """Take the packets of one frame apart, as a NIC cuts them, and return it."""
    records = []
    for frame in frames:
        ip = check_outer(frame, 17 if is_udp else 234)
        payload = bytes(ip.payload)
        assert frame.flags == NEEDS_CSUM and frame.csum_start == 34
        if not is_udp:
            assert (frame.csum_offset, frame.gso_type, payload[10:12]) == (10, 0, bytes(2))
            records.append(payload)
            continue
        assert frame.csum_offset == 6
        assert struct.unpack_from("!HH", payload, 2) == (7234, len(payload))
        pitch = frame.gso_size if frame.gso_type else len(payload)
        assert frame.gso_type in (0, GSO_UDP_L4) and pitch <= 1472
        records += [payload[8 + at : 8 + at + pitch] for at in range(0, len(payload) - 8, pitch)]
    sources, ids, whole = set(), set(), b""
    remaining = None
    for index, record in enumerate(records):
        source, destination, id_, behind, _ = struct.unpack_from("!HHIHH", record)
        assert destination == 4789 and id_ & 1 == (index == 0)
        sources.add(source)
        ids.add(id_ >> 1)
        whole += record[12:]
        assert remaining is None or behind + len(record) - 12 == remaining
        remaining = behind
    assert remaining == 0 and len(sources) == len(ids) == 1
    return whole


@pytest.mark.parametrize("flags", [0, of.UDP], ids=["native", "udp"])
def test_sclp_without_offload_state(switch: Switch, flags: int) -> None:
    """A peer that has not offered to take it gets complete packets."""
    tunnel(switch, of.SCLP, flags=flags)
    original = large(4, 5000, mss=1300)
    frames = switch.from_host(original).net
    assert len(frames) == 4
    inner = [_sclp_frame([frame], bool(flags)) for frame in frames]
    assert {frame[:8] for frame in inner} == {b"\x08\0\0\0" + VNI.to_bytes(3, "big") + b"\0"}
    check_cut(original, [frame[8:] for frame in inner])


def test_actions_after_the_tunnel_change_what_is_outside(switch: Switch) -> None:
    more = (
        of.set_dl_dst(A),
        of.set_nw_dst("198.51.100.9"),
        of.set_nw_tos(0x20),
        of.set_tp_dst(4790),
        of.set_vlan_vid(6),
        of.set_vlan_pcp(1),
    )
    tunnel(switch, of.VXLAN, *more)
    (frame,) = switch.from_host(_ETHER / IP(tos=2) / UDP()).net
    outer = frame.packet
    assert (outer.dst, outer[Dot1Q].vlan, outer[Dot1Q].prio) == (A, 6, 1)
    assert (outer[IP].dst, outer[IP].tos, outer[UDP].dport) == ("198.51.100.9", 0x22, 4790)
    assert frame.data.endswith(bytes(_ETHER / IP(tos=2) / UDP()))


def test_more_changes_of_what_is_outside(switch: Switch) -> None:
    more = (of.set_vlan_vid(6), of.strip_vlan(), of.set_dl_src(B), of.set_nw_src("198.51.100.8"), of.set_tp_src(77))
    tunnel(switch, of.GENEVE, *more)
    (frame,) = switch.from_host(_ETHER / IP() / UDP()).net
    outer = frame.packet
    assert (outer.src, outer.type, outer[IP].src, outer[UDP].sport) == (B, 0x800, "198.51.100.8", 77)
    assert frame.data.endswith(bytes(_ETHER / IP() / UDP()))


def test_more_packets_than_one_batch_has_room_for(switch: Switch) -> None:
    """All arrive, in order."""
    tunnel(switch, of.VXLAN)
    original = large(4, 60000, mss=1300)
    frames = switch.from_host(*[original] * 10).net
    assert len(frames) == 10 * 47
    for start in range(0, len(frames), 47):
        check_cut(original, [inner_of(frame, "vxlan") for frame in frames[start : start + 47]])


def test_partial_checksum_that_no_header_can_tell_is_completed(switch: Switch) -> None:
    """As of a tunnel inside: the checksum is not that of the outermost TCP or UDP."""
    for kind, size in ((of.STT, 18), (of.SCLP, 8)):
        tunnel(switch, kind, flags=of.OFFLOAD)
        inner = bytearray(bytes(_ETHER / IP() / UDP() / Raw(b"\x11\x22\0\0\x33\x44")))
        (frame,) = switch.from_host(Frame(bytes(inner), NEEDS_CSUM, 0, 0, 0, 42, 2)).net
        inner[44:46] = struct.pack("!H", checksum(bytes(inner[42:])))
        assert frame.data.endswith(bytes(inner))
        assert frame.data[-len(inner) - size + 1] == 0  # no state


@pytest.mark.parametrize("kind", [of.STT, of.SCLP])
def test_larger_than_the_encapsulation(switch: Switch, kind: int) -> None:
    tunnel(switch, kind)
    assert not switch.from_host(bytes(_ETHER / Raw(bytes(65530)))).net
    assert switch.drops() == {"drop_too_large": 1}


def test_large_frame_larger_than_stt(switch: Switch) -> None:
    """It goes in parts."""
    tunnel(switch, of.STT)
    original = large(4, 65420, mss=1400)
    assert len(original.data) > 65477
    check_cut(original, [bytes(_stt_frame(frame).payload) for frame in switch.from_host(original).net])


@pytest.mark.parametrize("mtu", [600, 1500, 9000])
def test_segments_follow_the_mtu(switch: Switch, mtu: int) -> None:
    """Of the action, or else of the vNIC: nothing is fixed."""
    original = large(4, 60000)
    for segment, vnic in ((mtu, 9000), (0, mtu), (9000, mtu)):
        switch.underlay("192.0.2.1", MACS[1], vnic)
        tunnel(switch, of.STT, segment=segment)
        (frame,) = switch.from_host(original).net
        assert frame.gso_size == mtu - 40
        tunnel(switch, of.SCLP, flags=of.OFFLOAD, segment=segment)
        frames = switch.from_host(original).net
        assert max(len(frame.data) for frame in frames) == 14 + mtu
        tunnel(switch, of.SCLP, flags=of.OFFLOAD | of.UDP, segment=segment)
        assert {frame.gso_size for frame in switch.from_host(original).net[:1]} == {mtu - 28}


def test_two_destinations(switch: Switch) -> None:
    """Head-end replication: out of one tunnel, into the next."""
    one = of.set_tunnel(of.STT, 1, macs=MACS, addresses=ADDRESSES)
    two = of.set_tunnel(of.VXLAN, VNI, macs=MACS, addresses=ADDRESSES)
    switch.add(of.match(), one + of.output(of.NET) + of.strip_tunnel(of.STT) + two + of.output(of.NET))
    original = large(4, 3000, mss=1300)
    first, *others = switch.from_host(original).net
    assert bytes(_stt_frame(first).payload) == original.data
    check_cut(original, [inner_of(frame, "vxlan") for frame in others])


def test_outer_headers_do_not_go_to_the_guest(switch: Switch) -> None:
    switch.add(of.match(), of.set_tunnel(of.STT, 1, macs=MACS, addresses=ADDRESSES) + of.output(of.IN_PORT))
    out = switch.from_host(_ETHER / IP())
    assert not out.host and not out.net and switch.drops() == {"drop_outer_to_host": 1}


def test_nothing_is_left_of_the_guests_large_frame_that_lies(switch: Switch) -> None:
    for kind in (of.VXLAN, of.STT, of.SCLP):
        tunnel(switch, kind, flags=of.OFFLOAD)
        for packet in (_ETHER / ARP(), _ETHER / IP(proto=6) / Raw(bytes(30)), _ETHER / IP(frag=5, proto=6) / Raw(bytes(99))):
            assert not switch.from_host(Frame(bytes(packet), NEEDS_CSUM, GSO_TCPV4, 54, 100, 34, 2)).net
    assert switch.drops() == {"drop_segmentation": 9}
