"""The units for systemd: what systemd says of them, and what they start, as the user and with the rights that they say."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nvo3.api.client import Client
from nvo3.ovsdb.server import SCHEMA
from tests.manager.conftest import CHECKOUT, free_port
from tests.pipeline.switch import ovs_program, wait_for

UNITS = [*sorted((CHECKOUT / "etc" / "systemd").glob("*.service")), CHECKOUT / "nvo3" / "agent" / "nvo3-agent@.service"]
_NOBODY = 65534
_COMMANDS = {"ryu-manager": (sys.executable, "-m", "nvo3.manager"), "nvo3": (sys.executable, "-m", "nvo3.cli")}
_EXPOSURE_MAX = 25  # of 100, "OK" being below 50


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze: run by 'bin/nvo3 test', which installs it")
    return subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory with the units, whose commands need not be installed."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(re.sub(r"^(Exec\w+=)[\w-]+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE))
    return tmp_path


@pytest.mark.parametrize("unit", [unit.name for unit in UNITS])
def test_systemd_understands_all_of_it(installed: Path, unit: str) -> None:
    done = _analyze("verify", "--man=no", str(installed / unit))
    ours = [line for line in done.stdout.splitlines() if "nvo3" in line]
    assert not ours, ours


@pytest.mark.parametrize("unit", ["nvo3-controller.service", "nvo3-nb.service"])
def test_they_may_do_little(installed: Path, unit: str) -> None:
    done = _analyze("security", "--offline=yes", f"--threshold={_EXPOSURE_MAX}", "--no-pager", str(installed / unit))
    assert done.returncode == 0, done.stdout[-2000:]


class Service:
    """Runs what a unit starts, as an unprivileged user without capabilities, with directories of the test's instead of the system's."""

    def __init__(self, unit: str, directory: Path) -> None:
        text = (CHECKOUT / "etc" / "systemd" / unit).read_text().replace("\\\n", "")
        self.settings = dict(re.findall(r"^([A-Z]\w*)=(.*)$", text, re.MULTILINE))
        self.state, self.run = directory / "state", directory / "run"
        for path in (directory, self.state, self.run):
            path.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                os.chown(path, _NOBODY, _NOBODY)
        self.directory = directory
        self.environment = os.environ | {
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STATE_DIRECTORY": str(self.state),
            "RUNTIME_DIRECTORY": str(self.run),
            "OVS_RUNDIR": str(self.run),
        }

    def command(self, setting: str, *more: str) -> list[str]:
        words = shlex.split(self.settings[setting])
        words = [re.sub(r"\$\{(\w+)\}", lambda match: self.environment[match[1]], word) for word in words if not word.startswith("$NVO3")]
        program = _COMMANDS.get(words[0]) or (str(ovs_program(words[0])),)
        assert (
            self.settings["User"] == "nvo3" and self.settings["NoNewPrivileges"] == "yes" and self.settings["CapabilityBoundingSet"] == ""
        )
        confine = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        return [*(confine if os.geteuid() == 0 else []), *program, *words[1:], *more]

    def start(self, setting: str, *more: str, **environment: str) -> "subprocess.Popen[bytes]":
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                self.command(setting, *more), cwd=self.directory, env=self.environment | environment, stdout=log, stderr=log
            )

    def log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture
def database(directory: Path) -> Iterator[Service]:
    """The NB database as its unit starts it."""
    if ovs_program("ovsdb-server") is None:
        pytest.skip("ovsdb-server is neither in $NVO3_OVS nor in PATH")
    directory.chmod(0o755)
    service = Service("nvo3-nb.service", directory / "nb")
    assert service.start("ExecStartPre").wait(30) == 0, service.log()
    assert service.start("ExecStart").wait(30) == 0, service.log()  # it serves when the parent ends
    pid = int((service.run / "nvo3-nb.pid").read_text())
    try:
        yield service
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_the_controller_tells_when_it_is_ready_and_that_it_lives(database: Service, directory: Path) -> None:
    service = Service("nvo3-controller.service", directory / "controller")
    assert (service.settings["Type"], bool(service.settings["WatchdogSec"])) == ("notify", True)
    port, told = free_port(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(directory / "notify"))
    (directory / "notify").chmod(0o777)
    told.settimeout(30)
    config = service.directory / "nvo3.conf"
    config.write_text(f"[DEFAULT]\nnvo3_db = unix:{database.run}/nvo3-nb.sock\nwsapi_port = {port}\nofp_tcp_listen_port = {free_port()}\n")
    manager = service.start("ExecStart", "--config-file", str(config), NOTIFY_SOCKET=str(directory / "notify"), WATCHDOG_USEC="200000")
    try:
        assert told.recv(100) == b"READY=1", service.log()
        with Client(f"http://127.0.0.1:{port}") as client:
            assert client.post("/v1/tenants", {"name": "red"})["name"] == "red"
        assert [told.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    finally:
        manager.send_signal(signal.SIGTERM)
        assert manager.wait(10) == 0, service.log()
    told.settimeout(5)
    assert b"STOPPING=1" in iter(lambda: told.recv(100), b"")
    told.close()


def test_the_database_s_file_is_converted_before_it_is_served(directory: Path) -> None:
    if ovs_program("ovsdb-tool") is None:
        pytest.skip("ovsdb-tool is neither in $NVO3_OVS nor in PATH")
    directory.chmod(0o755)
    service = Service("nvo3-nb.service", directory / "nb")
    older = directory / "older.ovsschema"
    older.write_text(re.sub(r'"version": "[\d.]+"', '"version": "0.0.1"', SCHEMA.read_text()))
    file = service.state / "nvo3.db"
    subprocess.run([str(ovs_program("ovsdb-tool")), "create", str(file), str(older)], check=True)
    for left in service.state.iterdir() if os.geteuid() == 0 else ():
        os.chown(left, _NOBODY, _NOBODY)  # the lock, too
    assert service.start("ExecStartPre").wait(30) == 0, service.log()
    version = subprocess.run([str(ovs_program("ovsdb-tool")), "db-version", str(file)], capture_output=True, text=True, check=True).stdout
    assert version.strip() in SCHEMA.read_text() and version.strip() != "0.0.1"
    file.write_text("no database")
    assert service.start("ExecStartPre").wait(30) == 1
    assert service.log().splitlines()[-1].startswith("nvo3: database: ")
