"""What arms run on: two guests, and whose CPU time the path between them costs.

Several arms may share a bed (an overlay network that changes its encapsulation); all beds of a run stand at once, so
that arms can take turns.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from subprocess import Popen
from typing import Protocol

from nvo3.api.client import item_path
from nvo3.lab import Lab, place
from nvo3.lab.errors import LabError
from nvo3.lab.names import Names
from nvo3.lab.ovs import VSWITCHD
from nvo3.lab.progress import Say
from nvo3.lab.topology import Topology, Wire, parse

_CHECKOUT = Path(__file__).resolve().parents[2]
_REALIZED_S = 20
_LOCK_WAIT_S = 1800.0

CLIENT = "client"
SERVER = "server"
_TENANT = "bench"
_NETWORK = "net"

# All arms have the same guests with the same MTU, the largest that fits every encapsulation over an underlay of 1500.
_TOPOLOGY = f"""
hypervisors: [hv1, hv2]
tenants:
  {_TENANT}:
    networks:
      {_NETWORK}:
        pools: [10.0.0.0/24]
guests:
  - {{name: {CLIENT}, tenant: {_TENANT}, network: {_NETWORK}, hypervisor: hv1}}
  - {{name: {SERVER}, tenant: {_TENANT}, network: {_NETWORK}, hypervisor: hv2}}
"""


class Bed(Protocol):
    """Two guests that reach each other, CLIENT and SERVER."""

    @property
    def server_address(self) -> str: ...

    @property
    def description(self) -> dict[str, str]:
        """What the bed is made of: versions, for the record."""

    def popen(self, guest: str, argv: Sequence[str], **options: object) -> "Popen[str]":
        """Start a command in CLIENT or SERVER."""

    def cpu_seconds(self) -> float:
        """Return the CPU time that the path's processes used so far."""


class OverlayBed:
    """A network of ours between two hypervisors."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._guests = lab.record.guests

    @property
    def server_address(self) -> str:
        return self._guests[SERVER].plain_addresses[0]

    @property
    def description(self) -> dict[str, str]:
        version = self._lab.switch("hv1").run(VSWITCHD, "--version").splitlines()[0]
        return {"ovs": version.rpartition(" ")[2], "guest_mtu_bytes": str(self._guests[CLIENT].mtu)}

    def popen(self, guest: str, argv: Sequence[str], **options: object) -> "Popen[str]":
        return self._lab.popen(guest, argv, **options)

    def cpu_seconds(self) -> float:
        return sum(self._lab.cpu_seconds(f"{name} {VSWITCHD}") for name in ("hv1", "hv2"))

    def set_encapsulation(self, encapsulation: str) -> None:
        """Change the network's encapsulation; it is in force when this returns.  Raises ApiError or LabError."""
        path = item_path("tenants", _TENANT, "networks", _NETWORK)
        with self._lab.client() as client:
            client.patch(path, {"encapsulation": encapsulation}, wait="realized", timeout=_REALIZED_S)
            pairs = client.get(path)["status"]["encapsulations"]
        used = {pair["encapsulation"] for pair in pairs}
        if used != {encapsulation}:
            raise LabError(f"{encapsulation} was asked for; between the hypervisors is {', '.join(map(str, used)) or 'nothing'}")


def topology() -> Topology:
    """Return the topology of a bed."""
    return parse(_TOPOLOGY, "bench")


def instance() -> str:
    """Return the lab instance of this checkout's benchmarks.

    Not the one of its lab; the same each time, so that what a killed run left is found by the next.
    """
    return f"b{sha256(str(_CHECKOUT).encode()).hexdigest()[:8]}"


@contextmanager
def overlay(wire: Wire, say: Say) -> Iterator[OverlayBed]:
    """A lab of its own, taken down afterwards, whatever happens.

    Raises LabError if a benchmark of this checkout already runs.
    """
    names = Names(instance())

    def waiting() -> None:
        say("another benchmark of this checkout runs: waiting for it")

    with place.locked(names.run_root / f"{names.instance}.bench.lock", wait_s=_LOCK_WAIT_S, waiting=waiting):
        lab = Lab(names.instance, say=say)
        try:
            lab.up(topology(), wire)
            yield OverlayBed(lab)
        finally:
            say("taking the lab down")
            lab.down()


BEDS: dict[str, Callable[[Wire, Say], AbstractContextManager[OverlayBed]]] = {"overlay": overlay}
