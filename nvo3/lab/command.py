"""`nvo3 lab …`: a lab of network namespaces on this machine, from the command line."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from nvo3.lab import topology as topologies
from nvo3.lab.lab import Lab
from nvo3.lab.progress import Say, quiet, shown
from nvo3.lab.report import Report, render
from nvo3.model.errors import ConfigError, Nvo3Error
from nvo3.model.logical import NONE, OFFLOADS

app = typer.Typer(no_args_is_help=True, help="A lab in network namespaces: hypervisors, tenants and guests on this machine.")
guest_app = typer.Typer(no_args_is_help=True, help="Add, move and delete guests while the lab is up.")
app.add_typer(guest_app, name="guest")

_NOT_EXECUTED = 127  # as shells report a command that does not exist

Instance = Annotated[
    str | None,
    typer.Option("--instance", envvar="NVO3_LAB_INSTANCE", metavar="NAME", help="Which lab; by default the one of this checkout."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@contextmanager
def user_errors(interrupted: str = "`nvo3 lab down` removes what was made") -> Iterator[None]:
    """Turn errors that a user can act upon into a line on standard error and a status: 2 for a wrong value, else 1."""
    try:
        yield
    except Nvo3Error as error:
        print(f"error: {error}" if "\n" not in str(error) else str(error), file=sys.stderr)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print(f"interrupted; {interrupted}", file=sys.stderr)
        raise typer.Exit(130) from None


def _lab(instance: str | None, say: Say = quiet) -> Lab:
    return Lab(instance, say=say)


def _finish(report: Report, as_json: bool) -> None:
    """Print a report; the exit status says whether the matrix is as expected."""
    for problem in report.problems:
        print(f"warning: {problem}", file=sys.stderr)
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        from rich.console import Console

        Console().print(render(report))
    raise typer.Exit(0 if report.right else 1)


@app.command()
def up(
    topology: Annotated[
        Path | None,
        typer.Argument(metavar="[TOPOLOGY.yaml]", help="What to bring up; by default two tenants on two hypervisors."),
    ] = None,
    wire: Annotated[str, typer.Option(metavar="tso|gso", help="tso: NICs with segmentation offload.  gso: NICs without.")] = "tso",
    as_json: Json = False,
    instance: Instance = None,
) -> None:
    """Bring the lab up and measure who reaches whom; exit status 0 if that is as it should be."""
    with user_errors():
        if wire not in ("tso", "gso"):
            raise ConfigError("--wire", f"{wire!r} is not one of tso, gso", wire, "tso, gso")
        wanted = topologies.load(topology or topologies.DEFAULT)
        with shown() as say:
            report = _lab(instance, say).up(wanted, wire)  # type: ignore[arg-type]
    _finish(report, as_json)


@app.command()
def status(as_json: Json = False, instance: Instance = None) -> None:
    """Show the lab and measure who reaches whom; exit status 0 if that is as it should be."""
    with user_errors():
        report = _lab(instance).status()
    _finish(report, as_json)


@app.command()
def down(instance: Instance = None) -> None:
    """Remove everything that the lab made, also what a crash left half-made."""
    with user_errors(), shown() as say:
        say("taking the lab down")
        found = _lab(instance, say).down()
    print("The lab is down." if found else "There was no lab.", file=sys.stderr)


@app.command(
    name="exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def execute(
    name: Annotated[str, typer.Argument(metavar="GUEST", help="A guest or a hypervisor.")],
    command: Annotated[list[str], typer.Argument(metavar="CMD...", help="What to run there, after `--`.")],
    instance: Instance = None,
) -> None:
    """Run a command inside a guest or a hypervisor; its exit status is ours."""
    with user_errors():
        if command[0] == "--":
            command = command[1:]
        if not command:
            raise ConfigError("", "nothing to run: `nvo3 lab exec GUEST -- CMD...`")
        argv, environment = _lab(instance).command(name, command)
        if not shutil.which(command[0], path=environment.get("PATH")):
            print(f"error: {command[0]}: command not found", file=sys.stderr)
            raise typer.Exit(_NOT_EXECUTED)
        sys.stdout.flush()
        os.execvpe(argv[0], argv, environment)


@guest_app.command("add")
def guest_add(
    name: Annotated[str, typer.Argument(help="The guest's name, also of its port.")],
    tenant: Annotated[str, typer.Option("--tenant")],
    network: Annotated[str, typer.Option("--network")],
    hypervisor: Annotated[str, typer.Option("--hypervisor")],
    address: Annotated[list[str] | None, typer.Option("--address", help="May be repeated; by default one of each pool.")] = None,
    offload: Annotated[str, typer.Option(metavar="|".join(OFFLOADS), help="cvsw: with an agent in its vNIC, which encapsulates.")] = NONE,
    instance: Instance = None,
) -> None:
    """Create a port and a guest on it."""
    with user_errors(), shown() as say:
        guest = _lab(instance, say).guest_add(name, tenant, network, hypervisor, address or (), offload)
    print(f"{guest.name}: {', '.join(guest.plain_addresses) or guest.mac} on {guest.hypervisor}")


@guest_app.command("move")
def guest_move(
    name: Annotated[str, typer.Argument(help="The guest.")],
    hypervisor: Annotated[str, typer.Argument(help="Where to.")],
    instance: Instance = None,
) -> None:
    """Move a running guest to another hypervisor."""
    with user_errors(), shown() as say:
        guest = _lab(instance, say).guest_move(name, hypervisor)
    print(f"{guest.name}: on {guest.hypervisor}")


@guest_app.command("delete")
def guest_delete(name: Annotated[str, typer.Argument(help="The guest.")], instance: Instance = None) -> None:
    """Remove a guest and its port."""
    with user_errors(), shown() as say:
        _lab(instance, say).guest_delete(name)
    print(f"{name}: deleted")


def main(argv: list[str] | None = None) -> Any:
    """Run the commands by themselves, without the rest of `nvo3`."""
    return app(argv)


if __name__ == "__main__":
    main()
