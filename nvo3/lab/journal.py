"""What a lab has made on this machine, written before it is made, and how it is unmade.

One JSON object in a line, only ever appended, each on disk before the thing exists.  So whatever stands has its line,
also after a `kill -9` at any point; a line without its thing does no harm, since undoing is idempotent.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nvo3.lab import parallel, process, system
from nvo3.lab.errors import CommandFailed

Kind = Literal["directory", "netns", "link", "process"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A thing that was made.

    kind and name: a directory's path; a network namespace's name; the name of a link in the machine's own namespace;
    a process's role (pid and start_ticks say which).
    """

    kind: Kind
    name: str
    pid: int = 0
    start_ticks: int = 0

    @property
    def process(self) -> process.Process:
        return process.Process(self.pid, self.start_ticks)


class Journal:
    """The journal at `path`, whose directory exists."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, *entries: Entry) -> None:
        """Put entries on disk.  Call it before making what they say."""
        # A newline before: a crash may have cut the last line short.
        lines = b"".join(b"\n" + json.dumps(_plain(entry)).encode() for entry in entries) + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first.

        A line cut short by a crash was not yet followed by its thing: it is passed over.
        """
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                entries.append(Entry(**json.loads(line)))
        return entries

    def last_process(self, role: str) -> process.Process | None:
        """Return the latest process that was started in a role, None if there was none."""
        for entry in reversed(self.entries()):
            if entry.kind == "process" and entry.name == role:
                return entry.process
        return None


def _plain(entry: Entry) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": entry.kind, "name": entry.name}
    if entry.kind == "process":
        plain |= {"pid": entry.pid, "start_ticks": entry.start_ticks}
    return plain


def undo(entries: Iterable[Entry]) -> None:
    """Unmake what the entries say, newest first; processes together, since each may take a while to end."""
    newest_first = list(reversed(list(entries)))
    processes = {entry.process for entry in newest_first if entry.kind == "process"}
    spaces = list(dict.fromkeys(entry.name for entry in newest_first if entry.kind == "netns"))
    processes.update(process.in_namespaces(system.NETNS_DIR / space for space in spaces))
    stop_all(processes)
    for entry in newest_first:
        if entry.kind == "link":
            delete_link(entry.name)
    delete_namespaces(spaces)
    for entry in newest_first:
        if entry.kind == "directory":
            shutil.rmtree(entry.name, ignore_errors=True)


def stop_all(processes: Iterable[process.Process]) -> None:
    """Stop processes, all at once, and wait until they are gone."""
    parallel.each(process.stop, [one for one in processes if process.is_alive(one)])


def delete_link(name: str) -> None:
    """Delete a link of the machine's own namespace, if it exists."""
    if Path("/sys/class/net", name).exists():
        with contextlib.suppress(CommandFailed):  # gone meanwhile, with its peer's namespace
            system.run(["ip", "link", "delete", name])


def delete_namespaces(names: Iterable[str]) -> None:
    """Delete the namespaces that exist.  What still runs there must have been stopped."""
    system.ip([f"netns delete {name}" for name in names if (system.NETNS_DIR / name).exists()], force=True)
