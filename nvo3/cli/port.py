"""`nvo3 port …`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common, complete
from nvo3.cli.common import Api, Output, OutputAs, Timeout, Wait
from nvo3.model.logical import OFFLOADS

app = common.new_group("Ports, where guests are attached to networks.")

_FORM = "TENANT/NETWORK/PORT"
Path = Annotated[str, typer.Argument(metavar=_FORM, help="Names of tenant, network and port.", autocompletion=complete.names("ports"))]
Mac = Annotated[str | None, typer.Option(metavar="MAC", help="Unicast MAC address, as 02:00:00:00:00:01.")]
Address = Annotated[list[str] | None, typer.Option(metavar="IP", help="An address of the network's pools.  Can be repeated.")]
NoAddress = Annotated[bool, typer.Option("--no-address", help="Have no addresses.")]
PortSecurity = Annotated[
    bool | None,
    typer.Option("--port-security/--no-port-security", help="Whether only the port's own addresses may be sent from."),
]
Offload = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(OFFLOADS),
        help="cvsw: an agent in the guest's vNIC encapsulates, programmed by the controller.",
        autocompletion=lambda: list(OFFLOADS),
    ),
]


def _path(port: str, *more: str) -> str:
    from nvo3.api.client import item_path

    tenant, network, name = common.split(port, _FORM)
    return item_path("tenants", tenant, "networks", network, "ports", name, *more)


def _row(item: dict[str, Any]) -> dict[str, Any]:
    status = item["status"]
    return {
        "PORT": f"{item['tenant']}/{item['network']}/{item['name']}",
        "MAC": item["mac"],
        "ADDRESSES": item["addresses"],
        "STATE": status["state"],
        "HYPERVISOR": status["hypervisor"],
        "UUID": item["uuid"],
        "DETAIL": status["detail"],
    }


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    status = item["status"]
    return _row(item) | {
        "INTERFACE": status["interface"],
        "OFPORT": status["ofport"],
        "PORT SECURITY": item["port_security"],
        "OFFLOAD": item["offload"],
        "UNDERLAY IP": item["underlay_ip"],
    }


@app.command("list")
def list_ports(
    network: Annotated[
        str | None, typer.Argument(metavar="[TENANT/NETWORK]", help="Only this network's.", autocompletion=complete.names("networks"))
    ] = None,
    mac: Annotated[str | None, typer.Option(metavar="MAC", help="Only with this MAC address.")] = None,
    address: Annotated[str | None, typer.Option(metavar="IP", help="Only with this address.")] = None,
    hypervisor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those bound there.", autocompletion=complete.names("hypervisors"))
    ] = None,
    state: Annotated[str | None, typer.Option(metavar="unbound|pending|up", help="Only in this state.")] = None,
    offload: Annotated[str | None, typer.Option(metavar="|".join(OFFLOADS), help="Only with this setting.")] = None,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """List the ports of a network, or of all, and their state."""
    from nvo3.api.client import item_path

    path = item_path("ports")
    if network is not None:
        tenant, name = common.split(network, "TENANT/NETWORK")
        path = item_path("tenants", tenant, "networks", name, "ports")
    with common.connected(api) as client:
        items = client.items(path, mac=mac, address=address, hypervisor=hypervisor, state=state, offload=offload)
    common.show_list(items, [_row(item) for item in items], output)


@app.command()
def show(
    port: Path,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the port is up.", rich_help_panel="Common")] = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Show a port and where it is bound."""
    with common.connected(api) as client:
        item = client.get(_path(port), **common.query(wait, timeout, "up"))
    common.show_item(item, _fields(item), output)


@app.command()
def create(
    port: Path,
    mac: Mac = None,
    address: Address = None,
    no_address: NoAddress = False,
    port_security: PortSecurity = None,
    offload: Offload = None,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Create a port.

    Without --mac a random one is taken, without --address the lowest free one of each family that the network has pools
    of.  A guest is attached by an OVS interface with external_ids:iface-id=UUID.

    As in: nvo3 port create red/web/a1 --mac 02:00:00:00:00:01 --address 10.0.0.11
    """
    body = common.given(
        name=common.split(port, _FORM)[2],
        mac=mac,
        addresses=common.values(address, no_address, "address"),
        port_security=port_security,
        offload=offload,
    )
    with common.connected(api) as client:
        item = client.post(_path(port).rpartition("/")[0], body, **common.query(wait, timeout))
    common.show_item(item, _fields(item), output)


@app.command("set")
def set_port(
    port: Path,
    name: Annotated[str | None, typer.Option(help="Rename it.")] = None,
    mac: Mac = None,
    address: Address = None,
    no_address: NoAddress = False,
    port_security: PortSecurity = None,
    offload: Offload = None,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Change a port.  --address names all addresses that it is to have."""
    addresses = common.values(address, no_address, "address")
    body = common.given(name=name, mac=mac, addresses=addresses, port_security=port_security, offload=offload)
    with common.connected(api) as client:
        item = client.patch(_path(port), body, **common.query(wait, timeout))
    common.show_item(item, _fields(item), output)


@app.command()
def delete(port: Path, wait: Wait = False, timeout: Timeout = common.TIMEOUT_DEFAULT_S, api: Api = common.API_DEFAULT) -> None:
    """Delete a port."""
    with common.connected(api) as client:
        client.delete(_path(port), **common.query(wait, timeout))


@app.command()
def counters(port: Path, api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """Show what the switch counted for a port since it was bound.  rx: from the guest; tx: to the guest."""
    with common.connected(api) as client:
        item = client.get(_path(port, "counters"))
    common.show_item(item, {name.upper().replace("_", " "): value for name, value in item.items()}, output)
