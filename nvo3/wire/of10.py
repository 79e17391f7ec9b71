"""OpenFlow 1.0 messages, those that CVSW uses (specification 1.0.1, sections 5.1 to 5.5).  Bytes in, values out; no I/O.

    +--------------+----------+-------------+----------+
    | version (8)  | type (8) | length (16) | xid (32) |  body
    +--------------+----------+-------------+----------+

What is in the bodies: `of10_match`, `of10_action`, `of10_error`.  `published` is explained in `of10_match`.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from nvo3.wire.of10_action import Action, Output, parse_actions, serialize_actions
from nvo3.wire.of10_error import Code, OpenFlowError
from nvo3.wire.of10_match import MATCH_LEN, Match

VERSION = 1
HEADER_LEN = 8
FLOW_MOD_LEN = 72  # without actions
FLOW_STATS_LEN = 88  # without actions
PORT_NONE = 0xFFFF
BUFFER_NONE = 0xFFFFFFFF
TABLE_ALL = 0xFF

FLAG_SEND_FLOW_REM = 1
FLAG_CHECK_OVERLAP = 2
FLAG_EMERG = 4

_HEADER = struct.Struct("!BBHI")
# cookie; command, idle_timeout, hard_timeout, priority; buffer_id; out_port, flags
_FLOW_MOD = struct.Struct("!QHHHHIHH")
_ERROR = struct.Struct("!HH")
_ERROR_LEN = HEADER_LEN + _ERROR.size
_STATS = struct.Struct("!HH")  # type, flags
_STATS_FLOW = 1
_STATS_MORE = 1
_STATS_REQUEST = struct.Struct("!BxH")  # table_id, out_port
_STATS_REQUEST_LEN = HEADER_LEN + 4 + MATCH_LEN + 4
_STATS_HEAD_LEN = HEADER_LEN + 4
_ENTRY_HEAD = struct.Struct("!HBx")  # length, table_id
# duration in s and ns; priority, idle_timeout, hard_timeout; of pad2[6], 16 bits are the flags (ours); cookie, packets, bytes
_ENTRY = struct.Struct("!IIHHHH4xQQQ")
# cookie; priority; reason; duration in s and ns; idle_timeout; packets, bytes
_REMOVED = struct.Struct("!QHBxIIH2xQQ")
_REMOVED_LEN = HEADER_LEN + MATCH_LEN + _REMOVED.size
NS = 10**9


class Type(IntEnum):
    """ofp_type."""

    ERROR = 1
    ECHO_REQUEST = 2
    ECHO_REPLY = 3
    FLOW_REMOVED = 11
    FLOW_MOD = 14
    STATS_REQUEST = 16
    STATS_REPLY = 17
    BARRIER_REQUEST = 18
    BARRIER_REPLY = 19


class Command(IntEnum):
    """ofp_flow_mod_command."""

    ADD = 0
    MODIFY = 1
    MODIFY_STRICT = 2
    DELETE = 3
    DELETE_STRICT = 4


class Reason(IntEnum):
    """ofp_flow_removed_reason."""

    IDLE_TIMEOUT = 0
    HARD_TIMEOUT = 1
    DELETE = 2


def parse_header(data: bytes, expected: Type) -> int:
    """Return the xid of a message that fills `data`.  Raises OpenFlowError for another version, type or length."""
    if len(data) < HEADER_LEN:
        raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(data)} bytes, the OpenFlow header has {HEADER_LEN}")
    version, kind, length, xid = _HEADER.unpack_from(data)
    if version != VERSION:
        raise OpenFlowError(Code.BRC_BAD_VERSION, f"{version}, only {VERSION} is known")
    if kind != expected:
        raise OpenFlowError(Code.BRC_BAD_TYPE, f"{kind}, expected {expected.name}")
    if length != len(data):
        raise OpenFlowError(Code.BRC_BAD_LEN, f"length {length} in {len(data)} bytes")
    return int(xid)


def serialize(kind: Type, xid: int, body: bytes = b"") -> bytes:
    """Return the message with its header.  Raises ValueError where it is longer than 65535 bytes or the xid than 32 bits."""
    length = HEADER_LEN + len(body)
    if length > 0xFFFF or not 0 <= xid < 1 << 32:
        raise ValueError(f"{kind.name}: {length} bytes exceed 65535, or xid {xid} is not in 0..4294967295")
    return _HEADER.pack(VERSION, kind, length, xid) + body


@dataclass(frozen=True, slots=True)
class FlowMod:
    """A change of the flow table.

    idle_timeout, hard_timeout: seconds, 0: none.  priority: 0..65535, without meaning where the match is exact.  out_port: of
    deletions, entries without an output to it stay.  buffer_id means nothing to a vNIC: sent as none, ignored on receipt.
    """

    command: Command
    match: Match
    priority: int = 0x8000
    actions: tuple[Action, ...] = ()
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    flags: int = 0
    out_port: int = PORT_NONE
    xid: int = 0

    @classmethod
    def parse(cls, data: bytes, *, published: bool = False) -> Self:
        """Return the FLOW_MOD that fills `data`.  Raises OpenFlowError."""
        xid = parse_header(data, Type.FLOW_MOD)
        if len(data) < FLOW_MOD_LEN:
            raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(data)} bytes, a FLOW_MOD has at least {FLOW_MOD_LEN}")
        cookie, command, idle, hard, priority, _, out_port, flags = _FLOW_MOD.unpack_from(data, HEADER_LEN + MATCH_LEN)
        if command > Command.DELETE_STRICT:
            raise OpenFlowError(Code.FMFC_BAD_COMMAND, f"command {command}")
        if flags & FLAG_EMERG:
            # There is no emergency table, so it is full (section 5.4.4 has no better word).
            raise OpenFlowError(Code.FMFC_BAD_EMERG_TIMEOUT if idle or hard else Code.FMFC_ALL_TABLES_FULL, "no emergency table")
        if flags & ~(FLAG_SEND_FLOW_REM | FLAG_CHECK_OVERLAP):
            raise OpenFlowError(Code.FMFC_UNSUPPORTED, f"flags {flags:#06x}")
        match = Match.parse(data, HEADER_LEN, published=published)
        actions = parse_actions(data[FLOW_MOD_LEN:], published=published)
        return cls(Command(command), match, priority, actions, cookie, idle, hard, flags, out_port, xid)

    def serialize(self, *, published: bool = False) -> bytes:
        """Return the message.  Raises ValueError for what the wire, or the published form of it, cannot carry."""
        actions = serialize_actions(self.actions)
        try:
            fixed = _FLOW_MOD.pack(
                self.cookie, self.command, self.idle_timeout, self.hard_timeout, self.priority, BUFFER_NONE, self.out_port, self.flags
            )
        except struct.error as error:
            raise ValueError(f"{self}: {error}") from None
        return serialize(Type.FLOW_MOD, self.xid, self.match.serialize(published=published) + fixed + actions)


@dataclass(frozen=True, slots=True)
class Error:
    """ERROR.  error_type, code: `of10_error.Code` has those that we send.  data: how what was refused begins.  xid: its xid, or 0."""

    error_type: int
    code: int
    data: bytes
    xid: int = 0

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return the ERROR that fills `message`.  Raises OpenFlowError."""
        xid = parse_header(message, Type.ERROR)
        if len(message) < _ERROR_LEN:
            raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(message)} bytes, an ERROR has at least {_ERROR_LEN}")
        error_type, code = _ERROR.unpack_from(message, HEADER_LEN)
        return cls(error_type, code, message[_ERROR_LEN:], xid)

    def serialize(self) -> bytes:
        """Return the message."""
        return serialize(Type.ERROR, self.xid, _ERROR.pack(self.error_type, self.code) + self.data)


@dataclass(frozen=True, slots=True)
class FlowStats:
    """An entry with its counters.  flags: of its FLOW_MOD, in what OpenFlow pads with.  duration_ns: how long it has existed."""

    match: Match
    priority: int
    actions: tuple[Action, ...] = ()
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    flags: int = 0
    duration_ns: int = 0
    n_packets: int = 0
    n_bytes: int = 0

    def serialize(self) -> bytes:
        """Return the entry as it is in a reply.  Raises ValueError for what the wire cannot carry."""
        actions = serialize_actions(self.actions)
        seconds, ns = divmod(self.duration_ns, NS)
        timeouts = (self.idle_timeout, self.hard_timeout)
        try:
            head = _ENTRY_HEAD.pack(FLOW_STATS_LEN + len(actions), 0)
            rest = _ENTRY.pack(seconds, ns, self.priority, *timeouts, self.flags, self.cookie, self.n_packets, self.n_bytes)
        except struct.error as error:
            raise ValueError(f"{self}: {error}") from None
        return head + self.match.serialize() + rest + actions


def _parse_entry(data: bytes) -> FlowStats:
    match = Match.parse(data, _ENTRY_HEAD.size)
    seconds, ns, priority, idle, hard, flags, cookie, n_packets, n_bytes = _ENTRY.unpack_from(data, _ENTRY_HEAD.size + MATCH_LEN)
    actions = parse_actions(data[FLOW_STATS_LEN:])
    return FlowStats(match, priority, actions, cookie, idle, hard, flags, seconds * NS + ns, n_packets, n_bytes)


@dataclass(frozen=True, slots=True)
class FlowStatsRequest:
    """STATS_REQUEST for flows: those that a loose deletion with the same match and out_port would delete."""

    match: Match = Match()
    out_port: int = PORT_NONE
    xid: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the request that fills `data`; there is one table, so table_id is ignored.  Raises OpenFlowError."""
        xid = parse_header(data, Type.STATS_REQUEST)
        if len(data) < _STATS_HEAD_LEN:
            raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(data)} bytes, a STATS_REQUEST has at least {_STATS_HEAD_LEN}")
        kind, _ = _STATS.unpack_from(data, HEADER_LEN)
        if kind != _STATS_FLOW:
            raise OpenFlowError(Code.BRC_BAD_STAT, f"statistics {kind}, only {_STATS_FLOW} (flows) are kept")
        if len(data) != _STATS_REQUEST_LEN:
            raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(data)} bytes, a request for flows has {_STATS_REQUEST_LEN}")
        _, out_port = _STATS_REQUEST.unpack_from(data, _STATS_HEAD_LEN + MATCH_LEN)
        return cls(Match.parse(data, _STATS_HEAD_LEN), out_port, xid)

    def serialize(self) -> bytes:
        """Return the message.  Raises ValueError for what the wire cannot carry."""
        body = _STATS.pack(_STATS_FLOW, 0) + self.match.serialize() + _STATS_REQUEST.pack(TABLE_ALL, self.out_port)
        return serialize(Type.STATS_REQUEST, self.xid, body)


@dataclass(frozen=True, slots=True)
class FlowStatsReply:
    """STATS_REPLY for flows, or a part of it.  more: others follow."""

    entries: tuple[FlowStats, ...]
    more: bool = False
    xid: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the reply that fills `data`.  Raises OpenFlowError."""
        xid = parse_header(data, Type.STATS_REPLY)
        if len(data) < _STATS_HEAD_LEN:
            raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(data)} bytes, a STATS_REPLY has at least {_STATS_HEAD_LEN}")
        kind, flags = _STATS.unpack_from(data, HEADER_LEN)
        if kind != _STATS_FLOW:
            raise OpenFlowError(Code.BRC_BAD_STAT, f"statistics {kind}, only {_STATS_FLOW} (flows) were asked for")
        entries = []
        offset = _STATS_HEAD_LEN
        while offset < len(data):
            length = int.from_bytes(data[offset : offset + 2], "big")
            if length < FLOW_STATS_LEN or offset + length > len(data):
                raise OpenFlowError(Code.BRC_BAD_LEN, f"entry of {length} bytes in {len(data) - offset}")
            entries.append(_parse_entry(data[offset : offset + length]))
            offset += length
        return cls(tuple(entries), bool(flags & _STATS_MORE), xid)

    def serialize(self) -> bytes:
        """Return the message.  Raises ValueError for what the wire cannot carry."""
        body = _STATS.pack(_STATS_FLOW, _STATS_MORE if self.more else 0) + b"".join([entry.serialize() for entry in self.entries])
        return serialize(Type.STATS_REPLY, self.xid, body)


@dataclass(frozen=True, slots=True)
class FlowRemoved:
    """FLOW_REMOVED: an entry with FLAG_SEND_FLOW_REM is gone.  duration_ns: how long it existed."""

    match: Match
    priority: int
    reason: Reason
    cookie: int = 0
    idle_timeout: int = 0
    duration_ns: int = 0
    n_packets: int = 0
    n_bytes: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the message that fills `data`; its xid means nothing.  Raises OpenFlowError."""
        parse_header(data, Type.FLOW_REMOVED)
        if len(data) != _REMOVED_LEN:
            raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(data)} bytes, a FLOW_REMOVED has {_REMOVED_LEN}")
        cookie, priority, reason, seconds, ns, idle, n_packets, n_bytes = _REMOVED.unpack_from(data, HEADER_LEN + MATCH_LEN)
        if reason > Reason.DELETE:
            raise OpenFlowError(Code.BRC_BAD_TYPE, f"reason {reason}")
        match = Match.parse(data, HEADER_LEN)
        return cls(match, priority, Reason(reason), cookie, idle, seconds * NS + ns, n_packets, n_bytes)

    def serialize(self) -> bytes:
        """Return the message.  Raises ValueError for what the wire cannot carry."""
        seconds, ns = divmod(self.duration_ns, NS)
        try:
            rest = _REMOVED.pack(self.cookie, self.priority, self.reason, seconds, ns, self.idle_timeout, self.n_packets, self.n_bytes)
        except struct.error as error:
            raise ValueError(f"{self}: {error}") from None
        return serialize(Type.FLOW_REMOVED, 0, self.match.serialize() + rest)


def outputs_to(actions: tuple[Action, ...], port: int) -> bool:
    """Return whether one of the actions is an output to `port`."""
    return any(isinstance(action, Output) and action.port == port for action in actions)
