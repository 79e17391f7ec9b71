"""Request bodies: JSON objects of bounded size that arrive in bounded time."""

import json
from typing import Any, NoReturn

import eventlet.timeout
from flask import Request
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge

from nvo3.api.problem import Problem

BODY_MAX = 1 << 20  # bytes; a port or a network takes some hundred
BODY_S = 30.0  # for the whole body

_CONTENT_TYPES = ("application/json", "application/merge-patch+json")


class JsonRequest(Request):
    """A request whose `get_json` returns an object or raises Problem."""

    # One more than allowed: what comes in chunks is cut off there without an error.
    max_content_length = BODY_MAX + 1

    def get_json(self, *args: Any, **keywords: Any) -> Any:
        """Return the body.  Raises Problem: 400 if it is no JSON object, 408, 413, 415."""
        if self.mimetype not in _CONTENT_TYPES:
            given = self.mimetype or "none"
            raise Problem(415, f"the content type must be {_CONTENT_TYPES[0]}, not {given}")
        return parse(self.read())

    def read(self) -> bytes:
        """Return the body, of whatever type.  Raises Problem: 400 if it is cut off, 408, 413."""
        data = self._read()
        if len(data) > BODY_MAX:
            self._refuse_size()
        return data

    def _read(self) -> bytes:
        try:
            with eventlet.timeout.Timeout(BODY_S):
                return self.get_data(cache=False)
        except (eventlet.timeout.Timeout, TimeoutError):
            self._close()
            raise Problem(408, f"the body did not arrive within {BODY_S:g} s") from None
        except RequestEntityTooLarge:
            self._refuse_size()
        except (ClientDisconnected, BadRequest, OSError, ValueError):
            self._close()
            raise Problem(400, "the body is incomplete") from None

    def _refuse_size(self) -> NoReturn:
        self._close()
        raise Problem(413, f"the body exceeds {BODY_MAX} bytes") from None

    def _close(self) -> None:
        """Have the connection closed after the answer: what is left of the body is not worth reading."""
        close = self.environ.get("nvo3.close_connection")
        if close is not None:
            close()


def parse(data: bytes) -> dict[str, Any]:
    """Return the JSON object in `data`.  Raises Problem with status 400."""
    if not data:
        raise Problem(400, "the body is empty; a JSON object is wanted")
    try:
        content = json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not UTF-8: byte {error.start} is wrong") from None
    except ValueError as error:  # JSONDecodeError, and integers of thousands of digits
        raise Problem(400, f"the body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise Problem(400, f"the body must be a JSON object, not {json.dumps(content)[:40]}")
    return content


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{name[:40]!r} stands twice")
        content[name] = value
    return content
