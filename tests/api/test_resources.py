"""What a client of the API sees: resources, lists, waiting."""

import threading
import time
from typing import Any

import httpx
import pytest

from nvo3.api.client import ApiError, ApiUnreachable, Client, item_path

pytestmark = pytest.mark.ovsdb


def _reply(reply: httpx.Response, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == ("application/json" if status < 400 else "application/problem+json")
    content: dict[str, Any] = reply.json()
    return content


def test_tenant(http: httpx.Client) -> None:
    reply = http.post("/v1/tenants", json={"name": "red"})
    created = _reply(reply, 201)
    assert reply.headers["location"] == "/v1/tenants/red"
    assert created == {"name": "red", "uuid": created["uuid"]}
    assert _reply(http.get("/v1/tenants/red"), 200) == created
    http.post("/v1/tenants", json={"name": "blue"})
    items = _reply(http.get("/v1/tenants"), 200)["items"]
    assert [item["name"] for item in items] == ["blue", "red"]
    renamed = _reply(http.patch("/v1/tenants/red", json={"name": "green"}), 200)
    assert renamed == {"name": "green", "uuid": created["uuid"]}
    assert _reply(http.get("/v1/tenants/red"), 404)["detail"] == "tenant 'red' does not exist"
    reply = http.delete("/v1/tenants/green")
    assert (reply.status_code, reply.content) == (204, b"")
    assert _reply(http.delete("/v1/tenants/green"), 404)


def test_network(http: httpx.Client, web: str) -> None:
    shown = _reply(http.get(web), 200)
    assert shown == {
        "name": "web",
        "uuid": shown["uuid"],
        "tenant": "red",
        "vni": 5000,
        "encapsulation": "auto",
        "mtu": 1400,
        "pools": ["10.0.0.0/24", "fd00::/64"],
        "dhcp": True,
        "gateways": [],
        "dns_servers": [],
        "routes": [],
        "domain": "",
        "lease_s": 3600,
        "status": {
            "hypervisors": ["hv1", "hv2"],
            "encapsulations": [
                {"from": "hv1", "to": "hv2", "encapsulation": "geneve"},
                {"from": "hv2", "to": "hv3", "encapsulation": None},
            ],
            "detail": "hv2 and hv3 share none",
        },
    }
    body = {"name": "www", "vni": 7, "encapsulation": "gre", "mtu": 9000, "pools": ["10.0.0.0/16", "fd00::/64"]} | {
        "dhcp": False,
        "gateways": ["10.0.0.1", "fd00::1"],
        "dns_servers": ["9.9.9.9", "fd00::53"],
        "routes": [{"destination": "192.168.0.0/16", "nexthop": "10.0.0.9"}],
        "domain": "web.example",
        "lease_s": 600,
    }
    changed = _reply(http.patch(web, json=body), 200)
    assert changed == {**shown, **body}
    assert _reply(http.get("/v1/tenants/red/networks"), 200) == {"items": [changed]}
    assert _reply(http.patch("/v1/tenants/red/networks/www", json={"mtu": 1300}), 200) == {**changed, "mtu": 1300}


def test_port(http: httpx.Client, web: str) -> None:
    shown = _reply(http.get(f"{web}/ports/a1"), 200)
    assert shown == {
        "name": "a1",
        "uuid": shown["uuid"],
        "tenant": "red",
        "network": "web",
        "mac": "02:00:00:00:00:01",
        "addresses": ["10.0.0.2", "fd00::ff:fe00:1"],
        "port_security": True,
        "offload": "none",
        "underlay_ip": None,
        "status": {
            "state": "unbound",
            "hypervisor": None,
            "interface": None,
            "ofport": None,
            "detail": "no interface carries its uuid",
        },
    }
    body = {"mac": "02:00:00:00:00:09", "addresses": ["10.0.0.9"], "port_security": False}
    assert _reply(http.patch(f"{web}/ports/a1", json=body), 200) == {**shown, **body}
    created = _reply(http.post(f"{web}/ports", json={"name": "a0", "addresses": []}), 201)
    assert created["addresses"] == []
    assert int(created["mac"][:2], 16) & 3 == 2
    assert [item["name"] for item in _reply(http.get(f"{web}/ports"), 200)["items"]] == ["a0", "a1"]
    assert http.delete(f"{web}/ports/a1").status_code == 204
    assert _reply(http.post(f"{web}/ports", json={"name": "a2", "mac": "02:00:00:00:00:03"}), 201)["addresses"] == [
        "10.0.0.2",
        "fd00::ff:fe00:3",
    ]


def test_port_counters(http: httpx.Client, web: str) -> None:
    for name in ("up1", "mute1"):
        _reply(http.post(f"{web}/ports", json={"name": name}), 201)
    assert _reply(http.get(f"{web}/ports/up1/counters"), 200) == {
        "rx_packets": 1,
        "rx_bytes": 2,
        "tx_packets": 3,
        "tx_bytes": 4,
        "rx_dropped": 5,
        "tx_dropped": 6,
        "spoofed_packets": 7,
        "asked": {"ack": 1, "offer": 2},
    }
    assert "is not bound" in _reply(http.get(f"{web}/ports/a1/counters"), 409)["detail"]
    assert "did not answer" in _reply(http.get(f"{web}/ports/mute1/counters"), 504)["detail"]


def test_hypervisor(http: httpx.Client) -> None:
    reply = http.post("/v1/hypervisors?wait=realized", json={"name": "hv1", "remote": "tcp:192.0.2.1:6640"})
    created = _reply(reply, 201)
    assert reply.headers["location"] == "/v1/hypervisors/hv1"
    status = created["status"]
    assert status.pop("dpid").startswith("4e56") and len(reply.json()["status"]["dpid"]) == 16
    assert status == {
        "state": "connected",
        "connected": True,
        "vtep_ip": "192.0.2.1",
        "encapsulations": ["geneve", "vxlan"],
        "underlay_mtu": 1500,
        "n_ports": 0,
        "n_flows": 12,
        "detail": "",
    }
    _reply(http.post("/v1/hypervisors", json={"name": "busy", "remote": "tcp:192.0.2.9:6640"}), 201)
    refused = http.delete("/v1/hypervisors/busy")
    assert refused.status_code == 409 and "in use by 2 ports" in refused.json()["detail"]
    _reply(http.patch("/v1/hypervisors/busy", json={"name": "idle"}), 200)
    assert http.delete("/v1/hypervisors/idle").status_code == 204
    changed = _reply(http.patch("/v1/hypervisors/hv1", json={"remote": "unix:/run/x.sock"}), 200)
    assert (changed["remote"], changed["uuid"]) == ("unix:/run/x.sock", created["uuid"])
    assert [item["name"] for item in _reply(http.get("/v1/hypervisors"), 200)["items"]] == ["hv1"]
    assert http.delete("/v1/hypervisors/hv1").status_code == 204


def test_agents(http: httpx.Client, web: str) -> None:
    assert _reply(http.get("/v1/agents"), 200) == {"items": []}
    refused = _reply(http.post(f"{web}/ports", json={"name": "up1", "offload": "cvsw"}), 409)
    assert "agent_pools" in refused["detail"] and refused["errors"][0]["field"] == "offload"
    _reply(http.patch("/v1/settings", json={"agent_pools": ["192.0.2.128/29"]}), 200)
    for n, name in enumerate(("up1", "mute1", "un1", "absent1"), 129):
        port = _reply(http.post(f"{web}/ports", json={"name": name, "offload": "cvsw"}), 201)
        assert (port["offload"], port["underlay_ip"]) == ("cvsw", f"192.0.2.{n}")
    items = _reply(http.get("/v1/agents"), 200)["items"]
    assert [(item["port"], item["state"]) for item in items] == [
        ("red/web/absent1", "absent"),
        ("red/web/mute1", "connected"),
        ("red/web/un1", "unbound"),
        ("red/web/up1", "connected"),
    ]
    shown = _reply(http.get(f"{web}/ports/up1/agent"), 200)
    assert (
        shown
        == items[3]
        == {
            "port": "red/web/up1",
            "hypervisor": "hv1",
            "underlay_ip": "192.0.2.129",
            "state": "connected",
            "capabilities": ["error", "flow_stats"],
            "encapsulations": ["stt", "vxlan"],
            "entries_desired": 2,
            "entries_present": 1,
            "realized": False,
            "underlay_mtu": 1500,
            "refused": ["BAC_BAD_ARGUMENT"],
            "dropped": {"unasked": 3},
        }
    )
    table = _reply(http.get(f"{web}/ports/up1/agent/table"), 200)["items"]
    assert [(e["state"], e["match"], e["actions"], e["packets"], e["bytes"], e["age_s"]) for e in table] == [
        ("present", "in_port=HOST", "output:NET", 5, 300, 1.5),
        ("missing", "in_port=NET", "output:HOST", 0, 0, 0.0),
    ]
    assert "did not answer" in _reply(http.get(f"{web}/ports/mute1/agent/table"), 504)["detail"]
    for name, state in (("un1", "unbound"), ("absent1", "absent")):
        assert f"it is {state}" in _reply(http.get(f"{web}/ports/{name}/agent/table"), 409)["detail"]
    assert "has offload none" in _reply(http.get(f"{web}/ports/a1/agent"), 409)["detail"]
    changed = _reply(http.patch(f"{web}/ports/up1", json={"offload": "none"}), 200)
    assert (changed["offload"], changed["underlay_ip"]) == ("none", None)


def test_settings(http: httpx.Client) -> None:
    body = {"encapsulation_order": ["geneve", "vxlan", "gre"], "sclp_payload": "vxlan", "agent_pools": []}
    assert _reply(http.get("/v1/settings"), 200) == body
    body = {"encapsulation_order": ["vxlan", "gre"], "sclp_payload": "geneve", "agent_pools": ["192.0.2.128/25"]}
    assert _reply(http.patch("/v1/settings", json=body), 200) == body
    assert _reply(http.patch("/v1/settings", json={}), 200) == body
    assert _reply(http.get("/v1/settings"), 200) == body


def test_wait_realized(http: httpx.Client, web: str) -> None:
    assert http.post(f"{web}/ports?wait=realized", json={"name": "a2"}).status_code == 201
    http.post("/v1/hypervisors", json={"name": "deaf1", "remote": "tcp:192.0.2.9:6640"})
    started = time.monotonic()
    problem = _reply(http.post(f"{web}/ports?wait=realized&timeout=0.3", json={"name": "a3"}), 202)
    assert 0.3 <= time.monotonic() - started < 2
    assert problem["detail"] == "port red/web/a3 is stored, but not in force within 0.3 s at: deaf1"
    assert [error["value"] for error in problem["errors"]] == ["deaf1"]
    assert _reply(http.get(f"{web}/ports/a3"), 200)["name"] == "a3"
    problem = _reply(http.patch(f"{web}?wait=realized&timeout=0.1", json={"mtu": 1300}), 202)
    assert "network red/web is stored, but not in force" in problem["detail"]
    problem = _reply(http.delete(f"{web}/ports/a3?wait=realized&timeout=0.1"), 202)
    assert "port red/web/a3 is deleted, but not in force" in problem["detail"]
    assert http.get(f"{web}/ports/a3").status_code == 404


def test_wait_for_hypervisor(http: httpx.Client) -> None:
    body = {"name": "deaf1", "remote": "tcp:192.0.2.9:6640"}
    problem = _reply(http.post("/v1/hypervisors?wait=realized&timeout=0.2", json=body), 202)
    assert problem["detail"] == "hypervisor deaf1 is stored, but not connected within 0.2 s: no answer from it"
    assert _reply(http.get("/v1/hypervisors/deaf1"), 200)["status"]["state"] == "connecting"


def test_wait_until_port_is_up(http: httpx.Client, web: str) -> None:
    http.post(f"{web}/ports", json={"name": "up1"})
    assert _reply(http.get(f"{web}/ports/up1?wait=up"), 200)["status"]["state"] == "up"
    problem = _reply(http.get(f"{web}/ports/a1?wait=up&timeout=0.2"), 202)
    expected = "port red/web/a1 is not up within 0.2 s: it is unbound (no interface carries its uuid)"
    assert problem["detail"] == expected


def test_waiting_holds_nobody_up(http: httpx.Client, controller: Any) -> None:
    http.post("/v1/hypervisors", json={"name": "deaf1", "remote": "tcp:192.0.2.9:6640"})
    with httpx.Client(base_url=controller.url, trust_env=False) as other:
        path = "/v1/tenants?wait=realized&timeout=2"
        thread = threading.Thread(target=lambda: other.post(path, json={"name": "slow"}))
        thread.start()
        started = time.monotonic()
        for number in range(20):
            http.post("/v1/tenants", json={"name": f"t{number}"}).raise_for_status()
        assert time.monotonic() - started < 1.5
        thread.join()


def test_concurrent_clients_get_different_addresses(web: str, controller: Any) -> None:
    """Eight clients at once; no address and no MAC twice."""
    made: list[dict[str, Any]] = []

    def create(worker: int) -> None:
        with Client(controller.url) as client:
            for number in range(15):
                made.append(client.post(f"{web}/ports", {"name": f"p{worker}-{number}"}))

    threads = [threading.Thread(target=create, args=[worker]) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 120
    for family in (0, 1):
        assert len({port["addresses"][family] for port in made}) == 120
    assert len({port["mac"] for port in made}) == 120


def test_openapi(http: httpx.Client) -> None:
    document = _reply(http.get("/openapi.json"), 200)
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/tenants",
        "/v1/tenants/{tenant}",
        "/v1/tenants/{tenant}/networks",
        "/v1/tenants/{tenant}/networks/{network}",
        "/v1/tenants/{tenant}/networks/{network}/ports",
        "/v1/tenants/{tenant}/networks/{network}/ports/{port}",
        "/v1/tenants/{tenant}/networks/{network}/ports/{port}/counters",
        "/v1/tenants/{tenant}/networks/{network}/ports/{port}/agent",
        "/v1/tenants/{tenant}/networks/{network}/ports/{port}/agent/table",
        "/v1/agents",
        "/v1/apply",
        "/v1/events",
        "/v1/events/stream",
        "/v1/export",
        "/v1/networks",
        "/v1/ports",
        "/v1/hypervisors",
        "/v1/hypervisors/{hypervisor}",
        "/v1/hypervisors/{hypervisor}/flows",
        "/v1/tenants/{tenant}/networks/{network}/ports/{port}/flows",
        "/v1/tunnels",
        "/v1/settings",
    }
    create = document["paths"]["/v1/tenants/{tenant}/networks"]["post"]
    assert list(create["responses"]["409"]["content"]) == ["application/problem+json"]
    assert list(create["responses"]["400"]["content"]) == ["application/problem+json"]
    properties = document["components"]["schemas"]["NetworkCreate"]["properties"]
    assert (properties["vni"]["minimum"], properties["vni"]["maximum"]) == (1, 16777215)
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return found + [reference for item in value.values() for reference in _references(item)]
    return [reference for item in value for reference in _references(item)] if isinstance(value, list) else []


def test_health(http: httpx.Client) -> None:
    assert _reply(http.get("/healthz"), 200) == {"status": "ok"}


def test_client_errors_are_one_line(web: str, controller: Any) -> None:
    with Client(controller.url) as client:
        with pytest.raises(ApiError) as caught:
            client.post(f"{web}/ports", {"name": "a1"})
        assert str(caught.value) == "name: a1: network red/web has a port of that name"
        assert (caught.value.status, caught.value.errors[0]["value"]) == (409, "a1")
        with pytest.raises(ApiError) as caught:
            client.get(item_path("tenants", "a b/c?d"))
        assert caught.value.status == 404
        assert client.delete(f"{web}/ports/a1") == {}
    with Client("http://127.0.0.1:1") as client, pytest.raises(ApiUnreachable, match="no API at http://127.0.0.1:1 "):
        client.get("/v1/tenants")


def test_lists_come_in_pages_and_filtered(http: httpx.Client, web: str) -> None:
    for n in range(2, 8):
        http.post(f"{web}/ports", json={"name": f"a{n}", "mac": f"02:00:00:00:00:{n:02x}", "port_security": n != 3}).raise_for_status()
    http.post("/v1/tenants", json={"name": "blue"}).raise_for_status()
    http.post("/v1/tenants/blue/networks", json={"name": "db", "encapsulation": "gre", "vni": 77}).raise_for_status()
    http.post("/v1/tenants/blue/networks/db/ports", json={"name": "a1", "mac": "02:00:00:00:00:99"}).raise_for_status()
    first = http.get(f"{web}/ports?limit=3")
    assert [item["name"] for item in first.json()["items"]] == ["a1", "a2", "a3"]
    second = http.get(first.links["next"]["url"])
    assert [item["name"] for item in second.json()["items"]] == ["a4", "a5", "a6"]
    http.delete(f"{web}/ports/a6").raise_for_status()  # a page begins behind a name, not at a number
    last = http.get(second.links["next"]["url"])
    assert [item["name"] for item in last.json()["items"]] == ["a7"] and not last.links
    with Client(str(http.base_url)) as client:
        assert [item["name"] for item in client.items(f"{web}/ports", limit=2)] == ["a1", "a2", "a3", "a4", "a5", "a7"]
        everywhere = client.items("/v1/ports", limit=4)
        assert [(i["tenant"], i["name"]) for i in everywhere] == [("blue", "a1"), *(("red", f"a{n}") for n in (1, 2, 3, 4, 5, 7))]
        assert [i["tenant"] for i in client.items("/v1/ports", mac="02:00:00:00:00:99")] == ["blue"]
        assert [i["name"] for i in client.items("/v1/ports", address="10.0.0.3")] == ["a2"]
        assert client.items("/v1/ports", state="up") == []
        assert [i["name"] for i in client.items("/v1/networks", encapsulation="gre")] == ["db"]
        assert [i["name"] for i in client.items("/v1/networks", vni=5000, hypervisor="hv1")] == ["web"]
        assert client.items("/v1/networks", hypervisor="hv9") == []
    for query in ("limit=0", "limit=1001", "limit=x", "colour=red", "state=best"):
        assert http.get(f"{web}/ports?{query}").status_code == 400


def test_flows_of_a_hypervisor_and_of_a_port(http: httpx.Client, web: str) -> None:
    for name in ("hv1", "hv2", "mute1", "deaf1"):
        http.put(f"/v1/hypervisors/{name}", json={"remote": f"unix:/{name}"}).raise_for_status()
    items = _reply(http.get("/v1/hypervisors/hv1/flows"), 200)["items"]
    assert [(item["hypervisor"], item["state"], item["table"]) for item in items] == [
        *(("hv1", "present", 0), ("hv1", "missing", 50), ("hv1", "foreign", 50))
    ]
    assert (items[0]["match"], items[0]["actions"], items[0]["packets"], items[0]["bytes"]) == ("in_port=1", "goto_table:10", 5, 300)
    with Client(str(http.base_url)) as client:
        assert client.items("/v1/hypervisors/hv1/flows", limit=1) == items
        assert client.items("/v1/hypervisors/hv1/flows", state="foreign") == items[2:]
        assert client.items("/v1/hypervisors/hv1/flows", table=0) == items[:1]
        about = client.items(f"{web}/ports/a1/flows", limit=1)
        assert [(item["hypervisor"], item["state"]) for item in about] == [(h, s) for h in ("hv1", "hv2") for s in ("present", "missing")]
    assert http.delete("/v1/hypervisors/hv1/flows").status_code == 400
    assert http.delete("/v1/hypervisors/hv1/flows?state=foreign").status_code == 204
    assert _reply(http.get("/v1/hypervisors/hv1/flows?state=foreign"), 200)["items"] == []
    assert http.delete("/v1/hypervisors/deaf1/flows?state=foreign").status_code == 409
    assert "is not connected" in _reply(http.get("/v1/hypervisors/deaf1/flows"), 409)["detail"]
    assert "did not answer" in _reply(http.get("/v1/hypervisors/mute1/flows"), 504)["detail"]


def test_tunnels(http: httpx.Client) -> None:
    items = _reply(http.get("/v1/tunnels"), 200)["items"]
    assert items[0] == {
        "from": "hv1",
        "to": "hv2",
        "encapsulation": "stt",
        "networks": ["red/web"],
        "sent_packets": 7,
        "sent_bytes": 700,
        "received_packets": 6,
        "received_bytes": 600,
    }
    assert (items[1]["sent_packets"], items[1]["received_bytes"]) == (None, 100)
    with Client(str(http.base_url)) as client:
        assert client.items("/v1/tunnels", limit=1) == items
        assert client.items("/v1/tunnels", hypervisor="hv1") == items[:2]
        assert client.items("/v1/tunnels", encapsulation="vxlan", network="red/web") == items[2:]
