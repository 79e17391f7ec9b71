"""A flow table as OpenFlow 1.0 has it (specification 1.0.1, sections 3.3 to 3.5 and 4.6): the control state of an agent's.

What forwards packets is behind `Datapath`, and gets every change.  Without one the table forwards itself, by `lookup`: slowly, and
as the model of the fast one.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from nvo3.cvsw.flow import DIGEST_MASK, Flow, bucket_of, key_of
from nvo3.cvsw.packet_key import PacketKey, value_and_mask
from nvo3.wire import of10
from nvo3.wire.of10 import Command, FlowMod, FlowRemoved, FlowStats, Reason
from nvo3.wire.of10_action import Action, Output, Port, serialize_actions
from nvo3.wire.of10_error import Code, OpenFlowError
from nvo3.wire.of10_match import Match

# Bytes of an entry's: with 472, what a frame tells of it has 586 bytes, which an MTU of 576 lets through.
ACTIONS_MAX = 472
_PORTS = frozenset(Port)


@dataclass(frozen=True, slots=True)
class Counters:
    """used: when the last packet came, None if none came."""

    n_packets: int = 0
    n_bytes: int = 0
    used: float | None = None


class Entry:
    """A flow in the table.  A packet whose number is `value` under `mask` is its; the highest rank decides."""

    __slots__ = ("counters", "created", "flow", "mask", "rank", "value")

    def __init__(self, flow: Flow, now: float) -> None:
        self.flow = flow
        self.rank = flow.match.rank(flow.priority)
        self.value, self.mask = value_and_mask(flow.match)
        self.created = now
        self.counters = Counters()

    def overlaps(self, other: "Entry") -> bool:
        """Return whether a packet may fit both, and neither comes first."""
        return self.rank == other.rank and not (self.value ^ other.value) & self.mask & other.mask


class Datapath(Protocol):
    """What forwards packets by the table.  A flow is told apart by `entry.flow.key`."""

    def put(self, entry: Entry) -> None:
        """Add it, or put it in the place of the one with its key; counters begin at 0.  Raises OpenFlowError, and nothing has changed."""

    def modify(self, entry: Entry) -> None:
        """Take its actions for the one with its key; counters go on.  Raises OpenFlowError, and nothing has changed."""

    def remove(self, entry: Entry) -> None:
        """Forget it."""

    def counters(self, entry: Entry) -> Counters:
        """Return its counters since `put`; `used` in the time of the `now` that the table is given."""


class FlowTable:
    """max_entries: an ADD beyond is refused."""

    def __init__(self, max_entries: int, datapath: Datapath | None = None) -> None:
        self.max_entries = max_entries
        self.digest = 0  # sum of the flows' digests
        self._datapath = datapath
        self._entries: dict[bytes, Entry] = {}
        self._buckets: tuple[int, dict[int, list[Entry]]] | None = None  # number of bits, and entries by bucket; None: to be made
        self._deadlines: list[tuple[float, int, Entry]] = []  # a heap; may have entries that are gone, or are due later by now
        self._n_pushed = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def apply(self, mod: FlowMod, now: float) -> list[FlowRemoved]:
        """Carry out a FLOW_MOD; return what is to be told of deleted entries.  Raises OpenFlowError, and the table is as it was."""
        _check_actions(mod.actions)
        match mod.command:
            case Command.ADD:
                return self._add(mod, now)
            case Command.MODIFY | Command.MODIFY_STRICT:
                return self._modify(mod, now)
            case Command.DELETE | Command.DELETE_STRICT:
                return self._delete_all(self._select(mod), now)

    def clear(self) -> None:
        """Forget all entries, without a word."""
        for entry in list(self):
            self._remove(entry)

    def expire(self, now: float) -> list[FlowRemoved]:
        """Remove entries whose time is up; return what is to be told of them."""
        removed = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, entry = heapq.heappop(self._deadlines)
            if self._entries.get(entry.flow.key) is not entry:
                continue
            reason = self._overdue(entry, now)
            if reason is None:
                self._push_deadline(entry)
            else:
                removed += self._delete(entry, reason, now)
        return removed

    @property
    def next_deadline(self) -> float | None:
        """Return when to call `expire`; None: no entry has a timeout.  It may then find that nothing is due yet."""
        return self._deadlines[0][0] if self._deadlines else None

    def lookup(self, packet: PacketKey, n_bytes: int, now: float) -> Flow | None:
        """Return the flow that a packet belongs to, and count it there.  Of overlapping ones of equal rank, any may be returned."""
        value = packet.value
        found = None
        for entry in self:
            if value & entry.mask == entry.value and (found is None or entry.rank > found.rank):
                found = entry
        if found is None:
            return None
        had = found.counters
        found.counters = Counters(had.n_packets + 1, had.n_bytes + n_bytes, now)
        return found.flow

    def stats(self, request: of10.FlowStatsRequest, now: float, bits: int = 0, bucket: int = 0) -> list[FlowStats]:
        """Return those entries of a bucket (see `bucket_of`) that a request asks for."""
        entries = self._contained(request.match, request.out_port, self._in_bucket(bits, bucket))
        return [_stats_of(entry, self._counters(entry), now) for entry in entries]

    def _in_bucket(self, bits: int, bucket: int) -> Iterable[Entry]:
        """Return the entries of a bucket; who asks for one asks for all, so each entry is sorted once."""
        if self._buckets is None or self._buckets[0] != bits:
            buckets: dict[int, list[Entry]] = {}
            for entry in self:
                buckets.setdefault(bucket_of(entry.flow.key, bits), []).append(entry)
            self._buckets = (bits, buckets)
        return self._buckets[1].get(bucket, ())

    def _add(self, mod: FlowMod, now: float) -> list[FlowRemoved]:
        flow = Flow.from_message(mod)
        entry = Entry(flow, now)
        if mod.flags & of10.FLAG_CHECK_OVERLAP and any(entry.overlaps(other) for other in self):
            raise OpenFlowError(Code.FMFC_OVERLAP, "overlaps with an entry of the same priority")
        former = self._entries.get(flow.key)
        if former is None and len(self) >= self.max_entries:
            raise OpenFlowError(Code.FMFC_ALL_TABLES_FULL, f"{len(self)} entries")
        if self._datapath:
            self._datapath.put(entry)
        self._entries[flow.key] = entry
        self._buckets = None
        self.digest = self.digest + flow.digest - (former.flow.digest if former else 0) & DIGEST_MASK
        self._push_deadline(entry)
        return []

    def _modify(self, mod: FlowMod, now: float) -> list[FlowRemoved]:
        # out_port is of deletions only.
        entries = list(self._select(replace(mod, out_port=of10.PORT_NONE)))
        if not entries:
            return self._add(mod, now)
        done: list[tuple[Entry, Flow]] = []
        try:
            for entry in entries:
                done.append((entry, entry.flow))
                self._set_actions(entry, replace(entry.flow, actions=mod.actions))
        except OpenFlowError:
            done.pop()
            for entry, former in done:
                self._set_actions(entry, former)
            raise
        return []

    def _set_actions(self, entry: Entry, flow: Flow) -> None:
        former, entry.flow = entry.flow, flow
        try:
            if self._datapath:
                self._datapath.modify(entry)
        except OpenFlowError:
            entry.flow = former
            raise
        self.digest = self.digest + flow.digest - former.digest & DIGEST_MASK

    def _select(self, mod: FlowMod) -> Iterator[Entry]:
        """Yield the entries that a modification or a deletion means."""
        if mod.command in (Command.MODIFY, Command.DELETE):
            yield from self._contained(mod.match, mod.out_port, self)
            return
        entry = self._entries.get(key_of(mod.match, mod.priority))
        if entry is not None and _has_output(entry.flow, mod.out_port):
            yield entry

    def _contained(self, match: Match, out_port: int, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield those of the entries all of whose packets fit `match`."""
        value, mask = value_and_mask(match)
        for entry in entries:
            if mask & ~entry.mask == 0 and entry.value & mask == value and _has_output(entry.flow, out_port):
                yield entry

    def _delete_all(self, entries: Iterator[Entry], now: float) -> list[FlowRemoved]:
        return [removed for entry in list(entries) for removed in self._delete(entry, Reason.DELETE, now)]

    def _delete(self, entry: Entry, reason: Reason, now: float) -> list[FlowRemoved]:
        counters = self._counters(entry)
        self._remove(entry)
        flow = entry.flow
        if not flow.tells_removal:
            return []
        duration_ns = _ns(now - entry.created)
        totals = (counters.n_packets, counters.n_bytes)
        return [FlowRemoved(flow.match, flow.priority, reason, flow.cookie, flow.idle_timeout, duration_ns, *totals)]

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry.flow.key]
        self._buckets = None
        self.digest = self.digest - entry.flow.digest & DIGEST_MASK
        if self._datapath:
            self._datapath.remove(entry)

    def _counters(self, entry: Entry) -> Counters:
        if self._datapath:
            entry.counters = self._datapath.counters(entry)
        return entry.counters

    def _deadline(self, entry: Entry) -> tuple[float, Reason] | None:
        flow = entry.flow
        deadlines = []
        if flow.hard_timeout:
            deadlines.append((entry.created + flow.hard_timeout, Reason.HARD_TIMEOUT))
        if flow.idle_timeout:
            used = entry.counters.used
            deadlines.append(((entry.created if used is None else used) + flow.idle_timeout, Reason.IDLE_TIMEOUT))
        return min(deadlines) if deadlines else None

    def _overdue(self, entry: Entry, now: float) -> Reason | None:
        if entry.flow.idle_timeout:
            self._counters(entry)
        deadline = self._deadline(entry)
        return deadline[1] if deadline and deadline[0] <= now else None

    def _push_deadline(self, entry: Entry) -> None:
        deadline = self._deadline(entry)
        if deadline is None:
            return
        self._n_pushed += 1
        heapq.heappush(self._deadlines, (deadline[0], self._n_pushed, entry))
        if len(self._deadlines) > 2 * len(self._entries) + 16:
            # Replaced entries leave theirs behind: a peer that replaces one forever must not fill memory.
            self._deadlines = [item for item in self._deadlines if self._entries.get(item[2].flow.key) is item[2]]
            heapq.heapify(self._deadlines)


def _check_actions(actions: tuple[Action, ...]) -> None:
    n_bytes = len(serialize_actions(actions))
    if n_bytes > ACTIONS_MAX:
        raise OpenFlowError(Code.BAC_TOO_MANY, f"{n_bytes} bytes of actions exceed {ACTIONS_MAX}")
    for action in actions:
        if isinstance(action, Output) and action.port not in _PORTS:
            raise OpenFlowError(Code.BAC_BAD_OUT_PORT, f"port {action.port}, a vNIC has {Port.HOST} and {Port.NET}")


def _has_output(flow: Flow, out_port: int) -> bool:
    return out_port == of10.PORT_NONE or of10.outputs_to(flow.actions, out_port)


def _ns(seconds: float) -> int:
    return round(seconds * of10.NS)


def _stats_of(entry: Entry, counters: Counters, now: float) -> FlowStats:
    flow = entry.flow
    return FlowStats(
        flow.match,
        flow.priority,
        flow.actions,
        flow.cookie,
        flow.idle_timeout,
        flow.hard_timeout,
        flow.flags,
        _ns(now - entry.created),
        counters.n_packets,
        counters.n_bytes,
    )
