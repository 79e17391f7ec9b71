"""Debian's kernel for a virtual machine: that of the machine's own release, unpacked into the cache and never installed.

    guest-kernel/KEY/vmlinuz
    guest-kernel/KEY/lib/modules/RELEASE/     the modules that a guest of few devices has a use for, and their index

The kernel is that of the day on which it was fetched.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from nvo3.prepare import cache, distribution, packages, tool, unpacked
from nvo3.prepare.errors import PrepareError
from nvo3.prepare.progress import Progress

# The kernel for clouds: what a physical machine needs is left out.  The package itself is empty and depends on that of the day.
_PACKAGE = "linux-image-cloud-amd64"
_IMAGE = re.compile(r"\blinux-image-[\w.+-]+")
_MODULES = ("arch", "crypto", "drivers/char", "drivers/net/*.ko*", "drivers/virtio", "lib", "net/core", "net/netfilter")
_SPACE_BYTES = 250_000_000
_KIND = "guest-kernel"


def _key() -> str:
    """Return the digest of all that makes one differ from another, but for the day."""
    release = distribution.codename()
    return f"{release}-{cache.digest([(_PACKAGE, ' '.join(_MODULES).encode())])}"


def ensure_guest_kernel(progress: Progress | None = None) -> Path:
    """Return the directory with the kernel; fetch it if need be.

    Raises PrepareError: not Debian, mirror unreachable, no space.
    """
    return unpacked.ensure(_KIND, _key(), "a guest's kernel", _SPACE_BYTES, _make, progress)


def _make(work: Path, progress: Progress, lock: int) -> Path:
    """Return the directory, made below `work`."""
    package = packages.with_new_lists(lambda: _fetch(work, progress), progress)
    progress.detail("unpacking")
    tree, made = work / "unpacked", work / "made"
    tool.run(["dpkg-deb", "-x", package, tree], progress, failure=f"{package.name} is damaged", lock=lock)
    kernels, releases = sorted(tree.glob("boot/vmlinuz-*")), sorted(tree.glob("**/lib/modules/*"))
    if not kernels or not releases:
        raise PrepareError(f"{package.name} holds no kernel: see {progress.log.path}")
    release = releases[0]
    modules = made / "lib" / "modules" / release.name
    for pattern in _MODULES:
        for source in release.glob(f"kernel/{pattern}"):
            target = modules / source.relative_to(release)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
    for index in release.glob("modules.*"):
        index.rename(modules / index.name)
    tool.run(["/sbin/depmod", "-b", made, release.name], progress, failure="depmod failed: is kmod installed?", lock=lock)
    kernels[0].rename(made / "vmlinuz")
    return made


def _fetch(work: Path, progress: Progress) -> Path:
    """Return the package with the kernel, in `work`.  Raises ToolFailed."""
    names: Sequence[str] = [_PACKAGE]
    for _ in range(2):
        progress.detail(f"downloading {names[0]}")
        for outdated in work.glob(f"{names[0]}_*.deb"):
            outdated.unlink()
        packages.apt(["download", names[0]], progress, failure=f"cannot download {names[0]}", cwd=work)
        package = next(work.glob(f"{names[0]}_*.deb"))
        depends = tool.run(["dpkg-deb", "-f", package, "Depends"], progress, failure=f"{package.name} is damaged")
        names = _IMAGE.findall(" ".join(depends)) or names
    return package
