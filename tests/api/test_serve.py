"""The HTTP server: clients that are slow, silent, rude or many; a database that goes away."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.controller import running

pytestmark = pytest.mark.ovsdb


def _connect(controller: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", controller.port), timeout=20)


def _read_all(connection: socket.socket) -> bytes:
    data = b""
    try:
        while part := connection.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


def _n_threads_and_files(controller: Any) -> tuple[int, int]:
    process = Path(f"/proc/{controller.process.pid}")
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


def test_silent_and_rude_clients_leave_nothing(http: httpx.Client, controller: Any) -> None:
    http.get("/healthz")
    n_tracebacks = controller.n_tracebacks()
    threads, files = _n_threads_and_files(controller)
    for number in range(200):
        connection = _connect(controller)
        connection.sendall((b"", b"\0\xff" * 40, b"GET /", b"POST /v1/tenants HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")[number % 4])
        connection.close()
    assert http.get("/healthz").status_code == 200
    deadline = time.monotonic() + 5
    while _n_threads_and_files(controller)[1] > files + 2:
        assert time.monotonic() < deadline
        http.get("/healthz")
    assert _n_threads_and_files(controller)[0] == threads
    assert controller.n_tracebacks() == n_tracebacks


def test_silent_clients_do_not_stop_others(http: httpx.Client, controller: Any) -> None:
    silent = [_connect(controller) for _ in range(100)]
    for connection in silent[::2]:
        connection.sendall(b"POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    started = time.monotonic()
    assert http.post("/v1/tenants", json={"name": "red"}).status_code == 201
    assert time.monotonic() - started < 1
    for connection in silent:
        connection.close()


def test_header_that_trickles_in(controller: Any) -> None:
    """A byte now and then keeps no connection open."""
    connection = _connect(controller)
    connection.sendall(b"GET /healthz HTTP/1.1\r\n")
    started = time.monotonic()
    connection.settimeout(0.5)
    while time.monotonic() - started < 20:
        try:
            connection.sendall(b"X")
            if not connection.recv(1):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    assert 1 < time.monotonic() - started < 5
    connection.close()


def test_body_that_never_ends(controller: Any) -> None:
    """A client that falls silent within the body is given up, with an answer."""
    connection = _connect(controller)
    connection.sendall(b"POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    started = time.monotonic()
    reply = _read_all(connection)
    assert 1 < time.monotonic() - started < 5
    assert reply.startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))
    assert b"application/problem+json" in reply


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GARBAGE", b"400"),
        (b"\x16\x03\x01\x02\x00", b"400"),
        (b"GET / HTTP/9.9", b"505"),
        (b"GET " + b"/" * 100_000 + b" HTTP/1.1", b"414"),
        (b"GET / HTTP/1.1\r\nContent-Length: -5", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000, b"400"),
    ],
)
def test_garbage_is_refused(controller: Any, request_line: bytes, status: bytes) -> None:
    n_tracebacks = controller.n_tracebacks()
    with _connect(controller) as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        assert _read_all(connection).split()[1] == status
    assert controller.n_tracebacks() == n_tracebacks


def test_kept_connection_after_an_error(http: httpx.Client, controller: Any) -> None:
    """An error with an unread body does not put the next request out of step."""
    with _connect(controller) as connection:
        request = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\nGET / HTTP/1.1"
        connection.sendall(request + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reply = _read_all(connection)
    assert reply.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 404" in reply and b"HTTP/1.1 200" in reply


def test_database_killed_under_the_api(tmp_path: Path) -> None:
    """Requests ride over a restart of ovsdb-server; one that hangs gives 503 in bounded time, and reads go on."""
    with running(tmp_path) as controller, httpx.Client(base_url=controller.url, trust_env=False, timeout=30) as http:
        assert http.post("/v1/tenants", json={"name": "red"}).status_code == 201
        os.kill(controller.database_pid, signal.SIGKILL)
        assert http.post("/v1/tenants", json={"name": "blue"}).status_code == 201
        assert [item["name"] for item in http.get("/v1/tenants").json()["items"]] == ["blue", "red"]
        pid = int((tmp_path / "state" / "nvo3.db.pid").read_text())
        assert pid != controller.database_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            reply = http.post("/v1/tenants", json={"name": "green"})
            assert time.monotonic() - started < 7
            assert reply.status_code == 503
            assert "NB database at unix:" in reply.json()["detail"]
            assert len(http.get("/v1/tenants").json()["items"]) == 2
        finally:
            os.kill(pid, signal.SIGCONT)


def test_restart_after_kill(tmp_path: Path) -> None:
    """A controller that was killed leaves a database that the next one takes over at once, with everything in it."""
    with running(tmp_path) as first, httpx.Client(base_url=first.url, trust_env=False) as http:
        http.post("/v1/tenants", json={"name": "red"}).raise_for_status()
        first.process.kill()
        first.process.wait()
        started = time.monotonic()
        with running(tmp_path) as second, httpx.Client(base_url=second.url, trust_env=False) as other:
            reply = other.get("/v1/tenants")
            while reply.status_code == 503 and time.monotonic() - started < 10:
                reply = other.get("/v1/tenants")
            assert [item["name"] for item in reply.json()["items"]] == ["red"]
            assert time.monotonic() - started < 5
