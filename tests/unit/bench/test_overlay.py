"""Beds with Open vSwitch: what a switch does not take is an error, and says which switch and what."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nvo3.bench.overlay import OverlayBed
from nvo3.lab.errors import LabError


class FakeLab:
    """Two switches with logs, an API that says what it is told to.  complaint: what hv2 logs when options are set.  error: of its port."""

    record = SimpleNamespace(guests={})

    def __init__(self, directory: Path, *, detail: str = "", complaint: str = "", error: str = "[]") -> None:
        self.asked: list[Any] = []
        self._directory, self._detail, self._complaint, self._error = directory, detail, complaint, error
        for name in ("hv1", "hv2"):
            self.log(f"{name} ovs-vswitchd").write_text("nvo3-sclp: unknown sclp argument 'old'\n")

    def log(self, role: str) -> Path:
        return self._directory / role.replace(" ", "-")

    @contextmanager
    def client(self) -> Iterator["FakeLab"]:
        yield self

    def patch(self, path: str, body: dict[str, str], **query: Any) -> None:
        self.asked.append((path, body, query["wait"]))

    def get(self, path: str) -> dict[str, Any]:
        return {"status": {"detail": self._detail if path.endswith("hv2") else ""}}

    def switch(self, name: str) -> SimpleNamespace:
        def vsctl(*words: str) -> str:
            if words[0] == "get":
                return self._error + "\n"
            self.asked.append((name, *words))
            if name == "hv2" and self._complaint:
                with self.log(f"{name} ovs-vswitchd").open("a") as log:
                    log.write(f"2026-01-01|netdev_vport|WARN|{self._complaint}\n")
            return ""

        return SimpleNamespace(vsctl=vsctl)


def _bed(lab: FakeLab) -> OverlayBed:
    return OverlayBed(lab, "")  # type: ignore[arg-type]


def test_payload_is_the_system_s_setting(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    _bed(lab).set_sclp_payload("geneve")
    assert lab.asked == [("/v1/settings", {"sclp_payload": "geneve"}, "realized")]


def test_payload_that_a_switch_does_not_take_is_an_error(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path, detail="nvo3-sclp: unknown payload 'geneve'")
    with pytest.raises(LabError, match="SCLP with geneve was asked for; hv2: nvo3-sclp: unknown payload 'geneve'"):
        _bed(lab).set_sclp_payload("geneve")


def test_tunnel_options_are_set_on_both_switches(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    _bed(lab).set_tunnel_options("sclp", {"offload": "true", "reassembly": "gro"})
    assert lab.asked == [
        (hypervisor, "set", "Interface", "nvo3-sclp", "options:offload=true", "options:reassembly=gro") for hypervisor in ("hv1", "hv2")
    ]


def test_tunnel_options_that_a_switch_ignores_or_refuses_are_an_error(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path, complaint="nvo3-sclp: unknown sclp argument 'reassembly'")
    with pytest.raises(LabError, match="^hv2: nvo3-sclp: unknown sclp argument 'reassembly'$"):
        _bed(lab).set_tunnel_options("sclp", {"reassembly": "gro"})
    lab = FakeLab(tmp_path, error='"nvo3-sclp: bad reassembly"')
    with pytest.raises(LabError, match='^hv1: nvo3-sclp: "nvo3-sclp: bad reassembly"$'):
        _bed(lab).set_tunnel_options("sclp", {"reassembly": "x"})
