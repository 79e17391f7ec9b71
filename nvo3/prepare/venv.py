"""The Python environment: the pinned dependencies of `constraints.txt`, for all checkouts that pin the same.

The nvo3 package itself is never installed in it; it runs from the checkout.
"""

import importlib.util
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from nvo3.prepare import cache, packages, tool
from nvo3.prepare.errors import PrepareError, ToolFailed
from nvo3.prepare.progress import Progress

CHECKOUT = Path(__file__).resolve().parents[2]
LOCK = CHECKOUT / "constraints.txt"
STEPS = 1
SPACE_BYTES = 800_000_000  # 470 MB of packages, and their downloads
_SYSTEM_PYTHON = Path("/usr/bin/python3")
_NETWORK_TROUBLE = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|Name or service not known|Temporary failure|timed out|"
    r"SSLError|Max retries exceeded|Connection refused|Network is unreachable"
)
_NOT_OFFERED = re.compile(r"Could not find a version that satisfies the requirement (\S+)")


def ready() -> bool:
    """Whether the environment for this checkout's pins stands."""
    return find() is not None


def find() -> Path | None:
    """Return the Python of a finished environment, or None."""
    pythons = (root / "venv" / _key() / "bin" / "python" for root in cache.roots())
    return next((python for python in pythons if python.is_file()), None)


def _key() -> str:
    """Return the name of the environment: what is pinned, for which Python on which machine."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{version}-{cache.digest([('pins', LOCK.read_bytes()), (platform.machine(), b'')])}"


def ensure_venv(progress: Progress | None = None) -> Path:
    """Return the Python of the environment; make it if need be.

    Raises PrepareError: python3-venv missing, package index unreachable, no space.
    """
    if python := find():
        return python
    progress = progress or cache.new_progress()
    with cache.locked(f"venv-{_key()}", progress) as lock:
        if python := find():
            return python
        cache.require_space(SPACE_BYTES, "the Python environment")
        final = cache.directory("venv") / _key()
        cache.discard_leftovers("venv", final.name)
        with progress.step(f"Install {len(_pins())} Python packages"):
            _require_ensurepip(progress)
            _make(final, progress, lock)
    return final / "bin" / "python"


def _pins() -> list[str]:
    return [line for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line and not line.startswith("#")]


def _require_ensurepip(progress: Progress) -> None:
    """Debian ships `ensurepip`, which makes an environment's pip, in python3-venv only."""
    if importlib.util.find_spec("ensurepip") is None:
        packages.ensure_packages(progress, ["python3-venv"])


def _make(final: Path, progress: Progress, lock: int) -> None:
    made = final.with_name(f"{final.name}.tmp")
    try:
        _install(made, progress, lock)
        _relocate(made, final)
        cache.publish(made, final, final.name)
    except ToolFailed as failure:
        raise _explained(failure) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _install(made: Path, progress: Progress, lock: int) -> None:
    base = _SYSTEM_PYTHON if _SYSTEM_PYTHON.exists() else Path(sys.executable)
    progress.detail("creating the environment")
    tool.run([base, "-m", "venv", made], progress, failure="python3 -m venv failed", lock=lock)
    pip: list[str | Path] = [made / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    tool.run(
        [*pip, "install", "--no-deps", "--progress-bar", "off", "-r", LOCK],
        progress,
        failure="pip install failed",
        lock=lock,
        on_line=_PipCounter(progress).see,
    )
    tool.run([*pip, "check"], progress, failure=f"the pins in {LOCK.name} contradict each other", lock=lock)


def _relocate(made: Path, final: Path) -> None:
    """Write the final directory into the scripts, whose first line names their Python."""
    for script in (made / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if os.fsencode(made) in content and b"\0" not in content:
            script.write_bytes(content.replace(os.fsencode(made), os.fsencode(final)))


def _explained(failure: ToolFailed) -> PrepareError:
    """Turn a failure of pip into one that names the cause, where its output says so."""
    output = "\n".join(failure.tail)
    if _NETWORK_TROUBLE.search(output):
        message = "the Python package index cannot be reached: check the network, pip's configuration and proxies"
    elif absent := _NOT_OFFERED.search(output):
        message = f"the Python package index has no {absent[1]} for this Python: check pip's configuration"
    else:
        return failure
    return ToolFailed(message, failure.tail, failure.log)


class _PipCounter:
    """Tells from pip's output how far an installation is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = len(_pins())
        self._n_collected = 0

    def see(self, line: str) -> None:
        if line.startswith("Collecting "):
            self._n_collected += 1
            self._progress.detail(f"{self._n_collected}/{self._total} packages fetched")
        elif line.startswith("Installing collected packages"):
            self._progress.detail(f"installing {self._total} packages")
