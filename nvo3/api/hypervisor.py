"""/v1/hypervisors"""

from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, created, deleted, new_blueprint, shown
from nvo3.api.client import item_path
from nvo3.api.page import page
from nvo3.api.precondition import guard
from nvo3.api.schema import (
    ChangeQuery,
    HypervisorCreate,
    HypervisorItem,
    HypervisorList,
    HypervisorListQuery,
    HypervisorPatch,
    HypervisorPath,
    HypervisorPut,
    NoQuery,
    PendingItem,
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

    def shown_now(uuid: UUID, name: str, is_new: bool = False) -> Answer:
        """Return the hypervisor as it is after waiting, when others may have changed or deleted it."""
        hypervisor = backend.view.hypervisors.get(uuid)
        if hypervisor is None:
            raise NotFound("hypervisor", name)
        item = item_of(hypervisor)
        return created(item, hypervisor, item_path("hypervisors", name)) if is_new else shown(item, hypervisor)

    @routes.get("/v1/hypervisors", responses={200: HypervisorList})
    def list_hypervisors(query: HypervisorListQuery) -> Any:
        """List all hypervisors."""
        return page(list(backend.view.hypervisors.values()), lambda hypervisor: hypervisor.name, item_of, query)

    @routes.post("/v1/hypervisors", responses={201: HypervisorItem, 202: PendingItem})
    def create_hypervisor(body: HypervisorCreate, query: ChangeQuery) -> Answer:
        """Create a hypervisor.

        With `wait` the answer comes when it is connected and its flows are in force.
        """
        hypervisor = command.create_hypervisor(northbound, body.name, body.remote)
        backend.settle_hypervisor(query, hypervisor.uuid, f"hypervisor {hypervisor.name} is stored")
        return shown_now(hypervisor.uuid, hypervisor.name, is_new=True)

    @routes.get("/v1/hypervisors/<hypervisor>", responses={200: HypervisorItem})
    def show_hypervisor(path: HypervisorPath, query: NoQuery) -> Answer:
        """Show a hypervisor."""
        hypervisor = backend.view.hypervisor(path.hypervisor)
        return shown(item_of(hypervisor), hypervisor)

    @routes.put("/v1/hypervisors/<hypervisor>", responses={200: HypervisorItem, 201: HypervisorItem, 202: PendingItem})
    def put_hypervisor(path: HypervisorPath, body: HypervisorPut, query: ChangeQuery) -> Answer:
        """Create a hypervisor, or give it this remote.

        With `wait` the answer comes when it is connected and its flows are in force.
        """
        hypervisor, is_new = command.put_hypervisor(northbound, path.hypervisor, body.remote, guard=guard())
        backend.settle_hypervisor(query, hypervisor.uuid, f"hypervisor {hypervisor.name} is stored")
        return shown_now(hypervisor.uuid, hypervisor.name, is_new)

    @routes.patch("/v1/hypervisors/<hypervisor>", responses={200: HypervisorItem, 202: PendingItem})
    def set_hypervisor(path: HypervisorPath, body: HypervisorPatch, query: ChangeQuery) -> Answer:
        """Change a hypervisor.

        With `wait` the answer comes when it is connected and its flows are in force.
        """
        hypervisor = command.set_hypervisor(northbound, path.hypervisor, **body.given(), guard=guard())
        backend.settle_hypervisor(query, hypervisor.uuid, f"hypervisor {hypervisor.name} is stored")
        return shown_now(hypervisor.uuid, hypervisor.name)

    @routes.delete("/v1/hypervisors/<hypervisor>", responses={204: None, 202: PendingItem})
    def delete_hypervisor(path: HypervisorPath, query: ChangeQuery) -> Response:
        """Delete a hypervisor: what was configured there is taken back.

        One that is connected must not have ports bound; the ports of one that is gone become unbound.
        """
        status = backend.plane.hypervisor_status(backend.view.hypervisor(path.hypervisor).uuid)
        if status.connected and status.n_ports:
            raise Conflict(f"hypervisor {path.hypervisor} is in use by {status.n_ports} ports that are bound there")
        command.delete_hypervisor(northbound, path.hypervisor, guard=guard())
        backend.settle(query, f"hypervisor {path.hypervisor} is deleted")
        return deleted()

    return routes
