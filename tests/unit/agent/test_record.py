"""The record of a vNIC that is taken over, and the lock."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from nvo3.agent.errors import AgentError
from nvo3.agent.record import Record, boot_id, locked

_RECORD = Record(boot_id(), 2, "020000000001", 1500, 0x1003, 0, {"rx-gro": True}, ["0218"], [])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "eth0.json"
    assert Record.read(path) is None
    _RECORD.write(path)
    assert Record.read(path) == _RECORD
    assert os.listdir(tmp_path) == ["eth0.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"boot": "x", "more": 1}'])
def test_another_form_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "eth0.json"
    path.write_text(text)
    assert Record.read(path) is None


def test_another_boot_is_none(tmp_path: Path) -> None:
    path = tmp_path / "eth0.json"
    replace(_RECORD, boot="another").write(path)
    assert Record.read(path) is None


def test_lock_is_of_one_process(tmp_path: Path) -> None:
    path = tmp_path / "run" / "eth0.lock"
    with locked(path), pytest.raises(AgentError, match=f"an agent of eth0 runs already, pid {os.getpid()}: stop it"), locked(path):
        pass
    with locked(path):
        pass


def test_lock_where_nobody_may_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(AgentError, match="run it as root, or give a directory of your own by --run-dir"),
        locked(tmp_path / "file" / "eth0.lock"),
    ):
        pass
