"""The nvo3 command: commands on the API's resources, the lab, the benchmark, and what developers need.

Exit status: 0 done; 1 refused or failed; 2 wrong usage; 3 the API does not answer.  Errors are one line on standard
error. Modules are imported when their command is called, so that the command starts in a fraction of a second.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import nvo3
from nvo3.cli import agent, document, event, flow, hypervisor, network, port, settings, tenant
from nvo3.model.errors import Nvo3Error

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130  # 128 + SIGINT

# typer carries click's exceptions, but does not export their base for usage errors.
_UsageError: Any = typer.BadParameter.__bases__[0]


def _mounted(name: str, mount: Callable[[typer.Typer], None]) -> Any:
    """Return the command that `mount` adds under a name."""
    parent = typer.Typer(add_completion=False)
    mount(parent)
    return typer.main.get_group(parent).commands[name]


def _group(name: str, module: str) -> Callable[[], Any]:
    """Return what loads the typer app of a module."""
    return lambda: _mounted(name, lambda app: app.add_typer(importlib.import_module(module).app, name=name))


def _development(name: str) -> Callable[[], Any]:
    """Return what loads one of the commands that `development.register` adds."""
    return lambda: _mounted(name, lambda app: importlib.import_module("nvo3.cli.development").register(app))


def _config(name: str) -> Callable[[], Any]:
    """Return what loads one of the commands that `config.register` adds."""
    return lambda: _mounted(name, lambda app: importlib.import_module("nvo3.cli.config").register(app))


# Commands that are imported when called: their loader, and their line in the help.
_LATE: dict[str, tuple[Callable[[], Any], str]] = {
    "lab": (_group("lab", "nvo3.lab.command"), "A lab in network namespaces on this machine."),
    "bench": (_group("bench", "nvo3.bench.command"), "Compare the speed of encapsulations."),
    "ovs": (_development("ovs"), "Open vSwitch as this checkout needs it."),
    "database": (_group("database", "nvo3.cli.database"), "The NB database's file and schema."),
    "check-config": (_config("check-config"), "Check the controller's configuration file."),
    "man": (_config("man"), "Write the manual pages."),
    "test": (_development("test"), "Run ruff, mypy and all tests."),
}


class _Root(TyperGroup):
    """Imports a late command when it is called; for the list of commands its line suffices."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_LATE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _LATE and cmd_name not in self.commands:
            return TyperCommand(cmd_name, help=_LATE[cmd_name][1])
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name in _LATE and name not in self.commands:
            self.commands[name] = _LATE[name][0]()
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="nvo3",
    cls=_Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Network virtualization overlays on Open vSwitch.",
    epilog="Each command has a --help of its own.",
)
app.add_typer(hypervisor.app, name="hypervisor")
app.add_typer(tenant.app, name="tenant")
app.add_typer(network.app, name="network")
app.add_typer(port.app, name="port")
app.add_typer(agent.app, name="agent")
app.add_typer(flow.tunnels, name="tunnel")
app.add_typer(flow.flows, name="flow")
app.add_typer(settings.app, name="settings")
document.register(app)
app.command()(event.events)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nvo3 {nvo3.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


def command_tree() -> tuple[Any, Any]:
    """Return the root of all commands, late ones loaded, and its context."""
    root = typer.main.get_command(app)
    for name, (load, _) in _LATE.items():
        root.commands[name] = load()  # type: ignore[attr-defined]
    return root, root.context_class(root, info_name="nvo3")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    try:
        result = typer.main.get_command(app).main(None if arguments is None else list(arguments), prog_name="nvo3", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except _UsageError as error:
        return _usage(error)
    except Nvo3Error as error:
        return _failed(error)
    except BrokenPipeError:
        # Whoever read our output has seen enough.  Without this Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED


def _usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return EXIT_USAGE
    command = error.ctx.command_path if error.ctx is not None else "nvo3"
    message = " ".join(error.format_message().split())
    print(f"{command}: {message} (see {command} --help)", file=sys.stderr)
    return EXIT_USAGE


def _failed(error: Nvo3Error) -> int:
    from nvo3.api.client import ApiError, ApiUnreachable
    from nvo3.cli.remedy import remedy

    advice = remedy(error) if isinstance(error, ApiError) else ""
    print(f"nvo3: {error}; {advice}" if advice else f"nvo3: {error}", file=sys.stderr)
    return EXIT_UNREACHABLE if isinstance(error, ApiUnreachable) else EXIT_FAILED
