"""`nvo3 settings …`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common
from nvo3.cli.common import Api, Output, OutputAs, Timeout, Wait
from nvo3.model.logical import SCLP_PAYLOADS

app = common.new_group("System-wide settings.")


def _row(item: dict[str, Any]) -> dict[str, Any]:
    return {"ENCAPSULATION ORDER": item["encapsulation_order"], "SCLP PAYLOAD": item["sclp_payload"], "AGENT POOLS": item["agent_pools"]}


@app.command()
def show(api: Api = common.API_DEFAULT, output: OutputAs = Output.TABLE) -> None:
    """Show the settings."""
    with common.connected(api) as client:
        item = client.get("/v1/settings")
    common.show_item(item, _row(item), output)


@app.command("set")
def set_settings(
    encapsulation_order: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="What `auto` prefers, best first; what is not named is not chosen."),
    ] = None,
    sclp_payload: Annotated[
        str | None,
        typer.Option(metavar="|".join(SCLP_PAYLOADS), help="What SCLP carries.", autocompletion=lambda: list(SCLP_PAYLOADS)),
    ] = None,
    agent_pool: Annotated[
        list[str] | None,
        typer.Option(metavar="PREFIX", help="A prefix of the underlay that tunnel endpoints of vNICs come from.  Can be repeated."),
    ] = None,
    no_agent_pool: Annotated[bool, typer.Option("--no-agent-pool", help="Have none.")] = False,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Change the settings.

    As in: nvo3 settings set --encapsulation-order vxlan,geneve
    """
    order = None if encapsulation_order is None else [name for name in encapsulation_order.split(",") if name]
    with common.connected(api) as client:
        pools = common.values(agent_pool, no_agent_pool, "agent-pool")
        body = common.given(encapsulation_order=order, sclp_payload=sclp_payload, agent_pools=pools)
        item = client.patch("/v1/settings", body, **common.query(wait, timeout))
    common.show_item(item, _row(item), output)
