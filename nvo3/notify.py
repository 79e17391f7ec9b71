"""Tells systemd how the process is, where it asks: sd_notify(3), by the datagram socket that $NOTIFY_SOCKET names."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send `READY=1` and the like; nothing happens without a service manager that listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # the abstract namespace: unix(7)
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect(address)
        sock.send(state.encode())


def watchdog_s() -> float | None:
    """Return the seconds between signs of life that the service manager should get, half of what it allows; None where it wants none."""
    try:
        allowed_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        mine = int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except ValueError:
        return None
    return allowed_us / 2e6 if allowed_us > 0 and mine else None
