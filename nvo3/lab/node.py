"""Network namespaces of a lab: the management network, the underlay, hypervisors.

                      machine's own namespace: controller, API
                                  │ nvo3-<id>                 management, a /24 of 100.64.0.0/10
                        ┌─────────┴─ mgmt ──────────┐
                  mgmt0 │                           │ mgmt0
      guest ── g-* br-int   hv1                   hv2   br-int g-* ── guest
      eth0           ⋮     br-phy ─ eth1 ═══ eth1 ─ br-phy   ⋮        eth0
                           192.0.2.11  underlay  192.0.2.12

The underlay's addresses exist in the hypervisors' namespaces only, so they are the same in every lab.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from nvo3.lab import system
from nvo3.lab.names import MANAGEMENT, UNDERLAY, Names
from nvo3.lab.place import Place
from nvo3.lab.topology import Wire

INTEGRATION_BRIDGE = "br-int"
UNDERLAY_BRIDGE = "br-phy"
NIC = "eth1"
_MANAGEMENT_NIC = "mgmt0"
_MANAGEMENT_BRIDGE = "br0"

UNDERLAY_MTU = 1500
UNDERLAY_SUBNET = IPv4Network("192.0.2.0/24")  # RFC 5737: documentation

# Where tunnel endpoints of guests' vNICs come from, above those of hypervisors.  OVS finds a neighbour only in a prefix of its own.
AGENT_POOL = IPv4Network("192.0.2.224/27")

# A hypervisor's own stack takes no part in what OVS forwards; addresses on its bridges and its management NIC only.
HYPERVISOR_SYSCTLS = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/ip_forward": "0",
}


def vtep_ip(index: int) -> str:
    """Return the underlay address of hypervisor number `index`, 0 and up."""
    return str(UNDERLAY_SUBNET[11 + index])


def create_namespaces(names: Iterable[str]) -> None:
    """Create network namespaces with their loopback up."""
    names = list(names)
    system.ip([f"netns add {name}" for name in names])
    for name in names:
        system.ip(["link set lo up"], name)


def connect_management(names: Names, place: Place, hypervisors: Sequence[str]) -> None:
    """Join the controller's and the hypervisors' namespaces by a bridge in a namespace of its own."""
    space, link = names.netns(MANAGEMENT), names.management_link
    commands = [f"link add {_MANAGEMENT_BRIDGE} netns {space} type bridge"]
    commands += [f"link add name {link} type veth peer name root netns {space}"]
    commands += [f"address add {place.controller_address}/{place.prefix_length} dev {link}"]
    commands += [
        f"link add name {_MANAGEMENT_NIC} netns {names.netns(name)} type veth peer name h{index} netns {space}"
        for index, name in enumerate(hypervisors)
    ]
    system.ip(commands)
    system.write_sysctls({f"ipv6/conf/{link}/disable_ipv6": "1"})
    system.ip([f"link set {link} up"])
    ports = ["root", *(f"h{index}" for index in range(len(hypervisors)))]
    system.set_sysctls(space, {"ipv6/conf/all/disable_ipv6": "1"})
    system.ip(
        [f"link set {_MANAGEMENT_BRIDGE} up", *(f"link set {port} master {_MANAGEMENT_BRIDGE} up" for port in ports)],
        space,
    )


def connect_underlay(names: Names, hypervisors: Sequence[str], wire: Wire) -> None:
    """Join the hypervisors' NICs: two by a cable (the shortest path, for benchmarks), any other number by a bridge."""
    spaces = [names.netns(name) for name in hypervisors]
    mtu = f"mtu {UNDERLAY_MTU}"
    if len(spaces) == 2:
        system.ip([f"link add name {NIC} {mtu} netns {spaces[0]} type veth peer name {NIC} {mtu} netns {spaces[1]}"])
        return
    fabric = names.netns(UNDERLAY)
    system.ip(
        [f"link add br0 netns {fabric} type bridge"]
        + [f"link add name {NIC} {mtu} netns {space} type veth peer name h{index} netns {fabric}" for index, space in enumerate(spaces)]
    )
    system.set_sysctls(fabric, {"ipv6/conf/all/disable_ipv6": "1"})
    system.ip(["link set br0 up", *(f"link set h{index} master br0 up" for index in range(len(spaces)))], fabric)
    for index in range(len(spaces)):
        _set_tso(fabric, f"h{index}", wire == "tso")  # a veth does GRO only on what a peer without TSO sends


def prepare_hypervisor(space: str, place: Place, index: int) -> None:
    """Configure a hypervisor's NICs, once they exist and before OVS takes them."""
    system.set_sysctls(space, HYPERVISOR_SYSCTLS)
    system.ip(
        [
            f"address add {place.management_address(index)}/{place.prefix_length} dev {_MANAGEMENT_NIC}",
            f"link set {_MANAGEMENT_NIC} up",
            f"link set {NIC} arp off",
            f"link set {NIC} up",
        ],
        space,
    )
    silence(space, [NIC])
    _leave_to_tunnels(space)


def silence(space: str, interfaces: Sequence[str]) -> None:
    """Keep the kernel's own stack from what arrives on interfaces that OVS reads.

    OVS's packet sockets see a frame before this hook does.  Without it the hypervisor's stack would answer guests'
    ARP for its own addresses and reset what it takes for TCP to itself.
    """
    rules = ["add table netdev nvo3"]
    rules += [
        f'add chain netdev nvo3 {name} {{ type filter hook ingress device "{name}" priority -500; policy drop; }}' for name in interfaces
    ]
    system.run_in(space, ["nft", "-f", "-"], stdin="\n".join(rules) + "\n")


def _leave_to_tunnels(space: str) -> None:
    """Keep the kernel's own stack from what arrives as SCLP by br-phy.

    Open vSwitch hands br-phy what no tunnel port takes: fragments, and everything before the ports are there.  The stack would answer
    that it has no such protocol or port.
    """
    chain = "add chain ip nvo3 input { type filter hook input priority 0; policy accept; }"
    rules = [f"add rule ip nvo3 input {match} drop" for match in ("ip protocol 234", "udp dport 7234")]
    system.run_in(space, ["nft", "-f", "-"], stdin="\n".join(["add table ip nvo3", chain, *rules]) + "\n")


def set_wire(space: str, wire: Wire) -> None:
    """Make the NIC one with segmentation offload (tso), or one without, but with GRO on receipt (gso).

    On the gso wire the kernel segments at the NIC, as it does for its own TCP: what OVS sends there through a packet socket carries a
    virtio-net header that asks for it.  But OVS 3.5 looks at the NIC's features, once, when it opens it; where they are off it segments
    by itself and sends each segment by itself, which no GRO puts together again.  So OVS must open the NIC as on the tso wire: call this
    with "tso" before ovs-vswitchd starts and with the lab's wire after.
    """
    _set_tso(space, NIC, wire == "tso")
    if wire == "gso":
        system.run_in(space, ["ethtool", "-K", NIC, "gro", "on"])


def merge_datagrams(space: str) -> None:
    """Have the NIC's GRO, where that is on, join UDP datagrams that arrive one behind the other, though no socket is there for them.

    Only for an Open vSwitch that takes what comes of it; one without our patches does not.
    """
    system.run_in(space, ["ethtool", "-K", NIC, "rx-udp-gro-forwarding", "on"])


def _set_tso(space: str, interface: str, on: bool) -> None:
    features = ("tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-tcp-ecn-segmentation", "tx-udp-segmentation")
    state = "on" if on else "off"
    system.run_in(space, ["ethtool", "-K", interface, *(word for name in features for word in (name, state))])


def address_underlay(space: str, index: int) -> None:
    """Give the underlay bridge its VTEP address; also after a restart of OVS, which may have made the bridge anew."""
    system.ip(
        [
            f"link set {UNDERLAY_BRIDGE} mtu {UNDERLAY_MTU} up",
            f"address replace {vtep_ip(index)}/{UNDERLAY_SUBNET.prefixlen} dev {UNDERLAY_BRIDGE}",
        ],
        space,
    )
