"""/metrics: for Prometheus."""

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

import eventlet
from flask import Flask, Response, g, request

from nvo3 import exposition
from nvo3.exposition import Family
from nvo3.metrics import Metrics


class Source(Protocol):
    """What there is to tell.  families: of ports and tunnels."""

    @property
    def metrics(self) -> Metrics: ...

    def families(self) -> Iterable[Family]: ...


def register(app: Flask, source: Source) -> None:
    """Serve /metrics, and count requests."""
    metrics = source.metrics

    def serve() -> Response:
        is_openmetrics = exposition.prefers_openmetrics(request.headers.get("Accept", ""))
        return Response(_pieces(source, is_openmetrics), content_type=exposition.content_type(is_openmetrics))

    def begin() -> None:
        g.began_at = time.perf_counter()

    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "unmatched"
        method = request.method if request.url_rule is not None else "any"
        metrics.requests.labels(route, method, response.status_code).inc()
        metrics.request_duration.labels(route, method).observe(time.perf_counter() - g.began_at)
        return response

    app.before_request(begin)
    app.after_request(end)
    app.add_url_rule("/metrics", view_func=serve, endpoint="metrics")


def _pieces(source: Source, is_openmetrics: bool) -> Iterator[bytes]:
    for piece in exposition.render(source.metrics.registry, source.families(), is_openmetrics):
        yield piece
        eventlet.sleep(0)
