"""The lab's controller: `ryu-manager nvo3_app.py` in the machine's namespace, its database in the lab's directory."""

import os
import sys
from pathlib import Path

from nvo3.api.client import ApiError, ApiUnreachable, Client
from nvo3.lab import ovs, process, system
from nvo3.lab.errors import DaemonFailed
from nvo3.lab.place import API_HOST, Place
from nvo3.lab.process import Process

ROLE = "controller"
_START_S = 30.0
_UNAVAILABLE = 503  # it serves, but its database does not yet
_CHECKOUT = Path(__file__).resolve().parents[2]


def log_file(directory: Path) -> Path:
    """Return the log of the controller whose directory is given."""
    return directory / "controller.log"


def output_file(directory: Path) -> Path:
    """Return where its standard output and error go: what it says before it logs, or when it cannot."""
    return directory / "controller.out"


def argv(place: Place, directory: Path) -> list[str]:
    """Return how to start it."""
    return [
        sys.executable,
        "-m",
        "nvo3.manager",
        "nvo3_app.py",
        f"--ofp-tcp-listen-port={place.openflow_port}",
        f"--wsapi-host={API_HOST}",
        f"--wsapi-port={place.api_port}",
        f"--nvo3-state-dir={directory / 'state'}",
        f"--nvo3-run-dir={directory / 'run'}",
        f"--log-file={log_file(directory)}",
        "--nvo3-metrics-interval=1",
    ]


def environment(binaries: ovs.Binaries) -> dict[str, str]:
    """Return its environment: this checkout's code, the lab's Open vSwitch."""
    path = os.pathsep.join(part for part in (str(_CHECKOUT), os.environ.get("PYTHONPATH", "")) if part)
    return dict(os.environ) | {"PATH": binaries.path, "PYTHONPATH": path}


def await_api(place: Place, started: Process, directory: Path) -> None:
    """Wait until the API answers.  Raises DaemonFailed."""
    with Client(place.api_url) as client:

        def answers() -> bool:
            try:
                client.get("/v1/hypervisors")
            except ApiError as error:
                if isinstance(error, ApiUnreachable) or error.status == _UNAVAILABLE:
                    return False
                raise
            return True

        done = system.wait_until(lambda: answers() or not process.is_alive(started), _START_S)
    if not process.is_alive(started):
        log = output_file(directory) if ovs.last_line(output_file(directory)) else log_file(directory)
        raise DaemonFailed(f"the controller ended: {ovs.last_line(log) or 'no message'}", log)
    if not done:
        raise DaemonFailed(f"the API at {place.api_url} did not answer within {_START_S:g} s", log_file(directory))
