"""Where Open vSwitch's sources come from: a file that the user names, or Debian's package `openvswitch-source`.

Debian 13 has the package in its own archive.  An older Debian fetches it from Debian 13's through apt, from the mirror
that the machine already uses, with sources, lists and downloads in a directory of their own: the machine's own apt
configuration is read, never changed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nvo3.prepare import cache, distribution, packages, tool
from nvo3.prepare.errors import PrepareError, ToolFailed
from nvo3.prepare.progress import Progress

SERIES = "3.5"
_PACKAGE = "openvswitch-source"
_RELEASE = "trixie"  # the Debian release that has Open vSwitch 3.5
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_AC_INIT = re.compile(r"^AC_INIT\(\[?openvswitch\]?,\s*\[?([0-9][0-9.a-z]*)\]?", re.MULTILINE)
_INDEX_FORMAT = "$(SITE)\t$(RELEASE)\t$(CODENAME)\t$(COMPONENT)\t$(ORIGIN)\t$(LABEL)"


def given() -> Path | None:
    """Return the file that OVS_SOURCE names, or None.  Raises PrepareError unless it can be read."""
    name = os.environ.get("OVS_SOURCE")
    if not name:
        return None
    path = Path(name).expanduser().absolute()
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise PrepareError(
            f"OVS_SOURCE: {name!r} cannot be read ({error.strerror}): "
            f"give a tarball openvswitch-{SERIES}.x.tar.gz or a Debian package {_PACKAGE}_{SERIES}.x.deb"
        ) from None


def obtain(progress: Progress) -> Path:
    """Return the archive with the sources: OVS_SOURCE, the one in the cache, or a new download into the cache."""
    if path := given():
        return path
    if path := _cached():
        return path
    with cache.locked("source", progress):
        return _cached() or _download(progress)


def _cached() -> Path | None:
    found = [path for root in cache.roots() for path in (root / "source").glob(f"{_PACKAGE}_{SERIES}.*.deb")]
    return max(found, key=lambda path: path.name, default=None)


def _download(progress: Progress) -> Path:
    """Download the package into the cache."""
    final = cache.directory("source")
    work = final / "download.tmp"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        package = _fetch(work, progress)
        return package.rename(final / package.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch(work: Path, progress: Progress) -> Path:
    if distribution.codename() == _RELEASE:
        return packages.with_new_lists(lambda: _apt_download(work, [], progress), progress)
    mirrors = _mirrors()
    if not mirrors:
        raise PrepareError(
            "apt's configuration names no Debian mirror: add one to /etc/apt/sources.list, or set "
            f"OVS_SOURCE to a tarball openvswitch-{SERIES}.x.tar.gz"
        )
    for mirror in mirrors[:-1]:
        try:
            return _from_mirror(mirror, work, progress)
        except PrepareError as error:
            progress.log.write(f"{mirror}: {error}; trying the next mirror")
    return _from_mirror(mirrors[-1], work, progress)


def _mirrors() -> list[str]:
    """Return the URIs of the machine's sources for its own release, the likeliest first."""
    codename = distribution.codename()
    # Origin and label come from Release files, so a source whose lists were never fetched is listed without them only.
    return mirrors_of(_index_targets(), codename) or mirrors_of(_index_targets("--no-release-info"), codename)


def _index_targets(*options: str) -> list[str]:
    command = ["apt-get", "indextargets", *options, "--format", _INDEX_FORMAT, "Created-By: Packages"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()


def mirrors_of(index_targets: Sequence[str], codename: str) -> list[str]:
    """Choose mirrors from lines of `apt-get indextargets` in _INDEX_FORMAT; the likeliest come first, none comes twice.

    A source of unknown origin may be no mirror of Debian; then its signature fails.
    """
    ranked: dict[str, int] = {}
    for line in index_targets:
        site, release, code, component, origin, label = (line.split("\t") + [""] * 6)[:6]
        if component != "main" or codename not in (release, code) or site.startswith("cdrom:"):
            continue
        # A field that is not known stays unexpanded, as in `$(ORIGIN)`.
        if not origin.startswith("$(") and (origin, label) != ("Debian", "Debian"):
            continue
        ranked[site] = 0 if site.rstrip("/").endswith("debian") else 1
    return sorted(ranked, key=lambda site: ranked[site])


def _from_mirror(mirror: str, work: Path, progress: Progress) -> Path:
    """Download from a mirror with an apt state of its own below `work`."""
    options = _private_state(mirror, work)
    progress.detail("fetching Debian 13's package lists")
    try:
        packages.apt(
            [*options, "-o", "APT::Update::Error-Mode=any", "update"],
            progress,
            failure=f"cannot read {_RELEASE}'s package lists from {mirror}",
        )
    except ToolFailed as failure:
        raise packages.explain_network(failure, f"Debian's mirror {mirror}") from None
    return _apt_download(work, options, progress)


def _private_state(mirror: str, work: Path) -> list[str]:
    """Write a source list for one mirror; return the options that make apt use it with a state of its own."""
    lists, downloads = work / "lists", work / "downloads"
    for path in (lists / "partial", downloads / "archives" / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    signed_by = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    source_list = work / "sources.list"
    source_list.write_text(f"deb {signed_by}{mirror} {_RELEASE} main\n", encoding="utf-8")
    settings = {
        "Dir::Etc::sourcelist": source_list,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::lists": lists,
        "Dir::Cache": downloads,
        "Acquire::Languages": "none",
        # The cache may lie where apt's own user may not enter.
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _apt_download(work: Path, options: Sequence[str], progress: Progress) -> Path:
    progress.detail(f"downloading {_PACKAGE}")
    try:
        packages.apt([*options, "download", _PACKAGE], progress, failure=f"cannot download {_PACKAGE}", cwd=work)
    except ToolFailed as failure:
        raise packages.explain_network(failure, "Debian's mirror") from None
    found = sorted(work.glob(f"{_PACKAGE}_*.deb"))
    if not found or not found[-1].name.startswith(f"{_PACKAGE}_{SERIES}."):
        seen = found[-1].name if found else "nothing"
        raise PrepareError(f"the mirror offers {seen}, {SERIES}.x is needed: set OVS_SOURCE to a tarball openvswitch-{SERIES}.x.tar.gz")
    return found[-1]


def unpack(archive: Path, into: Path, progress: Progress, lock: int) -> tuple[Path, str]:
    """Unpack an archive; return the top of the source tree and its version, as in `3.5.0`.

    Raises PrepareError: not an archive, damaged, not Open vSwitch, another version than SERIES.
    """
    into.mkdir(parents=True)
    with archive.open("rb") as file:
        is_deb = file.read(8) == b"!<arch>\n"
    command: list[str | Path] = ["tar", "--no-same-owner", "-xf", archive, "-C", into]
    if is_deb:
        command = ["dpkg-deb", "-x", archive, into]
    tool.run(command, progress, failure=f"{archive} is no tarball or Debian package, or is damaged", lock=lock)
    return _tree(archive, into)


def _tree(archive: Path, into: Path) -> tuple[Path, str]:
    """Find the source tree in an unpacked archive and check its version."""
    for configure in sorted(into.glob("**/configure.ac"), key=lambda path: len(path.parts)):
        match = _AC_INIT.search(configure.read_text(encoding="utf-8", errors="replace"))
        if not match:
            continue
        version = match[1]
        if version.startswith(f"{SERIES}."):
            return configure.parent, version
        raise PrepareError(f"{archive} holds Open vSwitch {version}, {SERIES}.x is needed: give another OVS_SOURCE")
    raise PrepareError(f"{archive} holds no Open vSwitch sources (no configure.ac with AC_INIT(openvswitch, ...))")
