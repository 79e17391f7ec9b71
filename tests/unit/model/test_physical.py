"""Encapsulations: one row each, and what follows from it."""

import json
from pathlib import Path

import pytest

from nvo3.model.logical import AUTO, MTU_MAX, NONE, SCLP_PAYLOADS
from nvo3.model.physical import ENCAPSULATIONS, PATCH_OFPORT, UNDERLAY_MTU_MAX

_SCHEMA = Path(__file__).resolve().parents[3] / "nvo3" / "ovsdb" / "nvo3.ovsschema"


def test_auto_prefers_what_carries_more_for_less() -> None:
    assert list(ENCAPSULATIONS) == ["stt", "sclp-udp", "sclp", "geneve", "vxlan", "gre"]


def test_every_tunnel_port_has_a_name_and_an_ofport_of_its_own() -> None:
    rows = ENCAPSULATIONS.values()
    assert len({e.ofport for e in rows} | {PATCH_OFPORT}) == len(rows) + 1
    assert len({e.port for e in rows}) == len(rows)


def test_sclp_is_one_type_of_two_transports_for_switches_that_prove_it() -> None:
    native, udp = ENCAPSULATIONS["sclp"], ENCAPSULATIONS["sclp-udp"]
    assert (native.options, udp.options) == ({"transport": "ip"}, {"transport": "udp"})
    assert udp.overhead_bytes - native.overhead_bytes == 8
    for one in (native, udp):
        assert (one.interface_type, one.proof, one.segments, one.has_payload) == ("sclp", "sclp_datapath", True, True)
        assert one.defaults == {"offload": "true"}


@pytest.mark.parametrize("name", [e.name for e in ENCAPSULATIONS.values() if e.segments])
def test_what_segments_carries_the_largest_mtu_over_any_underlay(name: str) -> None:
    assert ENCAPSULATIONS[name].mtu_over(1500) == ENCAPSULATIONS[name].mtu_over(UNDERLAY_MTU_MAX) >= MTU_MAX


def test_the_database_knows_every_encapsulation_and_payload() -> None:
    tables = json.loads(_SCHEMA.read_text())["tables"]
    assert tables["Network"]["columns"]["encapsulation"]["type"]["key"]["enum"][1] == [AUTO, NONE, *ENCAPSULATIONS]
    assert tables["Settings"]["columns"]["sclp_payload"]["type"]["key"]["enum"][1] == list(SCLP_PAYLOADS)
