import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from nvo3.prepare import venv
from nvo3.prepare.errors import ToolFailed
from tests.unit.prepare.support import CHECKOUT, Display

_WHEEL = {
    "greeting.py": "def main():\n    print('hello')\n",
    "greeting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
    "greeting-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "greeting-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
}


@pytest.fixture(autouse=True)
def pins(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pins of one package of ours, which pip finds in a directory, and no index."""
    packages = tmp_path / "packages"
    packages.mkdir()
    with zipfile.ZipFile(packages / "greeting-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in _WHEEL.items():
            wheel.writestr(name, content)
        wheel.writestr("greeting-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in _WHEEL))
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = yes\nfind-links = {packages}\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    lock = tmp_path / "constraints.txt"
    lock.write_text("# pins\ngreeting==1.0\n")
    monkeypatch.setattr(venv, "LOCK", lock)
    return lock


def test_pins_of_the_repository_are_exact() -> None:
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins and all(line.count("==") == 1 for line in pins)
    assert pins == sorted(pins, key=str.lower)


def test_environment_runs_scripts_from_its_final_place(cache: Path, progress: Display) -> None:
    assert not venv.ready()
    python = venv.ensure_venv(progress)
    assert venv.find() == python and python.is_relative_to(cache / "venv")
    greeting = subprocess.run([python.with_name("greet")], capture_output=True, text=True, check=True).stdout
    assert greeting == "hello\n"
    assert [path.name for path in (cache / "venv").iterdir()] == [python.parents[1].name]
    assert progress.lines[0] == "[1/1] Install 1 Python packages ..."


def test_other_pins_are_another_environment(cache: Path, pins: Path) -> None:
    python = cache / "venv" / venv._key() / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    assert venv.ready()
    pins.write_text("# pins\ngreeting==1.1\n")
    assert not venv.ready()


def test_environment_that_was_half_made_is_made_again(cache: Path, progress: Display, pins: Path) -> None:
    left = cache / "venv" / f"{venv._key()}.tmp" / "bin"
    left.mkdir(parents=True)
    (left / "python").write_text("half")
    assert not venv.ready()
    pins.write_text("# none\n")
    assert venv.ensure_venv(progress).is_file()


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "the Python package index has no no-such-package==1.0"),
        # Port 9 of loopback: nothing listens, and nothing leaves the machine.
        ("index-url = http://127.0.0.1:9/\nretries = 1\n", "the Python package index cannot be reached"),
    ],
)
def test_failed_installation_says_why_and_leaves_nothing(
    cache: Path, tmp_path: Path, progress: Display, pins: Path, index: str, message: str
) -> None:
    (tmp_path / "pip.conf").write_text("[global]\n" + (index or "no-index = yes\n"))
    pins.write_text("# pins\nno-such-package==1.0\n")
    with pytest.raises(ToolFailed) as caught:
        venv.ensure_venv(progress)
    assert str(caught.value).startswith(message)
    assert not venv.ready() and list((cache / "venv").iterdir()) == []
