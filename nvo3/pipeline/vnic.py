"""Rules of a guest's vNIC that encapsulates: what its agent is programmed to, independent of CVSW's encoding.

A rule for each destination that is reached through a tunnel, and one for each source that tunnels to it are accepted from.  What has
no rule passes as it is: to a guest on the same hypervisor, broadcast and multicast, and all there is where a peer is not ready; the
hypervisor's switch treats it like any other guest's.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

from nvo3.model.ids import Mac, Vni


@dataclass(frozen=True, slots=True)
class Encapsulate:
    """Send frames for a guest's MAC through a tunnel.

    tunnel_key: as the encapsulation lays it out.  outer_*: of the underlay.  underlay_mtu: of the largest outer IP packet, in bytes.
    """

    mac: Mac
    encapsulation: str
    tunnel_key: int
    outer_src_mac: Mac
    outer_dst_mac: Mac
    outer_src: IPv4Address
    outer_dst: IPv4Address
    underlay_mtu: int

    @property
    def key(self) -> tuple[str, Mac | IPv4Address]:
        """What makes two rules the same rule."""
        return "to", self.mac


@dataclass(frozen=True, slots=True)
class Decapsulate:
    """Take frames of a network from a tunnel endpoint, by any encapsulation.  outer_dst: the vNIC's own."""

    outer_src: IPv4Address
    outer_dst: IPv4Address
    vni: Vni

    @property
    def key(self) -> tuple[str, Mac | IPv4Address]:
        """What makes two rules the same rule."""
        return "from", self.outer_src


VnicRule = Encapsulate | Decapsulate
