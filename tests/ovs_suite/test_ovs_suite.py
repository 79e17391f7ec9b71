"""Open vSwitch's own tests of what our patches touch, on the patched build; `whole.py` runs all of them."""

import contextlib
import signal
from pathlib import Path

import pytest

from tests.ovs_suite.suite import Suite
from tests.unit.prepare.support import start_python, wait_for

pytestmark = pytest.mark.netns

# Autotest's: the words of a test's title and keywords.
_KEYWORDS = ("tunnel", "tunnel_push_pop", "stt", "sclp", "offload", "tso", "pmd", "dpif-netdev", "odp")
_RUN = """
import signal
import sys
from pathlib import Path
from nvo3.prepare import Progress, ovs
from nvo3.prepare.progress import Log
from tests.ovs_suite.suite import Suite

signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background, where it is ignored
directory = Path(sys.argv[1])
suite = Suite(ovs.find_tree(), directory / "ended", Progress(Log(lambda: directory)))
suite.run("Half a minute of tests", suite.numbers(keywords=["pmd"]))
"""


def test_open_vswitch_passes_its_own_tests_of_tunnels_and_datapath(patched: Suite) -> None:
    numbers = patched.numbers(keywords=_KEYWORDS)
    assert len(numbers) > 90
    results, failed = patched.run_patiently("Open vSwitch's tests of tunnels and datapath", numbers)
    assert not all(result.skipped for result in results)
    if failed:
        pytest.fail("\n\n".join(result.report() for result in failed), pytrace=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_that_is_ended_leaves_no_daemon(patched: Suite, tmp_path: Path, number: signal.Signals) -> None:
    process = start_python(_RUN, str(tmp_path))
    try:
        wait_for(lambda: "ovs-vswitchd" in _running_in(tmp_path), "the test's ovs-vswitchd runs")
        process.send_signal(number)
        process.wait(20)
        # Without namespaces they end too, when the test at hand does.
        wait_for(lambda: not _running_in(tmp_path), "all processes of the run have ended", timeout_s=2)
    finally:
        process.kill()
        process.communicate()


def _running_in(directory: Path) -> set[str]:
    """Return the names of the processes, of any namespace, that work in a directory or below."""
    names = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(directory):
                names.add((process / "comm").read_text(encoding="utf-8").strip())
    return names
