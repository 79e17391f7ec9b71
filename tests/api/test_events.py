"""Events, as a list and as a stream."""

import json
import threading
from queue import Queue
from typing import Any

import httpx
import pytest

from nvo3.api.client import Client

pytestmark = pytest.mark.ovsdb


def _change(http: httpx.Client, *names: str) -> None:
    for name in names:
        http.put(f"/v1/tenants/{name}", json={}).raise_for_status()


def _names(events: list[dict[str, Any]]) -> list[str]:
    return [event["name"] for event in events]


def test_list_of_events(http: httpx.Client) -> None:
    _change(http, "a", "b", "c")
    events = http.get("/v1/events?limit=3").json()["items"]
    assert _names(events) == ["a", "b", "c"]
    assert set(events[0]) == {"id", "time", "kind", "what", "name", "detail"} and events[0]["time"].endswith("Z")
    assert _names(http.get(f"/v1/events?after={events[0]['id']}").json()["items"]) == ["b", "c"]
    assert _names(http.get("/v1/events?limit=1").json()["items"]) == ["c"]
    assert _names(http.get(f"/v1/events?after={events[0]['id']}&tenant=c").json()["items"]) == ["c"]
    assert http.get("/v1/events?kind=port").json()["items"] == []
    assert http.get("/v1/events?limit=0").status_code == 400


def test_stream_goes_on_where_a_reader_left_off(http: httpx.Client) -> None:
    _change(http, "a", "b")
    first = http.get("/v1/events?limit=2").json()["items"][0]
    found: Queue[tuple[str, str]] = Queue()

    def read() -> None:
        headers = {"Last-Event-ID": first["id"]}
        with httpx.stream("GET", http.base_url.join("/v1/events/stream"), headers=headers, trust_env=False) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            event, n = "", 0
            for line in reply.iter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                if line.startswith("data: "):
                    found.put((event, json.loads(line.removeprefix("data: "))["name"]))
                    n += 1
                    if n == 4:
                        return

    reader = threading.Thread(target=read)
    reader.start()
    assert found.get(timeout=10) == ("tenant.changed", "b")
    _change(http, "c", "d", "e")
    reader.join(10)
    assert [found.get(timeout=1)[1] for _ in range(3)] == ["c", "d", "e"]


def test_a_stream_begins_now_and_is_filtered(http: httpx.Client) -> None:
    _change(http, "old")
    with Client(str(http.base_url)) as client:
        stream = client.stream("/v1/events/stream", tenant="wanted")
        got: Queue[str] = Queue()
        reader = threading.Thread(target=lambda: got.put(next(stream)["name"]))
        reader.start()
        # The stream may begin after the first of these.
        for _ in range(100):
            http.delete("/v1/tenants/wanted")
            _change(http, "other", "wanted")
            reader.join(0.1)
            if not reader.is_alive():
                break
        assert got.get(timeout=1) == "wanted"


def test_streams_are_bounded_and_given_back(http: httpx.Client) -> None:
    streams = [httpx.Client(base_url=http.base_url, trust_env=False) for _ in range(64)]
    opened = []
    try:
        for one in streams:
            reply = one.send(one.build_request("GET", "/v1/events/stream"), stream=True)
            next(reply.iter_raw())  # it has begun
            opened.append(reply)
        assert http.get("/v1/events/stream").status_code == 503
        assert http.get("/v1/tenants").status_code == 200
    finally:
        for reply in opened:
            reply.close()
        for one in streams:
            one.close()
    # The next event finds the readers gone.
    for _ in range(50):
        http.delete("/v1/tenants/next")
        _change(http, "next")
        with http.stream("GET", "/v1/events/stream") as reply:
            if reply.status_code == 200:
                return
    pytest.fail("the streams were not given back")
