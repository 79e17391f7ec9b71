"""`nvo3 network …`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common, complete
from nvo3.cli.common import Api, Output, OutputAs, Timeout, Wait
from nvo3.model.logical import AUTO, NONE
from nvo3.model.physical import ENCAPSULATIONS

app = common.new_group("Networks, the L2 overlays of tenants.")

_FORM = "TENANT/NETWORK"
Path = Annotated[
    str, typer.Argument(metavar=_FORM, help="Names of the tenant and of the network.", autocompletion=complete.names("networks"))
]
Vni = Annotated[int | None, typer.Option(help="VXLAN network identifier, 1 to 16777215.")]
Encapsulation = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"{AUTO}: the best that each pair of hypervisors shares; {', '.join(ENCAPSULATIONS)}; {NONE}: flat.",
        autocompletion=lambda: [AUTO, NONE, *ENCAPSULATIONS],
    ),
]
Mtu = Annotated[int | None, typer.Option(metavar="BYTES", help="Bytes of IP that guests may send, 1280 to 65000.")]
Pool = Annotated[
    list[str] | None,
    typer.Option(metavar="PREFIX", help="Where addresses come from, as 10.0.0.0/24 or fd00::/64.  Can be repeated."),
]
Dhcp = Annotated[bool | None, typer.Option("--dhcp/--no-dhcp", help="Tell guests their addresses, by DHCP and router advertisements.")]
Gateway = Annotated[
    list[str] | None,
    typer.Option(metavar="ADDRESS", help="Whom guests send by what leaves the network, one of each family.  Can be repeated."),
]
DnsServer = Annotated[
    list[str] | None, typer.Option(metavar="ADDRESS", help="A resolver for guests, the preferred first.  Can be repeated.")
]
Route = Annotated[
    list[str] | None,
    typer.Option(metavar="DESTINATION=NEXTHOP", help="A route for guests, as 192.168.0.0/16=10.0.0.254.  Can be repeated."),
]
Domain = Annotated[str | None, typer.Option(metavar="NAME", help="What guests search names in.")]
Lease = Annotated[int | None, typer.Option("--lease", metavar="SECONDS", help="How long what DHCP tells is valid, 3600 unless given.")]


def _routes(texts: list[str] | None) -> list[dict[str, str]] | None:
    if texts is None:
        return None
    parts = [text.partition("=") for text in texts]
    for text, (_, sign, _) in zip(texts, parts, strict=True):
        if not sign:
            raise typer.BadParameter(f"{text!r} is not DESTINATION=NEXTHOP", param_hint="--route")
    return [{"destination": destination, "nexthop": nexthop} for destination, _, nexthop in parts]


def _path(network: str) -> str:
    from nvo3.api.client import item_path

    tenant, name = common.split(network, _FORM)
    return item_path("tenants", tenant, "networks", name)


def _row(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "NETWORK": f"{item['tenant']}/{item['name']}",
        "VNI": item["vni"],
        "ENCAPSULATION": item["encapsulation"],
        "MTU": item["mtu"],
        "POOLS": item["pools"],
        "HYPERVISORS": item["status"]["hypervisors"],
        "DETAIL": item["status"]["detail"],
    }


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    tunnels = [f"{pair['from']}-{pair['to']}:{pair['encapsulation'] or 'none shared'}" for pair in item["status"]["encapsulations"]]
    routes = [f"{route['destination']}={route['nexthop']}" for route in item["routes"]]
    told = {
        "DHCP": item["dhcp"],
        "GATEWAYS": item["gateways"],
        "DNS SERVERS": item["dns_servers"],
        "ROUTES": routes,
        "DOMAIN": item["domain"],
        "LEASE": item["lease_s"],
    }
    return {**_row(item), **told, "TUNNELS": tunnels, "UUID": item["uuid"]}


@app.command("list")
def list_networks(
    tenant: Annotated[
        str | None, typer.Argument(metavar="[TENANT]", help="Only this tenant's.", autocompletion=complete.names("tenants"))
    ] = None,
    encapsulation: Annotated[str | None, typer.Option(metavar="NAME", help="Only with this setting.")] = None,
    hypervisor: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only those that this hypervisor hosts.", autocompletion=complete.names("hypervisors")),
    ] = None,
    vni: Annotated[int | None, typer.Option(help="Only with this VNI.")] = None,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """List the networks of a tenant, or of all."""
    from nvo3.api.client import item_path

    with common.connected(api) as client:
        path = item_path("tenants", *common.split(tenant, "TENANT"), "networks") if tenant else item_path("networks")
        items = client.items(path, encapsulation=encapsulation, hypervisor=hypervisor, vni=vni)
    common.show_list(items, [_row(item) for item in items], output)


@app.command()
def show(network: Path, api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """Show a network, and which hypervisors host it with which encapsulation between them."""
    with common.connected(api) as client:
        item = client.get(_path(network))
    common.show_item(item, _fields(item), output)


@app.command()
def create(
    network: Path,
    vni: Vni = None,
    encapsulation: Encapsulation = None,
    mtu: Mtu = None,
    pool: Pool = None,
    dhcp: Dhcp = None,
    gateway: Gateway = None,
    dns_server: DnsServer = None,
    route: Route = None,
    domain: Domain = None,
    lease: Lease = None,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Create a network.

    Without --vni the lowest free one from 5000 is taken, without --pool the network is pure L2.

    As in: nvo3 network create red/web --pool 10.0.0.0/24 --pool fd00::/64
    """
    path = _path(network).rpartition("/")[0]
    told = {"gateways": gateway, "dns_servers": dns_server, "routes": _routes(route), "domain": domain, "lease_s": lease}
    name = common.split(network, _FORM)[1]
    body = common.given(name=name, vni=vni, encapsulation=encapsulation, mtu=mtu, pools=pool, dhcp=dhcp, **told)
    with common.connected(api) as client:
        item = client.post(path, body, **common.query(wait, timeout))
    common.show_item(item, _fields(item), output)


@app.command("set")
def set_network(
    network: Path,
    name: Annotated[str | None, typer.Option(help="Rename it.")] = None,
    vni: Vni = None,
    encapsulation: Encapsulation = None,
    mtu: Mtu = None,
    pool: Pool = None,
    no_pool: Annotated[bool, typer.Option("--no-pool", help="Take all pools away.")] = False,
    dhcp: Dhcp = None,
    gateway: Gateway = None,
    no_gateway: Annotated[bool, typer.Option("--no-gateway", help="Take all gateways away.")] = False,
    dns_server: DnsServer = None,
    no_dns_server: Annotated[bool, typer.Option("--no-dns-server", help="Take all DNS servers away.")] = False,
    route: Route = None,
    no_route: Annotated[bool, typer.Option("--no-route", help="Take all routes away.")] = False,
    domain: Domain = None,
    lease: Lease = None,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Change a network.  --pool names all pools that it is to have; --gateway, --dns-server, --route likewise."""
    told = {
        "gateways": common.values(gateway, no_gateway, "gateway"),
        "dns_servers": common.values(dns_server, no_dns_server, "dns-server"),
        "routes": _routes(common.values(route, no_route, "route")),
        "domain": domain,
        "lease_s": lease,
    }
    pools = common.values(pool, no_pool, "pool")
    body = common.given(name=name, vni=vni, encapsulation=encapsulation, mtu=mtu, pools=pools, dhcp=dhcp, **told)
    with common.connected(api) as client:
        item = client.patch(_path(network), body, **common.query(wait, timeout))
    common.show_item(item, _fields(item), output)


@app.command()
def delete(network: Path, wait: Wait = False, timeout: Timeout = common.TIMEOUT_DEFAULT_S, api: Api = common.API_DEFAULT) -> None:
    """Delete a network that has no ports."""
    with common.connected(api) as client:
        client.delete(_path(network), **common.query(wait, timeout))
