"""A private ovsdb-server for the NB database, on a file in the controller's state directory.

Used where the controller is not given an external database.  One process per state directory: a lock on the directory
itself, which the kernel drops with its holder, tells a second controller (refused) from what a killed one left behind
(ended by the pid that it recorded beside the file, then replaced).  Specification: ovsdb-server(1), ovsdb-tool(1).

    STATE_DIR/nvo3.db        the database            RUN_DIR/nvo3.db.sock         where clients connect
    STATE_DIR/nvo3.db.pid    who serves it           RUN_DIR/nvo3.db.ctl, .log    ovs-appctl's socket, the server's log
"""

import contextlib
import fcntl
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import ovs.socket_util

from nvo3.model.errors import ConfigError, Unavailable

LOG = logging.getLogger(__name__)

SCHEMA = Path(__file__).with_name("nvo3.ovsschema")
_NAME = "nvo3"

_START_S = 20.0  # a database of some 100 MB is read in a few seconds
_END_S = 5.0
_RETRY_MIN_S = 0.1
_RETRY_MAX_S = 10.0


@dataclass(frozen=True, slots=True)
class _Tools:
    server: str
    tool: str


class Server:
    """A running ovsdb-server; restarted when it dies, ended by `stop` or with this process.

    remote: what clients connect to, `unix:PATH`.
    """

    def __init__(self, tools: _Tools, state_dir: Path, run_dir: Path, locks: list[int]) -> None:
        self.remote = f"unix:{run_dir / 'nvo3.db.sock'}"
        self._tools = tools
        self._database = state_dir / "nvo3.db"
        self._pidfile = _pidfile(self._database)
        self._run_dir = run_dir
        self._locks = locks
        self._stopping = threading.Event()
        self._process = self._launch()
        # Under eventlet a greenthread.
        self._supervisor = threading.Thread(target=self._supervise, name="nvo3-db", daemon=True)
        self._supervisor.start()

    @property
    def pid(self) -> int:
        """Process id of ovsdb-server."""
        return self._process.pid

    def stop(self) -> None:
        """End ovsdb-server, in at most some seconds.  May be called twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        _end_child(self._process)
        _unlock(self._locks)

    def _launch(self) -> "subprocess.Popen[bytes]":
        """Start ovsdb-server and return when it serves.  Raises Unavailable with what it said if it does not."""
        socket_path = self._run_dir / "nvo3.db.sock"
        command = [
            *_die_with_parent(),
            self._tools.server,
            f"--remote=punix:{socket_path}",
            f"--unixctl={self._run_dir / 'nvo3.db.ctl'}",
            f"--pidfile={self._pidfile}",
            f"--log-file={self._run_dir / 'nvo3.db.log'}",
            "-vconsole:err",
            "-vsyslog:off",
            "-vfile:warn",
            str(self._database),
        ]
        with tempfile.TemporaryFile() as output:
            # Its own process group: Ctrl-C at the terminal is the controller's to handle, which still needs its
            # database to end well.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
            _wait_for(lambda: process.poll() is not None or _accepts(socket_path), _START_S)
            if process.poll() is None and _accepts(socket_path):
                return process
            _end_child(process)
            raise Unavailable(f"ovsdb-server for {self._database} does not start: {_last_line(output)}")

    def _supervise(self) -> None:
        delay_s = _RETRY_MIN_S
        while True:
            _wait_exit(self._process)
            if self._stopping.is_set():
                return
            LOG.error("ovsdb-server (pid %d) ended unexpectedly; starting it again", self._process.pid)
            while not self._stopping.wait(delay_s):
                try:
                    self._process = self._launch()
                except (Unavailable, OSError) as error:
                    delay_s = min(2 * delay_s, _RETRY_MAX_S)
                    LOG.error("%s; next attempt in %.1f s", error, delay_s)
                else:
                    delay_s = _RETRY_MIN_S
                    break
            if self._stopping.is_set():
                _end_child(self._process)  # `stop` may have ended the one before
                return


def start(state_dir: Path, run_dir: Path) -> Server:
    """Serve the NB database from a file in `state_dir`, made if missing, converted if its schema is older.

    Both directories are made if they are missing.  Raises ConfigError where a directory or the file cannot be used,
    Unavailable where ovsdb-server is missing or does not start; each in one line.
    """
    tools = _find_tools()
    state_dir, run_dir = state_dir.absolute(), run_dir.absolute()
    _make_directory("state directory", state_dir)
    _make_directory("run directory", run_dir)
    database = state_dir / "nvo3.db"
    locks = _lock(state_dir, run_dir)
    try:
        _end_orphan(database)
        _prepare_file(tools, database)
        return Server(tools, state_dir, run_dir, locks)
    except BaseException:
        _unlock(locks)
        raise


def prepare(database: Path) -> None:
    """Make the file of a database that somebody else will serve, or convert it to this version's schema.  Raises as `start` does."""
    tools = _find_tools()
    _make_directory("directory", database.absolute().parent)
    _prepare_file(tools, database)


def _find_tools() -> _Tools:
    """Look in $NVO3_OVS, an installation prefix, then in PATH and where Debian puts system programs."""
    prefix = os.environ.get("NVO3_OVS")
    places = [f"{prefix}/sbin", f"{prefix}/bin"] if prefix else []
    path = os.pathsep.join([*places, os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/bin"])
    server, tool = shutil.which("ovsdb-server", path=path), shutil.which("ovsdb-tool", path=path)
    if server is None or tool is None:
        missing = "ovsdb-server" if server is None else "ovsdb-tool"
        raise Unavailable(
            f"{missing} not found in $NVO3_OVS ({prefix or 'not set'}) or PATH: install Open vSwitch or set NVO3_OVS to its prefix"
        )
    return _Tools(server, tool)


def _make_directory(what: str, path: Path) -> None:
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(what, f"cannot make {path}: {error.strerror}", str(path)) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(what, f"{path} may not be read and written", str(path))


def _lock(state_dir: Path, run_dir: Path) -> list[int]:
    """Return descriptors that hold locks on the directories until they are closed or this process ends, however."""
    locks = [_lock_directory("state directory", state_dir, state_dir / "nvo3.db")]
    try:
        if not run_dir.samefile(state_dir):
            locks.append(_lock_directory("run directory", run_dir, None))
    except BaseException:
        _unlock(locks)
        raise
    return locks


def _lock_directory(what: str, path: Path, database: Path | None) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        pid = None if database is None else _recorded_pid(database)
        holder = f" (its ovsdb-server is process {pid})" if pid else ""
        raise ConfigError(what, f"{path} is in use by another controller{holder}", str(path)) from None
    return descriptor


def _unlock(locks: list[int]) -> None:
    for descriptor in locks:
        os.close(descriptor)
    locks.clear()


def _pidfile(database: Path) -> Path:
    return database.with_name(database.name + ".pid")


def _recorded_pid(database: Path) -> int | None:
    """Return the process that the pidfile names, if it lives and really serves this file."""
    try:
        pid = int(_pidfile(database).read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(database) in arguments else None


def _end_orphan(database: Path) -> None:
    """End the ovsdb-server of a controller that was killed; it holds the lock on the file.

    Normally it ends by itself (`_die_with_parent`), but perhaps not before this process comes, and not where setpriv
    is missing.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        pid = _recorded_pid(database)
        if pid is None:
            return
        LOG.warning("ending ovsdb-server (pid %d), which a controller left behind", pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _wait_for(lambda: _recorded_pid(database) is None, _END_S):
            return
    raise Unavailable(f"ovsdb-server (pid {_recorded_pid(database)}) of an earlier controller does not end")


def _prepare_file(tools: _Tools, database: Path) -> None:
    """Create the file, or check it and convert it to this version's schema."""
    if not database.exists():
        _run(tools, "create", str(database), str(SCHEMA))
        return
    name = _run(tools, "db-name", str(database))
    if name != _NAME:
        raise ConfigError("database", f"{database} holds a database named {name!r}, not {_NAME!r}", name, _NAME)
    have = _run(tools, "db-version", str(database))
    want = _run(tools, "schema-version", str(SCHEMA))
    if _version(have) > _version(want):
        raise ConfigError("database", f"{database} has schema {have}, newer than this version's {want}", have, want)
    if have != want and _is_clustered(tools, database):
        online = f"while it is served: ovsdb-client convert REMOTE {SCHEMA}"
        raise ConfigError("database", f"{database} has schema {have} and is of a cluster; convert it to {want} {online}", have, want)
    if have != want:
        LOG.warning("converting %s from schema %s to %s", database, have, want)
        _run(tools, "convert", str(database), str(SCHEMA))


def _is_clustered(tools: _Tools, database: Path) -> bool:
    return subprocess.run([tools.tool, "db-is-clustered", str(database)], stdin=subprocess.DEVNULL, check=False).returncode == 0


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _run(tools: _Tools, *arguments: str) -> str:
    """Return ovsdb-tool's output, stripped.  Raises ConfigError with its message if it fails."""
    # One pipe only, so that communicating needs no selector: eventlet's patching takes select.poll away.
    done = subprocess.run(
        [tools.tool, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        raise ConfigError("database", output.splitlines()[-1] if output else f"ovsdb-tool {arguments[0]} failed")
    return output


def _die_with_parent() -> list[str]:
    """Return a command prefix under which a process gets SIGTERM when its parent ends, however that ends.

    See prctl(2), PR_SET_PDEATHSIG.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _accepts(path: Path) -> bool:
    """Tell whether something accepts connections at a Unix socket."""
    error, stream = ovs.socket_util.make_unix_socket(socket.SOCK_STREAM, False, None, str(path))
    if stream is not None:
        stream.close()
    return bool(error == 0)


def _wait_exit(process: "subprocess.Popen[bytes]") -> None:
    """Block until a child has ended, without polling (pidfd_open(2)); eventlet's os.waitpid polls."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        process.wait()
        return
    try:
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)
    process.wait()


def _end_child(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    if not _wait_for(lambda: process.poll() is not None, _END_S):
        process.kill()
        process.wait()


def _wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Return True as soon as the condition holds, False when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return condition()
        time.sleep(0.01)
    return True


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").splitlines()
    return lines[-1].strip() if lines else "no message"
