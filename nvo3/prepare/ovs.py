"""Builds Open vSwitch for the cache: source, patches, configure, make, install.

`--prefix` is the final directory, but `make install` goes to a temporary one that is then renamed, so a prefix that
exists is complete.  Where an instance keeps its databases, sockets and logs is said at run time (OVS_RUNDIR, OVS_DBDIR,
options), never by the build.

Open vSwitch's own tests run in its build tree, which an installation does not hold.  A build that is asked for it keeps
the tree as well, without what only the build itself needs.  The tree has moved then: its Makefiles are of no use.
"""

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from nvo3.prepare import cache, distribution, packages, patch, source, tool
from nvo3.prepare.errors import PrepareError, Terminated, ToolFailed
from nvo3.prepare.progress import Progress

STEPS = 3
SPACE_BYTES = 1_000_000_000  # 300 MB of build tree, 120 MB installed, 100 MB of sources and lists, and patches that add to it
TREES = "ovs-tree"
KEPT = 4  # builds that stay however old they are: patched and stock of two checkouts
UNUSED_S = 7 * 24 * 3600.0  # a lab may run from a build for longer than anybody asks for that build
BUILD_INFO = "nvo3-build.json"
# Symbols for perf.  What configure would decide by the libraries that it finds is decided here: builds do not differ.
_FLAGS = ("--enable-ssl", "--enable-libcapng", "--disable-afxdp", "CFLAGS=-O2 -g")
_N_OBJECTS = 324  # object files of Open vSwitch 3.5.0 with these flags; for display only
_NO_COMPILER = re.compile(r"C compiler cannot create executables|no acceptable C compiler")
_ONLY_FOR_BUILDING = frozenset((".o", ".lo", ".la", ".a", ".Po", ".Plo"))  # a third of a build tree
_COMPILES = re.compile(r"^(?!libtool: ).* -c (.*)-o \S+\.l?o( |$)")


def ready(keep_tree: bool = False) -> bool:
    """Whether the patched Open vSwitch is built, and its tree kept where that is asked for."""
    return _finished(stock=False, keep_tree=keep_tree) is not None


def find(stock: bool = False) -> Path | None:
    """Return the prefix of a finished build, the newest version where there are several, or None."""
    return _newest("ovs", _key(stock))


def find_tree(stock: bool = False) -> Path | None:
    """Return the build tree that was kept, the newest version where there are several, or None."""
    return _newest(TREES, _key(stock))


def _finished(stock: bool, keep_tree: bool) -> Path | None:
    prefix = find(stock)
    return prefix if prefix and (not keep_tree or find_tree(stock)) else None


def _newest(kind: str, key: str) -> Path | None:
    found = [path for root in cache.roots() for path in (root / kind).glob(f"{source.SERIES}.*-{key}")]
    return max(found, key=_version_of, default=None)


def _version_of(prefix: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", prefix.name.split("-")[0])]


def _key(stock: bool) -> str:
    """Return the digest of all that makes one build differ from another of the same version."""
    release = distribution.os_release()
    parts = [
        ("flags", "\0".join(_FLAGS).encode()),
        ("machine", f"{platform.machine()} {release.get('ID')} {release.get('VERSION_CODENAME')}".encode()),
    ]
    if given := source.given():
        parts.append(("source", given.read_bytes()))
    if not stock:
        parts.extend(patch.contents())
    return cache.digest(parts)


def ensure_ovs(progress: Progress | None = None, stock: bool = False, force: bool = False, keep_tree: bool = False) -> Path:
    """Return the prefix of Open vSwitch; build it if need be.

    stock: without our patches.  force: build even where a finished build stands, and replace that.
    keep_tree: have its build tree, too, for `find_tree`.
    Raises PrepareError: no source, no compiler, a patch that does not apply, no space.
    """
    if not force and (prefix := _finished(stock, keep_tree)):
        _note_use(prefix)
        return prefix
    distribution.codename()
    key = _key(stock)
    progress = progress or cache.new_progress()
    with cache.locked(f"ovs-{key}", progress) as lock:
        if not force and (prefix := _finished(stock, keep_tree)):
            return prefix
        if absent := packages.missing(packages.BUILD_PACKAGES):
            raise PrepareError(f"the build needs Debian packages: run 'sudo apt-get install {' '.join(absent)}'")
        cache.require_space(SPACE_BYTES, "building Open vSwitch")
        return _Build(key, stock, keep_tree, progress, lock).run(replace=force)


def _note_use(prefix: Path) -> None:
    cache.used(prefix)
    cache.used(prefix.parent.parent / TREES / prefix.name)


class _Build:
    """One build, in a working directory beside its final place.

    The directory is kept when the build fails, for a look at what it came from; the next build removes it.
    """

    def __init__(self, key: str, stock: bool, keep_tree: bool, progress: Progress, lock: int) -> None:
        self._key = key
        self._stock = stock
        self._keep_tree = keep_tree
        self._progress = progress
        self._lock = lock
        self._work = cache.directory("ovs") / f"{key}.tmp"
        self._n_compiled = 0
        self._n_objects = _N_OBJECTS

    def run(self, replace: bool) -> Path:
        """Build and return the prefix.  replace: also a finished one, which otherwise stays: a lab may run from it."""
        cache.discard_leftovers("ovs", self._key)
        try:
            return self._steps(replace)
        except (KeyboardInterrupt, Terminated):
            shutil.rmtree(self._work, ignore_errors=True)
            raise

    def _steps(self, replace: bool) -> Path:
        kind = "stock" if self._stock else "patched"
        with self._progress.step("Fetch the Open vSwitch source"):
            archive = source.obtain(self._progress)
        with self._progress.step(f"Configure Open vSwitch ({kind})"):
            tree, version = source.unpack(archive, self._work / "source", self._progress, self._lock)
            final = self._work.with_name(f"{version}-{self._key}")
            self._configure(tree, final)
        with self._progress.step(f"Build Open vSwitch {version}"):
            self._make(tree)
            made = self._install(tree, final, version)
            if self._keep_tree:
                self._keep(tree, final.name)
        if replace or not final.exists():
            cache.publish(made, final, self._key)
        shutil.rmtree(self._work, ignore_errors=True)
        _note_use(final)
        for kind in ("ovs", TREES):
            cache.discard_unused(kind, KEPT, UNUSED_S)
        return final

    def _configure(self, tree: Path, prefix: Path) -> None:
        stale = False if self._stock else patch.apply(tree, self._progress, self._lock)
        if stale or not (tree / "configure").exists():
            self._progress.detail("autoreconf")
            self._tool(["sh", "./boot.sh"], tree, "Open vSwitch's boot.sh failed")
        self._progress.detail("configure")
        try:
            self._tool(["sh", "./configure", f"--prefix={prefix}", *_FLAGS], tree, "Open vSwitch's configure failed")
        except ToolFailed as failure:
            if any("C compiler cannot create executables" in line or "no acceptable C compiler" in line for line in failure.tail):
                message = "no working C compiler: run 'sudo apt-get install --reinstall gcc libc6-dev'"
                raise ToolFailed(message, failure.tail, failure.log) from None
            raise
        if not self._stock:
            self._n_objects += sum(1 for _ in (patch.DIRECTORY / "files").rglob("*.c"))

    def _make(self, tree: Path) -> None:
        n_jobs = len(os.sched_getaffinity(0))
        self._tool(["make", f"-j{n_jobs}"], tree, "Open vSwitch does not compile", self._count)

    def _count(self, line: str) -> None:
        if _COMPILES.match(line):
            self._n_compiled += 1
            self._progress.detail(f"{self._n_compiled}/{max(self._n_objects, self._n_compiled)} files")

    def _install(self, tree: Path, final: Path, version: str) -> Path:
        """Install below the working directory; return the directory that becomes the final one."""
        self._progress.detail("installing")
        root = self._work / "root"
        self._tool(["make", "install", f"DESTDIR={root}"], tree, "Open vSwitch's 'make install' failed")
        made = root / final.relative_to("/")
        self._check(made, version)
        info = {
            "version": version,
            "patches": [] if self._stock else [path.name for path in patch.series()],
            "flags": list(_FLAGS),
        }
        (made / BUILD_INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        return made

    def _keep(self, tree: Path, name: str) -> None:
        """Move the tree to where it is kept, with all that the tests need beside the programs."""
        self._progress.detail("keeping the build tree")
        self._tool(["make", "check", "TESTSUITEFLAGS=--version"], tree, "Open vSwitch's tests cannot be built")
        for path in tree.rglob("*"):
            if path.suffix in _ONLY_FOR_BUILDING:
                path.unlink()
        trees = cache.directory(TREES)
        cache.discard_leftovers(TREES, self._key)
        cache.publish(tree, trees / name, self._key)

    def _check(self, prefix: Path, version: str) -> None:
        seen = _first_line_of([prefix / "sbin" / "ovs-vswitchd", "--version"])
        if not seen.endswith(version):
            raise PrepareError(f"the new ovs-vswitchd does not start ({seen}): see {self._progress.log.path}")

    def _tool(self, argv: list[str | Path], tree: Path, failure: str, on_line: tool.LineHandler | None = None) -> None:
        environment = tool.environment(PYTHON3="/usr/bin/python3")
        try:
            tool.run(argv, self._progress, failure=failure, cwd=tree, env=environment, lock=self._lock, on_line=on_line)
        except ToolFailed as error:
            self._progress.log.write(f"the build tree is kept: {tree}")
            if any("No space left on device" in line for line in error.tail):
                message = f"the disk is full at {self._work}: free some, or set NVO3_CACHE to a directory on a larger disk"
                raise ToolFailed(message, error.tail, error.log) from None
            raise


def _first_line_of(argv: list[str | Path]) -> str:
    """Return what a program says first, or why it says nothing."""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    except OSError as error:
        return error.strerror or str(error)
    return (done.stdout + done.stderr + f"\nexit status {done.returncode}").strip().splitlines()[0]
