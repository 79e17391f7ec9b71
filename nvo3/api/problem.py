"""Errors as application/problem+json (RFC 9457): every answer above 399, whoever found the fault."""

import json
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as HttpNotFound

from nvo3.api import schema
from nvo3.model.errors import ConfigError, Conflict, Misfit, NotFound, Nvo3Error, Outdated, Unavailable

LOG = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

# For /openapi.json.
_DOCUMENTED = {
    400: "A value is wrong",
    404: "A name does not exist",
    408: "The body did not arrive in time",
    409: "Taken, in use, or not fit for the object that it is about",
    412: "Not as If-Match or If-None-Match says",
    413: "The body is too large",
    414: "The URL is too long",
    415: "The body is not JSON",
    503: "The database is not reachable",
    504: "A switch or an agent does not answer",
}

_VALUE_MAX = 200  # characters of a value given that an answer repeats
_ERRORS_MAX = 20

_TYPES = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}
_WANTED = {
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
}


class Problem(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.response = response(status, detail, errors, headers)


class Pending(Problem):
    """Ends a request that waited in vain with 202 (RFC 9110, 15.3.3): what was asked for is stored, and goes on."""

    def __init__(self, detail: str, errors: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(202, detail)
        content = {"detail": detail, "errors": list(errors)}
        self.response = Response(json.dumps(content), 202, content_type="application/json")


def response(status: int, detail: str, errors: Iterable[Mapping[str, Any]] = (), headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document.  detail: one line.  errors: with the keys field, value, limit and message."""
    return Response(document(status, detail, errors), status, dict(headers or {}), content_type=CONTENT_TYPE)


def document(status: int, detail: str, errors: Iterable[Mapping[str, Any]] = ()) -> str:
    """Return the JSON of a problem document."""
    title = HTTPStatus(status).phrase  # as RFC 9457 section 4.2.1 wants for about:blank
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": list(errors)}
    return json.dumps(content)


def field_error(field: str, message: str, value: Any = None, limit: Any = None) -> dict[str, Any]:
    """Return an element of `errors`."""
    return {"field": field, "value": _shortened(value), "limit": limit, "message": _line(message)}


def of_error(error: Nvo3Error) -> Response:
    """Return the document for an error of ours."""
    match error:
        case Misfit():
            return response(409, _line(str(error)), [field_error(error.path, error.message, error.value, error.limit)])
        case ConfigError():
            errors = [field_error(error.path, error.message, error.value, error.limit)] if error.path else []
            return response(400, _line(str(error)), errors)
        case NotFound():
            return response(404, _line(str(error)))
        case Conflict():
            errors = [field_error(error.path, error.message, error.value)] if error.path else []
            return response(409, _line(str(error)), errors)
        case Outdated():
            return response(412, _line(str(error)))
        case Unavailable():
            return response(503, _line(str(error)), headers={"Retry-After": "1"})
        case _:
            return response(500, _line(str(error)))


def of_validation(error: ValidationError) -> Response:
    """Return the document for a body or a query that has the wrong shape."""
    found = [_of_detail(error.title, dict(detail)) for detail in error.errors(include_url=False)[:_ERRORS_MAX]]
    line = "; ".join(f"{item['field']}: {item['message']}" if item["field"] else item["message"] for item in found)
    return response(400, _line(line), found)


def documented() -> dict[str | int | HTTPStatus, type[BaseModel] | dict[Any, Any] | None]:
    """Return the problem documents that every operation may answer with, for its description."""
    reference = {"$ref": f"#/components/schemas/{schema.ProblemItem.__name__}"}
    return {status: {"description": text, "content": {CONTENT_TYPE: {"schema": reference}}} for status, text in _DOCUMENTED.items()}


def register(app: Flask) -> None:
    """Have the application answer every error with a problem document."""
    app.register_error_handler(Problem, lambda error: error.response)
    app.register_error_handler(Nvo3Error, of_error)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_unexpected)


def _of_http(error: HTTPException) -> Response:
    """Return the document for what the framework found: unknown paths, methods, content types."""
    if error.code is None and isinstance(error.response, Response):
        return error.response  # a finished answer that was raised
    detail, headers = error.description or error.name, {}
    if isinstance(error, HttpNotFound):
        detail = f"there is no {request.path}"
    elif isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        detail = f"{request.method} is not allowed for {request.path}; allowed are: {headers['Allow']}"
    return response(error.code or 500, _line(detail), headers=headers)


def _of_unexpected(error: Exception) -> Response:
    LOG.error("API: internal error", exc_info=error)
    return response(500, "internal error; the controller's log has the details")


def _of_detail(model: str, detail: dict[str, Any]) -> dict[str, Any]:
    """Put one of pydantic's findings in our words."""
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    field = _path(detail["loc"])
    if kind == "extra_forbidden":
        known = ", ".join(_fields(model)) or "none"
        return field_error(field, f"unknown field; known are: {known}", value, known)
    if kind == "missing":
        return field_error(field, "is missing")
    shown = json.dumps(_shortened(value), default=str)
    if kind in _WANTED:
        what = "null" if value is None else _TYPES.get(type(value), "something else")
        given = what if isinstance(value, list | dict | None) else f"{shown} ({what})"
        return field_error(field, f"{_WANTED[kind]}, not {given}", value, _WANTED[kind].removeprefix("must be "))
    limits = {"greater_than": "above {gt:g}", "less_than_equal": "at most {le:g}", "literal_error": "{expected}"}
    if kind in limits:
        limit = limits[kind].format(**context)
        return field_error(field, f"must be {limit}, not {shown}", value, limit)
    return field_error(field, f"{detail['msg']}, not {shown}", value)


def _fields(model: str) -> list[str]:
    found = getattr(schema, model, None)
    return list(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else []


def _path(location: Iterable[str | int]) -> str:
    """Return `pools[1]` for ("pools", 1)."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
    return path[:_VALUE_MAX]


def _shortened(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    text = value if isinstance(value, str) else repr(value) if isinstance(value, int) else json.dumps(value, default=str)
    if len(text) <= _VALUE_MAX:
        return value
    return f"{text[:_VALUE_MAX]}… ({len(text)} characters)"


def _line(text: str) -> str:
    """Return one printable line of bounded length."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= 4 * _VALUE_MAX else f"{line[: 4 * _VALUE_MAX]}…"
