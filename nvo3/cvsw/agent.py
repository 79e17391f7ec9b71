"""The agent's end of CVSW, without I/O: `handle(event, now) -> effects`.

    DISCONNECTED --HELLO--> CONNECTING --SET_ENTRY, CHANGE_MTU or CHANGE_OFFLOAD--> CONNECTED

A HELLO in any state is answered, and leaves the table alone: a controller that was restarted finds it as it was.  Towards a controller
that offers nothing, frames of types 1 to 6 have the published meaning and form; one that does numbers its FLOW_MODs, and each number
is carried out once (docs/protocols/cvsw.md, "Programming").
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace

from nvo3.cvsw.effect import AgentEffect, AgentEvent, DeviceRefused, Received, Send, SetMtu, SetOffload, State, StateChanged, Tick
from nvo3.cvsw.table import FlowTable
from nvo3.cvsw.window import ReceiveWindow
from nvo3.wire import cvsw, of10
from nvo3.wire.cvsw import CAPABILITIES, Capability, Frame, Message, Type
from nvo3.wire.errors import WireError
from nvo3.wire.of10_error import Code, OpenFlowError

MTU_MIN = 576  # RFC 791: what every host must take; every answer fits
FRAME_MAX = 1514
PARTS_MAX = 64  # of a FLOW_STATS_REPLY
ANNOUNCE_MIN_S = 1.0
ANNOUNCE_MAX_S = 30.0
SILENCE_S = 20.0
_ERROR_DATA_LEN = 128
_N_FORMER = 4  # sessions that are over
_FROM_CONTROLLER = frozenset(
    {
        Type.HELLO,
        Type.SET_ENTRY,
        Type.DELETE_ENTRY,
        Type.CHANGE_MTU,
        Type.CHANGE_OFFLOAD,
        Type.BARRIER_REQUEST,
        Type.ECHO_REQUEST,
        Type.FLOW_STATS_REQUEST,
    }
)
_FROM_AGENT = frozenset(Type) - _FROM_CONTROLLER
_ENTRY = (Type.SET_ENTRY, Type.DELETE_ENTRY)


class AgentSession:
    """mac: of the vNIC.  instance: 32 bits, other ones at each start.  frame_max: bytes of the largest frame that the vNIC sends.

    drops: frames that were not carried out, by reason.  mtu, offload: as set last, NOT_SET if never.
    """

    def __init__(self, mac: bytes, table: FlowTable, instance: int, *, frame_max: int = FRAME_MAX) -> None:
        self.table = table
        self.state = State.DISCONNECTED
        self.mtu = cvsw.NOT_SET
        self.offload = cvsw.NOT_SET
        self.drops: Counter[str] = Counter()
        self._mac = mac
        self._instance = instance
        self.frame_max = frame_max
        self._peer = Capability(0)
        self._session: int | None = None
        self._former: deque[int] = deque(maxlen=_N_FORMER)
        self._window = ReceiveWindow(0)
        self._announce_at: float | None = float("-inf")
        self._announce_gap_s = ANNOUNCE_MIN_S

    @property
    def next_deadline(self) -> float | None:
        """Return when a Tick is due; at once at first."""
        deadlines = [d for d in (self._announce_at, self.table.next_deadline) if d is not None]
        return min(deadlines, default=None)

    def handle(self, event: AgentEvent, now: float) -> list[AgentEffect]:
        """Take an event, return what is to be done."""
        effects = self._tell_removed(self.table.expire(now))
        match event:
            case Received(frame):
                effects += self._receive(frame, now)
            case DeviceRefused(message):
                effects += self._refuse_setting(message)
            case Tick():
                effects += self._announce(now)
        return effects

    def leave(self) -> list[AgentEffect]:
        """End: tell a controller of ours that the table is no more.

        It takes that for an agent that was started anew, and does not hear of it then.  Nothing is to be handled any more.
        """
        if not self._peer:
            return []
        return [self._send(cvsw.Register(CAPABILITIES, self._instance + 1 & 0xFFFFFFFF, self.table.max_entries, answers=False))]

    def _announce(self, now: float) -> list[AgentEffect]:
        """Register unasked: after a start, and where the controller has fallen silent."""
        if self._announce_at is None or now < self._announce_at:
            return []
        self._announce_at = now + self._announce_gap_s
        self._announce_gap_s = min(2 * self._announce_gap_s, ANNOUNCE_MAX_S)
        return [self._register()]

    def _heard(self, now: float) -> None:
        self._announce_gap_s = ANNOUNCE_MIN_S
        self._announce_at = now + SILENCE_S if self._peer else None

    def _receive(self, frame: bytes, now: float) -> list[AgentEffect]:
        if frame[:6] != self._mac:
            return self._drop("other_mac")
        try:
            parsed = cvsw.parse_frame(frame)
        except OpenFlowError as error:
            return self._refuse(frame, error)
        except WireError as error:
            return self._drop(error.reason)
        if parsed.type in _FROM_AGENT or (parsed.type > Type.CHANGE_OFFLOAD and not self._peer):
            return self._drop("unexpected")
        if self.state is State.DISCONNECTED and parsed.type != Type.HELLO:
            return self._drop("disconnected")
        xid = _xid_of(parsed)
        is_numbered = bool(self._peer) and parsed.type in _ENTRY and len(parsed.body) >= of10.HEADER_LEN
        if is_numbered and self._session is None:
            return self._drop("no_session")
        if is_numbered and not self._window.take(xid):
            return self._drop("repeated")
        try:
            effects = self._carry_out(cvsw.parse(parsed, published=not self._peer & Capability.MATCH), now)
        except OpenFlowError as error:
            if is_numbered:
                self._window.refuse(xid)
            return self._refuse(frame, error, xid)
        self._heard(now)
        return effects

    def _carry_out(self, message: Message, now: float) -> list[AgentEffect]:
        match message:
            case cvsw.Hello(capabilities):
                return self._hello(capabilities)
            case cvsw.SetEntry(flow_mod):
                removed = self.table.apply(flow_mod, now)
                return self._connect() + self._tell_removed(removed)
            case cvsw.DeleteEntry(flow_mod):
                return self._tell_removed(self.table.apply(flow_mod, now))
            case cvsw.ChangeMtu(mtu):
                if mtu < MTU_MIN:
                    raise OpenFlowError(Code.BRC_EPERM, f"MTU {mtu} is below {MTU_MIN}")
                self.mtu = mtu
                return [*self._connect(), SetMtu(mtu)]
            case cvsw.ChangeOffload(offload):
                self.offload = offload
                return [*self._connect(), SetOffload(offload)]
            case cvsw.BarrierRequest():
                return self._barrier(message)
            case cvsw.EchoRequest(seq):
                return [self._send(cvsw.EchoReply(seq, self._status()))]
            case cvsw.FlowStatsRequest():
                return self._flow_stats(message, now)
        raise AssertionError(f"{message} is not for an agent")

    def _hello(self, capabilities: Capability) -> list[AgentEffect]:
        self._peer = capabilities
        if not capabilities:
            self._session = None
        effects: list[AgentEffect] = []
        if self.state is State.DISCONNECTED:
            self.state = State.CONNECTING
            effects.append(StateChanged(self.state))
        return [*effects, self._register()]

    def _connect(self) -> list[AgentEffect]:
        if self.state is State.CONNECTED:
            return []
        self.state = State.CONNECTED
        return [StateChanged(self.state)]

    def _barrier(self, request: cvsw.BarrierRequest) -> list[AgentEffect]:
        if request.session in self._former:
            return self._drop("former_session")
        if request.session == self._session:
            self._window.advance(request.base)
        else:
            if self._session is not None:
                self._former.append(self._session)
            self._session = request.session
            self._window = ReceiveWindow(request.base)
        window = self._window
        return [self._send(cvsw.BarrierReply(request.seq, self._status(), window.base, window.received, window.refused))]

    def _flow_stats(self, message: cvsw.FlowStatsRequest, now: float) -> list[AgentEffect]:
        room = self.frame_max - cvsw.HEADER_LEN - of10.HEADER_LEN - 4
        parts: list[list[of10.FlowStats]] = [[]]
        left = room
        for entry in self.table.stats(message.request, now, message.bits, message.bucket):
            size = len(entry.serialize())
            if size > left and parts[-1]:
                parts.append([])
                left = room
            parts[-1].append(entry)
            left -= size
        if len(parts) > PARTS_MAX:
            raise OpenFlowError(Code.BRC_EPERM, f"{len(parts)} parts exceed {PARTS_MAX}: ask for smaller buckets")
        reply = of10.FlowStatsReply((), xid=message.request.xid)
        return [
            self._send(cvsw.FlowStatsReply(replace(reply, entries=tuple(part), more=i + 1 < len(parts)), i)) for i, part in enumerate(parts)
        ]

    def _refuse_setting(self, message: cvsw.ChangeMtu | cvsw.ChangeOffload) -> list[AgentEffect]:
        if isinstance(message, cvsw.ChangeMtu):
            self.mtu = cvsw.NOT_SET
        else:
            self.offload = cvsw.NOT_SET
        return self._refuse(cvsw.serialize(self._mac, message), OpenFlowError(Code.BRC_EPERM, "refused by the device"))

    def _refuse(self, frame: bytes, error: OpenFlowError, xid: int = 0) -> list[AgentEffect]:
        self.drops[error.reason] += 1
        if not self._peer & Capability.ERROR:
            return []
        return [self._send(cvsw.Error(of10.Error(*error.code.value, frame[:_ERROR_DATA_LEN], xid)))]

    def _drop(self, reason: str) -> list[AgentEffect]:
        self.drops[reason] += 1
        return []

    def _tell_removed(self, removed: Iterable[of10.FlowRemoved]) -> list[AgentEffect]:
        if not self._peer & Capability.FLOW_REMOVED:
            return []
        return [self._send(cvsw.FlowRemoved(one)) for one in removed]

    def _register(self) -> Send:
        return self._send(cvsw.Register(CAPABILITIES, self._instance, self.table.max_entries, self.state is not State.DISCONNECTED))

    def _status(self) -> cvsw.Status:
        table = self.table
        return cvsw.Status(self._session or 0, self._instance, len(table), table.digest, self.mtu, self.offload)

    def _send(self, message: Message) -> Send:
        return Send(cvsw.serialize(self._mac, message))


def _xid_of(frame: Frame) -> int:
    """Return the xid of the OpenFlow message in a frame, 0 where it is cut off."""
    return int.from_bytes(frame.body[4:8], "big") if len(frame.body) >= of10.HEADER_LEN else 0
