"""The suite of the patched build, for one test."""

from pathlib import Path

import pytest

from nvo3.prepare import Progress, ovs
from nvo3.prepare.progress import Log
from tests.ovs_suite.suite import Suite


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(Log(lambda: tmp_path))


@pytest.fixture
def patched(tmp_path: Path, progress: Progress) -> Suite:
    tree = ovs.find_tree()
    if not tree:
        pytest.skip("no build tree of Open vSwitch: run by 'bin/nvo3 test'")
    return Suite(tree, tmp_path / "patched", progress)
