"""/v1/hypervisors"""

from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, answer, answer_list, created, deleted, new_blueprint
from nvo3.api.client import item_path
from nvo3.api.schema import (
    ChangeQuery,
    HypervisorCreate,
    HypervisorItem,
    HypervisorList,
    HypervisorPatch,
    HypervisorPath,
    NoQuery,
)
from nvo3.model.errors import Conflict, NotFound
from nvo3.model.physical import Hypervisor
from nvo3.ovsdb import command


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("hypervisor", "hypervisors")
    northbound = backend.northbound

    def item_of(hypervisor: Hypervisor) -> HypervisorItem:
        return HypervisorItem.of(hypervisor, backend.plane.hypervisor_status(hypervisor.uuid))

    def item_now(uuid: UUID, name: str) -> HypervisorItem:
        """Return the hypervisor as it is after waiting, when others may have changed or deleted it."""
        hypervisor = backend.view.hypervisors.get(uuid)
        if hypervisor is None:
            raise NotFound("hypervisor", name)
        return item_of(hypervisor)

    @routes.get("/v1/hypervisors", responses={200: HypervisorList})
    def list_hypervisors(query: NoQuery) -> dict[str, Any]:
        """List all hypervisors."""
        hypervisors = sorted(backend.view.hypervisors.values(), key=lambda hypervisor: hypervisor.name)
        return answer_list([item_of(hypervisor) for hypervisor in hypervisors])

    @routes.post("/v1/hypervisors", responses={201: HypervisorItem})
    def create_hypervisor(body: HypervisorCreate, query: ChangeQuery) -> Answer:
        """Create a hypervisor.

        With `wait` the answer comes when it is connected and its flows are in force.
        """
        hypervisor = command.create_hypervisor(northbound, body.name, body.remote)
        backend.settle_hypervisor(query, hypervisor.uuid, f"hypervisor {hypervisor.name} is stored")
        return created(item_now(hypervisor.uuid, hypervisor.name), item_path("hypervisors", hypervisor.name))

    @routes.get("/v1/hypervisors/<hypervisor>", responses={200: HypervisorItem})
    def show_hypervisor(path: HypervisorPath, query: NoQuery) -> dict[str, Any]:
        """Show a hypervisor."""
        return answer(item_of(backend.view.hypervisor(path.hypervisor)))

    @routes.patch("/v1/hypervisors/<hypervisor>", responses={200: HypervisorItem})
    def set_hypervisor(path: HypervisorPath, body: HypervisorPatch, query: ChangeQuery) -> dict[str, Any]:
        """Change a hypervisor.

        With `wait` the answer comes when it is connected and its flows are in force.
        """
        hypervisor = command.set_hypervisor(northbound, path.hypervisor, **body.given())
        backend.settle_hypervisor(query, hypervisor.uuid, f"hypervisor {hypervisor.name} is stored")
        return answer(item_now(hypervisor.uuid, hypervisor.name))

    @routes.delete("/v1/hypervisors/<hypervisor>", responses={204: None})
    def delete_hypervisor(path: HypervisorPath, query: ChangeQuery) -> Response:
        """Delete a hypervisor: what was configured there is taken back.

        One that is connected must not have ports bound; the ports of one that is gone become unbound.
        """
        status = backend.plane.hypervisor_status(backend.view.hypervisor(path.hypervisor).uuid)
        if status.connected and status.n_ports:
            raise Conflict(f"hypervisor {path.hypervisor} is in use by {status.n_ports} ports that are bound there")
        command.delete_hypervisor(northbound, path.hypervisor)
        backend.settle(query, f"hypervisor {path.hypervisor} is deleted")
        return deleted()

    return routes
