"""The benchmark `pps`: the smallest frames by iperf3(1), as many as the sender can; how many arrive."""

from nvo3.bench import tool
from nvo3.bench.bed import Bed
from nvo3.bench.benchmark import Benchmark, Case, Metric, Reading, Work
from nvo3.bench.udp import LOST

# Ethernet's smallest frame, 64 bytes, is 14 of header, 46 of payload, 4 of check sequence; IPv4 and UDP take 28 of the 46.
_PAYLOAD_BYTES = 18


def _measure(bed: Bed, case: Case, seconds: int) -> Reading:
    found = tool.iperf3_udp(bed, _PAYLOAD_BYTES, seconds)
    values = (found.n_received / found.duration_s, found.n_sent / found.duration_s, found.lost_percent)
    return Reading(values, found.n_received, found.duration_s)


PPS = Benchmark(
    name="pps",
    title="Frames of 64 bytes",
    metrics=(
        Metric("pps", "received_packets_per_second", "packets/s", (0, 0)),
        Metric("sent_pps", "sent_packets_per_second", "sent/s", (0, 0)),
        LOST,
    ),
    work=Work("million_packets", 1e6, "received_packets"),
    measure=_measure,
)
