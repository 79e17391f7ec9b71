"""JSON that the API takes and gives, as pydantic models; `/openapi.json` is made from them.

Only shape and types are decided here, strictly ("5" is not 5, no unknown fields).  What a value may be is the
business of `nvo3.model.check`, so that the same rule gives the same message everywhere; the limits here document it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nvo3.events import LoggedEvent
from nvo3.model.check import (
    ADDRESSES_MAX,
    DNS_SERVERS_MAX,
    DOMAIN_MAX,
    LEASE_MAX_S,
    LEASE_MIN_S,
    POOLS_MAX,
    REMOTE_RULE,
    ROUTES_MAX,
)
from nvo3.model.ids import NAME_RULE, VNI_MAX, VNI_MIN
from nvo3.model.logical import (
    AUTO,
    LEASE_DEFAULT_S,
    MTU_DEFAULT,
    MTU_MAX,
    MTU_MIN,
    NONE,
    OFFLOADS,
    SCLP_PAYLOADS,
    Network,
    Port,
    Settings,
    Tenant,
)
from nvo3.model.physical import ENCAPSULATIONS, Hypervisor
from nvo3.model.status import AgentEntry, AgentStatus, FlowEntry, HypervisorStatus, NetworkStatus, PortStatus, TunnelStatus
from nvo3.ovsdb.apply import Difference

TIMEOUT_DEFAULT_S = 10.0
TIMEOUT_MAX_S = 300.0
PAGE_MAX = 1000


def _documented(description: str, **schema: Any) -> Any:
    return Field(description=description, json_schema_extra=schema or None)


def _integer(value: Any) -> Any:
    """Return an integer for a number without a fraction, which is one to JSON Schema (6.1.1 of its validation vocabulary)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
Name = Annotated[str, _documented(NAME_RULE, pattern=_NAME_PATTERN)]
_BY_NAME = _documented("By name", propertyNames={"pattern": _NAME_PATTERN})
Vni = Annotated[
    int, BeforeValidator(_integer), _documented("VXLAN network identifier, unique in the system", minimum=VNI_MIN, maximum=VNI_MAX)
]
Mtu = Annotated[int, BeforeValidator(_integer), _documented("Bytes of IP that guests may send", minimum=MTU_MIN, maximum=MTU_MAX)]
Encapsulation = Annotated[
    str,
    _documented(
        f"{AUTO}: chosen for each pair of hypervisors; {NONE}: flat, for one network at most",
        enum=[AUTO, NONE, *ENCAPSULATIONS],
    ),
]
_Prefix = Annotated[str, Field(json_schema_extra={"format": "ip-prefix"})]
_Address = Annotated[str, Field(json_schema_extra={"format": "ip-address"})]
Pools = Annotated[list[_Prefix], _documented("Prefixes that addresses come from, disjoint", maxItems=POOLS_MAX, uniqueItems=True)]
Dhcp = Annotated[bool, _documented("Tell guests their addresses and what follows: by DHCP, and by router advertisements")]
Gateways = Annotated[
    list[_Address],
    _documented("Where guests send what leaves the network: within its pools, one of each family", maxItems=2, uniqueItems=True),
]
DnsServers = Annotated[list[_Address], _documented("Resolvers for guests, the preferred first", maxItems=DNS_SERVERS_MAX, uniqueItems=True)]
_DOMAIN_PATTERN = "^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\\.|$))*$"
Domain = Annotated[str, _documented("What guests search names in; empty for none", maxLength=DOMAIN_MAX, pattern=_DOMAIN_PATTERN)]
Lease = Annotated[
    int, BeforeValidator(_integer), _documented("Seconds that what DHCP tells is valid", minimum=LEASE_MIN_S, maximum=LEASE_MAX_S)
]
Mac = Annotated[
    str,
    _documented("Unicast MAC address, unique in the network", pattern="^(?!00([:-]00){5})[0-9A-Fa-f][02468ACEace]([:-][0-9A-Fa-f]{2}){5}$"),
]
Addresses = Annotated[
    list[_Address],
    _documented("IP addresses within the network's pools, unique in the network", maxItems=ADDRESSES_MAX, uniqueItems=True),
]
PortSecurity = Annotated[bool, _documented("Only the port's own addresses may be sent from")]
Remote = Annotated[str, _documented(f"The hypervisor's OVSDB server: {REMOTE_RULE}", format="ovsdb-remote")]
EncapsulationOrder = Annotated[
    list[Annotated[str, Field(json_schema_extra={"enum": [*ENCAPSULATIONS]})]],
    _documented(f"What {AUTO} prefers, best first; what is not named is not chosen", minItems=1, uniqueItems=True),
]
Offload = Annotated[str, _documented("cvsw: an agent in the guest's vNIC encapsulates, programmed by the controller", enum=list(OFFLOADS))]
AgentPools = Annotated[
    list[Annotated[str, Field(json_schema_extra={"format": "ipv4-prefix"})]],
    _documented("IPv4 prefixes of the underlay that tunnel endpoints of vNICs come from, disjoint", maxItems=POOLS_MAX, uniqueItems=True),
]
SclpPayload = Annotated[str, _documented("What SCLP carries; it is received either way", enum=list(SCLP_PAYLOADS))]
Detail = Annotated[str, _documented("One line, where there is something to say")]


class _In(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """Return the fields that the request has."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def whole(self) -> dict[str, Any]:
        """Return the fields that the request has, and defaults."""
        return {name: value for name, value in self if value is not None}


# `default=None` without None in the type: the field may be left out, but null is refused.
_LEFT_OUT: Any = None


class RouteItem(_In):
    """A route for guests, of IPv4."""

    destination: Annotated[str, _documented("A prefix, such as 192.168.0.0/16", format="ipv4-prefix")]
    nexthop: Annotated[str, _documented("An address within the network's pools", format="ipv4-address")]


Routes = Annotated[list[RouteItem], _documented("Routes for guests, by DHCP; the default route is the gateway's", maxItems=ROUTES_MAX)]


class _Named(_In):
    """What is created has a name in its body; the path of a PUT has it otherwise."""

    name: Name


class TenantCreate(_Named):
    """A tenant to create."""


class TenantPut(_In):
    """A tenant that is to be there."""


class TenantPatch(_In):
    """What to change of a tenant."""

    name: Name = _LEFT_OUT


class _NetworkIn(_In):
    """A network, with routes as pairs for the commands."""

    def given(self) -> dict[str, Any]:
        return _with_pairs(super().given())

    def whole(self) -> dict[str, Any]:
        return _with_pairs(super().whole())


def _with_pairs(fields: dict[str, Any]) -> dict[str, Any]:
    routes = {"routes": [(route.destination, route.nexthop) for route in fields["routes"]]} if "routes" in fields else {}
    return fields | routes


class NetworkPut(_NetworkIn):
    """A network that is to be there, whole: what is left out is the default; `vni`: stays, or is allocated."""

    vni: Vni = _LEFT_OUT
    encapsulation: Encapsulation = AUTO
    mtu: Mtu = MTU_DEFAULT
    pools: Pools = []
    dhcp: Dhcp = True
    gateways: Gateways = []
    dns_servers: DnsServers = []
    routes: Routes = []
    domain: Domain = ""
    lease_s: Lease = LEASE_DEFAULT_S


class NetworkCreate(NetworkPut, _Named):
    """A network to create.  Without `vni` the lowest free one from 5000 is taken."""


class NetworkPatch(_NetworkIn):
    """What to change of a network."""

    name: Name = _LEFT_OUT
    vni: Vni = _LEFT_OUT
    encapsulation: Encapsulation = _LEFT_OUT
    mtu: Mtu = _LEFT_OUT
    pools: Pools = _LEFT_OUT
    dhcp: Dhcp = _LEFT_OUT
    gateways: Gateways = _LEFT_OUT
    dns_servers: DnsServers = _LEFT_OUT
    routes: Routes = _LEFT_OUT
    domain: Domain = _LEFT_OUT
    lease_s: Lease = _LEFT_OUT


class PortPut(_In):
    """A port that is to be there, whole: what is left out is the default; `mac`, `addresses`: stay, or are allocated."""

    mac: Mac = _LEFT_OUT
    addresses: Addresses = _LEFT_OUT
    port_security: PortSecurity = True
    offload: Offload = NONE


class PortCreate(PortPut, _Named):
    """A port to create.  Without `mac` a random one, without `addresses` one of each family that the network has."""


class PortPatch(_In):
    """What to change of a port."""

    name: Name = _LEFT_OUT
    mac: Mac = _LEFT_OUT
    addresses: Addresses = _LEFT_OUT
    port_security: PortSecurity = _LEFT_OUT
    offload: Offload = _LEFT_OUT


class HypervisorPut(_In):
    """A hypervisor that is to be there."""

    remote: Remote


class HypervisorCreate(HypervisorPut, _Named):
    """A hypervisor to create."""


class HypervisorPatch(_In):
    """What to change of a hypervisor."""

    name: Name = _LEFT_OUT
    remote: Remote = _LEFT_OUT


class NetworkSpec(NetworkPut):
    """A network in a document, whole: ports that it has not are deleted."""

    ports: Annotated[dict[str, PortPut], _BY_NAME] = {}


class TenantSpec(_In):
    """A tenant in a document, whole: networks that it has not are deleted."""

    networks: Annotated[dict[str, NetworkSpec], _BY_NAME] = {}


class Document(_In):
    """Whole tenants.  What it says of them is all that they have; tenants that it does not name stay as they are."""

    tenants: Annotated[dict[str, TenantSpec], _BY_NAME]


class SettingsPatch(_In):
    """What to change of the settings."""

    encapsulation_order: EncapsulationOrder = _LEFT_OUT
    sclp_payload: SclpPayload = _LEFT_OUT
    agent_pools: AgentPools = _LEFT_OUT


# Paths and queries: text, so not strict.


class TenantPath(BaseModel):
    """Names a tenant."""

    tenant: Name


class NetworkPath(TenantPath):
    """Names a network."""

    network: Name


class PortPath(NetworkPath):
    """Names a port."""

    port: Name


class HypervisorPath(BaseModel):
    """Names a hypervisor."""

    hypervisor: Name


Timeout = Annotated[
    float,
    Field(gt=0, le=TIMEOUT_MAX_S, allow_inf_nan=False, description="Seconds that the answer to `wait` may take at most"),
]


class NoQuery(BaseModel):
    """No parameters."""

    model_config = ConfigDict(extra="forbid")


class ListQuery(NoQuery):
    """Which part of a list, in the order of names."""

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX, description="How many at most; `Link` has the next page")] = PAGE_MAX
    after: Annotated[str | None, Field(max_length=200, description="Only those behind this name, which need not be one any more")] = None

    def matches(self, item: Any) -> bool:
        """Tell whether an item is asked for."""
        return True


class NetworkListQuery(ListQuery):
    """Which networks."""

    encapsulation: Annotated[str | None, Field(description="Only with this setting")] = None
    hypervisor: Annotated[str | None, Field(description="Only those that this hypervisor hosts")] = None
    vni: Annotated[int | None, Field(description="Only with this VNI")] = None

    def matches(self, item: "NetworkItem") -> bool:
        """Tell whether a network is asked for."""
        return (
            self.encapsulation in (None, item.encapsulation)
            and self.vni in (None, item.vni)
            and (self.hypervisor is None or self.hypervisor in item.status.hypervisors)
        )


class PortListQuery(ListQuery):
    """Which ports."""

    mac: Annotated[str | None, Field(description="Only with this MAC address")] = None
    address: Annotated[str | None, Field(description="Only with this IP address")] = None
    hypervisor: Annotated[str | None, Field(description="Only those bound there")] = None
    state: Annotated[Literal["unbound", "pending", "up"] | None, Field(description="Only in this state")] = None
    offload: Annotated[str | None, Field(description="Only with this setting")] = None

    def matches(self, item: "PortItem") -> bool:
        """Tell whether a port is asked for."""
        return (
            (self.mac is None or self.mac.lower() == item.mac)
            and (self.address is None or self.address in item.addresses)
            and self.hypervisor in (None, item.status.hypervisor)
            and self.state in (None, item.status.state)
            and self.offload in (None, item.offload)
        )


class HypervisorListQuery(ListQuery):
    """Which hypervisors."""

    state: Annotated[Literal["connecting", "configuring", "connected", "error"] | None, Field(description="Only in this state")] = None

    def matches(self, item: "HypervisorItem") -> bool:
        """Tell whether a hypervisor is asked for."""
        return self.state in (None, item.status.state)


class AgentListQuery(ListQuery):
    """Which agents."""

    hypervisor: Annotated[str | None, Field(description="Only those bound there")] = None
    state: Annotated[Literal["unbound", "absent", "connecting", "connected"] | None, Field(description="Only in this state")] = None

    def matches(self, item: "AgentItem") -> bool:
        """Tell whether an agent is asked for."""
        return self.hypervisor in (None, item.hypervisor) and self.state in (None, item.state)


class ChangeQuery(NoQuery):
    """Whether the answer waits until the change is in force."""

    wait: Annotated[Literal["realized"] | None, Field(description="Answer when every connected hypervisor has the change")] = None
    timeout: Timeout = TIMEOUT_DEFAULT_S


class FlowListQuery(ListQuery):
    """Which flows."""

    state: Annotated[Literal["present", "missing", "wrong", "stale", "foreign"] | None, Field(description="Only in this state")] = None
    table: Annotated[int | None, Field(ge=0, le=254, description="Only of this table")] = None

    def matches(self, item: "FlowItem") -> bool:
        """Tell whether a flow is asked for."""
        return self.state in (None, item.state) and self.table in (None, item.table)


class FlowRemovalQuery(NoQuery):
    """Which flows are removed."""

    state: Annotated[Literal["foreign"], Field(description="Those that are somebody else's; nothing else removes them")]


class TunnelListQuery(ListQuery):
    """Which tunnels."""

    hypervisor: Annotated[str | None, Field(description="Only from or to it")] = None
    encapsulation: Annotated[str | None, Field(description="Only by this one")] = None
    network: Annotated[str | None, Field(description="Only those that this TENANT/NETWORK uses")] = None

    def matches(self, item: "TunnelItem") -> bool:
        """Tell whether a tunnel is asked for."""
        return (
            self.encapsulation in (None, item.encapsulation)
            and (self.hypervisor is None or self.hypervisor in (item.from_, item.to))
            and (self.network is None or self.network in item.networks)
        )


class EventStreamQuery(NoQuery):
    """Which events."""

    after: Annotated[str | None, Field(max_length=64, description="Only those behind the event with this id")] = None
    kind: Annotated[str | None, Field(max_length=64, description="Only about objects of this kind")] = None
    tenant: Annotated[str | None, Field(max_length=64, description="Only about this tenant's objects")] = None

    def matches(self, event: LoggedEvent) -> bool:
        """Tell whether an event is asked for."""
        return self.kind in (None, event.kind) and self.tenant in (None, event.tenant)


class EventQuery(EventStreamQuery):
    """Which events, and how many."""

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX, description="How many at most, the newest")] = PAGE_MAX


class ApplyQuery(ChangeQuery):
    """Whether anything is changed at all."""

    dry_run: Annotated[bool, Field(description="Only say what would change")] = False


class ExportQuery(NoQuery):
    """What is exported."""

    tenant: Annotated[str | None, Field(description="Only this tenant")] = None


class PortQuery(NoQuery):
    """Whether the answer waits until the port is up."""

    wait: Annotated[Literal["up"] | None, Field(description="Answer when the port is bound and its flows are in force")] = None
    timeout: Timeout = TIMEOUT_DEFAULT_S


# Answers.


class _Out(BaseModel):
    pass


class TenantItem(_Out):
    """A tenant."""

    name: Name
    uuid: str

    @classmethod
    def of(cls, tenant: Tenant) -> "TenantItem":
        """Make it from the model's value."""
        return cls(name=tenant.name, uuid=str(tenant.uuid))


class EncapsulationPair(_Out):
    """What a network uses between two hypervisors; null where they share no encapsulation."""

    from_: Annotated[str, Field(alias="from")]
    to: str
    encapsulation: str | None


class NetworkStatusItem(_Out):
    """Where a network is present, and how."""

    hypervisors: list[str]
    encapsulations: list[EncapsulationPair]
    detail: Detail

    @classmethod
    def of(cls, status: NetworkStatus) -> "NetworkStatusItem":
        """Make it from the model's value."""
        pairs = [
            EncapsulationPair.model_validate({"from": here, "to": there, "encapsulation": encapsulation})
            for here, there, encapsulation in status.encapsulations
        ]
        return cls(hypervisors=list(status.hypervisors), encapsulations=pairs, detail=status.detail)


class NetworkItem(_Out):
    """A network."""

    name: Name
    uuid: str
    tenant: Name
    vni: Vni
    encapsulation: Encapsulation
    mtu: Mtu
    pools: Pools
    dhcp: Dhcp
    gateways: Gateways
    dns_servers: DnsServers
    routes: Routes
    domain: Domain
    lease_s: Lease
    status: NetworkStatusItem

    @classmethod
    def of(cls, network: Network, tenant: Tenant, status: NetworkStatus) -> "NetworkItem":
        """Make it from the model's values."""
        return cls(
            name=network.name,
            uuid=str(network.uuid),
            tenant=tenant.name,
            vni=network.vni,
            encapsulation=network.encapsulation,
            mtu=network.mtu,
            pools=[str(pool) for pool in network.pools],
            dhcp=network.dhcp,
            gateways=[str(gateway) for gateway in network.gateways],
            dns_servers=[str(server) for server in network.dns_servers],
            routes=[RouteItem(destination=str(route.destination), nexthop=str(route.nexthop)) for route in network.routes],
            domain=network.domain,
            lease_s=network.lease_s,
            status=NetworkStatusItem.of(status),
        )


class PortStatusItem(_Out):
    """Where a port is bound.  unbound: nowhere; pending: its flows are under way; up: they are in force."""

    state: Literal["unbound", "pending", "up"]
    hypervisor: str | None
    interface: str | None
    ofport: int | None
    detail: Detail


class PortItem(_Out):
    """A port."""

    name: Name
    uuid: Annotated[str, _documented("The value of external_ids:iface-id that binds an OVS interface to the port")]
    tenant: Name
    network: Name
    mac: Mac
    addresses: Addresses
    port_security: PortSecurity
    offload: Offload
    underlay_ip: Annotated[str | None, _documented("Tunnel endpoint of its vNIC, where that encapsulates")]
    status: PortStatusItem

    @classmethod
    def of(cls, port: Port, network: Network, tenant: Tenant, status: PortStatus) -> "PortItem":
        """Make it from the model's values."""
        return cls(
            name=port.name,
            uuid=str(port.uuid),
            tenant=tenant.name,
            network=network.name,
            mac=port.mac,
            addresses=[str(address) for address in port.addresses],
            port_security=port.port_security,
            offload=port.offload,
            underlay_ip=None if port.underlay_ip is None else str(port.underlay_ip),
            status=PortStatusItem(
                state=status.state,
                hypervisor=status.hypervisor,
                interface=status.interface,
                ofport=status.ofport,
                detail=status.detail,
            ),
        )


class PortCountersItem(_Out):
    """Counted by the switch since the port was bound.  rx: from the guest; tx: to the guest."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int
    spoofed_packets: Annotated[int, _documented("Dropped by port security, or sent to the underlay by a vNIC that may not")]
    asked: Annotated[dict[str, int], _documented("DHCP messages and router solicitations that reached this controller, by outcome")]


class AgentItem(_Out):
    """The agent of a port's vNIC."""

    port: Annotated[str, _documented("TENANT/NETWORK/PORT")]
    hypervisor: str | None
    underlay_ip: str
    state: Annotated[
        Literal["unbound", "absent", "connecting", "connected"],
        _documented("unbound: its port is not plugged in; absent: it does not answer; connected: it is programmed"),
    ]
    capabilities: list[str]
    encapsulations: list[str]
    entries_desired: int
    entries_present: int
    realized: Annotated[bool, _documented("Its table and its device are as they should be, but for what it refused")]
    underlay_mtu: Annotated[int | None, _documented("Bytes of IP that the vNIC's link should carry")]
    refused: Annotated[list[str], _documented("Why it refuses entries or settings, as OpenFlow's error codes")]
    dropped: Annotated[dict[str, int], _documented("Control frames of it without effect, by reason")]

    @classmethod
    def of(cls, name: str, port: Port, hypervisor: str | None, status: AgentStatus | None) -> "AgentItem":
        """Make it from the model's values.  name: of the port."""
        return cls(
            port=name,
            hypervisor=hypervisor,
            underlay_ip=str(port.underlay_ip),
            state="unbound" if status is None else status.state,
            capabilities=list(status.capabilities) if status else [],
            encapsulations=list(status.encapsulations) if status else [],
            entries_desired=status.n_desired if status else 0,
            entries_present=status.n_present if status else 0,
            realized=status.realized if status else False,
            underlay_mtu=status.underlay_mtu if status else None,
            refused=list(status.refused) if status else [],
            dropped=dict(status.dropped) if status else {},
        )


class AgentEntryItem(_Out):
    """An entry of a vNIC's table.  match, actions: in the manner of ovs-ofctl."""

    state: Annotated[Literal["present", "missing", "foreign"], _documented("missing: not there; foreign: not of the controller")]
    priority: int
    match: str
    actions: str
    packets: int
    bytes: int
    age_s: float

    @classmethod
    def of(cls, entry: AgentEntry) -> "AgentEntryItem":
        """Make it from the model's value."""
        return cls(
            state=entry.state,
            priority=entry.priority,
            match=entry.match,
            actions=entry.actions,
            packets=entry.n_packets,
            bytes=entry.n_bytes,
            age_s=entry.age_s,
        )


class AgentList(_Out):
    """Agents, sorted by port."""

    items: list[AgentItem]


class AgentTable(_Out):
    """What a vNIC's table has, and what it lacks."""

    items: list[AgentEntryItem]


class HypervisorStatusItem(_Out):
    """How far a hypervisor is."""

    state: Literal["connecting", "configuring", "connected", "error"]
    connected: Annotated[bool, _documented("Its database and its OpenFlow connection are both up")]
    dpid: Annotated[str, _documented("Datapath id of br-int, 16 hexadecimal digits")]
    vtep_ip: str | None
    encapsulations: Annotated[list[str], _documented("What its Open vSwitch offers, best first")]
    underlay_mtu: Annotated[int | None, _documented("Of br-phy, bytes of IP; null where it is not known")]
    n_ports: Annotated[int, _documented("Ports that are bound there")]
    n_flows: int
    detail: Detail


class HypervisorItem(_Out):
    """A hypervisor."""

    name: Name
    uuid: str
    remote: Remote
    status: HypervisorStatusItem

    @classmethod
    def of(cls, hypervisor: Hypervisor, status: HypervisorStatus) -> "HypervisorItem":
        """Make it from the model's values."""
        return cls(
            name=hypervisor.name,
            uuid=str(hypervisor.uuid),
            remote=hypervisor.remote,
            status=HypervisorStatusItem(
                state=status.state,
                connected=status.connected,
                dpid=f"{status.dpid:016x}",
                vtep_ip=None if status.vtep_ip is None else str(status.vtep_ip),
                encapsulations=list(status.encapsulations),
                underlay_mtu=status.underlay_mtu,
                n_ports=status.n_ports,
                n_flows=status.n_flows,
                detail=status.detail,
            ),
        )


class SettingsItem(_Out):
    """System-wide choices."""

    encapsulation_order: EncapsulationOrder
    sclp_payload: SclpPayload
    agent_pools: AgentPools

    @classmethod
    def of(cls, settings: Settings) -> "SettingsItem":
        """Make it from the model's value."""
        return cls(
            encapsulation_order=list(settings.encapsulation_order),
            sclp_payload=settings.sclp_payload,
            agent_pools=[str(pool) for pool in settings.agent_pools],
        )


class TenantList(_Out):
    """Tenants, sorted by name."""

    items: list[TenantItem]


class NetworkList(_Out):
    """Networks of a tenant, sorted by name."""

    items: list[NetworkItem]


class PortList(_Out):
    """Ports of a network, sorted by name."""

    items: list[PortItem]


class HypervisorList(_Out):
    """Hypervisors, sorted by name."""

    items: list[HypervisorItem]


class DifferenceField(_Out):
    """A field that differs."""

    field: str
    before: Annotated[Any, _documented("Null for what is new")] = None
    after: Any = None


class DifferenceItem(_Out):
    """What a document changes of one object."""

    action: Literal["create", "change", "delete"]
    kind: Literal["tenant", "network", "port"]
    name: Annotated[str, _documented("TENANT, TENANT/NETWORK or TENANT/NETWORK/PORT")]
    fields: list[DifferenceField]

    @classmethod
    def of(cls, difference: Difference) -> "DifferenceItem":
        """Make it from the command's value."""
        fields = [DifferenceField(field=name, before=before, after=after) for name, before, after in difference.fields]
        return cls(action=difference.action, kind=difference.kind, name=difference.name, fields=fields)


class Applied(_Out):
    """What a document has changed, or would change."""

    dry_run: bool
    changes: list[DifferenceItem]


class FlowItem(_Out):
    """A flow of a hypervisor's br-int.  match, actions: in the manner of ovs-ofctl."""

    id: Annotated[str, _documented("Unique on the bridge; table, then priority, sort by it")]
    hypervisor: str
    state: Annotated[
        Literal["present", "missing", "wrong", "stale", "foreign"],
        _documented("missing: not there; wrong: there with these actions, which are not ours; stale: ours, not wanted; foreign: not ours"),
    ]
    table: int
    priority: int
    cookie: Annotated[str, _documented("16 hexadecimal digits")]
    match: str
    actions: str
    packets: int
    bytes: int

    @classmethod
    def of(cls, entry: FlowEntry, hypervisor: str) -> "FlowItem":
        """Make it from the model's value."""
        return cls(
            id=entry.key,
            hypervisor=hypervisor,
            state=entry.state,
            table=entry.table,
            priority=entry.priority,
            cookie=f"{entry.cookie:016x}",
            match=entry.match,
            actions=entry.actions,
            packets=entry.n_packets,
            bytes=entry.n_bytes,
        )


class FlowList(_Out):
    """Flows, in the order of tables and priorities."""

    items: list[FlowItem]


class TunnelItem(_Out):
    """One direction between two tunnel endpoints, by one encapsulation.

    Frames as guests have them, counted by the switches since the flows that count were added; null where one did not answer.
    """

    from_: Annotated[str, Field(alias="from", description="A hypervisor")]
    to: Annotated[str, _documented("A hypervisor, or a port whose vNIC decapsulates")]
    encapsulation: str
    networks: list[str]
    sent_packets: int | None
    sent_bytes: int | None
    received_packets: int | None
    received_bytes: int | None

    @property
    def name(self) -> str:
        """What sorts a list."""
        return f"{self.from_} {self.to} {self.encapsulation}"

    @classmethod
    def of(cls, tunnel: TunnelStatus) -> "TunnelItem":
        """Make it from the model's value."""
        sent, received = tunnel.sent or (None, None), tunnel.received or (None, None)
        return cls.model_validate(
            {
                "from": tunnel.here,
                "to": tunnel.there,
                "encapsulation": tunnel.encapsulation,
                "networks": list(tunnel.networks),
                "sent_packets": sent[0],
                "sent_bytes": sent[1],
                "received_packets": received[0],
                "received_bytes": received[1],
            }
        )


class TunnelList(_Out):
    """Tunnels, sorted by their ends."""

    items: list[TunnelItem]


class EventItem(_Out):
    """Something that happened."""

    id: str
    time: Annotated[str, _documented("RFC 3339, UTC", format="date-time")]
    kind: Literal["tenant", "network", "port", "hypervisor", "agent", "settings"]
    what: Annotated[str, _documented("created, changed, deleted; of a port also bound, unbound; of hypervisors and agents their state")]
    name: str
    detail: Detail

    @classmethod
    def of(cls, event: LoggedEvent) -> "EventItem":
        """Make it from the log's value."""
        time = event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return cls(id=event.id, time=time, kind=event.kind, what=event.what, name=event.name, detail=event.detail)  # type: ignore[arg-type]


class EventList(_Out):
    """Events, oldest first."""

    items: list[EventItem]


class FieldError(_Out):
    """What is wrong with one field."""

    field: Annotated[str, _documented("Path of the field, such as pools[1]")]
    value: Annotated[Any, _documented("What was given")] = None
    limit: Annotated[Any, _documented("What is allowed")] = None
    message: str


class PendingItem(_Out):
    """What was waited for has not come in time; what was asked for is stored, and goes on."""

    detail: Annotated[str, _documented("One line for people")]
    errors: Annotated[list[FieldError], _documented("The hypervisors that have not confirmed it, where they are known")]


class ProblemItem(_Out):
    """RFC 9457 problem details."""

    type: Literal["about:blank"]
    title: Annotated[str, _documented("The HTTP status in words")]
    status: int
    detail: Annotated[str, _documented("One line for people: field, value and limit")]
    errors: list[FieldError]
