"""`nvo3 check-config` and `nvo3 man`: for those who install a controller."""

import sys
from typing import Annotated

import typer

from nvo3.model.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("check-config")(check_config)
    app.command("man")(man)


def check_config(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="The configuration file.")] = "/etc/nvo3/nvo3.conf",
    app: Annotated[list[str] | None, typer.Option(metavar="APP", help="A Ryu app whose options may be in it.  Can be repeated.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a file with all options at their defaults instead.")] = False,
) -> None:
    """Check the controller's configuration file, as the controller does before it starts.

    Each error is a line with file, line, option, value and limit.  Exit status: 0 in order, 1 not.
    """
    # Chooses os-ken's hub, so it comes before all of os-ken.
    from nvo3 import manager

    if example:
        typer.echo(manager.example_config(), nl=False)
        return
    lines = manager.check_config(["--config-file", file, "nvo3_app.py", *(app or [])])
    for line in lines:
        print(line, file=sys.stderr)
    if lines:
        raise typer.Exit(1)
    typer.echo(f"{file}: in order")


def man(
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="Where man(1) looks, as in /usr/local/share/man.")],
) -> None:
    """Write the manual pages: nvo3(1), ryu-manager(8), nvo3-agent(8), nvo3.conf(5)."""
    from nvo3 import manager, manual  # noqa: F401 - manager comes before all of os-ken

    try:
        for file in manual.write(directory):
            typer.echo(file)
    except OSError as error:
        raise ConfigError("", f"{error.filename}: {error.strerror}") from None
