"""How much of the desired state is in force, for the API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

HypervisorState = Literal["connecting", "configuring", "connected", "error"]
PortState = Literal["unbound", "pending", "up"]
AgentState = Literal["absent", "connecting", "connected"]


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
class AgentStatus:
    """The agent of a vNIC.  absent: it does not answer; connecting: its table is not known yet; connected: it is programmed.

    n_desired: entries that its table should have.  n_present: that it is known to have.  realized: table and device are as desired, but
    for what it refused; refused: why.  underlay_mtu: bytes of IP that its link should carry.  dropped: its frames without effect, by
    reason.
    """

    state: AgentState
    capabilities: tuple[str, ...]
    encapsulations: tuple[str, ...]
    n_desired: int
    n_present: int
    realized: bool
    underlay_mtu: int
    refused: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


AgentEntryState = Literal["present", "missing", "foreign"]


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """An entry of a vNIC's table.

    missing: desired, but not there; foreign: there, but not desired.  match and actions: as text.  age_s: how long it has been there.
    """

    state: AgentEntryState
    priority: int
    match: str
    actions: str
    n_packets: int = 0
    n_bytes: int = 0
    age_s: float = 0.0


FlowState = Literal["present", "missing", "wrong", "stale", "foreign"]


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """A flow of a hypervisor's bridge, desired or there or both.

    missing: desired, but not there; wrong: there, but with other actions, which are those shown; stale: ours, but not desired any more;
    foreign: somebody else's.  key: sorts by table and priority, unique on the bridge.  match, actions: as text.
    """

    key: str
    state: FlowState
    table: int
    priority: int
    cookie: int
    match: str
    actions: str
    n_packets: int = 0
    n_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TunnelStatus:
    """One direction between two tunnel endpoints, hypervisors or vNICs (TENANT/NETWORK/PORT), by one encapsulation.

    networks: that use it now.  sent: packets and bytes, counted where they were encapsulated; received: of these networks, counted where
    they were decapsulated and admitted.  None where nobody could be asked.
    """

    here: str
    there: str
    encapsulation: str
    networks: tuple[str, ...]
    sent: tuple[int, int] | None
    received: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class PortCounters:
    """Counted by the switch since the port was bound.

    rx: from the guest.  tx: to the guest.  spoofed_packets: dropped by port security.  asked: what the guest asked this controller about
    its own addresses, by outcome.
    """

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int
    spoofed_packets: int
    asked: Mapping[str, int] = field(default_factory=dict)
