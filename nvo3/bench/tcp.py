"""The benchmark `tcp`: one TCP flow by iperf3(1), as fast as it goes."""

from pathlib import Path

from nvo3.bench import tool
from nvo3.bench.bed import Bed
from nvo3.bench.benchmark import BITS_PER_GBIT, GIGABYTE, Benchmark, Case, Metric, Reading
from nvo3.lab.errors import LabError
from nvo3.model.errors import ConfigError

# Linux's default.  The machine's may be one that paces what it sends by a model of the path, such as BBR: between two
# guests on one machine, where that model does not hold, it is then the model that is measured.
CONGESTION_DEFAULT = "cubic"

_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def benchmark(congestion: str = CONGESTION_DEFAULT) -> Benchmark:
    """Return the benchmark for a congestion control."""
    return Benchmark(
        name="tcp",
        title=f"TCP ({congestion}), one flow",
        metrics=(
            Metric("gbps", "throughput_gbps", "Gbit/s", (4, 2)),
            Metric("retransmits", "retransmits_segments", "retransmits", (0, 0)),
        ),
        work=GIGABYTE,
        measure=_measure,
        cases=(Case(fields={"congestion": congestion}),),
    )


def parse_congestion(text: str) -> str:
    """Return the name of a congestion control that this machine has.  Raises ConfigError."""
    available = _AVAILABLE.read_text().split()
    if text not in available:
        raise ConfigError("--congestion", f"{text!r} is not one of {', '.join(available)}", text, ", ".join(available))
    return text


def _measure(bed: Bed, case: Case, seconds: int) -> Reading:
    end = tool.iperf3(bed, seconds, "--congestion", str(case.fields["congestion"]))
    received, sent = end["sum_received"], end["sum_sent"]
    if not received["bytes"]:
        raise LabError("iperf3 moved no data")
    return Reading((received["bits_per_second"] / BITS_PER_GBIT, sent["retransmits"]), received["bytes"], received["seconds"])
