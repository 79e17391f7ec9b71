"""`nvo3 tunnel …` and `nvo3 flow …`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common
from nvo3.cli.common import Api, Output, OutputAs

tunnels = common.new_group("Tunnels, and what they carried.")
flows = common.new_group("Flows of hypervisors: what should be, what is, and the difference.")

_STATES = "present|missing|wrong|stale|foreign"


@tunnels.command("list")
def list_tunnels(
    hypervisor: Annotated[str | None, typer.Option(metavar="NAME", help="Only from or to it.")] = None,
    encapsulation: Annotated[str | None, typer.Option(metavar="NAME", help="Only by this one.")] = None,
    network: Annotated[str | None, typer.Option(metavar="TENANT/NETWORK", help="Only those that it uses.")] = None,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """List which ends are joined by which encapsulation, and frames and bytes each way, as counted at both ends."""
    with common.connected(api) as client:
        items = client.items("/v1/tunnels", hypervisor=hypervisor, encapsulation=encapsulation, network=network)
    common.show_list(items, [_tunnel(item) for item in items], output)


def _tunnel(item: dict[str, Any]) -> dict[str, Any]:
    numbers = ("sent_packets", "sent_bytes", "received_packets", "received_bytes")
    row = {"FROM": item["from"], "TO": item["to"], "ENCAPSULATION": item["encapsulation"]}
    return row | {name.upper().replace("_", " "): item[name] for name in numbers} | {"NETWORKS": item["networks"]}


@flows.command("list")
def list_flows(
    where: Annotated[str, typer.Argument(metavar="HYPERVISOR|TENANT/NETWORK/PORT", help="Of a hypervisor, or about a port.")],
    state: Annotated[str | None, typer.Option(metavar=_STATES, help="Only in this state.")] = None,
    table: Annotated[int | None, typer.Option(help="Only of this table.")] = None,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Ask the switch for its flows and compare them with what it should have.

    missing: not there; wrong: there with other actions; stale: the controller's, but not wanted any more; foreign: somebody else's.
    """
    from nvo3.api.client import item_path

    if "/" in where:
        tenant, network, port = common.split(where, "TENANT/NETWORK/PORT")
        path = item_path("tenants", tenant, "networks", network, "ports", port, "flows")
    else:
        path = item_path("hypervisors", where, "flows")
    with common.connected(api) as client:
        items = client.items(path, state=state, table=table)
    names = ("hypervisor", "state", "table", "priority", "packets", "bytes", "match", "actions")
    common.show_list(items, [{name.upper(): item[name] for name in names} for item in items], output)


@flows.command("remove")
def remove_flows(
    hypervisor: Annotated[str, typer.Argument(metavar="HYPERVISOR")],
    foreign: Annotated[bool, typer.Option("--foreign", help="Those that are somebody else's, the only ones that can be removed.")] = False,
    api: Api = common.API_DEFAULT,
) -> None:
    """Remove what somebody else put on a hypervisor's br-int; the controller leaves it alone otherwise."""
    from nvo3.api.client import item_path

    if not foreign:
        raise typer.BadParameter("say which: --foreign", param_hint="--foreign")
    with common.connected(api) as client:
        client.delete(item_path("hypervisors", hypervisor, "flows"), state="foreign")
