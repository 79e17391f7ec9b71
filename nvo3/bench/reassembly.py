"""The benchmark `reassembly`: TCP over SCLP with each of its two levels of reassembly, with both, and with nothing to put together."""

from dataclasses import replace

from nvo3.bench import tcp
from nvo3.bench.arm import SCLP
from nvo3.bench.bed import Bed
from nvo3.bench.benchmark import Benchmark, Case

# Options of both tunnel ports.  Without the offload state a guest's frame is cut before it is encapsulated: each is one segment.
_OPTIONS = {
    "none": {"offload": "false", "reassembly": "both"},
    "gro": {"offload": "true", "reassembly": "gro"},
    "nve": {"offload": "true", "reassembly": "nve"},
    "both": {"offload": "true", "reassembly": "both"},
}


def benchmark(congestion: str = tcp.CONGESTION_DEFAULT) -> Benchmark:
    """Return the benchmark for a congestion control."""
    return replace(
        tcp.benchmark(congestion),
        name="reassembly",
        title=f"TCP ({congestion}) over SCLP by levels of reassembly, one flow",
        cases=tuple(Case(label, {"congestion": congestion, "reassembly": label}) for label in _OPTIONS),
        prepare=_prepare,
        compares_cases=True,
    )


def _prepare(bed: Bed, case: Case) -> None:
    bed.set_tunnel_options(SCLP, _OPTIONS[case.label])
