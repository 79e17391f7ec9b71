"""A document with whole tenants, brought about in one transaction: what it has not is deleted, what it has is made or changed.

As with `command.put_…`: a field that is left out is the default, and what would be allocated stays as it is.  Names that change places,
a MAC or an address that passes from one port to another are nothing special: what counts is the state afterwards.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal
from uuid import UUID, uuid4

from nvo3.model import check, ids
from nvo3.model.errors import ConfigError, Conflict
from nvo3.model.ids import Mac, Vni
from nvo3.model.logical import NONE, Network, Port, Route, Tenant
from nvo3.ovsdb import command
from nvo3.ovsdb.northbound import Change, Northbound

Fields = Mapping[str, Any]

# What of the model's values is not configuration that a document has.
_INTERNAL = ("uuid", "tenant", "network", "name", "underlay_ip")


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """fields: of `command.network_with`.  ports: by name, fields of `command.port_with`."""

    fields: Fields
    ports: Mapping[str, Fields]


Document = Mapping[str, Mapping[str, NetworkSpec]]  # tenant -> network


@dataclass(frozen=True, slots=True)
class Difference:
    """name: TENANT, TENANT/NETWORK or TENANT/NETWORK/PORT.

    fields: (name, before, after), as JSON has them; before is None for what is new.
    """

    action: Literal["create", "change", "delete"]
    kind: Literal["tenant", "network", "port"]
    name: str
    fields: tuple[tuple[str, Any, Any], ...] = ()


def apply(northbound: Northbound, document: Document, *, dry_run: bool = False) -> list[Difference]:
    """Bring a document about, or only say what that would change.

    Raises ConfigError and Conflict, whose paths are those in the document, and Unavailable.
    """

    def compose(change: Change) -> list[Difference]:
        return _Application(change, document).compose()

    return northbound.rehearse(compose) if dry_run else northbound.transact(compose)


def export(northbound: Northbound, tenants: Iterable[Tenant]) -> dict[str, Any]:
    """Return the document, as JSON, that brings about what tenants have now."""
    view = northbound.view
    return {
        tenant.name: {
            "networks": {
                network.name: {**_values(network), "ports": {port.name: _values(port) for port in view.ports_of(network.uuid)}}
                for network in view.networks_of(tenant.uuid)
            }
        }
        for tenant in tenants
    }


def _values(item: Network | Port) -> dict[str, Any]:
    """Return an object's configuration, as JSON has it."""
    shown = {one.name: getattr(item, one.name) for one in fields(item) if one.name not in _INTERNAL}
    return {name: [_plain(one) for one in value] if isinstance(value, tuple) else value for name, value in shown.items()}


def _plain(value: Any) -> Any:
    """Return a member of a list, as JSON has it."""
    return {name: str(text) for name, text in asdict(value).items()} if isinstance(value, Route) else str(value)


def _differences(before: Network | Port | None, after: Network | Port) -> tuple[tuple[str, Any, Any], ...]:
    old, new = _values(before) if before is not None else {}, _values(after)
    return tuple((name, old.get(name), value) for name, value in new.items() if before is None or old[name] != value)


@contextmanager
def _at(path: str) -> Iterator[None]:
    """Put the place in the document before the path of an error."""
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"{path}.{error.path}", error.message, error.value, error.limit) from None
    except Conflict as error:
        raise Conflict(error.message, f"{path}.{error.path}" if error.path else path, error.value) from None


@dataclass(slots=True)
class _Wanted:
    """A network of the document.  before: as it is, None where it is new.  path: of the document.  name: TENANT/NETWORK."""

    spec: NetworkSpec
    before: Network | None
    base: Network
    path: str
    name: str
    is_vni_given: bool


@dataclass(slots=True)
class _Application:
    """One transaction."""

    change: Change
    document: Document
    differences: list[Difference] = field(default_factory=list)

    def compose(self) -> list[Difference]:
        wanted: list[_Wanted] = []
        gone: list[Network] = []
        for name, networks in self.document.items():
            tenant = self._tenant(name)
            existing = {network.name: network for network in self.change.view.networks_of(tenant.uuid)}
            gone += [network for network in existing.values() if network.name not in networks]
            wanted += [self._wanted(tenant, key, spec, existing.get(key)) for key, spec in networks.items()]
        for network in gone:
            self._delete_network(network)
        for after, one in self._networks(wanted, {network.uuid for network in gone}):
            _Ports(self.change, self.differences, after, one).compose()
        return self.differences

    def _tenant(self, name: str) -> Tenant:
        view = self.change.view
        if name in view.tenant_names:
            return view.tenant(name)
        with _at("tenants"):
            tenant = Tenant(uuid4(), ids.check_name(name, name))
        self.change.insert("Tenant", tenant.uuid, name=name)
        self.differences.append(Difference("create", "tenant", name))
        return tenant

    def _wanted(self, tenant: Tenant, name: str, spec: NetworkSpec, before: Network | None) -> _Wanted:
        path = f"tenants.{tenant.name}.networks"
        with _at(path):
            base = before or Network(uuid4(), tenant.uuid, ids.check_name(name, name), Vni(0))
        if before is None and "vni" in spec.fields:
            self.change.claim_vni(spec.fields["vni"])
        return _Wanted(spec, before, base, f"{path}.{name}", f"{tenant.name}/{name}", "vni" in spec.fields)

    def _delete_network(self, network: Network) -> None:
        view = self.change.view
        for port in view.ports_of(network.uuid):
            self.differences.append(Difference("delete", "port", view.path(port)))
            self.change.delete("Port", port.uuid)
        self.differences.append(Difference("delete", "network", view.path(network)))
        self.change.delete("Network", network.uuid)
        # The database looks for references before it deletes what nobody refers to any more.
        self.change.delete_where("Address", [["network", "==", ["uuid", str(network.uuid)]]])

    def _networks(self, wanted: list[_Wanted], gone: set[UUID]) -> list[tuple[Network, _Wanted]]:
        """Write the networks; return each as it will be."""
        result = []
        for one in wanted:
            with _at(one.path):
                base = one.base if one.before is not None or one.is_vni_given else replace(one.base, vni=command.allocate_vni(self.change))
                result.append((command.network_with(base, **one.spec.fields), one))
        self._check_vnis(result, gone)
        self._check_flat(result, gone)
        for after, one in result:
            columns = command.network_columns(one.before, after)
            if one.before is None:
                self.change.insert("Network", after.uuid, tenant=after.tenant, **columns)
            elif columns:
                self.change.update("Network", after.uuid, **columns)
            if one.before != after:
                action: Literal["create", "change"] = "create" if one.before is None else "change"
                self.differences.append(Difference(action, "network", one.name, _differences(one.before, after)))
        return result

    def _check_vnis(self, result: list[tuple[Network, _Wanted]], gone: set[UUID]) -> None:
        view, ours = self.change.view, {after.uuid for after, _ in result} | gone
        taken: dict[int, str] = {}
        for after, one in result:
            other = view.relations.network_with_vni(after.vni)
            user = taken.get(after.vni) or (command.shown_network(view, other) if other is not None and other not in ours else None)
            if user is not None:
                raise Conflict(f"{after.vni}: taken by network {user}", f"{one.path}.vni", after.vni)
            taken[after.vni] = one.name

    def _check_flat(self, result: list[tuple[Network, _Wanted]], gone: set[UUID]) -> None:
        flat = [(after, one) for after, one in result if after.encapsulation == NONE]
        if not flat:
            return
        view, ours = self.change.view, {after.uuid for after, _ in result} | gone
        users = [one.name for _, one in flat[1:]] + [command.shown_network(view, uuid) for uuid in view.relations.flat_rows() - ours]
        if users:
            path = f"{flat[0][1].path}.encapsulation"
            raise Conflict(f"only one network can have {NONE}, and network {users[0]} has it", path, NONE)
        self.change.require("Network", [["encapsulation", "==", NONE]], "_uuid", [["uuid", str(flat[0][0].uuid)]])


@dataclass(slots=True)
class _Ports:
    """The ports of a network of the document.  network: as it will be."""

    change: Change
    differences: list[Difference]
    network: Network
    wanted: _Wanted
    _macs: dict[Mac, str] = field(default_factory=dict)
    _addresses: dict[Any, str] = field(default_factory=dict)

    def compose(self) -> None:
        view, specs = self.change.view, self.wanted.spec.ports
        before = {port.name: port for port in view.ports_of(self.network.uuid)} if self.wanted.before is not None else {}
        for name, port in before.items():
            if name not in specs:
                self.differences.append(Difference("delete", "port", view.path(port)))
                self.change.delete("Port", port.uuid)
        after = {name: self._port(name, given, before.get(name)) for name, given in specs.items()}
        # What is given goes before what is allocated.
        for name, port in after.items():
            self._claim(name, port, is_mac_given="mac" in specs[name] or name in before)
        texts = view.relations.address_texts_of(self.network.uuid) if self.wanted.before is not None else {}
        rows = {text: uuid for uuid, text in texts.items()}
        known = set(rows.values())
        for name, port in after.items():
            known |= self._write(name, specs[name], before.get(name), port, rows)
        self._hold_pools(known)

    def _port(self, name: str, given: Fields, before: Port | None) -> Port:
        with _at(f"{self.wanted.path}.ports"):
            base = before or Port(uuid4(), self.network.uuid, ids.check_name(name, name), Mac("00:00:00:00:00:00"))
        with _at(f"{self.wanted.path}.ports.{name}"):
            port = command.port_with(base, self.network.pools, **given)
            check.check_addresses([str(address) for address in port.addresses], self.network.pools, "addresses")
        return port

    def _claim(self, name: str, port: Port, *, is_mac_given: bool) -> None:
        path = f"{self.wanted.path}.ports.{name}"
        if is_mac_given:
            if port.mac in self._macs:
                raise Conflict(f"{port.mac}: taken by port {self.wanted.name}/{self._macs[port.mac]}", f"{path}.mac", port.mac)
            self._macs[port.mac] = name
        for address in port.addresses:
            if address in self._addresses:
                user = f"{self.wanted.name}/{self._addresses[address]}"
                raise Conflict(f"{address}: taken by port {user}", f"{path}.addresses", str(address))
            self._addresses[address] = name
            self.change.claim_address(self.network.uuid, address)

    def _write(self, name: str, given: Fields, before: Port | None, after: Port, rows: dict[str, UUID]) -> set[UUID]:
        """Write a port; return its Address rows."""
        if before is None and "mac" not in given:
            after = replace(after, mac=command.random_mac(self._macs.__contains__))
            self._macs[after.mac] = name
        with _at(f"{self.wanted.path}.ports.{name}"):
            if before is None and "addresses" not in given:
                after = replace(after, addresses=command.allocate_addresses(self.change, self.network, after.mac))
            after, columns = command.write_port(self.change, before, after, rows)
        if before is None:
            self.change.insert("Port", after.uuid, network=self.network.uuid, **columns)
        elif columns:
            self.change.update("Port", after.uuid, **columns)
        if before != after:
            action: Literal["create", "change"] = "create" if before is None else "change"
            self.differences.append(Difference(action, "port", f"{self.wanted.name}/{name}", _differences(before, after)))
        return set(columns.get("addresses", ()))

    def _hold_pools(self, address_rows: set[UUID]) -> None:
        """Have no port come meanwhile whose addresses the pools do not have any more, and no other pools.

        address_rows: all of the network, also those that go when the transaction commits.
        """
        before = self.wanted.before
        if before is not None and not set(before.pools) <= set(self.network.pools):
            where = [["network", "==", ["uuid", str(self.network.uuid)]]]
            self.change.require("Address", where, "_uuid", [["uuid", str(uuid)] for uuid in address_rows])
        if address_rows:
            command.require_pools(self.change, self.network)
