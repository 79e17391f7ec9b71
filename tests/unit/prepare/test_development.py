"""`nvo3 test` and `nvo3 ovs build`, with the tools replaced where they would take long."""

import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nvo3.cli import development
from nvo3.prepare import TEST_PACKAGES, ovs


@pytest.fixture
def app() -> typer.Typer:
    root = typer.Typer()
    development.register(root)
    return root


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have run; `ruff format` fails."""
    commands: list[list[str]] = []

    def run(command: list[str], **_options: object) -> "subprocess.CompletedProcess[str]":
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, int("format" in command), "would reformat a.py\n")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("NVO3_LAUNCHER", raising=False)
    return commands


def test_all_stages_run_even_if_one_fails(app: typer.Typer, ran: list[list[str]]) -> None:
    result = CliRunner().invoke(app, ["test"])
    assert [command[0] for command in ran] == ["ruff", "ruff", "mypy", "pytest"]
    assert result.exit_code == 1
    assert "would reformat a.py" in result.stdout and "ruff format: FAILED in" in result.stdout
    assert "ruff check: passed in" in result.stdout
    assert result.stderr == "nvo3 test: failed: ruff format\n"


def test_arguments_go_to_pytest_alone(app: typer.Typer, ran: list[list[str]]) -> None:
    result = CliRunner().invoke(app, ["test", "tests/unit", "-k", "vxlan", "--durations=3"])
    assert result.exit_code == 0
    assert [command[0] for command in ran] == ["pytest"]
    assert ran[0][-4:] == ["tests/unit", "-k", "vxlan", "--durations=3"]


def test_the_suite_of_open_vswitch_runs_alone(app: typer.Typer, ran: list[list[str]]) -> None:
    assert CliRunner().invoke(app, ["test", "--ovs-suite", "--durations=3"]).exit_code == 0
    assert [command[0] for command in ran] == ["pytest"]
    assert [Path(word).name for word in ran[0][-3:]] == ["-s", "whole.py", "--durations=3"]
    assert Path(ran[0][-2]).is_file()


def test_what_only_tests_need_is_installed_when_the_launcher_runs_them(
    app: typer.Typer, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setenv("NVO3_LAUNCHER", "1")
    monkeypatch.setattr(development, "ensure_packages", lambda progress, names: asked.append(names))
    assert CliRunner().invoke(app, ["test", "tests/unit"]).exit_code == 0
    assert asked == [TEST_PACKAGES] and "clang" in TEST_PACKAGES
    assert [command[0] for command in ran] == ["pytest"]


def test_ovs_build_prints_the_prefix(app: typer.Typer, cache: Path) -> None:
    prefix = cache / "ovs" / f"3.5.0-{ovs._key(stock=False)}"
    prefix.mkdir(parents=True)
    result = CliRunner().invoke(app, ["ovs", "build"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{prefix}\n", "")


def test_ovs_build_reports_an_error_in_one_line(app: typer.Typer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_SOURCE", "/nonexistent.tar.gz")
    result = CliRunner().invoke(app, ["ovs", "build"])
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("nvo3: OVS_SOURCE: '/nonexistent.tar.gz' cannot be read") and result.stderr.count("\n") == 1
