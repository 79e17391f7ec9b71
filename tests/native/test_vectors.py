"""The C code against the vectors that the Python codec runs, too (tests/unit/wire/)."""

import json
from typing import Any

import pytest

from tests.native import support
from tests.native.conftest import Tool


def _vectors(protocol: str, kind: str) -> list[Any]:
    vectors = json.loads((support.VECTORS / protocol / f"{kind}.json").read_text(encoding="utf-8"))
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", _vectors("stt", "packet"))
def test_packet(tool: Tool, vector: dict[str, Any]) -> None:
    assert tool.ask("packet", vector["hex"]) == {"verdict": vector["verdict"], **vector.get("fields", {})}


@pytest.mark.parametrize("vector", _vectors("stt", "header"))
def test_header(tool: Tool, vector: dict[str, Any]) -> None:
    expected = {"verdict": vector["verdict"], **vector.get("fields", {})}
    if "serialized" in vector:
        expected["serialized"] = vector["serialized"]
    assert tool.ask("header", vector["hex"]) == expected


@pytest.mark.parametrize("vector", _vectors("sclp", "packet"))
def test_sclp_packet(tool: Tool, vector: dict[str, Any]) -> None:
    expected = {"verdict": vector["verdict"], **vector.get("fields", {})}
    assert tool.ask("sclp-packet", vector["gso_size"], vector["hex"]) == expected


@pytest.mark.parametrize("vector", _vectors("sclp", "payload"))
def test_sclp_payload(tool: Tool, vector: dict[str, Any]) -> None:
    expected = {"verdict": vector["verdict"], **vector.get("fields", {})}
    if "serialized" in vector:
        expected["serialized"] = vector["serialized"]
    assert tool.ask("sclp-payload", vector["port"], int(vector["takes_offload"]), vector["hex"]) == expected


@pytest.mark.parametrize("vector", _vectors("sclp", "frame"))
def test_sclp_frame(tool: Tool, vector: dict[str, Any]) -> None:
    room = vector["mtu"] - (40 if vector["udp"] else 32)
    common = [vector[name] for name in ("source", "destination", "src_port", "dst_port", "id", "ip_id")]
    assert tool.ask("sclp-segment", room, 1, *common, 0, 64, 1, *(vector["udp"] or (0, 0)), vector["frame"]) == vector["packets"]
    for merge in (0, 1):
        *queued, last = tool.ask("sclp-reassemble", merge, 0, *vector["packets"])
        assert last == {"result": "complete", "ce": False, "frame": vector["frame"]}
        assert [result["result"] for result in queued] == ([] if merge else ["queued"] * (len(vector["packets"]) - 1))
