"""`nvo3 tenant …`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common, complete
from nvo3.cli.common import Api, Output, OutputAs, Timeout, Wait

app = common.new_group("Tenants, the owners of networks.")

Name = Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant.", autocompletion=complete.names("tenants"))]


def _path(tenant: str) -> str:
    from nvo3.api.client import item_path

    return item_path("tenants", *common.split(tenant, "TENANT"))


def _row(item: dict[str, Any]) -> dict[str, Any]:
    return {"NAME": item["name"], "UUID": item["uuid"]}


@app.command("list")
def list_tenants(api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """List all tenants."""
    with common.connected(api) as client:
        items = client.items("/v1/tenants")
    common.show_list(items, [_row(item) for item in items], output)


@app.command()
def show(tenant: Name, api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """Show a tenant."""
    with common.connected(api) as client:
        item = client.get(_path(tenant))
    common.show_item(item, _row(item), output)


@app.command()
def create(
    tenant: Name,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Create a tenant.

    As in: nvo3 tenant create red
    """
    with common.connected(api) as client:
        item = client.post("/v1/tenants", {"name": tenant}, **common.query(wait, timeout))
    common.show_item(item, _row(item), output)


@app.command("set")
def set_tenant(
    tenant: Name,
    name: Annotated[str | None, typer.Option(help="Rename it.")] = None,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Change a tenant."""
    with common.connected(api) as client:
        item = client.patch(_path(tenant), common.given(name=name), **common.query(wait, timeout))
    common.show_item(item, _row(item), output)


@app.command()
def delete(tenant: Name, wait: Wait = False, timeout: Timeout = common.TIMEOUT_DEFAULT_S, api: Api = common.API_DEFAULT) -> None:
    """Delete a tenant that has no networks."""
    with common.connected(api) as client:
        client.delete(_path(tenant), **common.query(wait, timeout))
