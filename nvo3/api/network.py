"""/v1/tenants/{tenant}/networks"""

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
    NetworkCreate,
    NetworkItem,
    NetworkList,
    NetworkListQuery,
    NetworkPatch,
    NetworkPath,
    NetworkPut,
    NoQuery,
    PendingItem,
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

    def item_if_there(network: Network) -> NetworkItem | None:
        now = backend.view.networks.get(network.uuid)
        return None if now is None else item_of(now)

    def shown_now(uuid: UUID, tenant: str, name: str, is_new: bool = False) -> Answer:
        """Return the network as it is after waiting, when others may have changed or deleted it."""
        network = backend.view.networks.get(uuid)
        if network is None:
            raise NotFound("network", f"{tenant}/{name}")
        item = item_of(network)
        return created(item, network, item_path("tenants", tenant, "networks", name)) if is_new else shown(item, network)

    @routes.get("/v1/tenants/<tenant>/networks", responses={200: NetworkList})
    def list_networks(path: TenantPath, query: NetworkListQuery) -> Any:
        """List the networks of a tenant."""
        view = backend.view
        return page(view.networks_of(view.tenant(path.tenant).uuid), lambda network: network.name, item_if_there, query)

    @routes.get("/v1/networks", responses={200: NetworkList})
    def list_all_networks(query: NetworkListQuery) -> Any:
        """List the networks of all tenants; `after` is a TENANT/NETWORK."""
        return page(list(backend.view.networks.values()), backend.view.path, item_if_there, query)

    @routes.post("/v1/tenants/<tenant>/networks", responses={201: NetworkItem, 202: PendingItem})
    def create_network(path: TenantPath, body: NetworkCreate, query: ChangeQuery) -> Answer:
        """Create a network."""
        network = command.create_network(northbound, path.tenant, **body.given())
        backend.settle(query, f"network {path.tenant}/{network.name} is stored")
        return shown_now(network.uuid, path.tenant, network.name, is_new=True)

    @routes.get("/v1/tenants/<tenant>/networks/<network>", responses={200: NetworkItem})
    def show_network(path: NetworkPath, query: NoQuery) -> Answer:
        """Show a network."""
        network = backend.view.network(path.tenant, path.network)
        return shown(item_of(network), network)

    @routes.put("/v1/tenants/<tenant>/networks/<network>", responses={200: NetworkItem, 201: NetworkItem, 202: PendingItem})
    def put_network(path: NetworkPath, body: NetworkPut, query: ChangeQuery) -> Answer:
        """Create a network, or make it what the body says."""
        network, is_new = command.put_network(northbound, path.tenant, path.network, **body.given(), guard=guard())
        backend.settle(query, f"network {path.tenant}/{network.name} is stored")
        return shown_now(network.uuid, path.tenant, network.name, is_new)

    @routes.patch("/v1/tenants/<tenant>/networks/<network>", responses={200: NetworkItem, 202: PendingItem})
    def set_network(path: NetworkPath, body: NetworkPatch, query: ChangeQuery) -> Answer:
        """Change a network.

        The addresses of its ports must stay within its pools.
        """
        network = command.set_network(northbound, path.tenant, path.network, **body.given(), guard=guard())
        backend.settle(query, f"network {path.tenant}/{network.name} is stored")
        return shown_now(network.uuid, path.tenant, network.name)

    @routes.delete("/v1/tenants/<tenant>/networks/<network>", responses={204: None, 202: PendingItem})
    def delete_network(path: NetworkPath, query: ChangeQuery) -> Response:
        """Delete a network that has no ports."""
        command.delete_network(northbound, path.tenant, path.network, guard=guard())
        backend.settle(query, f"network {path.tenant}/{path.network} is deleted")
        return deleted()

    return routes
