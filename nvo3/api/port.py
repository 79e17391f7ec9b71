"""/v1/tenants/{tenant}/networks/{network}/ports"""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, answer, answer_list, created, deleted, new_blueprint
from nvo3.api.client import item_path
from nvo3.api.problem import Problem
from nvo3.api.schema import (
    ChangeQuery,
    NetworkPath,
    NoQuery,
    PortCountersItem,
    PortCreate,
    PortItem,
    PortList,
    PortPatch,
    PortPath,
    PortQuery,
)
from nvo3.model.errors import NotFound
from nvo3.model.logical import Port
from nvo3.ovsdb import command

_COLLECTION = "/v1/tenants/<tenant>/networks/<network>/ports"
_ITEM = f"{_COLLECTION}/<port>"
_COUNTERS_S = 5.0  # how long the switch may take


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("port", "ports")
    northbound = backend.northbound

    def item_of(port: Port) -> PortItem:
        view = backend.view
        network = view.networks[port.network]
        return PortItem.of(port, network, view.tenants[network.tenant], backend.plane.port_status(port.uuid))

    def item_now(uuid: UUID, name: str) -> PortItem:
        """Return the port as it is after waiting, when others may have changed or deleted it."""
        port = backend.view.ports.get(uuid)
        if port is None:
            raise NotFound("port", name)
        return item_of(port)

    @routes.get(_COLLECTION, responses={200: PortList})
    def list_ports(path: NetworkPath, query: NoQuery) -> dict[str, Any]:
        """List the ports of a network."""
        view = backend.view
        return answer_list([item_of(port) for port in view.ports_of(view.network(path.tenant, path.network).uuid)])

    @routes.post(_COLLECTION, responses={201: PortItem})
    def create_port(path: NetworkPath, body: PortCreate, query: ChangeQuery) -> Answer:
        """Create a port."""
        port = command.create_port(northbound, path.tenant, path.network, **body.given())
        name = f"{path.tenant}/{path.network}/{port.name}"
        backend.settle(query, f"port {name} is stored")
        location = item_path("tenants", path.tenant, "networks", path.network, "ports", port.name)
        return created(item_now(port.uuid, name), location)

    @routes.get(_ITEM, responses={200: PortItem})
    def show_port(path: PortPath, query: PortQuery) -> dict[str, Any]:
        """Show a port."""
        port = backend.view.port(path.tenant, path.network, path.port)
        if query.wait is None:
            return answer(item_of(port))
        name = f"{path.tenant}/{path.network}/{path.port}"
        status = backend.plane.wait_port_up(port.uuid, query.timeout)
        item = item_now(port.uuid, name)
        if status.state != "up":
            detail = f" ({status.detail})" if status.detail else ""
            raise Problem(504, f"port {name} is not up within {query.timeout:g} s: it is {status.state}{detail}")
        return answer(item)

    @routes.patch(_ITEM, responses={200: PortItem})
    def set_port(path: PortPath, body: PortPatch, query: ChangeQuery) -> dict[str, Any]:
        """Change a port."""
        port = command.set_port(northbound, path.tenant, path.network, path.port, **body.given())
        name = f"{path.tenant}/{path.network}/{port.name}"
        backend.settle(query, f"port {name} is stored")
        return answer(item_now(port.uuid, name))

    @routes.delete(_ITEM, responses={204: None})
    def delete_port(path: PortPath, query: ChangeQuery) -> Response:
        """Delete a port."""
        command.delete_port(northbound, path.tenant, path.network, path.port)
        backend.settle(query, f"port {path.tenant}/{path.network}/{path.port} is deleted")
        return deleted()

    @routes.get(f"{_ITEM}/counters", responses={200: PortCountersItem})
    def show_counters(path: PortPath, query: NoQuery) -> dict[str, Any]:
        """Ask the switch for the counters of a port that is bound."""
        port = backend.view.port(path.tenant, path.network, path.port)
        name = f"{path.tenant}/{path.network}/{path.port}"
        counters = backend.plane.port_counters(port.uuid, _COUNTERS_S)
        if counters is not None:
            return answer(PortCountersItem(**asdict(counters)))
        if backend.plane.port_status(port.uuid).state == "unbound":
            raise Problem(409, f"port {name} is not bound, so nothing counts for it")
        raise Problem(504, f"the switch of port {name} did not answer within {_COUNTERS_S:g} s")

    return routes
