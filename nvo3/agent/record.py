"""What an agent remembers of a vNIC that it has taken over, so that another one can give it back after a SIGKILL.

A file in the directory of the agent, gone with the boot: there is nothing to give back to a device that was made anew.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from nvo3.agent.errors import AgentError

RUN_DIR = Path("/run/nvo3-agent")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Record:
    """A vNIC as it was.

    index, mac: which device it is about, by the kernel's number and in hex.  flags: IFF_*.  features: of ethtool.
    addresses, routes: as the kernel told them, in hex.
    """

    boot: str
    index: int
    mac: str
    mtu: int
    flags: int
    addr_gen_mode: int | None
    features: dict[str, bool]
    addresses: list[str]
    routes: list[str]

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        made = path.with_suffix(".tmp")
        with made.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
        made.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what was written; None where nothing was, or in another boot or form."""
        try:
            record = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.boot == boot_id() else None


def boot_id() -> str:
    """Return what tells this boot from others."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that goes with the process.  Raises AgentError if another process has it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}: run it as root, or give a directory of your own by --run-dir") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 20).decode(errors="replace").strip()
            raise AgentError(f"an agent of {path.stem} runs already, pid {pid}: stop it, or give another directory by --run-dir") from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
