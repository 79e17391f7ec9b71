"""How much of the desired state is in force, for the API."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

HypervisorState = Literal["connecting", "configuring", "connected", "error"]
PortState = Literal["unbound", "pending", "up"]


@dataclass(frozen=True, slots=True)
class HypervisorStatus:
    """connected: its database and its OpenFlow connection are both up.  encapsulations: what its OVS offers, best first.

    n_flows: on its bridge, ours.  n_ports: bound there.  underlay_mtu: of br-phy, in bytes of IP.  detail: one line, where
    something is wrong.
    """

    state: HypervisorState
    connected: bool
    dpid: int
    vtep_ip: IPv4Address | None
    encapsulations: tuple[str, ...]
    n_flows: int
    detail: str = ""
    n_ports: int = 0
    underlay_mtu: int | None = None


@dataclass(frozen=True, slots=True)
class PortStatus:
    """unbound: no hypervisor has the interface; pending: bound, flows under way; up: all flows that concern it are in force."""

    state: PortState
    hypervisor: str | None = None
    interface: str | None = None
    ofport: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """encapsulations: (hypervisor, hypervisor, encapsulation or None where they share none).

    detail: one line, where something is wrong.
    """

    hypervisors: tuple[str, ...]
    encapsulations: tuple[tuple[str, str, str | None], ...]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PortCounters:
    """Counted by the switch since the port was bound.

    rx: from the guest.  tx: to the guest.  spoofed_packets: dropped by port security.
    """

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int
    spoofed_packets: int
