"""What a shell completes: names of what there is, from the API.  Within a second or so, or nothing; never an error."""

from collections.abc import Callable
from typing import Any

import typer

_TIMEOUT_S = 1.0
_CANDIDATES_MAX = 100

_NAMES: dict[str, Callable[[dict[str, Any]], str]] = {
    "tenants": lambda item: str(item["name"]),
    "networks": lambda item: f"{item['tenant']}/{item['name']}",
    "ports": lambda item: f"{item['tenant']}/{item['network']}/{item['name']}",
    "hypervisors": lambda item: str(item["name"]),
    "agents": lambda item: str(item["port"]),
}


def names(collection: str) -> Callable[[typer.Context, str], list[str]]:
    """Return what completes names of a collection, with those of its parents before them."""
    name_of = _NAMES[collection]

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        items = _read(ctx.params.get("api"), f"/v1/{collection}", after=_just_before(incomplete), limit=str(_CANDIDATES_MAX))
        return [name for name in map(name_of, items) if name.startswith(incomplete)]

    return complete


def _just_before(text: str) -> str:
    """Return what stands before a text, and behind all that stand before it but do not begin with it."""
    return f"{text[:-1]}{chr(ord(text[-1]) - 1)}\x7f" if text else ""


def _read(api: str | None, path: str, **query: str) -> list[dict[str, Any]]:
    import httpx

    from nvo3.api.client import default_url

    try:
        reply = httpx.get(f"{(api or default_url()).rstrip('/')}{path}", params=query, timeout=_TIMEOUT_S, trust_env=False)
        items: list[dict[str, Any]] = reply.raise_for_status().json()["items"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return []
    return items
