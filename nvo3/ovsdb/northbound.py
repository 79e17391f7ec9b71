"""The NB database: what it holds, what changed, and transactions on it (RFC 7047, over the IDL of the `ovs` package).

One greenthread runs the IDL.  For each batch of updates it brings `View` up to date, tells the application, and only
then completes the transactions that the batch answered, so that a caller whose transaction is committed finds it in the
view and in the core.  Transactions are composed in the callers' greenthreads, without a switch between reading the view
and sending, so several can be under way.
"""

import contextlib
import gc
import json
import logging
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import eventlet
import eventlet.event
import eventlet.green.select
import eventlet.timeout
import ovs.db.error
import ovs.db.idl
import ovs.poller
import ovs.timeval

from nvo3.model.check import check_remote
from nvo3.model.errors import Conflict, Nvo3Error, Unavailable
from nvo3.model.event import NorthboundChanged
from nvo3.model.logical import IPAddress
from nvo3.ovsdb.allocation import AddressSpace, NumberSpace
from nvo3.ovsdb.view import TABLES, View

LOG = logging.getLogger(__name__)

SCHEMA = Path(__file__).with_name("nvo3.ovsschema")
TIMEOUT_S = 5.0

# A transaction that loses a race is composed anew.  Each loss means that another's committed.
_ATTEMPTS_MAX = 100

_T = TypeVar("_T")
_Transaction = ovs.db.idl.Transaction


class _Idl(ovs.db.idl.Idl):  # type: ignore[misc]
    """Collects which rows changed."""

    def __init__(self, remotes: str, schema: Any) -> None:
        super().__init__(remotes, schema, leader_only=True)
        # 1 s is the shortest that the library allows; the default grows to 8 s, in which nobody could change anything.
        self._session.reconnect.set_backoff(1000, 1000)
        # The library takes a difference between two sets, which may have twice as many values, for a set, and drops the update that breaks
        # the column's limit.  The database keeps the limits.
        for table in self.tables.values():
            for column in table.columns.values():
                if column.type.n_max > 1:
                    column.type.n_max = sys.maxsize
        self.dirty: dict[str, set[UUID]] = {}

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        self.dirty.setdefault(row._table.name, set()).add(row.uuid)

    @property
    def up(self) -> bool:
        """Connected, and the contents known as of this connection."""
        return self.state == self.IDL_S_MONITORING and bool(self._session.is_connected())


class _Poller:
    """Takes the place of `ovs.poller.Poller`, which blocks all greenthreads unless the process was monkey-patched."""

    def __init__(self) -> None:
        self._readers: set[int] = set()
        self._writers: set[int] = set()
        self._wake_at: float | None = None  # of time.monotonic

    def fd_wait(self, fd: Any, events: int) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        if events & ovs.poller.POLLIN:
            self._readers.add(number)
        if events & ovs.poller.POLLOUT:
            self._writers.add(number)

    def timer_wait(self, msec: float) -> None:
        at = time.monotonic() + max(msec, 0) / 1000
        self._wake_at = at if self._wake_at is None else min(self._wake_at, at)

    def timer_wait_until(self, msec: float) -> None:
        self.timer_wait(msec - ovs.timeval.msec())

    def immediate_wake(self) -> None:
        self.timer_wait(0)

    def block(self) -> None:
        timeout_s = None if self._wake_at is None else max(self._wake_at - time.monotonic(), 0)
        eventlet.green.select.select(self._readers, self._writers, [], timeout_s)


class Change:
    """A transaction under construction.  Columns are keywords; references are uuids."""

    def __init__(self, idl: _Idl, view: View, attempt: int) -> None:
        self.view = view
        self.attempt = attempt
        self._idl = idl
        self._transaction = _Transaction(idl)
        self._claims: list[Callable[[], None]] = []
        self._new_spaces: dict[UUID, AddressSpace] = {}

    def insert(self, table: str, uuid: UUID, **columns: Any) -> None:
        """Insert a row under a uuid chosen by the caller, by which a retry finds out that it is already there."""
        row = self._transaction.insert(self._idl.tables[table], new_uuid=uuid, persist_uuid=True)
        self._set(row, columns)

    def update(self, table: str, uuid: UUID, **columns: Any) -> None:
        """Write columns of a row."""
        self._set(self._idl.tables[table].rows[uuid], columns)

    def verify(self, table: str, uuid: UUID) -> None:
        """Have the transaction composed anew if the row is not what the view was made of.

        Before the row is written or deleted, and only if it is: the IDL would ask with the next transaction otherwise.
        """
        row = self._idl.tables[table].rows[uuid]
        for column in self._idl.tables[table].columns:
            row.verify(column)

    def delete(self, table: str, uuid: UUID) -> None:
        """Delete a row."""
        self._idl.tables[table].rows[uuid].delete()

    def delete_where(self, table: str, where: list[list[Any]]) -> None:
        """Delete rows after all else that the transaction does; `where` as in `require`."""
        self._transaction.add_op({"op": "delete", "table": table, "where": where})

    def require(self, table: str, where: list[list[Any]], column: str, rows: Iterable[Any]) -> None:
        """Have the transaction composed anew unless, after it, the rows that match `where` have exactly these values.

        `where`: conditions of RFC 7047 section 5.1; `rows`: values of `column`, in the notation of the same section.
        """
        operation = {"op": "wait", "timeout": 0, "table": table, "where": where, "columns": [column], "until": "=="}
        self._transaction.add_op({**operation, "rows": [{column: value} for value in rows]})

    def claim_vni(self, vni: int) -> None:
        """Keep other transactions of this process from choosing a VNI while this one is under way."""
        self._claim(self.view.vnis, vni)

    def space(self, network: UUID) -> AddressSpace:
        """Return which addresses of a network are taken; of one that this transaction makes, by this transaction."""
        return self.view.relations.space(network) if network in self.view.networks else self._new_spaces.setdefault(network, AddressSpace())

    def claim_address(self, network: UUID, address: IPAddress) -> None:
        """Keep other transactions of this process from choosing an address while this one is under way."""
        self._claim(self.space(network), address)

    def claim_endpoint(self, number: int) -> None:
        """Keep other transactions of this process from choosing a tunnel endpoint while this one is under way."""
        self._claim(self.view.endpoints.space, number)

    def _claim(self, space: NumberSpace | AddressSpace, value: Any) -> None:
        space.claim(value)
        self._claims.append(lambda: space.release(value))

    def _set(self, row: Any, columns: Mapping[str, Any]) -> None:
        for column, value in columns.items():
            setattr(row, column, value)

    def commit(self) -> str:
        """Send, or look how far it is; return the IDL's status."""
        return str(self._transaction.commit())

    def abort(self) -> None:
        """Give it up before `commit`."""
        self._transaction.abort()

    def close(self) -> None:
        """Give the claims back."""
        for release in self._claims:
            release()
        self._claims.clear()

    @property
    def error(self) -> str:
        """What the database said, in its JSON."""
        return str(self._transaction.get_error())


class Northbound:
    """The connection to the NB database.

    remotes: `unix:PATH`, or several `tcp:HOST:PORT` or `ssl:HOST:PORT` of one cluster, comma separated.  on_change:
    called in the greenthread of the database for every change, first with all contents; it must not call `transact`.
    timeout_s: how long a transaction waits for the database.  observe: told how each transaction ended (`committed`, `refused`,
    `unavailable`), and how long it took.  Raises ConfigError for remotes that are none.
    """

    def __init__(
        self,
        remotes: str,
        on_change: Callable[[NorthboundChanged], None] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        observe: Callable[[str, float], None] = lambda result, seconds: None,
    ) -> None:
        helper = ovs.db.idl.SchemaHelper(str(SCHEMA))
        for table in TABLES:
            helper.register_table(table)
        self.remotes = remotes
        self._on_change = on_change
        self._timeout_s = timeout_s
        self._observe = observe
        self._idl = _Idl(_check_remotes(remotes), helper)
        self._view = View(self._idl.tables)
        self._known = False  # the view holds what some connection brought
        self._current = False  # nothing was missed since
        self._up = eventlet.event.Event()  # sent while the database is up; replaced when it goes
        self._waiting: dict[Change, eventlet.event.Event] = {}
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._thread: Any = None

    def start(self) -> None:
        """Connect, and go on doing so until `stop`."""
        self._thread = eventlet.spawn(self._run)

    def stop(self) -> None:
        """Disconnect.  Transactions under way end with Unavailable."""
        if self._thread is None:
            return
        self._thread.kill()
        self._thread = None
        for event in self._waiting.values():
            event.send(_Transaction.ABORTED)
        self._waiting.clear()
        self._idl.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    @property
    def view(self) -> View:
        """What the database holds, as far as this process knows.  Raises Unavailable before it was ever read."""
        if not self._known:
            raise Unavailable(self._why_down())
        return self._view

    @property
    def is_up(self) -> bool:
        """Tell whether the database is connected and its contents known."""
        return bool(self._up.ready())

    def wait_up(self, timeout_s: float = TIMEOUT_S) -> View:
        """Block until the contents are known and current; return the view.  Raises Unavailable after the time."""
        self._wait(self._up, timeout_s)
        return self._view

    def transact(self, compose: Callable[[Change], _T], timeout_s: float | None = None) -> _T:
        """Have `compose` build a transaction, commit it, and return what `compose` returned.

        When it returns, the view and the core have the change.  `compose` checks against the view and must not block;
        it is called again, with `attempt` counting up, after a lost race or a lost connection.  Then the earlier
        attempt may have been committed after all.  Raises what `compose` raises; Conflict where the database refuses;
        Unavailable where it does not answer in `timeout_s`.
        """
        began_at, result = time.monotonic(), "unavailable"
        try:
            made = self._transact(compose, self._timeout_s if timeout_s is None else timeout_s)
            result = "committed"
            return made
        except Unavailable:
            raise
        except Nvo3Error:
            result = "refused"
            raise
        finally:
            self._observe(result, time.monotonic() - began_at)

    def _transact(self, compose: Callable[[Change], _T], timeout_s: float) -> _T:
        deadline = time.monotonic() + timeout_s
        refusal = None
        for attempt in range(_ATTEMPTS_MAX):
            self._wait(self._up, deadline - time.monotonic())
            change = self._compose(compose, attempt)
            try:
                status = self._commit(change[0], deadline)
            finally:
                change[0].close()
            if status in (_Transaction.SUCCESS, _Transaction.UNCHANGED):
                return change[1]
            if status == _Transaction.ERROR:
                # Composed against a view that lags behind, perhaps: the view is up to date now, and `compose` says it
                # better.
                if change[0].error == refusal:
                    break
                refusal = change[0].error
            elif status != _Transaction.TRY_AGAIN:
                raise Unavailable("the connection to the NB database was closed")
        if refusal is not None:
            raise _refused(refusal)
        raise Unavailable(f"the NB database changed too fast: gave up after {_ATTEMPTS_MAX} attempts")

    def rehearse(self, compose: Callable[[Change], _T]) -> _T:
        """Return what `compose` returns for a transaction that is never sent.  Raises what it raises, and Unavailable."""
        self._wait(self._up, self._timeout_s)
        change, result = self._compose(compose, 0)
        change.abort()
        change.close()
        return result

    def _compose(self, compose: Callable[[Change], _T], attempt: int) -> tuple[Change, _T]:
        change = Change(self._idl, self._view, attempt)
        try:
            return change, compose(change)
        except BaseException:
            change.abort()
            change.close()
            raise

    def _commit(self, change: Change, deadline: float) -> str:
        status = change.commit()
        if status == _Transaction.TRY_AGAIN:  # not sent: the connection is just gone
            self._go_down()
        if status != _Transaction.INCOMPLETE:
            return status
        done = self._waiting[change] = eventlet.event.Event()
        try:
            status = str(self._wait(done, deadline - time.monotonic(), sent=True))
        finally:
            self._waiting.pop(change, None)
        return status

    def _wait(self, event: eventlet.event.Event, timeout_s: float, sent: bool = False) -> Any:
        """Return what an event was sent.  Raises Unavailable when the time is over."""
        if not event.ready():
            self._wake()
        with eventlet.timeout.Timeout(max(timeout_s, 0.001), False):
            return event.wait()
        doubt = "; the change may have been stored" if sent else ""
        raise Unavailable(f"{self._why_down()}{doubt}")

    def _why_down(self) -> str:
        if self.is_up:
            return f"the NB database at {self.remotes} does not answer in time"
        if not self._known and self._idl.state != self._idl.IDL_S_INITIAL:
            return f"the server at {self.remotes} answers, but has no NB database of this version to serve"
        return f"the NB database at {self.remotes} is not reachable"

    # The database's greenthread.

    def _run(self) -> None:
        while True:
            try:
                self._step()
            except Exception:
                LOG.exception("NB database: internal error")
                eventlet.sleep(1)  # should it be of the kind that comes again at once

    def _step(self) -> None:
        with _without_collector():
            self._idl.run()
            self._update()
        self._finish()
        poller = _Poller()
        self._idl.wait(poller)
        poller.fd_wait(self._wake_receiver.fileno(), ovs.poller.POLLIN)
        poller.block()
        with contextlib.suppress(BlockingIOError):
            self._wake_receiver.recv(4096)

    def _update(self) -> None:
        """Bring the view up to date, tell the application, and note whether the database is up."""
        if self._idl.state != self._idl.IDL_S_MONITORING:
            self._current = False  # a new connection: rows may go without a notice
        else:
            if self._current:
                dirty, self._idl.dirty = self._idl.dirty, {}
            else:
                dirty, self._idl.dirty = self._view.all_uuids(), {}
            first, self._current = not self._current, True
            if dirty:
                changed = self._view.apply(dirty)
                if changed.upserted or changed.deleted:
                    self._tell(changed)
            if first:
                gc.freeze()  # what was read stays: a full collection would stop everything for a second, now and again
                LOG.info("NB database: connected to %s", self._idl.session_name())
        if self._idl.up and self._current:
            self._known = True
            if not self._up.ready():
                self._up.send()
        else:
            self._go_down()

    def _tell(self, changed: NorthboundChanged) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(changed)
        except Exception:
            LOG.exception("NB database: a change could not be processed")

    def _go_down(self) -> None:
        if self._up.ready():
            self._up = eventlet.event.Event()

    def _finish(self) -> None:
        """Wake the callers whose transactions are complete."""
        for change, event in list(self._waiting.items()):
            status = change.commit()
            if status != _Transaction.INCOMPLETE:
                del self._waiting[change]
                event.send(status)

    def _wake(self) -> None:
        """Have the database's greenthread look at the connection again."""
        with contextlib.suppress(OSError):  # woken already, or stopped
            self._wake_sender.send(b"\0")


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the garbage collector out while many objects come that stay: of the time to read 20,000 ports it takes more than half."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _check_remotes(remotes: str) -> str:
    for remote in remotes.split(","):
        check_remote(remote, "nvo3-db")
    return remotes


def _refused(error: str) -> Nvo3Error:
    """Put the database's refusal in our words.

    It comes to this where `compose` found nothing wrong: because of rows that are left out of the view, or a full disk.
    """
    try:
        content = json.loads(error)
        kind, details = str(content["error"]), str(content.get("details", ""))
    except (ValueError, KeyError, TypeError):
        kind, details = error, ""
    if kind == "referential integrity violation":
        return Conflict("it is in use by a row of the NB database that is not valid, or was changed at the same time")
    if kind != "constraint violation":
        return Unavailable(f"the NB database refuses the change: {kind}{': ' if details else ''}{details}")
    index = re.search(r'in "(\w+)" table .* for index on ([^.]*)\.', details)
    if index is None:
        return Conflict(details or kind)
    column = re.findall(r'"(\w+)"', index[2])[-1]
    return Conflict(f"taken by a {index[1].lower()} of the NB database that is not valid and not shown", column)
