"""STT: values survive the wire, bytes never do worse than a WireError."""

import random

from hypothesis import given
from hypothesis import strategies as st

from nvo3.wire import stt
from nvo3.wire.errors import WireError
from tests.property import stt_strategies as values


@given(values.headers(), st.binary(min_size=14, max_size=50))
def test_header_survives(header: stt.SttHeader, inner: bytes) -> None:
    parsed, rest = stt.SttHeader.parse(header.serialize() + inner)
    assert (parsed, bytes(rest)) == (header, inner)


@given(values.packets(), st.binary(max_size=20))
def test_packet_survives(packet: stt.SttPacket, padding: bytes) -> None:
    assert stt.SttPacket.parse(packet.serialize() + padding) == packet


@given(values.damaged_packets())
def test_any_packet_is_a_value_or_a_wire_error(data: bytes) -> None:
    try:
        packet = stt.SttPacket.parse(data)
    except WireError as error:
        assert error.reason and "\n" not in str(error)
    else:
        assert stt.SttPacket.parse(packet.serialize()) == packet


@given(values.damaged_headers())
def test_any_header_is_a_value_or_a_wire_error(data: bytes) -> None:
    try:
        header, rest = stt.SttHeader.parse(data)
    except WireError as error:
        assert error.reason and "\n" not in str(error)
    else:
        assert stt.SttHeader.parse(header.serialize() + bytes(rest)) == (header, rest)


@given(values.packets(), values.frames, st.integers(41, 9000), st.randoms(use_true_random=False))
def test_shuffled_segments_hold_the_frame(packet: stt.SttPacket, frame: bytes, mtu: int, chance: random.Random) -> None:
    mtu = max(mtu, 40 + len(frame) // 200 + 1)
    packets = stt.segment(frame, mtu, packet)
    assert all(len(data) <= mtu for data in packets)
    chance.shuffle(packets)
    segments = [stt.SttPacket.parse(data).segment for data in packets]
    assert {(s.id, s.total, s.src_port, s.dst_port) for s in segments} == {
        (packet.segment.id, len(frame), packet.segment.src_port, packet.segment.dst_port)
    }
    assert b"".join(s.payload for s in sorted(segments, key=lambda s: s.offset)) == frame
