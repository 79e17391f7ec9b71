"""What a run makes of tests that fail always, now and then, or without our patches too; with a suite of shell lines."""

from pathlib import Path

import pytest

from nvo3.prepare import Progress, ToolFailed
from tests.ovs_suite.suite import Suite, summary

pytestmark = pytest.mark.netns

# Autotest's command line and output.  The file of a test holds its outcomes, one a run; the last one stays.
_TESTSUITE = r"""
tests=$(dirname "$0")
selected=
for word; do
    case $word in
        --list) for number in 1 2 3; do sed -n "1s/^/  $number: /p" "$tests/$number"; done; exit ;;
        [0-9]*) selected="$selected $word" ;;
    esac
done
for number in ${selected:-1 2 3}; do
    outcome=$(sed -n 2p "$tests/$number")
    [ "$(wc -l < "$tests/$number")" -gt 2 ] && sed -i 2d "$tests/$number"
    printf '%3d: %-47s %s\n' $number name "$outcome"
    mkdir -p testsuite.dir/$number
    printf 'a.at:1: false\n> a daemon\n' > testsuite.dir/$number/testsuite.log
done
"""
_FAILED = "FAILED (a.at:1)"


def _suite(tmp_path: Path, name: str, progress: Progress, *outcomes: list[str]) -> Suite:
    tests = tmp_path / f"{name}.tree" / "tests"
    tests.mkdir(parents=True)
    (tests / "testsuite").write_text(_TESTSUITE)
    (tests / "atlocal").write_text("")
    for number, lines in enumerate(outcomes, start=1):
        (tests / str(number)).write_text("\n".join([f"a.at:{number}  test {number}", *lines]) + "\n")
    return Suite(tests.parent, tmp_path / name, progress)


def test_what_fails_each_time_has_failed(tmp_path: Path, progress: Progress) -> None:
    suite = _suite(tmp_path, "patched", progress, ["ok"], [_FAILED], ["skipped (a.at:3)"])
    results, failed = suite.run_patiently("Tests")
    assert summary(results) == "3 tests: 1 passed, 1 skipped, 1 failed"
    assert [result.report() for result in failed] == [f"a.at test 2: {_FAILED}\n  a.at:1: false"]


def test_what_passes_when_run_alone_is_told_and_has_not_failed(tmp_path: Path, progress: Progress) -> None:
    suite = _suite(tmp_path, "patched", progress, [_FAILED, "ok"], ["ok"], [_FAILED, _FAILED, _FAILED, "ok"])
    with pytest.warns(UserWarning) as told:
        assert suite.run_patiently("Tests")[1] == []
    assert [str(one.message) for one in told if one.category is UserWarning] == [
        "a.at test 1: failed, then passed in run 1 alone",
        "a.at test 3: failed, then passed in run 3 alone",
    ]


def test_what_fails_on_stock_now_and_then_is_not_ours(tmp_path: Path, progress: Progress) -> None:
    stock = _suite(tmp_path, "stock", progress, ["ok"], ["ok", "ok", _FAILED, "ok"], [_FAILED])
    assert stock.fail_at_times(["a.at test 1", "a.at test 2", "a.at our own"]) == {"a.at test 2"}


def test_suite_that_ends_early_is_an_error(tmp_path: Path, progress: Progress) -> None:
    suite = _suite(tmp_path, "patched", progress, ["ok"], ["ok"], ["ok"])
    (tmp_path / "patched.tree" / "tests" / "testsuite").write_text("echo '  1: name ok'; exit 1\n")
    with pytest.raises(ToolFailed, match="Open vSwitch's test suite failed"):
        suite.run("Tests")
