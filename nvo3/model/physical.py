"""Where it runs: hypervisors and the encapsulations that their Open vSwitch offers.

A further encapsulation is one row in ENCAPSULATIONS; pipeline, API and lab take it from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from uuid import UUID

from nvo3.model.ids import Mac
from nvo3.model.tunnel_key import CONTEXT_ID, NVGRE, VNI_ONLY, KeyLayout

UNDERLAY_MTU_MIN = 68  # bytes of IP (RFC 791 section 3.2)
UNDERLAY_MTU_MAX = 65535  # bytes: IPv4's total length (RFC 791 section 3.1), of the underlay's packet


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """A tunnel type.

    name: as users say it.  interface_type: OVS's `Interface.type`, offered where `Open_vSwitch.iface_types` lists it.
    overhead_bytes: what an IPv4 underlay packet carries beyond the guest's IP packet (outer IPv4 to inner Ethernet).
    ofport: the OpenFlow port asked for, the same on every bridge so that flows survive a restart of the switch.
    key: what its tunnel key is made of.
    protocol: of the outer IPv4 packet.  dst_port: of UDP or TCP in it, None for other protocols.
    segments: a frame larger than the underlay's packets travels as several of them.
    proof: a key of `Interface.status` that an OVS sets which really has it.  Some releases list a type that they do not implement.
    options: of the tunnel port.  defaults: options that it gets where it has none; then they are its host's.
    has_payload: it carries another encapsulation's header and the frame; the settings say whose, `options:payload` tells OVS.
    """

    name: str
    interface_type: str
    overhead_bytes: int
    ofport: int
    protocol: int
    dst_port: int | None = None
    key: KeyLayout = VNI_ONLY
    segments: bool = False
    proof: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    has_payload: bool = False

    @property
    def port(self) -> str:
        """Name of its tunnel port, on every hypervisor."""
        return f"nvo3-{self.name}"

    def mtu_over(self, underlay_mtu: int) -> int:
        """Return the largest IP packet of a guest, in bytes, that it carries over an underlay whose own are of at most `underlay_mtu`."""
        return (UNDERLAY_MTU_MAX if self.segments else underlay_mtu) - self.overhead_bytes


def _sclp(name: str, ofport: int, transport: str, outer_bytes: int, protocol: int, dst_port: int | None = None) -> Encapsulation:
    """SCLP (docs/protocols/sclp.md).  outer_bytes: what stands before its header."""
    return Encapsulation(
        name,
        "sclp",
        outer_bytes + 12 + 16 + 14,  # SCLP; VXLAN is 8, Geneve 8 and an option of 8 for the state of the inner frame
        ofport,
        protocol,
        dst_port,
        segments=True,
        proof="sclp_datapath",
        options={"transport": transport},
        # Both ends of every tunnel are switches that prove to have it, and none sends the state to others.
        defaults={"offload": "true"},
        has_payload=True,
    )


# Best first: the order that `auto` prefers unless the settings say otherwise.
ENCAPSULATIONS: dict[str, Encapsulation] = {
    e.name: e
    for e in (
        Encapsulation(
            "stt", "stt", 20 + 20 + 18 + 14, 65004, 6, 7471, CONTEXT_ID, segments=True, proof="stt_datapath"
        ),  # draft-davie-stt-08
        _sclp("sclp-udp", 65006, "udp", 20 + 8, 17, 7234),
        _sclp("sclp", 65005, "ip", 20, 234),
        Encapsulation("geneve", "geneve", 20 + 8 + 8 + 14, 65002, 17, 6081),  # RFC 8926 section 3.1, no options
        Encapsulation("vxlan", "vxlan", 20 + 8 + 8 + 14, 65001, 17, 4789),  # RFC 7348 section 5
        Encapsulation("gre", "gre", 20 + 8 + 14, 65003, 47, key=NVGRE),  # RFC 7637 section 3.2: key = VSID (24) + FlowID (8)
    )
}

PATCH_OFPORT = 65000  # br-int's end of the patch to br-phy, for flat networks


@dataclass(frozen=True, slots=True)
class Vport:
    """An OVS Interface on br-int that carries a guest's port.  ofport: its OpenFlow port number."""

    port: UUID
    interface: str
    ofport: int


@dataclass(frozen=True, slots=True)
class HypervisorView:
    """What a hypervisor's database says, once br-int stands.

    vtep_ip: `external_ids:nvo3-vtep-ip`.  tunnels: encapsulation name -> ofport, those that work.  patch_ofport: the patch to br-phy, if
    there is one.  vports: the guests' interfaces.  underlay_mtu: of br-phy, in bytes of IP.  underlay_mac: of br-phy, the next hop to
    vtep_ip.  Both None where they are not known.
    """

    vtep_ip: IPv4Address | None
    tunnels: tuple[tuple[str, int], ...]
    patch_ofport: int | None
    vports: tuple[Vport, ...]
    underlay_mtu: int | None = None
    underlay_mac: Mac | None = None


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A host that runs OVS.

    name: unique.  remote: its ovsdb-server, `tcp:HOST:PORT`, `ssl:HOST:PORT` or `unix:PATH`.  seen: what its database last told a
    controller; a controller that starts while the hypervisor is not reachable goes by it, since guests there go on sending.
    """

    uuid: UUID
    name: str
    remote: str
    seen: HypervisorView | None = None
