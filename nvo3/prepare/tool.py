"""Runs the tools of a preparation (apt-get, pip, make, ...): output to the log, progress meanwhile, no process left.

A tool runs in a session of its own, so Ctrl-C reaches only us, and we end it in order.  When we are killed ourselves,
the kernel tells the tool (PR_SET_PDEATHSIG, by way of setpriv(1) of util-linux).
"""

import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from nvo3.prepare.errors import PrepareError, ToolFailed
from nvo3.prepare.progress import Progress

LineHandler = Callable[[str], None]

_TICK_S = 0.2
_GRACE_S = 10.0
# What would change how a build works, or where Open vSwitch installs to, without showing in the cache's key.
_FOREIGN = frozenset(
    ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "LIBS", "CONFIG_SITE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")
    + ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
    + ("OVS_PKGDATADIR", "OVS_BINDIR", "OVS_SBINDIR")
)


def environment(**extra: str) -> dict[str, str]:
    """Return the environment for a tool: ours, in English, without what would make builds differ."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return {**kept, "LC_ALL": "C.UTF-8", "LANGUAGE": "C", **extra}


def run(
    argv: Sequence[str | Path],
    progress: Progress,
    *,
    failure: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: LineHandler | None = None,
    lock: int | None = None,
    dies_with_us: bool = True,
) -> list[str]:
    """Run a tool to its end and return its lines of output, stdout and stderr as they came.

    failure: what to say when it fails.  on_line: sees each line.  lock: a descriptor to inherit (see cache.locked).
    dies_with_us: False for a tool that must finish what it began, as dpkg must.
    Raises ToolFailed when it ends with another status than 0, PrepareError when it cannot be started.
    """
    command = [str(word) for word in argv]
    progress.log.write("$ " + " ".join(command))
    process = _start(command, cwd, env, lock, dies_with_us, failure)
    lines: list[str] = []
    try:
        for line in _lines(process, progress):
            lines.append(line)
            progress.log.write(line)
            if on_line:
                on_line(line)
        status = process.wait()
    except BaseException:
        _stop(process, politely=not dies_with_us)
        raise
    if status:
        progress.log.write(f"exit status {status}")
        raise ToolFailed(f"{failure} ({_ended(status)})", list(progress.log.tail), progress.log.path)
    return lines


def _start(
    command: list[str],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    lock: int | None,
    dies_with_us: bool,
    failure: str,
) -> subprocess.Popen[bytes]:
    if dies_with_us and (setpriv := shutil.which("setpriv")):
        command = [setpriv, "--pdeathsig", "TERM", *command]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(env) if env is not None else environment(),
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
    except OSError as error:
        raise PrepareError(f"{failure}: cannot start {command[0]} ({error.strerror})") from None


def _lines(process: subprocess.Popen[bytes], progress: Progress) -> Iterator[str]:
    """Yield lines of output as they come; keep the display alive in between."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            progress.tick()
            if not selector.select(_TICK_S):
                continue
            data = os.read(descriptor, 65536)
            if not data:
                break
            *complete, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
            yield from (line.decode(errors="replace") for line in complete if line)
    if rest:
        yield rest.decode(errors="replace")


def _stop(process: subprocess.Popen[bytes], politely: bool) -> None:
    """End a tool and all that it started.

    politely: an interrupt for the tool alone, which then brings its children to an end; apt-get waits for dpkg so.
    """
    if politely:
        process.send_signal(signal.SIGINT)
    else:
        _signal_group(process, signal.SIGTERM)
    try:
        process.wait(None if politely else _GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _ended(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"
