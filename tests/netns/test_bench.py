"""Short benchmarks, whole: their output, and that nothing of them stays."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nvo3.bench.bed import instances
from nvo3.lab import Lab, system
from tests.netns.support import cli_env, leftovers

pytestmark = pytest.mark.netns


_NET_CORE = "/proc/sys/net/core"
_BUILD_S = 600  # the first run on a machine builds stock Open vSwitch


def _sizes() -> list[str]:
    """Return the sizes that the machine gives socket buffers."""
    return [Path(_NET_CORE, name).read_text().strip() for name in ("rmem_default", "wmem_default")]


def _settled_sizes() -> list[str]:
    """Return them when no benchmark of this machine has changed them for a while."""
    with _opened(_NET_CORE) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _sizes()


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _leftovers() -> list[str]:
    return [found for name in instances() for found in leftovers(Lab(name))]


def _argv(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from nvo3.bench.command import app; app()", *arguments]


def _measured(*arguments: str) -> dict[str, Any]:
    """Run a benchmark of a round of a second; return what it prints."""
    argv = _argv(*arguments, "--rounds", "1", "--seconds", "1", "--json")
    done = subprocess.run(argv, env=cli_env(), capture_output=True, text=True, timeout=_BUILD_S, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _assert_costs(arm: dict[str, Any], unit: str) -> None:
    """Each side's switch has its share of the machine's CPU time; where the kernel switches it has none."""
    sender, receiver, both, softirq, machine = (
        arm[f"{key}_per_{unit}"]
        for key in ("sender_cpu_seconds", "receiver_cpu_seconds", "cpu_seconds", "softirq_cpu_seconds", "machine_cpu_seconds")
    )
    if arm["arm"].startswith("kernel-"):
        assert sender == receiver == both == 0
    else:
        # Counted in ticks, of which one side may have none in a short sample.
        assert both > 0 and 0 <= sender <= both and 0 <= receiver <= both
    assert 0 <= softirq <= machine  # counted in ticks, of which a short sample may have none of either


def test_bench_tcp_measures_all_kinds_of_arms_and_cleans_up(tmp_path: Path) -> None:
    before, out = _settled_sizes(), tmp_path / "out"
    arms = ["none", "vxlan", "stock-vxlan", "kernel-bridge", "kernel-vxlan"]
    result = _measured("tcp", "--arms", ",".join(arms), "--out", str(out))
    assert (result["wire"], result["rounds"]) == ("tso", 1)
    assert [arm["arm"] for arm in result["arms"]] == arms
    for arm in result["arms"]:
        assert len(arm["gbps"]) == len(arm["retransmits"]) == 1
        assert arm["median_gbps"] > 0.05
        _assert_costs(arm, "gb")
        assert arm["softirq_cpu_seconds_per_gb"] > 0
        assert arm["cpu_seconds_per_gb"] < arm["machine_cpu_seconds_per_gb"] * 1.1  # the two are counted by different clocks
    # Encapsulating every frame cannot be faster than not doing so: the arms really differ.
    assert 0 < result["ratios"]["vxlan/none"] < 1
    assert result["ratios"]["vxlan/stock-vxlan"] > 0
    # Each Open vSwitch has the socket buffers that the run is about; those of the machine are as they were.
    assert result["conditions"]["stock_socket_rcvbuf_bytes"] == result["conditions"]["stock_socket_sndbuf_bytes"] == str(8 << 20)
    assert "16777216" in result["conditions"]["socket_rcvbuf_bytes"].split("/")
    assert _settled_sizes() == before
    assert sorted(path.name for path in out.iterdir()) == ["tcp-tso.csv", "tcp-tso.json", "tcp-tso.png", "tcp-tso.svg"]
    assert _leftovers() == []


def test_bench_tcp_compares_sclp_with_stt_and_with_what_it_carries() -> None:
    result = _measured("tcp", "--arms", "vxlan,stt,sclp,sclp-udp")
    assert {"sclp/vxlan", "sclp-udp/stt", "sclp-udp/vxlan", "stt/sclp"} <= set(result["ratios"])
    for arm in result["arms"]:
        assert arm["median_gbps"] > 0.05
        _assert_costs(arm, "gb")


def test_bench_tcp_measures_sclp_with_geneve_inside() -> None:
    result = _measured("tcp", "--arms", "sclp-geneve,sclp-udp-geneve")
    assert all(arm["median_gbps"] > 0.05 for arm in result["arms"])


def test_bench_tcp_measures_vnics_that_encapsulate() -> None:
    result = _measured("tcp", "--arms", "vxlan,cvsw-none,cvsw-stt,cvsw-vxlan,cvsw-sclp")
    assert {"cvsw-stt/cvsw-none", "cvsw-stt/cvsw-vxlan", "cvsw-vxlan/vxlan", "cvsw-stt/vxlan"} <= set(result["ratios"])
    for arm in result["arms"]:
        assert arm["median_gbps"] > 0.05
        _assert_costs(arm, "gb")
    assert result["ratios"]["cvsw-stt/cvsw-vxlan"] > 1


def test_bench_reassembly_compares_its_cases_with_none() -> None:
    result = _measured("reassembly")
    cases = ["none", "gro", "nve", "both"]
    assert [(arm["arm"], arm["reassembly"]) for arm in result["arms"]] == [("sclp", case) for case in cases]
    assert set(result["ratios"]) == {f"sclp@{case}/sclp@none" for case in cases[1:]}
    assert all(arm["median_gbps"] > 0 for arm in result["arms"])
    _assert_costs(result["arms"][3], "gb")


def test_bench_udp_measures_each_size() -> None:
    result = _measured("udp", "--arms", "none,kernel-vxlan", "--sizes", "64,8192", "--rate-mbps", "4", "--wire", "gso")
    assert [(arm["arm"], arm["size_bytes"]) for arm in result["arms"]] == [
        ("none", 64),
        ("kernel-vxlan", 64),
        ("none", 8192),
        ("kernel-vxlan", 8192),
    ]
    assert set(result["ratios"]) == {"kernel-vxlan/none@64 B", "kernel-vxlan/none@8192 B"}
    for arm in result["arms"]:
        assert 0 <= arm["median_lost_percent"] < 50
        assert 0.002 < arm["median_gbps"] < 0.006
        _assert_costs(arm, "gb")


def test_bench_pps_counts_what_arrives() -> None:
    result = _measured("pps", "--arms", "stt,kernel-bridge")
    assert set(result["ratios"]) == {"kernel-bridge/stt", "stt/kernel-bridge"}
    for arm in result["arms"]:
        assert 1000 < arm["median_pps"] <= arm["median_sent_pps"]
        assert arm["median_pps"] / arm["median_sent_pps"] == pytest.approx(1 - arm["median_lost_percent"] / 100, abs=0.001)
        _assert_costs(arm, "million_packets")


def test_bench_latency_gives_percentiles_of_both_protocols() -> None:
    result = _measured("latency", "--arms", "stt,kernel-bridge")
    assert [(arm["arm"], arm["protocol"]) for arm in result["arms"]] == [
        ("stt", "tcp"),
        ("kernel-bridge", "tcp"),
        ("stt", "udp"),
        ("kernel-bridge", "udp"),
    ]
    for arm in result["arms"]:
        assert 1 < arm["median_p50_us"] <= arm["median_p90_us"] <= arm["median_p99_us"] < 1e6
        _assert_costs(arm, "million_round_trips")


def test_socket_buffers_are_put_back_if_the_benchmark_is_killed() -> None:
    before = _settled_sizes()
    program = "from nvo3.bench.buffers import default_size\nwith default_size(3): print('set', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], env=cli_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "set\n"
        assert _sizes() == [str(3 << 20)] * 2
        one.kill()
    assert _settled_sizes() == before


def test_bench_tcp_interrupted_leaves_nothing() -> None:
    process = subprocess.Popen(
        _argv("tcp", "--arms", "none,stock-none,kernel-vxlan", "--seconds", "60"),
        env=cli_env(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1 of 3" in line:
            break
    process.send_signal(signal.SIGINT)
    try:
        _, messages = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.terminate()
        raise
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert system.wait_until(lambda: not _leftovers(), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tcp", "--arms", "vlan"), "--arms: 'vlan' is not one of none, "),
        (("latency", "--wire", "fast"), "--wire: 'fast' is not one of tso, gso"),
        (("pps", "--rounds", "0"), "--rounds: 0 is not in 1..1000"),
        (("tcp", "--seconds", "99999"), "--seconds: 99999 is not in 1..3600"),
        (("udp", "--sizes", "15"), "--sizes: 15 is not in 16..65507"),
        (("udp", "--rate-mbps", "-1"), "--rate-mbps: -1 is not in 0..100000"),
        (("tcp", "--stock-buffers-mib", "-1"), "--stock-buffers-mib: -1 is not in 0..1024"),
    ],
)
def test_bench_bad_input_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = subprocess.run(_argv(*arguments), env=cli_env(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1
