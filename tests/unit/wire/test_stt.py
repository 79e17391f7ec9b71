"""The STT codec: vectors that the C code runs, too (tests/native/test_vectors.py), and scapy as an independent peer."""

import json
from pathlib import Path
from typing import Any

import pytest
from scapy.fields import BitField, FlagsField, XByteField, XLongField, XShortField
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from nvo3.wire import stt
from nvo3.wire.errors import Malformed, Truncated, WireError

_VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "stt"
_TRUNCATED = {"ip_truncated", "tcp_truncated", "frame_truncated"}


def _vectors(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in json.loads((_VECTORS / f"{kind}.json").read_text(encoding="utf-8"))]


def _check_refused(vector: dict[str, Any], error: WireError) -> None:
    assert error.reason == vector["verdict"]
    assert isinstance(error, Truncated if error.reason in _TRUNCATED else Malformed)
    assert "\n" not in str(error)


@pytest.mark.parametrize("vector", _vectors("packet"))
def test_packet_vector(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if vector["verdict"] != "ok":
        with pytest.raises(WireError) as caught:
            stt.SttPacket.parse(data)
        return _check_refused(vector, caught.value)
    packet = stt.SttPacket.parse(data)
    segment, fields = packet.segment, vector["fields"]
    assert int.from_bytes(packet.source, "big") == fields["source"]
    assert int.from_bytes(packet.destination, "big") == fields["destination"]
    assert (packet.tos, packet.ttl) == (fields["tos"], fields["ttl"])
    assert bytes(segment.payload).hex() == fields["payload"]
    for name in ("src_port", "dst_port", "id", "total", "offset"):
        assert getattr(segment, name) == fields[name]


@pytest.mark.parametrize("vector", _vectors("header"))
def test_header_vector(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if vector["verdict"] != "ok":
        with pytest.raises(WireError) as caught:
            stt.SttHeader.parse(data)
        return _check_refused(vector, caught.value)
    header, inner = stt.SttHeader.parse(data)
    fields = vector["fields"]
    for name in ("context_id", "flags", "l4_offset", "mss"):
        assert getattr(header, name) == fields[name]
    assert header.vlan_tci == (fields["vlan_tci"] if fields["has_vlan"] else None)
    assert header.serialize().hex() == vector["serialized"]
    assert bytes(inner) == data[18:]


class Stt(Packet):  # type: ignore[misc]
    """The STT header as scapy would have it, from the draft's table."""

    name = "STT"
    fields_desc = [
        XByteField("version", 0),
        FlagsField("flags", 0, 8, ["verified", "partial", "ipv4", "tcp", "b4", "b5", "b6", "b7"]),
        XByteField("l4_offset", 0),
        XByteField("reserved", 0),
        XShortField("mss", 0),
        BitField("pcp", 0, 3),
        BitField("v", 0, 1),
        BitField("vid", 0, 12),
        XLongField("context_id", 0),
        XShortField("padding", 0),
    ]


_INNER = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(bytes(range(256)) * 20)


def _template(**changes: Any) -> stt.SttPacket:
    segment = stt.SttSegment(40000, stt.DST_PORT, 0xCAFE0001, stt.TOTAL_MIN, 0, b"\0")
    return stt.SttPacket(bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)), segment, **changes)


def test_scapys_frame_is_accepted() -> None:
    inner = bytes(_INNER)
    frame = bytes(Stt(flags="partial+ipv4+tcp", l4_offset=34, mss=1400, v=1, pcp=5, vid=100, context_id=5001)) + inner
    packets = [
        bytes(
            IP(src="192.0.2.1", dst="192.0.2.2", flags="DF")
            / TCP(sport=40000, dport=7471, seq=len(frame) << 16 | offset, ack=7, flags="A", window=0)
            / Raw(frame[offset : offset + 1440])
        )
        for offset in range(0, len(frame), 1440)
    ]
    segments = [stt.SttPacket.parse(data).segment for data in packets]
    header, rest = stt.SttHeader.parse(b"".join(bytes(s.payload) for s in segments))
    assert header == stt.SttHeader(5001, stt.CSUM_PARTIAL | stt.IPV4 | stt.TCP, 34, 1400, 5 << 13 | 100)
    assert bytes(rest) == inner


def test_scapy_reads_our_frame() -> None:
    inner = bytes(_INNER)
    header = stt.SttHeader(2**64 - 1, stt.CSUM_PARTIAL | stt.IPV4 | stt.TCP, 34, 1400, 0)
    packets = [IP(data) for data in stt.segment(header.serialize() + inner, 1500, _template(tos=0xB8, ttl=17, ip_id=0xFFFF))]
    payload = b""
    for index, packet in enumerate(packets):
        is_last = index == len(packets) - 1
        checksums = packet[IP].chksum, packet[TCP].chksum
        del packet[IP].chksum, packet[TCP].chksum
        again = IP(bytes(packet))
        assert checksums == (again[IP].chksum, again[TCP].chksum)
        assert (packet.tos, packet.ttl, packet.id, packet.flags) == (0xB8, 17, (0xFFFF + index) & 0xFFFF, "DF")
        assert (packet.seq >> 16, packet.seq & 0xFFFF) == (18 + len(inner), len(payload))
        assert (packet.sport, packet.dport, packet.ack, packet.dataofs) == (40000, 7471, 0xCAFE0001, 5)
        assert packet[TCP].flags == ("PA" if is_last else "A")
        assert len(packet) == 1500 or is_last
        payload += bytes(packet[TCP].payload)
    parsed = Stt(payload)
    assert (parsed.version, parsed.l4_offset, parsed.mss, parsed.v, parsed.pcp, parsed.vid) == (0, 34, 1400, 1, 0, 0)
    assert (parsed.flags, parsed.context_id, parsed.padding) == ("partial+ipv4+tcp", 2**64 - 1, 0)
    assert bytes(parsed.payload) == inner


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context_id": 2**64}, "context_id: 18446744073709551616 is not in 0..18446744073709551615"),
        ({"context_id": -1}, "context_id: -1"),
        ({"context_id": 0, "flags": 0x10}, "flags: 0x10"),
        ({"context_id": 0, "flags": 3}, "both verified and partial"),
        ({"context_id": 0, "l4_offset": 34}, "need CSUM_PARTIAL"),
        ({"context_id": 0, "flags": 2, "l4_offset": 256}, "l4_offset: 256 is not in 0..255"),
        ({"context_id": 0, "mss": 1400}, "1400 without a partial TCP checksum"),
        ({"context_id": 0, "flags": 14, "mss": 7}, "7 is below 8"),
        ({"context_id": 0, "vlan_tci": 0x1005}, "vlan_tci: 0x1005"),
    ],
)
def test_header_that_the_wire_cannot_carry(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stt.SttHeader(**fields)


def test_values_that_the_wire_cannot_carry() -> None:
    with pytest.raises(ValueError, match=r"src_port: 65536 is not in 0\.\.65535"):
        stt.SttSegment(65536, 0, 0, 100, 0, b"")
    with pytest.raises(ValueError, match=r"id: 4294967296 is not in 0\.\.4294967295"):
        stt.SttSegment(0, 0, 2**32, 100, 0, b"")
    with pytest.raises(ValueError, match="ttl: 256"):
        _template(ttl=256)
    with pytest.raises(ValueError, match="source: 16 bytes, an IPv4 address has 4"):
        stt.SttPacket(bytes(16), bytes(4), _template().segment)
    with pytest.raises(ValueError, match="payload: 2 bytes at 99 of a frame of 100"):
        stt.SttSegment(0, 0, 0, 100, 99, b"ab").serialize()


def test_segment_limits() -> None:
    with pytest.raises(ValueError, match="mtu: 40 leaves no payload"):
        stt.segment(bytes(100), 40, _template())
    with pytest.raises(ValueError, match=r"frame: 31 bytes are not in 32\.\.65535"):
        stt.segment(bytes(31), 1500, _template())
    with pytest.raises(ValueError, match="65536 bytes"):
        stt.segment(bytes(65536), 1500, _template())
    with pytest.raises(ValueError, match="packet of 65575 bytes exceeds 65535"):
        stt.segment(bytes(65535), 66000, _template())
