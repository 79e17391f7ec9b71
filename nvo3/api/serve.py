"""HTTP server of the API, on eventlet.

No client can hold another up: connections are bounded in number, a request in the time and the size that it may take to
arrive, an answer in the time that each part may take to be read.  eventlet.wsgi does the protocol; its own accept loop
ends on errors such as a lack of file descriptors, so ours replaces it.
"""

import contextlib
import logging
import socket
from typing import Any

import eventlet
import eventlet.greenio
import eventlet.timeout
import eventlet.wsgi

from nvo3.api import problem
from nvo3.api.body import BODY_MAX
from nvo3.model.errors import ConfigError

LOG = logging.getLogger(__name__)

_CONNECTIONS_MAX = 512
_BACKLOG = 128
_IDLE_S = 60.0  # a kept connection without a request
_HEAD_S = 10.0  # request line and headers, whole
_SOCKET_S = 10.0  # one read or write
_DRAIN_S = 2.0
_DETAIL_MAX = 200
_PAUSE_S = 0.2  # after a failure of accept(2), which would fail again at once


class _Log:
    """What eventlet.wsgi says, at debug level only."""

    def info(self, message: str, *arguments: Any) -> None:
        LOG.debug(message, *arguments)

    debug = error = write = info


class _Protocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """Bounds the time that a request takes to arrive; the application bounds the body's."""

    def _read_request_line(self) -> Any:
        with eventlet.timeout.Timeout(_IDLE_S, False):
            line = super()._read_request_line()
            self._unread = len(line) >= self.server.url_length_limit
            return line
        return ""

    def parse_request(self) -> bool:
        self._unread = True  # also where headers that are too long end this by an exception
        complete = False
        with eventlet.timeout.Timeout(_HEAD_S, False):
            complete = bool(super().parse_request())
        if not complete:
            self.close_connection = True
        else:
            self._unread = False
            if self._is_too_long():
                self._close()
        return complete

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not even HTTP."""
        detail = "".join(c if c.isprintable() else "?" for c in message or "not an HTTP request")[:_DETAIL_MAX]
        body = problem.document(code, detail).encode()
        self.request_version = self.protocol_version  # what could not be parsed counts as HTTP/0.9: no status line
        self.send_response(code)
        self.send_header("Content-Type", problem.CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug(format, *args)

    def _is_too_long(self) -> bool:
        """Tell whether the body may be one that the application refuses to read to its end."""
        length = self.headers.get("content-length", "0")
        return "transfer-encoding" in self.headers or (length.isdigit() and int(length[:20]) > BODY_MAX)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["nvo3.close_connection"] = self._close
        environ["wsgi.input_terminated"] = True  # eventlet's input ends where the body does
        return environ

    def _close(self) -> None:
        self.close_connection = True
        self._unread = True

    def finish(self) -> None:
        if getattr(self, "_unread", False):
            self._drain()
        super().finish()

    def _drain(self) -> None:
        """Take in what the client still sends, within bounds: else a reset may cost it the answer (RFC 9112, 9.6)."""
        with eventlet.timeout.Timeout(_DRAIN_S, False), contextlib.suppress(OSError, ValueError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(1 << 16):
                pass


class HttpServer:
    """Serves a WSGI application.  port: as bound, where 0 was asked for."""

    def __init__(self, host: str, port: int, app: Any) -> None:
        """Bind.  Raises ConfigError if the address is taken or not ours."""
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._pool = eventlet.GreenPool(_CONNECTIONS_MAX)
        self._server = eventlet.wsgi.Server(
            self._socket,
            self._socket.getsockname(),
            app,
            log=_Log(),
            protocol=_Protocol,
            keepalive=True,
            socket_timeout=_SOCKET_S,
            debug=False,
            log_format='%(client_ip)s "%(request_line)s" %(status_code)s %(body_length)s %(wall_seconds).3f s',
        )
        self._thread: Any = None

    def start(self) -> None:
        """Serve, in greenthreads of its own, until `stop`."""
        self._thread = eventlet.spawn(self._accept)

    def stop(self) -> None:
        """Close the port and all connections."""
        if self._thread is not None:
            self._thread.kill()
            self._thread = None
        self._socket.close()
        for thread in list(self._pool.coroutines_running):
            eventlet.kill(thread)

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._socket.accept()
            except OSError as error:
                LOG.warning("API: cannot accept a connection: %s", error)
                eventlet.sleep(_PAUSE_S)
                continue
            connection.settimeout(_SOCKET_S)
            self._pool.spawn_n(self._serve, connection, address)

    def _serve(self, connection: Any, address: Any) -> None:
        try:
            self._server.process_request([address, connection, eventlet.wsgi.STATE_IDLE])
        except (OSError, eventlet.timeout.Timeout):
            LOG.debug("API: connection from %s ended", address, exc_info=True)
        except Exception:
            LOG.exception("API: internal error while serving %s", address)
        finally:
            eventlet.greenio.shutdown_safe(connection)
            connection.close()


def _listen(host: str, port: int) -> Any:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # Not SO_REUSEPORT, eventlet's default: with it a second controller would get every other request.
        return eventlet.listen(address, family, _BACKLOG, reuse_port=False)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError("wsapi-host/wsapi-port", f"the API cannot listen on {host}:{port}: {reason}", port) from None
