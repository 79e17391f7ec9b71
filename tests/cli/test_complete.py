"""What shells complete: bash with the script that it gets, the others by the variables that theirs set."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import nvo3 as package
from tests.cli.conftest import Nvo3

pytestmark = pytest.mark.ovsdb

_CHECKOUT = Path(package.__file__).parents[1]
_ENVIRONMENT = os.environ | {"PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}


def ask(shell: str, line: str, url: str = "http://127.0.0.1:1") -> list[str]:
    """Return the candidates for a command line, of which the last word is begun."""
    words = line.split(" ")
    variables = {"_NVO3_COMPLETE": f"complete_{shell}", "NVO3_API": url}
    if shell == "bash":
        variables |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    else:
        variables |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-m", "nvo3.cli"], env=_ENVIRONMENT | variables, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_options_also_of_those_that_are_imported_late(shell: str) -> None:
    text = "\n".join(ask(shell, "nvo3 "))
    assert all(name in text for name in ("tenant", "lab", "bench", "check-config"))
    assert "down" in "\n".join(ask(shell, "nvo3 lab do"))
    assert "geneve" in "\n".join(ask(shell, "nvo3 network create red/web --encapsulation ge"))


def test_names_of_what_there_is(web: Nvo3, controller: Any) -> None:
    web("tenant create rex")
    web("tenant create blue")
    web("hypervisor create hv1 --remote tcp:192.0.2.1:6640")

    def found(line: str) -> list[str]:
        return ask("bash", line, controller.url)

    assert found("nvo3 tenant show r") == ["red", "rex"]
    assert found("nvo3 tenant show red") == ["red"], "also one that is complete"
    assert found("nvo3 network delete re") == ["red/web"]
    assert found("nvo3 port show red/web/") == ["red/web/a1"]
    assert found("nvo3 port list --hypervisor h") == ["hv1"]
    for shell in ("zsh", "fish"):
        assert "red/web" in "\n".join(ask(shell, "nvo3 port list ", controller.url))


def test_in_bash_by_its_own_script(web: Nvo3, controller: Any, tmp_path: Path) -> None:
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    (bin_directory / "nvo3").write_text(f'#!/bin/sh\nexec {sys.executable} -m nvo3.cli "$@"\n')
    (bin_directory / "nvo3").chmod(0o755)
    variables = {"PATH": f"{bin_directory}:{os.environ['PATH']}", "NVO3_API": controller.url}
    script = """
    eval "$(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 nvo3 --show-completion bash)"
    complete -p nvo3
    COMP_WORDS=(nvo3 port show red/w) COMP_CWORD=3
    _nvo3_completion nvo3
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "-c", script], env=_ENVIRONMENT | variables, capture_output=True, text=True, timeout=60, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("complete ") and second == "red/web/a1", done


def test_an_api_that_is_away_or_silent_costs_little_and_says_nothing() -> None:
    assert not any(ask("bash", "nvo3 tenant show r"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert not any(ask("bash", "nvo3 tenant show r", f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert time.monotonic() - started < 10
    assert not any(ask("bash", "nvo3 tenant show r", "no URL"))
