"""Grafana's dashboards: each query on a real Prometheus that scrapes a real controller."""

import json
import subprocess
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import pytest

from nvo3.prepare.errors import PrepareError
from nvo3.prepare.prometheus import ensure_prometheus
from tests.manager.conftest import CHECKOUT, free_port
from tests.manager.overlay import Overlay, running
from tests.pipeline.switch import wait_for

pytestmark = pytest.mark.ovsdb

DASHBOARDS = sorted((CHECKOUT / "dashboards").glob("*.json"))
_VARIABLES = {"$__rate_interval": "10s", "$__interval": "10s"}
_CONFIG = """
global: {{scrape_interval: 500ms}}
scrape_configs:
  - job_name: nvo3
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """One that scrapes a controller."""

    def __init__(self, directory: Path, target_port: int) -> None:
        program = ensure_prometheus()
        config, self._log = directory / "prometheus.yml", directory / "prometheus.log"
        config.write_text(_CONFIG.format(port=target_port))
        port = free_port()
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        argv = [program, f"--config.file={config}", f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(argv, cwd=directory, stdout=log, stderr=log)

    def is_up(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **parameters: Any) -> Any:
        reply = self._http.get(f"/api/v1/{path}", params=parameters).json()
        assert reply["status"] == "success", (parameters, reply)
        return reply["data"]

    def values(self, query: str) -> list[float]:
        """Return what a query gives, now and over the last seconds as a graph asks for it."""
        graph = self.get("query_range", query=query, start=time.time() - 5, end=time.time(), step=1)["result"]
        return [float(value) for series in graph for _, value in series["values"]]

    def stop(self) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that knows a busy overlay."""
    with running() as overlay:
        overlay.plug(1, "vm1")
        overlay.plug(2, "vm2")
        try:
            one = Prometheus(tmp_path_factory.mktemp("prometheus"), overlay.manager.http_port)
        except PrepareError as error:
            pytest.skip(f"Prometheus cannot be fetched: {error}")
        try:
            wait_for(one.is_up, timeout_s=30)
            _keep_busy(overlay, one)
            yield one
        finally:
            one.stop()


def _keep_busy(overlay: Overlay, prometheus: Prometheus) -> None:
    """Have everything happen that is counted by a rate, while Prometheus looks."""
    deadline = time.monotonic() + 30
    while not any(prometheus.values("rate(nvo3_tunnel_sent_bytes_total[10s]) > 0")):
        assert time.monotonic() < deadline
        overlay.send(1, "vm1", 1)
        overlay.manager.client.post("/v1/tenants/red/networks/web/ports", json={"name": "new"}, wait="realized")
        overlay.manager.client.delete("/v1/tenants/red/networks/web/ports/new")


def _targets(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def _filled(query: str, dashboard: dict[str, Any]) -> str:
    """Return a query as Grafana sends it where all values of all variables are chosen."""
    chosen = {f"${variable['name']}": ".*" for variable in dashboard["templating"]["list"]}
    for name, value in sorted((_VARIABLES | chosen).items(), reverse=True):
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_each_query_has_data(prometheus: Prometheus, file: Path) -> None:
    dashboard = json.loads(file.read_text())
    queries = list(_targets(dashboard))
    assert len(queries) > 8
    without = [(title, query) for title, query in queries if not any(v == v for v in prometheus.values(_filled(query, dashboard)))]
    assert not without


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_each_variable_has_values(prometheus: Prometheus, file: Path) -> None:
    dashboard = json.loads(file.read_text())
    variables = [v for v in dashboard["templating"]["list"] if v["type"] == "query"]
    assert variables
    for variable in variables:
        query = variable["query"]["query"]
        selector, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        found = prometheus.get(f"label/{label}/values", **{"match[]": _filled(selector, dashboard)})
        assert query.startswith("label_values(") and found, query


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_layout(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert all(panel["datasource"] == source and panel["fieldConfig"]["defaults"]["unit"] for panel in panels if panel["type"] != "row")
    places = [panel["gridPos"] for panel in panels]
    assert all(p["x"] >= 0 and p["x"] + p["w"] <= 24 for p in places)
    apart = (
        a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        for a, b in combinations(places, 2)
    )
    assert all(apart)


def test_dashboards_are_different_ones() -> None:
    dashboards = [json.loads(file.read_text()) for file in DASHBOARDS]
    assert {d["uid"] for d in dashboards} == {"nvo3-overview", "nvo3-ports", "nvo3-tunnels"}
    assert len({d["title"] for d in dashboards}) == 3
