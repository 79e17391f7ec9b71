"""SCLP, VXLAN and Geneve: values survive the wire, bytes never do worse than a WireError."""

import random

from hypothesis import given
from hypothesis import strategies as st

from nvo3.wire import geneve, sclp, vxlan
from nvo3.wire.errors import WireError
from tests.property import sclp_strategies as values


@given(values.segments(), st.booleans())
def test_segment_survives(segment: sclp.SclpSegment, covered: bool) -> None:
    assert sclp.SclpSegment.parse(segment.serialize(covered=covered), covered=covered) == segment


@given(values.packets(), st.binary(max_size=20))
def test_packet_survives(packet: sclp.SclpPacket, padding: bytes) -> None:
    assert sclp.SclpPacket.parse(packet.serialize() + padding) == packet


@given(values.super_packets())
def test_super_packet_survives(given_: tuple[sclp.SclpPacket, int]) -> None:
    packet, gso_size = given_
    again = sclp.SclpPacket.parse(packet.serialize(), gso_size)
    assert again == packet
    assert len(again.segments()) == len(packet.records)


@given(values.damaged_packets(), st.integers(0, 200))
def test_any_packet_is_a_value_or_a_wire_error(data: bytes, gso_size: int) -> None:
    try:
        packet = sclp.SclpPacket.parse(data, gso_size)
        segments = packet.segments()
    except WireError as error:
        assert error.reason and "\n" not in str(error)
    else:
        assert sclp.SclpPacket.parse(packet.serialize(), gso_size) == packet
        assert [sclp.SclpSegment.parse(s.serialize()) for s in segments] == segments


@given(values.vxlan_headers, st.binary(min_size=14, max_size=50))
def test_vxlan_survives(header: vxlan.VxlanHeader, inner: bytes) -> None:
    parsed, rest = vxlan.VxlanHeader.parse(header.serialize() + inner)
    assert (parsed, bytes(rest)) == (header, inner)


@given(values.geneve_headers, st.binary(min_size=14, max_size=50))
def test_geneve_survives(header: geneve.GeneveHeader, inner: bytes) -> None:
    parsed, rest = geneve.GeneveHeader.parse(header.serialize() + inner)
    assert (parsed, bytes(rest)) == (header, inner)


@given(values.offloads, values.plain_geneve_headers)
def test_offload_survives(offload: sclp.Offload, header: geneve.GeneveHeader) -> None:
    in_vxlan = offload.in_vxlan(header.vni)
    assert (sclp.Offload.from_vxlan(in_vxlan), in_vxlan.vni) == (offload, header.vni)
    options = tuple(o for o in header.options if (o.class_, o.type) != (sclp.OPTION_CLASS, sclp.OPTION_TYPE))
    in_geneve = offload.in_geneve(geneve.GeneveHeader(header.vni, options))
    assert sclp.Offload.from_geneve(in_geneve) == offload
    assert in_geneve.options[1:] == options


@given(values.damaged_frames())
def test_any_frame_is_a_value_or_a_wire_error(data: bytes) -> None:
    for kind, offload in ((vxlan.VxlanHeader, sclp.Offload.from_vxlan), (geneve.GeneveHeader, sclp.Offload.from_geneve)):
        try:
            header, rest = kind.parse(data)
            offload(header)  # type: ignore[operator]
        except WireError as error:
            assert error.reason and "\n" not in str(error)
        else:
            assert kind.parse(header.serialize() + bytes(rest)) == (header, rest)


@given(values.packets(), values.segments(), values.frames, st.integers(41, 9000), st.randoms(use_true_random=False))
def test_shuffled_segments_hold_the_frame(
    packet: sclp.SclpPacket, common: sclp.SclpSegment, frame: bytes, mtu: int, chance: random.Random
) -> None:
    mtu = max(mtu, 40 + len(frame) // 200 + 1)
    packets = sclp.segment(frame, mtu, packet, common.src_port, common.dst_port, common.id)
    assert all(len(data) <= mtu for data in packets)
    chance.shuffle(packets)
    segments = [sclp.SclpPacket.parse(data).segments()[0] for data in packets]
    assert {(s.id, s.src_port, s.dst_port) for s in segments} == {(common.id, common.src_port, common.dst_port)}
    segments.sort(key=lambda s: -s.remaining)
    assert [s.first for s in segments] == [True] + [False] * (len(segments) - 1)
    assert b"".join(s.payload for s in segments) == frame
