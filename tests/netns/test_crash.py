"""What crashes leave, and what is left of it after `lab down`: nothing."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nvo3.lab import Lab, system
from nvo3.lab.topology import DEFAULT, load
from tests.netns.support import cli, cli_argv, cli_env, leftovers

pytestmark = pytest.mark.netns


def _up_killed_after(lab: Lab, seconds: float) -> int:
    """Run `lab up` and kill it after some time; return its status, negative if it was killed."""
    process = subprocess.Popen(
        cli_argv(lab, "up"), env=cli_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait()


def test_down_after_up_was_killed_at_any_point_leaves_nothing(free_lab: Lab) -> None:
    started = time.monotonic()
    free_lab.up(load(DEFAULT))
    duration_s = time.monotonic() - started + 0.3  # what starting Python takes
    free_lab.down()
    killed = 0
    for step in range(8):
        at = duration_s * (step + random.random()) / 8
        killed += _up_killed_after(free_lab, at) == -signal.SIGKILL
        assert cli(free_lab, "down").returncode == 0
        assert leftovers(free_lab) == [], f"killed after {at:.3f} s of {duration_s:.3f} s"
    assert killed >= 4


def test_up_interrupted_ends_at_once_and_says_what_stays(free_lab: Lab) -> None:
    process = subprocess.Popen(cli_argv(free_lab, "up"), env=cli_env(), stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting for" in line:
            break
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(10) == 130
    assert time.monotonic() - started < 2
    assert rest.splitlines()[-1] == "interrupted; `nvo3 lab down` removes what was made"
    assert cli(free_lab, "status").stderr.startswith("error: the lab (instance ")
    assert cli(free_lab, "down").returncode == 0
    assert leftovers(free_lab) == []


def test_up_beside_up_waits_for_it(free_lab: Lab) -> None:
    first, second = (
        subprocess.Popen(cli_argv(free_lab, "up"), env=cli_env(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    messages = [one.communicate(timeout=60)[1] for one in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), messages
    (waited,) = [text for text in messages if "another command works on this lab: waiting for it" in text]
    assert "the lab is up: checking it" in waited


def test_up_after_up_was_killed_starts_over(free_lab: Lab) -> None:
    assert _up_killed_after(free_lab, 0.9) == -signal.SIGKILL
    done = cli(free_lab, "up")
    assert done.returncode == 0, done.stderr


def test_down_after_down_was_killed_leaves_nothing(free_lab: Lab) -> None:
    free_lab.up(load(DEFAULT))
    process = subprocess.Popen(cli_argv(free_lab, "down"), env=cli_env(), stderr=subprocess.DEVNULL)
    system.wait_until(lambda: process.poll() is not None or len(leftovers(free_lab)) < 10, 10)
    process.kill()
    process.wait()
    free_lab.down()
    assert leftovers(free_lab) == []


def test_down_without_a_lab_is_no_error(free_lab: Lab) -> None:
    done = cli(free_lab, "down")
    assert done.returncode == 0
    assert "There was no lab." in done.stderr


def test_down_after_the_run_directory_was_removed_leaves_no_namespace(free_lab: Lab) -> None:
    free_lab.up(load(DEFAULT))
    record = free_lab.names.record_file
    free_lab.names.journal_file.unlink()
    record.unlink()
    free_lab.down()
    assert leftovers(free_lab) == []


def test_down_ends_what_runs_inside_and_what_the_killed_controller_left(free_lab: Lab, tmp_path: Path) -> None:
    free_lab.up(load(DEFAULT))
    inside = free_lab.popen("r1", ["sleep", "300"], start_new_session=True)
    free_lab.stop_controller(signal.SIGKILL)
    free_lab.down()
    assert inside.wait(5) != 0
    assert leftovers(free_lab) == []


def test_up_without_a_working_switch_names_the_log(free_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ovs-vswitchd"
    fake.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    fake.chmod(0o755)
    prefix = _prefix_with(tmp_path, fake)
    monkeypatch.setenv("NVO3_OVS", str(prefix))
    done = cli(free_lab, "up")
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "ovs-vswitchd ended: out of order; log: " in error
    assert Path(error.rpartition("log: ")[2]).exists()


def _prefix_with(directory: Path, vswitchd: Path) -> Path:
    """Return an installation of Open vSwitch like ours but for one program."""
    from nvo3.lab.ovs import Binaries

    schema = Binaries.find().schema
    prefix = directory / "prefix"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "sbin").mkdir()
    for program in (*schema.parents[2].glob("bin/*"), schema.parents[2] / "sbin/ovsdb-server"):
        (prefix / program.parent.name / program.name).symlink_to(program)
    vswitchd.rename(prefix / "sbin/ovs-vswitchd")
    (prefix / "share").symlink_to(schema.parents[1])
    return prefix


def test_lab_of_three_hypervisors_is_joined_by_a_bridge(free_lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "three.yaml"
    path.write_text(
        "hypervisors: [a, b, c]\n"
        "tenants:\n"
        "  t:\n"
        "    networks:\n"
        "      n: {pools: [10.1.0.0/16, 'fd01::/64']}\n"
        "guests:\n" + "".join(f"  - {{name: g{h}, tenant: t, network: n, hypervisor: {h}}}\n" for h in "abc")
    )
    done = cli(free_lab, "up", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 6 pairs are as expected." in done.stdout
