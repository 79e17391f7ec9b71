"""The launcher as a user runs it, on a cache whose Python is a script that tells how it was run."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nvo3.prepare import ovs, steps, venv
from nvo3.prepare.errors import PrepareError
from tests.unit.prepare.support import CHECKOUT, Display

_TELLER = f"""#!{sys.executable}
import json, os, sys
print(json.dumps({{"argv": sys.argv[1:], "environment": dict(os.environ), "umask": os.umask(0)}}))
"""


@pytest.fixture
def prepared(cache: Path) -> Path:
    """A cache in which everything stands; returns Open vSwitch's prefix."""
    python = cache / "venv" / venv._key() / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(_TELLER)
    python.chmod(0o755)
    prefix = cache / "ovs" / f"3.5.0-{ovs._key(stock=False)}"
    prefix.mkdir(parents=True)
    return prefix


def _launch(*arguments: str, program: str = "nvo3", **environment: str) -> "subprocess.CompletedProcess[str]":
    # The key of the environment holds the Python that runs the launcher, so run it with this one.
    return subprocess.run(
        [sys.executable, CHECKOUT / "bin" / program, *arguments],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/elsewhere", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (False, False)),
        (["--help"], (False, False)),
        (["network", "list"], (False, False)),
        (["lab", "up"], (True, True)),
        (["lab", "exec", "r1", "--", "ls", "--help"], (True, True)),
        (["lab", "up", "--help"], (False, False)),
        (["bench", "tcp"], (True, True)),
        (["test"], (True, True)),
        (["ovs", "build"], (True, False)),
    ],
)
def test_needs_of_a_command(arguments: list[str], expected: tuple[bool, bool]) -> None:
    needs = steps.needs_of(arguments)
    assert (needs.packages, needs.ovs) == expected


def test_only_tests_need_the_tree_of_open_vswitch() -> None:
    assert steps.needs_of(["test"]).tree
    assert not any(steps.needs_of([command]).tree for command in ("lab", "bench", "ovs"))


def test_manager_asked_for_help_needs_no_open_vswitch(cache: Path, prepared: Path) -> None:
    prepared.rmdir()
    done = _launch("--help", program="ryu-manager")
    assert done.returncode == 0
    assert json.loads(done.stdout)["argv"] == ["-P", "-m", "nvo3.manager", "--help"]


def test_client_command_runs_from_the_checkout(prepared: Path) -> None:
    done = _launch("network", "list", "--output", "json")
    assert done.returncode == 0 and done.stderr == ""
    told = json.loads(done.stdout)
    assert told["argv"] == ["-P", "-m", "nvo3.cli", "network", "list", "--output", "json"]
    environment = told["environment"]
    assert environment["PYTHONPATH"] == f"{CHECKOUT}:/elsewhere"
    assert environment["NVO3_LAUNCHER"] == "1"
    assert environment["NVO3_OVS"] == str(prepared)
    assert environment["PATH"].startswith(f"{prepared}/bin:{prepared}/sbin:")


def test_umask_of_the_user_is_kept(prepared: Path) -> None:
    old = os.umask(0o077)
    try:
        assert json.loads(_launch("network", "list").stdout)["umask"] == 0o077
    finally:
        os.umask(old)


def test_client_command_works_without_open_vswitch(prepared: Path) -> None:
    prepared.rmdir()
    done = _launch("tenant", "list", NVO3_OVS="")
    assert done.returncode == 0
    assert json.loads(done.stdout)["environment"].get("NVO3_OVS", "") == ""


def test_started_by_a_link_in_another_directory(prepared: Path, tmp_path: Path) -> None:
    link = tmp_path / "nvo3"
    link.symlink_to(CHECKOUT / "bin" / "nvo3")
    done = subprocess.run([sys.executable, link, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["argv"][-1] == "--version"


@pytest.fixture
def as_nobody() -> Iterator[Callable[..., "subprocess.CompletedProcess[str]"]]:
    """Runs the launcher as the user nobody, from a copy that this user can read."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        copy.chmod(0o755)
        for part in ("bin", "nvo3/prepare", "ovs_datapath_patch"):
            shutil.copytree(CHECKOUT / part, copy / part)
        shutil.copy(CHECKOUT / "constraints.txt", copy)

        def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                ["/usr/bin/python3", copy / "bin" / "nvo3", *arguments],
                env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environment},
                capture_output=True,
                text=True,
                check=False,
                user=65534,
                cwd=copy,
            )

        yield run


def test_lab_without_root_says_so_in_one_line(as_nobody: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    done = as_nobody("lab", "up", NVO3_CACHE="/nonexistent/cache")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "needs root: run 'sudo " in done.stderr


def test_cache_that_cannot_be_written_says_so_in_one_line(
    as_nobody: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    done = as_nobody("tenant", "list", NVO3_CACHE="/etc/nvo3-cache")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "set NVO3_CACHE to a directory that you may write to" in done.stderr


def test_source_that_is_missing_is_named_in_one_line(prepared: Path) -> None:
    done = _launch("tenant", "list", OVS_SOURCE="/nonexistent.tar.gz")
    assert done.returncode == 1
    assert done.stderr.startswith("nvo3: OVS_SOURCE: '/nonexistent.tar.gz' cannot be read (No such file or directory)")
    assert done.stderr.count("\n") == 1


def test_disk_is_checked_for_all_steps_before_the_first(cache: Path, progress: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovs, "SPACE_BYTES", 10**15)
    monkeypatch.setattr("nvo3.prepare.packages.missing", lambda names=(): [])
    with pytest.raises(PrepareError, match="too little disk space for the first preparation"):
        steps.prepare(steps.needs_of_manager(["nvo3_app.py"]), progress)
    assert progress.lines == []


def test_agent_needs_the_fast_path_unless_it_only_asks() -> None:
    assert steps.needs_of_agent(["--vnic", "eth0"]).fastpath
    assert not any(steps.needs_of_agent(arguments).fastpath for arguments in (["show"], ["--help"], ["--version"]))
