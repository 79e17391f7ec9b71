"""What a virtual machine boots: Debian's kernel, and an initial file system with the agent and what it needs, at the paths of this machine.

Nothing else is in it, so the agent shows that it needs no more.  Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import _cffi_backend

from nvo3.prepare.fastpath import ensure_fastpath
from nvo3.prepare.guest_kernel import ensure_guest_kernel
from tests.netns.support import CHECKOUT
from tests.netns.vnics import TRANSFER

_COMMANDS = ("ip", "nft", "modprobe", "ping", "ss", "kill")
_INIT = Path(__file__).with_name("guest_init.py")
# Parts of the standard library that are large and of no use here.
_UNUSED = re.compile(r"/(test|tests|idlelib|tkinter|lib2to3|ensurepip|pydoc_data|turtledemo|config-[^/]*|dist-packages|site-packages)(/|$)")
_LIBRARY = re.compile(r"(/\S+) \(0x")


@dataclass(frozen=True, slots=True)
class Image:
    """kernel, initrd: files.  python: its path inside.  environment: of commands inside."""

    kernel: Path
    initrd: Path
    python: str
    environment: dict[str, str]


def make_image(directory: Path) -> Image:
    """Write the initial file system into a directory.  Raises PrepareError where there is no kernel."""
    kernel, fast_path = ensure_guest_kernel(), ensure_fastpath()
    python = Path(sys.executable).resolve()
    backend = Path(_cffi_backend.__file__)
    commands = [_command(name) for name in _COMMANDS]
    modules = [*_standard_library(), *fast_path.glob("*.so"), backend]
    libraries = _libraries([python, *commands, *(path for path in modules if path.suffix == ".so")])
    sources = [*(CHECKOUT / "nvo3").rglob("*.py"), TRANSFER]
    initrd = directory / "initrd"
    with initrd.open("wb") as file:
        archive = _Archive(file)
        archive.add("/init", f"#!{python}\n".encode() + _INIT.read_bytes(), executable=True)
        for path in (python, *commands, *modules, *libraries, *sources):
            archive.add_file(str(path), path)
        for path in (kernel / "lib").rglob("*"):
            if path.is_file():
                archive.add_file(f"/{path.relative_to(kernel)}", path)
        archive.close()
    search = [CHECKOUT, fast_path, backend.parent]
    return Image(kernel / "vmlinuz", initrd, str(python), {"PYTHONPATH": ":".join(map(str, search))})


def _command(name: str) -> Path:
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert path, f"the command {name} is not installed"
    # By its name, not by that of what it may be a link to: that is how it knows what to do.
    return Path("/sbin", name) if name == "modprobe" else Path(path)


def _standard_library() -> Iterator[Path]:
    for directory in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}:
        for path in Path(directory).rglob("*"):
            if path.is_file() and not _UNUSED.search(str(path)):
                yield path


def _libraries(programs: Iterable[Path]) -> list[Path]:
    """Return the shared libraries that programs and libraries need, with the loader."""
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in sorted(set(_LIBRARY.findall(listed)))]


class _Archive:
    """An archive of cpio's format "newc"."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._names: set[str] = set()

    def add_file(self, name: str, source: Path) -> None:
        """Add a file, or what a link leads to."""
        status = source.stat()
        self.add(name, source.read_bytes(), executable=bool(status.st_mode & stat.S_IXUSR), mtime=int(status.st_mtime))

    def add(self, name: str, content: bytes, *, executable: bool, mtime: int = 0) -> None:
        """Add a file with its directories."""
        for parent in reversed(Path(name).parents):
            self._put(str(parent), stat.S_IFDIR | 0o755, b"", 0)
        self._put(name, stat.S_IFREG | (0o755 if executable else 0o644), content, mtime)

    def close(self) -> None:
        self._put("/TRAILER!!!", 0, b"", 0)

    def _put(self, path: str, mode: int, content: bytes, mtime: int) -> None:
        name = os.fsencode(path.lstrip("/"))
        if path in self._names or not name:
            return
        self._names.add(path)
        fields = (len(self._names), mode, 0, 0, 1, mtime, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"
        for part in (header, content):
            self._file.write(part + bytes(-len(part) % 4))
