"""The first process of a virtual machine (`machine.py`): runs what the test asks for, by lines of JSON on a virtio-serial port.

Asked: id, argv, environment, and whether the output goes to the console.  Answered, when the command has ended: id, status, stdout, stderr.
If this process ends, the kernel panics and the machine is gone.
"""

import ctypes
import json
import os
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

_PORT = "vport*p1"  # the bus's number is the kernel's to choose
_MODULES = ("virtio_pci", "virtio_net", "virtio_console", "virtio_rng")
_MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run"))
_START_S = 30.0

_libc = ctypes.CDLL(None, use_errno=True)
_write_lock = threading.Lock()


def _mount(kind: str, path: str) -> None:
    os.makedirs(path, exist_ok=True)
    if _libc.mount(kind.encode(), path.encode(), kind.encode(), 0, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def _prepare() -> None:
    """Do what systemd and udev do on Debian; all other modules come when something needs them."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    for kind, path in _MOUNTS:
        if not os.path.ismount(path):
            _mount(kind, path)
    subprocess.run(["modprobe", "-a", *_MODULES], check=True)
    os.makedirs("/dev/net", exist_ok=True)
    os.mknod("/dev/net/tun", stat.S_IFCHR | 0o666, os.makedev(10, 200))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _open_port() -> int:
    deadline = time.monotonic() + _START_S
    while not (found := list(Path("/dev").glob(_PORT))):
        if time.monotonic() > deadline:
            raise FileNotFoundError(_PORT)
        time.sleep(0.05)
    return os.open(found[0], os.O_RDWR)


def _carry_out(request: dict[str, Any], port: int) -> None:
    output = None if request["console"] else subprocess.PIPE
    environment = dict(os.environ) | request["environment"]
    try:
        done = subprocess.run(
            request["argv"], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True, check=False
        )
        answer = {"status": done.returncode, "stdout": done.stdout or "", "stderr": done.stderr or ""}
    except OSError as error:
        answer = {"status": 127, "stdout": "", "stderr": str(error)}
    rest = json.dumps({"id": request["id"]} | answer).encode() + b"\n"
    with _write_lock:
        while rest:
            rest = rest[os.write(port, rest) :]


def main() -> None:
    _prepare()
    port = _open_port()
    rest = b""
    while data := os.read(port, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            threading.Thread(target=_carry_out, args=(json.loads(line), port), daemon=True).start()


if __name__ == "__main__":
    main()
