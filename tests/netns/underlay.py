"""An underlay that tests have in hand: a cable that harms packets (`lossy.c`), and a host on it that is nobody's hypervisor.

The underlay of a lab of three hypervisors is a bridge in a namespace of its own.  The third carries no guest; the lab does not know what is
done to its bridge.
"""

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nvo3.lab import Lab, node, system
from nvo3.lab.names import UNDERLAY
from nvo3.lab.topology import Topology, parse
from nvo3.model.physical import ENCAPSULATIONS

_HERE = Path(__file__).resolve().parent
_CABLE = ("h0", "h1")  # the bridge's ends of the NICs of hv1 and hv2
_STRANGER = "x0"

# Guest <network>1 is at hv1, <network>2 at hv2; what they send takes one segment, seven, forty-two at the most.
_TOPOLOGY = """
hypervisors: [hv1, hv2, hv3]
tenants:
  t:
    networks:
      small: {pools: [10.0.0.0/24, 'fd00::/64']}
      jumbo: {pools: [10.0.0.0/24, 'fd00::/64'], mtu: 9000}
      giant: {pools: [10.0.0.0/24, 'fd00::/64'], mtu: 60000}
guests:
"""
NETWORKS = {"small": 1400, "jumbo": 9000, "giant": 60000}
IPV4, IPV6 = ("10.0.0.11", "10.0.0.12"), ("fd00::11", "fd00::12")  # of guest 1 and of guest 2


def topology() -> Topology:
    """Return the topology of such a lab."""
    guests = [
        f"  - {{name: {name}{n + 1}, tenant: t, network: {name}, hypervisor: hv{n + 1}, addresses: ['{IPV4[n]}', '{IPV6[n]}']}}\n"
        for name in NETWORKS
        for n in (0, 1)
    ]
    return parse(_TOPOLOGY + "".join(guests), "underlay")


def build(name: str, directory: Path) -> Path:
    """Compile a program of this directory."""
    program = directory / name
    options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"]
    done = subprocess.run(["cc", *options, "-o", program, _HERE / f"{name}.c"], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.fail(done.stderr, pytrace=False)
    return program


def finish_checksums(lab: Lab) -> None:
    """Make the NICs of hv1 and hv2 compute checksums before the cable, as hardware does; the wire must be gso, without TSO."""
    for hypervisor in ("hv1", "hv2"):
        lab.run(hypervisor, ["ethtool", "-K", node.NIC, "tx-checksum-ip-generic", "off"])


@contextmanager
def encapsulated(lab: Lab, encapsulation: str, networks: Sequence[str] = tuple(NETWORKS)) -> Iterator[None]:
    """Carry some networks by one encapsulation while the block runs."""
    paths = [f"/v1/tenants/t/networks/{network}" for network in networks]
    try:
        with lab.client() as client:
            for path in paths:
                answer = client.patch(path, {"encapsulation": encapsulation}, wait="realized")
                assert [pair["encapsulation"] for pair in answer["status"]["encapsulations"]] == [encapsulation]
        yield
    finally:
        with lab.client() as client:
            for path in paths:
                client.patch(path, {"encapsulation": "auto"}, wait="realized")


@dataclass(frozen=True, slots=True)
class Harm:
    """Probability of each, for each packet."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Cable:
    """What a cable did, once it is out again: counts by the hypervisor that sent.  overrun: lost otherwise than by intent."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def lost(self, sender: str) -> int:
        """Return how many packets cannot have arrived as they were sent."""
        return sum(self.counts[sender][name] for name in ("dropped", "corrupted", "overrun"))


@contextmanager
def lossy_cable(lab: Lab, program: Path, harm: Harm) -> Iterator[Cable]:
    """Put a cable between hv1 and hv2 in place of the bridge."""
    space, cable = lab.names.netns(UNDERLAY), Cable()
    chances = [str(value) for value in (harm.drop, harm.duplicate, harm.reorder, harm.corrupt)]
    argv = ["ip", "netns", "exec", space, str(program), *_CABLE, str(harm.seed), *chances]
    system.ip([f"link set {port} nomaster" for port in _CABLE], space)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        before = _missed(space)
        yield cable
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=10)
        missed = _missed(space)
        system.ip([f"link set {port} master br0" for port in _CABLE], space)
    assert process.returncode == 0, errors
    for number, line in enumerate(output.splitlines()):
        counts = {name: int(value) for name, _, value in (word.partition(":") for word in line.split())}
        counts["overrun"] += missed[1 - number] - before[1 - number]
        cable.counts[f"hv{number + 1}"] = counts


def _missed(space: str) -> list[int]:
    """Return how many packets found no room at the other end of the cable's links."""
    paths = [f"/sys/class/net/{port}/statistics/tx_dropped" for port in _CABLE]
    return [int(text) for text in system.run_in(space, ["cat", *paths]).split()]


@contextmanager
def add_stranger(lab: Lab) -> Iterator[str]:
    """Put a host on the underlay; give the name of its NIC, in the underlay's namespace.

    It may send with another's MAC address, as if from behind a router: the bridge does not learn from it.
    """
    space = lab.names.netns(UNDERLAY)
    port = f"h{_STRANGER}"
    system.ip(
        [
            f"link add {_STRANGER} mtu {node.UNDERLAY_MTU} type veth peer name {port}",
            f"link set {port} master br0 up",
            f"link set {port} type bridge_slave learning off",
            f"link set {_STRANGER} arp off up",
        ],
        space,
    )
    try:
        yield _STRANGER
    finally:
        system.ip([f"link delete {_STRANGER}"], space)


def tunnel_counters(lab: Lab, hypervisor: str, encapsulation: str) -> dict[str, dict[str, int]]:
    """Return what `ovs-appctl TYPE/show` says of the tunnels of a type: the beginning of each line, then name and count."""
    command = f"{ENCAPSULATIONS[encapsulation].interface_type}/show"
    counters: dict[str, dict[str, int]] = {}
    for line in lab.run(hypervisor, ["ovs-appctl", command]).stdout.splitlines():
        what, _, rest = line.partition(": ")
        counters[what] = {name: int(value) for name, value in re.findall(r"([a-z_ 0-9]+):(\d+)", rest)}
    return {what: {name.strip(): value for name, value in found.items()} for what, found in counters.items()}
