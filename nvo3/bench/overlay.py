"""Beds with Open vSwitch: a network of ours between two hypervisors, on the patched one or on the stock one."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from subprocess import Popen
from typing import Any

from nvo3.api.client import item_path
from nvo3.bench import buffers
from nvo3.bench.bed import CLIENT, HYPERVISORS, PATCHED, POOL, SERVER, STOCK, Options, instance, taken_down
from nvo3.lab import Lab
from nvo3.lab.errors import LabError
from nvo3.lab.ovs import VSWITCHD
from nvo3.lab.progress import Say
from nvo3.lab.topology import Topology, parse

_REALIZED_S = 20
_TENANT = "bench"
_NETWORK = "net"

# All arms have the same guests with the same MTU, the largest that fits every encapsulation over an underlay of 1500.
_TOPOLOGY = f"""
hypervisors: [{", ".join(HYPERVISORS.values())}]
tenants:
  {_TENANT}:
    networks:
      {_NETWORK}:
        pools: [{POOL}]
guests:
  - {{name: {CLIENT}, tenant: {_TENANT}, network: {_NETWORK}, hypervisor: {HYPERVISORS[CLIENT]}}}
  - {{name: {SERVER}, tenant: {_TENANT}, network: {_NETWORK}, hypervisor: {HYPERVISORS[SERVER]}}}
"""


class OverlayBed:
    """A lab with the two guests.  label: what its keys in `description` begin with."""

    def __init__(self, lab: Lab, label: str) -> None:
        self._lab = lab
        self._label = label
        self._guests = lab.record.guests

    @property
    def server_address(self) -> str:
        return self._guests[SERVER].plain_addresses[0]

    @property
    def description(self) -> dict[str, str]:
        version = self._lab.switch(HYPERVISORS[CLIENT]).run(VSWITCHD, "--version").splitlines()[0]
        plain = {"ovs": version.rpartition(" ")[2]} | self._socket_buffers()
        return {f"{self._label}{key}": value for key, value in plain.items()} | {"guest_mtu_bytes": str(self._guests[CLIENT].mtu)}

    def _socket_buffers(self) -> dict[str, str]:
        """Return the sizes of the packet sockets, as ss(8) shows them; Linux doubles what a program asks for."""
        shown = self._lab.run(HYPERVISORS[CLIENT], ["ss", "--packet", "--memory"]).stdout
        sizes = {name: set(map(int, re.findall(rf"\b{letters}(\d+)", shown))) for name, letters in (("rcvbuf", "rb"), ("sndbuf", "tb"))}
        return {f"socket_{name}_bytes": "/".join(map(str, sorted(found))) for name, found in sizes.items()}

    def popen(self, guest: str, argv: Sequence[str], **options: Any) -> "Popen[str]":
        return self._lab.popen(guest, argv, **options)

    def cpu_seconds(self, guest: str) -> float:
        return self._lab.cpu_seconds(f"{HYPERVISORS[guest]} {VSWITCHD}")

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


@contextmanager
def patched(options: Options, say: Say) -> Iterator[OverlayBed]:
    """A lab on the Open vSwitch that the launcher prepared, taken down afterwards, whatever happens."""
    with _up(Lab(instance(PATCHED), say=say), options, say) as lab:
        yield OverlayBed(lab, "")


@contextmanager
def stock(options: Options, say: Say) -> Iterator[OverlayBed]:
    """A lab on Open vSwitch without the patches.

    Its sockets get their buffers when they are opened, which is over when the lab is up.
    """
    say(f"Open vSwitch without the patches: {options.stock_prefix}")
    sized = buffers.default_size(options.stock_buffers_mib) if options.stock_buffers_mib else nullcontext()
    with _up(Lab(instance(STOCK), say=say, ovs_prefix=options.stock_prefix), options, say, sized) as lab:
        yield OverlayBed(lab, "stock_")


@contextmanager
def _up(lab: Lab, options: Options, say: Say, while_opening: Any = None) -> Iterator[Lab]:
    with taken_down(lab.names, say):
        with while_opening or nullcontext():
            lab.up(topology(), options.wire)
        yield lab
