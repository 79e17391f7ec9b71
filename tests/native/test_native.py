"""The C code of `native/`, case by case, as it is and under AddressSanitizer and UndefinedBehaviorSanitizer."""

import subprocess
from pathlib import Path

import pytest

from tests.native import support

_BUILDS = {"plain": (), "sanitized": support.SANITIZERS}


@pytest.fixture(scope="module", params=_BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that runs a test case by name."""
    sources = [support.HERE / "check.c", *sorted(support.HERE.glob("test_*.c"))]
    return support.build(tmp_path_factory.mktemp("native") / "cases", sources, *_BUILDS[request.param])


@pytest.mark.parametrize("case", support.cases())
def test_case(program: Path, case: str) -> None:
    result = subprocess.run(
        [program, case], capture_output=True, text=True, check=False, timeout=support.TIMEOUT_S, env=support.environment()
    )
    assert result.returncode == 0, result.stderr


def test_cases_do_not_depend_on_a_fresh_process(program: Path) -> None:
    result = subprocess.run([program], capture_output=True, text=True, check=False, timeout=support.TIMEOUT_S, env=support.environment())
    assert result.returncode == 0, result.stderr
