"""/v1/agents, and what a port's agent has"""

from typing import Any

from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Backend, answer, answer_list, new_blueprint
from nvo3.api.page import page
from nvo3.api.problem import Problem
from nvo3.api.schema import AgentEntryItem, AgentItem, AgentList, AgentListQuery, AgentTable, NoQuery, PortPath
from nvo3.model.logical import NONE, Port

_ITEM = "/v1/tenants/<tenant>/networks/<network>/ports/<port>/agent"
_TABLE_S = 5.0  # how long the agent may take


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("agent", "agents")

    def item_of(port: Port) -> AgentItem:
        hypervisor = backend.plane.port_status(port.uuid).hypervisor
        return AgentItem.of(backend.view.path(port), port, hypervisor, backend.plane.agent_status(port.uuid))

    def port_of(path: PortPath) -> Port:
        port = backend.view.port(path.tenant, path.network, path.port)
        if port.offload == NONE:
            raise Problem(409, f"port {backend.view.path(port)} has offload {NONE}, so it has no agent")
        return port

    @routes.get("/v1/agents", responses={200: AgentList})
    def list_agents(query: AgentListQuery) -> Any:
        """List the agents of all ports that have offload cvsw; `after` is a TENANT/NETWORK/PORT."""
        ports = [port for port in backend.view.ports.values() if port.offload != NONE]
        return page(ports, backend.view.path, lambda port: item_of(port) if port.uuid in backend.view.ports else None, query)

    @routes.get(_ITEM, responses={200: AgentItem})
    def show_agent(path: PortPath, query: NoQuery) -> dict[str, Any]:
        """Show the agent of a port's vNIC."""
        return answer(item_of(port_of(path)))

    @routes.get(f"{_ITEM}/table", responses={200: AgentTable})
    def show_table(path: PortPath, query: NoQuery) -> dict[str, Any]:
        """Ask the agent for its table, with counters, and compare it with what it should be."""
        port = port_of(path)
        entries = backend.plane.agent_table(port.uuid, _TABLE_S)
        if entries is not None:
            return answer_list([AgentEntryItem.of(entry) for entry in entries])
        status = backend.plane.agent_status(port.uuid)
        state = "unbound" if status is None else status.state
        if status is None or status.state != "connected" or "flow_stats" not in status.capabilities:
            raise Problem(409, f"the agent of port {backend.view.path(port)} cannot be asked for its table: it is {state}")
        raise Problem(504, f"the agent of port {backend.view.path(port)} did not answer, or was lost, within {_TABLE_S:g} s")

    return routes
