"""A short run of each fuzz target; `tests/unit/cvsw/fuzz/fuzz.py` does long ones."""

from pathlib import Path

import pytest

from tests.unit.cvsw.fuzz import fuzz

_SECONDS = 4.0


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_fuzz(tmp_path: Path, target: str) -> None:
    result = fuzz.run(target, _SECONDS, 1, tmp_path)
    assert not result.findings, "\n".join(result.findings.values())
    assert result.n_frames > 500 and result.n_outcomes > 100
