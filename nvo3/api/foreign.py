"""/v1/hypervisors/{hypervisor}/foreign-flows: flows of br-int that somebody else put there"""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Backend, answer_list, deleted, new_blueprint
from nvo3.api.problem import Problem
from nvo3.api.schema import ForeignFlowItem, ForeignFlowList, HypervisorPath, NoQuery
from nvo3.model.status import ForeignFlow

_PATH = "/v1/hypervisors/<hypervisor>/foreign-flows"


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("foreign", "hypervisors")

    def flows_or_problem(hypervisor: str, flows: tuple[ForeignFlow, ...] | None) -> tuple[ForeignFlow, ...]:
        if flows is None:
            raise Problem(409, f"hypervisor {hypervisor} has no OpenFlow connection, so its flows are not known")
        return flows

    @routes.get(_PATH, responses={200: ForeignFlowList})
    def list_foreign_flows(path: HypervisorPath, query: NoQuery) -> dict[str, Any]:
        """Ask a hypervisor for the flows of br-int that are not the controller's."""
        hypervisor = backend.view.hypervisor(path.hypervisor)
        flows = flows_or_problem(hypervisor.name, backend.plane.foreign_flows(hypervisor.uuid))
        return answer_list([ForeignFlowItem.of(flow) for flow in sorted(flows, key=lambda f: (f.table, -f.priority, f.match))])

    @routes.delete(_PATH, responses={204: None})
    def remove_foreign_flows(path: HypervisorPath, query: NoQuery) -> Response:
        """Remove the flows of br-int that are not the controller's, which nothing else does."""
        hypervisor = backend.view.hypervisor(path.hypervisor)
        flows_or_problem(hypervisor.name, backend.plane.remove_foreign_flows(hypervisor.uuid))
        return deleted()

    return routes
