"""Fuzzing of what goes over CVSW: `python -m tests.unit.cvsw.fuzz.fuzz TARGET [--seconds N] [--seed N] [--findings DIRECTORY]`.

Frames are made good and then damaged.  What came of a frame (reasons, answers, states) tells whether it is worth being changed again.
A sequence that fails is written to the directory, once for each kind of failure; `--replay FILE` runs it.
"""

import argparse
import json
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.cvsw.fuzz import agent, controller
from tests.unit.cvsw.fuzz.frames import Frames

_KNOWN_MAX = 2000
_GROWTH_MAX_BYTES = 32 << 20  # of memory, after the first tenth of the time
_SETTLED = 0.1
_LINE_MAX = 500


@dataclass(frozen=True)
class _Target:
    make: Callable[[], Any]
    sequence: Callable[[Frames, list[bytes]], list[Any]]
    step: type


TARGETS = {
    "agent": _Target(agent.Agent, agent.sequence, agent.Step),
    "controller": _Target(controller.Controller, controller.sequence, controller.Step),
}


@dataclass
class Result:
    """n_frames: delivered.  n_outcomes: different ones.  findings: by what failed, with the text of its exception."""

    n_frames: int = 0
    n_outcomes: int = 0
    growth_bytes: int = 0
    findings: dict[str, str] = field(default_factory=dict)


def play(target: str, steps: list[Any], chance: random.Random) -> list[tuple[object, ...]]:
    """Run one sequence; return what came of each step.  Raises what failed."""
    with TARGETS[target].make() as played:
        outcomes = [played.play(step) for step in steps]
        played.finish(chance)
    return outcomes


def run(target: str, seconds: float, seed: int, findings: Path) -> Result:
    """Fuzz for some time."""
    chance = random.Random(seed)
    frames, known, seen, result = Frames(chance), list[bytes](), set[tuple[object, ...]](), Result()
    begin = time.monotonic()
    settled_bytes: int | None = None
    while (passed := time.monotonic() - begin) < seconds:
        if settled_bytes is None and passed > _SETTLED * seconds:
            settled_bytes = _memory_bytes()
        steps = TARGETS[target].sequence(frames, known)
        try:
            outcomes = play(target, steps, random.Random(0))
        except Exception as error:
            _note(result, error, target, steps, findings)
            continue
        result.n_frames += len(steps)
        for step, outcome in zip(steps, outcomes, strict=True):
            if outcome not in seen:
                seen.add(outcome)
                known.append(step.frame)
        if len(known) > _KNOWN_MAX:
            del known[chance.randrange(len(known))]
    result.n_outcomes = len(seen)
    result.growth_bytes = _memory_bytes() - (settled_bytes or 0)
    if result.growth_bytes > _GROWTH_MAX_BYTES:
        result.findings["memory"] = f"memory grew by {result.growth_bytes} bytes"
    return result


def _note(result: Result, error: Exception, target: str, steps: list[Any], findings: Path) -> None:
    last = traceback.extract_tb(error.__traceback__)[-1]
    name = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
    if name in result.findings:
        return
    result.findings[name] = "".join(line[:_LINE_MAX] for line in traceback.format_exception(error))
    findings.mkdir(parents=True, exist_ok=True)
    written = [asdict(step) | {"frame": step.frame.hex()} for step in steps]
    (findings / f"{target}-{name}.json").write_text(json.dumps(written, indent=1), encoding="utf-8")
    print(f"{findings / f'{target}-{name}.json'}:\n{result.findings[name]}", file=sys.stderr, flush=True)


def replay(target: str, file: Path) -> None:
    """Run a sequence that was written."""
    kind = TARGETS[target].step
    steps = [kind(**step | {"frame": bytes.fromhex(step["frame"])}) for step in json.loads(file.read_text(encoding="utf-8"))]
    play(target, steps, random.Random(0))


def _memory_bytes() -> int:
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return resident * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz both ends of CVSW.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="where sequences that fail are written")
    parser.add_argument("--replay", type=Path, help="a sequence that was written, instead of new ones")
    arguments = parser.parse_args()
    if arguments.replay:
        replay(arguments.target, arguments.replay)
        return 0
    result = run(arguments.target, arguments.seconds, arguments.seed, arguments.findings)
    grown = f"{result.n_outcomes} outcomes, {result.growth_bytes} bytes more memory"
    print(f"{arguments.target}: seed {arguments.seed}, {result.n_frames} frames, {grown}, {len(result.findings)} findings")
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main())
