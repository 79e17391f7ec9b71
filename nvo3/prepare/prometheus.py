"""Debian's Prometheus, for the tests of dashboards: unpacked into the cache and never installed, since the package starts a service.

prometheus/KEY/prometheus
"""

from pathlib import Path

from nvo3.prepare import distribution, packages, tool, unpacked
from nvo3.prepare.errors import PrepareError
from nvo3.prepare.progress import Progress

_PACKAGE = "prometheus"
_SPACE_BYTES = 250_000_000


def ensure_prometheus(progress: Progress | None = None) -> Path:
    """Return the program; fetch it if need be.  Raises PrepareError: not Debian, mirror unreachable, no space."""
    return unpacked.ensure("prometheus", distribution.codename(), "Prometheus", _SPACE_BYTES, _make, progress) / _PACKAGE


def _make(work: Path, progress: Progress, lock: int) -> Path:
    package = packages.with_new_lists(lambda: _fetch(work, progress), progress)
    progress.detail("unpacking")
    tree, made = work / "unpacked", work / "made"
    tool.run(["dpkg-deb", "-x", package, tree], progress, failure=f"{package.name} is damaged", lock=lock)
    program = tree / "usr" / "bin" / _PACKAGE
    if not program.exists():
        raise PrepareError(f"{package.name} holds no program: see {progress.log.path}")
    made.mkdir()
    program.rename(made / _PACKAGE)
    return made


def _fetch(work: Path, progress: Progress) -> Path:
    """Return the package, in `work`.  Raises ToolFailed."""
    progress.detail(f"downloading {_PACKAGE}")
    for outdated in work.glob(f"{_PACKAGE}_*.deb"):
        outdated.unlink()
    packages.apt(["download", _PACKAGE], progress, failure=f"cannot download {_PACKAGE}", cwd=work)
    return next(work.glob(f"{_PACKAGE}_*.deb"))
