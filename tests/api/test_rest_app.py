"""The API in the real controller, started as a user starts it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.ovsdb

_CHECKOUT = Path(__file__).resolve().parents[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _manager(directory: Path, state: str, api_port: int) -> Iterator["subprocess.Popen[bytes]"]:
    options = {
        "--nvo3-state-dir": directory / state,
        "--nvo3-run-dir": directory / f"{state}-run",
        "--wsapi-port": api_port,
        "--ofp-tcp-listen-port": _free_port(),
    }
    words = [str(word) for pair in options.items() for word in pair]
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "nvo3.manager", "nvo3_app.py", *words]
    with (directory / f"{state}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_health(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "the API does not come up"
        time.sleep(0.05)


def test_serves_and_refuses_a_second_one(tmp_path: Path) -> None:
    port = _free_port()
    with _manager(tmp_path, "first", port), httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        _await_health(port)
        assert http.post("/v1/tenants?wait=realized", json={"name": "red"}).status_code == 201
        assert http.post("/v1/tenants/red/networks?wait=realized", json={"name": "web"}).status_code == 201
        body = {"name": "hv1", "remote": "unix:/nowhere"}
        assert http.post("/v1/hypervisors", json=body).json()["status"]["connected"] is False
        problem = http.patch("/v1/hypervisors/hv1?wait=realized&timeout=0.3", json={"remote": "unix:/nowhere2"}).json()
        assert problem["detail"].startswith("hypervisor hv1 is stored, but not connected within 0.3 s")
        with _manager(tmp_path, "second", port) as second:
            assert second.wait(20) == 1
        line = (tmp_path / "second.log").read_text().strip().splitlines()[-1]
        assert f"the API cannot listen on 127.0.0.1:{port}: Address already in use" in line
        with _manager(tmp_path, "first", _free_port()) as third:
            assert third.wait(20) == 1
        assert http.get("/v1/tenants/red").status_code == 200


def test_killed_and_started_again(tmp_path: Path) -> None:
    port = _free_port()
    with _manager(tmp_path, "state", port) as first:
        _await_health(port)
        httpx.post(f"http://127.0.0.1:{port}/v1/tenants", json={"name": "red"}, trust_env=False).raise_for_status()
        first.kill()
        first.wait()
        started = time.monotonic()
        with _manager(tmp_path, "state", port):
            _await_health(port)
            assert time.monotonic() - started < 10
            items = httpx.get(f"http://127.0.0.1:{port}/v1/tenants", trust_env=False).json()["items"]
            assert [item["name"] for item in items] == ["red"]
