"""What we add to Open vSwitch: `ovs_datapath_patch/`, applied to an unpacked source tree.

series    one patch a line, in the order they apply; `#` begins a comment
files/    laid over the tree first; a symbolic link into `native/` is followed, so that source exists once
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from nvo3.prepare import tool
from nvo3.prepare.errors import PrepareError, ToolFailed
from nvo3.prepare.progress import Progress

DIRECTORY = Path(__file__).resolve().parents[2] / "ovs_datapath_patch"
# Files that `configure` and the Makefiles are made from.
_AUTOTOOLS = re.compile(r"(\.am|\.ac|\.m4|(^|/)automake\.mk)$")
_PATCHED_FILE = re.compile(r"^\+\+\+ (?:b/)?(\S+)", re.MULTILINE)


def series(directory: Path | None = None) -> list[Path]:
    """Return the patches in the order they apply.  Raises PrepareError for a line that names no file."""
    directory = directory or DIRECTORY
    path = directory / "series"
    if not path.exists():
        return []
    patches = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name = line.split("#", 1)[0].strip()
        if not name:
            continue
        if "/" in name or not (directory / name).is_file():
            raise PrepareError(f"{path}:{number}: no file {name!r} stands beside it: correct the line or add the patch")
        patches.append(directory / name)
    return patches


def _files(directory: Path) -> list[Path]:
    """Return what is laid over the tree, relative to files/, in a fixed order."""
    top = directory / "files"
    return sorted(path.relative_to(top) for path in top.rglob("*") if path.is_file())


def contents(directory: Path | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of all that changes the build, for its key in the cache."""
    directory = directory or DIRECTORY
    for patch in series(directory):
        yield patch.name, patch.read_bytes()
    for name in _files(directory):
        path = directory / "files" / name
        yield f"files/{name} {path.stat().st_mode & 0o111:o}", path.read_bytes()


def apply(tree: Path, progress: Progress, lock: int, directory: Path | None = None) -> bool:
    """Lay files/ over a source tree and apply the series; return whether `configure` must be made anew.

    Raises PrepareError that names the patch which does not apply.
    """
    directory = directory or DIRECTORY
    patches = series(directory)
    names = _files(directory)
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(directory / "files" / name, tree / name)
    changed = [str(name) for name in names]
    for number, patch in enumerate(patches, start=1):
        progress.detail(f"patch {number}/{len(patches)} {patch.name}")
        _apply_one(patch, tree, progress, lock)
        changed += _PATCHED_FILE.findall(patch.read_text(encoding="utf-8", errors="replace"))
    return any(_AUTOTOOLS.search(name) for name in changed)


def _apply_one(patch: Path, tree: Path, progress: Progress, lock: int) -> None:
    command: list[str | Path] = ["patch", "-p1", "--batch", "--forward", "--no-backup-if-mismatch", "-i", patch]
    try:
        tool.run(command, progress, failure="", cwd=tree, lock=lock)
    except ToolFailed as failure:
        rejected = [line.split()[-1] for line in failure.tail if line.startswith("patching file ")][-1:]
        where = f" (last file: {rejected[0]})" if rejected else ""
        raise ToolFailed(
            f"ovs_datapath_patch/{patch.name} does not apply to Open vSwitch{where}: refresh the patch",
            failure.tail,
            failure.log,
        ) from None
