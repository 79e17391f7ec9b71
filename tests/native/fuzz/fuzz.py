"""Fuzzing of `native/` with libFuzzer: `python -m tests.native.fuzz.fuzz TARGET [--seconds N] [--corpus DIRECTORY]`.

Needs clang and its runtime (Debian: clang, libclang-rt-dev).  The corpus grows in the directory and seeds the next run; it
begins with the vectors of tests/vectors/.  An input that fails is written there, too.
"""

import argparse
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.native import support
from tests.native.fastpath import openflow as of

TARGETS = {path.stem.removeprefix("fuzz_"): path for path in sorted(Path(__file__).parent.glob("fuzz_*.c"))}
_OPTIONS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-O2")
_EXECUTIONS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_MAX_LEN = {"parse": 2048, "reassembly": 600, "sclp_parse": 2048, "sclp_reassembly": 600, "fastpath": 8192}
_EXTRA = {"fastpath": ["world.c"]}  # other sources of a target


def _seeds(target: str) -> Iterator[bytes]:
    if target == "parse":
        for kind, first in (("packet", b"\1"), ("header", b"\0")):
            for vector in _vectors("stt", kind):
                yield first + bytes.fromhex(vector["hex"])
        for flags, offset, mss, inner in _offloaded_frames():
            yield b"\0" + struct.pack("!BBBBHHQH", 0, flags, offset, 0, mss, 0, 1, 0) + inner
    if target == "reassembly":
        yield from _segment_lists()
    if target == "sclp_parse":
        for vector in _vectors("sclp", "packet"):
            yield struct.pack("!BH", 1, vector["gso_size"]) + bytes.fromhex(vector["hex"])
        for vector in _vectors("sclp", "payload"):
            yield bytes((0 if vector["port"] == 4789 else 2,)) + bytes.fromhex(vector["hex"])
        for flags, offset, mss, inner in _offloaded_frames():
            yield b"\0" + struct.pack("!BBHI", 8, flags, mss, 5001 << 8 | offset) + inner
            yield b"\2" + struct.pack("!BBHIHBBBBH", 2, 0x40, 0x6558, 5001 << 8, 0xFFEA, 0x81, 1, flags, offset, mss) + inner
    if target == "sclp_reassembly":
        yield from _record_lists()
    if target == "fastpath":
        yield from _happenings()


def _vectors(protocol: str, kind: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((support.VECTORS / protocol / f"{kind}.json").read_text(encoding="utf-8"))
    return vectors


def _offloaded_frames() -> Iterator[tuple[int, int, int, bytes]]:
    """Yield flags, L4 offset, MSS and inner frames with a partial checksum over each inner protocol."""
    macs = bytes(12)
    tcp, udp = bytes(12) + b"\x50" + bytes(17), bytes(12)
    for tags in (b"", b"\x81\x00\x00\x05", b"\x88\xa8\x00\x01\x81\x00\x00\x02"):
        for l4, protocol, flag in ((tcp, 6, 8), (udp, 17, 0)):
            ipv4 = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(l4), 0, 0, 64, protocol, 0, 1, 2)
            ipv6 = struct.pack("!IHBB", 6 << 28, 8 + len(l4), 60, 64) + bytes(32) + bytes((protocol, 0, 1, 4, 0, 0, 0, 0))
            for l3, ethertype, version in ((ipv4, b"\x08\x00", 4), (ipv6, b"\x86\xdd", 0)):
                offset = 14 + len(tags) + len(l3)
                yield 2 | flag | version, offset, 8 if flag else 0, macs + tags + ethertype + l3 + l4


def _segment_lists() -> Iterator[bytes]:
    """Yield lists of segments as the target reads them: frames cut and shuffled, with and without limits in reach."""
    chance = random.Random(1)
    for size in (1, 5, 13, 21):
        for tells_total in (True, False):
            cut = [(key, at, min(size, 63 - at)) for key in range(4) for at in range(0, 63, size)]
            chance.shuffle(cut)
            total = [63 if tells_total or at == 0 else 0 for _, at, _ in cut]
            ops = b"".join(bytes((key, n, 63 - at - n, total[i], 9, i & 1)) for i, (key, at, n) in enumerate(cut))
            yield b"\0" + ops
            yield b"\1" + ops


def _record_lists() -> Iterator[bytes]:
    """Yield lists of records as the target reads them: frames of 100 bytes in records of 32 and 4, in several orders."""
    chance = random.Random(2)
    for merge in (0, 0xFF):
        ops = [(id_, at == 0, 100 - at - size, size, 0, merge) for id_ in range(3) for at, size in ((0, 32), (32, 32), (64, 32), (96, 4))]
        for _ in range(4):
            yield b"".join(map(bytes, ops))
            chance.shuffle(ops)


def _happening(what: int, data: bytes = b"") -> bytes:
    return struct.pack("!BH", what, len(data)) + data


def _happenings() -> Iterator[bytes]:
    """Yield lists of what happens to a fast path: tunnels in and out, all actions, frames of each kind."""
    vnet, ether, ends = bytes(10), bytes(12) + b"\x08\x00", {"macs": ("02:00:00:00:00:01",) * 2, "addresses": ("10.0.0.1",) * 2}
    changes = of.set_vlan_vid(1) + of.set_nw_src("1.2.3.4") + of.set_nw_tos(4) + of.set_tp_dst(5) + of.output(of.NET) + of.strip_vlan()
    offloaded = [
        struct.pack("=BBHHHH", 1, ((1 if flags & 4 else 4) if mss else 0), offset + 20, mss, offset, 16 if flags & 8 else 6) + frame
        for flags, offset, mss, frame in _offloaded_frames()
    ]
    arrivals = [bytes.fromhex(vector["hex"]) for kind in ("stt", "sclp") for vector in _vectors(kind, "packet")]
    for kind in range(1, 6):
        for flags in (0, 3):
            wrap = of.set_tunnel(kind, 1, flags=flags, segment=600, **ends)
            unwrap = of.match(kind, 0, 0), of.strip_tunnel(kind) + changes + of.output(of.HOST) + of.output(of.IN_PORT)
            entries = [(of.match(in_port=of.HOST), wrap + of.output(of.NET) + of.strip_tunnel(kind) + changes + of.output(of.NET)), unwrap]
            begin = b"".join(_happening(2, b"\0\1" + match + actions) for match, actions in entries)
            yield begin + b"".join(_happening(0, frame) for frame in offloaded) + _happening(6)
            for packet in arrivals:
                if len(packet) >= 20:
                    yield begin + _happening(5, packet[16:20] + bytes(2) + b"\x05\xdc") + _happening(1, vnet + ether + packet)


def run(target: str, seconds: int, directory: Path, corpus: Path) -> tuple[int, str]:
    """Build a target in `directory`, run it, and return how many executions it did, 0 if it failed, and what it wrote."""
    sources = [TARGETS[target], *(support.HERE / name for name in _EXTRA.get(target, []))]
    program = support.build(directory / f"fuzz_{target}", sources, *_OPTIONS, compiler="clang")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(_seeds(target)):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={_MAX_LEN[target]}", "-timeout=10", "-print_final_stats=1"]
    command = [program, *limits, f"-artifact_prefix={corpus}/", corpus]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=support.environment())
    found = _EXECUTIONS.search(result.stderr)
    return (int(found[1]) if found and not result.returncode else 0), result.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the C code of native/.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="a directory that is kept; a temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        corpus = arguments.corpus or Path(directory) / "corpus"
        executions, output = run(arguments.target, arguments.seconds, Path(directory), corpus)
    print(f"{arguments.target}: {executions} executions without a finding" if executions else output)
    return 0 if executions else 1


if __name__ == "__main__":
    sys.exit(main())
