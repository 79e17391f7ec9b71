"""`nvo3 apply` and `nvo3 export`: whole tenants as one document."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nvo3.cli import common, complete
from nvo3.cli.common import Api, Output, OutputAs, Timeout, Wait
from nvo3.model.errors import ConfigError

_MARKS = {"create": "+", "change": "~", "delete": "-"}
_STDIN = "-"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(apply)
    app.command()(export)


def apply(
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON; - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    wait: Wait = False,
    timeout: Timeout = common.TIMEOUT_DEFAULT_S,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.TABLE,
) -> None:
    """Bring whole tenants about, all of it or nothing.

    What the document says of a tenant is all that it has: networks and ports that are not there are deleted.  Tenants that it does not name
    stay as they are.  The same document again changes nothing.

    As in: nvo3 export red > red.yaml; nvo3 apply -f red.yaml --dry-run
    """
    body = _read(file)
    with common.connected(api) as client:
        query = common.query(wait, timeout) | ({"dry_run": "true"} if dry_run else {})
        result = client.post("/v1/apply", body, **query)
    if output is not Output.TABLE:
        common.show_whole(result, output)
        return
    for change in result["changes"]:
        typer.echo(f"{_MARKS[change['action']]} {change['kind']} {change['name']}{_fields(change)}")
    if not result["changes"]:
        typer.echo("nothing to change")


def export(
    tenant: Annotated[
        str | None, typer.Argument(metavar="[TENANT]", help="Only this tenant.", autocompletion=complete.names("tenants"))
    ] = None,
    api: Api = common.API_DEFAULT,
    output: OutputAs = Output.YAML,
) -> None:
    """Print what tenants have as a document for `nvo3 apply`: all tenants, or one."""
    with common.connected(api) as client:
        document = client.get("/v1/export", tenant=tenant)
    common.show_whole(document, Output.YAML if output is Output.TABLE else output)


def _fields(change: dict[str, Any]) -> str:
    if change["action"] != "change":
        return ""
    return ": " + ", ".join(f"{one['field']} {common.text(one['before'])} → {common.text(one['after'])}" for one in change["fields"])


def _read(file: str) -> dict[str, Any]:
    """Return the document in a file.  Raises ConfigError if it cannot be read or is none."""
    import yaml

    name = "standard input" if file == _STDIN else file
    try:
        data = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
        document = yaml.safe_load(data)
    except OSError as error:
        raise ConfigError("", f"{name}: {error.strerror or error}") from None
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark
        where = f", line {place.line + 1}, column {place.column + 1}" if place is not None else ""
        raise ConfigError("", f"{name}{where}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError("", f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError("", f"{name}: not a document such as `nvo3 export` prints")
    return document
