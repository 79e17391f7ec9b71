"""The agent of a guest's vNIC, in the guest's namespace: `nvo3-agent --vnic eth0`."""

import sys
from pathlib import Path

from nvo3.agent.command import tap_name
from nvo3.lab import ovs, process, system
from nvo3.lab.errors import DaemonFailed
from nvo3.lab.names import Names
from nvo3.lab.process import Process
from nvo3.lab.vnic import VNIC

TAP = tap_name(VNIC)
_START_S = 15.0


def role(guest: str) -> str:
    """Return what the journal calls the agent of a guest."""
    return f"{guest} nvo3-agent"


def directory(names: Names, guest: str) -> Path:
    """Return where an agent has its files and its log."""
    return names.run_dir / f"{guest}.agent"


def log_file(names: Names, guest: str) -> Path:
    """Return the log of a guest's agent."""
    return directory(names, guest) / "agent.log"


def argv(names: Names, guest: str) -> list[str]:
    """Return how to start it."""
    return [sys.executable, "-m", "nvo3.agent.command", "--vnic", VNIC, "--run-dir", str(directory(names, guest))]


def await_ready(names: Names, guest: str, started: Process) -> None:
    """Wait until the agent has taken the vNIC over.  Raises DaemonFailed."""
    socket, log = directory(names, guest) / f"{VNIC}.sock", log_file(names, guest)
    done = system.wait_until(lambda: socket.exists() or not process.is_alive(started), _START_S)
    if not process.is_alive(started):
        raise DaemonFailed(f"the agent of {guest} ended: {ovs.last_line(log) or 'no message'}", log)
    if not done:
        raise DaemonFailed(f"the agent of {guest} did not take its vNIC over within {_START_S:g} s", log)
