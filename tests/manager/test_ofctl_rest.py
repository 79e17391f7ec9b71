"""`ryu.app.ofctl_rest` on a real switch: each path, and its JSON key by key as Ryu documents it."""

import json
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from scapy.all import IP, UDP, Ether

from tests.manager.bridge import Bridge
from tests.manager.conftest import Manager
from tests.manager.handshake import openflow_handshake
from tests.pipeline.switch import Switch, wait_for

pytestmark = pytest.mark.ovsdb

ALONE = pytest.mark.parametrize("manager", [["ryu.app.ofctl_rest"]], indirect=True, ids=["alone"])
TWICE = pytest.mark.parametrize("manager", [["nvo3_app.py", "ryu/app/ofctl_rest.py"]], indirect=True, ids=["named beside nvo3_app"])

FRAME = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="192.0.2.1", dst="192.0.2.2") / UDP()


@pytest.fixture
def http(manager: Manager) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{manager.http_port}/stats", trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def bridge(manager: Manager, switch: Switch, http: httpx.Client) -> Bridge:
    one = Bridge(switch, "br-user", 17, ["u1", "u2"], manager.openflow_port)
    wait_for(lambda: http.get("/switches").json() == [17])
    return one


def ask(http: httpx.Client, path: str, **keywords: Any) -> Any:
    """What is told of switch 17."""
    answer = http.request("POST" if keywords else "GET", path, **keywords)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json", (path, answer.status_code, answer.text)
    (content,) = answer.json().items()
    assert content[0] == "17"
    return content[1]


def sent(http: httpx.Client, path: str, body: Any) -> None:
    answer = http.post(path, content=json.dumps(body))
    assert (answer.status_code, answer.content) == (200, b""), (path, answer.text)


FLOW_KEYS = {"priority", "cookie", "idle_timeout", "hard_timeout", "byte_count", "duration_sec", "duration_nsec", "packet_count"} | {
    "length",
    "flags",
    "actions",
    "match",
    "table_id",
}
PORT_COUNTERS = {f"{way}_{what}" for way in ("rx", "tx") for what in ("packets", "bytes", "dropped", "errors")} | {
    "rx_frame_err",
    "rx_over_err",
    "rx_crc_err",
}


@ALONE
def test_what_a_switch_is_and_counts(http: httpx.Client, bridge: Bridge) -> None:
    assert set(ask(http, "/desc/17")) == {"mfr_desc", "hw_desc", "sw_desc", "serial_num", "dp_desc"}
    assert ask(http, "/desc/0x11") == ask(http, "/desc/0000000000000011") == ask(http, "/desc/17")

    sent(http, "/flowentry/add", {"dpid": 17, "match": {"in_port": 1}, "actions": [{"type": "OUTPUT", "port": 2}]})
    wait_for(lambda: "in_port=u1" in bridge.flows() or "in_port=1" in bridge.flows())
    assert bridge.deliver("u1", FRAME) == {"u2"}
    n_bytes = len(FRAME)

    wait_for(lambda: ask(http, "/flow/17")[0]["packet_count"] == 1)
    (flow,) = ask(http, "/flow/17")
    assert set(flow) == FLOW_KEYS
    assert (flow["match"], flow["actions"], flow["table_id"]) == ({"in_port": 1}, ["OUTPUT:2"], 0)
    assert ask(http, "/aggregateflow/17") == [{"packet_count": 1, "byte_count": n_bytes, "flow_count": 1}]
    tables = ask(http, "/table/17")
    assert tables[0].keys() == {"table_id", "active_count", "lookup_count", "matched_count"} and tables[0]["active_count"] == 1

    ports = {port["port_no"]: port for port in ask(http, "/port/17")}
    assert set(ports) == {1, 2, "LOCAL"}
    assert set(ports[1]) == PORT_COUNTERS | {"port_no", "collisions", "duration_sec", "duration_nsec"}
    assert (ports[1]["rx_packets"], ports[2]["tx_bytes"]) == (1, n_bytes)
    assert ask(http, "/port/17/99") == []
    (port,) = ask(http, "/port/17/2")
    assert port["port_no"] == 2 and port["tx_packets"] == 1
    described = {port["port_no"]: port for port in ask(http, "/portdesc/17")}
    keys = "port_no hw_addr name config state curr advertised supported peer curr_speed max_speed"
    assert set(described[1]) == set(keys.split()) and described[1]["name"] == "u1"

    features = ask(http, "/tablefeatures/17")
    keys = "table_id name metadata_match metadata_write config max_entries properties"
    assert set(features[0]) == set(keys.split()) and len(features) == 254
    queues = ask(http, "/queue/17/1/ALL")
    assert set(queues[0]) == {"port_no", "queue_id", "tx_bytes", "tx_packets", "tx_errors", "duration_sec", "duration_nsec"}
    assert len(ask(http, "/queue/17")) == 3 * len(queues) and ask(http, "/queue/17/ALL/1") == []
    assert ask(http, "/queueconfig/17/1") == [{"port": 1, "queues": [{"port": 1, "queue_id": 0, "properties": []}]}]
    (role,) = ask(http, "/role/17")
    assert role["role"] == "EQUAL" and "generation_id" in role


@ALONE
def test_flows_are_added_modified_and_deleted_as_asked(http: httpx.Client, bridge: Bridge) -> None:
    match = {"dl_type": 2048, "nw_dst": "192.0.2.0/24", "nw_proto": 17, "tp_dst": 53}
    flow = {"dpid": 17, "cookie": 1, "cookie_mask": 1, "table_id": 0, "idle_timeout": 30, "hard_timeout": 60, "priority": 11111, "flags": 1}
    sent(
        http,
        "/flowentry/add",
        {**flow, "match": match, "actions": [{"type": "SET_FIELD", "field": "eth_src", "value": "02:00:00:00:00:09"}]},
    )
    other = {"dpid": "0x11", "priority": 5, "match": {"in_port": 2, "dl_vlan": 7}}
    sent(http, "/flowentry/add", {**other, "actions": [{"type": "POP_VLAN"}, {"type": "OUTPUT", "port": "IN_PORT"}]})
    sent(http, "/flowentry/add", {"dpid": 17, "priority": 1, "actions": [{"type": "GOTO_TABLE", "table_id": 3}]})

    def flows(**filters: Any) -> list[dict[str, Any]]:
        return sorted(ask(http, "/flow/17", json=filters), key=lambda flow: flow["priority"])

    last, middle, first = flows()
    assert first["match"] == {"dl_type": 2048, "nw_dst": "192.0.2.0/255.255.255.0", "nw_proto": 17, "tp_dst": 53}
    assert first["actions"] == ["SET_FIELD: {eth_src:02:00:00:00:00:09}"]
    assert {key: first[key] for key in ("cookie", "idle_timeout", "hard_timeout", "priority", "flags")} == {
        "cookie": 1,
        "idle_timeout": 30,
        "hard_timeout": 60,
        "priority": 11111,
        "flags": 1,
    }
    assert (middle["match"], middle["actions"]) == ({"in_port": 2, "dl_vlan": "7"}, ["POP_VLAN", "OUTPUT:IN_PORT"])
    assert (last["match"], last["actions"]) == ({}, ["GOTO_TABLE:3"])
    assert [flow["priority"] for flow in flows(priority=5)] == [5]
    assert [flow["priority"] for flow in flows(cookie=1, cookie_mask=1)] == [11111]
    assert ask(http, "/aggregateflow/17", json={"out_port": "IN_PORT"})[0]["flow_count"] == 1

    sent(http, "/flowentry/modify", {"dpid": 17, "match": {"dl_type": 2048}, "actions": [{"type": "OUTPUT", "port": 2}]})
    assert [flow["actions"] for flow in flows()] == [["GOTO_TABLE:3"], ["POP_VLAN", "OUTPUT:IN_PORT"], ["OUTPUT:2"]]
    sent(http, "/flowentry/modify_strict", {**other, "priority": 6, "actions": []})
    sent(http, "/flowentry/modify_strict", {"dpid": 17, "priority": 1, "actions": []})
    assert [flow["actions"] for flow in flows()] == [[], ["POP_VLAN", "OUTPUT:IN_PORT"], ["OUTPUT:2"]]
    sent(http, "/flowentry/delete_strict", {**other, "priority": 6})
    assert len(flows()) == 3
    sent(http, "/flowentry/delete_strict", other)
    assert [flow["priority"] for flow in flows()] == [1, 11111]
    sent(http, "/flowentry/delete", {"dpid": 17, "match": {"dl_type": 2048}})
    assert [flow["priority"] for flow in flows()] == [1]
    sent(http, "/flowentry/add", {"dpid": 17, "table_id": 9, "actions": []})
    answer = http.delete("/flowentry/clear/17")
    assert (answer.status_code, answer.content) == (200, b"") and flows() == []


@ALONE
def test_groups_and_meters_are_added_modified_and_deleted_as_asked(http: httpx.Client, bridge: Bridge) -> None:
    buckets = [{"weight": 1, "actions": [{"type": "OUTPUT", "port": n}]} for n in (1, 2)]
    sent(http, "/groupentry/add", {"dpid": 17, "type": "SELECT", "group_id": 4, "buckets": buckets})
    (group,) = ask(http, "/groupdesc/17")
    assert set(group) == {"type", "group_id", "buckets"} and (group["type"], group["group_id"]) == ("SELECT", 4)
    assert set(group["buckets"][1]) == {"weight", "watch_port", "watch_group", "actions"} and group["buckets"][1]["actions"] == ["OUTPUT:2"]
    (counted,) = ask(http, "/group/17/4")
    keys = "length group_id ref_count packet_count byte_count duration_sec duration_nsec bucket_stats"
    assert set(counted) == set(keys.split()) and counted["bucket_stats"] == [{"packet_count": 0, "byte_count": 0}] * 2
    assert set(ask(http, "/groupfeatures/17")[0]) == {"types", "capabilities", "max_groups", "actions"}
    sent(http, "/groupentry/modify", {"dpid": 17, "type": "ALL", "group_id": 4, "buckets": [{"actions": []}]})
    assert (ask(http, "/groupdesc/17")[0]["type"], len(ask(http, "/groupdesc/17")[0]["buckets"])) == ("ALL", 1)
    sent(http, "/groupentry/delete", {"dpid": 17, "group_id": 4})
    assert ask(http, "/groupdesc/17") == []

    bands = [{"type": "DROP", "rate": 1000, "burst_size": 10}]
    sent(http, "/meterentry/add", {"dpid": 17, "flags": "KBPS", "meter_id": 3, "bands": bands})
    assert ask(http, "/meterconfig/17/3") == [{"flags": ["KBPS", "BURST"], "meter_id": 3, "bands": bands}] or ask(
        http, "/meterconfig/17"
    ) == [{"flags": ["KBPS"], "meter_id": 3, "bands": bands}]
    (meter,) = ask(http, "/meter/17")
    keys = "meter_id len flow_count packet_in_count byte_in_count duration_sec duration_nsec band_stats"
    assert set(meter) == set(keys.split()) and meter["band_stats"] == [{"packet_band_count": 0, "byte_band_count": 0}]
    assert set(ask(http, "/meterfeatures/17")[0]) == {"max_meter", "band_types", "capabilities", "max_bands", "max_color"}
    sent(http, "/meterentry/modify", {"dpid": 17, "flags": "PKTPS", "meter_id": 3, "bands": bands})
    assert "PKTPS" in ask(http, "/meterconfig/17")[0]["flags"]
    sent(http, "/meterentry/delete", {"dpid": 17, "meter_id": 3})
    assert ask(http, "/meterconfig/17") == []


@ALONE
@pytest.mark.parametrize("protocol", ["OpenFlow10", "OpenFlow14", "OpenFlow15"])
def test_other_versions_of_openflow(manager: Manager, switch: Switch, http: httpx.Client, protocol: str) -> None:
    bridge = Bridge(switch, "br-user", 17, ["u1", "u2"], manager.openflow_port, protocol)
    wait_for(lambda: http.get("/switches").json() == [17])
    out: dict[str, Any] = {"actions": [{"type": "OUTPUT", "port": 2}]}
    if protocol in ("OpenFlow14", "OpenFlow15"):
        out = {"instructions": [{"type": "APPLY_ACTIONS", **out}]}
    sent(http, "/flowentry/add", {"dpid": 17, "match": {"in_port": 1}, **out})
    wait_for(lambda: "in_port=" in bridge.flows())
    assert bridge.deliver("u1", FRAME) == {"u2"}
    assert ask(http, "/flowdesc/17" if protocol == "OpenFlow15" else "/flow/17")[0]["match"]["in_port"] == 1
    assert {port["name"] for port in ask(http, "/portdesc/17")} == {"u1", "u2", "br-user"}
    assert http.get("/groupdesc/17").status_code == (501 if protocol == "OpenFlow10" else 200)
    assert http.delete("/flowentry/clear/17").status_code == 200
    wait_for(lambda: "in_port=" not in bridge.flows())


@ALONE
def test_ports_roles_and_experimenters(http: httpx.Client, bridge: Bridge) -> None:
    sent(http, "/portdesc/modify", {"dpid": 17, "port_no": 1, "config": 1, "mask": 1})
    wait_for(lambda: {p["port_no"]: p["config"] for p in ask(http, "/portdesc/17")}[1] == 1)
    sent(http, "/role", {"dpid": 17, "role": "MASTER"})
    assert ask(http, "/role/17")[0]["role"] == "MASTER"
    sent(http, "/experimenter/17", {"dpid": 17, "experimenter": 1, "exp_type": 2, "data_type": "ascii", "data": "x"})


def statuses(http: httpx.Client) -> dict[str, Callable[[], httpx.Response]]:
    add = "/flowentry/add"
    return {
        "404 no such switch": lambda: http.get("/desc/18"),
        "404 no such switch to change": lambda: http.post(add, json={"dpid": 18}),
        "404 no such switch to clear": lambda: http.delete("/flowentry/clear/18"),
        "404 no such command": lambda: http.post("/flowentry/invent", json={"dpid": 17}),
        "404 no such port": lambda: http.post("/portdesc/modify", json={"dpid": 17, "port_no": 9}),
        "404 no such path": lambda: http.get("/nothing/17"),
        "400 not a datapath id": lambda: http.get("/desc/one"),
        "400 no datapath id": lambda: http.post(add, json={"match": {}}),
        "400 no body": lambda: http.post(add),
        "400 not JSON": lambda: http.post(add, content=b"{dpid 17"),
        "400 nested": lambda: http.post(add, content=b"(" * 100_000),
        "400 not an object": lambda: http.post(add, content=b"[17]"),
        "400 not an address": lambda: http.post(add, json={"dpid": 17, "match": {"nw_dst": "192.0.2", "dl_type": 2048}}),
        "400 not a field": lambda: http.post(add, json={"dpid": 17, "actions": [{"type": "SET_FIELD", "field": "x", "value": 1}]}),
        "400 match is a list": lambda: http.post(add, json={"dpid": 17, "match": [1]}),
        "400 too large": lambda: http.post(add, json={"dpid": 17, "priority": 1 << 40}),
        "501 not in this version": lambda: http.get("/queuedesc/17"),
        "501 not in this version either": lambda: http.get("/flowdesc/17"),
        "200 as Python writes it": lambda: http.post(add, content=str({"dpid": 17, "match": {"in_port": 1}, "actions": []}).encode()),
        "200 but refused": lambda: http.post(add, json={"dpid": 17, "match": {"nw_proto": 17}, "actions": []}),
    }


@ALONE
def test_errors_have_ryu_s_statuses_and_a_line(manager: Manager, http: httpx.Client, bridge: Bridge) -> None:
    answers = {name: call() for name, call in statuses(http).items()}
    assert {name: str(answer.status_code) for name, answer in answers.items()} == {name: name[:3] for name in answers}
    for name, answer in answers.items():
        assert name.startswith("200") or "not JSON" in name or answer.text.strip(), name
    wait_for(lambda: "refused POST /stats/flowentry/add: OFPBMC_BAD_PREREQ(9)" in manager.log.read_text())
    assert "Traceback" not in manager.log.read_text()
    assert http.get("/switches").json() == [17]


@ALONE
def test_an_experimenter_s_error_is_logged_and_ends_a_question(manager: Manager, http: httpx.Client) -> None:
    def refuse(kind: int) -> None:
        pending = b""
        while True:
            pending += sock.recv(4096)
            while len(pending) >= 8 and len(pending) >= (size := int.from_bytes(pending[2:4], "big")):
                message, pending = pending[:size], pending[size:]
                if message[1] == kind:
                    sock.sendall(struct.pack("!BBH", 4, 1, 24) + message[4:8] + struct.pack("!HHI", 0xFFFF, 7, 0x2320) + message[:8])
                    return

    with openflow_handshake(manager, 17) as sock:
        wait_for(lambda: http.get("/switches").json() == [17])
        assert http.post("/flowentry/add", json={"dpid": 17}).status_code == 200
        refuse(14)
        wait_for(lambda: "refused POST /stats/flowentry/add: experimenter 0x2320 error type 7" in manager.log.read_text())
        asked = threading.Thread(target=refuse, args=(18,))
        asked.start()
        assert ask(http, "/flow/17") == []
        asked.join()
    assert "Traceback" not in manager.log.read_text()


@ALONE
def test_a_page_of_another_site_changes_nothing(http: httpx.Client, bridge: Bridge) -> None:
    body = json.dumps({"dpid": 17, "match": {}, "actions": []})
    answers = [http.post("/flowentry/add", content=body, headers={"Origin": origin}) for origin in ("http://example.net", "null")]
    assert [answer.status_code for answer in answers] == [403, 403] and ask(http, "/flow/17") == []
    assert http.post("/flowentry/add", content=body, headers={"Origin": str(http.base_url.copy_with(path=""))}).status_code == 200


@TWICE
def test_it_comes_with_nvo3_app_and_may_be_named_too(manager: Manager, http: httpx.Client) -> None:
    assert http.get("/switches").json() == []
    assert manager.client.get("/v1/tenants")["items"] == []
