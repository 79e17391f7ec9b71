"""One sample: a single TCP flow by iperf3(1), and what it cost."""

import json
import os
import selectors
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nvo3.bench.bed import CLIENT, SERVER, Bed
from nvo3.lab.errors import LabError

_START_S = 5.0
_GRACE_S = 15.0
_BITS_PER_GBIT = 1e9
_BYTES_PER_GB = 1e9


@dataclass(frozen=True, slots=True)
class Sample:
    """gbps: Gbit/s of TCP payload, as received.

    moved_bytes: payload.  cpu_seconds: of the switches, while it was moved.
    """

    arm: str
    round: int
    gbps: float
    retransmits: int
    moved_bytes: int
    cpu_seconds: float
    duration_s: float

    @property
    def cpu_seconds_per_gb(self) -> float:
        return self.cpu_seconds / (self.moved_bytes / _BYTES_PER_GB)


def tcp(bed: Bed, arm: str, number: int, seconds: int) -> Sample:
    """Run one TCP flow from CLIENT to SERVER for some seconds.  Raises LabError if it fails."""
    server = _start_server(bed)
    try:
        before = bed.cpu_seconds()
        result = _run_client(bed, seconds)
        cpu = bed.cpu_seconds() - before
    finally:
        _end(server)
    received, sent = result["end"]["sum_received"], result["end"]["sum_sent"]
    if not received["bytes"]:
        raise LabError(f"{arm}: iperf3 moved no data")
    return Sample(
        arm=arm,
        round=number,
        gbps=received["bits_per_second"] / _BITS_PER_GBIT,
        retransmits=sent["retransmits"],
        moved_bytes=received["bytes"],
        cpu_seconds=cpu,
        duration_s=received["seconds"],
    )


def _start_server(bed: Bed) -> "subprocess.Popen[str]":
    """Start iperf3 for one flow and wait until it listens."""
    server = bed.popen(SERVER, ["iperf3", "--server", "--one-off", "--forceflush"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = _read_until(server, "Server listening", _START_S)
    if lines is not None:
        _end(server)
        raise LabError(f"iperf3 does not listen: {' '.join(lines.split()) or 'no message'}")
    return server


def _read_until(process: "subprocess.Popen[str]", wanted: str, timeout_s: float) -> str | None:
    """Read what a process says until it has said `wanted`; return what it said if it did not."""
    assert process.stdout is not None
    said, deadline = "", time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            # Not by readline: what it keeps in its buffer, select does not see.
            chunk = os.read(process.stdout.fileno(), 4096).decode(errors="replace")
            said += chunk
            if wanted in said:
                return None
            if not chunk:
                break
    return said


def _run_client(bed: Bed, seconds: int) -> dict[str, Any]:
    client = bed.popen(
        CLIENT,
        ["iperf3", "--client", bed.server_address, "--time", str(seconds), "--json", "--connect-timeout", "5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, messages = client.communicate(timeout=seconds + _GRACE_S)
    except subprocess.TimeoutExpired:
        raise LabError(f"iperf3 did not end {_GRACE_S:g} s after its time") from None
    finally:
        _end(client)
    try:
        result: dict[str, Any] = json.loads(output)
    except ValueError:
        raise LabError(f"iperf3: {' '.join(messages.split()) or 'no result'}") from None
    if "error" in result:
        raise LabError(f"iperf3: {result['error']}")
    return result


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
