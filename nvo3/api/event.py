"""/v1/events, and the stream of them"""

from collections.abc import Iterator
from typing import Any

import eventlet.event
import eventlet.timeout
from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from nvo3.api.backend import Backend, answer_list, new_blueprint
from nvo3.api.problem import Problem
from nvo3.api.schema import EventItem, EventList, EventQuery, EventStreamQuery
from nvo3.events import EventLog

STREAMS_MAX = 64
_HEARTBEAT_S = 15.0
_TYPE = "text/event-stream"


def blueprint(backend: Backend) -> APIBlueprint:
    """Return the routes."""
    routes = new_blueprint("event", "events")

    @routes.get("/v1/events", responses={200: EventList})
    def list_events(query: EventQuery) -> dict[str, Any]:
        """List the last events, oldest first.  They are of this run of the controller, 10,000 at most."""
        _, events = backend.plane.events.since(query.after)
        return answer_list([EventItem.of(event) for event in events if query.matches(event)][-query.limit :])

    @routes.get("/v1/events/stream", responses={200: {"content": {_TYPE: {"schema": {"type": "string"}}}}})
    def stream_events(query: EventStreamQuery) -> Response:
        """Follow events from now on, or from `after` or Last-Event-ID on, as server-sent events.

        `id`, `event` (KIND.WHAT) and `data`, an object as `/v1/events` has.

        A reader that falls so far behind that events are lost to it gets one named `lost`, with their number.
        """
        log = backend.plane.events
        if log.n_readers >= STREAMS_MAX:
            raise Problem(503, f"{STREAMS_MAX} others follow the events already", headers={"Retry-After": "10"})
        request.environ["eventlet.minimum_write_chunk_size"] = 0  # each event when it happens, not 4096 bytes of them
        after = query.after or request.headers.get("Last-Event-ID") or log.last_id
        return Response(_stream(log, after, query), content_type=_TYPE, headers={"Cache-Control": "no-store"})

    return routes


def _stream(log: EventLog, after: str, query: EventStreamQuery) -> Iterator[str]:
    awake = eventlet.event.Event()

    def wake() -> None:
        if not awake.ready():
            awake.send()

    with log.read(wake):
        yield ": events\n\n"
        while True:
            awake = eventlet.event.Event()
            n_lost, events = log.since(after)
            after = events[-1].id if events else log.last_id
            if n_lost:
                yield f'event: lost\ndata: {{"events": {n_lost}}}\n\n'
            for event in filter(query.matches, events):
                yield f"id: {event.id}\nevent: {event.kind}.{event.what}\ndata: {EventItem.of(event).model_dump_json()}\n\n"
            if after == log.last_id:
                with eventlet.timeout.Timeout(_HEARTBEAT_S, False):
                    awake.wait()
                    continue
                yield ": alive\n\n"
