"""`nvo3 database …`"""

import warnings
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from nvo3.cli import common

app = common.new_group("The NB database's file and schema.")


@app.command()
def prepare(file: Annotated[Path, typer.Argument(metavar="FILE", help="The database's file.")]) -> None:
    """Make the NB database's file, or convert one of an older schema, before ovsdb-server serves it.

    The controller does so itself with a database of its own.
    """
    _server().prepare(file)


@app.command()
def schema() -> None:
    """Print where the schema is, as ovsdb-tool and ovsdb-client take it."""
    typer.echo(_server().SCHEMA)


def _server() -> ModuleType:
    """Return `nvo3.ovsdb.server`, whose library imports eventlet where it is there, which warns."""
    warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
    from nvo3.ovsdb import server

    return server
