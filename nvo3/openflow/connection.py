"""Connections of switches: os-ken's, made fit for peers that misbehave, and with room for our sessions.

os-ken parses and dispatches every message in Python objects, shows every switch to every app, logs a traceback for each broken byte and
keeps a silent connection for ever.  `install` changes four things, once, before the first connection:

- a connection that breaks the protocol, or has not told its features in HANDSHAKE_S, is closed, counted, and logged at most once a second;
- a message that answers a `SwitchSession`, and a PACKET_IN of its switch, goes to it as bytes;
- our own bridges (`model.ids.is_our_dpid`) are seen by our apps only, so that a user's learning switch beside us does not learn on them;
- a silent peer is noticed by echo requests.
"""

import functools
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

import eventlet
from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import controller
from os_ken.lib import hub
from os_ken.ofproto import ofproto_parser

from nvo3.model.ids import is_our_dpid
from nvo3.openflow import encoder
from nvo3.openflow.decoder import Malformed
from nvo3.openflow.session import Statistics

LOG = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
_ECHO_INTERVAL_S = 1.0
_MAX_UNREPLIED_ECHOS = 3
_SWEEP_S = 1.0
_BACKLOG = 1024  # connections that wait for accept(2); with eventlet's 50 a burst costs honest switches a second each
_CHUNK_BYTES = 1 << 20
_LARGE_BYTES = 1 << 12
BACKLOG_MAX_BYTES = 512 << 20  # what a switch that does not read may leave here before it is let go


class Counters:
    """Connections that were closed for their own fault, since the start."""

    def __init__(self) -> None:
        self.protocol_errors = 0
        self.handshake_timeouts = 0
        self._logged_at = float("-inf")

    def log(self, now: float, message: str, *args: Any) -> None:
        """Log a fault, unless another was logged less than a second ago."""
        if now - self._logged_at >= 1.0:
            self._logged_at = now
            LOG.warning(
                message + " (%d protocol errors, %d handshake timeouts so far)", *args, self.protocol_errors, self.handshake_timeouts
            )


COUNTERS = Counters()


def install(fail: Callable[[str], None]) -> None:
    """Change os-ken as described above.  Call it before the OpenFlow controller listens.

    fail: told, in one line, why it cannot listen; it ends the process.
    """
    cfg.CONF.set_default("echo_request_interval", _ECHO_INTERVAL_S)
    cfg.CONF.set_default("maximum_unreplied_echo_requests", _MAX_UNREPLIED_ECHOS)
    controller.datapath_connection_factory = _serve
    hub.listen = functools.partial(_listen, fail)
    eventlet.spawn(_sweep)
    original = ofproto_parser.msg

    def msg(datapath: Any, version: int, msg_type: int, msg_len: int, xid: int, buf: bytearray) -> Any:
        datapath.unreplied_echo_requests.clear()  # whatever it is, it is a sign of life; an echo reply may be behind much else
        session = getattr(datapath, "nvo3_session", None)
        if session is not None and session.owns(msg_type, xid):
            session.receive(bytes(buf))
            return None
        if msg_type == encoder.OFPT_MULTIPART_REPLY and msg_len > _LARGE_BYTES:
            eventlet.sleep(0)  # os-ken takes tens of milliseconds for each of many
        return original(datapath, version, msg_type, msg_len, xid, buf)

    ofproto_parser.msg = msg
    # os-ken logs each broken message, with its bytes and a traceback; the connection's own line says enough.
    for name in ("os_ken.ofproto.ofproto_parser", "OFPHandler"):
        logging.getLogger(name).addFilter(lambda record: record.levelno < logging.WARNING)


def _listen(fail: Callable[[str], None], address: Any, family: int = socket.AF_INET) -> Any:
    try:
        # Without reuse_port: or a second controller would share the port and take half of the switches.
        return eventlet.listen(address, family, backlog=_BACKLOG, reuse_port=False)
    except OSError as error:
        fail(
            f"cannot listen for OpenFlow on {address[0]} port {address[1]}: {error.strerror}; see --ofp-listen-host, --ofp-tcp-listen-port"
        )
        raise hub.TaskExit from None


# Connections whose switch has not told its features, and until when it may.  A timer for each would hold its connection in memory until
# it is due, however soon the connection ends.
_HANDSHAKING: dict["_Connection", float] = {}


class _Connection(controller.Datapath):  # type: ignore[misc]
    """os-ken's connection, whose memory is free when it ends.

    os-ken's own `serve` leaves exceptions that refer to it in a circle, for the garbage collector to find some day.  A green thread that is
    killed before it ran does the same, so the sender gets its turn first, and echo requests wait until there is a switch to ask.
    """

    def serve(self) -> None:
        self._prober: Any = None
        sender = hub.spawn(self._send_loop)
        hub.sleep(0)
        try:
            self.send_msg(self.ofproto_parser.OFPHello(self))
            self._recv_loop()
        finally:
            sender.kill()
            if self._prober is not None:
                self._prober.kill()
            self.is_active = False

    def probe(self) -> None:
        """Ask for a sign of life from now on."""
        self._prober = hub.spawn(self._echo_request_loop)


def _now() -> float:
    return float(eventlet.hubs.get_hub().clock())


def _serve(sock: socket.socket, address: Any) -> None:
    """One connection, from accept to close."""
    connection = _Connection(sock, address)
    _HANDSHAKING[connection] = _now() + HANDSHAKE_S
    try:
        connection.serve()
    except Exception as error:  # whatever a hostile peer's bytes do to the parser
        COUNTERS.protocol_errors += 1
        COUNTERS.log(_now(), "connection from %s closed: %s: %s", address[0], type(error).__name__, error)
    finally:
        _HANDSHAKING.pop(connection, None)
        connection.close()


def _sweep() -> None:
    """Close connections that have had their time; ask those that have become switches for signs of life."""
    while True:
        eventlet.sleep(_SWEEP_S)
        now = _now()
        for connection, deadline in list(_HANDSHAKING.items()):
            if connection.id is not None:
                del _HANDSHAKING[connection]
                connection.probe()
            elif now >= deadline:
                COUNTERS.handshake_timeouts += 1
                COUNTERS.log(now, "connection from %s: no OpenFlow handshake in %g s, closed", connection.address[0], HANDSHAKE_S)
                connection.close()
                connection.socket.close()


def hide_our_bridges(apps: Iterable[str]) -> None:
    """Let only the named apps see events of our bridges.  Call it when all apps are made."""
    brick = app_manager.lookup_service_brick("ofp_event")
    allowed = frozenset(apps) | {brick.name}
    original = brick.get_observers

    def get_observers(event: Any, state: Any) -> list[str]:
        observers: list[str] = original(event, state)
        message = getattr(event, "msg", None)
        datapath = getattr(event, "datapath", None) or getattr(message, "datapath", None)
        dpid = getattr(message, "datapath_id", None) or getattr(datapath, "id", None)
        if dpid is None or not is_our_dpid(dpid):
            return observers
        return [name for name in observers if name in allowed]

    brick.get_observers = get_observers


class Outbox:
    """Bytes on their way to one switch.  A switch that reads slowly holds up its own green thread and nobody else."""

    def __init__(self, datapath: Any, on_overflow: Callable[[], None]) -> None:
        self._datapath = datapath
        self._on_overflow = on_overflow
        self._queue = eventlet.queue.LightQueue()
        self._size = 0
        self._thread = eventlet.spawn(self._run)

    def put(self, data: bytes) -> None:
        """Send `data` after all that was put before."""
        self._size += len(data)
        if self._size > BACKLOG_MAX_BYTES:
            self._on_overflow()
            return
        self._queue.put(data)

    def close(self) -> None:
        """Forget what is not sent."""
        self._thread.kill()

    def _run(self) -> None:
        while True:
            data = self._queue.get()
            for start in range(0, len(data), _CHUNK_BYTES):
                if not self._datapath.send(data[start : start + _CHUNK_BYTES]):
                    return
            self._size -= len(data)


class LiveSession:
    """A `SwitchSession` on a connection: hands its events to `handle`, closes the connection of a switch that contradicts itself."""

    def __init__(self, datapath: Any, make: Callable[[Callable[[], int]], Any], handle: Callable[[Any], None]) -> None:
        self.datapath = datapath
        self._handle = handle
        self._queries: dict[int, Any] = {}
        self.session = make(self.next_xid)
        self.outbox = Outbox(datapath, self._overflow)
        datapath.nvo3_session = self

    def owns(self, message_type: int, xid: int) -> bool:
        """Tell whether a message is for the session."""
        return bool(self.session.owns(message_type, xid))

    def receive(self, message: bytes) -> None:
        """Take a whole message."""
        try:
            events = self.session.handle_message(message)
        except Malformed as error:
            COUNTERS.protocol_errors += 1
            LOG.warning("switch %016x: %s; connection closed", self.datapath.id, error)
            self.datapath.close()
            return
        for event in events:
            waiting = self._queries.pop(event.xid, None) if isinstance(event, Statistics) else None
            if waiting is None:
                self._handle(event)
            else:
                waiting.send(event)

    def ask(self, queries: Iterable[tuple[int, bytes]], timeout_s: float) -> list[Statistics] | None:
        """Wait for the answers to queries that the session made; None if they do not come in time."""
        waiting = {}
        for xid, request in queries:
            self._queries[xid] = waiting[xid] = eventlet.event.Event()
            self.outbox.put(request)
        try:
            with eventlet.Timeout(timeout_s, False):
                return [event.wait() for event in waiting.values()]
            return None
        finally:
            for xid in waiting:
                self._queries.pop(xid, None)
                self.session.forget(xid)

    def close(self) -> None:
        """The connection is gone."""
        self.outbox.close()
        self.datapath.nvo3_session = None

    def next_xid(self) -> int:
        """Return a transaction id that nothing else on the connection uses."""
        self.datapath.xid = (self.datapath.xid + 1) & 0xFFFFFFFF
        return int(self.datapath.xid)

    def _overflow(self) -> None:
        LOG.warning("switch %016x does not read; connection closed", self.datapath.id)
        self.datapath.close()
