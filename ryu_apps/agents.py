"""Agents of vNICs: a CVSW session for each, over PACKET_IN and PACKET_OUT of the switch that its port is plugged into.

The core says which vNICs there are and what rules they should have (`nvo3.vnics`); it hears which agents are there, and up to which change
each has its rules.  A frame belongs to the vNIC whose port it came in by, whatever it says of itself.
"""

import heapq
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import eventlet

from nvo3.cvsw import effect as cvsw_effect
from nvo3.cvsw.controller import ControllerSession, Phase, farewell
from nvo3.cvsw.effect import Change, ControllerEffect, ControllerEvent, ReadTable, Received, Settings, Tick
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.rules import encapsulations, flows_of
from nvo3.cvsw.text import actions_text, match_text
from nvo3.model.event import VnicReported
from nvo3.model.ids import Dpid, mac_to_int
from nvo3.model.status import AgentEntry, AgentState, AgentStatus
from nvo3.pipeline.vnic import Decapsulate, VnicRule
from nvo3.vnics import ChangeRules, Place, StartVnic, StopVnic, VnicEffect
from nvo3.wire.cvsw import CAPABILITIES, OFFLOADS, Capability
from nvo3.wire.of10 import NS, FlowStats

LOG = logging.getLogger("nvo3")

_IDLE_S = 1.0
_NEVER = float("inf")
_MAC_LEN = 6
_FAREWELLS = 3
_FAREWELL_GAP_S = 0.05
_STATES: dict[Phase, AgentState] = {
    Phase.GREETING: "absent",
    Phase.SYNCING: "connecting",
    Phase.READING: "connecting",
    Phase.LIVE: "connected",
    Phase.ORIGINAL: "connected",
}


@dataclass(slots=True)
class _Agent:
    """One vNIC's.

    flows: of each rule.  epochs: which of the core's changes each version of the session holds, from the first that no confirmation has
    covered; settled: the one before.  epoch: the change up to which the agent has its rules now, -1 from its loss to its next confirmation.
    """

    place: Place
    mac: bytes
    session: ControllerSession
    name: str
    capabilities: Capability = CAPABILITIES
    present: bool = False
    rules: dict[Any, VnicRule] = field(default_factory=dict)
    flows: dict[Any, tuple[Flow, ...]] = field(default_factory=dict)
    epochs: deque[tuple[int, int]] = field(default_factory=deque)
    settled: int = -1
    epoch: int = -1
    refused: dict[bytes, str] = field(default_factory=dict)
    due: float = _NEVER
    readers: list[eventlet.event.Event] = field(default_factory=list)


class Agents:
    """send: a frame out of a port of a switch.  report: to the core.  name: of a port, for the log.

    is_plain: tells whether a port of a switch is a guest's that is to have no agent.
    """

    def __init__(
        self,
        send: Callable[[Dpid, int, bytes], None],
        report: Callable[[VnicReported], None],
        name: Callable[[UUID], str],
        is_plain: Callable[[Dpid, int], bool],
    ) -> None:
        self._send = send
        self._report = report
        self._name = name
        self._is_plain = is_plain
        self._agents: dict[UUID, _Agent] = {}
        self._by_place: dict[tuple[Dpid, int], UUID] = {}
        self._dismissed: set[tuple[Dpid, int]] = set()  # those that are being told
        self._queue: list[tuple[float, int, UUID]] = []
        self._n_queued = 0
        self._awake = eventlet.event.Event()
        self._thread = eventlet.spawn(self._run)

    def close(self) -> None:
        """Say nothing any more; agents keep what they have."""
        self._thread.kill()

    # What the core wants.

    def carry_out(self, effect: VnicEffect) -> None:
        """Carry out an effect of the core."""
        match effect:
            case StartVnic(port, place):
                self._start(port, place)
            case StopVnic(port):
                if (agent := self._forget(port)) is not None:
                    self._dismiss(agent.place.dpid, agent.place.ofport, agent.mac)
            case ChangeRules(port, adds, deletes, epoch):
                if (agent := self._agents.get(port)) is not None:
                    self._change(port, agent, adds, deletes, epoch)

    def _start(self, port: UUID, place: Place) -> None:
        self._forget(port)
        mac = mac_to_int(place.mac).to_bytes(6, "big")
        agent = self._agents[port] = _Agent(place, mac, ControllerSession(mac, random.SystemRandom()), self._name(port))
        self._by_place[place.dpid, place.ofport] = port
        self._handle(port, agent, Settings(place.underlay_mtu, OFFLOADS))

    def _dismiss(self, dpid: Dpid, ofport: int, mac: bytes) -> None:
        """Have an agent lose its table, which nobody would take packets by any more."""
        if (dpid, ofport) not in self._dismissed:
            self._dismissed.add((dpid, ofport))
            self._say_farewell(dpid, ofport, mac, _FAREWELLS)

    def _say_farewell(self, dpid: Dpid, ofport: int, mac: bytes, n_times: int) -> None:
        """Say it some times; unless the vNIC there is ours again."""
        if (dpid, ofport) in self._by_place or not n_times:
            self._dismissed.discard((dpid, ofport))
            return
        for frame in farewell(mac):
            self._send(dpid, ofport, frame)
        eventlet.spawn_after(_FAREWELL_GAP_S, self._say_farewell, dpid, ofport, mac, n_times - 1)

    def _forget(self, port: UUID) -> _Agent | None:
        agent = self._agents.pop(port, None)
        if agent is None:
            return None
        place = agent.place
        if self._by_place.get((place.dpid, place.ofport)) == port:
            del self._by_place[place.dpid, place.ofport]
        _answer(agent, None)
        return agent

    def _change(self, port: UUID, agent: _Agent, adds: Iterable[VnicRule], deletes: Iterable[Any], epoch: int) -> None:
        put, delete = dict[bytes, Flow](), set[bytes]()
        for key in deletes:
            agent.rules.pop(key, None)
            delete |= {flow.key for flow in agent.flows.pop(key, ())}
        for rule in adds:
            agent.rules[rule.key] = rule
            delete |= {flow.key for flow in agent.flows.get(rule.key, ())}
            agent.flows[rule.key] = flows = flows_of(rule, agent.capabilities)
            put.update((flow.key, flow) for flow in flows)
        for key in delete:
            agent.refused.pop(key, None)
        agent.epochs.append((agent.session.version + 1, epoch))
        self._handle(port, agent, Change(tuple(put.values()), tuple(delete - put.keys())))

    # What agents say, and time.

    def receive(self, dpid: Dpid, ofport: int, frame: bytes) -> None:
        """Take a control frame that came in by a port.  An agent that nobody wants any more, and that was not told, is told now."""
        port = self._by_place.get((dpid, ofport))
        if port is not None:
            self._handle(port, self._agents[port], Received(frame))
        elif self._is_plain(dpid, ofport):
            self._dismiss(dpid, ofport, frame[:_MAC_LEN])

    def _run(self) -> None:
        while True:
            eventlet.sleep(0)  # what has come is read first, or a busy controller takes for lost what waits for it
            now = _now()
            while self._queue and self._queue[0][0] <= now:
                due, _, port = heapq.heappop(self._queue)
                agent = self._agents.get(port)
                if agent is not None and agent.due == due:
                    agent.due = _NEVER
                    self._handle(port, agent, Tick())
            wait_s = min(max(self._queue[0][0] - now, 0), _IDLE_S) if self._queue else _IDLE_S
            with eventlet.Timeout(wait_s, False):
                self._awake.wait()
            self._awake = eventlet.event.Event() if self._awake.ready() else self._awake

    def _handle(self, port: UUID, agent: _Agent, event: ControllerEvent) -> None:
        now = _now()
        for effect in agent.session.handle(event, now):
            if self._agents.get(port) is not agent:
                return  # the core took it away because of an effect before this one
            self._carry_out(port, agent, effect)
        due = agent.session.next_deadline
        if due is not None and due != agent.due:
            agent.due = max(due, now)
            self._n_queued += 1
            heapq.heappush(self._queue, (agent.due, self._n_queued, port))
            if self._queue[0][2] == port and not self._awake.ready():
                self._awake.send()

    def _carry_out(self, port: UUID, agent: _Agent, effect: ControllerEffect) -> None:
        match effect:
            case cvsw_effect.Send(frame):
                self._send(agent.place.dpid, agent.place.ofport, frame)
            case cvsw_effect.Registered(capabilities):
                self._registered(port, agent, capabilities)
            case cvsw_effect.Lost():
                LOG.warning("agent of port %s: does not answer any more", agent.name)
                agent.present, agent.epoch = False, -1
                _answer(agent, None)
                agent.refused.clear()
                self._tell(port, agent)
            case cvsw_effect.Confirmed(version):
                while agent.epochs and agent.epochs[0][0] <= version:
                    agent.settled = agent.epochs.popleft()[1]
                agent.epoch = agent.settled
                self._tell(port, agent)
            case cvsw_effect.Refused(what, code):
                self._refused(port, agent, what, code)
            case cvsw_effect.Accepted(what):
                if agent.refused.pop(_refusal_key(what), None) is not None:
                    LOG.info("agent of port %s: takes %s after all", agent.name, what)
                    self._tell(port, agent)
            case cvsw_effect.TableRead(entries):
                _answer(agent, entries)

    def _registered(self, port: UUID, agent: _Agent, capabilities: Capability) -> None:
        kind = "registered" if capabilities else "registered, an original driver"
        LOG.info("agent of port %s: %s", agent.name, kind)
        agent.present = True
        if capabilities != agent.capabilities:
            agent.capabilities = capabilities
            self._change(port, agent, tuple(agent.rules.values()), (), agent.epochs[-1][1] if agent.epochs else agent.settled)
        self._tell(port, agent)

    def _refused(self, port: UUID, agent: _Agent, what: Any, code: Any) -> None:
        reason = code.name if code is not None else "unknown"
        key = _refusal_key(what)
        if agent.refused.get(key) != reason:
            agent.refused[key] = reason
            LOG.warning("agent of port %s: refuses %s: %s", agent.name, what, reason)
            self._tell(port, agent)

    def _tell(self, port: UUID, agent: _Agent) -> None:
        """Tell the core; one that refuses to take frames from somebody counts as one that takes none."""
        if not agent.present:
            self._report(VnicReported(port, None))
            return
        takes = (flow.key for key, rule in agent.rules.items() if isinstance(rule, Decapsulate) for flow in agent.flows[key])
        is_good = not agent.refused or agent.refused.keys().isdisjoint(takes)
        self._report(VnicReported(port, encapsulations(agent.capabilities), agent.epoch if is_good else -1))

    # What the API asks.

    def status(self, port: UUID) -> AgentStatus | None:
        """Return how an agent is, None for a port whose vNIC does not encapsulate now."""
        agent = self._agents.get(port)
        if agent is None:
            return None
        session = agent.session
        return AgentStatus(
            state=_STATES[session.phase],
            capabilities=tuple(str(c.name).lower() for c in agent.capabilities) if agent.present else (),
            encapsulations=tuple(sorted(encapsulations(agent.capabilities))) if agent.present else (),
            n_desired=len(session.desired),
            n_present=len(session.present),
            realized=session.confirmed == session.version,
            underlay_mtu=agent.place.underlay_mtu,
            refused=tuple(sorted(set(agent.refused.values()))),
            dropped=dict(sorted(session.drops.items())),
        )

    def states(self) -> Counter[str]:
        """Count the agents by state."""
        return Counter[str](_STATES[agent.session.phase] for agent in self._agents.values())

    def table(self, port: UUID, timeout_s: float) -> tuple[AgentEntry, ...] | None:
        """Ask an agent for its table, and compare with what it should be; None if there is none, or it does not answer in time."""
        agent = self._agents.get(port)
        if agent is None or agent.session.phase is not Phase.LIVE:
            return None
        reader = eventlet.event.Event()
        agent.readers.append(reader)
        self._handle(port, agent, ReadTable())
        entries: tuple[FlowStats, ...] | None = None
        with eventlet.Timeout(timeout_s, False):
            entries = reader.wait()
        if reader in agent.readers:
            agent.readers.remove(reader)
        return None if entries is None else _compare(agent.session.desired, entries)


def _refusal_key(what: Any) -> bytes:
    return what.key if isinstance(what, Flow) else type(what).__name__.encode()


def _answer(agent: _Agent, entries: tuple[FlowStats, ...] | None) -> None:
    """Tell those who wait for an agent's table."""
    readers, agent.readers = agent.readers, []
    for reader in readers:
        reader.send(entries)


def _compare(desired: Mapping[bytes, Flow], entries: Iterable[FlowStats]) -> tuple[AgentEntry, ...]:
    missing, shown = dict(desired), []
    for entry in entries:
        flow = Flow.from_message(entry)
        wanted = desired.get(flow.key) == flow
        if wanted:
            missing.pop(flow.key, None)
        texts = (entry.priority, match_text(entry.match), actions_text(entry.actions))
        age_s = entry.duration_ns / NS
        shown.append(AgentEntry("present" if wanted else "foreign", *texts, entry.n_packets, entry.n_bytes, age_s))
    shown += [AgentEntry("missing", f.priority, match_text(f.match), actions_text(f.actions)) for f in missing.values()]
    return tuple(sorted(shown, key=lambda e: (e.match, e.state)))


def _now() -> float:
    return float(eventlet.hubs.get_hub().clock())
