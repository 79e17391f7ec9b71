"""Options, arguments and output that the commands on the API's resources share."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nvo3.api.client import Client

Row = Mapping[str, Any]


class Output(StrEnum):
    """What a command prints."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Api = Annotated[
    str,
    typer.Option("--api", metavar="URL", envvar="NVO3_API", show_envvar=True, help="Where the API is.", rich_help_panel="Common"),
]
OutputAs = Annotated[
    Output,
    typer.Option("--output", "-o", help="As a table, or whole as the API has it.", rich_help_panel="Common"),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="Return when the change is in force on every connected hypervisor.", rich_help_panel="Common"),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", help="How long --wait may take, at most 300.", rich_help_panel="Common"),
]

API_DEFAULT = "http://127.0.0.1:8080"
TIMEOUT_DEFAULT_S = 10.0


def new_group(help: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(help=help, no_args_is_help=True)


@contextmanager
def connected(api: str) -> "Iterator[Client]":
    """Give a client of the API.  Imports httpx, which takes longer than all else at the start."""
    from nvo3.api.client import Client

    with Client(api) as client:
        yield client


def query(wait: bool, timeout: float, until: str = "realized") -> dict[str, Any]:
    """Return the query parameters of --wait and --timeout."""
    return {"wait": until, "timeout": timeout} if wait else {}


def split(path: str, form: str) -> list[str]:
    """Return the names in a path of a form such as TENANT/NETWORK.  Raises BadParameter if it has another."""
    names = path.split("/")
    if len(names) != len(form.split("/")) or not all(names):
        raise typer.BadParameter(f"{path!r} is not {form}", param_hint=form)
    return names


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that the command line has."""
    return {name: value for name, value in fields.items() if value is not None}


def values(listed: Sequence[str] | None, none: bool, option: str) -> list[str] | None:
    """Return the list of an option that can be repeated, [] for its --no- form, None where neither was given."""
    if listed and none:
        raise typer.BadParameter(f"--{option} and --no-{option} exclude each other", param_hint=f"--{option}")
    return [] if none else list(listed) if listed else None


def text(value: Any) -> str:
    """Return how a table shows a value."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ",".join(map(text, value))
        case dict():
            return ",".join(f"{name}={text(one)}" for name, one in value.items()) or "-"
        case _:
            return str(value)


def show_whole(value: Any, output: Output) -> None:
    """Print what the API has, as JSON or YAML."""
    if output is Output.YAML:
        import yaml

        typer.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
    else:
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_line(value: Any) -> None:
    """Print JSON on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def show_list(items: Sequence[Row], rows: Sequence[Mapping[str, Any]], output: Output) -> None:
    """Print a list: the API's items, or a table of rows, whose keys are the headings."""
    if output is not Output.TABLE:
        show_whole(list(items), output)
    elif rows:
        _print(list(rows[0]), [[text(value) for value in row.values()] for row in rows])


def show_item(item: Row, row: Mapping[str, Any], output: Output) -> None:
    """Print one object: the API's, or its fields below each other."""
    if output is not Output.TABLE:
        show_whole(item, output)
        return
    width = max(map(len, row))
    for name, value in row.items():
        typer.echo(f"{name:<{width}}  {text(value)}")


def _print(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # Never cut or folded: what is printed is piped into other programs as well.
    width = sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))
    console.width = max(console.width, width)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())
