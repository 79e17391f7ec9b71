import os
import signal
from pathlib import Path

import pytest

from nvo3.prepare import tool
from nvo3.prepare.errors import PrepareError, ToolFailed
from tests.unit.prepare.support import Display, start_python, wait_for

# Runs a tool whose child writes its process id to a file and then waits for ever.
_RUN = """
import sys
from nvo3.prepare import cache, steps, tool
progress = cache.new_progress()
with steps.reported(progress):
    script = 'cat "$1" & echo $! > "$2"; wait'
    tool.run(["sh", "-c", script, "sh", *sys.argv[1:]], progress, failure="failed")
"""


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_run_returns_and_logs_all_output(progress: Display) -> None:
    seen: list[str] = []
    script = "echo out; echo err >&2; printf 'a\\rb\\nlast'"
    assert tool.run(["sh", "-c", script], progress, failure="failed", on_line=seen.append) == seen
    assert seen == ["out", "err", "a", "b", "last"]
    assert progress.log.path.read_text().splitlines()[1:] == seen


def test_run_that_fails_carries_the_last_lines(progress: Display) -> None:
    with pytest.raises(ToolFailed) as caught:
        tool.run(["sh", "-c", "seq 100; exit 3"], progress, failure="it broke")
    assert str(caught.value) == "it broke (exit status 3)"
    assert caught.value.tail[-2:] == ("100", "exit status 3")
    assert caught.value.log.read_text().count("\n") == 102


def test_run_of_a_killed_tool_names_the_signal(progress: Display) -> None:
    with pytest.raises(ToolFailed, match=r"it broke \(killed by SIGSEGV\)"):
        tool.run(["sh", "-c", "kill -SEGV $$"], progress, failure="it broke")


def test_run_of_a_program_that_is_not_there(progress: Display) -> None:
    with pytest.raises(PrepareError, match=r"it broke: cannot start no-such-program \(No such file or directory\)"):
        tool.run(["no-such-program"], progress, failure="it broke", dies_with_us=False)


def test_environment_has_nothing_that_changes_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CFLAGS", "MAKEFLAGS", "OVS_RUNDIR", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    environment = tool.environment(EXTRA="y")
    assert not {"CFLAGS", "MAKEFLAGS", "OVS_RUNDIR", "PYTHONPATH"} & environment.keys()
    assert environment["LC_ALL"] == "C.UTF-8" and environment["EXTRA"] == "y"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)])
def test_signal_ends_the_tool_and_its_children(cache: Path, tmp_path: Path, number: int, status: int) -> None:
    gate, pid_file = tmp_path / "gate", tmp_path / "pid"
    os.mkfifo(gate)
    process = start_python(_RUN, str(gate), str(pid_file))
    wait_for(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "the tool runs")
    child = int(pid_file.read_text())
    shell = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1])
    process.send_signal(number)
    try:
        assert process.wait(10) == status
        wait_for(lambda: not _alive(shell), "the tool ended")
        if number != signal.SIGKILL:
            assert not _alive(child)
            assert "run the command again" in process.communicate()[0]
    finally:
        if _alive(child):
            os.kill(child, signal.SIGKILL)
