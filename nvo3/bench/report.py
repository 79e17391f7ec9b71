"""What comes out of a run: JSON, a table, raw data, a plot.  docs/benchmark.md says what each key means."""

import csv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from nvo3.bench.arm import comparisons, reference
from nvo3.bench.benchmark import Case, Metric
from nvo3.bench.cpu import Cost
from nvo3.bench.run import Run

# CPU time, of whom: its key in the JSON object before `_per_<unit>`, its heading, what it is.
_COSTS: tuple[tuple[str, str, Callable[[Cost], float]], ...] = (
    ("cpu_seconds", "vswitchds", lambda cost: cost.vswitchd_s),
    ("sender_cpu_seconds", "sender's", lambda cost: cost.sender_s),
    ("receiver_cpu_seconds", "receiver's", lambda cost: cost.receiver_s),
    ("softirq_cpu_seconds", "softirqs", lambda cost: cost.softirq_s),
    ("machine_cpu_seconds", "machine", lambda cost: cost.machine_s),
)
_COST_DIGITS = 3
_RATIO_DIGITS = 4
_WIDTH_MAX = 1000


def _values(run: Run, arm: str, case: Case, metric: Metric) -> list[float]:
    index = run.benchmark.metrics.index(metric)
    return [sample.reading.values[index] for sample in run.of(arm, case)]


def _rounded(value: float, digits: int) -> float | int:
    return round(value, digits) if digits else round(value)


def _cost_per_unit(run: Run, arm: str, case: Case, of: Callable[[Cost], float]) -> float | None:
    """Return the median of the rounds, None where one of them moved nothing."""
    samples = run.of(arm, case)
    if not all(sample.reading.work for sample in samples):
        return None
    return median(of(sample.cost) / (sample.reading.work / run.benchmark.work.size) for sample in samples)


def ratios(run: Run) -> dict[str, float | None]:
    """Return medians of arms over those of others, as {"vxlan/none": 0.2}, or {"vxlan/none@64 B": 0.2} where there are cases.

    Where cases are compared, also those of a case over those of the first, as {"sclp@gro/sclp@none": 1.5}.  None where
    the other moved nothing.
    """
    found: dict[str, float | None] = {}
    for case in run.benchmark.cases:
        for above, below in comparisons(run.arms):
            key = f"{above}/{below}" + (f"@{case.label}" if case.label else "")
            found[key] = _ratio(run, (above, case), (below, case))
    if run.benchmark.compares_cases:
        first, *others = run.benchmark.cases
        found |= {_case_key(run, arm, case): _ratio(run, (arm, case), (arm, first)) for case in others for arm in run.arms}
    return found


def _ratio(run: Run, above: tuple[str, Case], below: tuple[str, Case]) -> float | None:
    metric = run.benchmark.metrics[0]
    dividend, divisor = median(_values(run, *above, metric)), median(_values(run, *below, metric))
    return round(dividend / divisor, _RATIO_DIGITS) if divisor else None


def _case_key(run: Run, arm: str, case: Case) -> str:
    return f"{arm}@{case.label}/{arm}@{run.benchmark.cases[0].label}"


def as_json(run: Run) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    return {
        "wire": run.wire,
        "rounds": run.rounds,
        "arms": [_arm(run, arm, case) for case in run.benchmark.cases for arm in run.arms],
        "ratios": ratios(run),
        "seconds": run.seconds,
        "conditions": run.conditions,
    }


def _arm(run: Run, arm: str, case: Case) -> dict[str, Any]:
    plain: dict[str, Any] = {"arm": arm, **case.fields}
    for metric in run.benchmark.metrics:
        values = _values(run, arm, case, metric)
        plain[metric.key] = [_rounded(value, metric.digits[0]) for value in values]
        plain[f"median_{metric.key}"] = _rounded(median(values), metric.digits[0])
    for key, _heading, of in _COSTS:
        cost = _cost_per_unit(run, arm, case, of)
        plain[f"{key}_per_{run.benchmark.work.unit}"] = None if cost is None else round(cost, _COST_DIGITS)
    return plain


def show(run: Run) -> None:
    """Print the result as a table, never cut or folded: what is printed may be piped into a file."""
    console, shown = Console(), table(run)
    console.width = max(console.width, console.measure(shown, options=console.options.update(width=_WIDTH_MAX)).maximum)
    console.print(shown)


def table(run: Run) -> Table:
    """Return the result as a table: medians, and the spread of the rounds."""
    benchmark, base = run.benchmark, reference(run.arms)
    first = benchmark.metrics[0]
    shown = Table(
        box=box.SIMPLE_HEAD,
        title=f"{benchmark.title}, wire {run.wire}, {run.rounds} rounds of {run.seconds} s; CPU s/{benchmark.work.unit.replace('_', ' ')}",
        caption=", ".join(f"{key} {value}" for key, value in run.conditions.items()),
    )
    headings = [
        first.heading,
        "spread",
        f"of {benchmark.cases[0].label if benchmark.compares_cases else base}",
        *(metric.heading for metric in benchmark.metrics[1:]),
    ]
    shown.add_column("arm", no_wrap=True)
    for heading in headings + [heading for _key, heading, _of in _COSTS]:
        shown.add_column(heading, justify="right", no_wrap=True)
    found = ratios(run)
    for case in benchmark.cases:
        if case.label:
            shown.add_section()
        for arm in run.arms:
            shown.add_row(f"{arm} {case.label}".strip(), *_cells(run, arm, case, base, found))
    return shown


def _cells(run: Run, arm: str, case: Case, base: str, found: dict[str, float | None]) -> list[str]:
    first, *others = run.benchmark.metrics
    values, digits = _values(run, arm, case, first), first.digits[1]
    if run.benchmark.compares_cases:
        key, is_base = _case_key(run, arm, case), case == run.benchmark.cases[0]
    else:
        key, is_base = f"{arm}/{base}" + (f"@{case.label}" if case.label else ""), arm == base
    costs = [_cost_per_unit(run, arm, case, of) for _key, _heading, of in _COSTS]
    ratio = 1.0 if is_base else found[key]
    return [
        f"{median(values):.{digits}f}",
        f"{min(values):.{digits}f} – {max(values):.{digits}f}",
        "–" if ratio is None else f"{ratio:.2f}",
        *(f"{median(_values(run, arm, case, metric)):.{metric.digits[1]}f}" for metric in others),
        *("–" if cost is None else f"{cost:.2f}" for cost in costs),
    ]


def write_csv(run: Run, path: Path) -> None:
    """Write every sample, a row each; units stand in the names of the columns."""
    benchmark = run.benchmark
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            (
                "wire",
                "round",
                "arm",
                *benchmark.cases[0].fields,
                *(metric.column for metric in benchmark.metrics),
                benchmark.work.column,
                "vswitchd_cpu_seconds",
                "sender_vswitchd_cpu_seconds",
                "receiver_vswitchd_cpu_seconds",
                "softirq_cpu_seconds",
                "machine_cpu_seconds",
                "duration_s",
            )
        )
        for one in run.samples:
            values = zip(one.reading.values, benchmark.metrics, strict=True)
            writer.writerow(
                (
                    run.wire,
                    one.round,
                    one.arm,
                    *one.case.fields.values(),
                    *(f"{value:.6f}" if metric.digits[0] else round(value) for value, metric in values),
                    round(one.reading.work),
                    *(f"{of(one.cost):.2f}" for _key, _heading, of in _COSTS),
                    f"{one.reading.duration_s:.3f}",
                )
            )


def write_plots(run: Run, stem: Path) -> list[Path]:
    """Write a bar per arm (median) with its samples, a panel per case, as SVG and PNG; return the files."""
    import matplotlib

    matplotlib.use("Agg")  # no display
    from matplotlib import pyplot

    cases, first = run.benchmark.cases, run.benchmark.metrics[0]
    figure, panels = pyplot.subplots(
        1, len(cases), figsize=(2 + 4 * len(cases), 1.2 + 0.35 * len(run.arms)), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, case in zip(panels[0], cases, strict=True):
        values = {arm: _values(run, arm, case, first) for arm in run.arms}
        axes.barh(run.arms, [median(values[arm]) for arm in run.arms], color="#9ecae1", label="median")
        dots = [(value, arm) for arm in run.arms for value in values[arm]]
        axes.scatter(*zip(*dots, strict=True), color="#08519c", s=14, zorder=3, label="rounds")
        axes.set(xlabel=first.heading, title=case.label, xlim=(0, None))
    panels[0][0].invert_yaxis()  # the first arm on top
    panels[0][0].legend(frameon=False)
    figure.suptitle(f"{run.benchmark.title}, wire {run.wire}")
    files = [stem.with_suffix(suffix) for suffix in (".svg", ".png")]
    for file in files:
        figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return files
