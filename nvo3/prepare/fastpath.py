"""The agent's fast path for the checkout: the extension module of `native/fastpath/`, built into the cache.

An installation has its own, which setup.py builds.
"""

import platform
import shutil
import sys
from pathlib import Path

from nvo3.prepare import cache, tool, venv
from nvo3.prepare.progress import Progress

STEPS = 1
SPACE_BYTES = 20_000_000
KEPT = 4  # of two checkouts, and some
UNUSED_S = 7 * 24 * 3600.0  # an agent may run from a build for longer than anybody asks for that build
_KIND = "fastpath"
_SCRIPT = venv.CHECKOUT / "nvo3" / "agent" / "_fastpath_build.py"


def ready() -> bool:
    """Whether the module for this checkout stands."""
    return find() is not None


def find() -> Path | None:
    """Return the directory of a finished module, or None."""
    found = (root / _KIND / _key() for root in cache.roots())
    return next((path for path in found if path.is_dir()), None)


def _key() -> str:
    """Return the digest of all that makes one build differ from another."""
    native = venv.CHECKOUT / "native"
    sources = sorted([*native.glob("*.[ch]"), *native.glob("fastpath/*.[ch]")])
    parts = [(str(path.relative_to(native)), path.read_bytes()) for path in sources]
    parts += [("script", _SCRIPT.read_bytes()), ("pins", venv.LOCK.read_bytes())]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{version}-{cache.digest([*parts, (platform.machine(), b'')])}"


def ensure_fastpath(progress: Progress | None = None) -> Path:
    """Return the directory with the module; make it if need be.

    Raises PrepareError: no compiler, no headers of Python.
    """
    if directory := find():
        cache.used(directory)
        return directory
    progress = progress or cache.new_progress()
    python = venv.ensure_venv(progress)
    with cache.locked(f"{_KIND}-{_key()}", progress) as lock:
        if directory := find():
            return directory
        final = cache.directory(_KIND) / _key()
        cache.discard_leftovers(_KIND, final.name)
        with progress.step("Build the agent's fast path"):
            made = final.with_name(f"{final.name}.tmp")
            made.mkdir()
            try:
                failure = "building the agent's fast path failed: are gcc and python3-dev installed?"
                tool.run([python, "-P", _SCRIPT, made], progress, failure=failure, lock=lock)
                cache.publish(made, final, final.name)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        cache.discard_unused(_KIND, KEPT, UNUSED_S)
    return final
