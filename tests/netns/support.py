"""What tests of real traffic share: the command line, pings, what a lab leaves behind."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvo3.lab import Lab, system
from nvo3.lab.system import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]


def cli(lab: Lab, *arguments: str, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run `nvo3 lab ARGUMENTS` on a lab as a user would."""
    return subprocess.run(cli_argv(lab, *arguments), env=cli_env(), capture_output=True, text=True, timeout=timeout_s, check=False)


def cli_argv(lab: Lab, *arguments: str) -> list[str]:
    """Return the command; the option that names the lab stands before any arguments of the command itself."""
    n_words = 2 if arguments[0] == "guest" else 1
    option = ["--instance", lab.names.instance]
    return [sys.executable, "-m", "nvo3.lab.command", *arguments[:n_words], *option, *arguments[n_words:]]


def cli_env() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(slots=True)
class Ping:
    """Filled in when the ping has ended.  lost: how many of `sent` had no answer.  longest_gap: most in a row.

    interval_s: as asked for, then as it was: a coarse clock stretches it.
    """

    interval_s: float
    sent: int = 0
    lost: int = 0
    longest_gap: int = 0

    @property
    def gap_s(self) -> float:
        return self.longest_gap * self.interval_s


@contextmanager
def pinging(lab: Lab, guest: str, address: str, *, interval_s: float = 0.01) -> Iterator[Ping]:
    """Ping from a guest while the block runs; it answers when the block begins."""
    result = Ping(interval_s)
    argv = ["ping", "-n", "-O", "-W", "1", "-i", str(interval_s), address]
    # A file takes in whatever the ping has to say; a pipe that nobody reads would stop it when it is full.
    with tempfile.TemporaryFile("w+") as output:
        process = lab.popen(guest, argv, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: os.pread(output.fileno(), 4096, 0).count(b"bytes from"), 10)
            yield result
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            process.wait(timeout=10)
        output.seek(0)
        _count(output.read(), result)


def _count(output: str, result: Ping) -> None:
    answered = {int(number) for number in re.findall(r"bytes from .*icmp_seq=(\d+)", output)}
    first, last = min(answered), max(answered)
    # Echo requests that were under way when the ping was stopped are not lost; what came after the last answer is.
    result.sent = int(re.findall(r"(\d+) packets transmitted", output)[-1])
    duration_ms = int(re.findall(r"time (\d+)ms", output)[-1])
    result.interval_s = max(result.interval_s, duration_ms / 1000 / max(1, result.sent - 1))
    missing = [number for number in range(first, result.sent) if number not in answered]
    if missing and result.sent - 1 - last <= 1:
        missing = [number for number in missing if number < last]
    result.lost = len(missing)
    gap = 0
    for number in range(first, result.sent):
        gap = gap + 1 if number in missing else 0
        result.longest_gap = max(result.longest_gap, gap)


def await_listening(tcpdump: "subprocess.Popen[str]") -> None:
    """Wait until tcpdump captures."""
    assert tcpdump.stderr is not None
    assert any("listening on" in line for line in tcpdump.stderr), "tcpdump did not start"


class Capture:
    """tcpdump on an interface while a block runs.  lines: one for each packet, afterwards."""

    def __init__(self, lab: Lab, place: str, interface: str, expression: str = "", *, direction: str = "inout") -> None:
        argv = ["tcpdump", "-l", "-n", "-e", "-i", interface, "-Q", direction, "--immediate-mode", *expression.split()]
        self._process = lab.popen(place, argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines: list[str] = []

    def __enter__(self) -> "Capture":
        await_listening(self._process)
        return self

    def __exit__(self, *exc: object) -> None:
        # What has been captured by now is in the pipe once tcpdump has ended.
        self._process.send_signal(signal.SIGINT)
        output, _ = self._process.communicate(timeout=10)
        self.lines = [line for line in output.splitlines() if line]


def leftovers(lab: Lab) -> list[str]:
    """Return what stands of a lab on this machine: namespaces, links, files, processes."""
    names = lab.names
    found = system.netns_names(names.prefix)
    found += [str(path) for path in (Path("/sys/class/net", names.management_link), names.run_dir, names.lock_file) if path.exists()]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            command = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"{names.run_dir}/" in command:
                found.append(f"pid {entry}: {command}")
    return found


def status_json(lab: Lab) -> dict[str, Any]:
    """Return what `lab status --json` prints."""
    done = cli(lab, "status", "--json")
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def wrong_pairs(lab: Lab) -> Sequence[tuple[str, str]]:
    """Return the pairs of guests that are not as expected now."""
    return [(cell.source, cell.target) for cell in lab.status().matrix if not cell.right]
