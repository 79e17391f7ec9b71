"""A running ryu-manager, on ports and directories of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nvo3.api.client import ApiError, Client
from tests.pipeline.switch import Switch, ovs_program, wait_for

CHECKOUT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Manager:
    """directory: its state, and where it runs: not the checkout."""

    def __init__(self, directory: Path, apps: Sequence[str]) -> None:
        self.directory = directory
        self.apps = apps
        self.options: Sequence[str] = ()
        self.openflow_port, self.http_port = free_port(), free_port()
        self.log = directory / "manager.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = Client(f"http://127.0.0.1:{self.http_port}")

    def start(self) -> None:
        argv = [
            *(sys.executable, "-m", "nvo3.manager", *self.apps),
            *("--ofp-tcp-listen-port", str(self.openflow_port), "--ofp-listen-host", "127.0.0.1"),
            *("--wsapi-port", str(self.http_port)),
            *("--nvo3-state-dir", str(self.directory / "state"), "--nvo3-run-dir", str(self.directory / "run")),
            *self.options,
        ]
        env = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=self.directory, env=env, stdout=log, stderr=log)
        wait_for(self._answers, timeout_s=30)

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log.read_text()
        try:
            self.client.get("/v1/tenants")
        except ApiError as error:
            return error.status == 404  # apps without the overlay
        except OSError:
            return False
        return True

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def end(self, number: signal.Signals) -> int:
        """Signal it; return the exit status.  Raises TimeoutExpired after 2 s."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=2)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A private directory with a short path, which unix sockets need."""
    path = Path(tempfile.mkdtemp(prefix="nvo3-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def manager(directory: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    """`ryu-manager nvo3_app.py`, with the user's app beside it where the test is marked so."""
    if ovs_program("ovsdb-server") is None:
        pytest.skip("ovsdb-server is neither in $NVO3_OVS nor in PATH")
    one = Manager(directory, getattr(request, "param", ["nvo3_app.py"]))
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture
def switch(directory: Path) -> Iterator[Switch]:
    """A switch that may connect to the manager."""
    if ovs_program("ovs-vswitchd") is None:
        pytest.skip("ovs-vswitchd is neither in $NVO3_OVS nor in PATH")
    (directory / "ovs").mkdir()
    one = Switch(directory / "ovs")
    try:
        one.start()
        yield one
    finally:
        one.stop()
