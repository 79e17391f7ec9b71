"""What the agent's table should have, what it has, and the numbered FLOW_MODs in between.

A key has at most one FLOW_MOD under way, so those under way may arrive in any order.  What is wanted may change at any time; what is
under way is settled first.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nvo3.cvsw.flow import DIGEST_MASK, Flow
from nvo3.cvsw.window import SEND_WINDOW, XID_MASK
from nvo3.wire import cvsw
from nvo3.wire.of10_error import Code

RETRY_S = 30.0  # of what was refused


@dataclass(slots=True)
class _Underway:
    """flow: the one to add, or the one to delete if `deletes`.  barrier: number of the first barrier after it was last sent."""

    flow: Flow
    deletes: bool
    frame: bytes
    barrier: int = 0
    n_lost: int = 0


@dataclass(slots=True)
class _Refusal:
    """flow: as in `_Underway`.  until: when to try again.  is_waiting: until then, or until there is room; else it is being tried."""

    flow: Flow
    until: float
    for_room: bool
    is_waiting: bool = True


class Plan:
    """mac: of the vNIC.  desired, present: flows by their keys.  max_entries: of the agent's table.

    accepted: flows that were refused and then taken, for the caller to take away.
    n_lost_max: how often the FLOW_MOD that was lost most often was, since `number_from`.
    """

    def __init__(self, mac: bytes) -> None:
        self.max_entries = 0
        self.desired: dict[bytes, Flow] = {}
        self.present: dict[bytes, Flow] = {}
        self._mac = mac
        self._underway: dict[int, _Underway] = {}  # by number
        self._busy: set[bytes] = set()  # keys of those
        self._puts: dict[bytes, None] = {}  # an ordered set, like the next one
        self._deletes: dict[bytes, None] = {}
        self._refused: dict[bytes, _Refusal] = {}
        self.accepted: list[Flow] = []
        self._next_xid = 0
        self.n_lost_max = 0

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is to be sent and nothing is under way."""
        return not (self._underway or self._puts or self._deletes)

    @property
    def base(self) -> int:
        """Return the first number that is not settled."""
        return next(iter(self._underway), self._next_xid)

    @property
    def next_retry(self) -> float | None:
        """Return when to call `retry`."""
        return next((refusal.until for refusal in self._refused.values() if refusal.is_waiting), None)

    def begin(self, present: Iterable[Flow]) -> None:
        """Start from what the agent has, with nothing under way."""
        self.present = {flow.key: flow for flow in present}
        for pending in (self._underway, self._busy, self._puts, self._deletes):
            pending.clear()
        for key, refusal in list(self._refused.items()):
            refusal.is_waiting = False
            if self.desired.get(key) == self.present.get(key):
                self._accept(key)
        for key in {**self.present, **self.desired}:
            self._mark(key)

    def number_from(self, xid: int) -> None:
        """Forget what is under way; number from `xid` on."""
        self._underway.clear()
        self._busy.clear()
        self._next_xid = xid
        self.n_lost_max = 0

    def want(self, put: Iterable[Flow], delete: Iterable[bytes]) -> None:
        """Change what is desired."""
        for key in delete:
            self.desired.pop(key, None)
            self._reconsider(key)
        for flow in put:
            self.desired[flow.key] = flow
            self._reconsider(flow.key)

    def retry(self, now: float) -> None:
        """Try again what was refused long enough ago."""
        for key in [key for key, refusal in self._refused.items() if refusal.is_waiting and refusal.until <= now]:
            self._try_again(key)

    def take(self, n: int) -> list[bytes]:
        """Return frames to send next, up to n, deletions first: as many as the agent's window allows.  `sent_before` must follow."""
        frames: list[bytes] = []
        while len(frames) < n and (self._next_xid - self.base & XID_MASK) < SEND_WINDOW:
            if self._deletes:
                key = next(iter(self._deletes))
                op = self._begin(key, self.present[key], deletes=True)
            elif self._puts and not self._is_tight():
                key = next(iter(self._puts))
                op = self._begin(key, self.desired[key], deletes=False)
            else:
                break
            frames.append(op.frame)
        return frames

    def sent_before(self, barrier: int) -> None:
        """Note the barrier after what was taken, or returned as lost, since the last one."""
        for op in self._underway.values():
            if not op.barrier:
                op.barrier = barrier

    def settle(self, reply: cvsw.BarrierReply) -> tuple[list[int], list[bytes]]:
        """Take in what has arrived; return the numbers that were refused, not settled yet, and frames of what was lost, to send again."""
        refused, lost = [], []
        for xid in list(self._underway):
            offset = xid - reply.base & XID_MASK
            if offset < cvsw.WINDOW and reply.received >> offset & 1:
                if reply.refused >> offset & 1:
                    refused.append(xid)
                else:
                    self._done(xid)
            elif 0 < self._underway[xid].barrier <= reply.seq:
                lost.append(self._lost(self._underway[xid]))
        return refused, lost

    def _lost(self, op: _Underway) -> bytes:
        op.barrier = 0
        op.n_lost += 1
        self.n_lost_max = max(self.n_lost_max, op.n_lost)
        return op.frame

    def refuse(self, xid: int, now: float, code: Code | None = None) -> Flow | None:
        """Settle a number that was refused; return its flow, None if it is not under way.  code: why, None if that is not known."""
        op = self._underway.pop(xid, None)
        if op is None:
            return None
        key = op.flow.key
        self._busy.discard(key)
        self._refused.pop(key, None)  # so that they stay in order of time
        for_room = code is Code.FMFC_ALL_TABLES_FULL or (code is None and len(self.present) >= self.max_entries)
        self._refused[key] = _Refusal(op.flow, now + RETRY_S, for_room)
        self._mark(key)
        return op.flow

    def expire(self, key: bytes) -> Flow | None:
        """The agent has removed an entry, its time is up; return its flow if it was desired, which it is not any more."""
        flow = self.present.get(key)
        if flow is None or not flow.can_expire or key in self._busy:
            return None
        del self.present[key]
        self._try_for_room()
        if self.desired.get(key) == flow:
            del self.desired[key]
        else:
            flow = None
        self._mark(key)
        return flow

    def _is_tight(self) -> bool:
        """Return whether an addition that overtakes a deletion under way may find the table full."""
        if len(self.present) + len(self._underway) < self.max_entries:
            return False
        return any(op.deletes for op in self._underway.values())

    def _begin(self, key: bytes, flow: Flow, *, deletes: bool) -> _Underway:
        xid = self._next_xid
        self._next_xid = xid + 1 & XID_MASK
        message: cvsw.Message = cvsw.DeleteEntry(flow.delete(xid)) if deletes else cvsw.SetEntry(flow.add(xid))
        op = _Underway(flow, deletes, cvsw.serialize(self._mac, message))
        (self._deletes if deletes else self._puts).pop(key)
        self._underway[xid] = op
        self._busy.add(key)
        return op

    def _done(self, xid: int) -> None:
        op = self._underway.pop(xid)
        key = op.flow.key
        self._busy.discard(key)
        self._accept(key)
        if op.deletes:
            self.present.pop(key, None)
            self._try_for_room()
        else:
            self.present[key] = op.flow
        self._mark(key)

    def _accept(self, key: bytes) -> None:
        if (refusal := self._refused.pop(key, None)) is not None:
            self.accepted.append(refusal.flow)

    def _try_for_room(self) -> None:
        """An entry is gone: there is room for one that was refused for want of it."""
        key = next((key for key, refusal in self._refused.items() if refusal.is_waiting and refusal.for_room), None)
        if key is not None:
            self._try_again(key)

    def _try_again(self, key: bytes) -> None:
        self._refused[key].is_waiting = False
        self._mark(key)

    def _reconsider(self, key: bytes) -> None:
        self._refused.pop(key, None)
        self._mark(key)

    def _mark(self, key: bytes) -> None:
        """Note whether something is to be sent for a key."""
        self._puts.pop(key, None)
        self._deletes.pop(key, None)
        if key in self._busy:
            return
        desired, present = self.desired.get(key), self.present.get(key)
        refused = self._refused.get(key)
        if desired == present or (refused and refused.is_waiting and refused.flow == (desired or present)):
            return
        if desired is None:
            self._deletes[key] = None
        else:
            self._puts[key] = None


def digest_of(flows: Iterable[Flow]) -> int:
    """Return the digest of a table with these flows."""
    return sum(flow.digest for flow in flows) & DIGEST_MASK
