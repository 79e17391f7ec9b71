"""What each command needs, and the launcher: prepares that, then becomes the command.

The launcher runs on the system's Python with its standard library only; the command runs on the environment's.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from nvo3.prepare import cache, distribution, fastpath, ovs, packages, venv
from nvo3.prepare.errors import PrepareError, Terminated, ToolFailed
from nvo3.prepare.progress import Progress


@dataclass(frozen=True, slots=True)
class Needs:
    """What a command cannot do without, beside the Python environment.

    command: its name for messages.  packages: Debian's.  ovs: the patched Open vSwitch.  tree: what that was built in.
    root: privileges.  tun: tap devices.  fastpath: the agent's extension module.
    """

    command: str
    packages: bool = False
    ovs: bool = False
    tree: bool = False
    root: bool = False
    tun: bool = False
    fastpath: bool = False


_NEEDS = {
    "lab": Needs("lab", packages=True, ovs=True, root=True, tun=True, fastpath=True),
    "bench": Needs("bench", packages=True, ovs=True, root=True, tun=True, fastpath=True),
    "test": Needs("test", packages=True, ovs=True, tree=True, tun=True, fastpath=True),
    "ovs": Needs("ovs", packages=True),
}
_MAX_COLUMNS = 240  # of a line of output; the log has it all


def needs_of(arguments: Sequence[str]) -> Needs:
    """Return what `nvo3 ARGUMENTS...` needs; help needs the environment only."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    command = own[0] if own else ""
    return Needs(command) if "--help" in own else _NEEDS.get(command, Needs(command))


def needs_of_manager(arguments: Sequence[str]) -> Needs:
    """Return what `ryu-manager ARGUMENTS...` needs: it starts an ovsdb-server."""
    only_asks = not {"--help", "-h", "--version"}.isdisjoint(arguments)
    return Needs("ryu-manager", packages=not only_asks, ovs=not only_asks)


def needs_of_agent(arguments: Sequence[str]) -> Needs:
    """Return what `nvo3-agent ARGUMENTS...` needs."""
    only_asks = not {"--help", "-h", "--version", "show"}.isdisjoint(arguments)
    return Needs("nvo3-agent", fastpath=not only_asks)


def prepare(needs: Needs, progress: Progress) -> tuple[Path, Path | None]:
    """Prepare what a command needs; return the Python to run it with, and Open vSwitch's prefix if there is one.

    Raises PrepareError.
    """
    distribution.require_python()
    if needs.root:
        distribution.require_root(needs.command)
    _plan(needs, progress)
    if needs.packages:
        packages.ensure_packages(progress)
    if needs.tun:
        distribution.require_tun()
    python = venv.ensure_venv(progress)
    if needs.fastpath:
        fastpath.ensure_fastpath(progress)
    return python, ovs.ensure_ovs(progress, keep_tree=needs.tree) if needs.ovs else ovs.find()


def _plan(needs: Needs, progress: Progress) -> None:
    """Count the steps to come, and check the disk for all of them before the first."""
    items: list[tuple[bool, ModuleType]] = [
        (needs.packages and not packages.ready(), packages),
        (not venv.ready(), venv),
        (needs.fastpath and not fastpath.ready(), fastpath),
        (needs.ovs and not ovs.ready(needs.tree), ovs),
    ]
    open_items = [module for is_open, module in items if is_open]
    progress.expect(sum(module.STEPS for module in open_items))
    if n_bytes := sum(module.SPACE_BYTES for module in open_items if module is not packages):
        cache.require_space(n_bytes, "the first preparation")


def environment(prefix: Path | None) -> dict[str, str]:
    """Return the environment of the command: the checkout's package, and our Open vSwitch before any other."""
    result = dict(os.environ, NVO3_LAUNCHER="1")
    result["PYTHONPATH"] = _joined(str(venv.CHECKOUT), result.get("PYTHONPATH"))
    if prefix:
        result["NVO3_OVS"] = str(prefix)
        result["PATH"] = _joined(f"{prefix}/bin:{prefix}/sbin", result.get("PATH"))
    return result


def _joined(first: str, rest: str | None) -> str:
    return f"{first}:{rest}" if rest else first


def launch(module: str, needs: Needs, arguments: Sequence[str]) -> NoReturn:
    """Prepare what is needed and become `python -m MODULE ARGUMENTS...`; exit with a message where that fails."""
    progress = cache.new_progress()
    with reported(progress):
        python, prefix = prepare(needs, progress)
    # -P: a file in the user's directory must not stand for a module of the same name.
    os.execve(python, [str(python), "-P", "-m", module, *arguments], environment(prefix))


@contextlib.contextmanager
def reported(progress: Progress) -> Iterator[None]:
    """End the process with one line on stderr where a preparation inside fails or is interrupted.

    Exit status 1, or 128 + signal.  The umask is 022 inside: what root prepares is for all to read.
    """
    umask = os.umask(0o022)
    # A signal that is ignored stays so: nohup(1).
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    handlers = {number: signal.signal(number, _terminate) for number in numbers}
    try:
        yield
    except PrepareError as error:
        _report(error, progress)
        sys.exit(1)
    except KeyboardInterrupt:
        _report_interrupt("interrupted", progress)
        sys.exit(128 + signal.SIGINT)
    except Terminated as error:
        _report_interrupt(str(error), progress)
        sys.exit(128 + error.signal_number)
    finally:
        os.umask(umask)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


def _report(error: PrepareError, progress: Progress) -> None:
    progress.clear()
    print(f"nvo3: {error}", file=sys.stderr)
    if isinstance(error, ToolFailed):
        lines = [line if len(line) <= _MAX_COLUMNS else line[:_MAX_COLUMNS] + "..." for line in error.tail]
        print("Last lines of output:", *lines, sep="\n  ", file=sys.stderr)
        print(f"Full output: {error.log}", file=sys.stderr)


def _report_interrupt(what: str, progress: Progress) -> None:
    progress.clear()
    print(f"nvo3: {what}; nothing half-made is left, run the command again to go on", file=sys.stderr)
