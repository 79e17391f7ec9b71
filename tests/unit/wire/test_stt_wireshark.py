"""Wireshark's dissector, written by somebody else, reads what we cut."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from nvo3.wire import stt

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")

_INNER = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=9) / Raw(bytes(4000))
_FLAGS = stt.CSUM_PARTIAL | stt.IPV4 | stt.TCP


def _tshark(capture: Path, *options: str) -> str:
    # Outside of a handshake, port 7471 is plain TCP to Wireshark unless heuristics come first.
    command = ["tshark", "-n", "-o", "ip.try_heuristic_first:TRUE", "-r", str(capture), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Return a capture of one frame in three segments, the last of which arrives first."""
    header = stt.SttHeader(5001, _FLAGS, 34, 1400, 5 << 13 | 100)
    first = stt.SttSegment(40000, stt.DST_PORT, 0xCAFE, stt.TOTAL_MIN, 0, b"\0")
    packets = stt.segment(header.serialize() + bytes(_INNER), 1500, stt.SttPacket(b"\xc0\0\2\1", b"\xc0\0\2\2", first))
    path = tmp_path / "stt.pcap"
    wrpcap(str(path), [Ether(dst="02:00:00:00:01:02", src="02:00:00:00:01:01", type=0x0800) / Raw(packets[i]) for i in (2, 0, 1)])
    return path


def _field(layer: dict[str, Any], name: str) -> int:
    return int(layer[name], 0)


def test_every_field(capture: Path) -> None:
    packets = json.loads(_tshark(capture, "-T", "json"))
    layers = [packet["_source"]["layers"] for packet in packets]
    assert [_field(layer["stt"], "stt.seg_off") for layer in layers] == [2920, 0, 1460]
    assert {_field(layer["stt"], "stt.pkt_id") for layer in layers} == {0xCAFE}
    assert {_field(layer["stt"], "stt.pkt_len") for layer in layers} == {18 + len(_INNER)}
    header = layers[-1]["stt"]
    expected = {"version": 0, "flags": _FLAGS, "l4offset": 34, "mss": 1400, "context_id": 5001}
    assert {name: _field(header, f"stt.{name}") for name in expected} == expected


def test_no_expert_error(capture: Path) -> None:
    assert "Errors" not in _tshark(capture, "-q", "-z", "expert")


def test_the_inner_frame_is_whole(capture: Path) -> None:
    lines = _tshark(capture, "-T", "fields", "-e", "frame.protocols", "-e", "ip.src", "-e", "tcp.len").splitlines()
    protocols, sources, length = lines[-1].split("\t")
    assert protocols.startswith("eth:ethertype:ip:stt:eth:ethertype:ip:tcp")
    assert (sources, length) == ("192.0.2.1,10.0.0.1", "4000")


def test_the_checksums_are_those_of_tcp(capture: Path) -> None:
    options = ("-o", "ip.try_heuristic_first:FALSE", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    lines = _tshark(capture, *options, "-T", "fields", "-e", "ip.checksum.status", "-e", "tcp.checksum.status").splitlines()
    assert lines == ["1\t1"] * 3
