"""What arms run on: two guests, and whose CPU time the path between them costs.

Several arms may share a bed (an overlay network that changes its encapsulation); all beds of a run stand at once, so
that arms can take turns.  All have the same guests, underlay and wire: `overlay` makes them with Open vSwitch, `kernel`
without.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from subprocess import Popen
from typing import Any, Protocol

from nvo3.lab import Lab, place
from nvo3.lab.names import RUN_ROOT, Names
from nvo3.lab.progress import Say
from nvo3.lab.topology import Wire

_CHECKOUT = Path(__file__).resolve().parents[2]
_LOCK_WAIT_S = 1800.0

CLIENT = "client"
SERVER = "server"
HYPERVISORS = {CLIENT: "hv1", SERVER: "hv2"}
POOL = "10.0.0.0/24"

PATCHED = "patched"
STOCK = "stock"
CVSW = "cvsw"
KERNEL_BRIDGE = "kernel-bridge"
KERNEL_VXLAN = "kernel-vxlan"
_KINDS = {PATCHED: "", STOCK: "s", CVSW: "c", KERNEL_BRIDGE: "k", KERNEL_VXLAN: "v"}  # bed: what its instance ends with


@dataclass(frozen=True, slots=True)
class Options:
    """How beds are made.

    stock_prefix: of the Open vSwitch without the patches, empty where no arm needs it.  stock_buffers_mib: of its
    packet sockets, 0 for the system's default size.
    """

    wire: Wire
    stock_prefix: str = ""
    stock_buffers_mib: int = 0


class Bed(Protocol):
    """Two guests that reach each other, CLIENT and SERVER."""

    @property
    def server_address(self) -> str: ...

    @property
    def description(self) -> dict[str, str]:
        """What the bed is made of: versions and sizes, for the record."""

    def popen(self, guest: str, argv: Sequence[str], **options: Any) -> "Popen[str]":
        """Start a command in CLIENT or SERVER."""

    def cpu_seconds(self, guest: str) -> float:
        """Return the CPU time that the switch which CLIENT or SERVER is plugged into, and its agent, used so far; 0 for the kernel's."""

    def set_encapsulation(self, encapsulation: str) -> None:
        """Change the network's encapsulation; it is in force when this returns."""

    def set_sclp_payload(self, payload: str) -> None:
        """Change what SCLP carries; it is in force when this returns."""

    def set_tunnel_options(self, encapsulation: str, options: Mapping[str, str]) -> None:
        """Change options of both switches' tunnel ports for an encapsulation; they are in force when this returns."""


def instance(bed: str) -> str:
    """Return the lab instance of a bed of this checkout's benchmarks.

    Not the one of its lab; the same each time, so that what a killed run left is found by the next.
    """
    return f"b{sha256(str(_CHECKOUT).encode()).hexdigest()[:8]}{_KINDS[bed]}"


def instances() -> list[str]:
    """Return the instances of all beds."""
    return [instance(bed) for bed in _KINDS]


@contextmanager
def alone(say: Say) -> Iterator[None]:
    """Be the only benchmark of this checkout, with nothing standing that a killed one has left.

    Raises LabError if another does not end.
    """

    def waiting() -> None:
        say("another benchmark of this checkout runs: waiting for it")

    with place.locked(RUN_ROOT / f"{instance(PATCHED)}.bench.lock", wait_s=_LOCK_WAIT_S, waiting=waiting):
        for name in instances():
            Lab(name).down()
        yield


@contextmanager
def taken_down(names: Names, say: Say) -> Iterator[None]:
    """Take down whatever stands of an instance afterwards."""
    try:
        yield
    finally:
        say(f"taking {names.instance} down")
        Lab(names.instance).down()
