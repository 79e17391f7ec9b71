"""A lab's place on its machine: a management subnet and ports that nobody else uses.

Chosen under a lock of the machine and written down before the lock is dropped, so that labs which start at once
choose differently.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from nvo3.lab import system
from nvo3.lab.errors import LabError

# Shared address space (RFC 6598): neither public nor what sites give their own hosts.
MANAGEMENT_SPACE = IPv4Network("100.64.0.0/10")
_PREFIX_LENGTH = 24
_LOCK_WAIT_S = 60.0

API_HOST = "127.0.0.1"
API_PORT = 8080  # what clients expect unless told otherwise

OVSDB_PORT = 6640  # IANA: ovsdb.  On each hypervisor's own management address.


@dataclass(frozen=True, slots=True)
class Place:
    """subnet: a /24 in which the controller has the first address.

    api_port, openflow_port: TCP, in the machine's own namespace.
    """

    subnet: str
    api_port: int
    openflow_port: int

    @property
    def api_url(self) -> str:
        return f"http://{API_HOST}:{self.api_port}"

    @property
    def controller_address(self) -> IPv4Address:
        return IPv4Network(self.subnet)[1]

    def management_address(self, index: int) -> IPv4Address:
        """Return the management address of the hypervisor number `index`, 0 and up."""
        return IPv4Network(self.subnet)[11 + index]

    @property
    def prefix_length(self) -> int:
        return IPv4Network(self.subnet).prefixlen


@contextlib.contextmanager
def locked(path: Path, *, wait_s: float, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock; the file is removed afterwards.

    waiting: called once if another holds it.  Raises LabError if it does not let go within `wait_s`.
    """
    descriptor = _lock(path, wait_s, waiting)
    try:
        yield
    finally:
        # Removed while it is held: whoever opened it meanwhile sees that it is not the file at `path` any more, and
        # starts over.
        path.unlink(missing_ok=True)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # the last lab of the machine leaves nothing


def _lock(path: Path, wait_s: float, waiting: Callable[[], None] | None) -> int:
    told = False

    def attempt() -> int:
        nonlocal told
        descriptor = _try_lock(path)
        if descriptor is None and waiting and not told:
            told = True
            waiting()
        return descriptor or 0

    if descriptor := system.wait_until(attempt, wait_s):
        return descriptor
    raise LabError(f"another command has worked on this lab for more than {wait_s:g} s (it holds {path})")


def _try_lock(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:  # another has just removed the empty directory
        return None
    except PermissionError:
        raise LabError(f"{path}: permission denied; the lab needs root (sudo)") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


@contextlib.contextmanager
def chosen(run_root: Path) -> Iterator[Place]:
    """Choose a place.

    The machine stays locked until the block is left, which must have written the place down in its record.
    """
    with locked(run_root / "machine.lock", wait_s=_LOCK_WAIT_S):
        others = list(_others(run_root))
        taken_ports = {port for place in others for port in (place.api_port, place.openflow_port)}
        api_port = _free_port(API_HOST, API_PORT, taken_ports)
        openflow_port = _free_port("0.0.0.0", 0, taken_ports | {api_port})
        yield Place(str(free_subnet([IPv4Network(place.subnet) for place in others])), api_port, openflow_port)


def _others(run_root: Path) -> Iterator[Place]:
    """Yield the places of the machine's other labs."""
    for path in run_root.glob("*/lab.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            yield Place(**json.loads(path.read_text())["place"])


def free_subnet(taken: list[IPv4Network]) -> IPv4Network:
    """Return the first /24 of MANAGEMENT_SPACE that overlaps no address or route of the machine and none of `taken`.

    Raises LabError if there is none.
    """
    used = taken + [network for network in _machine_networks() if network.prefixlen > 0]  # a default route is not a use
    for subnet in MANAGEMENT_SPACE.subnets(new_prefix=_PREFIX_LENGTH):
        if not any(subnet.overlaps(network) for network in used):
            return subnet
    raise LabError(f"no free /{_PREFIX_LENGTH} in {MANAGEMENT_SPACE} for the management network")


def _machine_networks() -> Iterator[IPv4Network]:
    for route in json.loads(system.run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]"):
        with contextlib.suppress(ValueError):
            yield IPv4Network(route.get("dst", "").replace("default", "0.0.0.0/0"), strict=False)
    for link in json.loads(system.run(["ip", "-json", "-4", "address", "show"]) or "[]"):
        for address in link.get("addr_info", ()):
            yield IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)


def _free_port(host: str, preferred: int, taken: set[int]) -> int:
    """Return `preferred` if it can be listened on and is not taken, else a free port that the kernel picks."""
    for _ in range(100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, preferred))
            port = int(probe.getsockname()[1])
            if port not in taken:
                return port
        preferred = 0
    raise LabError("no free TCP port on this machine")
