"""What the routes share: the database, the control plane, and waiting until a change is in force."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from nvo3.api.plane import ControlPlane
from nvo3.api.precondition import Item, tag_of
from nvo3.api.problem import Pending, documented
from nvo3.api.schema import ChangeQuery
from nvo3.ovsdb.northbound import Northbound
from nvo3.ovsdb.view import View

Answer = tuple[dict[str, Any], int, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Backend:
    """northbound: written by commands, read by its view.  plane: status and waiting."""

    northbound: Northbound
    plane: ControlPlane

    @property
    def view(self) -> View:
        """The NB database as of now; fetch it again after anything that may block."""
        return self.northbound.view

    def settle(self, query: ChangeQuery, what: str) -> None:
        """After a commit, wait as asked for.  Raises Pending, which says that the change is stored."""
        if query.wait is None:
            return
        missing = self.plane.wait_realized(query.timeout)
        if missing:
            raise Pending(
                f"{what}, but not in force within {query.timeout:g} s at: {', '.join(missing)}",
                unconfirmed(missing),
            )

    def settle_hypervisor(self, query: ChangeQuery, uuid: UUID, what: str) -> None:
        """After a hypervisor was written, wait as asked for until it is connected.  Raises Pending."""
        if query.wait is None:
            return
        status = self.plane.wait_hypervisor_connected(uuid, query.timeout)
        if status.state != "connected":
            reason = status.detail or status.state
            raise Pending(f"{what}, but not connected within {query.timeout:g} s: {reason}")


def unconfirmed(hypervisors: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the `errors` of a problem document that names hypervisors."""
    return [
        {"field": "hypervisor", "value": name, "limit": None, "message": f"{name} has not confirmed the change"} for name in hypervisors
    ]


def new_blueprint(name: str, tag: str) -> APIBlueprint:
    """Return an empty set of routes, described by `tag` in /openapi.json."""
    return APIBlueprint(name, __name__, abp_tags=[Tag(name=tag)], abp_responses=documented())


def answer(item: BaseModel) -> dict[str, Any]:
    """Return the JSON object of an answer."""
    return item.model_dump(mode="json", by_alias=True)


def shown(item: BaseModel, value: Item) -> Answer:
    """Return the answer that shows an object.  value: what its entity tag stands for."""
    return answer(item), 200, {"ETag": f'"{tag_of(value)}"'}


def answer_list(items: list[Any]) -> dict[str, Any]:
    """Return the JSON object of a list."""
    return {"items": [answer(item) for item in items]}


def created(item: BaseModel, value: Item, location: str) -> Answer:
    """Return the answer to a POST, or to a PUT that made the object."""
    return answer(item), 201, {"ETag": f'"{tag_of(value)}"', "Location": location}


def deleted() -> Response:
    """Return the answer to a DELETE."""
    return Response(status=204)
