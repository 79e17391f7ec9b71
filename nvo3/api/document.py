"""/v1/apply and /v1/export: whole tenants as one document"""

from typing import Any

from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Backend, answer, new_blueprint
from nvo3.api.schema import Applied, ApplyQuery, DifferenceItem, Document, ExportQuery, NetworkSpec, PendingItem
from nvo3.model.errors import ConfigError
from nvo3.ovsdb import apply

OBJECTS_MAX = 5000  # networks and ports of a document: composing them holds others up


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("document", "documents")

    @routes.post("/v1/apply", responses={200: Applied, 202: PendingItem})
    def apply_document(body: Document, query: ApplyQuery) -> dict[str, Any]:
        """Bring whole tenants about in one transaction: all of it or nothing.

        The same document again changes nothing.  With `dry_run` the answer says what would change.
        """
        _check_size(body)
        document = {name: {key: _spec(network) for key, network in tenant.networks.items()} for name, tenant in body.tenants.items()}
        changes = apply.apply(backend.northbound, document, dry_run=query.dry_run)
        if changes and not query.dry_run:
            backend.settle(query, "the document is stored")
        return answer(Applied(dry_run=query.dry_run, changes=[DifferenceItem.of(change) for change in changes]))

    @routes.get("/v1/export", responses={200: Document})
    def export_document(query: ExportQuery) -> dict[str, Any]:
        """Return the document that brings about what there is, for `POST /v1/apply`."""
        view = backend.view
        tenants = [view.tenant(query.tenant)] if query.tenant is not None else sorted(view.tenants.values(), key=lambda tenant: tenant.name)
        return {"tenants": apply.export(backend.northbound, tenants)}

    return routes


def _spec(network: NetworkSpec) -> apply.NetworkSpec:
    fields = network.whole()
    del fields["ports"]
    return apply.NetworkSpec(fields, {name: port.whole() for name, port in network.ports.items()})


def _check_size(body: Document) -> None:
    networks = [network for tenant in body.tenants.values() for network in tenant.networks.values()]
    n_objects = len(networks) + sum(len(network.ports) for network in networks)
    if n_objects > OBJECTS_MAX:
        raise ConfigError("tenants", f"{n_objects} networks and ports exceed {OBJECTS_MAX}", n_objects, OBJECTS_MAX)
