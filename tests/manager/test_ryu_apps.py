"""A user's own Ryu apps with HTTP beside the overlay: two of them, a bridge for each, one manager, one port."""

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from scapy.all import ARP, IP, TCP, UDP, Ether

from nvo3.api.body import BODY_MAX
from tests.manager.bridge import Bridge
from tests.manager.conftest import Manager
from tests.manager.hypervisor import overlay_on
from tests.pipeline.switch import Switch, wait_for

pytestmark = pytest.mark.ovsdb

REST_SWITCH, FIREWALL = (str(Path(__file__).with_name(name)) for name in ("rest_switch.py", "firewall.py"))
BESIDE = pytest.mark.parametrize("manager", [["nvo3_app.py", REST_SWITCH, FIREWALL]], indirect=True, ids=["beside the overlay"])
ALONE = pytest.mark.parametrize("manager", [[REST_SWITCH]], indirect=True, ids=["alone"])

LINKS = pytest.mark.parametrize(
    "manager", [["nvo3_app.py", "ryu.topology.switches", "--observe-links"]], indirect=True, ids=["with Ryu's topology"]
)


@pytest.fixture
def http(manager: Manager) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{manager.http_port}", trust_env=False, timeout=20) as client:
        yield client


def frame(a: int, b: int) -> Ether:
    return Ether(src=f"02:00:00:00:00:0{a}", dst=f"02:00:00:00:00:0{b}")


@BESIDE
def test_a_learning_switch_and_a_firewall_work_beside_the_overlay_and_each_other(
    manager: Manager, switch: Switch, http: httpx.Client
) -> None:
    learning = Bridge(switch, "br-learn", 5, ["l1", "l2", "l3"], manager.openflow_port)
    filtering = Bridge(switch, "br-filter", 0xF, ["f1", "f2"], manager.openflow_port)
    overlay_on(switch, manager)

    # The learning switch: what it learns shows, what is put into its table it need not learn.
    table = "/macswitch/0000000000000005"
    wait_for(lambda: "CONTROLLER" in learning.flows())
    assert http.get(table).json() == {}
    assert learning.deliver("l1", frame(1, 2) / IP() / UDP()) == {"l2", "l3"}
    assert http.get(table).json() == {"02:00:00:00:00:01": 1}
    told = http.put(table, json={"mac": "02:00:00:00:00:02", "port": 2})
    assert told.status_code == 200 and told.json() == {"02:00:00:00:00:01": 1, "02:00:00:00:00:02": 2}
    wait_for(lambda: learning.flows().count("priority=1,") == 2)
    assert learning.deliver("l1", frame(1, 2) / IP() / UDP()) == {"l2"}
    assert learning.deliver("l2", frame(2, 1) / IP() / UDP()) == {"l1"}
    assert http.get("/macswitch/0000000000000006").status_code == 404
    assert http.put(table, content=b"{").status_code == 400

    # The firewall: nothing but ARP, then what a rule allows, then nothing again.
    rules = "/firewall/rules/000000000000000f"
    wait_for(lambda: http.get(rules).status_code == 200)
    wait_for(lambda: "priority=65534,arp" in filtering.flows())
    web, mail = (frame(1, 2) / IP(src="192.0.2.1", dst="192.0.2.2") / protocol for protocol in (TCP(dport=80), UDP(dport=25)))
    arp = frame(1, 2) / ARP(psrc="192.0.2.1", pdst="192.0.2.2")
    assert filtering.deliver("f1", web, mail, arp) == {"f2"}  # of these, the ARP only
    rule = {"nw_src": "192.0.2.0/24", "nw_dst": "192.0.2.2", "nw_proto": "TCP"}
    assert http.post(rules, json=rule).json() == {"rule_id": 1}
    wait_for(lambda: "nw_dst=192.0.2.2" in filtering.flows())
    assert filtering.deliver("f1", mail, web) == {"f2"}
    assert http.get(rules).json() == {"rules": {"1": rule}}
    assert http.request("DELETE", rules, json={"rule_id": 1}).status_code == 200
    wait_for(lambda: "nw_dst=192.0.2.2" not in filtering.flows())
    assert filtering.deliver("f1", web, arp) == {"f2"}
    assert http.post(rules, json={"nw_src": "192.0.2.1"}).status_code == 400

    # Neither saw br-int, and the overlay is as it was.
    _, *flows = switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int").splitlines()
    assert flows and all("cookie=0x4e564f33" in flow for flow in flows)
    assert "firewall sees 4e56" not in manager.log.read_text()
    assert manager.client.get("/v1/hypervisors/hv1")["status"]["state"] == "connected"
    assert "Traceback" not in manager.log.read_text()


@BESIDE
def test_the_api_s_own_paths_and_errors_stay_its_own(manager: Manager, http: httpx.Client) -> None:
    for path in ("/nothing", "/v1/nothing", "/macswitch/5", "/macswitch/%ff%fe"):
        answer = http.get(path)
        assert answer.status_code == 404 and answer.json()["title"] == "Not Found", path
    assert http.delete("/v1/tenants").status_code == 405
    assert http.get("/openapi.json").json()["info"]["title"] == "nvo3"
    assert "Traceback" not in manager.log.read_text()


@BESIDE
def test_an_app_that_raises_and_a_body_that_is_too_large_stop_nothing(manager: Manager, http: httpx.Client, switch: Switch) -> None:
    table = "/macswitch/0000000000000005"
    learning = Bridge(switch, "br-learn", 5, ["l1"], manager.openflow_port)
    wait_for(lambda: "CONTROLLER" in learning.flows())
    assert http.put(table, json={"mac": "02:00:00:00:00:01"}).status_code == 500
    line = f"ERROR nvo3.ryu.app.wsgi: PUT {table}: MacTableController: KeyError: 'port'\n"
    wait_for(lambda: line in manager.log.read_text())
    assert http.put(table, content=b"x" * (BODY_MAX + 1)).status_code == 413
    assert http.put(table, content=iter([b"x" * BODY_MAX, b"x"])).status_code == 413
    assert http.get(table).json() == {}
    assert "Traceback" not in manager.log.read_text()


@LINKS
def test_ryu_s_topology_looks_for_links_on_the_user_s_bridges_only(manager: Manager, switch: Switch) -> None:
    bridge = Bridge(switch, "br-user", 5, ["u1", "u2"], manager.openflow_port)
    overlay_on(switch, manager)
    wait_for(lambda: "dl_type=0x88cc" in bridge.flows())
    _, *flows = switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int").splitlines()
    assert flows and all("cookie=0x4e564f33" in flow for flow in flows)


@ALONE
def test_an_app_that_registers_controllers_is_served_without_the_overlay(manager: Manager, switch: Switch, http: httpx.Client) -> None:
    learning = Bridge(switch, "br-learn", 5, ["l1", "l2"], manager.openflow_port)
    wait_for(lambda: "CONTROLLER" in learning.flows())
    assert http.get("/macswitch/0000000000000005").json() == {}
    answer = http.get("/v1/tenants")
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"


@ALONE
def test_a_websocket_talks_until_its_end(manager: Manager) -> None:
    with socket.create_connection(("127.0.0.1", manager.http_port), timeout=10) as sock:
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        sock.sendall(f"GET /macswitch/talk HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n".encode())
        stream = sock.makefile("rb")
        assert b" 101 " in stream.readline()
        while stream.readline().strip():
            pass
        text = b"hello"
        sock.sendall(bytes((0x81, 0x80 | len(text))) + b"\0\0\0\0" + text)  # a text frame, masked by zeros
        answer = b"0 switches, hello"
        assert stream.read(2 + len(answer)) == bytes((0x81, len(answer))) + answer
        sock.sendall(bytes((0x88, 0x80)) + b"\0\0\0\0")
        assert stream.read(1) == b"\x88"
    with httpx.Client(base_url=f"http://127.0.0.1:{manager.http_port}", trust_env=False) as http:
        assert http.get("/macswitch/talk").status_code == 400
    assert "Traceback" not in manager.log.read_text()
