"""One switch's connection, without I/O: reads the flows that are ours, brings them to what is desired, follows up with changes.

    new --start()--> READING --flows read, reconcile()--> LIVE --a bundle fails--> READING ...

While READING, changes are not sent: the reconciliation that ends it takes the newest desired flows.  Each change is one atomic bundle,
so a packet meets the flows before it or after it and nothing in between; changes are pipelined, a switch answers in order.  Meters are
added before the first flow that names them, and stay.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from nvo3.openflow import decoder, encoder
from nvo3.openflow.decoder import CountedFlow, FlowMod, InstalledFlow, PortStats, WireKey
from nvo3.pipeline.flow import FlowKey, FlowSpec, Meter


class State(Enum):
    """See the module's docstring."""

    READING = auto()
    LIVE = auto()


@dataclass(frozen=True, slots=True)
class FlowsRead:
    """The switch has told all its flows of ours: call `reconcile`."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """All changes up to and including `seq` are in force."""

    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The switch refused a bundle; nothing of it is in force.  error_type, code: OpenFlow's."""

    error_type: int
    code: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """The answer to `request_flows` or `request_port`, by the xid that these returned."""

    xid: int
    flows: tuple[InstalledFlow, ...] = ()
    counted: tuple[CountedFlow, ...] = ()
    ports: tuple[PortStats, ...] = ()


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A flow of ours gave the controller a packet that came in by a port.  table: the flow's."""

    table: int
    ofport: int
    data: bytes


SessionEvent = FlowsRead | Confirmed | Refused | Statistics | PacketIn


@dataclass(slots=True)
class _Partial:
    is_counted: bool = False
    flows: list[InstalledFlow] = field(default_factory=list)
    counted: list[CountedFlow] = field(default_factory=list)
    ports: list[PortStats] = field(default_factory=list)


class SwitchSession:
    """next_xid: gives transaction ids that nothing else on the connection uses."""

    def __init__(self, next_xid: Callable[[], int]) -> None:
        self.state = State.READING
        self.last_diff: tuple[int, int] = (0, 0)
        self._next_xid = next_xid
        self._bundle_id = 0
        self._reading = 0  # xid of the request for all flows
        self._installed: list[InstalledFlow] = []
        self._bundles: dict[int, int] = {}  # xid -> seq
        self._queries: dict[int, _Partial] = {}
        self._meters: set[Meter] = set()
        self._metering = 0  # xid of messages that add meters

    def owns(self, message_type: int, xid: int) -> bool:
        """Tell whether a message of the switch is for this session."""
        if message_type == encoder.OFPT_PACKET_IN:
            return True
        return xid != 0 and (xid in (self._reading, self._metering) or xid in self._bundles or xid in self._queries)

    def start(self) -> bytes:
        """Begin, or begin again after a refusal: return the switch's configuration and the request for all flows."""
        self.state = State.READING
        self._bundles.clear()
        self._installed = []
        self._reading = self._next_xid()
        return encoder.set_config(self._next_xid()) + encoder.flow_stats_request(
            self._reading, encoder.COOKIE_PREFIX, encoder.COOKIE_PREFIX_MASK
        )

    def reconcile(self, desired: Iterable[FlowSpec], seq: int) -> bytes:
        """Return the bundle from what is installed to what is desired, b"" where they agree.

        `last_diff` then has how many flows it adds and deletes.  The session is LIVE.
        """
        stale = {f.key: f for f in self._installed}
        self._installed = []
        self.state = State.LIVE
        xid = self._next_xid()
        adds, meters = [], []
        for flow in desired:
            if flow.meter is not None:
                meters.append(flow.meter)
            key = WireKey(flow.key.table, flow.key.priority, encoder.serialize_match(flow))
            there = stale.pop(key, None)
            instructions = encoder.serialize_instructions(flow)
            cookie = encoder.cookie_of(flow)
            if there is None or (there.cookie, there.instructions, there.plain) != (cookie, instructions, True):
                adds.append(encoder.flow_mod(xid, encoder.OFPFC_ADD, *key, cookie=cookie, cookie_mask=0, instructions=instructions))
        deletes = [encoder.delete_flow(xid, *key) for key in stale]
        self.last_diff = (len(adds), len(deletes))
        return self._add_meters(meters) + self._bundle(xid, seq, deletes + adds) if adds or deletes else b""

    def apply(self, adds: Iterable[FlowSpec], deletes: Iterable[FlowKey], seq: int) -> bytes:
        """Return the bundle for a change; b"" while READING."""
        if self.state is not State.LIVE:
            return b""
        adds, xid = tuple(adds), self._next_xid()
        messages = [encoder.delete_flow(xid, key.table, key.priority, encoder.serialize_match(FlowSpec(key))) for key in deletes]
        messages += [encoder.add_flow(xid, flow) for flow in adds]
        return self._add_meters(flow.meter for flow in adds if flow.meter is not None) + self._bundle(xid, seq, messages)

    def packet_out(self, ofport: int, data: bytes) -> bytes:
        """Return the message that sends a packet out of a port."""
        return encoder.packet_out(self._next_xid(), ofport, data)

    def request_flows(self, cookie: int) -> tuple[int, bytes]:
        """Ask for the flows with a cookie; return the xid of the `Statistics` to come, and the request."""
        xid = self._query()
        return xid, encoder.flow_stats_request(xid, cookie, encoder.COOKIE_MASK)

    def request_table(self, table: int, is_counted: bool = False) -> tuple[int, bytes]:
        """Ask for our flows of a table; return the xid of the `Statistics` to come, and the request.

        is_counted: the answer has only those that have seen a packet, in `counted`.
        """
        xid = self._query(is_counted)
        return xid, encoder.flow_stats_request(xid, encoder.COOKIE_PREFIX, encoder.COOKIE_PREFIX_MASK, table)

    def request_all_flows(self) -> tuple[int, bytes]:
        """Ask for all flows, whoever added them; return the xid of the `Statistics` to come, and the request."""
        xid = self._query()
        return xid, encoder.flow_stats_request(xid, 0, 0)

    def request_affected(self, change: FlowMod) -> tuple[int, bytes]:
        """Ask for the flows that a change may concern; return the xid of the `Statistics` to come, and the request."""
        xid = self._query()
        if change.command in (encoder.OFPFC_DELETE, encoder.OFPFC_DELETE_STRICT):
            outputs = change.out_port, change.out_group
        else:
            outputs = (encoder.ANY, encoder.ANY)  # both mean something for deletion only
        cookie = (0, 0) if change.command == encoder.OFPFC_ADD else (change.cookie, change.cookie_mask)
        return xid, encoder.flow_stats_request(xid, *cookie, change.table, *outputs, change.match)

    def request_port(self, ofport: int = encoder.ANY) -> tuple[int, bytes]:
        """Ask for the counters of a port, or of all; return the xid of the `Statistics` to come, and the request."""
        xid = self._query()
        return xid, encoder.port_stats_request(xid, ofport)

    def forget(self, xid: int) -> None:
        """Nobody waits for a query any more."""
        self._queries.pop(xid, None)

    def handle_message(self, message: bytes) -> list[SessionEvent]:
        """Take a whole message that is for this session.  Raises decoder.Malformed."""
        xid = int.from_bytes(message[4:8], "big")
        match message[1]:
            case encoder.OFPT_MULTIPART_REPLY:
                return self._handle_multipart(xid, message)
            case encoder.OFPT_EXPERIMENTER if xid in self._bundles and decoder.is_commit_reply(message):
                return [Confirmed(self._bundles.pop(xid))]
            case encoder.OFPT_PACKET_IN:
                return [PacketIn(*decoder.packet_in(message))]
            case encoder.OFPT_ERROR:
                return self._handle_error(xid, message)
        return []

    def _handle_multipart(self, xid: int, message: bytes) -> list[SessionEvent]:
        kind, more, body = decoder.multipart(message)
        if xid == self._reading:
            self._installed.extend(decoder.flow_stats(body))
            if more:
                return []
            self._reading = 0
            return [FlowsRead()]
        partial = self._queries.get(xid)
        if partial is None:
            return []
        if kind == encoder.OFPMP_FLOW:
            if partial.is_counted:
                partial.counted.extend(decoder.counted_flows(body))
            else:
                partial.flows.extend(decoder.flow_stats(body))
        elif kind == encoder.OFPMP_PORT_STATS:
            partial.ports.extend(decoder.port_stats(body))
        if more:
            return []
        del self._queries[xid]
        return [Statistics(xid, tuple(partial.flows), tuple(partial.counted), tuple(partial.ports))]

    def _handle_error(self, xid: int, message: bytes) -> list[SessionEvent]:
        if xid in self._queries:
            del self._queries[xid]
            return [Statistics(xid)]
        refused = xid in self._bundles or xid == self._reading
        self._bundles.pop(xid, None)
        return [Refused(*decoder.error(message))] if refused else []

    def _bundle(self, xid: int, seq: int, messages: list[bytes]) -> bytes:
        self._bundle_id = (self._bundle_id + 1) & 0xFFFFFFFF
        self._bundles[xid] = seq
        return encoder.bundle(xid, self._bundle_id, messages)

    def _add_meters(self, meters: Iterable[Meter]) -> bytes:
        """Return the messages that add those that this session has not added.  A switch that has one says so by an error, to be ignored."""
        missing = set(meters) - self._meters
        if not missing:
            return b""
        self._meters |= missing
        self._metering = self._metering or self._next_xid()
        return b"".join(encoder.meter_mod(self._metering, meter) for meter in sorted(missing))

    def _query(self, is_counted: bool = False) -> int:
        xid = self._next_xid()
        self._queries[xid] = _Partial(is_counted)
        return xid
