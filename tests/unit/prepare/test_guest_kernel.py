"""Against a fake apt-get that serves two small packages."""

import os
import subprocess
from pathlib import Path

import pytest

from nvo3.prepare import distribution, guest_kernel
from nvo3.prepare.errors import PrepareError, ToolFailed
from tests.unit.prepare.support import Display

_RELEASE = "6.1.0-7-cloud-amd64"
_APT_GET = """#!/bin/sh
for word; do last=$word; done
echo "$last" >> "$MIRROR/calls"
[ -e "$MIRROR/offline" ] && { echo "E: Failed to fetch http://deb.example/x.deb  Could not resolve 'deb.example'"; exit 100; }
case $last in
update) touch "$MIRROR/fresh" ;;
*) [ -e "$MIRROR/fresh" ] || { echo "E: Failed to fetch http://deb.example/x.deb  404 Not Found"; exit 100; }
   cp "$MIRROR/$last"_*.deb . ;;
esac
"""


def _package(mirror: Path, name: str, files: dict[str, str], depends: str = "") -> None:
    tree = mirror / name
    control = f"Package: {name}\nVersion: 6.1.1-1\nArchitecture: amd64\nMaintainer: nobody <nobody@example.org>\nDescription: none\n"
    for path, content in {"DEBIAN/control": control + (f"Depends: {depends}\n" if depends else ""), **files}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    subprocess.run(["dpkg-deb", "-b", tree, mirror / f"{name}_6.1.1-1_amd64.deb"], check=True, capture_output=True)


@pytest.fixture
def mirror(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror whose packages are newer than the machine's lists; returns its directory."""
    mirror, programs = tmp_path / "mirror", tmp_path / "programs"
    mirror.mkdir()
    programs.mkdir()
    (programs / "apt-get").write_text(_APT_GET)
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("MIRROR", str(mirror))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(distribution, "codename", lambda: "bookworm")
    _package(mirror, "linux-image-cloud-amd64", {}, f"linux-image-{_RELEASE} (= 6.1.1-1)")
    modules = f"lib/modules/{_RELEASE}"
    kernel = {
        f"boot/vmlinuz-{_RELEASE}": "kernel",
        f"{modules}/modules.order": "",
        f"{modules}/modules.builtin": "",
        f"{modules}/kernel/drivers/net/README": "",
        f"{modules}/kernel/net/netfilter/nf.txt": "wanted",
        f"{modules}/kernel/fs/ext4/ext4.txt": "of no use",
    }
    _package(mirror, f"linux-image-{_RELEASE}", kernel)
    return mirror


def test_kernel_of_the_day_with_some_of_its_modules(mirror: Path, progress: Display) -> None:
    directory = guest_kernel.ensure_guest_kernel(progress)
    assert (directory / "vmlinuz").read_text() == "kernel"
    modules = directory / "lib" / "modules" / _RELEASE
    assert (modules / "kernel/net/netfilter/nf.txt").read_text() == "wanted"
    assert (modules / "modules.dep").exists() and not (modules / "kernel/fs").exists()
    # Outdated lists are fetched again; and what is there is not.
    calls = ["linux-image-cloud-amd64", "update", "linux-image-cloud-amd64", f"linux-image-{_RELEASE}"]
    assert guest_kernel.ensure_guest_kernel(progress) == directory
    assert (mirror / "calls").read_text().splitlines() == calls
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]


def test_mirror_that_cannot_be_reached(mirror: Path, cache: Path, progress: Display) -> None:
    (mirror / "offline").touch()
    with pytest.raises(ToolFailed, match=r"Debian's mirror cannot be reached \(.*Could not resolve"):
        guest_kernel.ensure_guest_kernel(progress)
    assert not any((cache / "guest-kernel").iterdir())


def test_package_without_a_kernel(mirror: Path, progress: Display) -> None:
    _package(mirror, "linux-image-cloud-amd64", {})
    with pytest.raises(PrepareError, match="linux-image-cloud-amd64_6.1.1-1_amd64.deb holds no kernel"):
        guest_kernel.ensure_guest_kernel(progress)
