"""Programs that measure, one part in SERVER and one in CLIENT: iperf3(1), sockperf(1)."""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nvo3.bench.bed import CLIENT, SERVER, Bed
from nvo3.lab.errors import LabError

_START_S = 5.0
_GRACE_S = 15.0


def iperf3(bed: Bed, seconds: int, *options: str) -> dict[str, Any]:
    """Send from CLIENT to SERVER; return what iperf3 calls the end of its result.  Raises LabError."""
    with _server(bed, ["iperf3", "--server", "--one-off", "--forceflush"], "Server listening"):
        argv = ["iperf3", "--client", bed.server_address, "--time", str(seconds), "--json", "--connect-timeout", "5000", *options]
        output, messages = _run_client(bed, argv, seconds)
    try:
        result: dict[str, Any] = json.loads(output)
    except ValueError:
        raise LabError(f"iperf3: {' '.join(messages.split()) or 'no result'}") from None
    if "error" in result:
        raise LabError(f"iperf3: {result['error']}")
    end: dict[str, Any] = result["end"]
    return end


@dataclass(frozen=True, slots=True)
class Datagrams:
    """How many were sent and received, and for how long."""

    n_sent: int
    n_received: int
    duration_s: float

    @property
    def lost_percent(self) -> float:
        return 100 * (1 - self.n_received / self.n_sent)


def iperf3_udp(bed: Bed, size_bytes: int, seconds: int, rate_mbps: int = 0) -> Datagrams:
    """Send datagrams of a size from CLIENT to SERVER, at a rate of payload or as fast as iperf3 can.  Raises LabError."""
    end = iperf3(bed, seconds, "--udp", "--bitrate", f"{rate_mbps}M", "--length", str(size_bytes))
    # Not iperf3's own count of the lost: that misses those behind the last which arrived.
    return Datagrams(end["sum_sent"]["packets"], end["sum_received"]["bytes"] // size_bytes, end["sum_received"]["seconds"])


def sockperf(bed: Bed, seconds: int, *options: str) -> str:
    """Play ping-pong between CLIENT and SERVER; return what sockperf reports of it.  Raises LabError."""
    argv = ["sockperf", "ping-pong", "--ip", bed.server_address, "--time", str(seconds), "--full-rtt", *options]
    with _server(bed, ["sockperf", "server", *options], "to block on socket"):
        output, messages = _run_client(bed, argv, seconds)
    return output + messages


@contextmanager
def _server(bed: Bed, argv: Sequence[str], ready: str) -> Iterator[None]:
    """Have the server's part run, after it has said that it is `ready`."""
    server = bed.popen(SERVER, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = _read_until(server, ready, _START_S)
        if said is not None:
            raise LabError(f"{argv[0]} does not listen: {' '.join(said.split()) or 'no message'}")
        yield
    finally:
        _end(server)


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


def _run_client(bed: Bed, argv: Sequence[str], seconds: int) -> tuple[str, str]:
    """Run the client's part to its end; return what it said on standard output and on standard error."""
    client = bed.popen(CLIENT, argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        return client.communicate(timeout=seconds + _GRACE_S)
    except subprocess.TimeoutExpired:
        raise LabError(f"{argv[0]} did not end {_GRACE_S:g} s after its time") from None
    finally:
        _end(client)


def _end(process: "subprocess.Popen[str]") -> None:
    """End a program that has nothing to tidy up; sockperf's server does not heed SIGTERM before its next message."""
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
