"""Beds with Open vSwitch: a network of ours between two hypervisors, on the patched one, with or without agents in the guests, or on the
stock one.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from subprocess import Popen
from typing import Any

from nvo3.api.client import item_path
from nvo3.bench import buffers
from nvo3.bench.bed import CLIENT, CVSW, HYPERVISORS, PATCHED, POOL, SERVER, STOCK, Options, instance, taken_down
from nvo3.lab import Lab, agent, system
from nvo3.lab.errors import LabError
from nvo3.lab.ovs import VSWITCHD
from nvo3.lab.progress import Say
from nvo3.lab.topology import Topology, parse
from nvo3.model import logical
from nvo3.model.physical import ENCAPSULATIONS

_REALIZED_S = 20
_LOG_S = 0.5  # ovs-vswitchd's log is written by a thread of its own
_TENANT = "bench"
_NETWORK = "net"


class OverlayBed:
    """A lab with the two guests.  label: what its keys in `description` begin with."""

    def __init__(self, lab: Lab, label: str) -> None:
        self._lab = lab
        self._label = label
        self._guests = lab.record.guests
        self._known_options: set[str] = set()

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

    def set_sclp_payload(self, payload: str) -> None:
        """Change what SCLP carries.  Raises ApiError, or LabError where a switch does not take it."""
        with self._lab.client() as client:
            client.patch("/v1/settings", {"sclp_payload": payload}, wait="realized", timeout=_REALIZED_S)
            details = {name: client.get(item_path("hypervisors", name))["status"]["detail"] for name in HYPERVISORS.values()}
        for name, detail in details.items():
            if detail:
                raise LabError(f"SCLP with {payload} was asked for; {name}: {detail}")

    def set_tunnel_options(self, encapsulation: str, options: Mapping[str, str]) -> None:
        """Change options of both switches' tunnel ports.  Raises LabError where a switch does not know or not take them."""
        port, logs = ENCAPSULATIONS[encapsulation].port, {name: self._lab.log(f"{name} {VSWITCHD}") for name in HYPERVISORS.values()}
        sizes = {name: log.stat().st_size for name, log in logs.items()}
        for name in logs:
            switch = self._lab.switch(name)
            switch.vsctl("set", "Interface", port, *(f"options:{key}={value}" for key, value in options.items()))
            if (error := switch.vsctl("get", "Interface", port, "error").strip()) != "[]":
                raise LabError(f"{name}: {port}: {error}")

        def unknown() -> str | None:
            for name, log in logs.items():
                said = log.read_bytes()[sizes[name] :].decode(errors="replace")
                if found := re.search(rf"{port}: unknown \S+ argument '.*'", said):
                    return f"{name}: {found[0]}"
            return None

        # Open vSwitch ignores a key that it does not know, and says so in its log only.
        if not self._known_options.issuperset(options):
            if complaint := system.wait_until(unknown, _LOG_S):
                raise LabError(complaint)
            self._known_options.update(options)


class VnicBed(OverlayBed):
    """Agents in both guests encapsulate; the switches carry what comes of it."""

    def cpu_seconds(self, guest: str) -> float:
        return super().cpu_seconds(guest) + self._lab.cpu_seconds(agent.role(guest))

    def set_encapsulation(self, encapsulation: str) -> None:
        super().set_encapsulation(encapsulation)
        with self._lab.client() as client:
            if not system.wait_until(lambda: all(item["realized"] for item in client.items("/v1/agents")), _REALIZED_S):
                raise LabError(f"{encapsulation} was asked for; the agents do not have it")


def topology(offload: str = logical.NONE) -> Topology:
    """Return the topology of a bed.

    All arms have the same guests with the same MTU, the largest that fits every encapsulation over an underlay of 1500.
    """
    text = {
        "hypervisors": list(HYPERVISORS.values()),
        "tenants": {_TENANT: {"networks": {_NETWORK: {"pools": [POOL]}}}},
        "guests": [
            {"name": guest, "tenant": _TENANT, "network": _NETWORK, "hypervisor": hypervisor, "offload": offload}
            for guest, hypervisor in HYPERVISORS.items()
        ],
    }
    return parse(json.dumps(text), "bench")


@contextmanager
def patched(options: Options, say: Say) -> Iterator[OverlayBed]:
    """A lab on the Open vSwitch that the launcher prepared, taken down afterwards, whatever happens."""
    with _up(Lab(instance(PATCHED), say=say), options, say) as lab:
        yield OverlayBed(lab, "")


@contextmanager
def vnics(options: Options, say: Say) -> Iterator[VnicBed]:
    """A lab like that, whose guests' vNICs encapsulate."""
    with _up(Lab(instance(CVSW), say=say), options, say, offload=logical.CVSW) as lab:
        yield VnicBed(lab, "")


@contextmanager
def stock(options: Options, say: Say) -> Iterator[OverlayBed]:
    """A lab on Open vSwitch without the patches.

    Its sockets get their buffers when they are opened, which is over when the lab is up.
    """
    say(f"Open vSwitch without the patches: {options.stock_prefix}")
    sized = buffers.default_size(options.stock_buffers_mib) if options.stock_buffers_mib else nullcontext()
    with _up(Lab(instance(STOCK), say=say, ovs_prefix=options.stock_prefix), options, say, while_opening=sized) as lab:
        yield OverlayBed(lab, "stock_")


@contextmanager
def _up(lab: Lab, options: Options, say: Say, *, offload: str = logical.NONE, while_opening: Any = None) -> Iterator[Lab]:
    with taken_down(lab.names, say):
        with while_opening or nullcontext():
            lab.up(topology(offload), options.wire)
        yield lab
