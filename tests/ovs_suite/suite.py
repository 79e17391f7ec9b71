"""Runs Open vSwitch's own tests (Autotest) in the build tree that a preparation has kept.

The tests run in network and process namespaces of their own: no daemon of theirs survives, however a run ends, and none
meets another's.  They write to a directory of their own, to the tree never, so runs may be beside one another.
"""

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nvo3.prepare import Progress, ToolFailed, tool

_RUNS_ALONE = 3
_TAIL_LINES = 40
_PROGRAMS = "utilities:vswitchd:ovsdb:vtep:tests:ipsec"  # AUTOTEST_PATH of Open vSwitch's tests/automake.mk
_LISTED = re.compile(r"^ *(\d+): (\S+\.at):\d+ +(\S.*)$")
_ENDED = re.compile(r"^ *(\d+): .* (ok|skipped \(.*\)|FAILED \(.*\)|expected failure \(.*\)|UNEXPECTED PASS)$")
# The first process stays a shell that waits: it reaps what daemons leave.
_ISOLATED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
_FIRST_PROCESS = 'ip link set lo up; bash "$@"; exit $?'


@dataclass(frozen=True)
class Result:
    """How one autotest ended.  outcome: in Autotest's words, as `FAILED (tunnel.at:12)`.  log: its file, which a success removes."""

    number: int
    name: str
    outcome: str
    log: Path

    @property
    def failed(self) -> bool:
        return self.outcome.startswith(("FAILED", "UNEXPECTED"))

    @property
    def skipped(self) -> bool:
        return self.outcome.startswith("skipped")

    def report(self) -> str:
        """Return name, outcome and the last lines of the log; it ends with the daemons' logs, which are left out."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        own = [f"  {line}" for line in lines if not line.startswith(">")]
        return "\n".join([f"{self.name}: {self.outcome}", *own[-_TAIL_LINES:]])


class Suite:
    """The test suite of one tree, with a directory for its runs."""

    def __init__(self, tree: Path, directory: Path, progress: Progress) -> None:
        self._tree = tree
        self._directory = directory
        self._progress = progress
        self._names = self._listed()

    def _listed(self) -> dict[int, str]:
        """Return the names of all tests by their numbers; a name is the same in the patched and the stock tree."""
        self._directory.mkdir()
        self._write_configuration(self._directory)
        lines = self._autotest(self._directory, "--list")
        return {int(found[1]): f"{found[2]} {found[3]}" for line in lines if (found := _LISTED.match(line))}

    def numbers(self, names: Iterable[str] = (), keywords: Iterable[str] = ()) -> list[int]:
        """Return the numbers of the tests with these names, and of those with one of these keywords."""
        wanted = set(names)
        options = [word for keyword in keywords for word in ("-k", keyword)]
        lines = self._autotest(self._directory, "--list", *options) if options else []
        by_keyword = {int(found[1]) for line in lines if (found := _LISTED.match(line))}
        return [number for number, name in self._names.items() if name in wanted or number in by_keyword]

    def run(self, title: str, numbers: Sequence[int] | None = None, n_jobs: int = 1) -> list[Result]:
        """Run tests, by default all; each run of a suite has another title."""
        expected = list(self._names) if numbers is None else list(numbers)
        if not expected:
            return []
        directory = self._directory / re.sub(r"\W+", "-", title)
        directory.mkdir()
        self._write_configuration(directory)
        outcomes: dict[int, str] = {}

        def see(line: str) -> None:
            if found := _ENDED.match(line):
                outcomes[int(found[1])] = found[2]
                n_failed = sum(outcome.startswith(("FAILED", "UNEXPECTED")) for outcome in outcomes.values())
                self._progress.detail(f"{len(outcomes)}/{len(expected)} tests, {n_failed} failed")

        with self._progress.step(title):
            try:
                self._autotest(directory, f"-j{n_jobs}", *map(str, numbers or ()), on_line=see)
            except ToolFailed:
                # So it ends where a test fails; otherwise it is broken.
                if outcomes.keys() != set(expected):
                    raise
        assert outcomes.keys() == set(expected)
        width = len(str(max(self._names)))
        logs = {number: directory / "testsuite.dir" / f"{number:0{width}}" / "testsuite.log" for number in expected}
        return [Result(number, self._names[number], outcomes[number], logs[number]) for number in expected]

    def run_patiently(self, title: str, numbers: Sequence[int] | None = None) -> tuple[list[Result], list[Result]]:
        """Run tests, and one at a time those that failed; return all, and what failed each time.

        Some of Open vSwitch's tests do not wait for what they check, and so fail under load.
        """
        results = self.run(title, numbers, max(2, len(os.sched_getaffinity(0))))
        failed = [result for result in results if result.failed]
        for number in range(1, _RUNS_ALONE + 1):
            again = self.run(f"{title}, run {number} alone", [result.number for result in failed])
            for result in again:
                if not result.failed:
                    warnings.warn(f"{result.name}: failed, then passed in run {number} alone", stacklevel=2)
            failed = [result for result in again if result.failed]
        return results, failed

    def fail_at_times(self, names: Iterable[str]) -> set[str]:
        """Return those of the tests that fail in one of as many runs; what this suite does not have does not fail."""
        numbers = self.numbers(names=names)
        runs = [self.run(f"The same tests, stock, run {number}", numbers) for number in range(1, _RUNS_ALONE + 2)]
        return {result.name for run in runs for result in run if result.failed}

    def _autotest(self, directory: Path, *arguments: str, on_line: tool.LineHandler | None = None) -> list[str]:
        autotest = [str(self._tree / "tests" / "testsuite"), f"AUTOTEST_PATH={_PROGRAMS}", *arguments]
        command = [*_ISOLATED, "bash", "-c", _FIRST_PROCESS, "bash", *autotest]
        return tool.run(command, self._progress, failure="Open vSwitch's test suite failed", cwd=directory, on_line=on_line)

    def _write_configuration(self, directory: Path) -> None:
        """Write what the suite reads where it starts: which tree is tested."""
        tests = self._tree / "tests"
        values = {
            "at_testdir": "tests",
            "at_srcdir": tests,
            "abs_srcdir": tests,
            "abs_builddir": tests,
            "at_top_srcdir": self._tree,
            "abs_top_srcdir": self._tree,
            "abs_top_builddir": self._tree,
            "at_top_build_prefix": f"{self._tree}/",
            "EXEEXT": "",
            "SHELL": "/bin/bash",
        }
        (directory / "atconfig").write_text("".join(f"{name}='{value}'\n" for name, value in values.items()), encoding="utf-8")
        (directory / "atlocal").write_bytes((tests / "atlocal").read_bytes())


def summary(results: Sequence[Result]) -> str:
    n_skipped = sum(result.skipped for result in results)
    n_failed = sum(result.failed for result in results)
    return f"{len(results)} tests: {len(results) - n_skipped - n_failed} passed, {n_skipped} skipped, {n_failed} failed"
