"""The benchmark `tcp`: one TCP flow by iperf3(1), as fast as it goes."""

from nvo3.bench import tool
from nvo3.bench.bed import Bed
from nvo3.bench.benchmark import BITS_PER_GBIT, GIGABYTE, Benchmark, Case, Metric, Reading
from nvo3.lab.errors import LabError


def _measure(bed: Bed, case: Case, seconds: int) -> Reading:
    end = tool.iperf3(bed, seconds)
    received, sent = end["sum_received"], end["sum_sent"]
    if not received["bytes"]:
        raise LabError("iperf3 moved no data")
    return Reading((received["bits_per_second"] / BITS_PER_GBIT, sent["retransmits"]), received["bytes"], received["seconds"])


TCP = Benchmark(
    name="tcp",
    title="TCP, one flow",
    metrics=(
        Metric("gbps", "throughput_gbps", "Gbit/s", (4, 2)),
        Metric("retransmits", "retransmits_segments", "retransmits", (0, 0)),
    ),
    work=GIGABYTE,
    measure=_measure,
)
