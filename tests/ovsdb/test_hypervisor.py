"""What the controller writes into a hypervisor's database, and when it counts as in force; the test is ovs-vswitchd."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest

from tests.ovsdb.conftest import binary

pytestmark = pytest.mark.ovsdb

_CHECKOUT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 20.0
_LINK = Path(__file__).with_name("hypervisor_link.py")


class Database:
    """A hypervisor's ovsdb-server on a file."""

    def __init__(self, directory: Path) -> None:
        self.file, self.remote = directory / "conf.db", f"unix:{directory}/db.sock"
        self._process: subprocess.Popen[bytes] | None = None
        schema = Path(binary("ovs-vswitchd")).resolve().parent.parent / "share/openvswitch/vswitch.ovsschema"
        subprocess.run([binary("ovsdb-tool"), "create", str(self.file), str(schema)], check=True)

    def start(self) -> None:
        argv = [binary("ovsdb-server"), str(self.file), f"--remote=p{self.remote}", "--unixctl=none", "-vconsole:off", "-vsyslog:off"]
        self._process = subprocess.Popen(argv)
        _await(lambda: Path(self.remote.removeprefix("unix:")).exists())
        self.vsctl("--retry", "init")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(5)

    def vsctl(self, *words: str) -> str:
        argv = [binary("ovs-vsctl"), f"--db={self.remote}", "--no-wait", "--timeout=10", *words]
        return subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()

    def options(self, port: str) -> dict[str, str]:
        return dict(re.findall(r'(\w+)="?([\w.]+)"?', self.vsctl("get", "interface", port, "options")))

    def take_over(self) -> None:
        """Do as ovs-vswitchd does when it has worked through its configuration."""
        self.vsctl("set", "open_vswitch", ".", f"cur_cfg={self.vsctl('get', 'open_vswitch', '.', 'next_cfg')}")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path)
    one.start()
    one.vsctl("set", "open_vswitch", ".", "iface_types=[sclp,vxlan]", "external_ids:nvo3-vtep-ip=192.0.2.11")
    yield one
    one.stop()


class Link:
    """The controller's end, in a process of its own."""

    def __init__(self, remote: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
        argv = [sys.executable, str(_LINK), remote]
        self.process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def configure(self, payload: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(payload + "\n")
        self.process.stdin.flush()

    def await_report(self, **wanted: object) -> None:
        """Read reports until one is as wanted.  Each wait has a report of its own."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if json.loads(line).items() >= wanted.items():
                return
        raise AssertionError("the link has ended")


@pytest.fixture
def link(database: Database) -> Iterator[Link]:
    one = Link(database.remote)
    timer = Timer(_PATIENCE_S, one.process.kill)  # ends whatever waits for a report
    timer.start()
    yield one
    timer.cancel()
    one.process.kill()
    one.process.communicate()


def _await(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition does not come true"
        time.sleep(0.02)


SCLP = {"remote_ip": "flow", "key": "flow", "offload": "true", "transport": "ip", "payload": "vxlan"}


def test_tunnel_ports_have_the_options_of_their_encapsulation(database: Database, link: Link) -> None:
    link.await_report(connected=True, configured=False)
    database.take_over()
    link.await_report(configured=True)
    assert database.options("nvo3-sclp") == SCLP
    assert database.options("nvo3-sclp-udp") == SCLP | {"transport": "udp"}
    assert database.options("nvo3-vxlan") == {"remote_ip": "flow", "key": "flow"}


def test_a_payload_is_in_force_when_ovs_vswitchd_has_taken_it_over(database: Database, link: Link) -> None:
    link.await_report(connected=True, configured=False)
    database.take_over()
    link.await_report(configured=True)
    link.configure("geneve")
    link.await_report(configured=False)
    _await(lambda: database.options("nvo3-sclp") == SCLP | {"payload": "geneve"})
    database.take_over()
    link.await_report(configured=True)
    assert database.options("nvo3-sclp-udp") == SCLP | {"transport": "udp", "payload": "geneve"}


def test_options_of_the_host_stay_and_ours_come_back(database: Database, link: Link) -> None:
    link.await_report(connected=True, configured=False)
    database.vsctl("set", "interface", "nvo3-sclp", "options:offload=false", "options:tos=8", "options:transport=udp")
    _await(lambda: database.options("nvo3-sclp") == SCLP | {"offload": "false", "tos": "8"})
    database.vsctl("remove", "interface", "nvo3-sclp", "options", "offload", "tos")
    _await(lambda: database.options("nvo3-sclp") == SCLP)


def test_a_database_put_back_from_a_copy_is_configured_as_it_is(database: Database, link: Link, tmp_path: Path) -> None:
    link.await_report(connected=True, configured=False)
    database.take_over()
    link.await_report(configured=True)
    shutil.copy(database.file, tmp_path / "copy")
    for payload in ("geneve", "vxlan"):
        link.configure(payload)
        link.await_report(configured=False)
        _await(lambda: database.options("nvo3-sclp")["payload"] == payload)  # noqa: B023
        database.take_over()
        link.await_report(configured=True)
    database.stop()
    link.await_report(connected=False)
    shutil.copy(tmp_path / "copy", database.file)
    database.start()
    link.await_report(connected=True, configured=True)
