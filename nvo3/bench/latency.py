"""The benchmark `latency`: a small message there and back, one at a time, by sockperf(1), over TCP and over UDP."""

import re

from nvo3.bench import tool
from nvo3.bench.bed import Bed
from nvo3.bench.benchmark import Benchmark, Case, Metric, Reading, Work
from nvo3.lab.errors import LabError

_PERCENTILES = (50, 90, 99)
_OPTIONS = {"tcp": ("--tcp",), "udp": ()}


def _measure(bed: Bed, case: Case, seconds: int) -> Reading:
    return parse(tool.sockperf(bed, seconds, *_OPTIONS[str(case.fields["protocol"])]))


def parse(report: str) -> Reading:
    """Return what sockperf's report says.  Raises LabError if it has no result."""
    total = re.search(r"\[Total Run\] RunTime=([\d.]+) sec;.* ReceivedMessages=(\d+)", report)
    found = [re.search(rf"percentile {percentile}\.000 = +([\d.]+)", report) for percentile in _PERCENTILES]
    values = tuple(float(match[1]) for match in found if match)
    if not total or len(values) < len(_PERCENTILES):
        errors = [line for line in report.splitlines() if "ERROR" in line] or report.splitlines()
        raise LabError(f"sockperf: {errors[-1].strip() if errors else 'no result'}")
    return Reading(values, int(total[2]), float(total[1]))


LATENCY = Benchmark(
    name="latency",
    title="Round trips of 14 bytes",  # sockperf's least
    metrics=tuple(Metric(f"p{number}_us", f"round_trip_p{number}_us", f"p{number} µs", (1, 1)) for number in _PERCENTILES),
    work=Work("million_round_trips", 1e6, "round_trips"),
    measure=_measure,
    cases=tuple(Case(protocol, {"protocol": protocol}) for protocol in _OPTIONS),
)
