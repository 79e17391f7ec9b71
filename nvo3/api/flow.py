"""/v1/tunnels, and the flows of hypervisors and of ports"""

from typing import Any
from uuid import UUID

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Backend, deleted, new_blueprint
from nvo3.api.page import page
from nvo3.api.problem import Problem
from nvo3.api.schema import (
    FlowItem,
    FlowList,
    FlowListQuery,
    FlowRemovalQuery,
    HypervisorPath,
    PortPath,
    TunnelItem,
    TunnelList,
    TunnelListQuery,
)
from nvo3.model.physical import Hypervisor

_SWITCH_S = 5.0  # how long switches may take


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("flow", "flows and tunnels")

    @routes.get("/v1/tunnels", responses={200: TunnelList})
    def list_tunnels(query: TunnelListQuery) -> Any:
        """List which endpoints are joined by which encapsulation, and what they carried; `after` is a FROM TO ENCAPSULATION."""
        tunnels = [TunnelItem.of(tunnel) for tunnel in backend.plane.tunnels(_SWITCH_S)]
        return page(tunnels, lambda tunnel: tunnel.name, lambda tunnel: tunnel, query)

    @routes.get("/v1/hypervisors/<hypervisor>/flows", responses={200: FlowList})
    def list_flows(path: HypervisorPath, query: FlowListQuery) -> Any:
        """Ask a hypervisor's switch for all flows of br-int, and compare them with those that it should have; `after` is an id."""
        return page(flows_of(backend.view.hypervisor(path.hypervisor), None), lambda flow: flow.id, lambda flow: flow, query)

    @routes.delete("/v1/hypervisors/<hypervisor>/flows", responses={204: None})
    def remove_flows(path: HypervisorPath, query: FlowRemovalQuery) -> Response:
        """Remove the flows of br-int that are not the controller's, which nothing else does."""
        hypervisor = backend.view.hypervisor(path.hypervisor)
        if not backend.plane.remove_foreign_flows(hypervisor.uuid):
            raise Problem(409, _not_connected(hypervisor))
        return deleted()

    @routes.get("/v1/tenants/<tenant>/networks/<network>/ports/<port>/flows", responses={200: FlowList})
    def list_port_flows(path: PortPath, query: FlowListQuery) -> Any:
        """Ask the switches of the port's network for the flows that are about it; `after` is a HYPERVISOR/ID."""
        port = backend.view.port(path.tenant, path.network, path.port)
        names = backend.plane.network_status(port.network).hypervisors
        flows = [flow for name in names for flow in flows_of(backend.view.hypervisor(name), port.uuid)]
        return page(flows, lambda flow: f"{flow.hypervisor}/{flow.id}", lambda flow: flow, query)

    def flows_of(hypervisor: Hypervisor, owner: UUID | None) -> list[FlowItem]:
        entries = backend.plane.flows(hypervisor.uuid, owner, _SWITCH_S)
        if entries is None:
            if not backend.plane.hypervisor_status(hypervisor.uuid).connected:
                raise Problem(409, _not_connected(hypervisor))
            raise Problem(504, f"the switch of hypervisor {hypervisor.name} did not answer within {_SWITCH_S:g} s")
        return [FlowItem.of(entry, hypervisor.name) for entry in entries]

    return routes


def _not_connected(hypervisor: Hypervisor) -> str:
    return f"hypervisor {hypervisor.name} is not connected, so its switch cannot be asked"
