"""Guests' vNICs: a veth pair from the guest's namespace to br-int's, and its move from one hypervisor to another."""

import json

from nvo3.lab import system
from nvo3.lab.names import Names, guest_interface
from nvo3.lab.node import silence
from nvo3.lab.record import Guest

VNIC = "eth0"
_NEW_VNIC = "eth0.new"
_OLD_VNIC = "eth0.old"

# Bytes of IP that a guest leaves to its vNIC to segment: what SCLP over UDP carries in one packet for the underlay's NIC to
# segment, 44 datagrams at an MTU of 1500, after the headers of any payload.
_GSO_MAX_SIZE = 64000

# Addresses are the controller's to give and known to be unique, so there is nothing to detect or to solicit.
_GUEST_SYSCTLS = {
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/dad_transmits": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/ping_group_range": "0 2147483647",
}


def create_guest(names: Names, guest: Guest, bridge: str = "") -> None:
    """Make a guest's vNIC, configured; its namespace exists.  bridge: as `attach` has it."""
    system.set_sysctls(names.netns(guest.name), _GUEST_SYSCTLS)
    attach(names, guest, guest.hypervisor, VNIC, bridge)
    system.ip([f"link set {VNIC} up", *_address_commands(guest, VNIC)], names.netns(guest.name))


def attach(names: Names, guest: Guest, hypervisor: str, vnic: str, bridge: str = "") -> None:
    """Join a guest to a hypervisor by a new vNIC, down on the guest's side.

    bridge: of the kernel, which takes the vNIC in place of Open vSwitch.
    """
    outer, space = guest_interface(guest.name), names.netns(hypervisor)
    system.ip(
        [
            f"link add name {outer} mtu {guest.mtu} netns {space} type veth"
            f" peer name {vnic} mtu {guest.mtu} address {guest.mac} gso_max_size {_GSO_MAX_SIZE} netns {names.netns(guest.name)}"
        ]
    )
    if bridge:
        system.ip([f"link set {outer} master {bridge} up"], space)
        return
    silence(space, [outer])
    system.ip([f"link set {outer} arp off up"], space)


def _address_commands(guest: Guest, vnic: str) -> list[str]:
    return [
        f"address add {address} dev {vnic} nodad" if ":" in address else f"address add {address} dev {vnic}" for address in guest.addresses
    ]


def attach_new(names: Names, guest: Guest, hypervisor: str) -> None:
    """Join a guest to a second hypervisor, by a vNIC that `swap` will put into use."""
    attach(names, guest, hypervisor, _NEW_VNIC)


def swap(names: Names, guest: Guest) -> None:
    """Let the guest's new vNIC take the place of the old one: same name, MAC and addresses, neighbours kept."""
    space = names.netns(guest.name)
    neighbours = _neighbours(space)
    system.ip(
        [
            f"link set {VNIC} down",
            f"link set {VNIC} name {_OLD_VNIC}",
            f"link set {_NEW_VNIC} name {VNIC}",
            f"link set {VNIC} up",
            *_address_commands(guest, VNIC),
            *neighbours,
        ],
        space,
    )


def _neighbours(space: str) -> list[str]:
    """Return the commands that give back the neighbours that a guest knows now, so that a move costs no resolution."""
    entries = json.loads(system.run(["ip", "-n", space, "-json", "neighbour", "show", "dev", VNIC]) or "[]")
    return [f"neighbour replace {entry['dst']} lladdr {entry['lladdr']} dev {VNIC} nud stale" for entry in entries if "lladdr" in entry]


def drop_old(names: Names, guest: Guest, hypervisor: str) -> None:
    """Delete the vNIC to the hypervisor that a guest has left."""
    system.ip([f"link delete {guest_interface(guest.name)}"], names.netns(hypervisor), force=True)
