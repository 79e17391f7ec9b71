"""The dissector that users load, docs/protocols/sclp.lua, on captures of the vectors and of what we cut; the inner frames go to
Wireshark's dissectors, written by somebody else."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from nvo3.wire import sclp, stt
from nvo3.wire.geneve import GeneveHeader, GeneveOption
from nvo3.wire.vxlan import VxlanHeader

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")

_CHECKOUT = Path(__file__).resolve().parents[3]
_DISSECTOR = _CHECKOUT / "docs" / "protocols" / "sclp.lua"
_VECTORS = _CHECKOUT / "tests" / "vectors" / "sclp"
_INNER = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=9) / Raw(bytes(4000))
_VXLAN, _GENEVE = 4789, 6081


class Captures:
    """Writes packets to captures and asks tshark for fields."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "sclp.pcap"

    def fields(self, packets: Iterable[bytes], *names: str, options: Iterable[str] = ()) -> list[list[str]]:
        """Return, for each packet, the named fields; several values of one are joined by commas."""
        header = Ether(dst="02:00:00:00:01:02", src="02:00:00:00:01:01", type=0x0800)
        wrpcap(str(self._path), [header / Raw(packet) for packet in packets])
        wanted = [word for name in names for word in ("-e", name)]
        command = ["tshark", "-n", "-X", f"lua_script:{_DISSECTOR}", *options, "-r", str(self._path), "-T", "fields", *wanted]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert "lua" not in result.stderr.lower(), result.stderr
        return [line.split("\t") for line in result.stdout.removesuffix("\n").split("\n")]


@pytest.fixture
def captures(tmp_path: Path) -> Captures:
    return Captures(tmp_path)


def _vectors(kind: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((_VECTORS / f"{kind}.json").read_text(encoding="utf-8"))
    return vectors


def _cut(frame: bytes, port: int = _VXLAN, udp: sclp.Udp | None = None, id_: int = 0xCAFE) -> list[bytes]:
    return sclp.segment(frame, 1500, sclp.SclpPacket(b"\xc0\0\2\1", b"\xc0\0\2\2", (b"",), udp), 40000, port, id_)


def _of_vector(name: str) -> bytes:
    return next(bytes.fromhex(vector["hex"]) for vector in _vectors("packet") if vector["name"] == name)


def test_every_field_of_the_slides(captures: Captures) -> None:
    packets = [bytes.fromhex(packet) for packet in _vectors("frame")[0]["packets"]]
    names = ("srcport", "dstport", "id", "first", "remaining", "len", "frame", "reassembled_in")
    found = captures.fields(packets, *(f"sclp.{name}" for name in names), options=["-2"])
    common = ["40000", "4789", "0x12345678"]
    assert found == [
        [*common, "1", "1532", "1468", "", "3"],
        [*common, "0", "64", "1468", "", "3"],
        [*common, "0", "0", "64", "3000", ""],
    ]


def _verdict(vector: dict[str, Any]) -> list[str]:
    """Return which expert infos the vector's records give."""
    experts = {"sclp_truncated": "truncated", "empty": "truncated", "total": "total.bad", "sclp_checksum": "checksum.bad"}
    records = vector["fields"]["records"]
    return sorted(experts[record["verdict"]] for record in records if record["verdict"] != "ok")


def test_experts_of_the_packet_vectors(captures: Captures) -> None:
    """What the codecs refuse for SCLP's sake has an expert info, and nothing else has."""
    # Wireshark does not call a dissector without bytes, nor for ports that are not its; a capture does not tell where to cut.
    guesses = ("UDP: super-packet taken for a datagram", "UDP: super-packet, last cut off")
    left_out = ("no header", "UDP: no record", "UDP: other ports", *guesses)
    vectors = [v for v in _vectors("packet") if v["verdict"] == "ok" and v["name"] not in left_out]
    names = ("checksum.bad", "total.bad", "truncated")
    packets = [bytes.fromhex(vector["hex"]) for vector in vectors]
    found = captures.fields(packets, *(f"sclp.{name}" for name in names))
    by_name = {
        vector["name"]: [n for n, value in zip(names, row, strict=True) if value] for vector, row in zip(vectors, found, strict=True)
    }
    assert by_name == {vector["name"]: _verdict(vector) for vector in vectors}


def test_bad_checksum_is_an_expert_error(captures: Captures) -> None:
    packet = _of_vector("SCLP checksum")
    assert captures.fields([packet], "_ws.expert.message", "_ws.expert.severity") == [["Bad checksum", str(0x800000)]]
    off = ["-o", "sclp.check_checksum:FALSE"]
    assert captures.fields([packet], "_ws.expert.message", options=off) == [[""]]


@pytest.mark.parametrize("udp", [None, sclp.Udp(41000)], ids=["native", "udp"])
@pytest.mark.parametrize("port", [_VXLAN, _GENEVE])
def test_the_inner_frame_is_whole_in_any_order(captures: Captures, udp: sclp.Udp | None, port: int) -> None:
    header = VxlanHeader(5001) if port == _VXLAN else GeneveHeader(5001, (GeneveOption(0x0102, 0, b"abcd"),))
    frame = header.serialize() + bytes(_INNER)
    orders = list(permutations(range(3)))
    packets = [_cut(frame, port, udp, 2 * number)[i] for number, order in enumerate(orders) for i in order]
    found = captures.fields(packets, "frame.protocols", "ip.src", "tcp.len", "vxlan.vni", "geneve.vni", "sclp.frame")
    name, transport = "vxlan" if port == _VXLAN else "geneve", "udp:sclp_udp" if udp else "sclp"
    vnis = ["5001", ""] if port == _VXLAN else ["", "0x001389"]
    for incomplete, again, complete in zip(found[0::3], found[1::3], found[2::3], strict=True):
        assert incomplete[1:] == again[1:] == ["192.0.2.1", "", "", "", ""]
        assert f":{transport}:{name}:eth:ethertype:ip:tcp" in complete[0]
        assert complete[1:] == ["192.0.2.1,10.0.0.1", "4000", *vnis, str(len(frame))]


def test_frames_in_one_super_packet(captures: Captures) -> None:
    """Two frames whose datagrams UDP GRO has joined, and one that the kernel is still to cut."""
    frames = [VxlanHeader(vni).serialize() + bytes(_INNER)[:size] for vni, size in ((1, 1452), (2, 2000), (3, 4000))]
    udp = sclp.Udp(41000)
    cut = [[sclp.SclpPacket.parse(p).records[0] for p in _cut(f, udp=udp, id_=2 * n)] for n, f in enumerate(frames)]
    packets = [sclp.SclpPacket(b"\xc0\0\2\1", b"\xc0\0\2\2", tuple(r), udp).serialize() for r in (cut[0] + cut[1], cut[2])]
    found = captures.fields(packets, "vxlan.vni", "sclp.frame", "sclp.len", "sclp.remaining")
    assert found == [["1,2", "1460,2008", "1460,1460,548", "0,548,0"], ["3", "4008", "1460,1460,1088", "2548,1088,0"]]


@pytest.mark.parametrize(
    "header",
    [
        sclp.Offload(stt.CSUM_PARTIAL | stt.IPV4 | stt.TCP, 34, 1400).in_vxlan(5001),
        sclp.Offload(stt.CSUM_PARTIAL | stt.IPV4 | stt.TCP, 34, 1400).in_geneve(GeneveHeader(5001, (GeneveOption(1, 2, b"abcd"),))),
    ],
    ids=["vxlan", "geneve"],
)
def test_offload_state(captures: Captures, header: VxlanHeader | GeneveHeader) -> None:
    port = _VXLAN if isinstance(header, VxlanHeader) else _GENEVE
    packets = _cut(header.serialize() + bytes(_INNER), port)
    names = [f"sclp.offload.{name}" for name in ("flags", "partial", "ipv4", "tcp", "l4_offset", "mss")]
    assert captures.fields(packets, *names, "tcp.len")[-1] == ["0x0e", "1", "1", "1", "34", "1400", "4000"]


def test_no_offload_state(captures: Captures) -> None:
    for port, header in ((_VXLAN, VxlanHeader(5001)), (_GENEVE, GeneveHeader(5001))):
        assert captures.fields(_cut(header.serialize() + bytes(_INNER), port), "sclp.offload.flags", "tcp.len")[-1] == ["", "4000"]


def _change_remaining(packet: bytes, by: int) -> bytes:
    whole = sclp.SclpPacket.parse(packet)
    (segment,) = whole.segments()
    changed = sclp.SclpSegment(segment.src_port, segment.dst_port, segment.id, segment.first, segment.remaining + by, segment.payload)
    return sclp.SclpPacket(whole.source, whole.destination, (changed.serialize(),)).serialize()


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (lambda one, two, three: [one, two, two, three], "overlap"),
        (lambda one, two, three: [one, two, _change_remaining(three, 10), three], "overlap"),
        (lambda one, two, three: [one, _change_remaining(two, 1500), two, three], "conflict"),
        (lambda one, two, three: [two, _change_remaining(one, -1500), one, three], "conflict"),
    ],
    ids=["duplicate", "overlap", "beyond the first", "first below the others"],
)
def test_segments_that_do_not_fit(captures: Captures, damage: Callable[..., list[bytes]], name: str) -> None:
    frame = VxlanHeader(5001).serialize() + bytes(_INNER)
    found = captures.fields(damage(*_cut(frame)), f"sclp.{name}", "tcp.len")
    assert [bool(expert) for expert, _ in found].count(True) == 1
    assert found[-1][1] == "4000"


def test_id_used_again(captures: Captures) -> None:
    packets = [p for vni in (1, 2, 3) for p in _cut(VxlanHeader(vni).serialize() + bytes(_INNER))]
    assert [vni for (vni,) in captures.fields(packets, "vxlan.vni") if vni] == ["1", "2", "3"]
