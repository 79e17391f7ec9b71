"""Arms: the paths that a benchmark compares.  A further one is a further row.

An arm is a name, the bed that it runs on, and what makes the bed that arm.  Arms that share a bed run on the same
guests and the same switches, and differ in `prepare` only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nvo3.bench.bed import OverlayBed
from nvo3.model.errors import ConfigError
from nvo3.model.logical import NONE
from nvo3.model.physical import ENCAPSULATIONS


@dataclass(frozen=True, slots=True)
class Arm:
    """name: as `--arms` has it.

    summary: for people.  bed: a key of `bed.BEDS`.  prepare: called before each of its samples.
    """

    name: str
    summary: str
    bed: str
    prepare: Callable[[OverlayBed], None]


def _encapsulation(name: str, summary: str) -> Arm:
    return Arm(name, summary, "overlay", partial(_set_encapsulation, name))


def _set_encapsulation(name: str, bed: OverlayBed) -> None:
    bed.set_encapsulation(name)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        _encapsulation(NONE, "flat: the same switches and flows, no tunnel"),
        *(_encapsulation(name, f"overlay over {name}") for name in ENCAPSULATIONS),
    )
}


def parse_arms(text: str) -> list[Arm]:
    """Return the arms of a comma-separated list, in its order.  Raises ConfigError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError("--arms", f"no arm given; there are {', '.join(ARMS)}", text)
    for index, name in enumerate(names):
        if name not in ARMS:
            raise ConfigError("--arms", f"{name!r} is not one of {', '.join(ARMS)}", name, ", ".join(ARMS))
        if name in names[:index]:
            raise ConfigError("--arms", f"{name!r} is given twice", name)
    return [ARMS[name] for name in names]


def reference(arms: Sequence[str]) -> str:
    """Return what the others are compared with: `none`, or the first where it is absent."""
    return NONE if NONE in arms else arms[0]
