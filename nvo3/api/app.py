"""The WSGI application: routes, errors, `/openapi.json` and `/docs` in one."""

from typing import Any

from flask import Request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.exceptions import NotFound as HttpNotFound
from werkzeug.routing import RequestRedirect

import nvo3
from nvo3.api import agent, description, docs, document, event, flow, hypervisor, metrics, network, port, problem, settings, tenant
from nvo3.api.backend import Backend
from nvo3.api.body import JsonRequest
from nvo3.api.plane import ControlPlane
from nvo3.api.schema import ProblemItem
from nvo3.model.errors import Unavailable
from nvo3.ovsdb.northbound import Northbound

_DESCRIPTION = (
    "Network virtualization overlays on Open vSwitch.  Errors are application/problem+json (RFC 9457) and name the "
    "field, the value and the limit."
)


class _App(OpenAPI):
    request_class: type[Request] = JsonRequest

    def serves(self, environ: dict[str, Any]) -> bool:
        """Tell whether a request's path is the API's own, whatever its method; others may be a Ryu app's beside it."""
        try:
            self.url_map.bind_to_environ(environ).match()
        except HttpNotFound:
            return str(environ.get("PATH_INFO", "")).startswith("/v1/")
        except (MethodNotAllowed, RequestRedirect):
            pass
        return True


def create_app(northbound: Northbound, plane: ControlPlane, telemetry: metrics.Source) -> _App:
    """Return the API as a WSGI application for an eventlet server.  It starts nothing and keeps no state."""
    app = _App(
        "nvo3",
        info=Info(title="nvo3", version=nvo3.__version__, description=_DESCRIPTION),
        validation_error_status=400,
        validation_error_model=ProblemItem,
        validation_error_callback=problem.of_validation,
        doc_ui=False,
        static_folder=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    problem.register(app)
    metrics.register(app, telemetry)
    backend = Backend(northbound, plane)
    for resource in (tenant, network, port, agent, hypervisor, flow, settings, document, event):
        app.register_api(resource.blueprint(backend))
    described = description.complete(app.api_doc)
    app.add_url_rule("/openapi.json", view_func=lambda: described, endpoint="openapi")
    docs.register(app)
    app.add_url_rule("/healthz", view_func=lambda: _health(northbound), endpoint="health")
    return app


def _health(northbound: Northbound) -> dict[str, str]:
    """Tell that requests would be served, for a supervisor."""
    if not northbound.is_up:
        raise Unavailable(f"the NB database at {northbound.remotes} is not reachable")
    return {"status": "ok"}
