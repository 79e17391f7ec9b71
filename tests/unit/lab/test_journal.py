"""The journal: what was made is known after a crash at any point, and is unmade."""

import json
from pathlib import Path

from nvo3.lab import journal, process
from nvo3.lab.journal import Entry, Journal


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    written = [Entry("netns", "nvo3-x-hv1"), Entry("process", "controller", 7, 1234), Entry("directory", "/d")]
    one = Journal(tmp_path / "journal")
    one.record(*written[:2])
    one.record(written[2])
    assert Journal(tmp_path / "journal").entries() == written


def test_entries_of_no_journal_are_none(tmp_path: Path) -> None:
    assert Journal(tmp_path / "journal").entries() == []


def test_entries_after_a_crash_within_a_line_lack_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path).record(Entry("netns", "a"), Entry("netns", "b"))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        names = [entry.name for entry in Journal(path).entries()]
        assert names == ["a", "b"][: len(names)]
        assert len(names) >= len(whole[:length].strip(b"\n").split(b"\n")) - 1


def test_entries_after_a_cut_line_are_still_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"kind": "netns", "na')
    Journal(path).record(Entry("netns", "later"))
    assert [entry.name for entry in Journal(path).entries()] == ["later"]


def test_entries_pass_over_what_is_not_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("\n".join(map(json.dumps, [1, {"kind": "netns"}, {"other": 1}, {"kind": "netns", "name": "a"}])) + "\n")
    assert Journal(path).entries() == [Entry("netns", "a")]


def test_last_process_is_the_latest_of_its_role(tmp_path: Path) -> None:
    one = Journal(tmp_path / "journal")
    one.record(Entry("process", "controller", 1, 10), Entry("process", "other", 2, 20), Entry("process", "controller", 3, 30))
    assert one.last_process("controller") == process.Process(3, 30)
    assert one.last_process("hv1 ovs-vswitchd") is None


def test_undo_stops_processes_and_removes_directories(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    entries: list[Entry] = [Entry("directory", str(directory))]
    started = process.spawn(
        ["sleep", "60"],
        lambda one: entries.append(Entry("process", "sleeper", one.pid, one.start_ticks)),
        log=directory / "log",
    )
    journal.undo(entries)
    assert not process.is_alive(started)
    assert not directory.exists()
    journal.undo(entries)  # twice does no harm


def test_undo_leaves_a_process_that_got_the_pid_of_another(tmp_path: Path) -> None:
    started = process.spawn(["sleep", "60"], lambda one: None, log=tmp_path / "log")
    try:
        journal.undo([Entry("process", "sleeper", started.pid, started.start_ticks - 1)])
        assert process.is_alive(started)
    finally:
        process.kill(started)
    assert not process.is_alive(started)
