"""/v1/tenants"""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, created, deleted, new_blueprint, shown
from nvo3.api.client import item_path
from nvo3.api.page import page
from nvo3.api.precondition import guard
from nvo3.api.schema import (
    ChangeQuery,
    ListQuery,
    NoQuery,
    PendingItem,
    TenantCreate,
    TenantItem,
    TenantList,
    TenantPatch,
    TenantPath,
    TenantPut,
)
from nvo3.ovsdb import command


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("tenant", "tenants")
    northbound = backend.northbound

    @routes.get("/v1/tenants", responses={200: TenantList})
    def list_tenants(query: ListQuery) -> Any:
        """List all tenants."""
        return page(list(backend.view.tenants.values()), lambda tenant: tenant.name, TenantItem.of, query)

    @routes.post("/v1/tenants", responses={201: TenantItem, 202: PendingItem})
    def create_tenant(body: TenantCreate, query: ChangeQuery) -> Answer:
        """Create a tenant."""
        tenant = command.create_tenant(northbound, body.name)
        backend.settle(query, f"tenant {tenant.name} is stored")
        return created(TenantItem.of(tenant), tenant, item_path("tenants", tenant.name))

    @routes.get("/v1/tenants/<tenant>", responses={200: TenantItem})
    def show_tenant(path: TenantPath, query: NoQuery) -> Answer:
        """Show a tenant."""
        tenant = backend.view.tenant(path.tenant)
        return shown(TenantItem.of(tenant), tenant)

    @routes.put("/v1/tenants/<tenant>", responses={200: TenantItem, 201: TenantItem, 202: PendingItem})
    def put_tenant(path: TenantPath, body: TenantPut, query: ChangeQuery) -> Answer:
        """Create a tenant unless it is there."""
        tenant, is_new = command.put_tenant(northbound, path.tenant, guard=guard())
        backend.settle(query, f"tenant {tenant.name} is stored")
        item = TenantItem.of(tenant)
        return created(item, tenant, item_path("tenants", tenant.name)) if is_new else shown(item, tenant)

    @routes.patch("/v1/tenants/<tenant>", responses={200: TenantItem, 202: PendingItem})
    def set_tenant(path: TenantPath, body: TenantPatch, query: ChangeQuery) -> Answer:
        """Change a tenant."""
        tenant = command.set_tenant(northbound, path.tenant, **body.given(), guard=guard())
        backend.settle(query, f"tenant {tenant.name} is stored")
        return shown(TenantItem.of(tenant), tenant)

    @routes.delete("/v1/tenants/<tenant>", responses={204: None, 202: PendingItem})
    def delete_tenant(path: TenantPath, query: ChangeQuery) -> Response:
        """Delete a tenant that has no networks."""
        command.delete_tenant(northbound, path.tenant, guard=guard())
        backend.settle(query, f"tenant {path.tenant} is deleted")
        return deleted()

    return routes
