"""A topology file -> Topology, or every problem that it has with its line and column."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nvo3.lab.errors import LabError, TopologyInvalid
from nvo3.lab.names import RESERVED
from nvo3.lab.topology import source
from nvo3.lab.topology.schema import GuestSpec, NetworkSpec, RouteSpec, TenantSpec, Topology

Finding = tuple[source.Path, str]

_KINDS = {
    "int_type": "a whole number",
    "string_type": "text; quote it",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true or false",
}


def load(path: Path) -> Topology:
    """Read a topology file.

    Raises LabError if it cannot be read, TopologyInvalid with all its problems if it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: not UTF-8 at byte {error.start}") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Topology:
    """Return the topology in `text`; `file` is what problems call it.  Raises TopologyInvalid."""
    document = source.Document(text)
    problems = list(document.problems)
    if not problems and document.data is None:
        problems = [source.Problem(None, (), "is empty; a topology has hypervisors, tenants and guests")]
    topology = None
    if not problems:
        topology, findings = _validate(document.data)
        problems = [document.problem(*finding) for finding in findings]
    if topology is None or problems:
        problems.sort(key=lambda problem: (problem.mark.line, problem.mark.column) if problem.mark else (0, 0))
        raise TopologyInvalid([problem.format(file) for problem in problems])
    return topology


def _validate(data: Any) -> tuple[Topology | None, list[Finding]]:
    if not isinstance(data, dict):
        return None, [((), f"{data!r} is not a mapping with hypervisors, tenants and guests"[:200])]
    try:
        topology = Topology.model_validate(data)
    except ValidationError as error:
        return None, [_finding(dict(one)) for one in error.errors(include_url=False)]
    return topology, list(cross_check(topology))


def _finding(error: dict[str, Any]) -> Finding:
    """Say an error of pydantic in our words: the value seen and the limit."""
    loc = tuple(step for step in error["loc"] if step != "[key]")
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        message = f"unknown field; known: {', '.join(_fields(loc[:-1]))}"
    elif kind == "missing":
        message = "is missing"
    elif kind == "less_than_equal":
        message = f"{value} exceeds {context['le']}"
    elif kind == "greater_than_equal":
        message = f"{value} is below {context['ge']}"
    elif kind in ("too_long", "too_short"):
        message = f"{context['actual_length']} entries; {'at most' if kind == 'too_long' else 'at least'} {_limit(context)}"
    elif kind in _KINDS:
        message = f"{_shortened(value)} is not {_KINDS[kind]}"
    else:
        message = str(error["msg"]).removeprefix("Value error, ")
    return loc, message


def _limit(context: dict[str, Any]) -> Any:
    return context.get("max_length", context.get("min_length"))


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(loc: source.Path) -> tuple[str, ...]:
    """Return the fields of the mapping at `loc`."""
    model: Any = Topology
    if loc[:1] == ("guests",):
        model = GuestSpec
    elif loc[:1] == ("tenants",):
        model = TenantSpec if len(loc) == 2 else RouteSpec if "routes" in loc[4:] else NetworkSpec
    return tuple(model.model_fields)


def cross_check(topology: Topology) -> Iterator[Finding]:
    """Compare the names, numbers and addresses of a topology with one another; yield what does not fit."""
    yield from _check_nodes(topology)
    yield from _check_networks(topology)
    for index, guest in enumerate(topology.guests):
        yield from _check_guest(topology, index, guest)
    yield from _check_unique(topology)


def _check_nodes(topology: Topology) -> Iterator[Finding]:
    """Hypervisors and guests are namespaces of one lab: one name each."""
    seen: dict[str, str] = dict.fromkeys(RESERVED, "a namespace of the lab itself")
    nodes: list[tuple[source.Path, str, str]] = [
        (("hypervisors", index), name, "a hypervisor") for index, name in enumerate(topology.hypervisors)
    ]
    nodes += [(("guests", index, "name"), guest.name, "a guest") for index, guest in enumerate(topology.guests)]
    for path, name, kind in nodes:
        if name in seen:
            yield path, f"{name!r} is already the name of {seen[name]}"
        seen.setdefault(name, kind)


def _check_networks(topology: Topology) -> Iterator[Finding]:
    vnis: dict[int, str] = {}
    flat: str | None = None
    for tenant, spec in topology.tenants.items():
        for name, network in spec.networks.items():
            path: source.Path = ("tenants", tenant, "networks", name)
            if network.vni is not None and network.vni in vnis:
                yield (*path, "vni"), f"{network.vni} is already the vni of {vnis[network.vni]}"
            if network.vni is not None:
                vnis.setdefault(network.vni, f"{tenant}/{name}")
            if network.encapsulation == "none":
                if flat:
                    yield (
                        (*path, "encapsulation"),
                        f"'none' is already the encapsulation of {flat}; one flat network at most",
                    )
                flat = flat or f"{tenant}/{name}"
            yield from _check_pools(path, network)


def _check_pools(path: source.Path, network: NetworkSpec) -> Iterator[Finding]:
    for (_, one), (index, other) in combinations(enumerate(network.pools), 2):
        if one.version == other.version and one.overlaps(other):
            yield (*path, "pools", index), f"{other} overlaps {one}"


def _check_guest(topology: Topology, index: int, guest: GuestSpec) -> Iterator[Finding]:
    path: source.Path = ("guests", index)
    if guest.hypervisor not in topology.hypervisors:
        yield (*path, "hypervisor"), f"{guest.hypervisor!r} is not one of {', '.join(topology.hypervisors)}"
    if guest.tenant not in topology.tenants:
        yield (*path, "tenant"), f"{guest.tenant!r} is not one of {', '.join(topology.tenants) or '(no tenant)'}"
        return
    network = topology.network(guest.tenant, guest.network)
    if network is None:
        known = ", ".join(topology.tenants[guest.tenant].networks) or "(no network)"
        yield (*path, "network"), f"{guest.network!r} is not one of {known} of tenant {guest.tenant}"
        return
    for number, address in enumerate(guest.addresses or ()):
        if not any(address.version == pool.version and address in pool for pool in network.pools):
            pools = ", ".join(map(str, network.pools)) or "no pools"
            yield (
                (*path, "addresses", number),
                f"{address} is outside of {guest.tenant}/{guest.network}'s pools ({pools})",
            )


def _check_unique(topology: Topology) -> Iterator[Finding]:
    """A MAC or an address is used once in a network."""
    seen: dict[tuple[str, str, str], str] = {}
    for index, guest in enumerate(topology.guests):
        values: list[tuple[source.Path, str]] = [
            (("guests", index, "addresses", number), str(address)) for number, address in enumerate(guest.addresses or ())
        ]
        if guest.mac:
            values.append((("guests", index, "mac"), guest.mac))
        for path, value in values:
            key = (guest.tenant, guest.network, value)
            if key in seen:
                yield path, f"{value} is already guest {seen[key]}'s in {guest.tenant}/{guest.network}"
            seen.setdefault(key, guest.name)
