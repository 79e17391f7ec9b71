import os
import time
from pathlib import Path

import pytest

from nvo3.prepare import cache as nvo3_cache
from nvo3.prepare.errors import PrepareError
from tests.unit.prepare.support import Display, start_python, wait_for

_HOLD = """
import sys
from nvo3.prepare import cache
with cache.locked("thing", cache.new_progress()):
    print("held", flush=True)
    open(sys.argv[1]).read()
"""


def test_root_is_what_the_variable_names(cache: Path) -> None:
    assert nvo3_cache.root() == cache
    assert nvo3_cache.roots() == [cache]


def test_root_of_another_user_is_in_their_home_and_reads_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVO3_CACHE", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    assert nvo3_cache.roots() == [Path("/home/ada/.cache/nvo3"), Path("/var/cache/nvo3")]


def test_root_with_a_blank_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVO3_CACHE", "/a b")
    with pytest.raises(PrepareError, match=r"NVO3_CACHE: '/a b' contains a blank"):
        nvo3_cache.root()


def test_directory_below_a_file_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NVO3_CACHE", str(tmp_path / "file"))
    with pytest.raises(PrepareError, match=r"cannot create .*/file/log \(Not a directory\): set NVO3_CACHE"):
        nvo3_cache.directory("log")


def test_digest_depends_on_names_contents_and_borders() -> None:
    reference = nvo3_cache.digest([("a", b"bc")])
    assert len(reference) == 12
    for other in ([("a", b"bd")], [("b", b"bc")], [("a", b"b"), ("c", b"")], [("ab", b"c")], []):
        assert nvo3_cache.digest(other) != reference


def test_publish_replaces_a_finished_item(tmp_path: Path) -> None:
    final, made = tmp_path / "key", tmp_path / "key.tmp"
    for directory, content in ((final, "old"), (made, "new")):
        directory.mkdir()
        (directory / "file").write_text(content)
    nvo3_cache.publish(made, final, "key")
    assert (final / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [final]


def test_leftovers_go_unless_somebody_works_on_them(cache: Path, progress: Display) -> None:
    for name in ("key", "3.5.0-key", "key.tmp", "key.tmp-old", "crashed.tmp", "busy.tmp"):
        nvo3_cache.directory("thing", name)
    with nvo3_cache.locked("thing-busy", progress), nvo3_cache.locked("thing-key", progress):
        nvo3_cache.discard_leftovers("thing", "key")
    assert sorted(path.name for path in (cache / "thing").iterdir()) == ["3.5.0-key", "busy.tmp", "key"]


def test_lock_waits_for_the_holder_and_names_it(cache: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = start_python(_HOLD, str(gate))
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    second = start_python(_HOLD, "/dev/null")
    assert second.stdout is not None
    assert second.stdout.readline() == f"waiting for process {first.pid}, which prepares thing too\n"
    gate.write_text("")
    assert first.wait(10) == 0
    assert second.stdout.readline() == "held\n"
    assert second.wait(10) == 0


def test_lock_of_a_killed_holder_is_free(cache: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = start_python(_HOLD, str(gate))
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    first.kill()
    first.wait(10)
    second = start_python(_HOLD, "/dev/null")
    wait_for(lambda: second.poll() is not None, "second holder done")
    assert second.communicate()[0] == "held\n"


def test_require_space_names_both_sizes(cache: Path) -> None:
    nvo3_cache.require_space(1, "a byte")
    with pytest.raises(PrepareError, match=r"too little disk space for all: \d+\.\d GB free at .*, 1000000\.0 GB needed"):
        nvo3_cache.require_space(10**15, "all")


def test_wait_note_repeats_only_with_time(progress: Display) -> None:
    for now in (0.0, 1.0, 4.0, 5.5):
        progress.now = now
        progress.wait_note("waiting for process 1")
    assert progress.lines == ["waiting for process 1", "waiting for process 1, 5.5 s"]


def test_what_nobody_used_for_long_goes_but_for_the_newest(cache: Path) -> None:
    items = [nvo3_cache.directory("ovs", f"3.5.0-{n}") for n in range(5)]
    unfinished = nvo3_cache.directory("ovs", "5.tmp")
    for age, item in enumerate([*items, unfinished]):
        os.utime(item, (time.time() - 1000 * age,) * 2)
    nvo3_cache.used(items[4])
    nvo3_cache.discard_unused("ovs", keep=2, unused_s=1500)
    # 4 and 0 are the newest, 1 is not old enough.
    assert [item.exists() for item in items] == [True, True, False, False, True]
    assert unfinished.exists()
