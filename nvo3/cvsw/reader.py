"""Reads an agent's table, bucket by bucket: FLOW_STATS over a channel that loses.

A bucket that is not told in time is asked for again, by another number, so that parts of two answers do not mix.  Whichever answer is
whole first counts: where a busy controller, or many agents at once, make answers slow, none of them is in vain.
"""

from collections import deque
from dataclasses import dataclass, field

from nvo3.cvsw.timing import RoundTrip
from nvo3.cvsw.window import XID_MASK
from nvo3.wire import cvsw, of10

ENTRIES_MAX = 1 << 17
_ENTRIES_PER_BUCKET = 6  # about a frame
_AT_ONCE = 16
_PARTS_MAX = 64
_WAIT_MAX_S = 5.0


@dataclass(slots=True)
class _Question:
    bucket: int
    asked: float
    deadline: float
    tries: int
    parts: dict[int, of10.FlowStatsReply] = field(default_factory=dict)


class Reader:
    """n_entries: how many the table has, about.  first_xid: of the requests.  trip: how long answers take; is given samples.

    tries_max: how often one bucket was asked for in vain.  failed: the agent tells more than a table can have.
    """

    def __init__(self, n_entries: int, first_xid: int, trip: RoundTrip) -> None:
        self.tries_max = 0
        self.failed = n_entries > ENTRIES_MAX
        self.entries: list[of10.FlowStats] = []
        self._n_told = 0  # with those of answers that are not complete
        self._bits = min((n_entries // _ENTRIES_PER_BUCKET).bit_length(), cvsw.BUCKET_BITS_MAX)
        self._waiting = deque((bucket, 0) for bucket in range(1 << self._bits))
        self._missing = set(range(1 << self._bits))  # buckets
        self._questions: dict[int, _Question] = {}  # by number, with those that are overdue
        self._newest: dict[int, _Question] = {}  # by bucket, of those that are not
        self._next_xid = first_xid
        self._trip = trip

    @property
    def is_done(self) -> bool:
        """Return whether `entries` are all."""
        return not self._missing

    @property
    def next_deadline(self) -> float | None:
        """Return when to call `ask`."""
        return min((question.deadline for question in self._newest.values()), default=None)

    def ask(self, now: float) -> list[cvsw.FlowStatsRequest]:
        """Return what to send: requests that were not answered in time, and further ones."""
        for question in [question for question in self._newest.values() if question.deadline <= now]:
            del self._newest[question.bucket]
            self.tries_max = max(self.tries_max, question.tries)
            self._waiting.appendleft((question.bucket, question.tries))
        requests = []
        while self._waiting and len(self._newest) < _AT_ONCE:
            bucket, tries = self._waiting.popleft()
            if bucket not in self._missing:
                continue
            xid = self._next_xid
            self._next_xid = xid + 1 & XID_MASK
            wait_s = min(self._trip.timeout_s * 2**tries, _WAIT_MAX_S)
            self._questions[xid] = self._newest[bucket] = _Question(bucket, now, now + wait_s, tries + 1)
            requests.append(cvsw.FlowStatsRequest(of10.FlowStatsRequest(xid=xid), self._bits, bucket))
        return requests

    def take(self, message: cvsw.FlowStatsReply, now: float) -> bool:
        """Take in a part of an answer; return whether it answers a request of this reader."""
        question = self._questions.get(message.reply.xid)
        if question is None:
            return False
        if message.part >= _PARTS_MAX:
            self.failed = True
            return True
        self._n_told += len(message.reply.entries)
        self.failed = self.failed or self._n_told > ENTRIES_MAX
        question.parts[message.part] = message.reply
        last = next((part for part, reply in question.parts.items() if not reply.more), None)
        if last is None or len(question.parts) <= last:
            return True
        self._missing.discard(question.bucket)
        self._newest.pop(question.bucket, None)
        self._questions = {xid: other for xid, other in self._questions.items() if other.bucket != question.bucket}
        self._trip.sample(now - question.asked)
        self.entries += [entry for _, reply in sorted(question.parts.items()) for entry in reply.entries]
        return True
