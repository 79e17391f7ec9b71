"""`nvo3 events`"""

from typing import Annotated, Any

import typer

from nvo3.cli import common, complete
from nvo3.cli.common import Api, Output, OutputAs


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until interrupted.")] = False,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only about: tenant, network, port, hypervisor, agent or settings.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only about this tenant's objects.", autocompletion=complete.names("tenants"))
    ] = None,
    n: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="How many of the past.")] = 20,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Show what happened lately, a line each; json and yaml are of one object each."""
    with common.connected(api) as client:
        past = client.get("/v1/events", kind=kind, tenant=tenant)["items"]
        for event in past[max(len(past) - n, 0) :]:
            _show(event, output)
        if not follow:
            return
        for event in client.stream("/v1/events/stream", after=past[-1]["id"] if past else None, kind=kind, tenant=tenant):
            _show(event, output)


def _show(event: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        common.show_line(event)
    elif output is Output.YAML:
        common.show_whole([event], output)
    elif "time" in event:
        detail = f"({event['detail']})" if event["detail"] else ""
        typer.echo(" ".join(filter(None, (event["time"], event["kind"], event["name"], event["what"], detail))))
    else:
        typer.echo(f"{event['events']} events are lost")
