"""The agent at work: the fast path in a thread of its own, and a loop that carries the session's events and effects."""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvo3.agent.datapath import FastDatapath
from nvo3.agent.errors import AgentError
from nvo3.agent.fastpath import FastPath
from nvo3.agent.offload import names
from nvo3.agent.record import locked
from nvo3.agent.rtnetlink import LinkEvents
from nvo3.agent.vnic import Vnic
from nvo3.cvsw.agent import FRAME_MAX, AgentSession
from nvo3.cvsw.effect import AgentEffect, AgentEvent, DeviceRefused, Received, Send, SetMtu, SetOffload, StateChanged, Tick
from nvo3.cvsw.table import FlowTable
from nvo3.cvsw.text import action_text, match_fields
from nvo3.wire.cvsw import NOT_SET, ChangeMtu, ChangeOffload, Offload

_BATCH = 64  # control frames before other events have their turn
_ETHERNET = 14
_LEAVING_S = 0.2  # for the controller to lead tunnels elsewhere: in a lab that takes some 10 ms
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """vnic, tap: names of devices.  max_entries: room in the flow table.  run_dir: for record, lock and socket."""

    vnic: str
    tap: str
    max_entries: int
    run_dir: Path

    @property
    def socket(self) -> Path:
        """Return where `show` asks."""
        return self.run_dir / f"{self.vnic}.sock"


def run(options: Options) -> None:
    """Take the vNIC over until a signal ends it, and give it back.  Raises AgentError."""
    with ExitStack() as stack:
        stack.enter_context(locked(options.run_dir / f"{options.vnic}.lock"))
        options.socket.unlink(missing_ok=True)
        vnic = stack.enter_context(Vnic(options.vnic, options.tap, options.run_dir / f"{options.vnic}.json"))
        try:
            path = stack.enter_context(FastPath(vnic.socket.fileno(), vnic.tap, options.max_entries))
        except OSError as error:
            raise AgentError(f"the fast path cannot be made: {error.strerror}: give fewer --max-entries") from None
        # A second signal shall not disturb the giving back.
        stack.callback(lambda: [signal.signal(number, signal.SIG_IGN) for number in _ENDING])
        asyncio.run(_Agent(options, vnic, path).run())


class _Agent:
    """A session, with its vNIC and its fast path."""

    def __init__(self, options: Options, vnic: Vnic, path: FastPath) -> None:
        self._options = options
        self._vnic = vnic
        self._path = path
        self._datapath = FastDatapath(path, vnic.link.mac, vnic.link.mtu)
        table = FlowTable(options.max_entries, self._datapath)
        self._session = AgentSession(vnic.link.mac, table, secrets.randbelow((1 << 32) - 1) + 1)
        self._mtu: int | None = None
        self._note_mtu(vnic.link.mtu)
        self._started = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._n_send_failures = 0
        self._had_drops = 0
        self._underlay_told: object = None

    async def run(self) -> None:
        """Serve until a signal comes or a device is gone.  Raises AgentError for the latter."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[None] = loop.create_future()
        for number in _ENDING:
            loop.add_signal_handler(number, self._end, end, None)
        # Signals that come from here on end it in order, and the guest has its addresses again.
        self._vnic.take_over()
        with self._forwarding(loop, end), LinkEvents() as events:
            loop.add_reader(self._path.control_fd(), self._receive)
            loop.add_reader(events, self._look_at_vnic, events, end)
            server = await self._serve()
            try:
                log.info("%s is taken over, its addresses are on %s", self._vnic.name, self._vnic.tap_name)
                self._handle(Tick())
                await end
                await self._leave(loop)
            finally:
                server.close()
                loop.remove_reader(self._path.control_fd())
                loop.remove_reader(events)
                self._options.socket.unlink(missing_ok=True)
                if self._timer:
                    self._timer.cancel()
        log.info("giving %s back", self._vnic.name)

    async def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what the guest has to say as it is from now on, and take from tunnels until nobody uses them any more."""
        loop.remove_reader(self._path.control_fd())
        if self._timer:
            self._timer.cancel()
        effects = self._session.leave()
        for effect in effects:
            self._carry_out(effect)
        self._datapath.stop_encapsulating(self._session.table)
        if effects:
            await asyncio.sleep(_LEAVING_S)

    @contextlib.contextmanager
    def _forwarding(self, loop: asyncio.AbstractEventLoop, end: "asyncio.Future[None]") -> Iterator[None]:
        """Run the fast path in a thread; what ends it before its time ends the agent."""

        def forward() -> None:
            try:
                self._path.run()
            except OSError as error:
                gone = AgentError(f"{self._vnic.tap_name} is gone: {error.strerror}")
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._end, end, gone)

        thread = threading.Thread(target=forward, name="fastpath")
        thread.start()
        try:
            yield
        finally:
            self._path.stop()
            thread.join()

    @staticmethod
    def _end(end: "asyncio.Future[None]", error: AgentError | None) -> None:
        if end.done():
            return
        if error:
            end.set_exception(error)
        else:
            end.set_result(None)

    def _look_at_vnic(self, events: LinkEvents, end: "asyncio.Future[None]") -> None:
        """Take note of what others do to the vNIC: a packet socket is silent when its device is gone."""
        events.drain()
        try:
            self._note_mtu(self._vnic.mtu)
        except OSError as error:
            self._end(end, AgentError(f"{self._vnic.name} is gone: {error.strerror}"))

    # Events and effects

    def _receive(self) -> None:
        for _ in range(_BATCH):
            frame = self._path.receive_control()
            if frame is None:
                return
            self._handle(Received(frame))

    def _handle(self, event: AgentEvent) -> None:
        pending: list[AgentEvent] = [event]
        try:
            while pending:
                effects = self._session.handle(pending.pop(), time.monotonic())
                pending += [refused for effect in effects if (refused := self._carry_out(effect))]
        finally:
            self._report()
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        deadline = self._session.next_deadline
        loop = asyncio.get_running_loop()
        # Both clocks are the monotonic one.
        self._timer = None if deadline is None else loop.call_at(max(deadline, loop.time()), self._handle, Tick())

    def _carry_out(self, effect: AgentEffect) -> DeviceRefused | None:
        match effect:
            case Send(frame):
                self._send(frame)
            case SetMtu(mtu):
                return self._set_mtu(mtu)
            case SetOffload(offload):
                return self._set_offload(offload)
            case StateChanged(state):
                log.info("%s", state.name.lower())
        return None

    def _send(self, frame: bytes) -> None:
        try:
            self._path.send(frame)
        except OSError as error:
            # The channel may lose frames anyway; the link may be down for long.
            self._n_send_failures += 1
            log.debug("a control frame could not be sent: %s", error.strerror)

    def _set_mtu(self, mtu: int) -> DeviceRefused | None:
        try:
            if self._vnic.mtu != mtu:
                self._vnic.set_mtu(mtu)
                log.info("the MTU of %s is %d", self._vnic.name, mtu)
        except OSError as error:
            log.warning("%s refuses an MTU of %d: %s", self._vnic.name, mtu, error.strerror)
            return DeviceRefused(ChangeMtu(mtu))
        self._note_mtu(mtu)
        return None

    def _note_mtu(self, mtu: int) -> None:
        if mtu != self._mtu:
            self._mtu = mtu
            self._datapath.set_mtu(mtu)
            self._session.frame_max = min(FRAME_MAX, _ETHERNET + mtu)

    def _set_offload(self, offload: Offload) -> DeviceRefused | None:
        try:
            had = self._vnic.offload
            if had != offload:
                self._vnic.set_offload(offload)
            if (has := self._vnic.offload) != had:
                log.info("the offloads of %s are %s", self._vnic.name, names(has))
        except (OSError, AgentError) as error:
            log.warning("%s refuses the offloads %s: %s", self._vnic.name, names(offload), getattr(error, "strerror", error))
            return DeviceRefused(ChangeOffload(offload))
        return None

    def _report(self) -> None:
        """Log what has changed but is no effect."""
        underlay = self._datapath.underlay
        if underlay != self._underlay_told:
            self._underlay_told = underlay
            log.info("tunnels to %s end at %s", self._vnic.name, f"{underlay[0]}, {underlay[1].hex(':')}" if underlay else "nowhere")
        drops = self._session.drops.total()
        if drops != self._had_drops and log.isEnabledFor(logging.DEBUG):
            log.debug("control frames that were not carried out: %s", dict(self._session.drops))
        self._had_drops = drops

    # Show

    async def _serve(self) -> asyncio.Server:
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._answer, self._options.socket)
        finally:
            os.umask(mask)

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(json.dumps(self._shown()).encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def _shown(self) -> dict[str, Any]:
        session, vnic, underlay = self._session, self._vnic, self._datapath.underlay
        now = time.monotonic()
        with contextlib.suppress(OSError, AgentError):
            return {
                "vnic": vnic.name,
                "tap": vnic.tap_name,
                "mac": vnic.link.mac.hex(":"),
                "pid": os.getpid(),
                "uptime_s": round(now - self._started, 3),
                "state": session.state.name.lower(),
                "mtu": vnic.mtu,
                "mtu_asked_for": None if session.mtu == NOT_SET else session.mtu,
                "offloads": [bit.name.lower() for bit in vnic.offload if bit.name],
                "underlay": {"address": str(underlay[0]), "mac": underlay[1].hex(":")} if underlay else None,
                "max_entries": session.table.max_entries,
                "entries": self._entries(now),
                "counters": self._path.counters(),
                "control": dict(session.drops) | {"send_failures": self._n_send_failures},
            }
        return {"vnic": vnic.name, "error": "the device is gone"}

    def _entries(self, now: float) -> list[dict[str, Any]]:
        shown = []
        for entry in sorted(self._session.table, key=lambda entry: -entry.rank):
            flow, counters = entry.flow, self._datapath.counters(entry)
            shown.append(
                {
                    "priority": flow.priority,
                    "match": match_fields(flow.match),
                    "actions": [action_text(action) for action in flow.actions],
                    "cookie": flow.cookie,
                    "idle_timeout": flow.idle_timeout,
                    "hard_timeout": flow.hard_timeout,
                    "age_s": round(now - entry.created, 3),
                    "idle_s": None if counters.used is None else round(max(now - counters.used, 0), 3),
                    "packets": counters.n_packets,
                    "bytes": counters.n_bytes,
                }
            )
        return shown
