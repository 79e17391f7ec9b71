"""Beds without Open vSwitch: on each hypervisor a Linux bridge with the guest's vNIC and the NIC, or a VXLAN device.

       client ── g-client  br0   hv1                   hv2  br0  g-server ── server
       eth0               ⋮  eth1 (or vxlan0) ═══ eth1 (or vxlan0)  ⋮             eth0

Guests, underlay and wire are those of a lab.  Two things differ because the path is the hypervisor's own stack here:
nothing keeps that stack from what arrives, and in the VXLAN bed the NIC has the VTEP's address itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from subprocess import Popen
from typing import Any

from nvo3.bench.bed import CLIENT, HYPERVISORS, KERNEL_BRIDGE, KERNEL_VXLAN, POOL, SERVER, Options, instance, taken_down
from nvo3.lab import node, system, vnic
from nvo3.lab.errors import LabError
from nvo3.lab.journal import Entry, Journal
from nvo3.lab.lab import require_machine
from nvo3.lab.names import Names
from nvo3.lab.progress import Say
from nvo3.lab.record import Guest
from nvo3.model.logical import MTU_DEFAULT

_BRIDGE = "br0"
_VXLAN = "vxlan0"
_VNI = 5001
_VXLAN_PORT = 4789  # IANA: vxlan

# Bridged packets do not take the detour by the firewall, as they do not in Open vSwitch either.
_SYSCTLS = node.HYPERVISOR_SYSCTLS | {f"bridge/bridge-nf-call-{tables}tables": "0" for tables in ("ip", "ip6", "arp")}


class KernelBed:
    """Two guests on Linux bridges."""

    def __init__(self, names: Names, guests: Sequence[Guest]) -> None:
        self._names = names
        self._guests = {guest.name: guest for guest in guests}

    @property
    def server_address(self) -> str:
        return self._guests[SERVER].plain_addresses[0]

    @property
    def description(self) -> dict[str, str]:
        return {"guest_mtu_bytes": str(self._guests[CLIENT].mtu)}

    def popen(self, guest: str, argv: Sequence[str], **options: Any) -> "Popen[str]":
        return Popen(["ip", "netns", "exec", self._names.netns(guest), *argv], text=True, **options)

    def cpu_seconds(self, guest: str) -> float:
        return 0.0

    def set_encapsulation(self, encapsulation: str) -> None:
        raise LabError(f"{encapsulation} was asked for; a bed of the kernel has what it was made with")

    def set_sclp_payload(self, payload: str) -> None:
        raise LabError(f"SCLP with {payload} was asked for; the kernel has no SCLP")

    def set_tunnel_options(self, encapsulation: str, options: Mapping[str, str]) -> None:
        raise LabError(f"options of {encapsulation} were asked for; a bed of the kernel has no tunnel ports")


@contextmanager
def bridge(options: Options, say: Say) -> Iterator[KernelBed]:
    """The bridges are joined by the cable, without a tunnel."""
    with _made(KERNEL_BRIDGE, options, say, [[f"link set {node.NIC} master {_BRIDGE}"]] * 2) as bed:
        yield bed


@contextmanager
def vxlan(options: Options, say: Say) -> Iterator[KernelBed]:
    """The bridges are joined by a VXLAN tunnel, without UDP checksums (RFC 7348, section 5), as Open vSwitch sends it."""
    commands = []
    for index in range(2):
        local, remote = node.vtep_ip(index), node.vtep_ip(1 - index)
        commands.append(
            [
                f"address add {local}/{node.UNDERLAY_SUBNET.prefixlen} dev {node.NIC}",
                f"link add {_VXLAN} type vxlan id {_VNI} local {local} remote {remote} dev {node.NIC} dstport {_VXLAN_PORT} noudpcsum",
                f"link set {_VXLAN} master {_BRIDGE} up",
            ]
        )
    with _made(KERNEL_VXLAN, options, say, commands) as bed:
        yield bed


@contextmanager
def _made(kind: str, options: Options, say: Say, uplinks: Sequence[Sequence[str]]) -> Iterator[KernelBed]:
    """Make a bed, taken down afterwards, whatever happens.

    uplinks: for each hypervisor, the commands of ip(8) that give its bridge the way to the other.
    """
    require_machine()
    names = Names(instance(kind))
    guests = [_guest(name, hypervisor, index) for index, (name, hypervisor) in enumerate(HYPERVISORS.items())]
    with taken_down(names, say):
        say(f"making the bed {kind}")
        names.run_dir.mkdir(parents=True)
        spaces = [names.netns(one) for one in (*HYPERVISORS.values(), *HYPERVISORS)]
        Journal(names.journal_file).record(*(Entry("netns", space) for space in spaces))
        node.create_namespaces(spaces)
        node.connect_underlay(names, list(HYPERVISORS.values()), options.wire)
        for hypervisor, guest, uplink in zip(HYPERVISORS.values(), guests, uplinks, strict=True):
            space = names.netns(hypervisor)
            system.set_sysctls(space, _SYSCTLS)
            system.ip([f"link add {_BRIDGE} type bridge mcast_snooping 0", f"link set {_BRIDGE} up", f"link set {node.NIC} up"], space)
            node.set_wire(space, options.wire)
            vnic.create_guest(names, guest, _BRIDGE)
            system.ip(uplink, space)
        yield KernelBed(names, guests)


def _guest(name: str, hypervisor: str, index: int) -> Guest:
    network = IPv4Network(POOL)
    return Guest(
        name=name,
        tenant="",
        network="",
        hypervisor=hypervisor,
        port="",
        mac=f"02:00:00:00:00:{index + 1:02x}",
        mtu=MTU_DEFAULT,
        addresses=(f"{network[index + 1]}/{network.prefixlen}",),
    )
