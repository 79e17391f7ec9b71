"""/v1/tenants/{tenant}/networks/{network}/ports"""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Answer, Backend, answer, created, deleted, new_blueprint, shown
from nvo3.api.client import item_path
from nvo3.api.page import page
from nvo3.api.precondition import guard
from nvo3.api.problem import Pending, Problem
from nvo3.api.schema import (
    ChangeQuery,
    NetworkPath,
    NoQuery,
    PendingItem,
    PortCountersItem,
    PortCreate,
    PortItem,
    PortList,
    PortListQuery,
    PortPatch,
    PortPath,
    PortPut,
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

    def item_if_there(port: Port) -> PortItem | None:
        now = backend.view.ports.get(port.uuid)
        return None if now is None else item_of(now)

    def shown_now(uuid: UUID, path: NetworkPath, name: str, is_new: bool = False) -> Answer:
        """Return the port as it is after waiting, when others may have changed or deleted it."""
        port = backend.view.ports.get(uuid)
        if port is None:
            raise NotFound("port", f"{path.tenant}/{path.network}/{name}")
        item, location = item_of(port), item_path("tenants", path.tenant, "networks", path.network, "ports", name)
        return created(item, port, location) if is_new else shown(item, port)

    @routes.get(_COLLECTION, responses={200: PortList})
    def list_ports(path: NetworkPath, query: PortListQuery) -> Any:
        """List the ports of a network."""
        view = backend.view
        return page(view.ports_of(view.network(path.tenant, path.network).uuid), lambda port: port.name, item_if_there, query)

    @routes.get("/v1/ports", responses={200: PortList})
    def list_all_ports(query: PortListQuery) -> Any:
        """List the ports of all networks; `after` is a TENANT/NETWORK/PORT."""
        return page(list(backend.view.ports.values()), backend.view.path, item_if_there, query)

    @routes.post(_COLLECTION, responses={201: PortItem, 202: PendingItem})
    def create_port(path: NetworkPath, body: PortCreate, query: ChangeQuery) -> Answer:
        """Create a port."""
        port = command.create_port(northbound, path.tenant, path.network, **body.given())
        backend.settle(query, f"port {path.tenant}/{path.network}/{port.name} is stored")
        return shown_now(port.uuid, path, port.name, is_new=True)

    @routes.get(_ITEM, responses={200: PortItem, 202: PendingItem})
    def show_port(path: PortPath, query: PortQuery) -> Answer:
        """Show a port."""
        port = backend.view.port(path.tenant, path.network, path.port)
        if query.wait is None:
            return shown(item_of(port), port)
        name = f"{path.tenant}/{path.network}/{path.port}"
        status = backend.plane.wait_port_up(port.uuid, query.timeout)
        found = shown_now(port.uuid, path, path.port)
        if status.state != "up":
            detail = f" ({status.detail})" if status.detail else ""
            raise Pending(f"port {name} is not up within {query.timeout:g} s: it is {status.state}{detail}")
        return found

    @routes.put(_ITEM, responses={200: PortItem, 201: PortItem, 202: PendingItem})
    def put_port(path: PortPath, body: PortPut, query: ChangeQuery) -> Answer:
        """Create a port, or make it what the body says."""
        port, is_new = command.put_port(northbound, path.tenant, path.network, path.port, **body.given(), guard=guard())
        backend.settle(query, f"port {path.tenant}/{path.network}/{port.name} is stored")
        return shown_now(port.uuid, path, port.name, is_new)

    @routes.patch(_ITEM, responses={200: PortItem, 202: PendingItem})
    def set_port(path: PortPath, body: PortPatch, query: ChangeQuery) -> Answer:
        """Change a port."""
        port = command.set_port(northbound, path.tenant, path.network, path.port, **body.given(), guard=guard())
        backend.settle(query, f"port {path.tenant}/{path.network}/{port.name} is stored")
        return shown_now(port.uuid, path, port.name)

    @routes.delete(_ITEM, responses={204: None, 202: PendingItem})
    def delete_port(path: PortPath, query: ChangeQuery) -> Response:
        """Delete a port."""
        command.delete_port(northbound, path.tenant, path.network, path.port, guard=guard())
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
