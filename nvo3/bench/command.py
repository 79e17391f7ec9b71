"""`nvo3 bench …`: measurements, from the command line."""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from nvo3.bench import arm as arms_
from nvo3.bench import reassembly, report, tcp, udp
from nvo3.bench.arm import Arm
from nvo3.bench.bed import STOCK, Options
from nvo3.bench.benchmark import Benchmark
from nvo3.bench.latency import LATENCY
from nvo3.bench.pps import PPS
from nvo3.bench.run import Run, run
from nvo3.lab.command import Json, user_errors
from nvo3.lab.progress import shown
from nvo3.model.errors import ConfigError
from nvo3.model.logical import NONE
from nvo3.model.physical import ENCAPSULATIONS
from nvo3.prepare import ensure_ovs, new_progress, reported

app = typer.Typer(no_args_is_help=True, help="Compare encapsulations with one another, with stock Open vSwitch and with the kernel.")

_ROUNDS_MAX = 1000
_SECONDS_MAX = 3600
_BUFFERS_MAX_MIB = 1024
_RATE_MAX_MBPS = 100_000

Arms = Annotated[str, typer.Option(metavar="ARM,...", help=f"`all`, or of: {', '.join(arms_.ARMS)}.")]
Congestion = Annotated[str, typer.Option(metavar="NAME", help="Congestion control of the sender.")]
Wire = Annotated[str, typer.Option(metavar="tso|gso", help="tso: NICs with segmentation offload.  gso: NICs without.")]
Rounds = Annotated[int, typer.Option(help="How often each arm is measured.")]
Seconds = Annotated[int, typer.Option(help="How long each time.")]
StockBuffers = Annotated[
    int, typer.Option(help="Socket buffers of stock Open vSwitch, in MiB, set on this machine while it starts.  0: the system's default.")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Write raw data (CSV), the result (JSON) and plots there.")]

ARMS_DEFAULT = ",".join((NONE, *ENCAPSULATIONS))
_BUFFERS_DEFAULT_MIB = 8


@app.callback()
def bench() -> None:
    """Arms take turns within each round, on labs of their own.  docs/benchmark.md says what the figures mean."""


def _add(benchmark: Benchmark, summary: str) -> None:
    """Add the command of a benchmark that has no options of its own."""

    @app.command(benchmark.name, help=summary)
    def command(
        arms: Arms = ARMS_DEFAULT,
        wire: Wire = "tso",
        rounds: Rounds = 3,
        seconds: Seconds = 4,
        stock_buffers_mib: StockBuffers = _BUFFERS_DEFAULT_MIB,
        as_json: Json = False,
        out: Out = None,
    ) -> None:
        _bench(lambda: benchmark, arms, wire, rounds, seconds, stock_buffers_mib, as_json, out)


_add(PPS, "Frames of 64 bytes, as many as the sender can: how many arrive, by iperf3.")
_add(LATENCY, "Round trips of small messages over TCP and over UDP: percentiles, by sockperf.  Less is better.")


@app.command("tcp")
def bench_tcp(
    arms: Arms = ARMS_DEFAULT,
    congestion: Congestion = tcp.CONGESTION_DEFAULT,
    wire: Wire = "tso",
    rounds: Rounds = 3,
    seconds: Seconds = 4,
    stock_buffers_mib: StockBuffers = _BUFFERS_DEFAULT_MIB,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """One TCP flow between guests on two hypervisors, by iperf3."""

    def wanted() -> Benchmark:
        return tcp.benchmark(tcp.parse_congestion(congestion))

    _bench(wanted, arms, wire, rounds, seconds, stock_buffers_mib, as_json, out)


@app.command("udp")
def bench_udp(
    arms: Arms = ARMS_DEFAULT,
    sizes: Annotated[str, typer.Option(metavar="BYTES,...", help="Payload of the datagrams.")] = udp.SIZES_DEFAULT,
    rate_mbps: Annotated[int, typer.Option(help="What is sent, in Mbit/s of payload.  0: as fast as the sender can.")] = 0,
    wire: Wire = "tso",
    rounds: Rounds = 3,
    seconds: Seconds = 2,
    stock_buffers_mib: StockBuffers = _BUFFERS_DEFAULT_MIB,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Datagrams of several sizes: what arrives and what is lost, by iperf3."""

    def wanted() -> Benchmark:
        _check_range("--rate-mbps", rate_mbps, 0, _RATE_MAX_MBPS)
        return udp.benchmark(udp.parse_sizes(sizes), rate_mbps)

    _bench(wanted, arms, wire, rounds, seconds, stock_buffers_mib, as_json, out)


@app.command("reassembly")
def bench_reassembly(
    congestion: Congestion = tcp.CONGESTION_DEFAULT,
    wire: Wire = "tso",
    rounds: Rounds = 3,
    seconds: Seconds = 4,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """One TCP flow over SCLP, by iperf3: segments put together on receipt (gro), at the tunnel's end (nve), in both places, and nowhere."""

    def wanted() -> Benchmark:
        return reassembly.benchmark(tcp.parse_congestion(congestion))

    _bench(wanted, arms_.SCLP, wire, rounds, seconds, _BUFFERS_DEFAULT_MIB, as_json, out)


def _bench(
    wanted: Callable[[], Benchmark],
    arms: str,
    wire: str,
    rounds: int,
    seconds: int,
    stock_buffers_mib: int,
    as_json: bool,
    out: Path | None,
) -> None:
    with user_errors("nothing stays"), _ended_by_sigterm():
        benchmark, chosen = wanted(), arms_.parse_arms(arms)
        if wire not in ("tso", "gso"):
            raise ConfigError("--wire", f"{wire!r} is not one of tso, gso", wire, "tso, gso")
        _check_range("--rounds", rounds, 1, _ROUNDS_MAX)
        _check_range("--seconds", seconds, 1, _SECONDS_MAX)
        _check_range("--stock-buffers-mib", stock_buffers_mib, 0, _BUFFERS_MAX_MIB)
        if out:
            out.mkdir(parents=True, exist_ok=True)
        options = Options(wire, _stock_prefix(chosen), stock_buffers_mib)  # type: ignore[arg-type]
        with shown() as say:
            done = run(benchmark, chosen, options, rounds, seconds, say)
        if out:
            _write(done, out)
    if as_json:
        print(json.dumps(report.as_json(done)))
    else:
        report.show(done)


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigError(field, f"{value} is not in {least}..{most}", value, most)


def _stock_prefix(arms: Sequence[Arm]) -> str:
    """Return where the Open vSwitch without the patches is, built if need be; empty if no arm needs it."""
    if all(arm.bed != STOCK for arm in arms):
        return ""
    progress = new_progress()
    with reported(progress):
        return str(ensure_ovs(progress, stock=True))


def _write(done: Run, out: Path) -> None:
    stem = out / f"{done.benchmark.name}-{done.wire}"
    report.write_csv(done, stem.with_suffix(".csv"))
    stem.with_suffix(".json").write_text(json.dumps(report.as_json(done), indent=1) + "\n")
    files = [stem.with_suffix(".csv"), stem.with_suffix(".json"), *report.write_plots(done, stem)]
    print(f"written: {', '.join(map(str, files))}", file=sys.stderr)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: the lab is taken down."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
