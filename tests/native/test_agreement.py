"""C and Python agree on any bytes, and what one cuts the other puts together."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvo3.wire import stt
from nvo3.wire.checksum import checksum
from nvo3.wire.errors import WireError
from tests.native.conftest import Tool
from tests.property import stt_strategies as values

# The tool is one process for all examples; nothing in it is left from one to the next.
_with_tool = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def _packet_by_python(data: bytes) -> dict[str, object]:
    try:
        packet = stt.SttPacket.parse(data)
    except WireError as error:
        return {"verdict": error.reason}
    segment = packet.segment
    return {
        "verdict": "ok",
        "source": int.from_bytes(packet.source, "big"),
        "destination": int.from_bytes(packet.destination, "big"),
        "tos": packet.tos,
        "ttl": packet.ttl,
        "src_port": segment.src_port,
        "dst_port": segment.dst_port,
        "id": segment.id,
        "total": segment.total,
        "offset": segment.offset,
        "payload": bytes(segment.payload).hex(),
    }


def _header_by_python(data: bytes) -> dict[str, object]:
    try:
        header, _ = stt.SttHeader.parse(data)
    except WireError as error:
        return {"verdict": error.reason}
    return {
        "verdict": "ok",
        "flags": header.flags,
        "l4_offset": header.l4_offset,
        "mss": header.mss,
        "context_id": header.context_id,
        "has_vlan": header.vlan_tci is not None,
        "vlan_tci": header.vlan_tci or 0,
        "serialized": header.serialize().hex(),
    }


@_with_tool
@given(values.damaged_packets())
def test_packets(tool: Tool, data: bytes) -> None:
    assert tool.ask("packet", data.hex()) == _packet_by_python(data)


@_with_tool
@given(values.damaged_headers())
def test_headers(tool: Tool, data: bytes) -> None:
    assert tool.ask("header", data.hex()) == _header_by_python(data)


@_with_tool
@given(st.binary(max_size=300))
def test_checksums(tool: Tool, data: bytes) -> None:
    assert tool.ask("checksum", data.hex()) == checksum(data)


@_with_tool
@given(values.packets(), values.frames, st.integers(41, 9000))
def test_segments(tool: Tool, packet: stt.SttPacket, frame: bytes, mtu: int) -> None:
    mtu = max(mtu, 40 + len(frame) // 200 + 1)
    segment = packet.segment
    addresses = (int.from_bytes(packet.source, "big"), int.from_bytes(packet.destination, "big"))
    common = (segment.src_port, segment.dst_port, segment.id, packet.ip_id, packet.tos, packet.ttl, int(packet.df))
    by_c = tool.ask("segment", mtu - 40, *addresses, *common, frame.hex())
    assert [bytes.fromhex(text) for text in by_c] == stt.segment(frame, mtu, packet)


@_with_tool
@given(values.packets(), values.frames, st.integers(41, 9000), st.randoms(use_true_random=False), st.booleans())
def test_shuffled_segments_give_the_frame(
    tool: Tool, packet: stt.SttPacket, frame: bytes, mtu: int, chance: random.Random, duplicates: bool
) -> None:
    mtu = max(mtu, 40 + len(frame) // 200 + 1)
    packets = stt.segment(frame, mtu, packet)
    if duplicates:
        packets *= 2
    chance.shuffle(packets)
    results = tool.ask("reassemble", *(p.hex() for p in packets))
    frames = [bytes.fromhex(result["frame"]) for result in results if "frame" in result]
    assert frames and set(frames) == {frame}
    assert len(frames) <= (2 if duplicates else 1)
    assert all(result["ce"] == (packet.tos & 3 == 3) for result in results if "frame" in result)
