from pathlib import Path

import pytest

from nvo3.prepare.errors import PrepareError
from nvo3.prepare.progress import Log
from tests.unit.prepare.support import Display


def test_plain_lines_come_every_few_seconds(progress: Display) -> None:
    progress.expect(2)
    with progress.step("Build"):
        for now in range(1, 8):
            progress.now = float(now)
            progress.detail(f"{now}/9 files")
    assert progress.lines == ["[1/2] Build ...", "[1/2] Build: 5/9 files, 5.0 s", "[1/2] Build: done in 7.0 s"]


def test_live_line_is_redrawn_in_place(tmp_path: Path) -> None:
    display = Display(tmp_path, live=True)
    display.expect(1)
    with display.step("Build"):
        display.now = 12.0
        display.detail("3/9 files")
    assert display.output.getvalue() == (
        "\r\x1b[K[1/1] Build" + "\r\x1b[K[1/1] Build: 3/9 files, 12 s" + "\r\x1b[K[1/1] Build: done in 12 s\n"
    )


@pytest.mark.parametrize(("error", "word"), [(PrepareError("x"), "failed"), (KeyboardInterrupt(), "stopped")])
def test_step_that_ends_early_says_so(progress: Display, error: BaseException, word: str) -> None:
    with pytest.raises(type(error)), progress.step("Build"):
        raise error
    assert progress.lines[-1] == f"[1/1] Build: {word} after 0.0 s"


def test_more_steps_than_expected_are_counted(progress: Display) -> None:
    for title in ("One", "Two"):
        with progress.step(title):
            pass
    assert progress.lines[-1] == "[2/2] Two: done in 0.0 s"


def test_log_is_made_with_its_first_line_and_old_ones_go(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"20200101-0000{number:02}-1.log").write_text("old")
    log = Log(lambda: tmp_path)
    assert len(list(tmp_path.iterdir())) == 30
    for number in range(40):
        log.write(f"line {number}")
    assert len(list(tmp_path.iterdir())) == 20
    assert log.path.read_text().splitlines()[-1] == "line 39"
    assert list(log.tail) == [f"line {number}" for number in range(25, 40)]
