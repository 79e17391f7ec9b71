"""The cache: what a preparation makes, kept outside the checkout and shared by all checkouts of a machine.

    $NVO3_CACHE, else /var/cache/nvo3 for root, else ~/.cache/nvo3
        venv/KEY/                 the Python environment
        fastpath/KEY/             the extension module of the agent's fast path
        ovs/VERSION-KEY/          an installed Open vSwitch
        ovs-tree/VERSION-KEY/     the tree that it was built in, for its tests
        source/                   the Open vSwitch source package
        guest-kernel/KEY/         Debian's kernel for the test of a real guest
        lock/NAME.lock            one per item that is being made
        log/TIME-PID.log          full output of the tools

An item is made in a sibling `KEY.tmp` and renamed into place, so what has its final name is complete.  Whoever makes an
item holds the lock KIND-KEY: a `KEY.tmp*` whose lock is free belongs to a run that crashed.  Old builds go when a new
one comes: the time of a directory is when it was last used.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from nvo3.prepare.errors import PrepareError
from nvo3.prepare.progress import Log, Progress

SYSTEM = Path("/var/cache/nvo3")
_LOCK_POLL_S = 0.2


def root() -> Path:
    """Return the directory that this user's preparations are written to; it need not exist yet."""
    given = os.environ.get("NVO3_CACHE")
    if given:
        return _checked(Path(given).expanduser().absolute())
    return SYSTEM if os.geteuid() == 0 else Path.home() / ".cache" / "nvo3"


def _checked(path: Path) -> Path:
    # configure and the first line of a script cannot quote a blank.
    if any(character.isspace() for character in str(path)):
        raise PrepareError(f"NVO3_CACHE: {str(path)!r} contains a blank: choose a directory without blanks")
    return path


def roots() -> list[Path]:
    """Return where finished items are looked for: the user's own cache, then the one that root has prepared."""
    own = root()
    return [own] if own == SYSTEM or "NVO3_CACHE" in os.environ else [own, SYSTEM]


def directory(*parts: str) -> Path:
    """Create a directory of the cache if need be and return it.  Raises PrepareError where that fails."""
    path = root().joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PrepareError(f"cannot create {path} ({error.strerror}): set NVO3_CACHE to a directory that you may write to") from None
    return path


def new_progress() -> Progress:
    """Return a progress display on stderr whose log lies in the cache."""
    return Progress(Log(lambda: directory("log")))


def digest(items: Iterable[tuple[str, bytes]]) -> str:
    """Return 12 hex digits that stand for named contents, in the given order."""
    total = hashlib.sha256()
    for name, content in items:
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:12]


@contextlib.contextmanager
def locked(name: str, progress: Progress) -> Iterator[int]:
    """Hold the lock of an item; wait, and show it, while another process holds it.

    Yields the lock's file descriptor.  A tool that inherits it keeps the item locked until it has ended, also when this
    process is killed.
    """
    path = directory("lock") / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise PrepareError(f"cannot open {path} ({error.strerror}): set NVO3_CACHE to a directory that you may write to") from None
    try:
        _acquire(descriptor, name, progress)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, name: str, progress: Progress) -> None:
    """Wait for a file lock.  flock(2) cannot show progress while it blocks, so this polls."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            progress.wait_note(_reason(os.pread(descriptor, 32, 0).decode(errors="replace").strip(), name))
            time.sleep(_LOCK_POLL_S)


def _reason(holder: str, name: str) -> str:
    if Path("/proc", holder or "?").exists():
        return f"waiting for process {holder}, which prepares {name} too"
    return f"waiting for the tools of a run that was killed to end ({name})"


def discard_leftovers(kind: str, key: str) -> None:
    """Remove what crashed runs left: of one key, whose lock the caller holds, and of those whose lock is free."""
    for leftover in directory(kind).glob("*.tmp*"):
        other = leftover.name.partition(".tmp")[0]
        if other == key:
            shutil.rmtree(leftover, ignore_errors=True)
            continue
        with contextlib.suppress(OSError), (directory("lock") / f"{kind}-{other}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover, ignore_errors=True)


def used(item: Path) -> None:
    """Note that an item is in use."""
    with contextlib.suppress(OSError):  # another user's: that user's `discard_unused` goes by what that user did
        os.utime(item)


def discard_unused(kind: str, keep: int, unused_s: float) -> None:
    """Remove the items of a kind that nobody used for some time, but for the `keep` that were used last."""
    finished = [path for path in directory(kind).iterdir() if ".tmp" not in path.name]
    for item in sorted(finished, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        if time.time() - item.stat().st_mtime > unused_s:
            shutil.rmtree(item, ignore_errors=True)


def publish(made: Path, final: Path, key: str) -> None:
    """Rename a finished item into place; one that stands there already makes room.  Call with the item's lock held."""
    old = final.with_name(f"{key}.tmp-old")
    if final.exists():
        final.rename(old)
    made.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def require_space(n_bytes: int, what: str, where: Path | None = None) -> None:
    """Raise PrepareError unless a file system has room; `where` is any path on it, the cache by default."""
    path = where or root()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    if free < n_bytes:
        raise PrepareError(
            f"too little disk space for {what}: {_gb(free)} free at {path}, {_gb(n_bytes)} needed: "
            "free some, or set NVO3_CACHE to a directory on a larger disk"
        )


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
