"""Commands for those who work on nvo3 itself: `nvo3 ovs build` and `nvo3 test`."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from nvo3.prepare import TEST_PACKAGES, ensure_ovs, ensure_packages, new_progress, reported

_CHECKOUT = Path(__file__).resolve().parents[2]
_PATHS = ("nvo3", "ryu_apps", "tests", "bin/nvo3", "bin/nvo3-agent", "bin/ryu-manager")
_STAGES = {
    "ruff check": ("ruff", "check", *_PATHS),
    "ruff format": ("ruff", "format", "--check", "--output-format=concise", *_PATHS),
    "mypy": ("mypy",),
}
_BUILD_STEPS = 3
_OVS_SUITE = _CHECKOUT / "tests" / "ovs_suite" / "whole.py"

_ovs = typer.Typer(name="ovs", help="Open vSwitch as this checkout needs it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the root of the nvo3 command."""
    app.add_typer(_ovs)
    app.command("test", context_settings={"ignore_unknown_options": True})(test)


@_ovs.callback()
def _group() -> None:
    """Open vSwitch as this checkout needs it."""


@_ovs.command("build")
def build(
    stock: Annotated[bool, typer.Option("--stock", help="Without the patches of ovs_datapath_patch/.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Build even if a finished build is in the cache.")] = False,
) -> None:
    """Build Open vSwitch 3.5 into the cache and print where it is installed.

    The source is Debian's package openvswitch-source, or the tarball or package that the variable OVS_SOURCE names.
    """
    progress = new_progress()
    progress.expect(_BUILD_STEPS)
    with reported(progress):
        prefix = ensure_ovs(progress, stock=stock, force=force)
    typer.echo(prefix)


def test(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="PYTEST_ARGUMENT", show_default=False)] = None,
    ovs_suite: Annotated[bool, typer.Option("--ovs-suite", help="Only Open vSwitch's own tests, but all of them.")] = False,
) -> None:
    """Run ruff, mypy and all tests; with arguments only pytest, which gets them.

    As in: nvo3 test tests/unit -k vxlan
    """
    if ovs_suite:
        arguments = ["-s", str(_OVS_SUITE), *(arguments or [])]
    if os.environ.get("NVO3_LAUNCHER"):
        progress = new_progress()
        progress.expect(1)
        with reported(progress):
            ensure_packages(progress, TEST_PACKAGES)
    failed = [] if arguments else [name for name, command in _STAGES.items() if not _passes(name, command)]
    if _pytest(arguments or []):
        failed.append("pytest")
    if failed:
        print(f"nvo3 test: failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)


def _passes(name: str, command: tuple[str, ...]) -> bool:
    """Run one stage in the checkout; show its output only where it fails."""
    begun_at = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=_CHECKOUT,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    passed = done.returncode == 0
    if not passed:
        print(done.stdout.rstrip())
    print(f"{name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - begun_at:.1f} s", flush=True)
    return passed


def _pytest(arguments: list[str]) -> int:
    """Run pytest, in the user's directory where an argument is a path there; its summary comes last on stdout."""
    command = [sys.executable, "-m", "pytest", f"--rootdir={_CHECKOUT}", f"--config-file={_CHECKOUT}/pyproject.toml"]
    has_paths = any(Path(argument.split("::")[0]).exists() for argument in arguments)
    directory = Path.cwd() if has_paths else _CHECKOUT
    return subprocess.run([*command, *arguments], cwd=directory, check=False).returncode
