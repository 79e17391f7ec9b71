"""Client of the REST API: JSON in, JSON out, problem+json (RFC 9457) as one-line errors.

`Client().post("/v1/tenants", {"name": "red"})` creates a tenant, `Client().get(item_path("tenants", "red"))` reads it.
"""

import json as _json
import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from nvo3.model.errors import Nvo3Error

DEFAULT_URL = "http://127.0.0.1:8080"
ENVIRONMENT = "NVO3_API"

# How much longer than the server's own limit (`timeout=S` of the query) we wait for its answer.
_GRACE_S = 15.0
_CONNECT_S = 5.0
_SILENCE_S = 60.0  # of a stream, in which something comes every 15 s
_MAX_SHOWN = 200  # characters of a foreign reply that an error shows


class ApiError(Nvo3Error):
    """The API refused.

    status: HTTP status.  title, detail: of the problem document.  errors: one mapping per field at fault, with the keys
    field, value, limit and message.
    """

    def __init__(self, status: int, title: str, detail: str = "", errors: Sequence[Mapping[str, Any]] = ()) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        super().__init__(self._line())

    def _line(self) -> str:
        """Return the detail, which says it all where it is given."""
        fields = [
            f"{error['field']}: {error.get('message', '')}" if error.get("field") else str(error.get("message", ""))
            for error in self.errors
        ]
        return " ".join((self.detail or "; ".join(fields) or self.title).split())


class ApiUnreachable(ApiError):
    """Nothing that speaks the API answers at the URL.  status is 0."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(0, "API not reachable", f"no API at {url} ({reason})")


def item_path(*parts: str) -> str:
    """Return the path of a resource under /v1, every part quoted: item_path("tenants", "red") is "/v1/tenants/red"."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def default_url() -> str:
    """Return $NVO3_API, or the address that the controller serves by default."""
    return os.environ.get(ENVIRONMENT) or DEFAULT_URL


class Client:
    """A connection to the API, kept open between calls.  Close it, or use it as a context manager.

    base_url: `http://HOST:PORT`.  Every call returns the reply's object (empty for 204) and raises ApiError, or its
    subclass ApiUnreachable.  Keywords are query parameters; None is left out.  A call with `timeout=S` in its query
    waits that much longer.
    """

    def __init__(self, base_url: str | None = None) -> None:
        self.base_url = (base_url or default_url()).rstrip("/")
        # The API is on this host or one that the user named: a proxy from the environment would only get in between.
        self._http = httpx.Client(trust_env=False, headers={"Accept": "application/json, application/problem+json"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read an object, or a list as {"items": [...]}."""
        return self._call("GET", path, None, query)

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Read a list whole, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            reply = self._request("GET", path, None, query)
            found += _content(self.base_url, reply)["items"]
            if "next" not in reply.links:
                return found
            path, query = reply.links["next"]["url"], {}

    def stream(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the objects of a stream of server-sent events, until the API ends it.  Raises ApiUnreachable when it is gone."""
        params = {key: value for key, value in query.items() if value is not None}
        timeout = httpx.Timeout(_SILENCE_S, connect=_CONNECT_S)
        try:
            with self._http.stream("GET", self.base_url + path, params=params, timeout=timeout) as reply:
                if not reply.is_success:
                    reply.read()
                    _content(self.base_url, reply)
                for line in reply.iter_lines():
                    if line.startswith("data: "):
                        yield _json.loads(line.removeprefix("data: "))
        except httpx.HTTPError as error:
            raise ApiUnreachable(self.base_url, str(error) or type(error).__name__) from None
        raise ApiUnreachable(self.base_url, "it has ended the stream")

    def post(self, path: str, json: Mapping[str, Any] | None = None, **query: Any) -> dict[str, Any]:
        """Create an object in the collection at `path`; return it."""
        return self._call("POST", path, {} if json is None else json, query)

    def patch(self, path: str, json: Mapping[str, Any] | None = None, **query: Any) -> dict[str, Any]:
        """Change the given fields of an object; return it."""
        return self._call("PATCH", path, {} if json is None else json, query)

    def delete(self, path: str, **query: Any) -> dict[str, Any]:
        """Delete an object."""
        return self._call("DELETE", path, None, query)

    def put(self, path: str, json: Mapping[str, Any] | None = None, **query: Any) -> dict[str, Any]:
        """Have an object at `path` that is as given; return it."""
        return self._call("PUT", path, {} if json is None else json, query)

    def _call(self, method: str, path: str, json: Mapping[str, Any] | None, query: Mapping[str, Any]) -> dict[str, Any]:
        return _content(self.base_url, self._request(method, path, json, query))

    def _request(self, method: str, path: str, json: Mapping[str, Any] | None, query: Mapping[str, Any]) -> httpx.Response:
        params = {key: value for key, value in query.items() if value is not None}
        try:
            timeout = httpx.Timeout(_GRACE_S + float(params.get("timeout", 10.0)), connect=_CONNECT_S)
        except (TypeError, ValueError):
            timeout = httpx.Timeout(_GRACE_S, connect=_CONNECT_S)  # the server says what is wrong with it
        try:
            # No parameters at all rather than none: these would take away those of a page's path.
            return self._http.request(method, self.base_url + path, json=json, params=params or None, timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiUnreachable(self.base_url, str(error) or type(error).__name__) from None


def _content(url: str, reply: httpx.Response) -> dict[str, Any]:
    """Return the object in a reply; raises ApiError for every status above 299."""
    if reply.status_code == 204:
        return {}
    try:
        content = _json.loads(reply.content)
    except ValueError:
        content = None
    if reply.status_code == 202 and isinstance(content, dict):  # it is stored; who waits wants to know that the waiting was in vain
        raise ApiError(202, "Accepted", str(content.get("detail", "")), content.get("errors") or ())
    if reply.is_success and isinstance(content, dict):
        return content
    if isinstance(content, dict) and "title" in content:
        errors = [error for error in content.get("errors") or () if isinstance(error, dict)]
        raise ApiError(reply.status_code, str(content["title"]), str(content.get("detail", "")), errors)
    shown = " ".join(reply.text[:_MAX_SHOWN].split())
    raise ApiUnreachable(url, f"the reply is not of this API: HTTP {reply.status_code} {shown}".rstrip())
