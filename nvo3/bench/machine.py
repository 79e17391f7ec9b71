"""What a benchmark ran on: figures mean little without it."""

import os
import platform
from contextlib import suppress
from pathlib import Path


def describe() -> dict[str, str]:
    """Return kernel, CPUs and the sizes that decide how much a socket takes up at once."""
    return {
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cpus": str(len(os.sched_getaffinity(0))),
        "socket_rcvbuf_default_bytes": _read("/proc/sys/net/core/rmem_default"),
        "socket_sndbuf_default_bytes": _read("/proc/sys/net/core/wmem_default"),
    }


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"
