"""A run: every arm in every round, so that what changes on the machine meanwhile meets all arms alike."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from nvo3.bench import machine, measure
from nvo3.bench.arm import Arm
from nvo3.bench.bed import BEDS, OverlayBed
from nvo3.bench.measure import Sample
from nvo3.lab.progress import Say
from nvo3.lab.topology import Wire


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.  arms: names in the order given.  conditions: what it ran on."""

    wire: Wire
    rounds: int
    seconds: int
    arms: tuple[str, ...]
    samples: tuple[Sample, ...]
    conditions: dict[str, str]

    def of(self, arm: str) -> list[Sample]:
        """Return the samples of an arm, by round."""
        return [sample for sample in self.samples if sample.arm == arm]


def run(arms: Sequence[Arm], wire: Wire, rounds: int, seconds: int, say: Say) -> Run:
    """Measure every arm `rounds` times, `seconds` each.

    Raises LabError or ApiError; no lab stays, whatever happens.
    """
    samples: list[Sample] = []
    with ExitStack() as stack:
        beds = {name: stack.enter_context(BEDS[name](wire, say)) for name in dict.fromkeys(arm.bed for arm in arms)}
        conditions = machine.describe() | {key: value for bed in beds.values() for key, value in bed.description.items()}
        for number in range(1, rounds + 1):
            for arm in arms:
                samples.append(_sample(beds[arm.bed], arm, number, seconds, say, f"round {number} of {rounds}"))
    return Run(wire, rounds, seconds, tuple(arm.name for arm in arms), tuple(samples), conditions)


def _sample(bed: OverlayBed, arm: Arm, number: int, seconds: int, say: Say, where: str) -> Sample:
    say(f"{where}: {arm.name}")
    arm.prepare(bed)
    sample = measure.tcp(bed, arm.name, number, seconds)
    say(f"{where}: {arm.name}: {sample.gbps:.2f} Gbit/s")
    return sample
