"""PUT, and changes that depend on what the client knows: If-Match and If-None-Match."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

pytestmark = pytest.mark.ovsdb


@pytest.mark.parametrize(
    ("path", "body", "changed"),
    [
        ("/v1/tenants/red", {}, {}),
        ("/v1/tenants/red/networks/web", {"pools": ["10.0.0.0/24"]}, {"pools": ["10.0.0.0/24"], "mtu": 1300}),
        ("/v1/tenants/red/networks/web/ports/a1", {"addresses": ["10.0.0.9"]}, {"port_security": False, "addresses": ["10.0.0.9"]}),
        ("/v1/hypervisors/hv1", {"remote": "tcp:192.0.2.1:6640"}, {"remote": "tcp:192.0.2.2:6640"}),
    ],
)
def test_put_creates_once_then_changes_and_may_be_repeated(http: httpx.Client, path: str, body: dict, changed: dict) -> None:
    for parent in ("/v1/tenants/red", "/v1/tenants/red/networks/web"):
        if path.startswith(f"{parent}/"):
            http.put(parent, json={"pools": ["10.0.0.0/24"]} if "web" in parent else {}).raise_for_status()
    first = http.put(path, json=body)
    assert (first.status_code, first.headers["location"]) == (201, path)
    again = http.put(path, json=body)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["etag"] == first.headers["etag"] == http.get(path).headers["etag"]
    other = http.put(path, json=changed)
    assert other.status_code == 200
    assert other.json() == {**first.json(), **changed}
    assert (other.headers["etag"] == first.headers["etag"]) == (body == changed)


def test_put_of_the_whole_takes_defaults_and_keeps_what_was_allocated(http: httpx.Client, web: str) -> None:
    before = http.get(web).json()
    put = http.put(web, json={"pools": before["pools"]}).json()
    assert put == before
    http.patch(web, json={"mtu": 1300, "encapsulation": "gre"}).raise_for_status()
    assert http.put(web, json={"pools": before["pools"]}).json() == before
    port = http.get(f"{web}/ports/a1").json()
    http.patch(f"{web}/ports/a1", json={"port_security": False}).raise_for_status()
    assert http.put(f"{web}/ports/a1", json={}).json() == port


def test_put_has_the_name_in_its_path_only(http: httpx.Client) -> None:
    reply = http.put("/v1/tenants/red", json={"name": "red"})
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, "name")
    assert http.put("/v1/tenants/red/networks/web", json={}).status_code == 404


def test_if_match_lets_only_who_knows_it_change_or_delete_it(http: httpx.Client, web: str) -> None:
    for path, body in (
        (f"{web}/ports/a1", {"port_security": False}),
        (web, {"mtu": 1300}),
        ("/v1/settings", {"encapsulation_order": ["gre"]}),
    ):
        tag = http.get(path).headers["etag"]
        changed = http.patch(path, json=body, headers={"If-Match": f'"other", {tag}'})
        assert changed.status_code == 200 and changed.headers["etag"] != tag
        late = http.patch(path, json=body, headers={"If-Match": tag})
        assert late.status_code == 412 and changed.headers["etag"] in late.json()["detail"]
        assert http.get(path).json() == changed.json()
        assert http.patch(path, json=body, headers={"If-Match": "*"}).status_code == 200
    path = f"{web}/ports/a1"
    tag = http.get(path).headers["etag"]
    http.patch(path, json={"port_security": True}).raise_for_status()
    assert http.delete(path, headers={"If-Match": tag}).status_code == 412
    assert http.delete(path, headers={"If-Match": http.get(path).headers["etag"]}).status_code == 204
    # A weak tag matches nothing (RFC 9110, 13.1.1).
    assert http.patch(web, json={"mtu": 1301}, headers={"If-Match": f"W/{http.get(web).headers['etag']}"}).status_code == 412


def test_if_none_match_creates_only(http: httpx.Client) -> None:
    assert http.put("/v1/tenants/red", json={}, headers={"If-None-Match": "*"}).status_code == 201
    assert http.put("/v1/tenants/red", json={}, headers={"If-None-Match": "*"}).status_code == 412


def test_status_is_not_part_of_the_tag(http: httpx.Client, web: str) -> None:
    """A hypervisor that tells something new is the same hypervisor."""
    reply = http.put("/v1/hypervisors/hv1", json={"remote": "tcp:192.0.2.1:6640"})
    assert reply.headers["etag"] == http.get("/v1/hypervisors/hv1").headers["etag"]


def test_no_update_of_many_at_once_is_lost(http: httpx.Client, web: str) -> None:
    """Each of eight clients raises the MTU by one, fifteen times, as optimistic concurrency is meant."""

    def client(_: int) -> int:
        n_refused = 0
        with httpx.Client(base_url=http.base_url, trust_env=False, timeout=30) as one:
            for _ in range(15):
                while True:
                    shown = one.get(web)
                    body, headers = {"mtu": shown.json()["mtu"] + 1}, {"If-Match": shown.headers["etag"]}
                    if (reply := one.patch(web, json=body, headers=headers)).status_code == 200:
                        break
                    assert reply.status_code == 412, reply.text
                    n_refused += 1
        return n_refused

    before = http.get(web).json()["mtu"]
    with ThreadPoolExecutor(8) as pool:
        n_refused = sum(pool.map(client, range(8)))
    assert http.get(web).json()["mtu"] == before + 8 * 15
    assert n_refused  # else nobody was in anybody's way, and this shows nothing
