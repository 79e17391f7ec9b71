"""Whole tenants in one document: apply and export."""

import copy
from ipaddress import IPv6Network
from typing import Any

import httpx
import pytest

from nvo3.model.logical import eui64

pytestmark = pytest.mark.ovsdb

_DOCUMENT: dict[str, Any] = {
    "tenants": {
        "red": {
            "networks": {
                "web": {
                    "vni": 5001,
                    "pools": ["10.0.0.0/24"],
                    "ports": {
                        "a": {"mac": "02:00:00:00:00:0a", "addresses": ["10.0.0.10"]},
                        "b": {"mac": "02:00:00:00:00:0b", "addresses": ["10.0.0.11"], "port_security": False},
                        "c": {},
                    },
                },
                "db": {"mtu": 1300},
            }
        },
        "blue": {"networks": {"web": {"pools": ["10.0.0.0/24", "fd00::/64"], "ports": {"a": {}}}}},
    }
}


def _apply(http: httpx.Client, document: dict[str, Any], **query: str) -> list[tuple[str, str, str]]:
    reply = http.post("/v1/apply", json=document, params=query)
    assert reply.status_code == 200, reply.text
    return [(change["action"], change["kind"], change["name"]) for change in reply.json()["changes"]]


def _all(http: httpx.Client) -> dict[str, Any]:
    return {path: http.get(f"/v1/{path}").json()["items"] for path in ("tenants", "networks", "ports")}


def test_apply_makes_all_of_it_and_the_second_time_nothing(http: httpx.Client) -> None:
    assert set(_apply(http, _DOCUMENT, wait="realized")) == {
        ("create", "tenant", "red"),
        ("create", "tenant", "blue"),
        *(("create", "network", name) for name in ("red/web", "red/db", "blue/web")),
        *(("create", "port", name) for name in ("red/web/a", "red/web/b", "red/web/c", "blue/web/a")),
    }
    ports = {f"{p['tenant']}/{p['network']}/{p['name']}": p for p in _all(http)["ports"]}
    assert (ports["red/web/a"]["mac"], ports["red/web/a"]["addresses"]) == ("02:00:00:00:00:0a", ["10.0.0.10"])
    assert not ports["red/web/b"]["port_security"]
    assert ports["red/web/c"]["addresses"] == ["10.0.0.2"]
    assert ports["blue/web/a"]["addresses"] == ["10.0.0.2", str(eui64(ports["blue/web/a"]["mac"], IPv6Network("fd00::/64")))]
    vnis = {f"{n['tenant']}/{n['name']}": n["vni"] for n in _all(http)["networks"]}
    assert vnis == {"red/web": 5001, "red/db": 5000, "blue/web": 5002}
    before = _all(http)
    assert _apply(http, _DOCUMENT) == []
    assert _all(http) == before


def test_a_dry_run_says_it_and_does_nothing(http: httpx.Client) -> None:
    said = _apply(http, _DOCUMENT, dry_run="true")
    assert _all(http) == {"tenants": [], "networks": [], "ports": []}
    assert _apply(http, _DOCUMENT) == said
    changed = copy.deepcopy(_DOCUMENT)
    changed["tenants"]["red"]["networks"]["web"]["mtu"] = 1350
    reply = http.post("/v1/apply?dry_run=true", json=changed).json()
    assert reply == {
        "dry_run": True,
        "changes": [
            {"action": "change", "kind": "network", "name": "red/web", "fields": [{"field": "mtu", "before": 1400, "after": 1350}]},
        ],
    }


def test_what_a_tenants_document_has_not_is_deleted_and_other_tenants_stay(http: httpx.Client) -> None:
    _apply(http, _DOCUMENT)
    document = {"tenants": {"red": {"networks": {"web": {"vni": 5001, "pools": ["10.0.0.0/24"], "ports": {"c": {}}}}}}}
    kept = http.get("/v1/tenants/red/networks/web/ports/c").json()
    assert set(_apply(http, document)) == {("delete", "port", f"red/web/{p}") for p in "ab"} | {("delete", "network", "red/db")}
    assert http.get("/v1/tenants/red/networks/web/ports").json()["items"] == [kept]
    assert http.get("/v1/tenants/blue/networks/web/ports/a").status_code == 200


def test_names_addresses_and_vnis_may_change_places(http: httpx.Client) -> None:
    """What counts is the state afterwards, not an order of steps."""
    _apply(http, _DOCUMENT)
    document = copy.deepcopy(_DOCUMENT)
    ports = document["tenants"]["red"]["networks"]["web"]["ports"]
    ports["a"], ports["b"] = ports["b"], ports["a"]
    del ports["c"]
    ports["d"] = {"addresses": ["10.0.0.2"]}  # c's
    document["tenants"]["red"]["networks"]["db"]["vni"] = 5001
    document["tenants"]["red"]["networks"]["web"]["vni"] = 5000
    _apply(http, document)
    found = {p["name"]: p for p in http.get("/v1/tenants/red/networks/web/ports").json()["items"]}
    assert (found["a"]["mac"], found["b"]["mac"]) == ("02:00:00:00:00:0b", "02:00:00:00:00:0a")
    assert [found[name]["addresses"] for name in "abd"] == [["10.0.0.11"], ["10.0.0.10"], ["10.0.0.2"]]
    assert [http.get(f"/v1/tenants/red/networks/{n}").json()["vni"] for n in ("web", "db")] == [5000, 5001]
    assert _apply(http, document) == []


def test_what_guests_are_told_is_part_of_the_document(http: httpx.Client) -> None:
    document = copy.deepcopy(_DOCUMENT)
    told = {
        "dhcp": False,
        "gateways": ["10.0.0.1", "fd00::1"],
        "dns_servers": ["9.9.9.9", "fd00::53", "1.1.1.1"],
        "routes": [{"destination": "192.168.0.0/16", "nexthop": "10.0.0.9"}],
        "domain": "example",
        "lease_s": 60,
    }
    document["tenants"]["blue"]["networks"]["web"].update(told)
    _apply(http, document)
    exported = http.get("/v1/export").json()["tenants"]["blue"]["networks"]["web"]
    assert {name: exported[name] for name in told} == told
    assert _apply(http, document) == [] == _apply(http, http.get("/v1/export").json())
    document["tenants"]["blue"]["networks"]["web"]["routes"] *= 2
    reply = http.post("/v1/apply", json=document)
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, "tenants.blue.networks.web.routes[1].destination")
    _apply(http, _DOCUMENT)
    defaults = {"dhcp": True, "gateways": [], "dns_servers": [], "routes": [], "domain": "", "lease_s": 3600}
    exported = http.get("/v1/export").json()["tenants"]["blue"]["networks"]["web"]
    assert {name: exported[name] for name in told} == defaults


def test_pools_may_be_replaced_together_with_the_addresses(http: httpx.Client) -> None:
    _apply(http, _DOCUMENT)
    document = copy.deepcopy(_DOCUMENT)
    web = document["tenants"]["red"]["networks"]["web"]
    web["pools"] = ["10.9.0.0/24"]
    reply = http.post("/v1/apply", json=document)
    assert reply.status_code == 409
    assert reply.json()["errors"][0]["field"] == "tenants.red.networks.web.ports.a.addresses[0]"
    web["ports"] = {"a": {"mac": "02:00:00:00:00:0a", "addresses": ["10.9.0.10"]}, "n": {}}
    _apply(http, document)
    found = http.get("/v1/tenants/red/networks/web/ports").json()["items"]
    assert [p["addresses"] for p in found] == [["10.9.0.10"], ["10.9.0.2"]]


@pytest.mark.parametrize(
    ("place", "value", "status", "field"),
    [
        (("web", "vni"), 0, 400, "tenants.red.networks.web.vni"),
        (("web", "vni"), 5001.5, 400, "tenants.red.networks.web.vni"),
        (("web", "colour"), "red", 400, "tenants.red.networks.web.colour"),
        (("web", "pools"), ["10.0.0.1/24"], 400, "tenants.red.networks.web.pools[0]"),
        (("web", "ports", "a", "mac"), "x", 400, "tenants.red.networks.web.ports.a.mac"),
        (("web", "ports", "a", "mac"), "02:00:00:00:00:0b", 409, "tenants.red.networks.web.ports.b.mac"),
        (("web", "ports", "a", "addresses"), ["10.0.0.11"], 409, "tenants.red.networks.web.ports.b.addresses"),
        (("web", "ports", "a", "offload"), "cvsw", 409, "tenants.red.networks.web.ports.a.offload"),
        (("web", "ports", "a/b"), {}, 400, "tenants.red.networks.web.ports.a/b"),
        (("db", "vni"), 5001, 409, "tenants.red.networks.db.vni"),
        (("db", "vni"), 7, 409, "tenants.red.networks.db.vni"),
    ],
)
def test_one_wrong_value_and_nothing_is_done(http: httpx.Client, place: tuple[str, ...], value: Any, status: int, field: str) -> None:
    http.put("/v1/tenants/green", json={})
    http.put("/v1/tenants/green/networks/n", json={"vni": 7})
    document = copy.deepcopy(_DOCUMENT)
    at = document["tenants"]["red"]["networks"]
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    before = _all(http)
    for query in ("", "?dry_run=true"):
        reply = http.post(f"/v1/apply{query}", json=document)
        assert (reply.status_code, reply.json()["errors"][0]["field"]) == (status, field), reply.text
    assert _all(http) == before


def test_export_and_apply_are_one_anothers_inverse(http: httpx.Client) -> None:
    _apply(http, _DOCUMENT)
    whole, before = http.get("/v1/export").json(), _all(http)
    assert set(whole["tenants"]) == {"red", "blue"}
    assert set(http.get("/v1/export?tenant=red").json()["tenants"]) == {"red"}
    assert _apply(http, whole) == []
    _apply(http, {"tenants": {"red": {}, "blue": {}}})
    assert [_all(http)[kind] for kind in ("networks", "ports")] == [[], []]
    _apply(http, whole)

    def without_uuids(found: dict[str, Any]) -> dict[str, Any]:
        return {kind: [{k: v for k, v in item.items() if k != "uuid"} for item in items] for kind, items in found.items()}

    assert without_uuids(_all(http)) == without_uuids(before)
    assert http.get("/v1/export?tenant=nobody").status_code == 404


def test_a_document_too_large_is_refused(http: httpx.Client) -> None:
    document = {"tenants": {"red": {"networks": {"web": {"ports": {f"p{n}": {} for n in range(5001)}}}}}}
    reply = http.post("/v1/apply", json=document)
    assert reply.status_code == 400 and "5002 networks and ports exceed 5000" in reply.json()["detail"]
