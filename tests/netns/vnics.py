"""What tests of vNICs that encapsulate share: what the controller says of them, what is on the wire, bytes that arrive."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nvo3.lab import Lab
from nvo3.lab.system import wait_until
from tests.netns.support import Capture

NETWORK = "/v1/tenants/red/networks/web"
WIRE = {
    "stt": "tcp port 7471",
    "sclp-udp": "udp port 7234",
    "sclp": "ip proto 234",
    "geneve": "udp port 6081",
    "vxlan": "udp port 4789",
    "gre": "ip proto 47",
}
TRANSFER = Path(__file__).with_name("transfer.py")
PORT = 5001


def agents(lab: Lab) -> dict[str, Any]:
    with lab.client() as client:
        return {item["port"]: item for item in client.get("/v1/agents")["items"]}


def await_realized(lab: Lab, timeout_s: float = 10) -> None:
    assert wait_until(lambda: all(a["state"] == "connected" and a["realized"] for a in agents(lab).values()), timeout_s), agents(lab)


def table(lab: Lab, port: str) -> dict[tuple[str, str], dict[str, Any]]:
    with lab.client() as client:
        entries = client.get(f"{NETWORK}/ports/{port}/agent/table")["items"]
    return {(entry["match"], entry["actions"]): entry for entry in entries}


def set_encapsulation(lab: Lab, name: str) -> None:
    with lab.client() as client:
        client.patch(NETWORK, json={"encapsulation": name}, wait="realized")
    await_realized(lab)


def outer(capture: Capture) -> list[str]:
    """Return the lines about packets on the wire: tcpdump knows VXLAN, and has another line for what is inside.

    Of a handful of packets the last may be missing: tcpdump ends when it is told to, whether or not it has seen all.
    """
    return [line for line in capture.lines if re.match(r"\d\d:\d\d:\d\d\.\d", line)]


def transfer(lab: Lab, source: str, target: str, address: str, size: int) -> None:
    """Send by TCP; the hashes of both ends agree."""
    with receiving(lab, target, address):
        done = lab.run(source, [sys.executable, *send(address, size)], timeout_s=60)
    assert_intact(done.stdout)


@contextmanager
def receiving(lab: Lab, target: str, address: str) -> Iterator[None]:
    """A guest takes what `send` sends, while the block runs."""
    receiver = lab.popen(target, [sys.executable, *receive(address)], stdout=subprocess.PIPE)
    try:
        assert receiver.stdout is not None and receiver.stdout.readline() == "ready\n"
        yield
    finally:
        receiver.kill()
        receiver.wait()


def receive(address: str) -> list[str]:
    """Return Python's arguments for taking one connection."""
    return [str(TRANSFER), "tcp-receive", address, str(PORT)]


def send(address: str, size: int) -> list[str]:
    """Return Python's arguments for sending bytes by TCP."""
    return [str(TRANSFER), "tcp-send", address, str(PORT), str(size)]


def assert_intact(output: str) -> None:
    """Compare the hashes that `send` has written."""
    said = json.loads(output.splitlines()[-1])
    assert said["sent"] == said["received"], said
