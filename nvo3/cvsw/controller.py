"""The controller's end of CVSW for one vNIC, without I/O: `handle(event, now) -> effects`.

    GREETING --REGISTER--> SYNCING --table as it should be, empty or known--------> LIVE
        ^                     `-----else--> READING --table read------------------> LIVE
        |                                      ^-----digest is another----------------'
        `------ no answers, or another instance or session of the agent: from all of them
    GREETING --REGISTER of an original driver--> ORIGINAL

What is desired may change in any phase.  docs/protocols/cvsw.md explains what is sent and when.
"""

import random
from collections import Counter
from enum import Enum, auto

from nvo3.cvsw.effect import (
    Accepted,
    Change,
    Confirmed,
    ControllerEffect,
    ControllerEvent,
    Expired,
    Lost,
    ReadTable,
    Received,
    Refused,
    Registered,
    Removed,
    Send,
    Settings,
    TableRead,
    Tick,
)
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.original import OriginalPlan
from nvo3.cvsw.plan import RETRY_S, Plan, digest_of
from nvo3.cvsw.reader import Reader
from nvo3.cvsw.timing import RoundTrip
from nvo3.wire import cvsw, of10
from nvo3.wire.cvsw import CAPABILITIES, Type
from nvo3.wire.errors import WireError
from nvo3.wire.of10 import Reason
from nvo3.wire.of10_error import Code
from nvo3.wire.of10_match import Match

HELLO_MIN_S = 0.1
HELLO_MAX_S = 5.0
ORIGINAL_HELLO_S = 30.0
KEEP_ALIVE_S = 5.0
TIMEOUTS_MAX = 8  # in a row, then the agent is lost
TRIES_MAX = 16  # to read one bucket
LOSSES_MAX = 30  # of one FLOW_MOD by the agent's answers: one in 10**20 where a fifth of the frames is lost
READ_GAP_MIN_S = 0.2  # between readings that did not help
READ_GAP_MAX_S = 30.0
_BURST = 64  # FLOW_MODs before a barrier
_PROBES_MAX = 64  # whose times are kept
_SETTING_TRIES = 10
_TIMED_OUT = (Reason.IDLE_TIMEOUT, Reason.HARD_TIMEOUT)
_FROM_AGENT = frozenset(
    {Type.REGISTER, Type.BARRIER_REPLY, Type.ECHO_REPLY, Type.FLOW_STATS_REPLY, Type.FLOW_REMOVED, Type.ERROR},
)


def farewell(mac: bytes) -> tuple[bytes, bytes]:
    """Return frames by which a vNIC that is not programmed any more loses its table, so that data passes untouched.

    No answer is waited for: a HELLO that offers nothing, after which FLOW_MODs have no numbers, and a deletion of everything.
    """
    everything = of10.FlowMod(of10.Command.DELETE, Match(), 0)
    return cvsw.serialize(mac, cvsw.Hello()), cvsw.serialize(mac, cvsw.DeleteEntry(everything), published=True)


class Phase(Enum):
    """See the module's docstring."""

    GREETING = auto()
    SYNCING = auto()
    READING = auto()
    LIVE = auto()
    ORIGINAL = auto()


class _Setting:
    """A message of type 5 or 6 until the agent's status shows it.  A refusal, or many tries without one, gives it up for a while."""

    def __init__(self) -> None:
        self.message: cvsw.ChangeMtu | cvsw.ChangeOffload | None = None
        self.refused_until: float | None = None
        self.was_refused = False
        self.tries = 0

    def want(self, message: cvsw.ChangeMtu | cvsw.ChangeOffload | None) -> None:
        self.message = message
        self.forget()

    def forget(self) -> None:
        self.refused_until = None
        self.tries = 0

    def refuse(self, now: float) -> None:
        self.refused_until = now + RETRY_S
        self.was_refused = True
        self.tries = 0

    def is_met(self, status: cvsw.Status) -> bool:
        match self.message:
            case cvsw.ChangeMtu(mtu):
                return status.mtu == mtu
            case cvsw.ChangeOffload(offload):
                return status.offload == offload
        return True


class ControllerSession:
    """mac: of the vNIC.  chance: for numbers that two controllers do not share.

    version: of the newest change; `Confirmed` tells when it is in force.  drops: frames without effect, by reason.
    """

    def __init__(self, mac: bytes, chance: random.Random) -> None:
        self.phase = Phase.GREETING
        self.version = 0
        self.confirmed = -1
        self.drops: Counter[str] = Counter()
        self._mac = mac
        self._chance = chance
        self._plan = Plan(mac)
        self._original = OriginalPlan(mac)
        self._mtu = _Setting()
        self._offload = _Setting()
        self._instance: int | None = None
        self._session = 0
        self._trip = RoundTrip()
        self._seq = 0  # of barriers and echoes
        self._since = 0  # the first of them after anything else was sent
        self._probes: dict[int, float] = {}  # when they were sent
        self._deadline: float | None = None  # of the answer to the newest one
        self._timeouts = 0
        self._verified = False  # agent and plan agreed, and nothing was sent since
        self._alive_at = 0.0  # when to ask again
        self._hello_at = float("-inf")
        self._hello_gap_s = HELLO_MIN_S
        self._hello_floor_s = HELLO_MIN_S  # between HELLOs, whatever the agent does
        self._last_hello = float("-inf")
        self._has_greeted = False  # and not been answered
        self._reader: Reader | None = None
        self._read_at = float("-inf")  # not before
        self._read_gap_s = READ_GAP_MIN_S
        self._report: Reader | None = None
        self._wants_report = False
        self._settings_sent: tuple[cvsw.Message | None, cvsw.Message | None] = (None, None)  # to an original driver
        self._planned = 0  # version of what is on its way to an original driver
        self._n_entries = 0

    @property
    def desired(self) -> dict[bytes, Flow]:
        """Return the desired flows by their keys; not to be changed but by `Change`."""
        return self._plan.desired

    @property
    def present(self) -> dict[bytes, Flow]:
        """Return the flows that the agent is known to have, by their keys."""
        return self._plan.present

    @property
    def next_deadline(self) -> float | None:
        """Return when a Tick is due; at once at first."""
        match self.phase:
            case Phase.GREETING:
                return self._hello_at
            case Phase.SYNCING:
                return self._deadline
            case Phase.READING:
                return self._read_at if self._reader is None else self._reader.next_deadline
            case Phase.ORIGINAL:
                return min(d for d in (self._original.next_deadline, self._hello_at) if d is not None)
        deadlines = [self._plan.next_retry, self._mtu.refused_until, self._offload.refused_until]
        deadlines.append(self._alive_at if self._deadline is None else self._deadline)
        deadlines.append(self._report.next_deadline if self._report else None)
        return min(d for d in deadlines if d is not None)

    def handle(self, event: ControllerEvent, now: float) -> list[ControllerEffect]:
        """Take an event, return what is to be done."""
        effects: list[ControllerEffect] = []
        match event:
            case Received(frame):
                effects += self._receive(frame, now)
            case Change(put, delete):
                self._plan.want(put, delete)
                self.version += 1
            case Settings(mtu, offload):
                self._mtu.want(None if mtu is None else cvsw.ChangeMtu(mtu))
                self._offload.want(None if offload is None else cvsw.ChangeOffload(offload))
                self.version += 1
                self._verified = False
            case ReadTable():
                self._wants_report = True
            case Tick():
                pass
        effects += self._go_on(now)
        accepted, self._plan.accepted = self._plan.accepted, []
        return [*effects, *map(Accepted, accepted)]

    def _go_on(self, now: float) -> list[ControllerEffect]:
        """Do what is due in the present phase."""
        match self.phase:
            case Phase.GREETING:
                return self._greet(now)
            case Phase.ORIGINAL:
                return self._serve_original(now)
            case Phase.SYNCING:
                return self._check_probe(now) or ([self._probe(now)] if self._deadline is None else [])
            case Phase.READING:
                return self._read(now)
            case Phase.LIVE:
                return self._check_probe(now) or self._program(now) + self._read_report(now)

    # Greeting

    def _greet(self, now: float) -> list[ControllerEffect]:
        if now < self._hello_at:
            return []
        self._hello_at = now + self._hello_gap_s
        self._hello_gap_s = min(2 * self._hello_gap_s, HELLO_MAX_S)
        return [self._hello(now)]

    def _hello(self, now: float) -> Send:
        self._last_hello = now
        self._has_greeted = True
        return self._send(cvsw.Hello(CAPABILITIES))

    def _lose(self, now: float, floor_s: float = HELLO_MIN_S) -> list[ControllerEffect]:
        """Begin again, but the more slowly the more often nothing came of it."""
        self.phase = Phase.GREETING
        self.confirmed = -1
        self._hello_floor_s = max(self._hello_floor_s, floor_s)
        self._hello_at = max(now, self._last_hello + self._hello_floor_s)
        self._hello_gap_s = HELLO_MIN_S
        self._hello_floor_s = min(2 * self._hello_floor_s, HELLO_MAX_S)
        self._has_greeted = False
        self._reader = self._report = None
        self._wants_report = False
        self._deadline = None
        self._verified = False
        return [Lost()]

    def _register(self, message: cvsw.Register, now: float) -> list[ControllerEffect]:
        extended = message.capabilities == CAPABILITIES
        if self.phase is Phase.ORIGINAL and not extended:
            return self._register_original(message, now)
        if self.phase is not Phase.GREETING:
            return self._lose(now) if extended and message.instance != self._instance else self._drop("repeated")
        if not message.answers:
            self._hello_at = min(self._hello_at, max(now, self._last_hello + self._hello_floor_s))
            return []
        if not extended:
            return self._register_original(message, now)
        if not self._has_greeted:
            return self._drop("unasked")
        restarted = message.instance != self._instance
        self._instance = message.instance
        self._plan.max_entries = message.max_entries
        if restarted:
            self._plan.begin(())
        self._begin_session()
        return [Registered(message.capabilities, message.instance, message.max_entries, restarted)]

    def _begin_session(self) -> None:
        self.phase = Phase.SYNCING
        self._session = self._chance.randrange(1, 1 << 32)
        self._plan.number_from(self._chance.randrange(1 << 32))
        self._seq = self._since = 0
        self._probes.clear()
        self._deadline = None
        self._timeouts = 0
        self._trip = RoundTrip()
        self._mtu.forget()
        self._offload.forget()

    # What the agent says

    def _receive(self, frame: bytes, now: float) -> list[ControllerEffect]:
        if frame[:6] != self._mac:
            return self._drop("other_mac")
        try:
            parsed = cvsw.parse_frame(frame)
            if parsed.type not in _FROM_AGENT or (parsed.type != Type.REGISTER and self.phase in (Phase.GREETING, Phase.ORIGINAL)):
                return self._drop("unexpected")
            message = cvsw.parse(parsed)
        except WireError as error:
            return self._drop(error.reason)
        match message:
            case cvsw.Register():
                return self._register(message, now)
            case cvsw.BarrierReply(seq, status) | cvsw.EchoReply(seq, status):
                return self._answer(seq, status, message if isinstance(message, cvsw.BarrierReply) else None, now)
            case cvsw.FlowStatsReply():
                return self._take_stats(message, now)
            case cvsw.FlowRemoved(removed):
                gone = Flow(removed.match, removed.priority).key
                flow = self._plan.expire(gone) if removed.reason in _TIMED_OUT else None
                return [Removed(removed), *([Expired(flow)] if flow else [])]
            case cvsw.Error(told):
                return self._error(told.xid, Code.find(told.error_type, told.code), told.data, now)
        return self._drop("unexpected")

    def _answer(self, seq: int, status: cvsw.Status, barrier: cvsw.BarrierReply | None, now: float) -> list[ControllerEffect]:
        sent = self._probes.get(seq)
        if sent is None:
            return self._drop("unasked")
        if status.instance != self._instance or status.session != self._session:
            return self._lose(now)
        self._probes = {other: at for other, at in self._probes.items() if other > seq}
        self._trip.sample(now - sent)
        self._timeouts = 0
        if seq >= self._since:  # it need not be the newest: where answers are slow, that is always another
            self._deadline = None
            self._alive_at = now + KEEP_ALIVE_S
        self._n_entries = status.n_entries
        if self.phase is Phase.SYNCING:
            self._synchronise(status)
            return []
        effects: list[ControllerEffect] = []
        if barrier is not None:
            effects += self._settle(barrier, now)
        if self.phase is Phase.LIVE and seq >= self._since and self._plan.is_idle:
            effects += self._verify(status, now)
        return effects

    def _synchronise(self, status: cvsw.Status) -> None:
        """Find out what the agent has, without reading it if possible."""
        found = (status.n_entries, status.digest)
        for known in (self._plan.present, self._plan.desired, {}):
            if found == (len(known), digest_of(known.values())):
                return self._begin_live(list(known.values()))
        self._begin_reading()

    def _settle(self, reply: cvsw.BarrierReply, now: float) -> list[ControllerEffect]:
        refused, lost = self._plan.settle(reply)
        effects: list[ControllerEffect] = []
        for xid in refused:
            effects += self._refuse(xid, None, now)
        if self._plan.n_lost_max > LOSSES_MAX:
            return [*effects, *self._lose(now, HELLO_MAX_S)]
        if lost:
            effects += [*map(Send, lost), self._probe_after(now)]
        return effects

    def _refuse(self, xid: int, code: Code | None, now: float) -> list[ControllerEffect]:
        flow = self._plan.refuse(xid, now, code)
        return [Refused(flow, code)] if flow else []

    def _error(self, xid: int, code: Code | None, data: bytes, now: float) -> list[ControllerEffect]:
        if flow := self._plan.refuse(xid, now, code):
            return [Refused(flow, code)]
        for setting in (self._mtu, self._offload):
            message = setting.message
            if message and setting.refused_until is None and data.startswith(cvsw.serialize(self._mac, message)):
                setting.refuse(now)
                return [Refused(message, code)]
        return self._drop("unasked")

    def _verify(self, status: cvsw.Status, now: float) -> list[ControllerEffect]:
        """Nothing is under way, and the agent's status is of afterwards: compare."""
        present = self._plan.present
        if (status.n_entries, status.digest) != (len(present), digest_of(present.values())):
            self._verified = False
            self._begin_reading()
            return []
        effects: list[ControllerEffect] = []
        frames: list[ControllerEffect] = []
        for setting in (self._mtu, self._offload):
            if setting.message is None or setting.refused_until is not None:
                continue
            if setting.is_met(status):
                effects += [Accepted(setting.message)] if setting.was_refused else []
                setting.was_refused = False
                continue
            setting.tries += 1
            if setting.tries > _SETTING_TRIES:
                setting.refuse(now)
                effects.append(Refused(setting.message, None))
            else:
                frames.append(self._send(setting.message))
        if frames:
            self._verified = False
            return [*effects, *frames, self._probe_after(now)]
        self._verified = True
        self._read_gap_s = READ_GAP_MIN_S
        self._hello_floor_s = HELLO_MIN_S
        return effects

    # Programming

    def _begin_live(self, present: list[Flow]) -> None:
        self.phase = Phase.LIVE
        self._verified = False
        self._plan.begin(present)

    def _program(self, now: float) -> list[ControllerEffect]:
        """Send what is to be sent, ask where it is not known how things are, and tell when they are as desired."""
        self._retry(now)
        effects: list[ControllerEffect] = []
        while frames := self._plan.take(_BURST):
            self._verified = False
            effects += [*map(Send, frames), self._probe_after(now)]
        if self._verified and self._plan.is_idle and self.confirmed != self.version:
            self.confirmed = self.version
            effects.append(Confirmed(self.version))
        is_due = now >= self._alive_at or not self._verified
        if self._deadline is None and is_due:
            effects.append(self._probe(now))
        return effects

    def _retry(self, now: float) -> None:
        self._plan.retry(now)
        for setting in (self._mtu, self._offload):
            if setting.refused_until is not None and setting.refused_until <= now:
                setting.forget()
                self._verified = False

    def _probe(self, now: float) -> Send:
        """Ask how the agent is: by an echo where nothing is open, else by a barrier."""
        self._seq += 1
        self._probes[self._seq] = now
        if len(self._probes) > _PROBES_MAX:
            del self._probes[next(iter(self._probes))]
        self._deadline = now + self._trip.timeout_s
        if self._verified:
            return self._send(cvsw.EchoRequest(self._seq))
        self._plan.sent_before(self._seq)
        return self._send(cvsw.BarrierRequest(self._seq, self._session, self._plan.base))

    def _probe_after(self, now: float) -> Send:
        """Ask after anything else was sent."""
        self._since = self._seq + 1
        return self._probe(now)

    def _check_probe(self, now: float) -> list[ControllerEffect]:
        """Ask again where the answer is overdue."""
        if self._deadline is None or now < self._deadline:
            return []
        self._timeouts += 1
        if self._timeouts >= TIMEOUTS_MAX:
            return self._lose(now)
        self._trip.ran_out()
        return [self._probe(now)]

    # Reading

    def _begin_reading(self) -> None:
        self.phase = Phase.READING
        self._reader = None
        self._deadline = None

    def _read(self, now: float) -> list[ControllerEffect]:
        if self._reader is None:
            if now < self._read_at:
                return []
            self._read_at = now + self._read_gap_s
            self._read_gap_s = min(2 * self._read_gap_s, READ_GAP_MAX_S)
            self._reader = self._new_reader()
        reader = self._reader
        if reader.failed:
            return self._lose(now, HELLO_MAX_S)
        if reader.is_done:
            return self._end_reading(reader, now)
        effects: list[ControllerEffect] = [self._send(request) for request in reader.ask(now)]
        return self._lose(now) if reader.tries_max >= TRIES_MAX else effects

    def _end_reading(self, reader: Reader, now: float) -> list[ControllerEffect]:
        self._reader = None
        found = {}
        for entry in reader.entries:
            flow = Flow.from_message(entry)
            found[flow.key] = flow
        gone = [key for key, flow in self._plan.present.items() if flow.can_expire and key not in found]
        expired = [flow for flow in map(self._plan.expire, gone) if flow]
        self._begin_live(list(found.values()))
        return [*map(Expired, expired), *self._program(now)]

    def _new_reader(self) -> Reader:
        return Reader(self._n_entries, self._chance.randrange(1 << 32), self._trip)

    def _read_report(self, now: float) -> list[ControllerEffect]:
        if self._report is None:
            if not self._wants_report:
                return []
            self._wants_report = False
            self._report = self._new_reader()
        report = self._report
        if report.is_done or report.failed:
            self._report = None
            return [TableRead(tuple(report.entries))] if report.is_done else []
        effects: list[ControllerEffect] = [self._send(request) for request in report.ask(now)]
        return self._lose(now) if report.tries_max >= TRIES_MAX else effects

    def _take_stats(self, message: cvsw.FlowStatsReply, now: float) -> list[ControllerEffect]:
        for reader in (self._reader, self._report):
            if reader and reader.take(message, now):
                return []
        return self._drop("unasked")

    # An original driver

    def _register_original(self, message: cvsw.Register, now: float) -> list[ControllerEffect]:
        """It answers once after its start: a later answer to a HELLO says that it was started anew, and is empty."""
        if not self._has_greeted:
            return self._drop("repeated")
        self.phase = Phase.ORIGINAL
        self.confirmed = -1
        self._has_greeted = False
        self._instance = None
        self._original = OriginalPlan(self._mac)
        self._settings_sent = (None, None)
        self._planned = -1
        self._hello_at = now + ORIGINAL_HELLO_S
        return [Registered(cvsw.Capability(0), 0, 0, restarted=True)]

    def _serve_original(self, now: float) -> list[ControllerEffect]:
        effects: list[ControllerEffect] = []
        if now >= self._hello_at:
            self._hello_at = now + ORIGINAL_HELLO_S
            effects.append(self._hello(now))
        effects += map(Send, self._original.take(now))
        if self._original.is_idle and self._planned != self.version:
            self._planned = self.version
            self._original.start(self._plan.desired, self._new_settings(), now)
            effects += [Refused(flow, Code.BRC_EPERM) for flow in self._original.refused]
            effects += map(Send, self._original.take(now))
        if self._original.is_idle and self._planned == self.version and self.confirmed != self.version:
            self.confirmed = self.version
            effects.append(Confirmed(self.version))
        return effects

    def _new_settings(self) -> list[cvsw.Message]:
        """Return the messages for settings that are others than when this was called last."""
        wanted = (self._mtu.message, self._offload.message)
        changed = [message for message, sent in zip(wanted, self._settings_sent, strict=True) if message and message != sent]
        self._settings_sent = wanted
        return list(changed)

    def _drop(self, reason: str) -> list[ControllerEffect]:
        self.drops[reason] += 1
        return []

    def _send(self, message: cvsw.Message) -> Send:
        return Send(cvsw.serialize(self._mac, message))
