"""The C code against the vectors that the Python codec runs, too (tests/unit/wire/test_stt.py)."""

import json
from typing import Any

import pytest

from tests.native import support
from tests.native.conftest import Tool


def _vectors(kind: str) -> list[Any]:
    vectors = json.loads((support.VECTORS / "stt" / f"{kind}.json").read_text(encoding="utf-8"))
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", _vectors("packet"))
def test_packet(tool: Tool, vector: dict[str, Any]) -> None:
    assert tool.ask("packet", vector["hex"]) == {"verdict": vector["verdict"], **vector.get("fields", {})}


@pytest.mark.parametrize("vector", _vectors("header"))
def test_header(tool: Tool, vector: dict[str, Any]) -> None:
    expected = {"verdict": vector["verdict"], **vector.get("fields", {})}
    if "serialized" in vector:
        expected["serialized"] = vector["serialized"]
    assert tool.ask("header", vector["hex"]) == expected
