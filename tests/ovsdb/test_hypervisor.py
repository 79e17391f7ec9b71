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
from uuid import uuid4

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

    def configure(self, payload: str, *ports: str) -> None:
        """Configure the payload of SCLP and the ports whose vNICs encapsulate; "withdraw" lets go."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join((payload, *ports)) + "\n")
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


class _Vnics:
    """br-int's interfaces of guests, and br-phy's own, as ovs-vswitchd tells of them."""

    def __init__(self, database: Database, link: Link) -> None:
        self._database = database
        database.vsctl("add-br", "br-phy", "--", "set", "interface", "br-phy", "mtu=1500")
        link.await_report(connected=True, configured=False)
        database.take_over()
        link.await_report(configured=True)

    def plug(self, name: str, mtu: int, *columns: str) -> str:
        port = str(uuid4())
        identity = (f"external_ids:iface-id={port}", f"mtu={mtu}")
        self._database.vsctl("add-port", "br-int", name, "--", "set", "interface", name, *identity, *columns)
        return port

    def requests(self) -> dict[str, str]:
        found = {}
        for name in self._database.vsctl("list-ports", "br-int").split():
            asked = self._database.vsctl("get", "interface", name, "mtu_request")
            if asked != "[]":
                found[name] = asked
        return found

    def owned(self) -> str:
        return self._database.vsctl("--columns=name", "--format=csv", "--no-headings", "find", "interface", "external_ids:nvo3-mtu=true")


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


def test_interfaces_whose_vnics_encapsulate_get_the_mtu_of_the_underlay(database: Database, link: Link) -> None:
    vnics = _Vnics(database, link)
    a, b, larger = vnics.plug("a", 1400), vnics.plug("b", 1400), vnics.plug("c", 9000)
    link.configure("vxlan", a, larger)
    _await(lambda: vnics.requests() == {"a": "1500"})
    link.await_report(configured=False)  # until ovs-vswitchd has done it
    database.vsctl("set", "interface", "a", "mtu=1500")
    database.take_over()
    link.await_report(configured=True)
    later = str(uuid4())
    link.configure("vxlan", a, b, larger, later)
    _await(lambda: vnics.requests() == {"a": "1500", "b": "1500"})
    database.vsctl("add-port", "br-int", "d", "--", "set", "interface", "d", f"external_ids:iface-id={later}", "mtu=1400")
    _await(lambda: vnics.requests() == {"a": "1500", "b": "1500", "d": "1500"})
    database.vsctl("set", "interface", "br-phy", "mtu=1600")
    _await(lambda: vnics.requests() == {"a": "1600", "b": "1600", "d": "1600"})


@pytest.mark.parametrize("farewell", ["vxlan", "withdraw"])
def test_requests_for_an_mtu_are_taken_back_but_for_those_of_the_host(database: Database, link: Link, farewell: str) -> None:
    """When a vNIC does not encapsulate any more, and when the hypervisor is let go."""
    vnics = _Vnics(database, link)
    ours, theirs = vnics.plug("a", 1400), vnics.plug("b", 1400, "mtu_request=1450")
    link.configure("vxlan", ours, theirs)
    _await(lambda: vnics.requests() == {"a": "1500", "b": "1450"})
    assert vnics.owned() == "a"
    database.take_over()
    link.await_report(configured=True)
    link.configure(farewell)
    _await(lambda: vnics.requests() == {"b": "1450"})
    assert vnics.owned() == ""
