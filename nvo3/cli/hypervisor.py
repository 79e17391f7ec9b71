"""`nvo3 hypervisor …`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common, complete
from nvo3.cli.common import Api, Output, OutputAs, Timeout, Wait

app = common.new_group("Hypervisors, the hosts that run Open vSwitch.")

Name = Annotated[str, typer.Argument(metavar="HYPERVISOR", help="Name of the hypervisor.", autocompletion=complete.names("hypervisors"))]
_REMOTE = "Its OVSDB server: tcp:HOST:PORT, ssl:HOST:PORT or unix:/PATH, an IPv6 HOST in brackets."
ConnectWait = Annotated[
    bool,
    typer.Option("--wait", help="Return when it is connected and its flows are in force.", rich_help_panel="Common"),
]


def _path(hypervisor: str) -> str:
    from nvo3.api.client import item_path

    return item_path("hypervisors", *common.split(hypervisor, "HYPERVISOR"))


def _row(item: dict[str, Any]) -> dict[str, Any]:
    status = item["status"]
    return {
        "NAME": item["name"],
        "REMOTE": item["remote"],
        "STATE": status["state"],
        "VTEP": status["vtep_ip"],
        "ENCAPSULATIONS": status["encapsulations"],
        "PORTS": status["n_ports"],
        "FLOWS": status["n_flows"],
        "DETAIL": status["detail"],
    }


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    return {**_row(item), "UNDERLAY MTU": item["status"]["underlay_mtu"], "DPID": item["status"]["dpid"], "UUID": item["uuid"]}


@app.command("list")
def list_hypervisors(
    state: Annotated[str | None, typer.Option(metavar="connecting|configuring|connected|error", help="Only in this state.")] = None,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """List all hypervisors and their state."""
    with common.connected(api) as client:
        items = client.items("/v1/hypervisors", state=state)
    common.show_list(items, [_row(item) for item in items], output)


@app.command()
def show(hypervisor: Name, api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """Show a hypervisor and its state."""
    with common.connected(api) as client:
        item = client.get(_path(hypervisor))
    common.show_item(item, _fields(item), output)


@app.command()
def create(
    hypervisor: Name,
    remote: Annotated[str, typer.Option(metavar="REMOTE", help=_REMOTE)],
    wait: ConnectWait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Create a hypervisor; the controller then connects to it.

    As in: nvo3 hypervisor create hv1 --remote tcp:192.0.2.1:6640 --wait
    """
    body = {"name": hypervisor, "remote": remote}
    with common.connected(api) as client:
        item = client.post("/v1/hypervisors", body, **common.query(wait, timeout))
    common.show_item(item, _fields(item), output)


@app.command("set")
def set_hypervisor(
    hypervisor: Name,
    name: Annotated[str | None, typer.Option(help="Rename it.")] = None,
    remote: Annotated[str | None, typer.Option(metavar="REMOTE", help=_REMOTE)] = None,
    wait: ConnectWait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Change a hypervisor."""
    body = common.given(name=name, remote=remote)
    with common.connected(api) as client:
        item = client.patch(_path(hypervisor), body, **common.query(wait, timeout))
    common.show_item(item, _fields(item), output)


@app.command()
def delete(hypervisor: Name, wait: Wait = False, timeout: Timeout = common.TIMEOUT_DEFAULT_S, api: Api = common.API_DEFAULT) -> None:
    """Delete a hypervisor; ports that are bound there become unbound."""
    with common.connected(api) as client:
        client.delete(_path(hypervisor), **common.query(wait, timeout))
