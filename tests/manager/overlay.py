"""An overlay of two hypervisors without a network under a real controller, which asks for counters all the time and logs JSON."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as parse_text
from scapy.all import ICMP, IP, Ether

from tests.manager.conftest import Manager
from tests.manager.vnics import Hypervisor
from tests.pipeline.switch import ovs_program, wait_for

_INTERVAL_S = 0.1


class Overlay:
    """Two hypervisors and a network under a controller that asks for counters all the time."""

    def __init__(self, directory: Path) -> None:
        self.manager = Manager(directory, ["nvo3_app.py"])
        self.manager.options = ("--nvo3-metrics-interval", str(_INTERVAL_S), "--nvo3-log-format", "json")
        self.hypervisors = [Hypervisor(directory / f"hv{n}", f"192.0.2.{n}") for n in (1, 2)]
        self.ports: dict[str, dict[str, Any]] = {}

    def start(self) -> None:
        self.manager.start()
        client = self.manager.client
        client.post("/v1/tenants", json={"name": "red"})
        client.post("/v1/tenants/red/networks", json={"name": "web", "pools": ["10.0.0.0/24"], "encapsulation": "vxlan"})
        for n, hypervisor in enumerate(self.hypervisors, 1):
            hypervisor.start()
            client.post("/v1/hypervisors", json={"name": f"hv{n}", "remote": hypervisor.remote}, wait="realized", timeout=20)
        for name in ("vm1", "vm2"):
            self.ports[name] = client.post("/v1/tenants/red/networks/web/ports", json={"name": name})

    def stop(self) -> None:
        self.manager.stop()
        for hypervisor in self.hypervisors:
            hypervisor.switch.stop()

    def plug(self, n: int, port: str) -> None:
        interface = ("set", "interface", port, "type=dummy", f"external_ids:iface-id={self.ports[port]['uuid']}")
        self.hypervisors[n - 1].switch.run("ovs-vsctl", "add-port", "br-int", port, "--", *interface)
        wait_for(lambda: self.manager.client.get(f"/v1/tenants/red/networks/web/ports/{port}")["status"]["hypervisor"] == f"hv{n}")
        self.wait_up(port)

    def wait_up(self, port: str) -> None:
        wait_for(lambda: self.manager.client.get(f"/v1/tenants/red/networks/web/ports/{port}")["status"]["state"] == "up")

    def send(self, n: int, port: str, n_frames: int, to: str = "vm2", source: str | None = None) -> None:
        """Have a guest send frames, from its own MAC address unless told otherwise."""
        here, there = self.ports[port], self.ports[to]
        frame = Ether(src=source or here["mac"], dst=there["mac"]) / IP(src=here["addresses"][0], dst=there["addresses"][0]) / ICMP()
        for _ in range(n_frames):
            self.hypervisors[n - 1].switch.run("ovs-appctl", "netdev-dummy/receive", port, bytes(frame).hex())

    def scrape(self, accept: str = "text/plain") -> str:
        url = f"http://127.0.0.1:{self.manager.http_port}/metrics"
        return httpx.get(url, headers={"Accept": accept}, trust_env=False).raise_for_status().text

    def families(self) -> dict[str, Metric]:
        return {family.name: family for family in parse_text(self.scrape())}

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples that have these labels."""
        samples = [s for family in self.families().values() for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def rx_packets(self, port: str) -> float:
        return self.value("nvo3_port_rx_packets_total", tenant="red", network="web", port=port)


@contextmanager
def running() -> Iterator[Overlay]:
    """Run one; skip the test where there is no Open vSwitch."""
    if ovs_program("ovs-vswitchd") is None:
        pytest.skip("ovs-vswitchd is neither in $NVO3_OVS nor in PATH")
    directory = Path(tempfile.mkdtemp(prefix="nvo3-"))  # short, for unix sockets
    one = Overlay(directory)
    try:
        one.start()
        yield one
    finally:
        one.stop()
        shutil.rmtree(directory)
