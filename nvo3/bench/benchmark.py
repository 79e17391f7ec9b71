"""What is measured: a benchmark is a row, like an arm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nvo3.bench.bed import Bed


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a sample gives.

    key: in the JSON object.  column: in the raw data, with its unit.  heading: in the table.  digits: behind the point,
    in the JSON object and in the table.
    """

    key: str
    column: str
    heading: str
    digits: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Work:
    """What CPU time is counted by: the amount that a sample moved.

    unit: in keys, as in cpu_seconds_per_<unit>.  size: of the unit.  column: of the amount in the raw data.
    """

    unit: str
    size: float
    column: str


BITS_PER_GBIT = 1e9
GIGABYTE = Work("gb", 1e9, "moved_bytes")


@dataclass(frozen=True, slots=True)
class Case:
    """What is varied beside the arm.  label: for people, empty where nothing is.  fields: in the JSON object and the raw data."""

    label: str = ""
    fields: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one sample gives.  values: of the metrics, in their order.  work: the amount moved."""

    values: tuple[float, ...]
    work: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """name: of the command and the files.  metrics: the first is what arms are compared by.  measure: takes one sample,
    from CLIENT to SERVER, for some seconds; raises LabError if it fails.  prepare: makes the bed the case's, before a sample; raises
    LabError.  compares_cases: cases are compared with the first, too.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    work: Work
    measure: Callable[[Bed, Case, int], Reading]
    cases: tuple[Case, ...] = (Case(),)
    prepare: Callable[[Bed, Case], None] = lambda bed, case: None
    compares_cases: bool = False
