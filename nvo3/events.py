"""The last things that happened, for those who want to follow them.  No I/O, no clock."""

import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

KEPT = 10_000  # events


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """id: grows; unknown to any other run of the controller.  kind: of the object.  what: happened to it.  detail: one line."""

    id: str
    time: datetime
    kind: str
    what: str
    name: str
    detail: str = ""

    @property
    def tenant(self) -> str | None:
        """Return the tenant whose object it is about, None for what is no tenant's."""
        return None if self.kind == "hypervisor" else self.name.partition("/")[0]


class EventLog:
    """now: with its time zone.  tell: called with each event."""

    def __init__(self, now: Callable[[], datetime], tell: Callable[[LoggedEvent], None] = lambda _: None) -> None:
        self._now = now
        self._tell = tell
        self._readers: set[Callable[[], None]] = set()
        self._run = secrets.token_hex(4)
        self._events: deque[LoggedEvent] = deque(maxlen=KEPT)
        self._n = 0

    def add(self, kind: str, what: str, name: str, detail: str = "") -> LoggedEvent:
        """Note that something happened."""
        self._n += 1
        event = LoggedEvent(f"{self._run}-{self._n}", self._now(), kind, what, name, detail)
        self._events.append(event)
        self._tell(event)
        for wake in list(self._readers):
            wake()
        return event

    @contextmanager
    def read(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called after each event."""
        self._readers.add(wake)
        try:
            yield
        finally:
            self._readers.discard(wake)

    @property
    def n_readers(self) -> int:
        """Return how many are following."""
        return len(self._readers)

    @property
    def last_id(self) -> str:
        """Return the id of the newest event."""
        return f"{self._run}-{self._n}"

    def since(self, after: str | None) -> tuple[int, list[LoggedEvent]]:
        """Return how many events behind one are lost, and those that are not, oldest first.

        after: an id; of another run of the controller, or None: all that are kept, nothing is lost.
        """
        run, _, number = (after or "").rpartition("-")
        seen = int(number) if run == self._run and number.isdecimal() else None
        first = self._n - len(self._events)  # how many went before those that are kept
        if seen is None:
            return 0, list(self._events)
        begin = min(max(seen - first, 0), len(self._events))
        return max(first - seen, 0), list(islice(self._events, begin, None))
