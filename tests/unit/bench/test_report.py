"""What comes out of a run: medians, ratios, files."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from nvo3.bench import report, tcp
from nvo3.bench.benchmark import Case, Reading
from nvo3.bench.cpu import Cost
from nvo3.bench.run import Run, Sample

TCP = tcp.benchmark("reno")
SMALL, LARGE = Case("64 B", {"size_bytes": 64}), Case("1 kB", {"size_bytes": 1000})


def sample(arm: str, number: int, gbps: float, case: Case) -> Sample:
    cost = Cost(sender_s=number / 8, receiver_s=number * 3 / 8, softirq_s=number / 4, machine_s=float(number))
    return Sample(arm, case, number, Reading((gbps, number), work=500_000_000, duration_s=4.0), cost)


def run(*arms: str, cases: tuple[Case, ...] = TCP.cases) -> Run:
    """Return a run of three rounds in which the arm number n has n, n + 1 and n + 5 Gbit/s; ten times that in the second case."""
    samples = [
        sample(arm, r, (n + {1: 1, 2: 0, 3: 5}[r]) * 10**factor, case)
        for r in (1, 2, 3)
        for n, arm in enumerate(arms, 1)
        for factor, case in enumerate(cases)
    ]
    return Run(replace(TCP, cases=cases), "tso", 3, 4, arms, tuple(samples), {"kernel": "6.1"})


def test_as_json_has_the_documented_keys_first() -> None:
    plain = report.as_json(run("none", "vxlan"))
    assert list(plain)[:4] == ["wire", "rounds", "arms", "ratios"]
    assert plain["arms"][1] == {
        "arm": "vxlan",
        "congestion": "reno",
        "gbps": [3.0, 2.0, 7.0],
        "median_gbps": 3.0,
        "retransmits": [1, 2, 3],
        "median_retransmits": 2,
        "cpu_seconds_per_gb": 2.0,
        "sender_cpu_seconds_per_gb": 0.5,
        "receiver_cpu_seconds_per_gb": 1.5,
        "softirq_cpu_seconds_per_gb": 1.0,
        "machine_cpu_seconds_per_gb": 4.0,
    }


def test_as_json_has_an_object_for_each_case_of_an_arm() -> None:
    plain = report.as_json(run("none", "vxlan", cases=(SMALL, LARGE)))
    assert [(arm["arm"], arm["size_bytes"], arm["median_gbps"]) for arm in plain["arms"]] == [
        ("none", 64, 2.0),
        ("vxlan", 64, 3.0),
        ("none", 1000, 20.0),
        ("vxlan", 1000, 30.0),
    ]
    assert plain["ratios"] == {"vxlan/none@64 B": 1.5, "vxlan/none@1 kB": 1.5}


def test_what_moves_nothing_has_no_cost_and_no_ratio_to_it() -> None:
    one = run("none", "vxlan")
    nothing = [replace(each, reading=Reading((0.0, 0), 0, 4.0)) if each.arm == "none" else each for each in one.samples]
    plain = report.as_json(replace(one, samples=tuple(nothing)))
    assert plain["ratios"] == {"vxlan/none": None}
    assert plain["arms"][0]["median_gbps"] == 0
    assert plain["arms"][0]["cpu_seconds_per_gb"] is plain["arms"][0]["machine_cpu_seconds_per_gb"] is None
    assert plain["arms"][1]["cpu_seconds_per_gb"] == 2.0
    console = Console(record=True, width=140)
    console.print(report.table(replace(one, samples=tuple(nothing))))
    rows = [line.split() for line in console.export_text().splitlines() if line.split()[:1] in (["none"], ["vxlan"])]
    assert rows[0] == ["none", "0.00", "0.00", "–", "0.00", "1.00", "0", *["–"] * 5]
    assert rows[1][5] == "–"


def test_ratios_are_of_medians_to_none_wherever_it_stands() -> None:
    assert report.ratios(run("none", "vxlan")) == {"vxlan/none": 1.5}
    assert report.ratios(run("vxlan", "none", "gre")) == {"vxlan/none": 0.6667, "gre/none": 1.3333}


def test_ratios_show_what_the_patches_bring_and_stt_beside_everything() -> None:
    assert report.ratios(run("none", "stock-none", "stt")) == {
        "stock-none/none": 1.5,
        "stt/none": 2.0,
        "none/stock-none": 0.6667,
        "stt/stock-none": 1.3333,
    }


def test_ratios_without_none_are_to_the_first_arm() -> None:
    assert report.ratios(run("geneve", "gre")) == {"gre/geneve": 1.5}
    assert report.ratios(run("gre")) == {}


def test_cases_are_compared_with_the_first_where_that_is_what_the_benchmark_is_about() -> None:
    one = run("sclp", cases=(SMALL, LARGE))
    compared = replace(one, benchmark=replace(one.benchmark, compares_cases=True))
    assert report.ratios(one) == {}
    assert report.ratios(compared) == {"sclp@1 kB/sclp@64 B": 10.0}
    console = Console(record=True, width=140)
    console.print(report.table(compared))
    text = console.export_text()
    assert "of 64 B" in text
    rows = [line.split() for line in text.splitlines() if line.split()[:1] == ["sclp"]]
    assert [row[7] for row in rows] == ["1.00", "10.00"]


def test_write_csv_has_a_row_per_sample_and_units_in_its_columns(tmp_path: Path) -> None:
    report.write_csv(run("none", "vxlan"), tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert len(rows) == 6
    assert rows[0] == {
        "wire": "tso",
        "round": "1",
        "arm": "none",
        "congestion": "reno",
        "throughput_gbps": "2.000000",
        "retransmits_segments": "1",
        "moved_bytes": "500000000",
        "vswitchd_cpu_seconds": "0.50",
        "sender_vswitchd_cpu_seconds": "0.12",
        "receiver_vswitchd_cpu_seconds": "0.38",
        "softirq_cpu_seconds": "0.25",
        "machine_cpu_seconds": "1.00",
        "duration_s": "4.000",
    }


def test_write_csv_has_the_case_after_the_arm(tmp_path: Path) -> None:
    report.write_csv(run("none", cases=(SMALL, LARGE)), tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert [(row["arm"], row["size_bytes"], row["throughput_gbps"]) for row in rows[:2]] == [
        ("none", "64", "2.000000"),
        ("none", "1000", "20.000000"),
    ]


@pytest.mark.parametrize("cases", [TCP.cases, (SMALL, LARGE)])
def test_write_plots_are_svg_and_png(tmp_path: Path, cases: tuple[Case, ...]) -> None:
    svg, png = report.write_plots(run("none", "vxlan", cases=cases), tmp_path / "tcp-tso")
    assert "<svg" in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


def test_table_shows_medians_and_spread() -> None:
    console = Console(record=True, width=140)
    console.print(report.table(run("none", "vxlan")))
    (row,) = [line.split() for line in console.export_text().splitlines() if line.split()[:1] == ["vxlan"]]
    assert row == ["vxlan", "3.00", "2.00", "–", "7.00", "1.50", "2", "2.00", "0.50", "1.50", "1.00", "4.00"]


def test_show_is_neither_cut_nor_folded_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    report.show(run("none", "stock-vxlan", cases=(SMALL, LARGE)))
    shown = capsys.readouterr().out
    assert "…" not in shown
    (row,) = [line.split() for line in shown.splitlines() if "stock-vxlan 1 kB" in line]
    assert len(row) == 14
