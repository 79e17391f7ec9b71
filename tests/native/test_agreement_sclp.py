"""C and Python agree on any bytes of SCLP, and what one cuts the other puts together."""

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvo3.wire import geneve, sclp, vxlan
from nvo3.wire.checksum import pseudo_header
from nvo3.wire.errors import WireError
from tests.native.conftest import Tool
from tests.property import sclp_strategies as values

_with_tool = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def _record_by_python(record: bytes | memoryview, covered: bool) -> dict[str, object]:
    try:
        segment = sclp.SclpSegment.parse(record, covered=covered)
    except WireError as error:
        return {"verdict": error.reason}
    fields: dict[str, object] = {name: getattr(segment, name) for name in ("src_port", "dst_port", "id", "first", "remaining")}
    return {"verdict": "ok", **fields, "payload": bytes(segment.payload).hex()}


def _packet_by_python(data: bytes, gso_size: int) -> dict[str, object]:
    try:
        packet = sclp.SclpPacket.parse(data, gso_size)
    except WireError as error:
        return {"verdict": error.reason}
    return {
        "verdict": "ok",
        "source": int.from_bytes(packet.source, "big"),
        "destination": int.from_bytes(packet.destination, "big"),
        "tos": packet.tos,
        "ttl": packet.ttl,
        "udp": [packet.udp.src_port, packet.udp.dst_port] if packet.udp else None,
        "records": [_record_by_python(record, packet.is_covered) for record in packet.records],
    }


def _payload_by_python(port: int, data: bytes) -> dict[str, object]:
    options, oam = b"", False
    try:
        header: vxlan.VxlanHeader | geneve.GeneveHeader
        if port == vxlan.DST_PORT:
            header, inner = vxlan.VxlanHeader.parse(data)
            offload = sclp.Offload.from_vxlan(header)
        else:
            header, inner = geneve.GeneveHeader.parse(data)
            offload = sclp.Offload.from_geneve(header)
            oam = header.oam
            options = b"".join(option.serialize() for option in header.options[bool(offload) :])
    except WireError as error:
        return {"verdict": error.reason}
    state = (offload.flags, offload.l4_offset, offload.mss) if offload else (0, 0, 0)
    return {"verdict": "ok", "vni": header.vni, "oam": oam, "options": options, "state": state, "inner": bytes(inner).hex()}


@_with_tool
@given(values.damaged_packets(), st.integers(0, 200))
def test_packets(tool: Tool, data: bytes, gso_size: int) -> None:
    assert tool.ask("sclp-packet", gso_size, data.hex()) == _packet_by_python(data, gso_size)


@_with_tool
@given(values.super_packets())
def test_super_packets(tool: Tool, given_: tuple[sclp.SclpPacket, int]) -> None:
    packet, gso_size = given_
    data = packet.serialize()
    by_c = tool.ask("sclp-packet", gso_size, data.hex())
    assert by_c == _packet_by_python(data, gso_size)
    assert len(by_c["records"]) == len(packet.records)


@_with_tool
@given(values.damaged_frames(), st.sampled_from((vxlan.DST_PORT, geneve.DST_PORT)))
def test_payloads(tool: Tool, data: bytes, port: int) -> None:
    by_c, expected = tool.ask("sclp-payload", port, 1, data.hex()), _payload_by_python(port, data)
    if expected["verdict"] == "ok":
        # Reserved bits of options come back as they were from C only.
        options = bytearray.fromhex(by_c.pop("options"))
        at = 0
        while at < len(options):
            options[at + 3] &= 0x1F
            at += 4 + 4 * options[at + 3]
        by_c["options"] = bytes(options)
        by_c["state"] = tuple(by_c.pop(name) for name in ("flags", "l4_offset", "mss"))
        by_c.pop("serialized", None)
    assert by_c == expected


@_with_tool
@given(values.offloads, values.plain_geneve_headers)
def test_offload_that_c_writes(tool: Tool, offload: sclp.Offload, header: geneve.GeneveHeader) -> None:
    in_vxlan = offload.in_vxlan(header.vni).serialize()
    others = tuple(o for o in header.options if (o.class_, o.type) != (sclp.OPTION_CLASS, sclp.OPTION_TYPE))
    in_geneve = offload.in_geneve(geneve.GeneveHeader(header.vni, others, header.oam)).serialize()
    assert tool.ask("sclp-payload", vxlan.DST_PORT, 1, (in_vxlan + bytes(14)).hex())["serialized"] == in_vxlan.hex()
    by_c = tool.ask("sclp-payload", geneve.DST_PORT, 1, (in_geneve + bytes(14)).hex())
    assert by_c["serialized"] == in_geneve.hex()
    for port, data in ((vxlan.DST_PORT, in_vxlan), (geneve.DST_PORT, in_geneve)):
        assert tool.ask("sclp-payload", port, 0, (data + bytes(14)).hex()) == {"verdict": "offload_off"}


def _cut_by_c(tool: Tool, packet: sclp.SclpPacket, common: sclp.SclpSegment, frame: bytes, room: int, n: int = 1) -> list[bytes]:
    addresses = (int.from_bytes(packet.source, "big"), int.from_bytes(packet.destination, "big"))
    fields = (common.src_port, common.dst_port, common.id, packet.ip_id, packet.tos, packet.ttl, int(packet.df))
    udp = (packet.udp.src_port, packet.udp.dst_port) if packet.udp else (0, 0)
    return [bytes.fromhex(text) for text in tool.ask("sclp-segment", room, n, *addresses, *fields, *udp, frame.hex())]


def _with_whole_udp(packet: sclp.SclpPacket) -> sclp.SclpPacket:
    """Return `packet` with a UDP that C writes: to port 7234, with a checksum."""
    udp = sclp.Udp(packet.udp.src_port) if packet.udp else None
    fields = (packet.tos, packet.ttl, packet.ip_id, packet.df)
    return sclp.SclpPacket(packet.source, packet.destination, packet.records, udp, *fields)


@_with_tool
@given(values.packets(), values.segments(), values.frames, st.integers(41, 9000))
def test_segments(tool: Tool, packet: sclp.SclpPacket, common: sclp.SclpSegment, frame: bytes, mtu: int) -> None:
    packet = _with_whole_udp(packet)
    mtu = max(mtu, 40 + len(frame) // 200 + 1)
    by_python = sclp.segment(frame, mtu, packet, common.src_port, common.dst_port, common.id)
    assert _cut_by_c(tool, packet, common, frame, mtu - (40 if packet.udp else 32)) == by_python


@_with_tool
@given(values.packets(), values.segments(), values.frames, st.integers(41, 9000), st.integers(2, 64))
def test_super_packets_that_c_cuts(
    tool: Tool, packet: sclp.SclpPacket, common: sclp.SclpSegment, frame: bytes, mtu: int, n_records: int
) -> None:
    packet = _with_whole_udp(sclp.SclpPacket(packet.source, packet.destination, packet.records, packet.udp or sclp.Udp(1)))
    mtu = max(mtu, 40 + len(frame) // 200 + 1)
    room = mtu - 40
    n_records = min(n_records, (65535 - 28) // (12 + room))
    single = sclp.segment(frame, mtu, packet, common.src_port, common.dst_port, common.id)
    for index, data in enumerate(_cut_by_c(tool, packet, common, frame, room, n_records)):
        members = [sclp.SclpPacket.parse(one) for one in single[index * n_records :][:n_records]]
        records = b"".join(bytes(member.records[0]) for member in members)
        assert data[28:] == records
        if len(members) > 1:
            # The kernel completes it, so it holds the sum of the pseudo header.
            assert int.from_bytes(data[26:28], "big") == pseudo_header(packet.source, packet.destination, 17, 8 + len(records))
            data = data[:26] + b"\0\0" + data[28:]
        again = sclp.SclpPacket.parse(data, 12 + room)
        assert [bytes(r) for r in again.records] == [bytes(member.records[0]) for member in members]


def _frames(results: list[Any]) -> list[bytes]:
    return [bytes.fromhex(result["frame"]) for result in results if "frame" in result]


@_with_tool
@given(
    values.packets(),
    values.segments(),
    values.frames,
    st.integers(41, 9000),
    st.randoms(use_true_random=False),
    st.booleans(),
    st.booleans(),
)
def test_shuffled_segments_give_the_frame(
    tool: Tool,
    packet: sclp.SclpPacket,
    common: sclp.SclpSegment,
    frame: bytes,
    mtu: int,
    chance: random.Random,
    duplicates: bool,
    merge: bool,
) -> None:
    mtu = max(mtu, 40 + len(frame) // 200 + 1)
    packets = sclp.segment(frame, mtu, packet, common.src_port, common.dst_port, common.id)
    if duplicates:
        packets *= 2
    chance.shuffle(packets)
    results = tool.ask("sclp-reassemble", int(merge), 0, *(p.hex() for p in packets))
    frames = _frames(results)
    if not (merge and duplicates):
        # Merging joins what arrived with what a duplicate overlaps, and the engine drops all of that.
        assert frames
    assert set(frames) <= {frame}
    assert len(frames) <= (2 if duplicates else 1)
    assert all(result["ce"] == (packet.tos & 3 == 3) for result in results if "frame" in result)


@_with_tool
@given(values.segments(), st.lists(st.integers(22, 400), min_size=1, max_size=6), st.integers(20, 100), st.booleans())
def test_frames_in_one_super_packet(tool: Tool, common: sclp.SclpSegment, sizes: list[int], room: int, merge: bool) -> None:
    """As UDP GRO does it: datagrams of one flow are joined until one is shorter."""
    whole = [random.Random(size).randbytes(size) for size in sizes]
    packet = sclp.SclpPacket(bytes(4), bytes(4), (b"",), sclp.Udp(1))
    datagrams = []
    for number, frame in enumerate(whole):
        cut = sclp.segment(frame, room + 40, packet, common.src_port, common.dst_port, 2 * number)
        datagrams += [bytes(sclp.SclpPacket.parse(data).records[0]) for data in cut]
    runs: list[list[bytes]] = [[]]
    for record in datagrams:
        if runs[-1] and (len(runs[-1][-1]) < room + 12 or len(runs[-1]) == 64):
            runs.append([])
        runs[-1].append(record)
    supers = [sclp.SclpPacket(bytes(4), bytes(4), tuple(run), sclp.Udp(1)).serialize() for run in runs]
    assert _frames(tool.ask("sclp-reassemble", int(merge), 12 + room, *(s.hex() for s in supers))) == whole
