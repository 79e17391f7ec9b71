"""The manual pages that `nvo3 man` writes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nvo3 as package
from tests.cli.conftest import Nvo3

_CHECKOUT = Path(package.__file__).parents[1]
_PAGES = ("man1/nvo3.1", "man5/nvo3.conf.5", "man8/nvo3-agent.8", "man8/ryu-manager.8")
_ENVIRONMENT = os.environ | {"PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("man")
    command = [sys.executable, "-m", "nvo3.cli", "man", str(directory)]
    done = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == [str(directory / page) for page in _PAGES]
    return directory


def read(page: Path) -> str:
    """Return what somebody reads, without emphasis and with words as they are."""
    text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=200", str(page)], capture_output=True, text=True, check=True).stdout
    return re.sub(r".\x08", "", text)


@pytest.mark.parametrize("page", _PAGES)
def test_pages_are_well_formed(manual: Path, page: str) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc: run by 'bin/nvo3 test', which installs it")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(manual / page)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    if shutil.which("groff"):
        formatted = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z", str(manual / page)], capture_output=True, text=True, check=False
        )
        assert formatted.stderr == ""


def _commands(nvo3: Nvo3, path: str = "") -> list[str]:
    """Return all commands below one, from their help."""
    box = re.search(r"╭─ Commands.*?╰", nvo3(f"{path} --help").out, re.DOTALL)
    names = re.findall(r"^│ ([a-z][\w-]*) ", box[0], re.MULTILINE) if box else []
    return [name for child in names for name in _commands(nvo3, f"{path} {child}".strip())] if names else [path]


def test_every_command_and_its_options_are_there(manual: Path, offline: Nvo3, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc: run by 'bin/nvo3 test', which installs it")
    text = read(manual / "man1/nvo3.1")
    monkeypatch.setenv("COLUMNS", "200")
    commands = _commands(offline)
    assert len(commands) > 25 and "network create" in commands and "lab guest add" in commands
    missing = [command for command in commands if f"   nvo3 {command}" not in text]
    assert not missing
    create = text.partition("nvo3 network create TENANT/NETWORK")[2].partition("nvo3 network set")[0]
    assert all(option in create for option in ("--vni", "--encapsulation", "--mtu", "--pool", "--wait", "--api"))
    assert " 3 The API does not answer." in re.sub(r"\s+", " ", text) and "NVO3_API" in text


def test_every_option_of_the_configuration_is_there(manual: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc: run by 'bin/nvo3 test', which installs it")
    text = read(manual / "man5/nvo3.conf.5")
    options = re.findall(r"^#(\w+) =", (_CHECKOUT / "etc" / "nvo3.conf").read_text(), re.MULTILINE)
    assert len(options) > 20 and not [option for option in options if f"   {option} = " not in text]
    assert "an integer within 1..65535" in text and "Default: 8080." in text
