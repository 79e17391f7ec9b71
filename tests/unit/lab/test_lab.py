"""What a lab refuses before it makes anything."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nvo3.lab import Lab, lab
from nvo3.lab.errors import LabError
from nvo3.lab.ovs import Binaries
from nvo3.lab.topology import DEFAULT, load


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.up(load(DEFAULT)),
        lambda one: one.down(),
        lambda one: one.status(),
        lambda one: one.command("r1", ["true"]),
        lambda one: one.guest_delete("r1"),
    ],
)
def test_without_root_says_so(call: Callable[[Lab], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(LabError, match="needs root: use sudo"):
        call(Lab("unit", run_root=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_up_without_tun_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(lab.shutil, "which", lambda program: f"/bin/{program}")
    monkeypatch.setattr(lab, "TUN", tmp_path / "tun")
    with pytest.raises(LabError, match="tun: No such file or directory; Open vSwitch needs it: load the module tun"):
        Lab("unit", run_root=tmp_path).up(load(DEFAULT))


def test_binaries_missing_say_where_they_were_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVO3_OVS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=rf"ovsdb-server not found by \$NVO3_OVS \({tmp_path}\) nor by \$PATH; `nvo3 ovs build` builds it"):
        Binaries.find()


def test_record_of_no_lab_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no lab is up .instance unit.; `nvo3 lab up` brings one up"):
        _ = Lab("unit", run_root=tmp_path).record


def test_record_that_is_damaged_says_how_to_get_rid_of_it(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit/lab.json").write_text('{"place": 1}')
    with pytest.raises(LabError, match="not a lab's record .*; `nvo3 lab down` clears it"):
        _ = Lab("unit", run_root=tmp_path).record
