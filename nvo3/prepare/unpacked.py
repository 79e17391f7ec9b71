"""What of a Debian package is needed without its being installed: unpacked into the cache, as KIND/KEY."""

import shutil
from collections.abc import Callable
from pathlib import Path

from nvo3.prepare import cache
from nvo3.prepare.progress import Progress

_KEPT = 2  # of two checkouts
_UNUSED_S = 7 * 24 * 3600.0

Make = Callable[[Path, Progress, int], Path]


def ensure(kind: str, key: str, what: str, space_bytes: int, make: Make, progress: Progress | None = None) -> Path:
    """Return the directory; have `make` fill one below the directory that it is given if there is none yet.

    make: given the lock's descriptor last.  Raises PrepareError: no space, and what `make` raises.
    """
    if directory := _find(kind, key):
        cache.used(directory)
        return directory
    progress = progress or cache.new_progress()
    with cache.locked(f"{kind}-{key}", progress) as lock:
        if directory := _find(kind, key):
            return directory
        cache.require_space(space_bytes, what)
        final = cache.directory(kind) / key
        cache.discard_leftovers(kind, final.name)
        with progress.step(f"Fetch {what}"):
            work = final.with_name(f"{final.name}.tmp")
            work.mkdir()
            try:
                cache.publish(make(work, progress, lock), final, final.name)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        cache.discard_unused(kind, _KEPT, _UNUSED_S)
    return final


def _find(kind: str, key: str) -> Path | None:
    found = (root / kind / key for root in cache.roots())
    return next((path for path in found if path.is_dir()), None)
