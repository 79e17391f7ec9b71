"""/v1/tenants"""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, answer, answer_list, created, deleted, new_blueprint
from nvo3.api.client import item_path
from nvo3.api.schema import ChangeQuery, NoQuery, TenantCreate, TenantItem, TenantList, TenantPatch, TenantPath
from nvo3.ovsdb import command


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("tenant", "tenants")
    northbound = backend.northbound

    @routes.get("/v1/tenants", responses={200: TenantList})
    def list_tenants(query: NoQuery) -> dict[str, Any]:
        """List all tenants."""
        tenants = sorted(backend.view.tenants.values(), key=lambda tenant: tenant.name)
        return answer_list([TenantItem.of(tenant) for tenant in tenants])

    @routes.post("/v1/tenants", responses={201: TenantItem})
    def create_tenant(body: TenantCreate, query: ChangeQuery) -> Answer:
        """Create a tenant."""
        tenant = command.create_tenant(northbound, body.name)
        backend.settle(query, f"tenant {tenant.name} is stored")
        return created(TenantItem.of(tenant), item_path("tenants", tenant.name))

    @routes.get("/v1/tenants/<tenant>", responses={200: TenantItem})
    def show_tenant(path: TenantPath, query: NoQuery) -> dict[str, Any]:
        """Show a tenant."""
        return answer(TenantItem.of(backend.view.tenant(path.tenant)))

    @routes.patch("/v1/tenants/<tenant>", responses={200: TenantItem})
    def set_tenant(path: TenantPath, body: TenantPatch, query: ChangeQuery) -> dict[str, Any]:
        """Change a tenant."""
        tenant = command.set_tenant(northbound, path.tenant, **body.given())
        backend.settle(query, f"tenant {tenant.name} is stored")
        return answer(TenantItem.of(tenant))

    @routes.delete("/v1/tenants/<tenant>", responses={204: None})
    def delete_tenant(path: TenantPath, query: ChangeQuery) -> Response:
        """Delete a tenant that has no networks."""
        command.delete_tenant(northbound, path.tenant)
        backend.settle(query, f"tenant {path.tenant} is deleted")
        return deleted()

    return routes
