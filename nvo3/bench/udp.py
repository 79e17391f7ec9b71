"""The benchmark `udp`: datagrams of several sizes by iperf3(1); what the switches cannot take is lost."""

from collections.abc import Sequence
from functools import partial

from nvo3.bench import tool
from nvo3.bench.bed import Bed
from nvo3.bench.benchmark import BITS_PER_GBIT, GIGABYTE, Benchmark, Case, Metric, Reading
from nvo3.model.errors import ConfigError

SIZES_DEFAULT = "64,512,1372,8192,16384,32768"  # 1372: the largest that fits an MTU of 1400
_SIZE_MIN = 16  # iperf3's own header
_SIZE_MAX = 65507  # RFC 768 over IPv4


def benchmark(sizes: Sequence[int], rate_mbps: int = 0) -> Benchmark:
    """Return the benchmark for datagrams of these sizes: bytes of payload.  rate_mbps: of payload; 0: as fast as the sender can."""
    return Benchmark(
        name="udp",
        title=f"UDP sent at {rate_mbps} Mbit/s" if rate_mbps else "UDP as fast as the sender can",
        metrics=(Metric("gbps", "received_gbps", "Gbit/s", (4, 3)), LOST),
        work=GIGABYTE,
        measure=partial(_measure, rate_mbps),
        cases=tuple(Case(f"{size} B", {"size_bytes": size}) for size in sizes),
    )


LOST = Metric("lost_percent", "lost_percent", "lost %", (3, 1))


def parse_sizes(text: str) -> list[int]:
    """Return the sizes of a comma-separated list, in its order.  Raises ConfigError."""
    limit = f"{_SIZE_MIN}..{_SIZE_MAX}"
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not (word.isdecimal() and _SIZE_MIN <= int(word) <= _SIZE_MAX):
            raise ConfigError("--sizes", f"{word} is not in {limit}", word, limit)
    if not words or len(set(words)) < len(words):
        raise ConfigError("--sizes", f"{text!r}: at least one size, each once", text)
    return [int(word) for word in words]


def _measure(rate_mbps: int, bed: Bed, case: Case, seconds: int) -> Reading:
    size = int(case.fields["size_bytes"])
    found = tool.iperf3_udp(bed, size, seconds, rate_mbps)
    moved_bytes = found.n_received * size
    return Reading((8 * moved_bytes / BITS_PER_GBIT / found.duration_s, found.lost_percent), moved_bytes, found.duration_s)
