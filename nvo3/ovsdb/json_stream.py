"""A fast parser for the JSON of OVSDB connections (RFC 7047 section 4: objects follow each other without a separator).

The parser of the `ovs` package in Python takes a step of the interpreter for each character, about 2.5 us: 15 s for an NB database of
20,000 ports, 1 ms for each single change.  Its parser in C is only there where the package was built against an installed
libopenvswitch.  This one finds where an object ends by regular expressions and leaves the rest to the standard library; it works in one
pass over what comes.
"""

import json
import re
from typing import Any

import ovs.json

_SPACE = re.compile(r"[ \t\r\n]*")
# Whatever is neither a bracket nor the start of a string that has escapes or goes on in the next piece.  Not by possessive quantifiers:
# with them Python 3.11 matches half a string.
_PLAIN = re.compile(r'(?:[^"{}\[\]]+|"[^"\\]*")*')
_IN_STRING = re.compile(r'[^"\\]*')


class Parser:
    """Takes the place of `ovs.json.Parser`, of which `ovs.jsonrpc` uses the methods below."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._done = False
        self._result: Any = "unexpected end of input"

    def feed(self, piece: str) -> int:
        """Take in text up to the end of the object; return how many characters that were."""
        start = position = _SPACE.match(piece).end() if self._depth == 0 else 0  # type: ignore[union-attr]
        while position < len(piece) and not self._done:
            position = self._scan_string(piece, position) if self._in_string else self._scan(piece, position)
        self._parts.append(piece[start:position])
        if self._done:
            self._finish()
        return position

    def _scan_string(self, piece: str, position: int) -> int:
        if self._escaped:
            self._escaped = False
            return position + 1
        position = _IN_STRING.match(piece, position).end()  # type: ignore[union-attr]
        if position < len(piece):
            self._in_string = piece[position] != '"'
            self._escaped = self._in_string
            position += 1
        return position

    def _scan(self, piece: str, position: int) -> int:
        if self._depth > 0:
            position = _PLAIN.match(piece, position).end()  # type: ignore[union-attr]
        if position == len(piece):
            return position
        match piece[position]:
            case "{" | "[":
                self._depth += 1
            case "}" | "]":
                self._depth -= 1
            case '"' if self._depth > 0:
                self._in_string = True
        self._done = self._depth <= 0
        return position + 1

    def _finish(self) -> None:
        try:
            text = "".join(self._parts)
            self._result = json.loads(text, parse_float=_number, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            self._result = f"bad JSON: {error}"
        else:
            if not isinstance(self._result, dict | list):
                self._result = "bad JSON: neither an object nor an array"
        self._parts.clear()

    def is_done(self) -> bool:
        """Tell whether the object is complete, or cannot become one."""
        return self._done

    def finish(self) -> Any:
        """Return the object, or text that says what is wrong with it."""
        return self._result


def install() -> None:
    """Have the `ovs` package use it on connections, unless it has its own parser in C."""
    if ovs.json.PARSER == ovs.json.PARSER_PY:
        ovs.json.Parser.__new__ = _choose


def _choose(cls: Any, check_trailer: bool = False) -> Any:
    """Take the place of `ovs.json.Parser.__new__`; connections, other than files, do not check for what follows."""
    return object.__new__(cls) if check_trailer else Parser()


def _number(text: str) -> int | float:
    """Return a number as the package's parser does: integral ones as int."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON value")
