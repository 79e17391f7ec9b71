from pathlib import Path

import pytest

from nvo3.prepare import distribution
from nvo3.prepare.errors import PrepareError


def _release(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "os-release"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["bookworm", "trixie"])
def test_codename_of_a_supported_release(tmp_path: Path, name: str) -> None:
    path = _release(tmp_path, f'# Debian\nPRETTY_NAME="Debian GNU/Linux"\nID=debian\nVERSION_CODENAME={name}\n')
    assert distribution.codename(path) == name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('PRETTY_NAME="Ubuntu 24.04 LTS"\nID=ubuntu\nVERSION_CODENAME=noble\n', "Ubuntu 24.04 LTS"),
        ("ID=debian\nPRETTY_NAME='Debian GNU/Linux 11 (bullseye)'\nVERSION_CODENAME=bullseye\n", "11 (bullseye)"),
        ("ID=alpine\n", "alpine"),
        ("", "linux"),
    ],
)
def test_codename_of_another_names_what_was_found_and_what_to_use(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(PrepareError) as caught:
        distribution.codename(_release(tmp_path, text))
    message = str(caught.value)
    assert found in message and "Debian 12 or Debian 13" in message and "\n" not in message


def test_codename_without_os_release(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="unsupported distribution"):
        distribution.codename(tmp_path / "missing")


def test_python_too_old() -> None:
    distribution.require_python((3, 11))
    with pytest.raises(PrepareError, match=r"Python 3\.9 is too old, 3\.11 or newer is needed"):
        distribution.require_python((3, 9))


def test_root_is_required_with_the_command_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    distribution.require_root("lab")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["bin/nvo3", "lab", "up"])
    with pytest.raises(PrepareError, match=r"'lab' .* needs root: run 'sudo bin/nvo3 lab up'"):
        distribution.require_root("lab")


def test_missing_tun_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(PrepareError, match=r"/tun cannot be opened \(No such file or directory\).*modprobe tun"):
        distribution.require_tun(tmp_path / "tun")
    (tmp_path / "tun").write_text("")
    distribution.require_tun(tmp_path / "tun")
