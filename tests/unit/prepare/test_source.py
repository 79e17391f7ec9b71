import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nvo3.prepare import source
from nvo3.prepare.errors import PrepareError
from tests.unit.prepare.support import Display, write_tarball, write_tree

_LOCK = 0  # any open descriptor serves


def _target(site: str, release: str, origin: str, label: str, component: str = "main") -> str:
    return "\t".join((site, release, "$(CODENAME)" if origin.startswith("$") else release, component, origin, label))


def test_mirrors_are_debians_for_the_own_release() -> None:
    targets = [
        _target("http://mirror.example/debian-security", "bookworm-security", "Debian", "Debian-Security"),
        _target("http://mirror.example/debian", "bookworm-updates", "Debian", "Debian"),
        _target("http://vendor.example/deb", "bookworm", "Vendor", "Vendor"),
        _target("http://mirror.example/debian", "bookworm", "Debian", "Debian", "contrib"),
        _target("http://mirror.example/debian", "bookworm", "Debian", "Debian"),
        _target("http://mirror.example/debian", "bookworm", "Debian", "Debian"),
    ]
    assert source.mirrors_of(targets, "bookworm") == ["http://mirror.example/debian"]


def test_mirrors_before_the_first_update_are_ordered_by_likelihood() -> None:
    unknown = ("$(ORIGIN)", "$(LABEL)")
    targets = [
        _target("cdrom:[Debian 12]", "bookworm", *unknown),
        _target("http://vendor.example/linux", "bookworm", *unknown),
        _target("http://mirror.example/debian/", "bookworm", *unknown),
    ]
    expected = ["http://mirror.example/debian/", "http://vendor.example/linux"]
    assert source.mirrors_of(targets, "bookworm") == expected


def test_mirrors_of_a_source_list_that_says_oldstable() -> None:
    line = "\t".join(("http://mirror.example/debian", "oldstable", "bookworm", "main", "Debian", "Debian"))
    assert source.mirrors_of([line], "bookworm") == ["http://mirror.example/debian"]


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get")
@pytest.mark.parametrize("form", ["one-line", "deb822"])
def test_mirrors_of_both_kinds_of_source_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """The real apt-get reads a configuration of ours."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "lists").mkdir()
    listed = tmp_path / "sources.list"
    listed.write_text("deb http://mirror.example/debian bookworm main\n" if form == "one-line" else "")
    if form == "deb822":
        deb822 = "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
        (tmp_path / "parts" / "debian.sources").write_text(deb822)
    config = tmp_path / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{listed}";\nDir::Etc::sourceparts "{tmp_path}/parts";\nDir::State::lists "{tmp_path}/lists";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))
    monkeypatch.setattr(source.distribution, "codename", lambda: "bookworm")
    assert source._mirrors() == ["http://mirror.example/debian"]


def test_given_source_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OVS_SOURCE", str(tmp_path / "none.tar.gz"))
    with pytest.raises(PrepareError, match=r"OVS_SOURCE: '.*none.tar.gz' cannot be read \(No such file or directory\): give"):
        source.given()
    monkeypatch.setenv("OVS_SOURCE", str(tmp_path))
    with pytest.raises(PrepareError, match=r"cannot be read \(Is a directory\)"):
        source.given()


def test_unpack_of_a_tarball(tarball: Path, tmp_path: Path, progress: Display) -> None:
    tree, version = source.unpack(tarball, tmp_path / "into", progress, _LOCK)
    assert version == "3.5.0"
    assert (tree / "configure").exists()


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb")
def test_unpack_of_a_debian_package(tmp_path: Path, progress: Display) -> None:
    package = tmp_path / "package"
    write_tree(package / "usr" / "src" / "openvswitch", "3.5.1")
    (package / "DEBIAN").mkdir()
    control = "Package: openvswitch-source\nVersion: 3.5.1-1\nArchitecture: all\nMaintainer: a <a@b.example>\n"
    (package / "DEBIAN" / "control").write_text(control + "Description: test\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", package, tmp_path / "x.deb"], check=True)
    tree, version = source.unpack(tmp_path / "x.deb", tmp_path / "into", progress, _LOCK)
    assert (version, tree.relative_to(tmp_path / "into")) == ("3.5.1", Path("usr/src/openvswitch"))


def test_unpack_of_another_version(tmp_path: Path, progress: Display) -> None:
    archive = write_tarball(tmp_path / "a.tar.gz", write_tree(tmp_path / "ovs", "3.6.1"))
    with pytest.raises(PrepareError, match=r"a\.tar\.gz holds Open vSwitch 3\.6\.1, 3\.5\.x is needed"):
        source.unpack(archive, tmp_path / "into", progress, _LOCK)


def test_unpack_of_something_else(tmp_path: Path, progress: Display) -> None:
    archive = write_tarball(tmp_path / "a.tar.gz", write_tree(tmp_path / "ovn", "3.5.0", name="ovn"))
    with pytest.raises(PrepareError, match=r"a\.tar\.gz holds no Open vSwitch sources"):
        source.unpack(archive, tmp_path / "into", progress, _LOCK)


@pytest.mark.parametrize("damage", ["truncated", "random", "empty"])
def test_unpack_of_a_damaged_archive(tarball: Path, tmp_path: Path, progress: Display, damage: str) -> None:
    whole = tarball.read_bytes()
    tarball.write_bytes({"truncated": whole[: len(whole) // 2], "random": os.urandom(5000), "empty": b""}[damage])
    with pytest.raises(PrepareError, match=r"openvswitch-3\.5\.0\.tar\.gz (is no tarball|holds no Open vSwitch)"):
        source.unpack(tarball, tmp_path / "into", progress, _LOCK)


def test_download_of_the_wrong_version_says_what_is_needed(tmp_path: Path, progress: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_arguments: object, **_options: object) -> None:
        (tmp_path / "openvswitch-source_3.7.0-1_all.deb").write_text("")

    monkeypatch.setattr(source.packages, "apt", download)
    with pytest.raises(PrepareError, match=r"the mirror offers openvswitch-source_3\.7\.0-1_all\.deb, 3\.5\.x is needed"):
        source._apt_download(tmp_path, [], progress)


def test_obtain_takes_the_downloaded_package_again(cache: Path, progress: Display) -> None:
    package = cache / "source" / "openvswitch-source_3.5.0-1_all.deb"
    package.parent.mkdir(parents=True)
    package.write_text("")
    assert source.obtain(progress) == package
