"""What a controller receives: its session, in a conversation with a true agent."""

import random
from dataclasses import dataclass
from typing import Self

from nvo3.cvsw.effect import Change, ReadTable, Received, Settings
from nvo3.cvsw.flow import Flow
from nvo3.wire import cvsw
from nvo3.wire.of10_action import Output
from nvo3.wire.of10_match import Match
from tests.unit.cvsw.fuzz.frames import MAC, XID, Frames, type_of
from tests.unit.cvsw.simulation import Simulation

_N_FLOWS = 20
_ANSWER_MAX = 400  # frames: a window of FLOW_MODs with barriers
_TO_AGENT = frozenset({1, 3, 4, 5, 6, 7, 9, 11})
_RIGHT_S = 300.0  # of simulated time: readings wait for up to 30 s, and refused entries as long


@dataclass(frozen=True)
class Step:
    """What happens: the conversation goes on for some events, then a frame comes that the true agent has not sent.

    echoes: the frame gets the number that the controller's last question had.  change: the controller wants something else before.
    """

    frame: bytes
    n_events: int = 0
    echoes: bool = False
    change: int | None = None


def sequence(frames: Frames, known: list[bytes]) -> list[Step]:
    """Return what happens to one controller's session."""
    chance = frames.chance
    steps = []
    for _ in range(chance.choice((5, 20, 40))):
        good = cvsw.serialize(MAC, frames.to_controller())
        old = chance.choice(known) if known and chance.random() < 0.5 else good
        frame = old if chance.random() < 0.3 else frames.damaged(old, good)
        change = chance.randrange(_N_FLOWS) if chance.random() < 0.1 else None
        steps.append(Step(frame, chance.choice((0, 0, 1, 3, 10)), chance.random() < 0.7, change))
    return steps


class Controller:
    """A controller's session that wants some flows and settings, and the checks of what it does."""

    def __init__(self) -> None:
        self._simulation = Simulation(max_entries=2 * _N_FLOWS)
        self._simulation.tell(Change(tuple(_flow(n, 0) for n in range(_N_FLOWS))))
        self._simulation.tell(Settings(1400, cvsw.Offload(3)))
        self._n_changes = 0

    def play(self, step: Step) -> tuple[object, ...]:
        """Let it happen.  Returns what came of it; raises AssertionError, or what the session raised."""
        simulation = self._simulation
        for _ in range(step.n_events):
            simulation.step(simulation.now + 6.0)
        if step.change is not None:
            self._n_changes += 1
            simulation.tell(Change((_flow(step.change, self._n_changes),)))
            simulation.tell(ReadTable())
        frame, session = step.frame, simulation.controller
        if step.echoes and simulation.sent_to_agent and len(frame) >= XID.stop:
            frame = frame[: XID.start] + simulation.sent_to_agent[-1][XID].ljust(4, b"\0") + frame[XID.stop :]
        phase, drops = session.phase, session.drops.copy()
        n_sent, n_effects = len(simulation.sent_to_agent), len(simulation.effects)
        simulation.tell(Received(frame))
        sent, effects = simulation.sent_to_agent[n_sent:], simulation.effects[n_effects:]
        assert len(sent) <= _ANSWER_MAX
        for one in sent:
            parsed = cvsw.parse_frame(one)
            assert parsed.type in _TO_AGENT and parsed.mac == MAC
            cvsw.parse(parsed, published=phase.name == "ORIGINAL")
        reasons = tuple((session.drops - drops).elements())
        assert len(reasons) <= 1 and len(session.drops) < 40
        assert session.next_deadline is not None
        assert len(session.desired) <= _N_FLOWS and len(session.present) <= 1 << 17
        kinds = tuple(sorted({type(effect).__name__ for _, effect in effects}))
        return phase, session.phase, type_of(frame), reasons, kinds

    def finish(self, chance: random.Random) -> None:
        """After all that, the session and the true agent come to agree."""
        simulation = self._simulation
        simulation.tell(Change((_flow(0, 1000),)))
        simulation.run(lambda: simulation.is_right and simulation.is_confirmed, _RIGHT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def _flow(n: int, version: int) -> Flow:
    return Flow(Match(in_port=n), 100, (Output(1),) * (version % 3), cookie=version)
