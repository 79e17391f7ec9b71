"""Commands on the NB database: create, set and delete, with the checks that OVSDB cannot express.

Each is one transaction and returns what it stored, or raises ConfigError (a value), NotFound, Conflict (with other
objects), Outdated (`guard`) or Unavailable; nothing half-done stays.  None for a keyword means: not given.  `view.View` has the reads.

`put_…` creates an object, or gives the one of that name all the values, and tells which: what is not given is the default; what would be
allocated stays as it is.  guard: called with the object as it is, it raises Outdated if that is not what the caller knows; what
it has seen is still so when the transaction commits.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from nvo3.model import check, ids
from nvo3.model.errors import ConfigError, Conflict
from nvo3.model.ids import Mac, Vni
from nvo3.model.logical import (
    AUTO,
    CVSW,
    LEASE_DEFAULT_S,
    MTU_DEFAULT,
    NONE,
    SLAAC_PREFIX_LENGTH,
    IPAddress,
    IPNetwork,
    Network,
    Port,
    Settings,
    Tenant,
    eui64,
)
from nvo3.model.physical import Hypervisor
from nvo3.ovsdb.northbound import Change, Northbound
from nvo3.ovsdb.view import View

VNI_FIRST = 5000  # where VNIs are allocated from: below are those that people choose themselves

_SHOWN_MAX = 3  # users of an object that a message names

_T = TypeVar("_T", bound=Tenant | Network | Port | Hypervisor)
Guard = Callable[[Any], None]


class _Target(Generic[_T]):
    """The object that a command is about: found by its name at the first attempt, the same one at every later."""

    def __init__(
        self, table: str, lookup: Callable[[View], _T], items: Callable[[View], Mapping[UUID, _T]], guard: Guard | None = None
    ) -> None:
        self._table = table
        self._lookup = lookup
        self._items = items
        self._guard = guard
        self._uuid: UUID | None = None

    def find(self, view: View) -> _T:
        """Return it.  Raises NotFound or Outdated."""
        item = None if self._uuid is None else self._items(view).get(self._uuid)
        if item is None:
            item = self._lookup(view)
            self._uuid = item.uuid
        if self._guard is not None:
            self._guard(item)
        return item

    def write(self, change: Change, **columns: Any) -> None:
        """Write columns of what was found."""
        assert self._uuid is not None
        if columns:
            self._verify(change)
            change.update(self._table, self._uuid, **columns)

    def delete(self, change: Change, check: Callable[[_T], None] = lambda item: None) -> None:
        """Delete it after a check, unless it went after the first attempt, perhaps by that attempt.  Raises NotFound or Outdated."""
        if self._uuid is not None and self._uuid not in self._items(change.view):
            return
        item = self.find(change.view)
        check(item)
        self._verify(change)
        change.delete(self._table, item.uuid)

    def _verify(self, change: Change) -> None:
        if self._guard is not None and self._uuid is not None:
            change.verify(self._table, self._uuid)


def _put(
    northbound: Northbound, uuid: UUID, exists: Callable[[View], bool], create: Callable[[Change], _T], alter: Callable[[Change], _T]
) -> tuple[_T, bool]:
    """Create an object under `uuid`, or alter the one that exists; tell whether it was created."""

    def compose(change: Change) -> _T:
        return alter(change) if exists(change.view) else create(change)

    item = northbound.transact(compose)
    return item, item.uuid == uuid


# Tenants.


def create_tenant(northbound: Northbound, name: str) -> Tenant:
    """Create a tenant."""
    return northbound.transact(_tenant_creation(uuid4(), name))


def put_tenant(northbound: Northbound, name: str, *, guard: Guard | None = None) -> tuple[Tenant, bool]:
    """Create a tenant unless it is there."""
    uuid, target = uuid4(), _tenant(name, guard)
    return _put(northbound, uuid, lambda v: name in v.tenant_names, _tenant_creation(uuid, name), lambda c: target.find(c.view))


def _tenant_creation(uuid: UUID, name: str) -> Callable[[Change], Tenant]:
    tenant = Tenant(uuid, ids.check_name(name, "name"))

    def compose(change: Change) -> Tenant:
        if uuid not in change.view.tenants:
            _check_tenant(change.view, tenant)
            change.insert("Tenant", uuid, name=name)
        return tenant

    return compose


def set_tenant(northbound: Northbound, tenant: str, *, name: str | None = None, guard: Guard | None = None) -> Tenant:
    """Rename a tenant."""
    target = _tenant(tenant, guard)

    def compose(change: Change) -> Tenant:
        before = target.find(change.view)
        after = Tenant(before.uuid, _or(name, before.name))
        _check_tenant(change.view, after)
        target.write(change, **_difference(before, after, "name"))
        return after

    return northbound.transact(compose)


def delete_tenant(northbound: Northbound, tenant: str, *, guard: Guard | None = None) -> None:
    """Delete a tenant that has no networks."""
    target = _tenant(tenant, guard)

    def compose(change: Change) -> None:
        def unused(row: Tenant) -> None:
            _check_unused(f"tenant {tenant}", "network", [change.view.path(network) for network in change.view.networks_of(row.uuid)])

        target.delete(change, unused)

    northbound.transact(compose)


def _tenant(name: str, guard: Guard | None = None) -> _Target[Tenant]:
    return _Target("Tenant", lambda view: view.tenant(name), lambda view: view.tenants, guard)


def _check_tenant(view: View, tenant: Tenant) -> None:
    ids.check_name(tenant.name, "name")
    _check_free(tenant.uuid, view.tenant_names.get(tenant.name), "name", tenant.name, "a tenant of that name exists")


# Networks.


def create_network(
    northbound: Northbound,
    tenant: str,
    name: str,
    *,
    vni: int | None = None,
    encapsulation: str = AUTO,
    mtu: int = MTU_DEFAULT,
    pools: Sequence[str] = (),
    **told: Any,
) -> Network:
    """Create a network.

    vni: the lowest free one from VNI_FIRST where it is not given.  pools: prefixes as text.  told: what guests are told, as in
    `network_with`.
    """
    fields: dict[str, Any] = {"vni": vni, "encapsulation": encapsulation, "mtu": mtu, "pools": pools, **told}
    return northbound.transact(_network_creation(uuid4(), tenant, name, **fields))


def put_network(
    northbound: Northbound,
    tenant: str,
    name: str,
    *,
    vni: int | None = None,
    encapsulation: str = AUTO,
    mtu: int = MTU_DEFAULT,
    pools: Sequence[str] = (),
    guard: Guard | None = None,
    **told: Any,
) -> tuple[Network, bool]:
    """Create a network, or give it all these values, of `told` the default where it is not given.

    vni: as in `create_network`, or left as it is.
    """
    uuid = uuid4()
    fields: dict[str, Any] = {"vni": vni, "encapsulation": encapsulation, "mtu": mtu, "pools": pools, **_TOLD_DEFAULTS, **told}
    create = _network_creation(uuid, tenant, name, **fields)
    alter = _network_alteration(_network(tenant, name, guard), tenant, **fields)
    return _put(northbound, uuid, lambda v: (v.tenant(tenant).uuid, name) in v.network_names, create, alter)


def _network_creation(uuid: UUID, tenant: str, name: str, *, vni: int | None, **fields: Any) -> Callable[[Change], Network]:
    def compose(change: Change) -> Network:
        view = change.view
        if uuid in view.networks:
            return view.networks[uuid]
        new = Network(uuid, view.tenant(tenant).uuid, name, Vni(0))
        network = network_with(new, vni=allocate_vni(change) if vni is None else vni, **fields)
        _check_network(view, network, tenant)
        if network.encapsulation == NONE:
            _require_flat(change, network)
        change.insert("Network", uuid, tenant=network.tenant, **network_columns(None, network))
        return network

    return compose


def set_network(
    northbound: Northbound,
    tenant: str,
    network: str,
    *,
    name: str | None = None,
    vni: int | None = None,
    encapsulation: str | None = None,
    mtu: int | None = None,
    pools: Sequence[str] | None = None,
    guard: Guard | None = None,
    **told: Any,
) -> Network:
    """Change a network.  Its ports' addresses, its gateways and its routes' next hops must stay within its pools."""
    target = _network(tenant, network, guard)
    fields: dict[str, Any] = {"name": name, "vni": vni, "encapsulation": encapsulation, "mtu": mtu, "pools": pools, **told}
    return northbound.transact(_network_alteration(target, tenant, **fields))


def _network_alteration(target: _Target[Network], tenant: str, **fields: Any) -> Callable[[Change], Network]:
    def compose(change: Change) -> Network:
        view = change.view
        before = target.find(view)
        after = network_with(before, **fields)
        _check_network(view, after, tenant)
        if after.encapsulation == NONE != before.encapsulation:
            _require_flat(change, after)
        if not set(before.pools) <= set(after.pools):
            _check_ports_fit(change, after)
        target.write(change, **network_columns(before, after))
        return after

    return compose


def network_with(
    before: Network,
    *,
    name: str | None = None,
    vni: int | None = None,
    encapsulation: str | None = None,
    mtu: int | None = None,
    pools: Sequence[str] | None = None,
    dhcp: bool | None = None,
    gateways: Sequence[str] | None = None,
    dns_servers: Sequence[str] | None = None,
    routes: Sequence[tuple[str, str]] | None = None,
    domain: str | None = None,
    lease_s: int | None = None,
) -> Network:
    """Return a network with the values that are given.  routes: (destination, next hop).

    Raises ConfigError where it would be none by itself.
    """
    prefixes = before.pools if pools is None else check.check_pools(pools, "pools")
    after = replace(
        before,
        name=ids.check_name(_or(name, before.name), "name"),
        vni=before.vni if vni is None else check.check_vni(vni, "vni"),
        encapsulation=check.check_encapsulation(_or(encapsulation, before.encapsulation), "encapsulation"),
        mtu=_or(mtu, before.mtu),
        pools=prefixes,
        dhcp=_or(dhcp, before.dhcp),
        gateways=check.check_gateways(_or(gateways, [str(gateway) for gateway in before.gateways]), prefixes, "gateways"),
        dns_servers=before.dns_servers if dns_servers is None else check.check_dns_servers(dns_servers, "dns_servers"),
        routes=check.check_routes(_or(routes, list(_TOLD["routes"](before).items())), prefixes, "routes"),
        domain=check.check_domain(_or(domain, before.domain), "domain"),
        lease_s=check.check_lease(_or(lease_s, before.lease_s), "lease_s"),
    )
    check.check_mtu(after.mtu, after.encapsulation, "mtu")
    return after


def network_columns(before: Network | None, after: Network) -> dict[str, Any]:
    """Return the columns to write, of a new network all."""
    columns = _difference(before, after, "name", "vni", "encapsulation", "mtu")
    if before is None or after.pools != before.pools:
        columns["pools"] = [str(pool) for pool in after.pools]
    told = {name: write(after) for name, write in _TOLD.items() if before is None or write(after) != write(before)}
    return columns | told


# What guests are told: how each column is written; and what a network without it has.
_TOLD: dict[str, Callable[[Network], Any]] = {
    "dhcp": lambda network: [network.dhcp],
    "gateways": lambda network: [str(gateway) for gateway in network.gateways],
    "dns_servers": lambda network: ",".join(map(str, network.dns_servers)),
    "routes": lambda network: {str(route.destination): str(route.nexthop) for route in network.routes},
    "domain": lambda network: network.domain,
    "lease_s": lambda network: [network.lease_s],
}
_TOLD_DEFAULTS = {"dhcp": True, "gateways": (), "dns_servers": (), "routes": (), "domain": "", "lease_s": LEASE_DEFAULT_S}


def delete_network(northbound: Northbound, tenant: str, network: str, *, guard: Guard | None = None) -> None:
    """Delete a network that has no ports."""
    target = _network(tenant, network, guard)

    def compose(change: Change) -> None:
        def unused(row: Network) -> None:
            _check_unused(f"network {tenant}/{network}", "port", [change.view.path(port) for port in change.view.ports_of(row.uuid)])

        target.delete(change, unused)

    northbound.transact(compose)


def _network(tenant: str, name: str, guard: Guard | None = None) -> _Target[Network]:
    return _Target("Network", lambda view: view.network(tenant, name), lambda view: view.networks, guard)


def _check_network(view: View, network: Network, tenant: str) -> None:
    other = view.network_names.get((network.tenant, network.name))
    _check_free(network.uuid, other, "name", network.name, f"tenant {tenant} has a network of that name")
    other = view.relations.network_with_vni(network.vni)
    _check_free(network.uuid, other, "vni", network.vni, f"taken by network {shown_network(view, other)}")


def allocate_vni(change: Change) -> Vni:
    vni = change.view.vnis.lowest(VNI_FIRST, ids.VNI_MAX)
    if vni is None:
        raise Conflict(f"no VNI within {VNI_FIRST}..{ids.VNI_MAX} is free", "vni")
    change.claim_vni(vni)
    return Vni(vni)


def _require_flat(change: Change, network: Network) -> None:
    """Check that no other network is flat, now and when the transaction commits: they would be one broadcast domain."""
    view = change.view
    for other in view.relations.flat_rows() - {network.uuid}:
        raise Conflict(f"only one network can have {NONE}, and network {shown_network(view, other)} has it", "encapsulation", NONE)
    change.require("Network", [["encapsulation", "==", NONE]], "_uuid", [["uuid", str(network.uuid)]])


def _check_ports_fit(change: Change, network: Network) -> None:
    """Check that the ports' addresses are within the network's pools, now and when the transaction commits."""
    for port in change.view.ports_of(network.uuid):
        for address in port.addresses:
            try:
                check.check_address(str(address), network.pools, "pools")
            except ConfigError as error:
                raise Conflict(f"port {change.view.path(port)}: {error.message}", "pools", error.limit) from None
    rows = [["uuid", str(uuid)] for uuid in change.view.relations.address_texts_of(network.uuid)]
    change.require("Address", [["network", "==", ["uuid", str(network.uuid)]]], "_uuid", rows)


def shown_network(view: View, network: UUID | None) -> str:
    """Return TENANT/NETWORK, or what else there is to say of a row."""
    return view.path(view.networks[network]) if network in view.networks else f"{network}, which is not valid"


# Ports.


def create_port(
    northbound: Northbound,
    tenant: str,
    network: str,
    name: str,
    *,
    mac: str | None = None,
    addresses: Sequence[str] | None = None,
    port_security: bool = True,
    offload: str = NONE,
) -> Port:
    """Create a port.

    mac: a random one, locally administered, where it is not given.  addresses: where they are not given, one of each family that the
    network has pools of: in a pool that guests make their own addresses in, the one of the MAC, else the lowest free one.  offload: with
    CVSW it gets a tunnel endpoint of the settings' agent_pools.
    """
    fields: dict[str, Any] = {"mac": mac, "addresses": addresses, "port_security": port_security, "offload": offload}
    return northbound.transact(_port_creation(uuid4(), tenant, network, name, **fields))


def put_port(
    northbound: Northbound,
    tenant: str,
    network: str,
    name: str,
    *,
    mac: str | None = None,
    addresses: Sequence[str] | None = None,
    port_security: bool = True,
    offload: str = NONE,
    guard: Guard | None = None,
) -> tuple[Port, bool]:
    """Create a port, or give it all these values.  mac, addresses: as in `create_port`, or left as they are."""
    uuid = uuid4()
    fields: dict[str, Any] = {"mac": mac, "addresses": addresses, "port_security": port_security, "offload": offload}
    create = _port_creation(uuid, tenant, network, name, **fields)
    alter = _port_alteration(_port(tenant, network, name, guard), f"{tenant}/{network}", **fields)
    return _put(northbound, uuid, lambda v: (v.network(tenant, network).uuid, name) in v.port_names, create, alter)


def _port_creation(
    uuid: UUID, tenant: str, network: str, name: str, *, mac: str | None, addresses: Sequence[str] | None, port_security: bool, offload: str
) -> Callable[[Change], Port]:
    def compose(change: Change) -> Port:
        view = change.view
        if uuid in view.ports:
            return view.ports[uuid]
        owner = view.network(tenant, network)
        new = Port(uuid, owner.uuid, name, random_mac(lambda mac: (owner.uuid, mac) in view.port_macs))
        require_pools(change, owner)
        port = port_with(new, owner.pools, mac=mac, addresses=addresses, port_security=port_security, offload=offload)
        if addresses is None:
            port = replace(port, addresses=allocate_addresses(change, owner, port.mac))
        _check_port(view, port, f"{tenant}/{network}")
        port, columns = write_port(change, None, port)
        change.insert("Port", uuid, network=owner.uuid, **columns)
        return port

    return compose


def set_port(
    northbound: Northbound,
    tenant: str,
    network: str,
    port: str,
    *,
    name: str | None = None,
    mac: str | None = None,
    addresses: Sequence[str] | None = None,
    port_security: bool | None = None,
    offload: str | None = None,
    guard: Guard | None = None,
) -> Port:
    """Change a port.  addresses: all that it is to have."""
    fields: dict[str, Any] = {"name": name, "mac": mac, "addresses": addresses, "port_security": port_security, "offload": offload}
    return northbound.transact(_port_alteration(_port(tenant, network, port, guard), f"{tenant}/{network}", **fields))


def _port_alteration(
    target: _Target[Port],
    network: str,
    *,
    name: str | None = None,
    mac: str | None,
    addresses: Sequence[str] | None,
    port_security: bool | None,
    offload: str | None,
) -> Callable[[Change], Port]:
    def compose(change: Change) -> Port:
        view = change.view
        before = target.find(view)
        owner = view.networks[before.network]
        after = port_with(before, owner.pools, name=name, mac=mac, addresses=addresses, port_security=port_security, offload=offload)
        if addresses is not None:
            require_pools(change, owner)
        _check_port(view, after, network)
        after, columns = write_port(change, before, after)
        target.write(change, **columns)
        return after

    return compose


def port_with(
    before: Port,
    pools: Sequence[IPNetwork],
    *,
    name: str | None = None,
    mac: str | None = None,
    addresses: Sequence[str] | None = None,
    port_security: bool | None = None,
    offload: str | None = None,
) -> Port:
    """Return a port with the values that are given.  pools: of its network.  Raises ConfigError where it would be none by itself."""
    return replace(
        before,
        name=ids.check_name(_or(name, before.name), "name"),
        mac=before.mac if mac is None else ids.parse_mac(mac, "mac"),
        addresses=before.addresses if addresses is None else check.check_addresses(addresses, pools, "addresses"),
        port_security=_or(port_security, before.port_security),
        offload=before.offload if offload is None else check.check_offload(offload, "offload"),
    )


def write_port(
    change: Change, before: Port | None, after: Port, address_rows: Mapping[str, UUID] | None = None
) -> tuple[Port, dict[str, Any]]:
    """Return the port, with a tunnel endpoint where it needs one, and the columns to write; insert the rows that these refer to.

    address_rows: which may be taken over, those that the port has unless given.
    """
    columns = _difference(before, after, "name", "mac", "port_security")
    if after.offload != (NONE if before is None else before.offload):
        after = replace(after, underlay_ip=_allocate_endpoint(change) if after.offload == CVSW else None)
        columns |= _write_offload(change, after)
    if before is None or after.addresses != before.addresses:
        rows = change.view.relations.address_rows_of(after.uuid) if address_rows is None else address_rows
        columns["addresses"] = _write_addresses(change, after, rows)
    return after, columns


def delete_port(northbound: Northbound, tenant: str, network: str, port: str, *, guard: Guard | None = None) -> None:
    """Delete a port."""
    northbound.transact(_port(tenant, network, port, guard).delete)


def _port(tenant: str, network: str, name: str, guard: Guard | None = None) -> _Target[Port]:
    return _Target("Port", lambda view: view.port(tenant, network, name), lambda view: view.ports, guard)


def _check_port(view: View, port: Port, network: str) -> None:
    other = view.port_names.get((port.network, port.name))
    _check_free(port.uuid, other, "name", port.name, f"network {network} has a port of that name")
    other = view.port_macs.get((port.network, port.mac))
    _check_free(port.uuid, other, "mac", port.mac, f"taken by port {_port_path(view, other)}")
    for address in port.addresses:
        other = view.port_addresses.get((port.network, address))
        _check_free(port.uuid, other, "addresses", str(address), f"taken by port {_port_path(view, other)}")


def _port_path(view: View, port: UUID | None) -> str:
    return view.path(view.ports[port]) if port in view.ports else str(port)


def require_pools(change: Change, network: Network) -> None:
    """Have the network's pools hold when the transaction commits.

    Not by the IDL's `Row.verify`: it counts only for rows that the transaction writes as well.
    """
    pools_now = ["set", [str(pool) for pool in network.pools]]
    change.require("Network", [["_uuid", "==", ["uuid", str(network.uuid)]]], "pools", [pools_now])


def allocate_addresses(change: Change, network: Network, mac: Mac) -> tuple[IPAddress, ...]:
    """Return an address of each family that the network has pools of: the one that a guest makes of its MAC, or the lowest free one."""
    allocated = []
    for version in (4, 6):
        pools = [pool for pool in network.pools if pool.version == version]
        if not pools:
            continue
        address = _slaac_address(change, network, mac, pools) or change.space(network.uuid).allocate(pools)
        if address is None:
            shown = ", ".join(map(str, pools))
            raise Conflict(f"no address of {shown} is free in network {network.name}", "addresses")
        change.claim_address(network.uuid, address)
        allocated.append(address)
    return tuple(allocated)


def _slaac_address(change: Change, network: Network, mac: Mac, pools: Sequence[IPNetwork]) -> IPAddress | None:
    """Return the free address that a guest makes of its MAC in one of the pools, if it does (RFC 4862)."""
    for pool in pools:
        if isinstance(pool, IPv6Network) and pool.prefixlen == SLAAC_PREFIX_LENGTH:
            address = eui64(mac, pool)
            if change.space(network.uuid).is_free(address):
                return address
    return None


def _write_addresses(change: Change, port: Port, rows: Mapping[str, UUID]) -> list[UUID]:
    """Return the Address rows of a port; insert those that are not there.  The database deletes unreferenced ones."""
    uuids = []
    for address in map(str, port.addresses):
        uuid = rows.get(address)
        if uuid is None:
            uuid = uuid4()
            change.insert("Address", uuid, network=port.network, ip=address)
        uuids.append(uuid)
    return uuids


def _allocate_endpoint(change: Change) -> IPv4Address:
    """Return an address of the underlay that no vNIC and no hypervisor has."""
    view = change.view
    pools = view.settings.agent_pools
    if not pools:
        raise Conflict(
            "the settings have no agent_pools, from which its tunnel endpoint would come; see `nvo3 settings set`", "offload", CVSW
        )
    vteps = {int(h.seen.vtep_ip) for h in view.hypervisors.values() if h.seen is not None and h.seen.vtep_ip is not None}
    for pool in pools:
        first, last = int(pool.network_address) + 1, int(pool.broadcast_address) - 1
        while (number := view.endpoints.space.lowest(first, last)) is not None:
            change.claim_endpoint(number)
            if number not in vteps:
                return IPv4Address(number)
    raise Conflict(f"no address of agent_pools {', '.join(map(str, pools))} is free", "offload", CVSW)


def _write_offload(change: Change, port: Port) -> dict[str, Any]:
    """Return the columns for what a port offloads; insert its endpoint.  The database deletes one that no port has any more."""
    if port.underlay_ip is None:
        return {"offload": [port.offload], "underlay_address": []}
    uuid = uuid4()
    change.insert("Underlay_Address", uuid, ip=str(port.underlay_ip))
    return {"offload": [port.offload], "underlay_address": [uuid]}


def random_mac(is_taken: Callable[[Mac], bool]) -> Mac:
    """Return a MAC address that is free: unicast, locally administered (IEEE 802-2014, 8.4)."""
    while True:
        octets = bytearray(random.randbytes(6))
        octets[0] = octets[0] & 0xFC | 0x02
        mac = Mac(octets.hex(":"))
        if not is_taken(mac):
            return mac


# Hypervisors.


def create_hypervisor(northbound: Northbound, name: str, remote: str) -> Hypervisor:
    """Create a hypervisor.  remote: its ovsdb-server, see `check.check_remote`."""
    return northbound.transact(_hypervisor_creation(Hypervisor(uuid4(), name, remote)))


def put_hypervisor(northbound: Northbound, name: str, remote: str, *, guard: Guard | None = None) -> tuple[Hypervisor, bool]:
    """Create a hypervisor, or give it this remote."""
    new = Hypervisor(uuid4(), name, remote)
    alter = _hypervisor_alteration(_hypervisor(name, guard), None, remote)
    return _put(northbound, new.uuid, lambda view: name in view.hypervisor_names, _hypervisor_creation(new), alter)


def _hypervisor_creation(hypervisor: Hypervisor) -> Callable[[Change], Hypervisor]:
    def compose(change: Change) -> Hypervisor:
        if hypervisor.uuid not in change.view.hypervisors:
            _check_hypervisor(change.view, hypervisor)
            change.insert("Hypervisor", hypervisor.uuid, name=hypervisor.name, remote=hypervisor.remote)
        return hypervisor

    return compose


def set_hypervisor(
    northbound: Northbound, hypervisor: str, *, name: str | None = None, remote: str | None = None, guard: Guard | None = None
) -> Hypervisor:
    """Change a hypervisor."""
    return northbound.transact(_hypervisor_alteration(_hypervisor(hypervisor, guard), name, remote))


def _hypervisor_alteration(target: _Target[Hypervisor], name: str | None, remote: str | None) -> Callable[[Change], Hypervisor]:
    def compose(change: Change) -> Hypervisor:
        before = target.find(change.view)
        after = Hypervisor(before.uuid, _or(name, before.name), _or(remote, before.remote))
        _check_hypervisor(change.view, after)
        target.write(change, **_difference(before, after, "name", "remote"))
        return after

    return compose


def delete_hypervisor(northbound: Northbound, hypervisor: str, *, guard: Guard | None = None) -> None:
    """Delete a hypervisor; ports that are bound there become unbound."""
    northbound.transact(_hypervisor(hypervisor, guard).delete)


def _hypervisor(name: str, guard: Guard | None = None) -> _Target[Hypervisor]:
    return _Target("Hypervisor", lambda view: view.hypervisor(name), lambda view: view.hypervisors, guard)


def _check_hypervisor(view: View, hypervisor: Hypervisor) -> None:
    ids.check_name(hypervisor.name, "name")
    check.check_remote(hypervisor.remote, "remote")
    other = view.hypervisor_names.get(hypervisor.name)
    _check_free(hypervisor.uuid, other, "name", hypervisor.name, "a hypervisor of that name exists")
    other = view.hypervisor_remotes.get(hypervisor.remote)
    shown = view.hypervisors[other].name if other in view.hypervisors else str(other)
    _check_free(hypervisor.uuid, other, "remote", hypervisor.remote, f"taken by hypervisor {shown}")


# Settings.


def set_settings(
    northbound: Northbound,
    *,
    encapsulation_order: Sequence[str] | None = None,
    sclp_payload: str | None = None,
    agent_pools: Sequence[str] | None = None,
    guard: Guard | None = None,
) -> Settings:
    """Change the settings, those that are given.

    encapsulation_order: what AUTO prefers, best first; what is not named is not chosen.  sclp_payload: what SCLP carries.
    agent_pools: where tunnel endpoints of vNICs come from; those that are given out stay.
    """

    def compose(change: Change) -> Settings:
        settings, columns = change.view.settings, dict[str, Any]()
        if guard is not None:
            guard(settings)
        if encapsulation_order is not None:
            order = check.check_encapsulation_order(encapsulation_order, "encapsulation_order")
            settings, columns["encapsulation_order"] = replace(settings, encapsulation_order=order), ",".join(order)
        if sclp_payload is not None:
            payload = check.check_sclp_payload(sclp_payload, "sclp_payload")
            settings, columns["sclp_payload"] = replace(settings, sclp_payload=payload), [payload]
        if agent_pools is not None:
            pools = check.check_agent_pools(agent_pools, "agent_pools")
            settings, columns["agent_pools"] = replace(settings, agent_pools=pools), [str(pool) for pool in pools]
        row = change.view.settings_row
        if not columns:
            return settings
        if row is None:
            change.insert("Settings", uuid4(), **columns)
        else:
            if guard is not None:
                change.verify("Settings", row)
            change.update("Settings", row, **columns)
        return settings

    return northbound.transact(compose)


# Shared.


def _or(given: Any, before: Any) -> Any:
    return before if given is None else given


def _difference(before: object | None, after: object, *names: str) -> dict[str, Any]:
    """Return the columns to write.  What did not change is not written, so that it undoes nothing of another client."""
    return {name: getattr(after, name) for name in names if before is None or getattr(after, name) != getattr(before, name)}


def _check_free(uuid: UUID, other: UUID | None, path: str, value: object, reason: str) -> None:
    if other is not None and other != uuid:
        raise Conflict(f"{value}: {reason}", path, value)


def _check_unused(what: str, kind: str, users: Sequence[str]) -> None:
    if users:
        more = ", …" if len(users) > _SHOWN_MAX else ""
        kinds = f"{kind}" if len(users) == 1 else f"{len(users)} {kind}s"
        raise Conflict(f"{what} is in use by {kinds} {', '.join(users[:_SHOWN_MAX])}{more}")
