"""The NB database in memory: model values, indexed by name, kept up to date from the IDL's rows.  No I/O.

Rows may come from any client of the database.  One that breaks a rule that OVSDB cannot express (`nvo3.model.check`)
is logged once and left out, and with it what depends on it; it appears when it is mended.  What such a row occupies
(a VNI, an address) stays taken, because the database says so too.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any, TypeVar
from uuid import UUID

from nvo3.model import check, ids
from nvo3.model.errors import ConfigError, NotFound
from nvo3.model.event import Kind, NorthboundChanged
from nvo3.model.logical import NONE, IPAddress, IPNetwork, Network, Port, Settings, Tenant
from nvo3.model.physical import ENCAPSULATIONS, Hypervisor
from nvo3.ovsdb import seen
from nvo3.ovsdb.allocation import AddressSpace, NumberSpace

LOG = logging.getLogger(__name__)

TABLES = ("Settings", "Tenant", "Network", "Port", "Address", "Underlay_Address", "Hypervisor")
DEFAULT_SETTINGS = Settings(tuple(ENCAPSULATIONS))

_T = TypeVar("_T", bound=Tenant | Network | Port | Hypervisor)


class _Hidden(Exception):
    """A row is left out because of another one, which was logged."""


class View:
    """Valid objects by uuid and by name.  Dictionaries are read by others and written by `apply` only.

    tables: of the IDL, by name; each has `rows`, from uuid to row.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables
        self.settings = DEFAULT_SETTINGS
        self.tenants: dict[UUID, Tenant] = {}
        self.networks: dict[UUID, Network] = {}
        self.ports: dict[UUID, Port] = {}
        self.hypervisors: dict[UUID, Hypervisor] = {}
        self.tenant_names: dict[str, UUID] = {}
        self.network_names: dict[tuple[UUID, str], UUID] = {}
        self.port_names: dict[tuple[UUID, str], UUID] = {}
        self.port_macs: dict[tuple[UUID, str], UUID] = {}
        self.port_addresses: dict[tuple[UUID, IPAddress], UUID] = {}
        self.underlay_ips: dict[IPv4Address, UUID] = {}  # endpoints of vNICs -> port
        self.hypervisor_names: dict[str, UUID] = {}
        self.hypervisor_remotes: dict[str, UUID] = {}
        self.vnis = NumberSpace()
        self.endpoints = Endpoints(tables)
        self.relations = _Relations(tables)
        self._complaints: dict[UUID, str] = {}
        self._started = False

    # Lookups; none scans more than its answer.

    def tenant(self, name: str) -> Tenant:
        """Return a tenant by name.  Raises NotFound, as the following do."""
        uuid = self.tenant_names.get(name)
        if uuid is None:
            raise NotFound("tenant", name)
        return self.tenants[uuid]

    def network(self, tenant: str, name: str) -> Network:
        """Return a network by its tenant's and its own name."""
        uuid = self.network_names.get((self.tenant(tenant).uuid, name))
        if uuid is None:
            raise NotFound("network", f"{tenant}/{name}")
        return self.networks[uuid]

    def port(self, tenant: str, network: str, name: str) -> Port:
        """Return a port by the names of tenant, network and port."""
        uuid = self.port_names.get((self.network(tenant, network).uuid, name))
        if uuid is None:
            raise NotFound("port", f"{tenant}/{network}/{name}")
        return self.ports[uuid]

    def hypervisor(self, name: str) -> Hypervisor:
        """Return a hypervisor by name."""
        uuid = self.hypervisor_names.get(name)
        if uuid is None:
            raise NotFound("hypervisor", name)
        return self.hypervisors[uuid]

    def networks_of(self, tenant: UUID) -> list[Network]:
        """Return the networks of a tenant, sorted by name."""
        return _sorted(self.networks, self.relations.networks_of(tenant))

    def ports_of(self, network: UUID) -> list[Port]:
        """Return the ports of a network, sorted by name."""
        return _sorted(self.ports, self.relations.ports_of(network))

    def path(self, item: Network | Port) -> str:
        """Return TENANT/NETWORK or TENANT/NETWORK/PORT."""
        if isinstance(item, Port):
            return f"{self.path(self.networks[item.network])}/{item.name}"
        return f"{self.tenants[item.tenant].name}/{item.name}"

    @property
    def settings_row(self) -> UUID | None:
        """Return the row that holds the settings; None while nobody has changed them."""
        return next(iter(self._tables["Settings"].rows), None)

    # Changes.

    def apply(self, dirty: Mapping[str, Iterable[UUID]]) -> NorthboundChanged:
        """Take over rows that were inserted, changed or deleted, by table; return the difference in model values."""
        touched = {table: set(dirty.get(table, ())) for table in TABLES}
        self.relations.update(touched, self.vnis)
        self.endpoints.update(touched["Underlay_Address"])
        changes = _Changes()
        if touched["Settings"] or not self._started:
            self._update_settings(changes)
        self._update(changes, "tenant", self.tenants, touched["Tenant"], self._tenant)
        for uuid in changes.uuids:
            touched["Network"] |= self.relations.networks_of(uuid)
        networks_before = {uuid: self.networks.get(uuid) for uuid in touched["Network"]}
        self._update(changes, "network", self.networks, touched["Network"], self._network)
        for uuid, before in networks_before.items():
            if _rules(before) != _rules(self.networks.get(uuid)):
                touched["Port"] |= self.relations.ports_of(uuid)
        self._update(changes, "port", self.ports, touched["Port"], self._port)
        self._update(changes, "hypervisor", self.hypervisors, touched["Hypervisor"], self._hypervisor)
        self._started = True
        return changes.event()

    def all_uuids(self) -> dict[str, set[UUID]]:
        """Return every row that is here or in the IDL, by table, for `apply` after a reconnect."""
        known: dict[str, Mapping[UUID, object]] = {
            "Tenant": self.tenants,
            "Network": self.networks,
            "Port": self.ports,
            "Hypervisor": self.hypervisors,
        }
        remembered = {table: self.relations.known(table) for table in TABLES} | {"Underlay_Address": self.endpoints.known()}
        return {table: set(self._tables[table].rows) | set(known.get(table, ())) | remembered[table] for table in TABLES}

    def _update_settings(self, changes: "_Changes") -> None:
        rows = self._tables["Settings"].rows
        settings = DEFAULT_SETTINGS
        for uuid in rows:
            row = rows[uuid]
            names = [name for name in row.encapsulation_order.split(",") if name in ENCAPSULATIONS]
            order = tuple(dict.fromkeys(names)) or DEFAULT_SETTINGS.encapsulation_order
            payload = row.sclp_payload[0] if row.sclp_payload else DEFAULT_SETTINGS.sclp_payload
            settings = Settings(order, payload, self._agent_pools(uuid, row))
        if settings != self.settings or not self._started:
            self.settings = settings
            changes.upserted.append(settings)

    def _agent_pools(self, uuid: UUID, row: Any) -> tuple[IPv4Network, ...]:
        try:
            pools = check.check_agent_pools(row.agent_pools, "agent_pools")
            _check_canonical(row.agent_pools, pools, "agent_pools")
        except ConfigError as error:
            if self._complaints.get(uuid) != str(error):
                self._complaints[uuid] = str(error)
                LOG.warning("NB database: agent_pools of the settings are left out: %s", error)
            return ()
        self._complaints.pop(uuid, None)
        return pools

    def _update(self, changes: "_Changes", kind: Kind, items: dict[UUID, _T], uuids: set[UUID], make: Callable[[Any], _T]) -> None:
        """Bring `items` up to date for some rows.  `make` raises ConfigError or _Hidden for a row to be left out."""
        rows = self._tables[kind.capitalize()].rows
        for uuid in uuids:
            before, after = items.get(uuid), None
            row = rows.get(uuid)
            if row is not None:
                after = self._try(kind, uuid, row, make)
            else:
                self._complaints.pop(uuid, None)
            if before == after:
                continue
            if before is not None:
                self._forget(before)
                del items[uuid]
            if after is not None:
                items[uuid] = after
                self._remember(after)
            changes.add(kind, uuid, after)

    def _try(self, kind: Kind, uuid: UUID, row: Any, make: Callable[[Any], _T]) -> _T | None:
        try:
            item = make(row)
        except ConfigError as error:
            if self._complaints.get(uuid) != str(error):
                self._complaints[uuid] = str(error)
                LOG.warning("NB database: %s row %s is left out: %s", kind, uuid, error)
        except _Hidden:
            self._complaints.pop(uuid, None)
        else:
            if self._complaints.pop(uuid, None):
                LOG.info("NB database: %s row %s is valid now", kind, uuid)
            return item
        return None

    # Rows to model values.

    def _tenant(self, row: Any) -> Tenant:
        return Tenant(row.uuid, ids.check_name(row.name, "name"))

    def _network(self, row: Any) -> Network:
        tenant = self.relations.tenant_of(row.uuid)
        if tenant not in self.tenants:
            raise _Hidden
        name = ids.check_name(row.name, "name")
        vni = check.check_vni(row.vni, "vni")
        encapsulation = check.check_encapsulation(row.encapsulation, "encapsulation")
        mtu = check.check_mtu(row.mtu, encapsulation, "mtu")
        pools = check.check_pools(row.pools, "pools")
        _check_canonical(row.pools, pools, "pools")
        if encapsulation == NONE and row.uuid != self.relations.flat_network():
            raise ConfigError("encapsulation", "none is another network's, which has a lower VNI", NONE)
        told = self._told(row, pools)
        return Network(row.uuid, tenant, name, vni, encapsulation, mtu, pools, **told)

    def _told(self, row: Any, pools: tuple[IPNetwork, ...]) -> dict[str, Any]:
        """Return what guests of a network are told."""
        servers = row.dns_servers.split(",") if row.dns_servers else []
        told: dict[str, Any] = {
            "gateways": check.check_gateways(row.gateways, pools, "gateways"),
            "dns_servers": check.check_dns_servers(servers, "dns_servers"),
            "routes": check.check_routes(list(row.routes.items()), pools, "routes"),
            "domain": check.check_domain(row.domain, "domain"),
        }
        if row.dhcp:
            told["dhcp"] = row.dhcp[0]
        if row.lease_s:
            told["lease_s"] = check.check_lease(row.lease_s[0], "lease_s")
        return told

    def _port(self, row: Any) -> Port:
        uuid = self.relations.network_of(row.uuid)
        network = self.networks.get(uuid)
        if network is None:
            raise _Hidden
        name = ids.check_name(row.name, "name")
        mac = ids.parse_mac(row.mac, "mac")
        _check_canonical([row.mac], [mac], "mac")
        texts = self.relations.addresses_of(row.uuid, "addresses")
        addresses = check.check_addresses(texts, network.pools, "addresses")
        _check_canonical(texts, addresses, "addresses")
        offload = check.check_offload(row.offload[0] if row.offload else NONE, "offload")
        underlay_ip = self._underlay_ip(row) if offload != NONE else None
        return Port(row.uuid, uuid, name, mac, addresses, row.port_security, offload, underlay_ip)

    def _underlay_ip(self, row: Any) -> IPv4Address:
        if not row.underlay_address:
            raise ConfigError("underlay_address", f"is not there; a port with offload {row.offload[0]} has one")
        text = row.underlay_address[0].ip
        try:
            address = IPv4Address(text)
        except ValueError:
            raise ConfigError("underlay_address", f"{text!r} is not an IPv4 address", text) from None
        if self.underlay_ips.get(address, row.uuid) != row.uuid:
            raise ConfigError("underlay_address", f"{text} is another port's, too", text)
        return address

    def _hypervisor(self, row: Any) -> Hypervisor:
        name, remote = ids.check_name(row.name, "name"), check.check_remote(row.remote, "remote")
        return Hypervisor(row.uuid, name, remote, seen.parse(row) if row.seen else None)

    # Indexes.

    def _remember(self, item: Tenant | Network | Port | Hypervisor) -> None:
        for index, key in self._keys(item):
            index[key] = item.uuid

    def _forget(self, item: Tenant | Network | Port | Hypervisor) -> None:
        for index, key in self._keys(item):
            if index.get(key) == item.uuid:  # else another took the name in the same update
                del index[key]

    def _keys(self, item: Tenant | Network | Port | Hypervisor) -> list[tuple[dict[Any, UUID], Any]]:
        match item:
            case Tenant():
                return [(self.tenant_names, item.name)]
            case Network():
                return [(self.network_names, (item.tenant, item.name))]
            case Port():
                return [
                    (self.port_names, (item.network, item.name)),
                    (self.port_macs, (item.network, item.mac)),
                    *((self.port_addresses, (item.network, address)) for address in item.addresses),
                    *([(self.underlay_ips, item.underlay_ip)] if item.underlay_ip is not None else []),
                ]
            case Hypervisor():
                return [(self.hypervisor_names, item.name), (self.hypervisor_remotes, item.remote)]


class _Changes:
    """Collects the difference; parents before children in `upserted`, children before parents in `deleted`."""

    def __init__(self) -> None:
        self.upserted: list[Tenant | Network | Port | Hypervisor | Settings] = []
        self.deleted: list[tuple[Kind, UUID]] = []
        self.uuids: list[UUID] = []

    def add(self, kind: Kind, uuid: UUID, item: Tenant | Network | Port | Hypervisor | None) -> None:
        self.uuids.append(uuid)
        if item is None:
            self.deleted.append((kind, uuid))
        else:
            self.upserted.append(item)

    def event(self) -> NorthboundChanged:
        return NorthboundChanged(tuple(self.upserted), tuple(reversed(self.deleted)))


class Endpoints:
    """The addresses of the underlay that tunnel endpoints of vNICs occupy, of all rows, valid or not.

    space: which are taken.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables
        self._numbers: dict[UUID, int] = {}
        self.space = NumberSpace()

    def known(self) -> set[UUID]:
        """Return the rows that are remembered here."""
        return set(self._numbers)

    def update(self, touched: Iterable[UUID]) -> None:
        """Take over rows."""
        rows = self._tables["Underlay_Address"].rows
        for uuid in touched:
            if (number := self._numbers.pop(uuid, None)) is not None:
                self.space.free(number)
        for uuid in touched:
            row = rows.get(uuid)
            try:
                number = int(IPv4Address(row.ip)) if row is not None else None
            except ValueError:
                continue  # occupies nothing that could be allocated
            if number is not None:
                self._numbers[uuid] = number
                self.space.take(number)


class _Relations:
    """Who refers to whom, of all rows, valid or not; and what they occupy."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables
        self._networks: dict[UUID, tuple[UUID, int, bool]] = {}  # network -> tenant, VNI, flat?
        self._ports: dict[UUID, tuple[UUID, tuple[UUID, ...]]] = {}  # port -> network, Address rows
        self._addresses: dict[UUID, tuple[UUID, str]] = {}  # Address row -> network, text
        self._networks_of: dict[UUID, set[UUID]] = {}  # tenant -> networks
        self._ports_of: dict[UUID, set[UUID]] = {}  # network -> ports
        self._addresses_of: dict[UUID, set[UUID]] = {}  # network -> Address rows
        self._owners: dict[UUID, set[UUID]] = {}  # Address row -> ports; more than one is wrong
        self._spaces: dict[UUID, AddressSpace] = {}  # network -> what is taken
        self._by_vni: dict[int, UUID] = {}
        self._flat: set[UUID] = set()

    def known(self, table: str) -> set[UUID]:
        """Return the rows of a table that are remembered here."""
        rows: Mapping[str, Mapping[UUID, object]]
        rows = {"Network": self._networks, "Port": self._ports, "Address": self._addresses}
        return set(rows.get(table, ()))

    def networks_of(self, tenant: UUID) -> set[UUID]:
        """Return the network rows of a tenant."""
        return self._networks_of.get(tenant, set())

    def ports_of(self, network: UUID) -> set[UUID]:
        """Return the port rows of a network."""
        return self._ports_of.get(network, set())

    def tenant_of(self, network: UUID) -> UUID:
        """Return the tenant of a network row."""
        return self._networks[network][0]

    def network_of(self, port: UUID) -> UUID:
        """Return the network of a port row."""
        return self._ports[port][0]

    def network_with_vni(self, vni: int) -> UUID | None:
        """Return the network row that has a VNI."""
        return self._by_vni.get(vni)

    def address_texts_of(self, network: UUID) -> dict[UUID, str]:
        """Return the Address rows of a network and what they say."""
        return {uuid: self._addresses[uuid][1] for uuid in self._addresses_of.get(network, ())}

    def address_rows_of(self, port: UUID) -> dict[str, UUID]:
        """Return what a port's Address rows say, and which they are; nothing for a port that is yet to come."""
        rows = self._ports[port][1] if port in self._ports else ()
        return {self._addresses[uuid][1]: uuid for uuid in rows if uuid in self._addresses}

    def space(self, network: UUID) -> AddressSpace:
        """Return which addresses of a network are taken."""
        return self._spaces.setdefault(network, AddressSpace())

    def flat_rows(self) -> set[UUID]:
        """Return the network rows with encapsulation NONE."""
        return self._flat

    def flat_network(self) -> UUID | None:
        """Return the flat network: the one with the lowest VNI, should another client have made several."""
        return min(self._flat, key=lambda uuid: self._networks[uuid][1], default=None)

    def addresses_of(self, port: UUID, path: str) -> list[str]:
        """Return what a port's Address rows say.  Raises ConfigError if one belongs elsewhere too."""
        network, rows = self._ports[port]
        texts = []
        for uuid in rows:
            owner, text = self._addresses.get(uuid, (None, ""))
            if owner != network:
                raise ConfigError(path, f"{text} is an address of another network", text)
            if len(self._owners[uuid]) > 1:
                raise ConfigError(path, f"{text} is an address of several ports", text)
            texts.append(text)
        return texts

    def update(self, touched: dict[str, set[UUID]], vnis: NumberSpace) -> None:
        """Take over rows; add to `touched` what they affect."""
        # What goes first, then what comes: within one update a VNI or an address may pass from one row to another.
        for uuid in touched["Address"]:
            self._drop_address(uuid)
        for uuid in touched["Address"]:
            self._add_address(uuid)
            touched["Port"] |= self._owners.get(uuid, set())
        for uuid in list(touched["Port"]):
            touched["Port"] |= self._drop_port(uuid) | self._add_port(uuid)
        flat = set(self._flat)
        for uuid in touched["Network"]:
            self._drop_network(uuid, vnis)
        for uuid in touched["Network"]:
            self._add_network(uuid, vnis)
        if touched["Network"]:
            touched["Network"] |= flat | self._flat

    def _drop_address(self, uuid: UUID) -> None:
        entry = self._addresses.pop(uuid, None)
        if entry is not None:
            _drop(self._addresses_of, entry[0], uuid)
            self._mark(entry, AddressSpace.free)

    def _add_address(self, uuid: UUID) -> None:
        row = self._tables["Address"].rows.get(uuid)
        if row is not None:
            entry = self._addresses[uuid] = (_reference(row, "network"), str(row.ip))
            self._addresses_of.setdefault(entry[0], set()).add(uuid)
            self._mark(entry, AddressSpace.take)

    def _mark(self, entry: tuple[UUID, str], mark: Callable[[AddressSpace, IPAddress], None]) -> None:
        try:
            address = ip_address(entry[1])
        except ValueError:
            return  # occupies nothing that could be allocated
        mark(self.space(entry[0]), address)

    def _drop_port(self, uuid: UUID) -> set[UUID]:
        """Return the ports that shared an Address row with this one."""
        affected: set[UUID] = set()
        entry = self._ports.pop(uuid, None)
        if entry is not None:
            _drop(self._ports_of, entry[0], uuid)
            for address in entry[1]:
                _drop(self._owners, address, uuid)
                affected |= self._owners.get(address, set())
        return affected

    def _add_port(self, uuid: UUID) -> set[UUID]:
        """Return the ports that share an Address row with this one."""
        affected: set[UUID] = set()
        row = self._tables["Port"].rows.get(uuid)
        if row is not None:
            entry = self._ports[uuid] = (_reference(row, "network"), tuple(other.uuid for other in row.addresses))
            self._ports_of.setdefault(entry[0], set()).add(uuid)
            for address in entry[1]:
                owners = self._owners.setdefault(address, set())
                affected |= owners
                owners.add(uuid)
        return affected

    def _drop_network(self, uuid: UUID, vnis: NumberSpace) -> None:
        entry = self._networks.pop(uuid, None)
        if entry is not None:
            _drop(self._networks_of, entry[0], uuid)
            vnis.free(entry[1])
            self._by_vni.pop(entry[1], None)
            self._flat.discard(uuid)

    def _add_network(self, uuid: UUID, vnis: NumberSpace) -> None:
        row = self._tables["Network"].rows.get(uuid)
        if row is None:
            self._spaces.pop(uuid, None)
            return
        entry = self._networks[uuid] = (_reference(row, "tenant"), int(row.vni), row.encapsulation == NONE)
        self._networks_of.setdefault(entry[0], set()).add(uuid)
        vnis.take(entry[1])
        self._by_vni[entry[1]] = uuid
        if entry[2]:
            self._flat.add(uuid)


def _reference(row: Any, column: str) -> UUID:
    """Return the uuid in a reference column, whether or not the IDL has the row."""
    other = getattr(row, column)
    uuid: UUID = getattr(other, "uuid", other)
    return uuid


def _drop(index: dict[UUID, set[UUID]], key: UUID, uuid: UUID) -> None:
    members = index.get(key)
    if members is not None:
        members.discard(uuid)
        if not members:
            del index[key]


def _rules(network: Network | None) -> object:
    """Return what of a network decides whether its ports are valid."""
    return None if network is None else (network.pools, network.encapsulation == NONE)


def _sorted(items: Mapping[UUID, _T], uuids: Iterable[UUID]) -> list[_T]:
    return sorted((items[uuid] for uuid in uuids if uuid in items), key=lambda item: item.name)


def _check_canonical(texts: Iterable[str], values: Iterable[object], path: str) -> None:
    """Raise ConfigError unless all texts are spelt as we spell them.

    Else the database's indexes would take one value in two spellings for two.
    """
    spelt = {str(value) for value in values}
    for text in texts:
        if text not in spelt:
            raise ConfigError(path, f"{text!r} is not in canonical form", text)
