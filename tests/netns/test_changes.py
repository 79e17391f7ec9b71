"""Many clients at once, and a controller that is killed between: what was acknowledged is there, and in force."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from nvo3.lab import Lab
from nvo3.lab.system import wait_until
from nvo3.lab.topology import parse
from tests.netns.conftest import unused_lab
from tests.netns.support import wrong_pairs

pytestmark = pytest.mark.netns

_TOPOLOGY = """
hypervisors: [hv1, hv2]
tenants:
  red: {networks: {web: {vni: 5001, pools: [10.0.0.0/16]}}}
guests:
  - {name: r1, tenant: red, network: web, hypervisor: hv1, addresses: [10.0.0.11]}
  - {name: r2, tenant: red, network: web, hypervisor: hv2, addresses: [10.0.0.12]}
"""
_WEB = "/v1/tenants/red/networks/web"
_CLIENTS = 8
_SEED = 6


@pytest.fixture(scope="module")
def two() -> Iterator[Lab]:
    with unused_lab() as one:
        one.up(parse(_TOPOLOGY, "changes"))
        yield one


class _Client:
    """One of many: makes changes of its own objects, keeps what was acknowledged, and how long each took.

    doubtful: what may or may not have been done, since no answer came.
    """

    def __init__(self, url: str, number: int) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self.known: dict[str, dict[str, Any]] = {}  # path -> fields
        self.doubtful: set[str] = set()
        self.took_s: list[float] = []
        self._random = random.Random(_SEED * 100 + number)
        self.name = f"c{number}"
        self._n = 0

    def network(self) -> str:
        """Have a network of its own."""
        path = f"/v1/tenants/{self.name}"
        self.http.put(path, json={}).raise_for_status()
        self.http.put(f"{path}/networks/n", json={"pools": ["10.1.0.0/16"]}).raise_for_status()
        return f"{path}/networks/n"

    def change(self, query: str = "") -> None:
        """Create, change or delete a port, of its own network or of that which guests are in."""
        choice = self._random.random()
        sure = sorted(self.known.keys() - self.doubtful)
        if choice < 0.5 or not sure:
            self._n += 1
            where = _WEB if self._n % 4 == 0 else f"/v1/tenants/{self.name}/networks/n"
            path = f"{where}/ports/{self.name}-{self._n}"
            self._do("PUT", path, query, {"port_security": bool(self._n % 2)})
            return
        path = self._random.choice(sure)
        if choice < 0.8:
            mac = f"02:{self._random.randrange(1 << 40):010x}"
            mac = ":".join([mac[:2], *(mac[3 + i : 5 + i] for i in range(0, 10, 2))])
            self._do("PATCH", path, query, {"mac": mac, "port_security": self._random.random() < 0.5})
        else:
            self._do("DELETE", path, query, None)

    def _do(self, method: str, path: str, query: str, body: dict[str, Any] | None) -> None:
        self.doubtful.add(path)
        begin = time.monotonic()
        reply = self.http.request(method, path + query, json=body)
        self.took_s.append(time.monotonic() - begin)
        if reply.status_code == 503:  # the database is not reachable, perhaps the change is stored
            return
        assert reply.is_success, f"{method} {path}: {reply.text}"
        self.doubtful.discard(path)
        if method == "DELETE":
            self.known.pop(path, None)
        else:
            fields = reply.json()
            self.known[path] = {key: fields[key] for key in ("uuid", "mac", "addresses", "port_security")}


def _run(clients: list[_Client], n_changes: int, query: str = "") -> list[float]:
    """Have all clients make changes at once; return what each change took, in order of time taken."""

    def work(client: _Client) -> None:
        for _ in range(n_changes // len(clients)):
            client.change(query)

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, clients))
    return sorted(took for client in clients for took in client.took_s)


def _assert_as_acknowledged(lab: Lab, clients: list[_Client]) -> None:
    with lab.client() as client:
        there = {f"/v1/tenants/{p['tenant']}/networks/{p['network']}/ports/{p['name']}": p for p in client.items("/v1/ports")}
    known = {path: fields for one in clients for path, fields in one.known.items()}
    doubtful = {path for one in clients for path in one.doubtful}
    theirs = {path for path in there if path.rpartition("/")[2].partition("-")[0] in {one.name for one in clients}}
    assert theirs - doubtful == known.keys() - doubtful
    for path in known.keys() - doubtful:
        assert {key: there[path][key] for key in known[path]} == known[path]
    # Nothing is half-done: an address belongs to one port, a MAC too.
    for network in {path.rpartition("/ports/")[0] for path in there}:
        ports = [port for path, port in there.items() if path.startswith(f"{network}/")]
        addresses = [address for port in ports for address in port["addresses"]]
        assert len(addresses) == len(set(addresses)) and len(ports) == len({port["mac"] for port in ports})


def _assert_in_force(lab: Lab) -> None:
    """What the switches have is what they should have."""

    def differences() -> list[dict[str, Any]]:
        with lab.client() as client:
            flows = [flow for name in ("hv1", "hv2") for flow in client.items(f"/v1/hypervisors/{name}/flows")]
        return [flow for flow in flows if flow["state"] != "present"]

    assert wait_until(lambda: not differences(), 20), differences()[:5]
    assert wrong_pairs(lab) == []


def test_eight_clients_at_once_lose_nothing_and_wait_little(two: Lab, request: pytest.FixtureRequest) -> None:
    """With --full 2,000 changes, and how long they take."""
    full = request.config.getoption("--full")
    clients = [_Client(two.api_url, number) for number in range(_CLIENTS)]
    for client in clients:
        client.network()
    took_s = _run(clients, 2000 if full else 400)
    _assert_as_acknowledged(two, clients)
    _assert_in_force(two)
    single = [_Client(two.api_url, _CLIENTS)]
    single[0].network()
    realized_s = _run(single, 100, "?wait=realized")
    _assert_as_acknowledged(two, clients + single)
    p99, p50 = took_s[len(took_s) * 99 // 100], realized_s[len(realized_s) // 2]
    print(f"{len(took_s)} changes: p50 {took_s[len(took_s) // 2]:.3f} s, p99 {p99:.3f} s; until realized p50 {p50:.3f} s")
    if full:
        assert p99 <= 0.1 and p50 <= 0.03


def test_a_controller_killed_at_any_point_forgets_nothing(two: Lab, request: pytest.FixtureRequest) -> None:
    """With --full 50 times."""
    chance = random.Random(_SEED)
    clients = [_Client(two.api_url, 10 + number) for number in range(4)]
    for client in clients:
        client.network()
    ended = threading.Event()

    def n_changes() -> int:
        return sum(len(client.took_s) for client in clients)

    def has_made(wanted: int) -> bool:
        return n_changes() >= wanted

    def work(client: _Client) -> None:
        while not ended.is_set():
            try:
                client.change()
            except httpx.TransportError:
                ended.wait(0.05)

    with ThreadPoolExecutor(len(clients)) as pool:
        working = [pool.submit(work, client) for client in clients]
        try:
            for _ in range(50 if request.config.getoption("--full") else 3):
                wanted = n_changes() + chance.randrange(5, 60)  # changes between two deaths
                assert wait_until(partial(has_made, wanted), 30)
                two.stop_controller(signal.SIGKILL)
                two.start_controller()
        finally:
            ended.set()
        for one in working:
            one.result()

    def is_connected() -> bool:
        with two.client() as client:
            return all(item["status"]["state"] == "connected" for item in client.items("/v1/hypervisors"))

    assert wait_until(is_connected, 20)
    _assert_as_acknowledged(two, clients)
    _assert_in_force(two)
