"""The C code as a process that answers questions."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.native import support


class Tool:
    """A running `tool.c`, `tool_sclp.c` and `tool_fastpath.c`; `ask` sends a line and returns the decoded answer."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, *words: object) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the C code ended with status {self._process.wait(support.TIMEOUT_S)}"
        return json.loads(answer)


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """Return the C code under sanitizers; a finding of theirs ends it, which fails the test at hand."""
    sources = [support.HERE / name for name in ("tool.c", "tool_sclp.c", "tool_fastpath.c", "world.c")]
    program = support.build(tmp_path_factory.mktemp("native") / "tool", sources, *support.SANITIZERS)
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=support.environment())
    try:
        yield Tool(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(support.TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
