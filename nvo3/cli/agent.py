"""`nvo3 agent …`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common, complete
from nvo3.cli.common import Api, Output, OutputAs

app = common.new_group("Agents of vNICs that encapsulate (ports with offload cvsw).")

_FORM = "TENANT/NETWORK/PORT"
Path = Annotated[str, typer.Argument(metavar=_FORM, help="Names of tenant, network and port.", autocompletion=complete.names("agents"))]


def _path(port: str, *more: str) -> str:
    from nvo3.api.client import item_path

    tenant, network, name = common.split(port, _FORM)
    return item_path("tenants", tenant, "networks", network, "ports", name, "agent", *more)


def _row(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "PORT": item["port"],
        "HYPERVISOR": item["hypervisor"],
        "UNDERLAY IP": item["underlay_ip"],
        "STATE": item["state"],
        "ENTRIES": f"{item['entries_present']}/{item['entries_desired']}",
        "REALIZED": item["realized"],
        "REFUSED": item["refused"],
    }


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    return _row(item) | {
        "UNDERLAY MTU": item["underlay_mtu"],
        "CAPABILITIES": item["capabilities"],
        "ENCAPSULATIONS": item["encapsulations"],
        "DROPPED": [f"{reason}:{n}" for reason, n in item["dropped"].items()],
    }


@app.command("list")
def list_agents(
    hypervisor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those bound there.", autocompletion=complete.names("hypervisors"))
    ] = None,
    state: Annotated[str | None, typer.Option(metavar="unbound|absent|connecting|connected", help="Only in this state.")] = None,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """List agents, and how much of their tables is there."""
    with common.connected(api) as client:
        items = client.items("/v1/agents", hypervisor=hypervisor, state=state)
    common.show_list(items, [_row(item) for item in items], output)


@app.command()
def show(port: Path, api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """Show the agent of a port's vNIC."""
    with common.connected(api) as client:
        item = client.get(_path(port))
    common.show_item(item, _fields(item), output)


@app.command()
def table(port: Path, api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """Ask the agent for its table, with counters, and compare it with what it should be."""
    with common.connected(api) as client:
        items = client.get(_path(port, "table"))["items"]
    rows = [{name.upper().replace("_", " "): value for name, value in item.items()} for item in items]
    common.show_list(items, rows, output)
