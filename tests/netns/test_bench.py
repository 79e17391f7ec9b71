"""A short benchmark, whole: its output, and that nothing of it stays."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nvo3.bench.bed import instance
from nvo3.lab import Lab, system
from tests.netns.support import cli_env, leftovers

pytestmark = pytest.mark.netns


def _argv(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from nvo3.bench.command import app; app()", "tcp", *arguments]


def test_bench_tcp_measures_and_cleans_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        _argv("--arms", "none,vxlan", "--rounds", "1", "--seconds", "1", "--json", "--out", str(out)),
        env=cli_env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["wire"], result["rounds"]) == ("tso", 1)
    assert [arm["arm"] for arm in result["arms"]] == ["none", "vxlan"]
    for arm in result["arms"]:
        assert len(arm["gbps"]) == len(arm["retransmits"]) == 1
        assert arm["median_gbps"] > 0.05
        assert 0 < arm["cpu_seconds_per_gb"] < 1000
    # Encapsulating every frame cannot be faster than not doing so: the arms really differ.
    assert 0 < result["ratios"]["vxlan/none"] < 1
    assert sorted(path.name for path in out.iterdir()) == ["tcp-tso.csv", "tcp-tso.json", "tcp-tso.png", "tcp-tso.svg"]
    assert leftovers(Lab(instance())) == []


def test_bench_tcp_interrupted_leaves_nothing() -> None:
    process = subprocess.Popen(_argv("--seconds", "60"), env=cli_env(), stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1 of 3" in line:
            break
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    messages = process.stderr.read()
    assert process.wait(30) == 130, messages
    assert time.monotonic() - started < 20
    assert "Traceback" not in messages
    assert system.wait_until(lambda: not leftovers(Lab(instance())), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arms", "vlan"), "--arms: 'vlan' is not one of none, "),
        (("--wire", "fast"), "--wire: 'fast' is not one of tso, gso"),
        (("--rounds", "0"), "--rounds: 0 is not in 1..1000"),
        (("--seconds", "99999"), "--seconds: 99999 is not in 1..3600"),
    ],
)
def test_bench_tcp_bad_input_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = subprocess.run(_argv(*arguments), env=cli_env(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1
