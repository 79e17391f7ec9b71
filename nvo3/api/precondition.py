"""Entity tags, and requests that are carried out only if an object is as the client knows it (RFC 9110, 8.8.3 and 13.1).

A tag stands for an object's configuration.  What an answer has beside that, its status, changes without a new tag: a tag is for
`If-Match`, not for caches.
"""

from dataclasses import replace
from hashlib import sha256

from flask import request

from nvo3.model.errors import Outdated
from nvo3.model.logical import Network, Port, Settings, Tenant
from nvo3.model.physical import Hypervisor
from nvo3.ovsdb.command import Guard

Item = Tenant | Network | Port | Hypervisor | Settings

_DIGITS = 16


def tag_of(item: Item) -> str:
    """Return the entity tag of an object, without the quotes."""
    configured = replace(item, seen=None) if isinstance(item, Hypervisor) else item
    return sha256(repr(configured).encode()).hexdigest()[:_DIGITS]


def guard() -> Guard | None:
    """Return what checks an object against the request's `If-Match`; None where it has none.

    With `If-None-Match: *`, which asks that there be no such object, any fails.
    """
    if request.headers.get("If-None-Match", "").strip() == "*":
        return _refuse_any
    if "If-Match" not in request.headers:
        return None
    wanted = request.if_match

    def check(item: Item) -> None:
        if not (wanted.star_tag or tag_of(item) in wanted):
            raise Outdated(f'the object is not as If-Match says; its ETag is "{tag_of(item)}"')

    return check


def _refuse_any(item: Item) -> None:
    raise Outdated("the object exists, and If-None-Match says that it must not")
