"""The whole way of a build, with a source tree that builds in a second."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nvo3.prepare import ovs, packages, patch
from nvo3.prepare.errors import PrepareError, ToolFailed
from tests.unit.prepare.support import Display, start_python, wait_for, write_tarball, write_tree

_ENSURE = """
from nvo3.prepare import ensure_ovs, new_progress, ovs, packages, reported
packages.missing = lambda names=(): []
progress = new_progress()
with reported(progress):
    print(ensure_ovs(progress, stock=True), flush=True)
"""


@pytest.fixture(autouse=True)
def _prepared(cache: Path, tarball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with all packages, the small source, and no patches."""
    monkeypatch.setenv("OVS_SOURCE", str(tarball))
    monkeypatch.setattr(packages, "missing", lambda names=(): [])
    monkeypatch.setattr(patch, "DIRECTORY", tmp_path / "patches")
    (tmp_path / "patches").mkdir()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A named pipe at which a build waits."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest.fixture
def builds(gate: Path) -> Iterator["list[subprocess.Popen[str]]"]:
    """Builds in processes of their own; what is left of them ends with the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _at_gate(process: "subprocess.Popen[str]", cache: Path) -> None:
    wait_for(lambda: any("waiting" in log.read_text() for log in cache.glob("log/*.log")), "the build runs")
    assert process.poll() is None


def _leftovers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "ovs").iterdir() if ".tmp" in path.name]


def test_build_ends_with_a_prefix_that_works(cache: Path, progress: Display) -> None:
    assert ovs.find() is None and not ovs.ready()
    progress.expect(ovs.STEPS)
    prefix = ovs.ensure_ovs(progress)
    assert prefix.parent == cache / "ovs" and prefix.name.startswith("3.5.0-")
    version = subprocess.run([prefix / "sbin" / "ovs-vswitchd"], capture_output=True, text=True, check=True).stdout
    assert "3.5.0" in version
    assert json.loads((prefix / ovs.BUILD_INFO).read_text())["version"] == "3.5.0"
    assert _leftovers(cache) == []
    assert [line for line in progress.lines if "done" in line] == [
        "[1/3] Fetch the Open vSwitch source: done in 0.0 s",
        "[2/3] Configure Open vSwitch (patched): done in 0.0 s",
        "[3/3] Build Open vSwitch 3.5.0: done in 0.0 s",
    ]
    assert f"configuring for {prefix}" in progress.log.path.read_text()


def test_second_time_nothing_is_built(progress: Display, tmp_path: Path) -> None:
    prefix = ovs.ensure_ovs(progress)
    again = Display(tmp_path)
    assert ovs.ensure_ovs(again) == prefix == ovs.find()
    assert again.lines == []


def test_force_builds_anew_in_the_same_place(progress: Display) -> None:
    prefix = ovs.ensure_ovs(progress)
    (prefix / "old").write_text("")
    assert ovs.ensure_ovs(progress, force=True) == prefix
    assert not (prefix / "old").exists() and (prefix / "sbin" / "ovs-vswitchd").exists()


def test_patched_and_stock_are_different_builds(tmp_path: Path, progress: Display) -> None:
    (tmp_path / "patches" / "files" / "lib").mkdir(parents=True)
    (tmp_path / "patches" / "files" / "lib" / "a.c").write_text("patched\n")
    patched, stock = ovs.ensure_ovs(progress), ovs.ensure_ovs(progress, stock=True)
    assert ((patched / "a.c").read_text(), (stock / "a.c").read_text()) == ("patched\n", "one\ntwo\nthree\n")
    assert (ovs.find(), ovs.find(stock=True)) == (patched, stock)


def test_changed_patch_is_a_new_build(tmp_path: Path, progress: Display) -> None:
    first = ovs.ensure_ovs(progress)
    (tmp_path / "patches" / "files").mkdir()
    (tmp_path / "patches" / "files" / "new.c").write_text("new\n")
    assert ovs.find() is None
    assert ovs.ensure_ovs(progress) != first


def test_tree_is_kept_where_that_is_asked_for(cache: Path, progress: Display) -> None:
    prefix = ovs.ensure_ovs(progress, keep_tree=True)
    tree = ovs.find_tree()
    assert tree == cache / "ovs-tree" / prefix.name and tree is not None
    assert (tree / "lib" / "a.c").exists() and not (tree / "lib" / "a.o").exists()
    assert "testsuite: --version" in progress.log.path.read_text()
    assert ovs.ready(keep_tree=True) and _leftovers(cache) == []


def test_tree_that_was_not_kept_is_built_beside_the_prefix(progress: Display) -> None:
    prefix = ovs.ensure_ovs(progress)
    (prefix / "in use").write_text("")
    assert ovs.ready() and not ovs.ready(keep_tree=True)
    assert ovs.ensure_ovs(progress, keep_tree=True) == prefix
    assert ovs.ready(keep_tree=True) and (prefix / "in use").exists()


def test_newest_version_is_found(cache: Path, tmp_path: Path, progress: Display) -> None:
    old = ovs.ensure_ovs(progress)
    new = old.with_name(old.name.replace("3.5.0", "3.5.10"))
    new.mkdir()
    old.with_name(old.name.replace("3.5.0", "3.5.9")).mkdir()
    assert ovs.find() == new


def test_boot_runs_where_configure_is_stale(tmp_path: Path, progress: Display) -> None:
    (tmp_path / "patches" / "files" / "lib").mkdir(parents=True)
    (tmp_path / "patches" / "files" / "lib" / "automake.mk").write_text("new\n")
    ovs.ensure_ovs(progress)
    assert "$ sh ./boot.sh" in progress.log.path.read_text()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "configure",
            "echo 'configure: error: C compiler cannot create executables'; exit 77\n",
            "no working C compiler",
        ),
        ("configure", "exit 1\n", "Open vSwitch's configure failed (exit status 1)"),
        ("Makefile.in", "all:\n\tfalse\n", "Open vSwitch does not compile (exit status 2)"),
        ("Makefile.in", "all:\n\t@echo 'a.o: No space left on device'; false\n", "the disk is full at "),
        ("Makefile.in", "all:\ninstall:\n\tmkdir -p $(DESTDIR)@prefix@\n", "the new ovs-vswitchd does not start"),
    ],
)
def test_broken_build_says_what_and_is_not_taken_for_complete(
    tmp_path: Path,
    cache: Path,
    progress: Display,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    content: str,
    message: str,
) -> None:
    tree = write_tree(tmp_path / "broken" / "openvswitch-3.5.0")
    whole = (tree / file).read_text()
    (tree / file).write_text((whole + content) if file == "configure" else content)
    monkeypatch.setenv("OVS_SOURCE", str(write_tarball(tmp_path / "broken.tar.gz", tree)))
    with pytest.raises(PrepareError) as caught:
        ovs.ensure_ovs(progress)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    if isinstance(caught.value, ToolFailed):
        assert "the build tree is kept" in caught.value.log.read_text()
    assert ovs.find() is None and len(_leftovers(cache)) == 1


def test_missing_packages_are_named(progress: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda names=(): ["gcc", "make"])
    with pytest.raises(PrepareError, match="the build needs Debian packages: run 'sudo apt-get install gcc make'"):
        ovs.ensure_ovs(progress)


def test_two_builds_at_once_wait_for_each_other(cache: Path, gate: Path, builds: "list[subprocess.Popen[str]]") -> None:
    builds.append(start_python(_ENSURE, GATE=str(gate)))
    _at_gate(builds[0], cache)
    builds.append(start_python(_ENSURE))
    assert builds[1].stdout is not None
    assert f"waiting for process {builds[0].pid}, which prepares ovs-" in builds[1].stdout.readline()
    gate.write_text("")
    outputs = [process.communicate(timeout=20)[0] for process in builds]
    assert [process.returncode for process in builds] == [0, 0]
    assert outputs[0].splitlines()[-1] == outputs[1].splitlines()[-1]
    assert "Build Open vSwitch" not in outputs[1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_build_ended_half_way_is_done_again(
    cache: Path, gate: Path, builds: "list[subprocess.Popen[str]]", number: int, status: int
) -> None:
    builds.append(start_python(_ENSURE, GATE=str(gate)))
    _at_gate(builds[0], cache)
    builds[0].send_signal(number)
    assert builds[0].wait(20) == status
    assert len(_leftovers(cache)) == (1 if number == signal.SIGKILL else 0)
    builds.append(start_python(_ENSURE))
    output = builds[1].communicate(timeout=20)[0]
    assert builds[1].returncode == 0
    prefix = Path(output.splitlines()[-1])
    assert (prefix / "sbin" / "ovs-vswitchd").exists()
    assert _leftovers(cache) == []
