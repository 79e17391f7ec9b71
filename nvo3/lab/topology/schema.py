"""What a topology file may say (pydantic), before names are compared with one another."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator

from nvo3.model.errors import ConfigError
from nvo3.model.ids import VNI_MAX, VNI_MIN, check_name, parse_mac
from nvo3.model.logical import AUTO, MTU_MAX, MTU_MIN, NONE, OFFLOADS
from nvo3.model.physical import ENCAPSULATIONS

HYPERVISORS_MAX = 200  # management addresses of a /24, less the controller's and a margin
GUESTS_MAX = 500

Wire = Literal["tso", "gso"]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; quote it")
    return value


def _checked(check: Callable[[str, str], str]) -> Callable[[Any], str]:
    """Let pydantic see the ConfigError of one of the model's own checks."""

    def validate(value: Any) -> str:
        try:
            return check(_text(value), "")
        except ConfigError as error:
            raise ValueError(error.message) from None

    return validate


def _address(value: Any) -> IPv4Address | IPv6Address:
    try:
        return ip_address(_text(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IPv4 or IPv6 address") from None


def _pool(value: Any) -> IPv4Network | IPv6Network:
    try:
        return ip_network(_text(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not a prefix: {error}" if "host bits" in str(error) else f"{value!r} is not a prefix") from None


def _encapsulation(value: Any) -> str:
    known = (AUTO, NONE, *ENCAPSULATIONS)
    if value not in known:
        raise ValueError(f"{value!r} is not one of {', '.join(known)}")
    return str(value)


def _offload(value: Any) -> str:
    if value not in OFFLOADS:
        raise ValueError(f"{value!r} is not one of {', '.join(OFFLOADS)}")
    return str(value)


def _hypervisor_names(value: Any) -> Any:
    """Accept a list of names, or a mapping from names to nothing (the place for options to come)."""
    if not isinstance(value, dict):
        return value
    for name, options in value.items():
        if options not in (None, {}):
            raise ValueError(f"{name}: {options!r} given, but a hypervisor takes no options")
    return list(value)


_as_text = PlainSerializer(str)
Name = Annotated[str, BeforeValidator(_checked(check_name))]
MacText = Annotated[str, BeforeValidator(_checked(parse_mac))]
Address = Annotated[IPv4Address | IPv6Address, PlainValidator(_address), _as_text]
Pool = Annotated[IPv4Network | IPv6Network, PlainValidator(_pool), _as_text]


class Spec(BaseModel):
    """Base: no unknown fields, no coercion, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RouteSpec(Spec):
    """A route for guests."""

    destination: Pool
    nexthop: Address


class NetworkSpec(Spec):
    """An L2 overlay.  What is not given is left to the API's defaults."""

    vni: Annotated[int, Field(ge=VNI_MIN, le=VNI_MAX)] | None = None
    encapsulation: Annotated[str, BeforeValidator(_encapsulation)] | None = None
    mtu: Annotated[int, Field(ge=MTU_MIN, le=MTU_MAX)] | None = None
    pools: list[Pool] = []
    dhcp: bool | None = None
    gateways: list[Address] | None = None
    dns_servers: list[Address] | None = None
    routes: list[RouteSpec] | None = None
    domain: str | None = None
    lease_s: int | None = None


class TenantSpec(Spec):
    """A tenant and its networks by name."""

    networks: dict[Name, NetworkSpec]


class GuestSpec(Spec):
    """A guest and its one port, which carries its name."""

    name: Name
    tenant: str
    network: str
    hypervisor: str
    addresses: list[Address] | None = None
    mac: MacText | None = None
    port_security: bool | None = None
    offload: Annotated[str, BeforeValidator(_offload)] | None = None


class Topology(Spec):
    """A whole lab."""

    hypervisors: Annotated[list[Name], BeforeValidator(_hypervisor_names), Field(min_length=1, max_length=HYPERVISORS_MAX)]
    tenants: dict[Name, TenantSpec]
    guests: Annotated[list[GuestSpec], Field(max_length=GUESTS_MAX)] = []

    def network(self, tenant: str, network: str) -> NetworkSpec | None:
        """Return a network by its names, None if there is none."""
        spec = self.tenants.get(tenant)
        return spec.networks.get(network) if spec else None
