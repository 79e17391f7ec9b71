"""`nvo3 bench …`: measurements, from the command line."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from nvo3.bench import arm as arms_
from nvo3.bench import report, tcp
from nvo3.lab.command import Json, user_errors
from nvo3.lab.progress import shown
from nvo3.model.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Compare the throughput of encapsulations, on a lab of its own.")

_ROUNDS_MAX = 1000
_SECONDS_MAX = 3600


@app.callback()
def bench() -> None:
    """Keep `tcp` a command of its own: there are more benchmarks to come beside it."""


@app.command("tcp")
def bench_tcp(
    arms: Annotated[str, typer.Option(metavar="ARM,...", help=f"Of: {', '.join(arms_.ARMS)}.")] = "none,vxlan,geneve,gre",
    wire: Annotated[str, typer.Option(metavar="tso|gso", help="tso: NICs with segmentation offload.  gso: NICs without.")] = "tso",
    rounds: Annotated[int, typer.Option(help="How often each arm is measured.")] = 3,
    seconds: Annotated[int, typer.Option(help="How long each time.")] = 4,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write raw data (CSV), the result (JSON) and plots there.")] = None,
) -> None:
    """One TCP flow between guests on two hypervisors, by iperf3; arms take turns within each round."""
    with user_errors("nothing stays"), _ended_by_sigterm():
        chosen = arms_.parse_arms(arms)
        if wire not in ("tso", "gso"):
            raise ConfigError("--wire", f"{wire!r} is not one of tso, gso", wire, "tso, gso")
        _check_range("--rounds", rounds, _ROUNDS_MAX)
        _check_range("--seconds", seconds, _SECONDS_MAX)
        if out:
            out.mkdir(parents=True, exist_ok=True)
        with shown() as say:
            run = tcp.run(chosen, wire, rounds, seconds, say)  # type: ignore[arg-type]
        if out:
            _write(run, out)
    if as_json:
        print(json.dumps(report.as_json(run)))
    else:
        from rich.console import Console

        Console().print(report.table(run))


def _check_range(field: str, value: int, limit: int) -> None:
    if not 1 <= value <= limit:
        raise ConfigError(field, f"{value} is not in 1..{limit}", value, limit)


def _write(run: tcp.Run, out: Path) -> None:
    stem = out / f"tcp-{run.wire}"
    report.write_csv(run, stem.with_suffix(".csv"))
    stem.with_suffix(".json").write_text(json.dumps(report.as_json(run), indent=1) + "\n")
    files = [stem.with_suffix(".csv"), stem.with_suffix(".json"), *report.write_plots(run, stem)]
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
