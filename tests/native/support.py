"""How the C code of `native/` and `native/fastpath/` is built for tests: with the machine's `cc`, into a temporary directory."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
NATIVE = CHECKOUT / "native"
FASTPATH = NATIVE / "fastpath"
HERE = Path(__file__).resolve().parent
VECTORS = CHECKOUT / "tests" / "vectors"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes")
_CASE = re.compile(r"^TEST\((\w+)\)", re.MULTILINE)
TIMEOUT_S = 120


def cases() -> list[str]:
    """Return the names of all test cases that the C sources define."""
    return [name for path in sorted(HERE.glob("test_*.c")) for name in _CASE.findall(path.read_text(encoding="utf-8"))]


def build(program: Path, sources: Iterable[Path], *options: str, compiler: str = "cc") -> Path:
    """Compile `sources` with all of `native/` to `program`; a warning is a failure."""
    files = [*map(str, sources), *map(str, sorted([*NATIVE.glob("*.c"), *FASTPATH.glob("*.c")]))]
    includes = [f"-I{directory}" for directory in (NATIVE, FASTPATH, HERE)]
    command = [compiler, "-std=c11", "-O1", "-g", "-pthread", *_WARNINGS, *options, *includes, "-o", str(program), *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if result.returncode:
        pytest.fail(f"{' '.join(command)}\n{result.stderr}", pytrace=False)
    return program


def environment() -> dict[str, str]:
    """Return an environment in which a sanitizer's finding ends the program with a failure."""
    return {**os.environ, "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
