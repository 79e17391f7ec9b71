"""What the machine is: distribution, Python, privileges, devices.  Each check raises PrepareError with the remedy."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from nvo3.prepare.errors import PrepareError

SUPPORTED = {"bookworm": "Debian 12", "trixie": "Debian 13"}
MIN_PYTHON = (3, 11)
OS_RELEASE = Path("/etc/os-release")
TUN = Path("/dev/net/tun")


def os_release(path: Path = OS_RELEASE) -> dict[str, str]:
    """Return the fields of os-release(5); empty where the file is missing."""
    try:
        return platform.freedesktop_os_release() if path == OS_RELEASE else _parse(path.read_text(encoding="utf-8"))
    except OSError:
        return {}


def _parse(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def codename(path: Path = OS_RELEASE) -> str:
    """Return the code name of a supported release, as in `bookworm`; raise PrepareError for any other."""
    release = os_release(path)
    name = release.get("VERSION_CODENAME", "")
    if release.get("ID") == "debian" and name in SUPPORTED:
        return name
    found = release.get("PRETTY_NAME") or release.get("ID") or sys.platform
    raise PrepareError(f"unsupported distribution {found!r}: use {' or '.join(SUPPORTED.values())}, on a machine or in a container")


def require_python(version: tuple[int, int] | None = None) -> None:
    """Raise PrepareError where Python is older than MIN_PYTHON."""
    seen = version or (sys.version_info.major, sys.version_info.minor)
    if seen < MIN_PYTHON:
        raise PrepareError(
            f"Python {seen[0]}.{seen[1]} is too old, {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer is needed: "
            f"use {' or '.join(SUPPORTED.values())}"
        )


def require_root(command: str) -> None:
    """Raise PrepareError unless we are root."""
    if os.geteuid() != 0:
        again = shlex.join(["sudo", *sys.argv])
        raise PrepareError(f"'{command}' makes network namespaces and so needs root: run '{again}'")


def require_tun(path: Path = TUN) -> None:
    """Raise PrepareError unless tap devices can be made; load the kernel module first if need be."""
    error = _open_error(path)
    if error and shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "tun"], check=False, stdin=subprocess.DEVNULL, capture_output=True)
        error = _open_error(path)
    if error:
        raise PrepareError(
            f"{path} cannot be opened ({error}), and the userspace datapath needs it: run 'modprobe tun', "
            f"or start the container with '--device {path} --cap-add NET_ADMIN'"
        )


def _open_error(path: Path) -> str:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return ""
