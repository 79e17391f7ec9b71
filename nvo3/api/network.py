"""/v1/tenants/{tenant}/networks"""

from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, answer, answer_list, created, deleted, new_blueprint
from nvo3.api.client import item_path
from nvo3.api.schema import (
    ChangeQuery,
    NetworkCreate,
    NetworkItem,
    NetworkList,
    NetworkPatch,
    NetworkPath,
    NoQuery,
    TenantPath,
)
from nvo3.model.errors import NotFound
from nvo3.model.logical import Network
from nvo3.ovsdb import command


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("network", "networks")
    northbound = backend.northbound

    def item_of(network: Network) -> NetworkItem:
        tenant = backend.view.tenants[network.tenant]
        return NetworkItem.of(network, tenant, backend.plane.network_status(network.uuid))

    def item_now(uuid: UUID, name: str) -> NetworkItem:
        """Return the network as it is after waiting, when others may have changed or deleted it."""
        network = backend.view.networks.get(uuid)
        if network is None:
            raise NotFound("network", name)
        return item_of(network)

    @routes.get("/v1/tenants/<tenant>/networks", responses={200: NetworkList})
    def list_networks(path: TenantPath, query: NoQuery) -> dict[str, Any]:
        """List the networks of a tenant."""
        view = backend.view
        return answer_list([item_of(network) for network in view.networks_of(view.tenant(path.tenant).uuid)])

    @routes.post("/v1/tenants/<tenant>/networks", responses={201: NetworkItem})
    def create_network(path: TenantPath, body: NetworkCreate, query: ChangeQuery) -> Answer:
        """Create a network."""
        network = command.create_network(northbound, path.tenant, **body.given())
        backend.settle(query, f"network {path.tenant}/{network.name} is stored")
        location = item_path("tenants", path.tenant, "networks", network.name)
        return created(item_now(network.uuid, f"{path.tenant}/{network.name}"), location)

    @routes.get("/v1/tenants/<tenant>/networks/<network>", responses={200: NetworkItem})
    def show_network(path: NetworkPath, query: NoQuery) -> dict[str, Any]:
        """Show a network."""
        return answer(item_of(backend.view.network(path.tenant, path.network)))

    @routes.patch("/v1/tenants/<tenant>/networks/<network>", responses={200: NetworkItem})
    def set_network(path: NetworkPath, body: NetworkPatch, query: ChangeQuery) -> dict[str, Any]:
        """Change a network.

        The addresses of its ports must stay within its pools.
        """
        network = command.set_network(northbound, path.tenant, path.network, **body.given())
        backend.settle(query, f"network {path.tenant}/{network.name} is stored")
        return answer(item_now(network.uuid, f"{path.tenant}/{network.name}"))

    @routes.delete("/v1/tenants/<tenant>/networks/<network>", responses={204: None})
    def delete_network(path: NetworkPath, query: ChangeQuery) -> Response:
        """Delete a network that has no ports."""
        command.delete_network(northbound, path.tenant, path.network)
        backend.settle(query, f"network {path.tenant}/{path.network} is deleted")
        return deleted()

    return routes
