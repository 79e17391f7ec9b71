"""What tenants ask for: tenant, network, port.  Rows of the NB database as immutable values."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from uuid import UUID

from nvo3.model.ids import Mac, Vni, mac_to_int

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

AUTO = "auto"  # encapsulation chosen for each pair of hypervisors
NONE = "none"  # flat: br-int joined to br-phy without a tunnel

CVSW = "cvsw"  # the guest's vNIC encapsulates, programmed by the controller
OFFLOADS = (NONE, CVSW)  # what of the tunnels a port's guest does itself

SCLP_PAYLOADS = ("vxlan", "geneve")  # what SCLP may carry; the first unless the settings say otherwise

MTU_MIN = 1280  # IPv6 needs it of every link (RFC 8200 section 5)
MTU_MAX = 65000  # the largest that any encapsulation carries
MTU_DEFAULT = 1400  # fits every encapsulation over an underlay of 1500

LEASE_DEFAULT_S = 3600
LINK_LOCAL = IPv6Network("fe80::/64")  # RFC 4291 section 2.5.6
SLAAC_PREFIX_LENGTH = 64  # of a prefix that a guest makes its own address in (RFC 4862 section 5.5.3 d, RFC 4291 section 2.5.1)


@dataclass(frozen=True, slots=True)
class Tenant:
    """uuid: row of the NB database.  name: unique."""

    uuid: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Route:
    """What guests reach through another hop than their gateway: IPv4, as DHCP tells them (RFC 3442)."""

    destination: IPv4Network
    nexthop: IPv4Address


@dataclass(frozen=True, slots=True)
class Network:
    """An L2 overlay.

    tenant: owner.  name: unique in the tenant.  vni: unique in the system.  encapsulation: AUTO, NONE or a key of
    `physical.ENCAPSULATIONS`.  mtu: bytes of IP that guests may send.  pools: prefixes that addresses come from, disjoint; a network
    without pools is pure L2, its ports' addresses are not known.

    What guests are told, where there are pools: dhcp: the controller tells it, by DHCP and by router advertisements.  gateways: at most one
    of each family, within the pools.  dns_servers: in order of preference.  routes, lease_s (seconds): by DHCP.  domain: "" for none.
    """

    uuid: UUID
    tenant: UUID
    name: str
    vni: Vni
    encapsulation: str = AUTO
    mtu: int = MTU_DEFAULT
    pools: tuple[IPNetwork, ...] = ()
    dhcp: bool = True
    gateways: tuple[IPAddress, ...] = ()
    dns_servers: tuple[IPAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    domain: str = ""
    lease_s: int = LEASE_DEFAULT_S

    def configures(self, version: int) -> bool:
        """Tell whether the controller tells guests of an IP version's addresses: 4, by DHCP; 6, by router advertisements."""
        return self.dhcp and any(pool.version == version for pool in self.pools)


def dhcp_server(pool: IPv4Network) -> IPv4Address:
    """Return the address that a pool's guests know their DHCP server by: the first host's, which is given out on request only."""
    return pool.network_address + 1


def eui64(mac: Mac, prefix: IPv6Network) -> IPv6Address:
    """Return the address that a MAC implies in a prefix of 64 bits (modified EUI-64, RFC 4291 appendix A)."""
    value = mac_to_int(mac)
    interface_id = ((value >> 24) ^ 0x020000) << 40 | 0xFFFE << 24 | (value & 0xFFFFFF)
    return IPv6Address(int(prefix.network_address) | interface_id)


@dataclass(frozen=True, slots=True)
class Port:
    """A guest's attachment.  Bound where an OVS Interface carries `external_ids:iface-id=<uuid>`.

    network: owner.  name, mac and each of addresses: unique in the network.  port_security: only these addresses may be sent from.
    offload: one of OFFLOADS.  underlay_ip: the tunnel endpoint of the guest's vNIC, unique in the system; with CVSW only.
    """

    uuid: UUID
    network: UUID
    name: str
    mac: Mac
    addresses: tuple[IPAddress, ...] = ()
    port_security: bool = True
    offload: str = NONE
    underlay_ip: IPv4Address | None = None

    @property
    def underlay_mac(self) -> Mac:
        """The vNIC's MAC address in the underlay, where the guest's own need not be unique: 06:6e and the tunnel endpoint's address."""
        if self.underlay_ip is None:
            raise ValueError(f"port {self.name} has no tunnel endpoint")
        return Mac((b"\x06\x6e" + self.underlay_ip.packed).hex(":"))

    @property
    def link_local(self) -> IPv6Address:
        """The link-local address that the MAC implies."""
        return eui64(self.mac, LINK_LOCAL)


@dataclass(frozen=True, slots=True)
class Settings:
    """System-wide choices.

    encapsulation_order: what AUTO prefers, best first.  sclp_payload: one of SCLP_PAYLOADS.  agent_pools: prefixes of the underlay that
    the tunnel endpoints of guests' vNICs come from, disjoint.
    """

    encapsulation_order: tuple[str, ...]
    sclp_payload: str = SCLP_PAYLOADS[0]
    agent_pools: tuple[IPv4Network, ...] = ()
