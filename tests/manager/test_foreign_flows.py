"""Flows that a user adds by hand to the overlay's own bridge: seen, shown as foreign, left alone, removed when asked."""

import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.manager.conftest import Manager
from tests.manager.hypervisor import overlay_on
from tests.pipeline.switch import Switch, wait_for

pytestmark = pytest.mark.ovsdb

OURS = "cookie=0x4e564f33"


class BrInt:
    """br-int of the hypervisor hv1, and what is told of it."""

    def __init__(self, manager: Manager, switch: Switch, http: httpx.Client) -> None:
        self.manager, self.switch, self.http = manager, switch, http
        self.dpid = overlay_on(switch, manager)

    def ofctl(self, command: str, *words: str) -> str:
        return self.switch.run("ovs-ofctl", "-O", "OpenFlow13", command, "br-int", *words)

    def flows(self, cookie: str = "") -> list[str]:
        lines = self.ofctl("dump-flows", "--no-stats").splitlines()
        return sorted(line.strip() for line in lines if "actions=" in line and cookie in line)

    def foreign(self) -> list[str]:
        items = self.manager.client.items("/v1/hypervisors/hv1/flows", state="foreign")
        return [f"{i['table']} {i['priority']} {i['cookie'].lstrip('0')} {i['match']} -> {i['actions']}" for i in items]

    def post(self, command: str, **flow: Any) -> httpx.Response:
        return self.http.post(f"/stats/flowentry/{command}", json={"dpid": self.dpid, **flow})


@pytest.fixture
def br_int(manager: Manager, switch: Switch) -> Iterator[BrInt]:
    with httpx.Client(base_url=f"http://127.0.0.1:{manager.http_port}", trust_env=False, timeout=20) as http:
        yield BrInt(manager, switch, http)


def test_what_is_foreign_survives_a_restart_and_what_is_ours_is_put_right(br_int: BrInt, manager: Manager) -> None:
    ours = br_int.flows(OURS)
    assert len(ours) > 3 and br_int.flows() == ours and br_int.foreign() == []
    br_int.ofctl("add-flow", "table=10,priority=7,in_port=3,ip,nw_frag=first,actions=output:4")
    answer = br_int.post(
        "add", priority=9, cookie=5, match={"dl_type": 2048, "nw_dst": "192.0.2.7"}, actions=[{"type": "OUTPUT", "port": 3}]
    )
    assert (answer.status_code, answer.text) == (200, "")
    by_rest = "0 9 5 dl_type=0x800,nw_dst=192.0.2.7 -> output:3"
    wait_for(lambda: by_rest in br_int.foreign())
    foreign = br_int.foreign()
    assert len(foreign) == 2 and foreign[1] == "10 7  ip_frag=1,in_port=3,dl_type=0x800 -> output:4"
    assert {str(f["cookie"]) for f in br_int.http.get(f"/stats/flow/{br_int.dpid}").json()[str(br_int.dpid)]} >= {"0", "5"}

    # One of ours with a wrong action, one that is gone, one whose place is taken, and one that is no longer wanted.
    assert manager.end(signal.SIGKILL) == -signal.SIGKILL
    wrong, gone, taken, *_ = (line.split(" actions=")[0].split(", ", 1)[1] for line in ours if "priority" in line)
    br_int.ofctl("mod-flows", "--strict", f"{wrong},actions=output:9")
    br_int.ofctl("del-flows", "--strict", gone)
    br_int.ofctl("add-flow", f"{taken},actions=output:9")
    br_int.ofctl("add-flow", "cookie=0x4e564f3300000001,table=50,priority=3,in_port=8,actions=output:9")
    assert br_int.flows(OURS) != ours
    manager.start()
    wait_for(lambda: br_int.flows(OURS) == ours)
    wait_for(lambda: manager.client.get("/v1/hypervisors/hv1")["status"]["state"] == "connected")
    assert br_int.foreign() == foreign

    # A reconnection, too, leaves it.
    br_int.switch.run("ovs-vsctl", "set-fail-mode", "br-int", "secure")
    log = manager.log.read_text().count(": connected")
    br_int.switch.run("ovs-appctl", "bridge/reconnect", "br-int")
    wait_for(lambda: manager.log.read_text().count(": connected") > log)
    wait_for(lambda: manager.client.get("/v1/hypervisors/hv1")["status"]["state"] == "connected")
    assert br_int.foreign() == foreign and br_int.flows(OURS) == ours

    # Asked to, it goes, and nothing else does.
    manager.client.delete("/v1/hypervisors/hv1/flows", state="foreign")
    assert br_int.flows() == ours and br_int.foreign() == []
    assert "Traceback" not in manager.log.read_text()


def test_what_ryu_has_no_words_for_is_shown_all_the_same(br_int: BrInt) -> None:
    br_int.ofctl("add-flow", "table=10,priority=7,in_port=3,ip,ct_state=+trk,actions=learn(table=4,NXM_OF_ETH_DST[]),output:4")
    (flow,) = br_int.foreign()
    assert flow.startswith("10 7  ct_state=32/0x20,in_port=3,dl_type=0x800 -> ") and "NXActionLearn" in flow and "output:4" in flow
    flows = br_int.http.get(f"/stats/flow/{br_int.dpid}").json()[str(br_int.dpid)]
    assert any("NXActionLearn" in str(flow["actions"]) for flow in flows) and len(flows) == len(br_int.flows())


def test_changes_by_rest_reach_foreign_flows_only(br_int: BrInt) -> None:
    ours = br_int.flows(OURS)
    for port in (3, 4):
        assert br_int.post("add", table_id=10, priority=7, match={"in_port": port}, actions=[{"type": "OUTPUT", "port": 5}]).text == ""
    wait_for(lambda: len(br_int.foreign()) == 2)
    assert br_int.post("modify", table_id=10, match={}, actions=[{"type": "OUTPUT", "port": 6}]).status_code == 200
    wait_for(lambda: sorted(br_int.foreign()) == ["10 7  in_port=3 -> output:6", "10 7  in_port=4 -> output:6"])
    assert br_int.post("modify_strict", table_id=10, priority=7, match={"in_port": 3}, actions=[]).status_code == 200
    wait_for(lambda: sorted(br_int.foreign()) == ["10 7  in_port=3 -> drop", "10 7  in_port=4 -> output:6"])
    assert br_int.post("delete_strict", table_id=10, priority=7, match={"in_port": 3}).status_code == 200
    wait_for(lambda: br_int.foreign() == ["10 7  in_port=4 -> output:6"])
    assert br_int.flows(OURS) == ours
    assert br_int.http.delete(f"/stats/flowentry/clear/{br_int.dpid}").status_code == 200
    wait_for(lambda: br_int.foreign() == [])
    assert br_int.flows() == ours


def test_what_is_the_overlay_s_by_name_is_refused(br_int: BrInt, manager: Manager) -> None:
    ours = br_int.flows(OURS)
    flows = br_int.http.get(f"/stats/flow/{br_int.dpid}").json()[str(br_int.dpid)]
    place = next({key: flow[key] for key in ("table_id", "priority", "match")} for flow in flows if flow["table_id"] == 0)
    refused = {
        "delete_strict": br_int.post("delete_strict", **place),
        "modify_strict": br_int.post("modify_strict", **place, actions=[]),
        "add": br_int.post("add", **place, actions=[]),
        "our cookie": br_int.post("add", cookie=0x4E564F3300000001, match={"in_port": 77}, actions=[]),
        "meter": br_int.http.post("/stats/meterentry/delete", json={"dpid": br_int.dpid, "meter_id": 1}),
        "role": br_int.http.post("/stats/role", json={"dpid": br_int.dpid, "role": "SLAVE"}),
        "experimenter": br_int.http.post(f"/stats/experimenter/{br_int.dpid}", json={"experimenter": 8992, "exp_type": 1}),
    }
    assert {name: answer.status_code for name, answer in refused.items()} == dict.fromkeys(refused, 409)
    assert refused["add"].text == "the flow with this table, priority and match is the overlay's\n"
    assert br_int.flows() == ours
    group = {"dpid": br_int.dpid, "type": "INDIRECT", "group_id": 4, "buckets": [{"actions": [{"type": "OUTPUT", "port": 1}]}]}
    assert br_int.http.post("/stats/groupentry/add", json=group).status_code == 200
    wait_for(lambda: len(br_int.http.get(f"/stats/groupdesc/{br_int.dpid}").json()[str(br_int.dpid)]) == 1)
    assert br_int.http.get("/stats/switches").json() == [br_int.dpid]
    assert br_int.http.get(f"/stats/desc/{br_int.dpid:016x}").status_code == 200
    assert "Traceback" not in manager.log.read_text()


def test_a_hypervisor_without_a_connection_has_none_to_tell_of(manager: Manager) -> None:
    manager.client.post("/v1/hypervisors", json={"name": "hv1", "remote": "tcp:127.0.0.1:9"})
    with httpx.Client(base_url=f"http://127.0.0.1:{manager.http_port}", trust_env=False) as http:
        for method in ("GET", "DELETE"):
            answer = http.request(method, "/v1/hypervisors/hv1/flows?state=foreign")
            assert answer.status_code == 409 and "is not connected" in answer.json()["detail"]
