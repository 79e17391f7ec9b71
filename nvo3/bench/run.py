"""A run: every arm in every round, so that what changes on the machine meanwhile meets all arms alike."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from nvo3.bench import cpu, kernel, machine, overlay
from nvo3.bench.arm import Arm
from nvo3.bench.bed import CVSW, KERNEL_BRIDGE, KERNEL_VXLAN, PATCHED, STOCK, Bed, Options, alone
from nvo3.bench.benchmark import Benchmark, Case, Reading
from nvo3.bench.cpu import Cost
from nvo3.lab.errors import LabError
from nvo3.lab.progress import Say

BEDS: dict[str, Callable[[Options, Say], AbstractContextManager[Bed]]] = {
    PATCHED: overlay.patched,
    STOCK: overlay.stock,
    CVSW: overlay.vnics,
    KERNEL_BRIDGE: kernel.bridge,
    KERNEL_VXLAN: kernel.vxlan,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm, one case, one round: what came out and what it cost."""

    arm: str
    case: Case
    round: int
    reading: Reading
    cost: Cost


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.  arms: names in the order given.  conditions: what it ran on."""

    benchmark: Benchmark
    wire: str
    rounds: int
    seconds: int
    arms: tuple[str, ...]
    samples: tuple[Sample, ...]
    conditions: dict[str, str]

    def of(self, arm: str, case: Case) -> list[Sample]:
        """Return the samples of an arm in a case, by round."""
        return [sample for sample in self.samples if (sample.arm, sample.case) == (arm, case)]


def run(benchmark: Benchmark, arms: Sequence[Arm], options: Options, rounds: int, seconds: int, say: Say) -> Run:
    """Measure every arm `rounds` times in each case, `seconds` each.

    Raises LabError or ApiError; nothing stays, whatever happens.
    """
    samples: list[Sample] = []
    with ExitStack() as stack:
        stack.enter_context(alone(say))
        beds = {name: stack.enter_context(BEDS[name](options, say)) for name in dict.fromkeys(arm.bed for arm in arms)}
        conditions = machine.describe()
        for bed in beds.values():
            conditions |= bed.description
        for number in range(1, rounds + 1):
            for arm in arms:
                arm.prepare(beds[arm.bed])
                for case in benchmark.cases:
                    samples.append(_sample(benchmark, beds[arm.bed], arm.name, case, number, seconds, say, f"round {number} of {rounds}"))
    return Run(benchmark, options.wire, rounds, seconds, tuple(arm.name for arm in arms), tuple(samples), conditions)


def _sample(benchmark: Benchmark, bed: Bed, arm: str, case: Case, number: int, seconds: int, say: Say, round_: str) -> Sample:
    where = ": ".join(part for part in (round_, arm, case.label) if part)
    say(where)
    try:
        benchmark.prepare(bed, case)
        before = cpu.used(bed)
        reading = benchmark.measure(bed, case, seconds)
    except LabError as error:
        raise LabError(f"{where}: {error}") from None
    cost = cpu.used(bed).since(before)
    metric = benchmark.metrics[0]
    say(f"{where}: {reading.values[0]:.{metric.digits[1]}f} {metric.heading}")
    return Sample(arm, case, number, reading, cost)
