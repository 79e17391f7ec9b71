"""Starts `fake_controller.py` and talks to it, for the tests of the API and of the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

_CHECKOUT = Path(__file__).resolve().parents[2]


class FakeController:
    """A running one.  url: its API.  database_pid: its ovsdb-server."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        self.process = process
        self.log = log
        about = json.loads(line)
        self.port: int = about["port"]
        self.database_pid: int = about["database"]
        self.url = f"http://127.0.0.1:{self.port}"

    def n_tracebacks(self) -> int:
        """Count the internal errors so far."""
        return self.log.read_text().count("Traceback")

    def clear(self) -> None:
        """Delete everything, so that the next test finds nothing."""
        with httpx.Client(base_url=self.url, trust_env=False) as http:
            for tenant in _names(http, "/v1/tenants"):
                for network in _names(http, f"{tenant}/networks"):
                    for port in _names(http, f"{network}/ports"):
                        http.delete(port).raise_for_status()
                    http.delete(network).raise_for_status()
                http.delete(tenant).raise_for_status()
            for hypervisor in _names(http, "/v1/hypervisors"):
                http.delete(hypervisor).raise_for_status()
            http.patch("/v1/settings", json={"encapsulation_order": ["geneve", "vxlan", "gre"], "agent_pools": []}).raise_for_status()


def _names(http: httpx.Client, path: str) -> list[str]:
    items: list[dict[str, Any]] = http.get(path).raise_for_status().json()["items"]
    return [f"{path}/{item['name']}" for item in items]


@contextmanager
def running(directory: Path) -> Iterator[FakeController]:
    """Run one on a database in a directory; it ends with this context, or with this process."""
    log = directory / "controller.log"
    script = Path(__file__).with_name("fake_controller.py")
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(script), str(directory / "state"), str(directory / "run")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
        )
    assert process.stdin is not None
    try:
        yield FakeController(process, log)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
