"""Against a fake dpkg-query and apt-get in a directory of their own, since the real ones would change the machine."""

from pathlib import Path

import pytest

from nvo3.prepare import distribution, packages
from nvo3.prepare.errors import PrepareError, ToolFailed
from tests.unit.prepare.support import Display

# Packages are "installed" when a file of their name stands in $STATE; apt-get writes its arguments to $STATE/../calls.
_DPKG_QUERY = """#!/bin/sh
shift 3
for name; do [ -e "$STATE/$name" ] && echo "$name installed"; done
exit 0
"""
_APT_GET = """#!/bin/sh
for word; do last=$word; done
case " $* " in
*" update "*)
    echo update >> "$STATE/../calls"
    [ -n "$BROKEN_SOURCE" ] && { echo "E: Failed to fetch http://vendor.example  Connection refused"; exit 100; }
    [ -n "$OFFLINE" ] || touch "$STATE/../fresh"
    exit 0 ;;
esac
echo "install $last" >> "$STATE/../calls"
[ -n "$OFFLINE" ] && { echo "E: Failed to fetch http://deb.example/x.deb  Could not resolve 'deb.example'"; exit 100; }
[ -e "$STATE/../fresh" ] || { echo "E: Failed to fetch http://deb.example/x.deb  404 Not Found"; exit 100; }
echo "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded."
for word; do case $word in -*|*=*|install) ;; *) echo "Unpacking $word"; touch "$STATE/$word" ;; esac; done
"""


@pytest.fixture
def machine(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no package installed and outdated package lists; returns the directory with its state."""
    programs, state = tmp_path / "programs", tmp_path / "state"
    for directory in (programs, state, tmp_path / "lists"):
        directory.mkdir()
    for name, script in (("dpkg-query", _DPKG_QUERY), ("apt-get", _APT_GET)):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    (tmp_path / "lists" / "mirror_Packages.lz4").write_text("")
    (tmp_path / "status").write_text("")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(state))
    monkeypatch.setattr(packages, "_APT_LISTS", tmp_path / "lists")
    monkeypatch.setattr(packages, "DPKG_STATUS", tmp_path / "status")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(distribution, "codename", lambda: "bookworm")
    return state


def _calls(machine: Path) -> list[str]:
    path = machine.parent / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_missing_are_those_that_dpkg_does_not_know(machine: Path) -> None:
    (machine / "gcc").touch()
    assert packages.missing(["gcc", "make"]) == ["make"]
    assert not packages.ready()


def test_outdated_lists_are_fetched_and_the_installation_tried_again(machine: Path, progress: Display) -> None:
    packages.ensure_packages(progress, ["gcc", "make"])
    assert _calls(machine) == ["install make", "update", "install make"]
    assert packages.missing(["gcc", "make"]) == []
    assert progress.lines == ["[1/1] Install 2 Debian packages ...", "[1/1] Install 2 Debian packages: done in 0.0 s"]


def test_no_lists_are_fetched_first(machine: Path, progress: Display) -> None:
    (machine.parent / "lists" / "mirror_Packages.lz4").unlink()
    packages.ensure_packages(progress, ["gcc"])
    assert _calls(machine) == ["update", "install gcc"]


def test_only_what_is_missing_is_installed(machine: Path, progress: Display) -> None:
    (machine / "make").touch()
    (machine.parent / "fresh").touch()
    packages.ensure_packages(progress, ["gcc", "make"])
    assert _calls(machine) == ["install gcc"]


def test_answer_is_remembered_until_dpkg_does_something(machine: Path) -> None:
    for name in packages.PACKAGES:
        (machine / name).touch()
    assert packages.ready()
    (machine / "gcc").unlink()
    assert packages.ready()
    (machine.parent / "status").write_text("changed")
    assert packages.missing() == ["gcc"]


def test_not_root_gets_the_command_to_run(machine: Path, progress: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PrepareError, match=r"only root can install them: run 'sudo apt-get install gcc make'"):
        packages.ensure_packages(progress, ["gcc", "make"])
    assert _calls(machine) == []


def test_unreachable_mirror_is_named_as_such(machine: Path, progress: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFLINE", "1")
    with pytest.raises(ToolFailed) as caught:
        packages.ensure_packages(progress, ["gcc"])
    message = str(caught.value)
    assert message.startswith("Debian's mirror cannot be reached") and "Could not resolve 'deb.example'" in message
    assert "\n" not in message and caught.value.log.exists()


def test_broken_source_is_to_blame_only_if_a_package_is_not_found(
    machine: Path, progress: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN_SOURCE", "1")
    with pytest.raises(ToolFailed, match=r"cannot be reached \(Failed to fetch http://vendor.example  Connection refused\)"):
        packages.ensure_packages(progress, ["gcc"])
    (machine.parent / "fresh").touch()
    packages.ensure_packages(progress, ["gcc"])
    assert packages.missing(["gcc"]) == []
