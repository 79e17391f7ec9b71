"""Commands of the system (iproute2, nftables, ethtool), and threads inside a network namespace."""

import contextlib
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from nvo3.lab.errors import CommandFailed, LabError

T = TypeVar("T")

NETNS_DIR = Path("/run/netns")  # where iproute2 keeps named namespaces (ip-netns(8))
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_POLL_S = 0.01
_libc = ctypes.CDLL(None, use_errno=True)


def run(argv: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None, timeout_s: float = 30) -> str:
    """Run a command and return its standard output.

    Raises CommandFailed if it ends with another status than 0, LabError if it is not installed or takes longer than
    `timeout_s`.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env=dict(env) if env else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"the command {argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(argv)}` took longer than {timeout_s:g} s") from None
    if done.returncode:
        raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def run_in(netns: str, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 30) -> str:
    """Run a command in a network namespace; otherwise as `run`."""
    return run(["ip", "netns", "exec", netns, *argv], stdin=stdin, timeout_s=timeout_s)


def ip(commands: Iterable[str], netns: str | None = None, *, force: bool = False) -> None:
    """Run commands of ip(8) in one process, in order.

    force: go on after one that fails, and do not report it.  Raises CommandFailed, naming the command, otherwise.
    """
    lines = list(commands)
    argv = ["ip", *(["-n", netns] if netns else []), *(["-force"] if force else []), "-batch", "-"]
    try:
        run(argv, stdin="\n".join(lines) + "\n")
    except CommandFailed as error:
        if not force:
            raise CommandFailed(*_blame(lines, netns, error)) from None


def _blame(lines: list[str], netns: str | None, error: CommandFailed) -> tuple[list[str], int, str]:
    """Name the command of a batch that failed: ip says `Command failed -:LINE`."""
    *messages, last = error.output.strip().splitlines() or [""]
    number = last.rpartition(":")[2]
    command = lines[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(lines) else " ; ".join(lines)
    return ["ip", *(["-n", netns] if netns else []), *command.split()], error.status, "\n".join(messages) or last


def enter(netns: str) -> None:
    """Move the calling thread, for good, into a network namespace.  Sockets that it opens stay there."""
    try:
        descriptor = os.open(NETNS_DIR / netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LabError(f"namespace {netns}: {error.strerror}") from None
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            raise LabError(f"namespace {netns}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def call_in(netns: str, function: Callable[[], T]) -> T:
    """Return what `function` returns in a thread of its own inside a network namespace."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter(netns)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def write_sysctls(values: Mapping[str, str]) -> None:
    """Set kernel parameters of the calling thread's namespace: path under /proc/sys/net -> value.

    Ones that the kernel lacks are passed over: it may be built without IPv6.
    """
    for path, value in values.items():
        with contextlib.suppress(FileNotFoundError):
            Path("/proc/sys/net", path).write_text(value)


def set_sysctls(netns: str, values: Mapping[str, str]) -> None:
    """Set kernel parameters of a namespace, as `write_sysctls` does."""
    call_in(netns, lambda: write_sysctls(values))


def netns_names(prefix: str) -> list[str]:
    """Return the named namespaces of the machine that begin with `prefix`."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(name for name in os.listdir(NETNS_DIR) if name.startswith(prefix))
    return []


def wait_until(condition: Callable[[], T], timeout_s: float) -> T:
    """Return the first true value of `condition`, or its last value when `timeout_s` is over."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return value
