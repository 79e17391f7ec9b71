"""Lists, a page at a time: `limit` items after the one named by `after`; the next page is in `Link` (RFC 8288)."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeVar
from urllib.parse import urlencode

import eventlet
from flask import request
from pydantic import BaseModel

from nvo3.api.schema import ListQuery

_T = TypeVar("_T")
_AT_ONCE = 200  # looked at without letting others on


def page(values: Sequence[_T], key: Callable[[_T], str], item_of: Callable[[_T], BaseModel | None], query: ListQuery) -> Any:
    """Return the answer to a list.

    key: sorts the values, and is what `after` names.  item_of: None for one that has gone meanwhile.
    """
    ordered = sorted(((key(value), value) for value in values), key=itemgetter(0))
    begin = bisect_right(ordered, query.after, key=itemgetter(0)) if query.after is not None else 0
    items: list[dict[str, Any]] = []
    last = ""
    for number, (name, value) in enumerate(ordered[begin:], 1):
        item = item_of(value)
        if item is not None and query.matches(item):
            if len(items) == query.limit:
                return {"items": items}, 200, {"Link": f'<{_next(last)}>; rel="next"'}
            items.append(item.model_dump(mode="json", by_alias=True))
            last = name
        if number % _AT_ONCE == 0:
            eventlet.sleep(0)
    return {"items": items}, 200, {}


def _next(last: str) -> str:
    return f"{request.path}?{urlencode({**request.args.to_dict(), 'after': last})}"
