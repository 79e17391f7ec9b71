"""Processes: recorded before they run, identified by pid and start time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nvo3.lab import process, system


def test_spawn_records_before_anything_runs(tmp_path: Path) -> None:
    seen: list[tuple[process.Process, bool]] = []
    proof = tmp_path / "proof"
    one = process.spawn(["touch", str(proof)], lambda started: seen.append((started, proof.exists())), log=tmp_path / "log")
    assert process.wait_gone(one, 5)
    assert seen == [(one, False)]
    assert proof.exists()


def test_spawn_runs_nothing_if_it_cannot_be_recorded(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    started: list[process.Process] = []

    def record(one: process.Process) -> None:
        started.append(one)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        process.spawn(["touch", str(proof)], record, log=tmp_path / "log")
    assert process.wait_gone(started[0], 5)
    assert not proof.exists()


def test_spawn_runs_nothing_if_the_parent_is_killed_before_it_recorded(tmp_path: Path) -> None:
    proof, pidfile = tmp_path / "proof", tmp_path / "pid"
    script = (
        "import os, signal; from pathlib import Path; from nvo3.lab import process\n"
        "def die(one): Path({pidfile!r}).write_text(f'{{one.pid}} {{one.start_ticks}}'); os.kill(os.getpid(), 9)\n"
        "process.spawn(['touch', {proof!r}], die, log=Path({log!r}))\n"
    ).format(pidfile=str(pidfile), proof=str(proof), log=str(tmp_path / "log"))
    done = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == -signal.SIGKILL
    orphan = process.Process(*map(int, pidfile.read_text().split()))
    assert process.wait_gone(orphan, 5)
    assert not proof.exists()


def test_spawn_gives_the_daemon_a_session_and_no_input(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one = process.spawn(["sh", "-c", "cat; ps -o sid= -p $$"], lambda started: None, log=log)
    assert process.wait_gone(one, 5)
    assert int(log.read_text()) == one.pid


def test_stop_kills_what_does_not_end(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    one = process.spawn(["sh", "-c", f"trap '' TERM; : > {ready}; while :; do sleep 60; done"], lambda started: None, log=tmp_path / "l")
    assert system.wait_until(ready.exists, 5)
    children = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()
    process.stop(one, timeout_s=0.1)
    assert not process.is_alive(one)
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def test_send_to_a_gone_process_says_so(tmp_path: Path) -> None:
    one = process.spawn(["true"], lambda started: None, log=tmp_path / "log")
    assert process.wait_gone(one, 5)
    assert not process.send(one, signal.SIGTERM)


def test_cpu_seconds_of_a_busy_process_grow(tmp_path: Path) -> None:
    one = process.spawn(
        ["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 60"],
        lambda started: None,
        log=tmp_path / "l",
    )
    try:
        assert system.wait_until(lambda: process.cpu_seconds(one) > 0.03, 10)
    finally:
        process.kill(one)
    assert process.cpu_seconds(one) == 0.0


def test_with_pidfile_under_believes_only_processes_of_that_directory(tmp_path: Path) -> None:
    ours = process.spawn(["sh", "-c", "sleep 60 & wait", str(tmp_path / "db")], lambda started: None, log=tmp_path / "l")
    other = process.spawn(["sleep", "60"], lambda started: None, log=tmp_path / "l")
    try:
        (tmp_path / "a.pid").write_text(f"{ours.pid}\n")
        (tmp_path / "b.pid").write_text(f"{other.pid}\n")
        (tmp_path / "c.pid").write_text("nonsense")
        assert system.wait_until(lambda: process.with_pidfile_under(tmp_path) == [ours], 5)
    finally:
        os.killpg(ours.pid, signal.SIGKILL)
        process.kill(other)
