"""What arrives in a tunnel, made by scapy and by the formats' descriptions, and what the guest's stack gets of it."""

import itertools
import random
import struct

import pytest
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from nvo3.wire.checksum import checksum
from tests.native.fastpath import openflow as of
from tests.native.fastpath.conftest import DATA_VALID, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, Frame, Switch, plain
from tests.native.fastpath.test_encap import large
from tests.netns import stt_layer

OURS, THEIRS = "192.0.2.1", "192.0.2.2"
_MAC = "02:aa:00:00:00:01"
_ETHER = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
_OUTER = Ether(src="02:aa:00:00:00:02", dst=_MAC) / IP(src=THEIRS, dst=OURS, flags="DF", ttl=64)
_INNER = _ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / Raw(b"hello" * 20)
VNI = 0xABCDEF
_KINDS = {"vxlan": of.VXLAN, "nvgre": of.NVGRE, "stt": of.STT, "geneve": of.GENEVE, "sclp": of.SCLP}
_PLAIN = ("vxlan", "nvgre", "geneve")


def wrap(kind: str, inner: Packet | bytes, outer: Packet = _OUTER, vni: int = VNI, **udp: int) -> Packet:
    data = Raw(inner if isinstance(inner, bytes) else bytes(inner))
    match kind:
        case "vxlan":
            return outer / UDP(sport=40000, dport=4789, **udp) / Raw(struct.pack("!II", 0x08000000, vni << 8)) / data
        case "nvgre":
            return outer / GRE(proto=0x6558, key_present=1, key=vni << 8 | 0x55) / data
        case "geneve":
            return outer / UDP(sport=40000, dport=6081, **udp) / Raw(bytes(GENEVE(vni=vni, proto=0x6558))) / data
        case "stt":
            (packet,) = stt_segments(bytes(data), outer=outer, context_id=vni, mtu=65535)
            return packet
        case _:
            (packet,) = sclp_segments(bytes(data), outer=outer, vni=vni, mtu=65535)
            return packet


def stt_segments(inner: bytes, *, outer: Packet = _OUTER, id_: int = 7, mtu: int = 1500, **header: int) -> list[Packet]:
    return stt_layer.segments(stt_layer.STT(**header) / Raw(inner), outer, id_, mtu)


def sclp_segments(
    inner: bytes, *, outer: Packet = _OUTER, vni: int = VNI, id_: int = 7, mtu: int = 1500, state: bytes = bytes(3), l4: int = 0
) -> list[Packet]:
    frame = b"\x08" + state + vni.to_bytes(3, "big") + bytes((l4,)) + inner
    room, packets = mtu - 32, []
    for at in range(0, len(frame), room):
        data = frame[at : at + room]
        record = struct.pack("!HHIHH", 40000, 4789, id_ << 1 | (at == 0), len(frame) - at - len(data), 0)
        record = record[:10] + struct.pack("!H", checksum(record + data)) + data
        outer_ip = outer.copy()
        outer_ip[IP].proto = 234
        packets.append(outer_ip / Raw(record))
    return packets


def sclp_records(packets: list[Packet]) -> bytes:
    """Return the records of native packets, without their checksums, as they stand in a UDP super-packet."""
    records = (bytes(packet[IP].payload) for packet in packets)
    return b"".join(record[:10] + bytes(2) + record[12:] for record in records)


def udp_super(records: bytes, pitch: int, flags: int = NEEDS_CSUM) -> Frame:
    packet = _OUTER / UDP(sport=40000, dport=7234, chksum=0x1234) / Raw(records)
    return Frame(bytes(packet), flags, GSO_UDP_L4, 42, pitch, 34, 6)


@pytest.fixture(autouse=True)
def strips(switch: Switch) -> dict[str, int]:
    """The entries that strip each kind of tunnel with our VNI."""
    switch.underlay(OURS, _MAC)
    return {
        name: switch.add(of.match(kind, VNI, in_port=of.NET, nw_src=THEIRS, dl_type=0x800), of.strip_tunnel(kind) + of.output(of.HOST))
        for name, kind in _KINDS.items()
    }


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(
    "inner", [_INNER, _ETHER / IPv6() / TCP() / Raw(b"x"), _ETHER / ARP(), _ETHER / Dot1Q(vlan=3) / IP() / Raw(bytes(30))]
)
def test_inner_frame(switch: Switch, strips: dict[str, int], kind: str, inner: Packet) -> None:
    out = switch.from_net(wrap(kind, inner))
    assert out.host == [plain(inner)] and not out.net
    assert {name: switch.stats(id_)[0] for name, id_ in strips.items()} == {name: int(name == kind) for name in strips}


@pytest.mark.parametrize("kind", _KINDS)
def test_ethernet_padding_and_ip_options(switch: Switch, kind: str) -> None:
    outer = _OUTER.copy()
    outer[IP].options = b"\x94\x04\x00\x00" * 3
    packet = bytes(wrap(kind, _INNER, outer))
    assert switch.from_net(packet + bytes(20)).host == [plain(_INNER)]


@pytest.mark.parametrize("kind", _KINDS)
def test_other_network_source_or_destination(switch: Switch, kind: str) -> None:
    assert not switch.from_net(wrap(kind, _INNER, vni=VNI ^ 1)).host
    other = _OUTER.copy()
    other[IP].src = "192.0.2.3"
    assert not switch.from_net(wrap(kind, _INNER, other)).host
    assert switch.drops() == {"drop_no_entry": 2}

    # To somebody else it is no tunnel's packet, and passes.
    other[IP].dst = "192.0.2.9"
    packet = wrap(kind, _INNER, other)
    assert switch.from_net(packet).host == [plain(packet)]


@pytest.mark.parametrize("kind", _KINDS)
def test_no_tunnels_without_an_underlay_address(switch: Switch, kind: str) -> None:
    switch.underlay("0.0.0.0", _MAC)
    packet = wrap(kind, _INNER)
    assert switch.from_net(packet).host == [plain(packet)]


@pytest.mark.parametrize("kind", _KINDS)
def test_tunnel_from_the_guests_stack_is_none(switch: Switch, kind: str) -> None:
    packet = wrap(kind, _INNER)
    assert switch.from_host(packet).net == [plain(packet)]


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("n_bits", [0, 1, 8, 24, 32])
def test_low_bits_of_the_id(switch: Switch, kind: str, n_bits: int) -> None:
    switch.clear()
    switch.add(of.match(_KINDS[kind], VNI, n_bits), of.strip_tunnel(_KINDS[kind]) + of.output(of.HOST))
    for bit in range(24):
        assert bool(switch.from_net(wrap(kind, _INNER, vni=VNI ^ 1 << bit)).host) == (bit >= n_bits)


@pytest.mark.parametrize("prefix", [0, 1, 8, 16, 24, 31, 32])
@pytest.mark.parametrize("pcp", [None, 5])
def test_tunnel_match_beside_a_prefix_and_a_priority(switch: Switch, prefix: int, pcp: int | None) -> None:
    """In the published form their wildcard bits are the same."""
    switch.clear()
    fields: dict[str, int | tuple[str, int]] = {"dl_type": 0x800, "nw_dst": (OURS, prefix)} | ({} if pcp is None else {"dl_vlan_pcp": pcp})
    switch.add(of.match(of.VXLAN, VNI, **fields), of.strip_tunnel(of.VXLAN) + of.output(of.HOST))
    tagged = Ether(src=_OUTER.src, dst=_MAC) / Dot1Q(vlan=3, prio=5) / _OUTER[IP]
    assert bool(switch.from_net(wrap("vxlan", _INNER)).host) == (pcp is None)
    assert switch.from_net(wrap("vxlan", _INNER, tagged)).host == [plain(_INNER)]
    assert not switch.from_net(wrap("geneve", _INNER, tagged)).host


def test_upper_bits_of_a_context_id(switch: Switch) -> None:
    """The VNI is the low 24 bits of ours; what is above is of no matter."""
    assert switch.from_net(*stt_segments(bytes(_INNER), context_id=0xFEDCBA9876 << 24 | VNI)).host == [plain(_INNER)]


@pytest.mark.parametrize("kind", _KINDS)
def test_strip_of_another_tunnel(switch: Switch, kind: str) -> None:
    switch.clear()
    other = of.VXLAN if kind != "vxlan" else of.STT
    switch.add(of.match(), of.strip_tunnel(other) + of.output(of.HOST))
    out = switch.from_net(wrap(kind, _INNER))
    assert not out.host and switch.drops() == {"drop_no_tunnel": 1}


def test_strip_of_no_tunnel(switch: Switch) -> None:
    switch.add(of.match(), of.strip_tunnel(of.VXLAN) + of.output(of.HOST), 99)
    assert not switch.from_net(_INNER).host
    assert not switch.from_host(_INNER).net
    assert switch.drops() == {"drop_no_tunnel": 2}


def test_actions_after_the_strip_change_the_inner_frame(switch: Switch) -> None:
    actions = of.strip_tunnel(of.STT) + of.set_dl_dst("02:00:00:00:00:77") + of.set_nw_dst("10.9.9.9") + of.set_vlan_vid(4)
    switch.add(of.match(of.STT, VNI), actions + of.output(of.HOST), 99)
    (frame,) = switch.from_net(wrap("stt", _INNER)).host
    expected = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:77") / Dot1Q(vlan=4) / _INNER[IP].copy()
    expected[IP].dst = "10.9.9.9"
    assert frame.data == bytes(expected)


def test_from_tunnel_to_tunnel(switch: Switch) -> None:
    action = of.set_tunnel(of.VXLAN, 5, macs=(_MAC, _MAC), addresses=("198.51.100.1", OURS))
    switch.add(of.match(of.STT, VNI), of.strip_tunnel(of.STT) + action + of.output(of.IN_PORT), 99)
    out = switch.from_net(*stt_segments(bytes(_INNER), context_id=VNI))
    assert not out.host
    (frame,) = out.net
    assert frame.packet[IP].dst == "198.51.100.1" and frame.data[50:] == bytes(_INNER)


# VXLAN, NVGRE, Geneve.


@pytest.mark.parametrize("kind", ["vxlan", "geneve"])
def test_udp_checksum(switch: Switch, kind: str) -> None:
    assert switch.from_net(wrap(kind, _INNER, chksum=0)).host
    right = Ether(bytes(wrap(kind, _INNER)))
    assert switch.from_net(right).host
    right[UDP].chksum ^= 1
    assert not switch.from_net(right).host
    assert switch.drops() == {"drop_checksum": 1}
    # Somebody else has seen to it.
    assert switch.from_net(Frame(bytes(right), DATA_VALID)).host
    assert switch.from_net(Frame(bytes(right), NEEDS_CSUM, 0, 0, 0, 34, 6)).host


@pytest.mark.parametrize("kind", _PLAIN)
def test_ip_checksum(switch: Switch, kind: str) -> None:
    packet = Ether(bytes(wrap(kind, _INNER)))
    packet[IP].chksum ^= 1
    assert not switch.from_net(packet).host
    assert switch.drops() == {"drop_checksum": 1}


@pytest.mark.parametrize("kind", _KINDS)
def test_outer_fragments_are_no_tunnel(switch: Switch, kind: str) -> None:
    for flags, offset in (("MF", 0), ("MF", 0x200), (0, 0x1000)):
        packet = Ether(bytes(wrap(kind, _INNER)))
        packet[IP].flags, packet[IP].frag, packet[IP].chksum = flags, offset, None
        assert not switch.from_net(packet).host
    assert switch.drops() == {"drop_underlay": 3}


_MALFORMED = {
    "VXLAN without a VNI": _OUTER / UDP(dport=4789) / Raw(struct.pack("!II", 0xF7FFFFFF, VNI << 8)) / _INNER,
    "VXLAN cut off": _OUTER / UDP(dport=4789) / Raw(b"\x08\0\0\0\0\0\0"),
    "runt in VXLAN": _OUTER / UDP(dport=4789) / Raw(struct.pack("!II", 0x08000000, VNI << 8)) / Raw(bytes(13)),
    "UDP length 7": _OUTER / UDP(dport=4789, len=7) / Raw(bytes(50)),
    "UDP length beyond": _OUTER / UDP(dport=4789, len=200) / Raw(bytes(50)),
    "Geneve 1": _OUTER / UDP(dport=6081) / Raw(bytes(GENEVE(version=1, vni=VNI, proto=0x6558))) / _INNER,
    "Geneve without Ethernet": _OUTER / UDP(dport=6081) / Raw(bytes(GENEVE(vni=VNI, proto=0x800))) / _INNER,
    "Geneve options beyond": _OUTER / UDP(dport=6081) / Raw(bytes(GENEVE(vni=VNI, proto=0x6558, optionlen=63))) / _INNER,
    "GRE without a key": _OUTER / GRE(proto=0x6558) / _INNER,
    "GRE with a checksum": _OUTER / GRE(proto=0x6558, key_present=1, key=VNI << 8, chksum_present=1) / _INNER,
    "GRE with a sequence": _OUTER / GRE(proto=0x6558, key_present=1, key=VNI << 8, seqnum_present=1) / _INNER,
    "GRE 1": _OUTER / GRE(proto=0x6558, key_present=1, key=VNI << 8, version=1) / _INNER,
    "GRE without Ethernet": _OUTER / GRE(proto=0x800, key_present=1, key=VNI << 8) / _INNER,
    "GRE cut off": _OUTER / Raw(b"\x20\x00\x65\x58\x00"),
}


@pytest.mark.parametrize("name", _MALFORMED)
def test_malformed(switch: Switch, name: str) -> None:
    packet = _MALFORMED[name].copy()
    packet[IP].proto = 47 if "GRE" in name else 17
    out = switch.from_net(packet)
    assert not out.host and not out.net
    assert switch.drops() == {"drop_malformed": 1}


def test_reserved_bits_of_vxlan_are_ignored(switch: Switch) -> None:
    packet = _OUTER / UDP(dport=4789) / Raw(struct.pack("!II", 0xFFFFFFFF, VNI << 8 | 0xFF)) / _INNER
    assert switch.from_net(packet).host == [plain(_INNER)]


def test_geneve_options(switch: Switch) -> None:
    option = bytes(GeneveOptions(classid=0x102, type=1, length=1, data=b"abcd"))
    for critical, oam, n in ((0, 0, 1), (1, 0, 0), (0, 1, 0)):
        header = bytes(GENEVE(vni=VNI, proto=0x6558, optionlen=2, critical=critical, oam=oam))
        assert len(switch.from_net(_OUTER / UDP(dport=6081) / Raw(header[:8] + option) / _INNER).host) == n
    assert switch.drops() == {"drop_critical": 2}


@pytest.mark.parametrize("kind", _PLAIN)
@pytest.mark.parametrize("chksum", [0, 0x1234])
def test_inner_offload_of_a_kernels_tunnel(switch: Switch, kind: str, chksum: int) -> None:
    """On a veth a kernel's tunnel leaves inner checksum and segmentation to whoever has the packet; the outer checksum counts on that."""
    original = large(4, 5000)
    packet = bytes(wrap(kind, original.data, **({} if kind == "nvgre" else {"chksum": chksum})))
    n = len(packet) - len(original.data)
    out = switch.from_net(Frame(packet, NEEDS_CSUM, GSO_TCPV4, n + 66, 1400, n + 34, 16))
    assert out.host == [original]


@pytest.mark.parametrize("kind", ["vxlan", "geneve"])
def test_datagrams_that_the_kernel_has_joined(switch: Switch, kind: str) -> None:
    """UDP GRO joins what has a checksum and one size."""
    inners = [bytes(_ETHER / IP(id=i) / UDP() / Raw(bytes([i]) * 200)) for i in range(5)] + [bytes(_ETHER / IP() / UDP())]
    payload = b"".join(bytes(wrap(kind, inner)[UDP].payload) for inner in inners)
    port = {"vxlan": 4789, "geneve": 6081}[kind]
    joined = _OUTER / UDP(sport=40000, dport=port, chksum=1) / Raw(payload)
    pitch = 8 + len(inners[0])
    for flags in (NEEDS_CSUM, NEEDS_CSUM | DATA_VALID):
        out = switch.from_net(Frame(bytes(joined), flags, GSO_UDP_L4, 42, pitch, 34, 6))
        assert [frame.data for frame in out.host] == inners


# STT.


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("order", ["in order", "reversed", "tail first", "shuffled"])
@pytest.mark.parametrize("batched", [True, False], ids=["one batch", "one by one"])
def test_stt_frame_of_64_kb(switch: Switch, family: int, order: str, batched: bool) -> None:
    original = large(family, 60000)
    flags = 2 | 8 | (4 if family == 4 else 0)
    packets = stt_segments(original.data, context_id=VNI, flags=flags, l4_offset=original.csum_start, mss=original.gso_size)
    assert len(packets) > 40
    if order == "reversed":
        packets.reverse()
    elif order == "tail first":
        packets.insert(0, packets.pop())
    elif order == "shuffled":
        random.Random(1).shuffle(packets)
    frames = switch.from_net(*packets).host if batched else [frame for packet in packets for frame in switch.from_net(packet).host]
    assert frames == [original]
    counters = switch.counters()
    assert counters["stt_ok"] == len(packets) and "reassembly_frames_now" not in counters
    assert ("merged" in counters) == (batched and order in ("in order", "tail first"))


def test_stt_super_packets_of_a_coalescing_nic(switch: Switch) -> None:
    """The tail comes first, as a packet of its own; the checksums are the kernel's business."""
    original = large(4, 60000)
    state = {"context_id": VNI, "flags": 14, "l4_offset": 34, "mss": 1400}
    whole = bytes(stt_layer.STT(**state) / Raw(original.data))
    cut = len(whole) // 1460 * 1460

    def chunk(offset: int, data: bytes) -> Frame:
        tcp = TCP(sport=40000, dport=7471, seq=len(whole) << 16 | offset, ack=9, flags="A", chksum=7)
        return Frame(bytes(_OUTER / tcp / Raw(data)), NEEDS_CSUM, GSO_TCPV4, 54, 1460, 34, 16)

    assert not switch.from_net(chunk(cut, whole[cut:])).host
    assert switch.from_net(chunk(0, whole[:cut])).host == [original]


@pytest.mark.parametrize("n", range(1, 5))
def test_every_order_of_few_segments(switch: Switch, n: int) -> None:
    inner = bytes(_ETHER / Raw(random.Random(n).randbytes(1460 * n - 100)))
    for number, order in enumerate(itertools.permutations(stt_segments(inner, context_id=VNI, id_=100 * n), n)):
        for packet in order:
            packet[TCP].ack = 1000 * n + number
        assert [frame.data for frame in switch.from_net(*order).host] == [inner]


def test_duplicates(switch: Switch) -> None:
    inner = bytes(_ETHER / Raw(bytes(4000)))
    for doubled in range(3):
        packets = stt_segments(inner, context_id=VNI, id_=doubled)
        packets.insert(doubled, packets[doubled])
        assert [frame.data for frame in switch.from_net(*packets).host] == [inner]
    assert switch.drops() == {"drop_repeated": 3}


def test_two_frames_of_one_id_from_two_sources(switch: Switch) -> None:
    switch.add(of.match(of.STT, VNI), of.strip_tunnel(of.STT) + of.output(of.HOST), 5)
    inners = [bytes(_ETHER / Raw(bytes([i]) * 4000)) for i in range(2)]
    other = _OUTER.copy()
    other[IP].src = "192.0.2.3"
    one = stt_segments(inners[0], context_id=VNI)
    two = stt_segments(inners[1], context_id=VNI, outer=other)
    mixed = [packet for pair in zip(one, two, strict=True) for packet in pair]
    assert [frame.data for frame in switch.from_net(*mixed).host] == inners


def test_bad_segments_do_no_harm(switch: Switch) -> None:
    inner = bytes(_ETHER / Raw(bytes(4000)))
    good = stt_segments(inner, context_id=VNI)
    bad_checksum = Ether(bytes(good[1]))
    bad_checksum[TCP].chksum ^= 1
    other_total = good[1].copy()
    other_total[TCP].seq += 1 << 16
    past_end = good[2].copy()
    past_end[TCP].seq += 2000
    syn = good[1].copy()
    syn[TCP].flags = "SA"
    overlap = good[1].copy()
    overlap[TCP].seq -= 10
    out = switch.from_net(good[0], bad_checksum, other_total, past_end, syn, overlap, *good[1:])
    assert [frame.data for frame in out.host] == [inner]
    counters = switch.counters()
    assert {name: n for name, n in counters.items() if name.startswith("stt_")} == {
        "stt_ok": 5, "stt_tcp_checksum": 1, "stt_past_end": 1, "stt_tcp_flags": 1,
    }  # fmt: skip
    assert counters["reassembly_conflict"] == 1 and counters["reassembly_overlap"] == 1


@pytest.mark.parametrize("total", [0, 18, 31])
def test_frame_too_short_for_its_headers(switch: Switch, total: int) -> None:
    packet = _OUTER / TCP(sport=40000, dport=7471, seq=total << 16, ack=1, flags="PA") / Raw(bytes(max(total, 1)))
    assert not switch.from_net(packet).host
    assert switch.counters()["stt_total"] == 1


_STATES = {
    "version": {"version": 1},
    "both flags": {"flags": 3},
    "mss without partial": {"mss": 100},
    "mss too small": {"flags": 14, "l4_offset": 34, "mss": 7},
    "l4 at ethernet": {"flags": 14, "l4_offset": 13, "mss": 1400},
    "l4 past the end": {"flags": 14, "l4_offset": 255, "mss": 1400},
    "l4 of udp": {"flags": 6, "l4_offset": 34},
    "ipv6": {"flags": 10, "l4_offset": 34, "mss": 1400},
}


@pytest.mark.parametrize("name", _STATES)
def test_state_that_is_wrong(switch: Switch, name: str) -> None:
    packets = stt_segments(large(4, 3000).data, context_id=VNI, **_STATES[name])
    assert not switch.from_net(*packets).host
    drops = {name: n for name, n in switch.counters().items() if name.startswith(("drop_", "stt_")) and name != "stt_ok"}
    assert sum(drops.values()) == 1


@pytest.mark.parametrize("with_v", [1, 0])
def test_tag_in_the_header(switch: Switch, with_v: int) -> None:
    """Senders exist that leave V clear."""
    packets = stt_segments(bytes(_INNER), context_id=VNI, v=with_v, vid=100, pcp=3)
    expected = Ether(src=_INNER.src, dst=_INNER.dst) / Dot1Q(vlan=100, prio=3) / _INNER[IP]
    assert switch.from_net(*packets).host == [plain(expected)]


def test_tag_of_a_large_frame(switch: Switch) -> None:
    original = large(4, 3000)
    packets = stt_segments(original.data, context_id=VNI, v=1, vid=5, flags=14, l4_offset=34, mss=1400)
    (frame,) = switch.from_net(*packets).host
    assert (frame.csum_start, frame.hdr_len, frame.gso_size) == (38, 70, 1400)
    assert frame.data == original.data[:12] + b"\x81\x00\x00\x05" + original.data[12:]


def test_unfinished_frames_expire(switch: Switch) -> None:
    packets = stt_segments(bytes(4000), context_id=VNI)
    switch.from_net(packets[0], packets[2])
    assert switch.counters()["reassembly_frames_now"] == 1
    for _ in range(100):
        switch.step(1000)  # returns when the frame is old enough
        if "reassembly_frames_now" not in switch.counters():
            break
    counters = switch.counters()
    assert counters["reassembly_expired"] == 2 and "reassembly_bytes_now" not in counters
    assert not switch.from_net(packets[1]).host


@pytest.mark.parametrize("size", [100, 3000], ids=["small", "large"])
def test_memory_is_bounded(switch: Switch, size: int) -> None:
    """Frames that begin and never end; then one that does."""
    packet = bytes(_OUTER / TCP(sport=40000, dport=7471, seq=60000 << 16, ack=0, flags="A") / Raw(bytes(size)))
    for first in range(0, 12000, 60):
        frames = [packet[:42] + struct.pack("!I", first + i) + packet[46:] for i in range(60)]
        assert not switch.from_net(*(Frame(data, DATA_VALID) for data in frames)).host
    counters = switch.counters()
    assert counters["reassembly_bytes_now"] <= 16 << 20 and counters["reassembly_frames_now"] <= 1024
    assert counters["stt_ok"] == 12000
    assert counters["reassembly_evicted"] + counters.get("reassembly_expired", 0) + counters["reassembly_frames_now"] == 12000
    assert switch.from_net(*stt_segments(bytes(_INNER), context_id=VNI, mtu=100)).host == [plain(_INNER)]


# SCLP.


@pytest.mark.parametrize("order", ["in order", "reversed", "shuffled"])
@pytest.mark.parametrize("transport", ["native", "udp"])
def test_sclp_frame_of_64_kb(switch: Switch, order: str, transport: str) -> None:
    original = large(6, 60000)
    packets = sclp_segments(original.data, state=bytes((2 | 8,)) + struct.pack("!H", 1400), l4=54)
    if order == "reversed":
        packets.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(packets)
    if transport == "udp":
        frames: list[Packet | Frame] = [_OUTER / UDP(sport=1, dport=7234) / Raw(sclp_records([packet])) for packet in packets]
    else:
        frames = list(packets)
    assert switch.from_net(*frames).host == [original]
    assert switch.counters()["sclp_ok"] == len(packets)


@pytest.mark.parametrize("trust", [NEEDS_CSUM, NEEDS_CSUM | DATA_VALID])
@pytest.mark.parametrize("n_first", [41, 40, 1])
def test_sclp_super_packets(switch: Switch, trust: int, n_first: int) -> None:
    original = large(4, 60000)
    packets = sclp_segments(original.data, state=bytes((14,)) + struct.pack("!H", 1400), l4=34)
    pitch = len(bytes(packets[0][IP].payload))
    parts = [part for part in (packets[:n_first], packets[n_first:]) if part]
    out = switch.from_net(*(udp_super(sclp_records(part), pitch, trust) for part in parts))
    assert out.host == [original]
    assert switch.counters()["merged"] == len(packets) - 1


def test_sclp_super_packet_with_several_frames(switch: Switch) -> None:
    inners = [bytes(_ETHER / Raw(bytes([i]) * 2000)) for i in range(3)]
    packets = [sclp_segments(inner, id_=i, mtu=400) for i, inner in enumerate(inners)]
    pitch = 12 + 368
    # Whole segments of several frames, mixed; what is shorter comes apart.
    mixed = [packet for group in zip(*(one[:-1] for one in packets), strict=True) for packet in group]
    assert not switch.from_net(udp_super(sclp_records(mixed), pitch)).host
    out = switch.from_net(*(_OUTER / UDP(sport=1, dport=7234) / Raw(sclp_records(one[-1:])) for one in packets))
    assert [frame.data for frame in out.host] == inners


def test_sclp_checksum(switch: Switch) -> None:
    (packet,) = sclp_segments(bytes(_INNER))
    data = bytearray(bytes(packet))
    data[-1] ^= 1
    assert not switch.from_net(bytes(data)).host
    assert switch.counters()["sclp_sclp_checksum"] == 1
    # Where it is still to be completed it is 0, and nobody has to look.
    data[44:46] = bytes(2)
    assert switch.from_net(Frame(bytes(data), NEEDS_CSUM, 0, 0, 0, 34, 10)).host


def test_geneve_in_sclp_is_not_ours(switch: Switch) -> None:
    data = bytearray(bytes(sclp_segments(bytes(_INNER))[0][IP].payload))
    data[2:4], data[10:12] = struct.pack("!H", 6081), bytes(2)
    data[10:12] = struct.pack("!H", checksum(bytes(data)))
    outer = _OUTER.copy()
    outer[IP].proto = 234
    assert not switch.from_net(outer / Raw(bytes(data))).host
    assert switch.drops() == {"drop_other_payload": 1}


# Congestion.


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("outer", range(4))
@pytest.mark.parametrize("inner", range(4))
def test_ecn(switch: Switch, kind: str, outer: int, inner: int) -> None:
    """RFC 6040, section 4.2, but that ECT(1) outside changes nothing."""
    template = _OUTER.copy()
    template[IP].tos = outer
    for ip in (IP(tos=0xB8 | inner), IPv6(tc=0xB8 | inner)):
        frames = switch.from_net(wrap(kind, _ETHER / ip / UDP(), template)).host
        expected = (_ETHER / ip / UDP()).copy()
        if outer == 3 and inner:
            expected[type(ip)].fields["tos" if type(ip) is IP else "tc"] = 0xBB
        assert frames == ([] if outer == 3 and not inner else [plain(expected)])


@pytest.mark.parametrize("marked", range(3))
def test_congestion_of_any_segment(switch: Switch, marked: int) -> None:
    inner = _ETHER / IP(tos=2) / UDP() / Raw(bytes(4000))
    packets = stt_segments(bytes(inner), context_id=VNI)
    packets[marked][IP].tos = 3
    (frame,) = switch.from_net(*packets).host
    assert frame.packet[IP].tos == 3


def test_tunnel_types_of_large_frames(switch: Switch) -> None:
    """What the guest gets says which kind of frame it is."""
    for family, kind in ((4, GSO_TCPV4), (6, GSO_TCPV6)):
        original = large(family, 3000)
        flags = 10 | (4 if family == 4 else 0)
        packets = stt_segments(original.data, context_id=VNI, flags=flags, l4_offset=original.csum_start, mss=1400, id_=family)
        (frame,) = switch.from_net(*packets).host
        assert (frame.flags, frame.gso_type) == (NEEDS_CSUM, kind)


# What came apart is joined.


def _cut(original: Frame) -> list[bytes]:
    """Cut a large TCP frame as a NIC does, DF set."""
    packet = original.packet
    ip = IP if IP in packet else IPv6
    rest = bytes(packet[TCP].payload)
    parts = []
    for at in range(0, len(rest), original.gso_size):
        part = packet.copy()
        payload = rest[at : at + original.gso_size]
        part[TCP].remove_payload()
        part = part / Raw(payload)
        part[TCP].seq = (packet[TCP].seq + at) & 0xFFFFFFFF
        part[TCP].flags = "PA" if at + len(payload) == len(rest) else "A"
        part[TCP].chksum = None
        if ip is IP:
            part[IP].flags, part[IP].len, part[IP].chksum = "DF", None, None
            part[IP].id = (packet[IP].id + at) & 0xFFFF
        else:
            part[IPv6].plen = None
        parts.append(bytes(part))
    return parts


@pytest.mark.parametrize("kind", _PLAIN)
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [1401, 2800, 60000])
def test_neighbours_become_one_frame(switch: Switch, kind: str, family: int, size: int) -> None:
    original = large(family, size)
    (frame,) = switch.from_net(*(wrap(kind, part) for part in _cut(original))).host
    expected = original.packet
    expected[TCP].flags = "PA"
    if family == 4:
        expected[IP].flags, expected[IP].chksum = "DF", None
    header = {name: getattr(original, name) for name in ("flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset")}
    assert frame == Frame(bytes(expected), **header)
    assert switch.counters()["merged"] == -(-size // 1400) - 1


def test_more_than_fits_becomes_several(switch: Switch) -> None:
    parts = _cut(Frame(large(4, 65400).data, NEEDS_CSUM, GSO_TCPV4, 66, 1400, 34, 16))[:-1]
    last = Ether(parts[-1])
    for _ in range(3):
        last = last.copy()
        last[TCP].seq = (last[TCP].seq + 1400) & 0xFFFFFFFF
        last[TCP].chksum = None
        parts.append(bytes(last))
    frames = switch.from_net(*(wrap("vxlan", part) for part in parts)).host
    assert [len(frame.data) for frame in frames] == [66 + 46 * 1400, 66 + 3 * 1400]


_BREAKS = {
    "a hole": lambda p: setattr(p[TCP], "seq", (p[TCP].seq + 1) & 0xFFFFFFFF),
    "acknowledgement": lambda p: setattr(p[TCP], "ack", 5),
    "window": lambda p: setattr(p[TCP], "window", 5),
    "options": lambda p: setattr(p[TCP], "options", [("Timestamp", (1, 3))]),
    "FIN": lambda p: setattr(p[TCP], "flags", "FA"),
    "CWR": lambda p: setattr(p[TCP], "flags", "CA"),
    "ports": lambda p: setattr(p[TCP], "sport", 5),
    "source": lambda p: setattr(p[IP], "src", "10.0.0.3"),
    "TTL": lambda p: setattr(p[IP], "ttl", 5),
    "TOS": lambda p: setattr(p[IP], "tos", 1),
    "no DF": lambda p: setattr(p[IP], "flags", 0),
    "IP options": lambda p: setattr(p[IP], "options", b"\x94\x04\x00\x00"),
    "MAC": lambda p: setattr(p, "src", "02:00:00:00:00:99"),
    "TCP checksum": None,
}


@pytest.mark.parametrize("name", _BREAKS)
def test_what_differs_is_not_joined(switch: Switch, name: str) -> None:
    first, second = _cut(large(4, 2800))
    odd = Ether(second)
    if change := _BREAKS[name]:
        change(odd)
        odd[IP].len = odd[IP].ihl = odd[TCP].dataofs = odd[IP].chksum = odd[TCP].chksum = None
    else:
        odd[TCP].chksum ^= 1
    assert [frame.data for frame in switch.from_net(wrap("vxlan", first), wrap("vxlan", odd)).host] == [first, bytes(odd)]


def test_only_the_last_of_a_frame_is_shorter(switch: Switch) -> None:
    """Or the guest's stack could not tell where segments end."""
    first, short, third = (Ether(part) for part in _cut(large(4, 4200)))
    short[TCP].payload = Raw(bytes(700))
    third[TCP].seq = (short[TCP].seq + 700) & 0xFFFFFFFF
    for packet in (short, third):
        packet[IP].len = packet[IP].chksum = packet[TCP].chksum = None
    frames = switch.from_net(*(wrap("vxlan", bytes(packet)) for packet in (first, short, third))).host
    assert [len(frame.data) for frame in frames] == [66 + 2100, 66 + 1400]


def test_order_is_kept(switch: Switch) -> None:
    """Whatever else goes to the guest does not overtake."""
    parts = _cut(large(4, 5600))
    other = bytes(_ETHER / IP(dst="10.0.0.2") / UDP())
    frames = switch.from_net(wrap("vxlan", parts[0]), wrap("vxlan", parts[1]), other, wrap("vxlan", parts[2]), wrap("stt", _INNER)).host
    assert [len(frame.data) for frame in frames] == [66 + 2800, len(other), 66 + 1400, len(_INNER)]


def test_batches_are_not_joined(switch: Switch) -> None:
    """Nothing waits for what may never come."""
    for part in _cut(large(4, 5600)):
        (frame,) = switch.from_net(wrap("vxlan", part)).host
        assert frame == Frame(part)
