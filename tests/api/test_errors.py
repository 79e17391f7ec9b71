"""What a client sees when it is wrong: always problem+json with one clear line, and nothing is changed."""

import json
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.ovsdb

_MIB = 1 << 20


def _problem(reply: httpx.Response, status: int) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    problem: dict[str, Any] = reply.json()
    assert (reply.status_code, problem["status"], problem["type"]) == (status, status, "about:blank"), reply.text
    assert problem["title"] and problem["detail"].isprintable()
    assert "Traceback" not in reply.text
    return problem


def _post(http: httpx.Client, content: bytes, content_type: str = "application/json") -> httpx.Response:
    return http.post("/v1/tenants", content=content, headers={"content-type": content_type})


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON: "),
        (b'{"name": "a"} x', "the body is not JSON: Extra data"),
        (b"[]", "must be a JSON object, not []"),
        (b'"{}"', 'must be a JSON object, not "{}"'),
        (b"null", "must be a JSON object, not null"),
        (b'{"name": NaN}', "NaN is not a JSON value"),
        (b'{"name": "a", "name": "b"}', "'name' stands twice"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b'{"name": ' + b"[" * 200_000 + b"}", "nested too deeply"),
        (b'{"name": ' + b"9" * 10_000 + b"}", "the body is not JSON: Exceeds the limit"),
    ],
)
def test_body_that_is_no_object(http: httpx.Client, content: bytes, detail: str) -> None:
    assert detail in _problem(_post(http, content), 400)["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_content_type(http: httpx.Client, content_type: str) -> None:
    assert "application/json" in _problem(_post(http, b'{"name": "red"}', content_type), 415)["detail"]
    assert http.get("/v1/tenants").json() == {"items": []}


@pytest.mark.parametrize("chunked", [False, True])
def test_body_too_long(http: httpx.Client, chunked: bool) -> None:
    content = b'{"name": "red"}' + b" " * _MIB
    sent: Any = iter([content[:_MIB], content[_MIB:]]) if chunked else content
    problem = _problem(_post(http, sent), 413)
    assert problem["detail"] == "the body exceeds 1048576 bytes"
    assert _post(http, content[:_MIB]).status_code == 201


def test_chunked_body(http: httpx.Client) -> None:
    assert _post(http, iter([b'{"na', b'me": "red"}'])).status_code == 201  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "name", "is missing"),
        ({"name": 5}, "name", "must be a string, not 5 (an integer)"),
        ({"name": None}, "name", "must be a string, not null"),
        ({"name": "n", "vni": "5"}, "vni", 'must be an integer, not "5" (a string)'),
        ({"name": "n", "vni": 5.5}, "vni", "must be an integer, not 5.5 (a number)"),
        ({"name": "n", "vni": True}, "vni", "must be an integer, not true (true or false)"),
        ({"name": "n", "vni": None}, "vni", "must be an integer, not null"),
        ({"name": "n", "pools": "10.0.0.0/8"}, "pools", 'must be a list, not "10.0.0.0/8" (a string)'),
        ({"name": "n", "pools": [1]}, "pools[0]", "must be a string, not 1 (an integer)"),
        ({"name": "n", "pool": []}, "pool", "unknown field; known are: name, vni, encapsulation, mtu, pools"),
        ({"name": "n", "uuid": "x"}, "uuid", "unknown field; known are: name, vni, encapsulation, mtu, pools"),
        ({"name": "n", "vni": 16777216}, "vni", "16777216 is not within 1..16777215"),
        ({"name": "n", "vni": 0}, "vni", "0 is not within 1..16777215"),
        ({"name": "n", "vni": 10**30}, "vni", f"{10**30} is not within 1..16777215"),
        ({"name": "n", "mtu": 1279}, "mtu", "1279 is not within 1280..65000 bytes"),
        ({"name": "n", "encapsulation": "x"}, "encapsulation", "'x' is not one of auto, none, stt, sclp-udp, sclp, geneve, vxlan, gre"),
        ({"name": "n", "pools": ["10.0.0.0/8", "10.1.0.0/16"]}, "pools[1]", "10.1.0.0/16 overlaps 10.0.0.0/8"),
        ({"name": "n", "pools": ["10.0.0.1/8"]}, "pools[0]", "10.0.0.1/8 has host bits set; the prefix is 10.0.0.0/8"),
        ({"name": "a/b"}, "name", "'a/b' is not a name: 1 to 63 of"),
        ({"name": "n\u0000\u202e"}, "name", "is not a name: 1 to 63 of"),
    ],
)
def test_network_fields(http: httpx.Client, web: str, body: dict[str, Any], field: str, message: str) -> None:
    problem = _problem(http.post("/v1/tenants/red/networks", json=body), 400)
    assert problem["errors"][0]["field"] == field
    assert message in problem["errors"][0]["message"]
    assert problem["detail"].startswith(f"{field}: ")
    assert len(http.get("/v1/tenants/red/networks").json()["items"]) == 1


def test_error_carries_value_and_limit(http: httpx.Client, web: str) -> None:
    problem = _problem(http.patch(web, json={"vni": 16777216}), 400)
    message = "16777216 is not within 1..16777215"
    assert problem["detail"] == f"vni: {message}"
    assert problem["errors"] == [{"field": "vni", "value": 16777216, "limit": "1..16777215", "message": message}]


def test_several_errors_at_once(http: httpx.Client, web: str) -> None:
    problem = _problem(http.post(f"{web}/ports", json={"name": 1, "mac": 2, "port_security": "yes"}), 400)
    assert [error["field"] for error in problem["errors"]] == ["name", "mac", "port_security"]
    assert problem["detail"].count("; ") == 2


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("/v1/tenants", {"name": "red"}, "name", "red: a tenant of that name exists"),
        ("/v1/tenants/red/networks", {"name": "n", "vni": 5000}, "vni", "5000: taken by network red/web"),
        ("{web}/ports", {"name": "b", "mac": "02:00:00:00:00:01"}, "mac", "taken by port red/web/a1"),
        ("{web}/ports", {"name": "b", "mac": "02-00-00-00-00-01"}, "mac", "taken by port red/web/a1"),
        ("{web}/ports", {"name": "b", "addresses": ["10.0.0.2"]}, "addresses", "taken by port red/web/a1"),
        ("{web}/ports", {"name": "a1"}, "name", "network red/web has a port of that name"),
    ],
)
def test_taken(http: httpx.Client, web: str, path: str, body: dict[str, Any], field: str, message: str) -> None:
    problem = _problem(http.post(path.format(web=web), json=body), 409)
    assert problem["errors"][0]["field"] == field
    assert message in problem["detail"]


def test_in_use(http: httpx.Client, web: str) -> None:
    assert _problem(http.delete("/v1/tenants/red"), 409)["detail"] == "tenant red is in use by network red/web"
    assert _problem(http.delete(web), 409)["detail"] == "network red/web is in use by port red/web/a1"
    problem = _problem(http.patch(web, json={"pools": ["10.1.0.0/24", "fd00::/64"]}), 409)
    assert problem["detail"].startswith("pools: port red/web/a1: 10.0.0.2 is in no pool of the network")


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        ({"mac": "02:00:00:00:00"}, "mac", 400),
        ({"mac": "01:00:5e:00:00:01"}, "mac", 400),
        ({"addresses": ["10.9.0.1"]}, "addresses[0]", 409),  # it would do in another network
        ({"addresses": ["10.0.0.5", "10.0.0.5"]}, "addresses[1]", 400),
        ({"addresses": ["10.0.0.255"]}, "addresses[0]", 409),
        ({"addresses": ["10.0.0"]}, "addresses[0]", 400),
        ({"network": "other"}, "network", 400),
        ({"port_security": 1}, "port_security", 400),
    ],
)
def test_port_fields(http: httpx.Client, web: str, body: dict[str, Any], field: str, status: int) -> None:
    for reply in (http.post(f"{web}/ports", json={"name": "b", **body}), http.patch(f"{web}/ports/a1", json=body)):
        assert _problem(reply, status)["errors"][0]["field"] == field
    assert http.get(f"{web}/ports/a1").json()["addresses"] == ["10.0.0.2", "fd00::ff:fe00:1"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"dhcp": "yes"}, "dhcp"),
        ({"gateways": ["10.9.0.1"]}, "gateways[0]"),
        ({"gateways": ["10.0.0.1", "10.0.0.3"]}, "gateways"),
        ({"dns_servers": ["9.9.9.9", "dns.example"]}, "dns_servers[1]"),
        ({"dns_servers": ["9.9.9.9"] * 2}, "dns_servers[1]"),
        ({"dns_servers": ["224.0.0.1"]}, "dns_servers[0]"),
        ({"dns_servers": [f"9.9.9.{n}" for n in range(9)]}, "dns_servers"),
        ({"routes": [{"destination": "192.168.0.0/16"}]}, "routes[0].nexthop"),
        ({"routes": [{"destination": "192.168.0.1/16", "nexthop": "10.0.0.1"}]}, "routes[0].destination"),
        ({"routes": [{"destination": "0.0.0.0/0", "nexthop": "10.0.0.1"}]}, "routes[0].destination"),
        ({"routes": [{"destination": "192.168.0.0/16", "nexthop": "10.9.0.1"}]}, "routes[0].nexthop"),
        ({"routes": [{"destination": "192.168.0.0/16", "nexthop": "fd00::1"}]}, "routes[0].nexthop"),
        ({"routes": [{"destination": "192.168.0.0/16", "nexthop": "10.0.0.1"}] * 2}, "routes[1].destination"),
        ({"domain": "a b"}, "domain"),
        ({"domain": "d" * 65}, "domain"),
        ({"lease_s": 9}, "lease_s"),
        ({"lease_s": 1 << 40}, "lease_s"),
    ],
)
def test_what_guests_are_told(http: httpx.Client, web: str, body: dict[str, Any], field: str) -> None:
    before = http.get(web).json()
    reply = http.patch(web, json=body)
    assert _problem(reply, 409 if "is in no pool" in reply.text else 400)["errors"][0]["field"] == field
    assert http.get(web).json() == before


@pytest.mark.parametrize("remote", ["tcp:h", "tcp:h:99999", "ptcp:6640", "", "x" * 1000])
def test_remote(http: httpx.Client, remote: str) -> None:
    problem = _problem(http.post("/v1/hypervisors", json={"name": "hv1", "remote": remote}), 400)
    assert problem["errors"][0]["field"] == "remote"
    assert len(problem["detail"]) < 1000


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("wait=yes", "wait", "must be 'realized', not \"yes\""),
        ("timeout=0", "timeout", "must be above 0"),
        ("timeout=301", "timeout", "must be at most 300"),
        ("timeout=nan", "timeout", "must be a finite number"),
        ("timeout=soon", "timeout", "must be a number"),
        ("wiat=realized", "wiat", "unknown field; known are: wait, timeout"),
    ],
)
def test_query(http: httpx.Client, query: str, field: str, message: str) -> None:
    problem = _problem(http.post(f"/v1/tenants?{query}", json={"name": "red"}), 400)
    assert problem["errors"][0]["field"] == field
    assert message in problem["errors"][0]["message"]
    assert http.get("/v1/tenants").json() == {"items": []}


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/tenants", "/v1/tenants/", "/v1/tenants/a%2Fb", "/v1/tenants/%ff", "//"])
def test_path_that_is_none(http: httpx.Client, path: str) -> None:
    _problem(http.get(path), 404)


def test_method(http: httpx.Client) -> None:
    reply = http.put("/v1/tenants", json={"name": "red"})
    assert _problem(reply, 405)["detail"].startswith("PUT is not allowed for /v1/tenants; allowed are: GET")
    assert "POST" in reply.headers["allow"]


def test_long_value_is_cut(http: httpx.Client) -> None:
    problem = _problem(http.post("/v1/tenants", json={"name": "x" * 500_000}), 400)
    assert len(json.dumps(problem)) < 5000


def test_internal_error_is_logged_once_and_not_shown(http: httpx.Client, web: str, controller: Any) -> None:
    """The fake control plane fails for a network whose name is broken."""
    before = controller.n_tracebacks()
    reply = http.post("/v1/tenants/red/networks", json={"name": "broken"})
    assert _problem(reply, 500)["detail"] == "internal error; the controller's log has the details"
    assert controller.n_tracebacks() == before + 1
    assert "RuntimeError: broken network" in controller.log.read_text()
    http.delete("/v1/tenants/red/networks/broken")
