"""What comes out of a run: JSON, a table, raw data, a plot."""

import csv
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from nvo3.bench.arm import reference
from nvo3.bench.tcp import Run

# Units stand in the names of the columns.
_COLUMNS = (
    "wire",
    "round",
    "arm",
    "throughput_gbps",
    "retransmits_segments",
    "moved_bytes",
    "vswitchd_cpu_seconds",
    "duration_s",
)


def _median_gbps(run: Run, arm: str) -> float:
    return median(sample.gbps for sample in run.of(arm))


def ratios(run: Run) -> dict[str, float]:
    """Return the median throughput of each other arm over that of the reference, as {"vxlan/none": 0.2}."""
    base = reference(run.arms)
    below = _median_gbps(run, base)
    return {f"{arm}/{base}": round(_median_gbps(run, arm) / below, 4) for arm in run.arms if arm != base}


def as_json(run: Run) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    return {
        "wire": run.wire,
        "rounds": run.rounds,
        "arms": [_arm(run, arm) for arm in run.arms],
        "ratios": ratios(run),
        "seconds": run.seconds,
        "conditions": run.conditions,
    }


def _arm(run: Run, arm: str) -> dict[str, Any]:
    samples = run.of(arm)
    return {
        "arm": arm,
        "gbps": [round(sample.gbps, 4) for sample in samples],
        "median_gbps": round(_median_gbps(run, arm), 4),
        "retransmits": [sample.retransmits for sample in samples],
        "cpu_seconds_per_gb": round(median(sample.cpu_seconds_per_gb for sample in samples), 3),
    }


def table(run: Run) -> Table:
    """Return the result as a table: medians, and the spread of the rounds."""
    base = reference(run.arms)
    shown = Table(
        box=box.SIMPLE_HEAD,
        title=f"TCP, one flow, wire {run.wire}, {run.rounds} rounds of {run.seconds} s",
        caption=", ".join(f"{key} {value}" for key, value in run.conditions.items()),
    )
    for heading in ("arm", "Gbit/s", "spread", f"of {base}", "retransmits", "CPU s/GB"):
        shown.add_column(heading, justify="left" if heading == "arm" else "right")
    found = ratios(run)
    for arm in run.arms:
        one = _arm(run, arm)
        shown.add_row(
            arm,
            f"{one['median_gbps']:.2f}",
            f"{min(one['gbps']):.2f} – {max(one['gbps']):.2f}",
            f"{found.get(f'{arm}/{base}', 1.0):.2f}",
            str(round(median(one["retransmits"]))),
            f"{one['cpu_seconds_per_gb']:.2f}",
        )
    return shown


def write_csv(run: Run, path: Path) -> None:
    """Write every sample, a row each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for one in run.samples:
            measured = (
                f"{one.gbps:.6f}",
                one.retransmits,
                one.moved_bytes,
                f"{one.cpu_seconds:.2f}",
                f"{one.duration_s:.3f}",
            )
            writer.writerow((run.wire, one.round, one.arm, *measured))


def write_plots(run: Run, stem: Path) -> list[Path]:
    """Write a bar per arm (median) with its samples, as SVG and PNG; return the files."""
    import matplotlib

    matplotlib.use("Agg")  # no display
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(1.2 + 1.3 * len(run.arms), 4), layout="constrained")
    axes.bar(run.arms, [_median_gbps(run, arm) for arm in run.arms], color="#9ecae1", label="median")
    names = [sample.arm for sample in run.samples]
    axes.scatter(names, [sample.gbps for sample in run.samples], color="#08519c", s=14, zorder=3, label="rounds")
    axes.set(ylabel="TCP payload, Gbit/s", title=f"One TCP flow, wire {run.wire}", ylim=(0, None))
    axes.legend(frameon=False)
    files = [stem.with_suffix(suffix) for suffix in (".svg", ".png")]
    for file in files:
        figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return files
