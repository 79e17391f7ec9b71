"""What comes out of a run: medians, ratios, files."""

import csv
from pathlib import Path

from rich.console import Console

from nvo3.bench import report
from nvo3.bench.measure import Sample
from nvo3.bench.tcp import Run


def sample(arm: str, number: int, gbps: float) -> Sample:
    return Sample(arm, number, gbps, retransmits=number, moved_bytes=500_000_000, cpu_seconds=number / 2, duration_s=4.0)


def run(*arms: str) -> Run:
    """Return a run of three rounds in which the arm number n has n, n + 1 and n + 5 Gbit/s."""
    samples = [sample(arm, r, n + {1: 1, 2: 0, 3: 5}[r]) for r in (1, 2, 3) for n, arm in enumerate(arms, 1)]
    return Run("tso", 3, 4, arms, tuple(samples), {"kernel": "6.1"})


def test_as_json_has_the_documented_keys_first() -> None:
    plain = report.as_json(run("none", "vxlan"))
    assert list(plain)[:4] == ["wire", "rounds", "arms", "ratios"]
    assert plain["arms"][1] == {
        "arm": "vxlan",
        "gbps": [3.0, 2.0, 7.0],
        "median_gbps": 3.0,
        "retransmits": [1, 2, 3],
        "cpu_seconds_per_gb": 2.0,
    }


def test_ratios_are_of_medians_to_none_wherever_it_stands() -> None:
    assert report.ratios(run("none", "vxlan")) == {"vxlan/none": 1.5}
    assert report.ratios(run("vxlan", "none", "gre")) == {"vxlan/none": 0.6667, "gre/none": 1.3333}


def test_ratios_without_none_are_to_the_first_arm() -> None:
    assert report.ratios(run("geneve", "gre")) == {"gre/geneve": 1.5}
    assert report.ratios(run("gre")) == {}


def test_write_csv_has_a_row_per_sample_and_units_in_its_columns(tmp_path: Path) -> None:
    report.write_csv(run("none", "vxlan"), tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert len(rows) == 6
    assert rows[0] == {
        "wire": "tso",
        "round": "1",
        "arm": "none",
        "throughput_gbps": "2.000000",
        "retransmits_segments": "1",
        "moved_bytes": "500000000",
        "vswitchd_cpu_seconds": "0.50",
        "duration_s": "4.000",
    }


def test_write_plots_are_svg_and_png(tmp_path: Path) -> None:
    svg, png = report.write_plots(run("none", "vxlan"), tmp_path / "tcp-tso")
    assert "<svg" in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


def test_table_shows_medians_and_spread() -> None:
    console = Console(record=True, width=100)
    console.print(report.table(run("none", "vxlan")))
    (row,) = [line.split() for line in console.export_text().splitlines() if line.split()[:1] == ["vxlan"]]
    assert row == ["vxlan", "3.00", "2.00", "–", "7.00", "1.50", "2", "2.00"]
