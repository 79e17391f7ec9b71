"""CVSW's control frames, version 2 (Kawashima and Matsuo's published driver), with our additions.  Bytes in, values out; no I/O.

      0                   1                   2                   3
      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
     |                    MAC address of the vNIC                    |
     |                               | vers  | type  |      pad      |
     |             len               |             data              |
     |       EtherType 0xABBA        |  len bytes of body ...

docs/protocols/cvsw.md explains the messages; what is in their bodies is in `of10`.  Types 7 and above are ours: they go only to a peer that
has offered the capability.  What follows the body is Ethernet padding.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag

from nvo3.wire import of10
from nvo3.wire.check import require_range
from nvo3.wire.errors import Malformed, Truncated
from nvo3.wire.of10_error import Code, OpenFlowError

ETHERTYPE = 0xABBA
VERSION = 2
HEADER_LEN = 14
WINDOW = 512  # numbers of FLOW_MODs that an agent keeps apart
NOT_SET = 0xFFFF  # of MTU or offloads: nobody has set them
BUCKET_BITS_MAX = 15

_HEADER = struct.Struct("!6sBBHHH")
_WINDOW_LEN = WINDOW // 8


class Type(IntEnum):
    """1 to 6 are published.  Requests have odd numbers, and so a multicast "source address"; what a vNIC sends has even ones but for 13."""

    HELLO = 1
    REGISTER = 2
    SET_ENTRY = 3
    DELETE_ENTRY = 4
    CHANGE_MTU = 5
    CHANGE_OFFLOAD = 6
    BARRIER_REQUEST = 7
    BARRIER_REPLY = 8
    ECHO_REQUEST = 9
    ECHO_REPLY = 10
    FLOW_STATS_REQUEST = 11
    FLOW_STATS_REPLY = 12
    FLOW_REMOVED = 13
    ERROR = 14


class Capability(IntFlag):
    """What an end offers, in the data of HELLO and REGISTER.  An original driver or controller offers nothing."""

    ERROR = 0x01
    BARRIER = 0x02
    ECHO = 0x04
    FLOW_STATS = 0x08
    FLOW_REMOVED = 0x10
    MATCH = 0x20  # standard OpenFlow 1.0 matches, tunnels in the pads; fields in a set action's pad


CAPABILITIES = Capability(0x3F)


class Offload(IntFlag):
    """Bits of CHANGE_OFFLOAD: on where set, off where clear."""

    CSUM = 1
    TSO = 2
    UFO = 4
    GSO = 8
    GRO = 16


OFFLOADS = Offload(0x1F)


@dataclass(frozen=True, slots=True)
class Hello:
    """Who are you?  capabilities: what the controller takes."""

    capabilities: Capability = Capability(0)


@dataclass(frozen=True, slots=True)
class Register:
    """Here I am.

    answers: a HELLO has been received since the agent's start; an original driver sends nothing unasked.  instance: another after each
    start of the agent.  An original driver has no fields but the first.
    """

    capabilities: Capability = Capability(0)
    instance: int = 0
    max_entries: int = 0
    answers: bool = True


@dataclass(frozen=True, slots=True)
class SetEntry:
    """Add or modify."""

    flow_mod: of10.FlowMod


@dataclass(frozen=True, slots=True)
class DeleteEntry:
    """Delete."""

    flow_mod: of10.FlowMod


@dataclass(frozen=True, slots=True)
class ChangeMtu:
    """mtu: bytes."""

    mtu: int


@dataclass(frozen=True, slots=True)
class ChangeOffload:
    """offload: those that are to be on, the others off."""

    offload: Offload


@dataclass(frozen=True, slots=True)
class BarrierRequest:
    """What has arrived?

    seq: of this request.  session: of the controller, another after each registration.  base: numbers (xids) of FLOW_MODs before it are
    settled, so they may be forgotten; the agent takes base..base+WINDOW-1.
    """

    seq: int
    session: int
    base: int


@dataclass(frozen=True, slots=True)
class Status:
    """How the agent is.

    session: the one it belongs to.  instance: as in Register.  n_entries, digest: of its table, `flow_digest`.  mtu, offload: as they
    were set last, NOT_SET if never.
    """

    session: int
    instance: int
    n_entries: int
    digest: int
    mtu: int = NOT_SET
    offload: int = NOT_SET


@dataclass(frozen=True, slots=True)
class BarrierReply:
    """What has arrived.  base: of the agent's window.  received, refused: bit i stands for the FLOW_MOD with the number base + i."""

    seq: int
    status: Status
    base: int
    received: int
    refused: int


@dataclass(frozen=True, slots=True)
class EchoRequest:
    """Are you there?"""

    seq: int


@dataclass(frozen=True, slots=True)
class EchoReply:
    """Still there."""

    seq: int
    status: Status


@dataclass(frozen=True, slots=True)
class FlowStatsRequest:
    """Tell the entries of one of 2**bits buckets (`bucket_of`) that the request selects."""

    request: of10.FlowStatsRequest
    bits: int = 0
    bucket: int = 0


@dataclass(frozen=True, slots=True)
class FlowStatsReply:
    """Part number `part`, from 0, of the answer to the request with the same xid."""

    reply: of10.FlowStatsReply
    part: int = 0


@dataclass(frozen=True, slots=True)
class FlowRemoved:
    """An entry is gone."""

    removed: of10.FlowRemoved


@dataclass(frozen=True, slots=True)
class Error:
    """A message was refused; the error's data is how its frame begins."""

    error: of10.Error


Message = (
    Hello
    | Register
    | SetEntry
    | DeleteEntry
    | ChangeMtu
    | ChangeOffload
    | BarrierRequest
    | BarrierReply
    | EchoRequest
    | EchoReply
    | FlowStatsRequest
    | FlowStatsReply
    | FlowRemoved
    | Error
)

# instance, max_entries, flags
_REGISTER = struct.Struct("!III")
_ANSWERS = 1
# session, base
_BARRIER_REQUEST = struct.Struct("!II")
# session, instance, n_entries, digest, mtu, offload
_STATUS = struct.Struct("!IIIQHH")
# base; received and refused, bit 0 of the first byte the most significant: the number base + WINDOW - 1
_BARRIER_REPLY = struct.Struct(f"!I{_WINDOW_LEN}s{_WINDOW_LEN}s")


@dataclass(frozen=True, slots=True)
class Frame:
    """A control frame: address of the vNIC, type, data, and body without padding."""

    mac: bytes
    type: int
    data: int
    body: bytes

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, type=15, data=65535)
        if len(self.mac) != 6 or len(self.body) > 0xFFFF:
            raise ValueError(f"mac: {len(self.mac)} bytes, not 6; or body: {len(self.body)} bytes exceed 65535")

    def serialize(self) -> bytes:
        """Return the frame, not padded."""
        return _HEADER.pack(self.mac, VERSION << 4 | self.type, 0, len(self.body), self.data, ETHERTYPE) + self.body


def parse_frame(frame: bytes) -> Frame:
    """Return the frame's fields; the type is any of 4 bits.

    Raises Truncated or Malformed for what is not a control frame at all, OpenFlowError for another version or a length beyond the frame.
    """
    if len(frame) < HEADER_LEN:
        raise Truncated("frame_truncated", f"{len(frame)} bytes, the header has {HEADER_LEN}")
    mac, first, _, length, data, ethertype = _HEADER.unpack_from(frame)
    if ethertype != ETHERTYPE:
        raise Malformed("ethertype", f"{ethertype:#06x}, not {ETHERTYPE:#06x}")
    if first >> 4 != VERSION:
        raise OpenFlowError(Code.BRC_BAD_VERSION, f"{first >> 4}, only {VERSION} is known")
    if length > len(frame) - HEADER_LEN:
        raise OpenFlowError(Code.BRC_BAD_LEN, f"{length} bytes of body in {len(frame) - HEADER_LEN}")
    return Frame(mac, first & 15, data, frame[HEADER_LEN : HEADER_LEN + length])


def parse(frame: Frame, *, published: bool = False) -> Message:
    """Return the message in a frame.  published: see `of10_match`.  Raises OpenFlowError."""
    if frame.type in (Type.SET_ENTRY, Type.DELETE_ENTRY):
        return _parse_entry(frame, published)
    if frame.type not in _PARSERS:
        raise OpenFlowError(Code.BRC_BAD_TYPE, f"{frame.type} is unknown")
    return _PARSERS[frame.type](frame)


def serialize(mac: bytes, message: Message, *, published: bool = False) -> bytes:
    """Return the frame of a message to or from the vNIC with the address `mac`.

    Raises ValueError for what the wire, or the published form of it, cannot carry.
    """
    try:
        kind, data, body = _encode(message, published)
    except struct.error as error:
        raise ValueError(f"{message}: {error}") from None
    return Frame(mac, kind, data, body).serialize()


def _encode(message: Message, published: bool) -> tuple[Type, int, bytes]:
    match message:
        case Hello(capabilities):
            return Type.HELLO, capabilities, b""
        case Register(capabilities, instance, max_entries, answers):
            body = _REGISTER.pack(instance, max_entries, _ANSWERS if answers else 0)
            return Type.REGISTER, capabilities, body if capabilities else b""
        case SetEntry(flow_mod):
            return Type.SET_ENTRY, 0, flow_mod.serialize(published=published)
        case DeleteEntry(flow_mod):
            return Type.DELETE_ENTRY, 0, flow_mod.serialize(published=published)
        case ChangeMtu(mtu):
            return Type.CHANGE_MTU, mtu, b""
        case ChangeOffload(offload):
            return Type.CHANGE_OFFLOAD, offload, b""
        case BarrierRequest(seq, session, base):
            return Type.BARRIER_REQUEST, 0, of10.serialize(of10.Type.BARRIER_REQUEST, seq, _BARRIER_REQUEST.pack(session, base))
        case BarrierReply(seq, status, base, received, refused):
            bits = _BARRIER_REPLY.pack(base, _serialize_bits(received), _serialize_bits(refused))
            return Type.BARRIER_REPLY, 0, of10.serialize(of10.Type.BARRIER_REPLY, seq, _serialize_status(status) + bits)
        case EchoRequest(seq):
            return Type.ECHO_REQUEST, 0, of10.serialize(of10.Type.ECHO_REQUEST, seq)
        case EchoReply(seq, status):
            return Type.ECHO_REPLY, 0, of10.serialize(of10.Type.ECHO_REPLY, seq, _serialize_status(status))
        case FlowStatsRequest(request, bits, bucket):
            if not (0 <= bits <= BUCKET_BITS_MAX and 0 <= bucket < 1 << bits):
                raise ValueError(f"bits: {bits} exceeds {BUCKET_BITS_MAX}, or bucket: {bucket} does not fit them")
            return Type.FLOW_STATS_REQUEST, 1 << bits | bucket, request.serialize()
        case FlowStatsReply(reply, part):
            return Type.FLOW_STATS_REPLY, part, reply.serialize()
        case FlowRemoved(removed):
            return Type.FLOW_REMOVED, 0, removed.serialize()
        case Error(error):
            return Type.ERROR, 0, error.serialize()


def _serialize_status(status: Status) -> bytes:
    return _STATUS.pack(status.session, status.instance, status.n_entries, status.digest, status.mtu, status.offload)


def _serialize_bits(bits: int) -> bytes:
    if not 0 <= bits < 1 << WINDOW:
        raise ValueError(f"received, refused: {bits:#x} has more than {WINDOW} bits")
    return bits.to_bytes(_WINDOW_LEN, "big")


def _exactly(body: bytes, kind: of10.Type, layout: struct.Struct) -> int:
    """Return the xid of an OpenFlow header that `layout` follows."""
    xid = of10.parse_header(body, kind)
    if len(body) != of10.HEADER_LEN + layout.size:
        raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(body)} bytes, {kind.name} has {of10.HEADER_LEN + layout.size}")
    return xid


def _parse_register(frame: Frame) -> Register:
    capabilities = Capability(frame.data & CAPABILITIES)
    if not capabilities:
        return Register()
    if len(frame.body) < _REGISTER.size:
        raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(frame.body)} bytes, REGISTER with capabilities has {_REGISTER.size}")
    instance, max_entries, flags = _REGISTER.unpack_from(frame.body)
    return Register(capabilities, instance, max_entries, bool(flags & _ANSWERS))


def _parse_entry(frame: Frame, published: bool) -> SetEntry | DeleteEntry:
    flow_mod = of10.FlowMod.parse(frame.body, published=published)
    deletes = flow_mod.command >= of10.Command.DELETE
    if frame.type == Type.DELETE_ENTRY and published and not deletes:
        # The type says it all to the published driver, so its controllers may leave the command as it is, ADD.
        return DeleteEntry(replace(flow_mod, command=of10.Command.DELETE_STRICT))
    if deletes != (frame.type == Type.DELETE_ENTRY):
        raise OpenFlowError(Code.FMFC_BAD_COMMAND, f"{flow_mod.command.name} in {Type(frame.type).name}")
    return DeleteEntry(flow_mod) if deletes else SetEntry(flow_mod)


def _parse_barrier_request(frame: Frame) -> BarrierRequest:
    xid = _exactly(frame.body, of10.Type.BARRIER_REQUEST, _BARRIER_REQUEST)
    return BarrierRequest(xid, *_BARRIER_REQUEST.unpack_from(frame.body, of10.HEADER_LEN))


def _parse_barrier_reply(frame: Frame) -> BarrierReply:
    xid = of10.parse_header(frame.body, of10.Type.BARRIER_REPLY)
    expected = of10.HEADER_LEN + _STATUS.size + _BARRIER_REPLY.size
    if len(frame.body) != expected:
        raise OpenFlowError(Code.BRC_BAD_LEN, f"{len(frame.body)} bytes, BARRIER_REPLY has {expected}")
    status = Status(*_STATUS.unpack_from(frame.body, of10.HEADER_LEN))
    base, received, refused = _BARRIER_REPLY.unpack_from(frame.body, of10.HEADER_LEN + _STATUS.size)
    return BarrierReply(xid, status, base, int.from_bytes(received, "big"), int.from_bytes(refused, "big"))


def _parse_echo_reply(frame: Frame) -> EchoReply:
    xid = _exactly(frame.body, of10.Type.ECHO_REPLY, _STATUS)
    return EchoReply(xid, Status(*_STATUS.unpack_from(frame.body, of10.HEADER_LEN)))


def _parse_flow_stats_request(frame: Frame) -> FlowStatsRequest:
    bits = max(frame.data.bit_length() - 1, 0)
    return FlowStatsRequest(of10.FlowStatsRequest.parse(frame.body), bits, frame.data & (1 << bits) - 1 if frame.data else 0)


_PARSERS: dict[int, Callable[[Frame], Message]] = {
    Type.HELLO: lambda frame: Hello(Capability(frame.data & CAPABILITIES)),
    Type.REGISTER: _parse_register,
    Type.CHANGE_MTU: lambda frame: ChangeMtu(frame.data),
    Type.CHANGE_OFFLOAD: lambda frame: ChangeOffload(Offload(frame.data & OFFLOADS)),
    Type.BARRIER_REQUEST: _parse_barrier_request,
    Type.BARRIER_REPLY: _parse_barrier_reply,
    Type.ECHO_REQUEST: lambda frame: EchoRequest(of10.parse_header(frame.body, of10.Type.ECHO_REQUEST)),
    Type.ECHO_REPLY: _parse_echo_reply,
    Type.FLOW_STATS_REQUEST: _parse_flow_stats_request,
    Type.FLOW_STATS_REPLY: lambda frame: FlowStatsReply(of10.FlowStatsReply.parse(frame.body), frame.data),
    Type.FLOW_REMOVED: lambda frame: FlowRemoved(of10.FlowRemoved.parse(frame.body)),
    Type.ERROR: lambda frame: Error(of10.Error.parse(frame.body)),
}
