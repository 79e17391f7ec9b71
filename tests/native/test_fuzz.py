"""A short run of each fuzz target; `tests/native/fuzz/fuzz.py` does long ones."""

import shutil
from pathlib import Path

import pytest

from tests.native.fuzz import fuzz

_SECONDS = 10


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")
@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_fuzz(tmp_path: Path, target: str) -> None:
    executions, output = fuzz.run(target, _SECONDS, tmp_path, tmp_path / "corpus")
    assert executions > 1000, output
