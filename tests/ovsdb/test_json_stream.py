"""The parser of OVSDB connections against the one of the `ovs` package that it replaces."""

import json
import time
from typing import Any

import ovs.json
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvo3.ovsdb import json_stream

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))  # OVSDB has no NUL (RFC 7047 section 3.1)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | _TEXT | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(_TEXT, _VALUES, max_size=4) | st.lists(_VALUES, max_size=4)


def _slow_parser() -> Any:
    parser = object.__new__(ovs.json.Parser)
    parser.__init__()
    return parser


def _feed(parser: Any, pieces: list[str]) -> tuple[Any, str]:
    """Return what a parser makes of pieces as ovs.jsonrpc feeds them, and what is left."""
    rest = "".join(pieces)
    for number, piece in enumerate(pieces):
        n_taken = parser.feed(piece)
        if parser.is_done():
            rest = piece[n_taken:] + "".join(pieces[number + 1 :])
            return parser.finish(), rest
        assert n_taken == len(piece)
    return "unfinished", rest


def _cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in zip(edges, edges[1:], strict=False)]


@given(_OBJECTS, st.booleans(), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_same_as_the_slow_parser(value: Any, ascii_only: bool, places: list[int]) -> None:
    text = " \n" + json.dumps(value, ensure_ascii=ascii_only) + '{"next": "message"}'
    pieces = _cut(text, places)
    ours, rest = _feed(json_stream.Parser(), pieces)
    theirs, their_rest = _feed(_slow_parser(), pieces)
    assert ours == theirs == value
    assert rest == their_rest == '{"next": "message"}'
    assert repr(ours) == repr(theirs)  # 1 and 1.0 are equal, but not for OVSDB


@given(_OBJECTS)
def test_character_by_character(value: Any) -> None:
    ours, rest = _feed(json_stream.Parser(), list(json.dumps(value)))
    assert (ours, rest) == (value, "")


@pytest.mark.parametrize("text", ["}", '"text"', "12", "null", '{"a": }', "{]", "[NaN]", "{'a': 1}", "[" * 100_000 + "]" * 100_000])
def test_what_is_wrong_is_said(text: str) -> None:
    result, _ = _feed(json_stream.Parser(), [text])
    assert isinstance(result, str)
    assert result.startswith("bad JSON: ")


@given(st.text(alphabet='{}[]",:\\ a1', max_size=40))
def test_any_text_gives_a_value_or_a_reason(text: str) -> None:
    result, _ = _feed(json_stream.Parser(), list(text))
    assert isinstance(result, str | dict | list)
    try:
        expected = json.loads(text)
    except ValueError:
        return
    if isinstance(expected, dict | list):
        assert result == expected


def test_one_pass() -> None:
    """A message of 20 MB in pieces of 4 kB, with a string that spans most of them, in a second or two."""
    text = json.dumps({"long": 'x\\"{[' * 2_000_000, "rows": [{"a": "b"}] * 400_000})
    pieces = [text[i : i + 4096] for i in range(0, len(text), 4096)]
    started = time.monotonic()
    result, _ = _feed(json_stream.Parser(), pieces)
    assert len(result["rows"]) == 400_000
    assert time.monotonic() - started < 15


def test_installed() -> None:
    if ovs.json.PARSER == ovs.json.PARSER_PY:
        assert isinstance(ovs.json.Parser(), json_stream.Parser)
    assert ovs.json.from_string('{"a": 1}') == {"a": 1}
    assert ovs.json.from_string('{"a": 1} x').startswith("line 0")  # whole texts go to the package's own
