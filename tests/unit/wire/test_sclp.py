"""The SCLP, VXLAN and Geneve codecs: vectors that the C code runs, too (tests/native/test_vectors.py), and scapy as an independent
peer."""

import json
from pathlib import Path
from typing import Any

import pytest
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from nvo3.wire import sclp, stt
from nvo3.wire.errors import Malformed, Truncated, WireError
from nvo3.wire.geneve import GeneveHeader, GeneveOption
from nvo3.wire.sclp import Offload, SclpPacket, SclpSegment
from nvo3.wire.vxlan import VxlanHeader

_VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "sclp"
_TRUNCATED = {"ip_truncated", "udp_truncated", "sclp_truncated", "frame_truncated"}


def _vectors(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in json.loads((_VECTORS / f"{kind}.json").read_text(encoding="utf-8"))]


def _check_refused(verdict: str, error: WireError) -> None:
    assert error.reason == verdict
    assert isinstance(error, Truncated if error.reason in _TRUNCATED else Malformed)
    assert "\n" not in str(error)


def _check_record(record: bytes | memoryview, expected: dict[str, Any], *, covered: bool) -> None:
    if expected["verdict"] != "ok":
        with pytest.raises(WireError) as caught:
            SclpSegment.parse(record, covered=covered)
        return _check_refused(expected["verdict"], caught.value)
    segment = SclpSegment.parse(record, covered=covered)
    assert bytes(segment.payload).hex() == expected["payload"]
    for name in ("src_port", "dst_port", "id", "first", "remaining"):
        assert getattr(segment, name) == expected[name]
    checksum = bytes(record)[10:12]
    assert segment.serialize(covered=covered and checksum == b"\0\0") == bytes(record)


@pytest.mark.parametrize("vector", _vectors("packet"))
def test_packet_vector(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if vector["verdict"] != "ok":
        with pytest.raises(WireError) as caught:
            SclpPacket.parse(data, vector["gso_size"])
        return _check_refused(vector["verdict"], caught.value)
    packet, fields = SclpPacket.parse(data, vector["gso_size"]), vector["fields"]
    assert int.from_bytes(packet.source, "big") == fields["source"]
    assert int.from_bytes(packet.destination, "big") == fields["destination"]
    assert (packet.tos, packet.ttl) == (fields["tos"], fields["ttl"])
    assert (packet.udp and [packet.udp.src_port, packet.udp.dst_port]) == fields["udp"]
    assert len(packet.records) == len(fields["records"])
    for record, expected in zip(packet.records, fields["records"], strict=True):
        _check_record(record, expected, covered=packet.is_covered)


def _parse_payload(port: int, data: bytes) -> tuple[VxlanHeader | GeneveHeader, Offload | None, bytes]:
    if port == 4789:
        vxlan, inner = VxlanHeader.parse(data)
        return vxlan, Offload.from_vxlan(vxlan), bytes(inner)
    geneve, inner = GeneveHeader.parse(data)
    return geneve, Offload.from_geneve(geneve), bytes(inner)


@pytest.mark.parametrize("vector", [v for v in _vectors("payload") if v.values[0]["takes_offload"]])
def test_payload_vector(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if vector["verdict"] != "ok":
        with pytest.raises(WireError) as caught:
            _parse_payload(vector["port"], data)
        return _check_refused(vector["verdict"], caught.value)
    header, offload, inner = _parse_payload(vector["port"], data)
    fields = vector["fields"]
    assert (header.vni, inner.hex()) == (fields["vni"], fields["inner"])
    found = (offload.flags, offload.l4_offset, offload.mss) if offload else (0, 0, 0)
    assert found == (fields["flags"], fields["l4_offset"], fields["mss"])
    if isinstance(header, GeneveHeader):
        assert header.oam == fields["oam"]
        others = header.options[1:] if offload else header.options
        assert b"".join(option.serialize() for option in others).hex() == fields["options"]
        again = offload.in_geneve(GeneveHeader(header.vni, others)) if offload else header
    else:
        again = offload.in_vxlan(header.vni) if offload else header
    if "serialized" in vector:
        assert again.serialize().hex() == vector["serialized"]


def _template(udp: sclp.Udp | None = None, **changes: Any) -> SclpPacket:
    return SclpPacket(bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)), (b"",), udp, **changes)


@pytest.mark.parametrize("vector", _vectors("frame"))
def test_frame_vector(vector: dict[str, Any]) -> None:
    udp = sclp.Udp(*vector["udp"]) if vector["udp"] else None
    template = _template(udp, ip_id=vector["ip_id"])
    common = (vector["src_port"], vector["dst_port"], vector["id"])
    packets = sclp.segment(bytes.fromhex(vector["frame"]), vector["mtu"], template, *common)
    assert [packet.hex() for packet in packets] == vector["packets"]


_INNER = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(bytes(range(256)) * 20)


def test_scapy_reads_our_vxlan() -> None:
    header = VXLAN(VxlanHeader(5001).serialize() + bytes(_INNER))
    assert (header.flags.value, header.vni, bytes(header.payload)) == (0x08, 5001, bytes(_INNER))


def test_scapys_vxlan_is_accepted() -> None:
    header, inner = VxlanHeader.parse(bytes(VXLAN(vni=0xABCDEF) / _INNER))
    assert (header.vni, bytes(inner)) == (0xABCDEF, bytes(_INNER))


def test_scapy_reads_our_geneve() -> None:
    ours = GeneveHeader(5001, (GeneveOption(0x0102, 0x80, b"abcd"),), oam=True)
    header = GENEVE(ours.serialize() + bytes(_INNER))
    assert (header.version, header.optionlen, header.oam, header.critical, header.proto, header.vni) == (0, 2, 1, 1, 0x6558, 5001)
    assert (header.options[0].classid, header.options[0].type, header.options[0].data) == (0x0102, 0x80, b"abcd")
    assert bytes(header.payload) == bytes(_INNER)


def test_scapys_geneve_is_accepted() -> None:
    data = bytes(GENEVE(vni=7, options=[GeneveOptions(classid=0x0103, type=1, data=b"12345678")]) / _INNER)
    header, inner = GeneveHeader.parse(data)
    assert (header, bytes(inner)) == (GeneveHeader(7, (GeneveOption(0x0103, 1, b"12345678"),)), bytes(_INNER))


def test_scapy_reads_our_udp() -> None:
    frame = VxlanHeader(5001).serialize() + bytes(_INNER)
    packets = sclp.segment(frame, 1500, _template(sclp.Udp(40000), tos=0xB8, ttl=17, ip_id=0xFFFF), 40001, 4789, 0xCAFE)
    payload = b""
    for index, packet in enumerate(map(IP, packets)):
        checksums = packet[IP].chksum, packet[UDP].chksum
        del packet[IP].chksum, packet[UDP].chksum
        again = IP(bytes(packet))
        assert checksums == (again[IP].chksum, again[UDP].chksum)
        assert (packet.tos, packet.ttl, packet.id, packet.flags) == (0xB8, 17, (0xFFFF + index) & 0xFFFF, "DF")
        assert (packet.sport, packet.dport) == (40000, sclp.UDP_PORT)
        payload += bytes(packet[UDP].payload)[sclp.HEADER_LEN :]
    assert payload == frame


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SclpSegment(65536, 0, 0, True, 100, b"a"), r"src_port: 65536 is not in 0\.\.65535"),
        (lambda: SclpSegment(0, 0, 3, True, 100, b"a"), "id: 0x3 has the bit"),
        (lambda: SclpSegment(0, 0, 2, True, 100, b""), "payload: empty"),
        (lambda: SclpSegment(0, 0, 2, True, 20, b"a"), "frame of 21 bytes, at least 22"),
        (lambda: SclpSegment(0, 0, 2, False, 65535, b"a"), "65536 bytes to the end"),
        (lambda: sclp.Udp(-1), "src_port: -1"),
        (lambda: _template(ttl=256), "ttl: 256"),
        (lambda: SclpPacket(bytes(16), bytes(4), (b"",)), "source: 16 bytes, an IPv4 address has 4"),
        (lambda: SclpPacket(bytes(4), bytes(4), (b"a", b"b")), "native SCLP has one"),
        (lambda: SclpPacket(bytes(4), bytes(4), ()), "records: 0"),
        (lambda: SclpPacket(bytes(4), bytes(4), (bytes(65516),)).serialize(), "65536 bytes exceeds 65535"),
        (lambda: SclpPacket(bytes(4), bytes(4), (bytes(65508),), sclp.Udp(1)).serialize(), "65536 bytes exceeds 65535"),
        (lambda: VxlanHeader(2**24), "vni: 16777216 is not in 0..16777215"),
        (lambda: GeneveHeader(-1), "vni: -1"),
        (lambda: GeneveHeader(1, (GeneveOption(1, 1, bytes(124)),) * 2), "options: 256 bytes exceed 252"),
        (lambda: GeneveOption(1, 1, b"abc"), "data: 3 bytes"),
        (lambda: GeneveOption(1, 1, bytes(128)), "data: 128 bytes"),
        (lambda: Offload(stt.TCP, 34), "not CSUM_PARTIAL"),
        (lambda: Offload(stt.CSUM_PARTIAL, 34, 1400), "1400 without TCP"),
        (lambda: Offload(stt.CSUM_PARTIAL | stt.TCP, 34, 7), "7 is below 8"),
        (lambda: Offload(stt.CSUM_PARTIAL, 256), "l4_offset: 256"),
        (lambda: sclp.segment(bytes(100), 32, _template(), 0, 0, 0), "mtu: 32 leaves no payload"),
        (lambda: sclp.segment(bytes(100), 40, _template(sclp.Udp(1)), 0, 0, 0), "mtu: 40 leaves no payload"),
        (lambda: sclp.segment(bytes(21), 1500, _template(), 0, 0, 0), r"frame: 21 bytes are not in 22\.\.65535"),
        (lambda: sclp.segment(bytes(65536), 1500, _template(), 0, 0, 0), "65536 bytes"),
    ],
)
def test_values_that_the_wire_cannot_carry(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
