"""Two sessions and a channel between them that loses, delays, reorders and duplicates; time is simulated."""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nvo3.cvsw.agent import AgentSession
from nvo3.cvsw.controller import ControllerSession
from nvo3.cvsw.effect import AgentEffect, AgentEvent, Change, ControllerEffect, ControllerEvent, Received, Send, Settings, Tick
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.table import FlowTable

MAC = bytes.fromhex("020000000001")


@dataclass(frozen=True, slots=True)
class Channel:
    """loss, duplication, damage: of each frame, 0..1; damage is to some bytes behind the address.

    delay_s, jitter_s: a frame takes delay_s, and up to jitter_s more.
    """

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.001
    jitter_s: float = 0.0
    damage: float = 0.0


_GOOD = Channel()


class Simulation:
    """A controller's session and an agent's, at `now`.  effects: what they asked for beside sending, with its time."""

    def __init__(self, channel: Channel = _GOOD, *, seed: int = 1, max_entries: int = 100_000) -> None:
        self.now = 100.0
        self.channel = channel
        self.chance = random.Random(seed)
        self.effects: list[tuple[float, object]] = []
        self.sent_to_agent: list[bytes] = []
        self.sent_to_controller: list[bytes] = []
        self.settings: Settings | None = None
        self._max_entries = max_entries
        self._under_way: list[tuple[float, int, str, bytes]] = []
        self._n = 0
        self.controller = self._new_controller()
        self.agent = self._new_agent()

    def _new_controller(self) -> ControllerSession:
        return ControllerSession(MAC, random.Random(self.chance.random()))

    def _new_agent(self) -> AgentSession:
        return AgentSession(MAC, FlowTable(self._max_entries), self.chance.randrange(1, 1 << 32))

    def restart_controller(self) -> None:
        """Its session forgets everything but what is desired and to be set, which the database knows."""
        desired = tuple(self.controller.desired.values())
        self.controller = self._new_controller()
        self.tell(Change(desired))
        if self.settings:
            self.tell(self.settings)

    def restart_agent(self) -> None:
        """Session and table are new."""
        self.agent = self._new_agent()

    def tell(self, event: ControllerEvent) -> None:
        if isinstance(event, Settings):
            self.settings = event
        self._take("agent", self.controller.handle(event, self.now))

    def tell_agent(self, event: AgentEvent) -> None:
        self._take("controller", self.agent.handle(event, self.now))

    def _take(self, peer: str, effects: Sequence[ControllerEffect | AgentEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                (self.sent_to_agent if peer == "agent" else self.sent_to_controller).append(effect.frame)
                self._transmit(peer, effect.frame)
            else:
                self.effects.append((self.now, effect))

    def _transmit(self, peer: str, frame: bytes) -> None:
        for _ in range(2 if self.chance.random() < self.channel.duplication else 1):
            if self.chance.random() >= self.channel.loss:
                self._n += 1
                at = self.now + self.channel.delay_s + self.chance.random() * self.channel.jitter_s
                heapq.heappush(self._under_way, (at, self._n, peer, self._damaged(frame)))

    def _damaged(self, frame: bytes) -> bytes:
        if self.chance.random() >= self.channel.damage:
            return frame
        data = bytearray(frame)
        for _ in range(self.chance.randrange(1, 4)):
            data[self.chance.randrange(6, len(data))] = self.chance.choice((0, 1, 255, self.chance.randrange(256)))
        return bytes(data[: self.chance.choice((len(data), self.chance.randrange(len(data) + 1)))])

    def run(self, until: Callable[[], bool], limit_s: float) -> float:
        """Let time pass until something is so; return how long that took.  Raises TimeoutError."""
        begin = self.now
        while not until():
            if not self.step(begin + limit_s):
                raise TimeoutError(f"not so after {limit_s} s")
        return self.now - begin

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while self.step(end):
            pass
        self.now = end

    def step(self, end: float) -> bool:
        """Let the next thing happen if it is not after `end`."""
        due = [(at, kind) for at, kind in ((self.controller.next_deadline, 0), (self.agent.next_deadline, 1)) if at is not None]
        if self._under_way:
            due.append((self._under_way[0][0], 2))
        at, kind = min(due)
        if at > end:
            return False
        self.now = max(self.now, at)
        if kind == 0:
            self.tell(Tick())
        elif kind == 1:
            self.tell_agent(Tick())
        else:
            _, _, peer, frame = heapq.heappop(self._under_way)
            (self.tell_agent if peer == "agent" else self.tell)(Received(frame))
        return True

    def of_kind(self, kind: type) -> list[object]:
        return [effect for _, effect in self.effects if isinstance(effect, kind)]

    @property
    def table(self) -> dict[bytes, Flow]:
        return {entry.flow.key: entry.flow for entry in self.agent.table}

    @property
    def is_right(self) -> bool:
        """Return whether the agent's table is as desired, but for fields without a meaning."""
        desired = self.controller.desired
        return self.table.keys() == desired.keys() and all(flow.digest == desired[key].digest for key, flow in self.table.items())

    @property
    def is_confirmed(self) -> bool:
        return self.controller.confirmed == self.controller.version
