"""`ryu.app.wsgi`: HTTP for apps, as Ryu has it, on the port of the REST API.

An app names `WSGIApplication` in its `_CONTEXTS` and registers controllers with it: classes whose methods carry a `route`, or routes made
by hand with `mapper.connect`.  For each request a controller is made and the method called, with the parts of the path as arguments.
`nvo3.manager` serves what was registered, at `--wsapi-host` and `--wsapi-port`.

Deviates: bodies are bounded in size and time as the REST API's are; what an app raises is one line in the log, and the answer 500.
`WebSocketRPCServer` and its like are missing, since they need tinyrpc.
"""

import functools
import inspect
import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import webob
import webob.dec
import webob.exc
from os_ken.lib import hub
from routes import Mapper
from routes.util import URLGenerator

from nvo3.api import problem
from nvo3.api.body import JsonRequest
from nvo3.api.serve import HttpServer

LOG = logging.getLogger(__name__)

HEX_PATTERN = r"0x[0-9a-z]+"
DIGIT_PATTERN = r"[1-9][0-9]*"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Api(Protocol):
    """A WSGI application that knows which paths are its own."""

    def serves(self, environ: Environ) -> bool: ...

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]: ...


class Request(webob.Request):  # type: ignore[misc]
    """webob's."""


class Response(webob.Response):  # type: ignore[misc]
    """webob's, with UTF-8 unless told otherwise, so that `body` may be text."""

    DEFAULT_CHARSET = "UTF-8"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("charset", self.DEFAULT_CHARSET)
        super().__init__(*args, **kwargs)


def route(
    name: str, path: str, methods: Sequence[str] | None = None, requirements: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have a controller's method answer requests for a path, as in "/table/{dpid}".  requirements: a regular expression for each part."""

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        method.routing_info = {  # type: ignore[attr-defined]
            "name": name,
            "path": path,
            "methods": methods,
            "requirements": requirements,
        }
        return method

    return mark


class _Answered(webob.Response):  # type: ignore[misc]
    """An answer that has begun already; rest: what is left of it."""

    rest: Iterable[bytes] = ()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.rest


def websocket(name: str, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have a controller's method talk through a websocket, its argument, until it returns."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def answer(self: "ControllerBase", req: Any, **_: Any) -> webob.Response:
            def talk(socket: Any) -> None:
                req.environ["eventlet.input"].get_socket().settimeout(None)  # a client may be silent for as long as it likes
                manager = self.parent.websocketmanager
                manager.add_connection(socket)
                try:
                    method(self, socket)
                finally:
                    manager.delete_connection(socket)

            return _Answered(rest=hub.WebSocketWSGI.configured(talk)(req.environ, req.start_response))

        return route(name, path)(answer)

    return decorate


class ControllerBase:
    """Answers one request.  link: makes URLs.  data: as given to `WSGIApplication.register`.  parent: the WSGIApplication."""

    special_vars: Sequence[str] = ["action", "controller"]

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        self.req = req
        self.link = link
        self.data = data
        self.parent: Any = None
        for name, value in config.items():
            setattr(self, name, value)

    def __call__(self, req: Any) -> Any:
        action = self.req.urlvars.get("action", "index")
        before = getattr(self, "__before__", None)
        if before is not None:
            before()
        parts = {name: value for name, value in self.req.urlvars.items() if name not in self.special_vars}
        return getattr(self, action)(req, **parts)


class WebSocketManager:
    """The websockets that are open."""

    def __init__(self) -> None:
        self._connections: list[Any] = []

    def add_connection(self, ws: Any) -> None:
        self._connections.append(ws)

    def delete_connection(self, ws: Any) -> None:
        self._connections.remove(ws)

    def broadcast(self, msg: Any) -> None:
        """Send to all."""
        for connection in list(self._connections):
            connection.send(msg)


class WSGIApplication:
    """Controllers and their paths.  mapper: of the `routes` package.  registory: data for controllers, by their class's name."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.mapper = Mapper()
        self.registory: dict[str, Any] = {}
        self.api: Api | None = None  # whose paths come first
        self._websockets = WebSocketManager()

    @property
    def websocketmanager(self) -> WebSocketManager:
        return self._websockets

    def register(self, controller: type, data: Any = None) -> None:
        """Serve a class's methods that carry a `route`."""
        for action, method in inspect.getmembers(controller, inspect.isroutine):
            info = getattr(method, "routing_info", None)
            if info is None:
                continue
            conditions = {"method": list(info["methods"])} if info["methods"] else {}
            requirements = dict(info["requirements"] or {})
            self.mapper.connect(
                info["name"], info["path"], controller=controller, action=action, conditions=conditions, requirements=requirements
            )
        if data is not None:
            self.registory[controller.__name__] = data

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; 404 where no route matches."""
        match = self.match(environ)
        answer = webob.dec.wsgify(lambda req: self._answer(req, match, start_response), RequestClass=Request)
        result: Iterable[bytes] = answer(environ, start_response)
        return result

    def match(self, environ: Environ) -> dict[str, Any] | None:
        """Return controller, action and parts of the path; None where no route matches."""
        found: dict[str, Any] | None = self.mapper.match(environ=environ)
        return found

    def _answer(self, req: Any, match: dict[str, Any] | None, start_response: StartResponse) -> Any:
        if match is None:
            return webob.exc.HTTPNotFound()
        req.start_response = start_response
        req.urlvars = match
        make = match["controller"]
        try:
            controller = make(req, URLGenerator(self.mapper, req.environ), self.registory.get(make.__name__), **self.config)
            controller.parent = self
            return controller(req)
        except webob.exc.HTTPException:
            raise
        except Exception as error:
            LOG.error("%s %s: %s: %s: %s", req.method, req.path, make.__name__, type(error).__name__, error)
            LOG.debug("the answer is 500", exc_info=True)
            return webob.exc.HTTPInternalServerError()


class _Site:
    """All there is behind one port: the REST API's paths, then what apps registered, then 404."""

    def __init__(self, applications: Sequence[WSGIApplication]) -> None:
        self._applications = applications

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        api = next((a.api for a in self._applications if a.api is not None), None)
        if api is not None and api.serves(environ):
            return api(environ, start_response)
        for application in self._applications:
            if application.match(environ) is not None:
                return _with_body(application, environ, start_response)
        if api is not None:
            return api(environ, start_response)
        return problem.response(404, f"there is no {environ.get('PATH_INFO', '')}")(environ, start_response)


def _with_body(application: WSGIApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Call an app's controller when the body has arrived, so that no client can hold it up."""
    try:
        body = JsonRequest(environ).read()
    except problem.Problem as error:
        return error.response(environ, start_response)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return application(environ, start_response)


def bind(contexts: Iterable[Any], host: str, port: int) -> HttpServer | None:
    """Bind a server for the `WSGIApplication`s among contexts, None where there is none.  Raises ConfigError as `HttpServer` does."""
    applications = [context for context in contexts if isinstance(context, WSGIApplication)]
    return HttpServer(host, port, _Site(applications)) if applications else None
