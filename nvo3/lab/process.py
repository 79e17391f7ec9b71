"""Processes of the lab: none can run unrecorded, none is signalled but the very one that was started.

A pid alone does not name a process: it is reused.  A pid with its start time does (proc(5), /proc/PID/stat field 22).
"""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvo3.lab.errors import LabError

# Waits for the word of the parent, then becomes the command: the pid and the start time stay.  If the parent dies
# first, so does it.
_GATE = 'read -r _ || exit 125; exec "$@" </dev/null'

_children: dict[int, subprocess.Popen[str]] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """pid, and start_ticks: when it started, in clock ticks since boot."""

    pid: int
    start_ticks: int


def start_ticks(pid: int) -> int | None:
    """Return when a process started, None if it is gone (or a zombie, which will do nothing any more)."""
    if child := _children.get(pid):
        child.poll()
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command before it may contain anything
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(process: Process) -> bool:
    """Tell whether the process still runs."""
    return start_ticks(process.pid) == process.start_ticks


def spawn(
    argv: Sequence[str],
    record: Callable[[Process], None],
    *,
    log: Path,
    netns: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start a daemon: a session of its own, output appended to `log`.

    record: called with the process before it executes anything; what it raises ends the process.
    """
    inside = ["ip", "netns", "exec", netns] if netns else []
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "sh", *inside, *argv],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=dict(env) if env else None,
            cwd=cwd,
            start_new_session=True,
            text=True,
        )
    _children[child.pid] = child
    assert child.stdin is not None
    with child.stdin as gate:
        ticks = start_ticks(child.pid)
        if ticks is None:
            raise LabError(f"{argv[0]} could not be started; log: {log}")
        process = Process(child.pid, ticks)
        record(process)
        gate.write("go\n")
    return process


def send(process: Process, number: signal.Signals) -> bool:
    """Signal a process; return False if it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # Compared after the descriptor is held: the pid cannot be reused in between without us seeing another start
        # time.
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def wait_gone(process: Process, timeout_s: float) -> bool:
    """Wait for the end of a process; return False if it still runs after `timeout_s`."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if is_alive(process):
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll(timeout_s * 1000)
        return not is_alive(process)
    finally:
        os.close(descriptor)


def stop(process: Process, timeout_s: float = 3.0) -> None:
    """Ask a process to end; kill it if it has not after `timeout_s`."""
    if send(process, signal.SIGTERM) and not wait_gone(process, timeout_s):
        kill(process)


def kill(process: Process) -> None:
    """Kill a process and wait until it is gone."""
    if send(process, signal.SIGKILL):
        wait_gone(process, 5.0)


def in_namespaces(paths: Iterable[Path]) -> list[Process]:
    """Return the processes whose network namespace is one of those at `paths`."""
    wanted = set()
    for path in paths:
        with contextlib.suppress(OSError):
            wanted.add((path.stat().st_dev, path.stat().st_ino))
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")) if wanted else ():
        with contextlib.suppress(OSError):
            space = os.stat(f"/proc/{entry}/ns/net")
            ticks = start_ticks(int(entry)) if (space.st_dev, space.st_ino) in wanted else None
            if ticks is not None:
                found.append(Process(int(entry), ticks))
    return found


def with_pidfile_under(directory: Path) -> list[Process]:
    """Return processes that wrote a pidfile below `directory` and that name the directory in their command line.

    The second condition keeps us from a process that got the pid of one that crashed.
    """
    found = []
    for pidfile in directory.rglob("*.pid"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(pidfile.read_text().split()[0])
            ticks = start_ticks(pid)
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if ticks is not None and os.fsencode(directory) in command:
                found.append(Process(pid, ticks))
    return found


def cpu_seconds(process: Process) -> float:
    """Return the CPU time that a process used so far, user and system, all its threads; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
