"""One controller for all tests of the API, emptied before each."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.controller import FakeController, running


@pytest.fixture(scope="session")
def shared_controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeController]:
    with running(tmp_path_factory.mktemp("api")) as controller:
        yield controller


@pytest.fixture
def controller(shared_controller: FakeController) -> FakeController:
    shared_controller.clear()
    return shared_controller


@pytest.fixture
def http(controller: FakeController) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=controller.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def web(http: httpx.Client) -> str:
    """Return the path of a network red/web with VNI 5000 and a port a1 that has 02:00:00:00:00:01 and 10.0.0.2."""
    http.post("/v1/tenants", json={"name": "red"}).raise_for_status()
    body = {"name": "web", "pools": ["10.0.0.0/24", "fd00::/64"]}
    path = http.post("/v1/tenants/red/networks", json=body).raise_for_status().headers["location"]
    http.post(f"{path}/ports", json={"name": "a1", "mac": "02:00:00:00:00:01"}).raise_for_status()
    return str(path)
