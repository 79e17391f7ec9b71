"""/metrics and the log of a real controller, with hypervisors whose switches are real."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.manager.overlay import Overlay, running
from tests.pipeline.switch import wait_for

pytestmark = pytest.mark.ovsdb


@pytest.fixture(scope="module")
def overlay() -> Iterator[Overlay]:
    with running() as one:
        yield one


def test_a_port_s_counters_stay_with_it_over_a_move_and_a_restart_of_its_switch(overlay: Overlay) -> None:
    overlay.plug(2, "vm2")
    overlay.plug(1, "vm1")
    seen = [0.0]

    def grows_to(n: int) -> None:
        def look() -> bool:
            seen.append(overlay.rx_packets("vm1"))
            return seen[-1] == n

        wait_for(look)
        assert seen == sorted(seen)

    overlay.send(1, "vm1", 5)
    grows_to(5)
    overlay.send(1, "vm1", 3, source="02:00:00:00:00:66")
    grows_to(8)
    wait_for(lambda: overlay.value("nvo3_port_spoofed_packets_total", port="vm1") == 3)
    wait_for(lambda: overlay.value("nvo3_tunnel_sent_packets_total", encapsulation="vxlan", **{"from": "hv1", "to": "hv2"}) == 5)

    overlay.hypervisors[0].switch.restart()
    wait_for(lambda: overlay.manager.client.get("/v1/hypervisors/hv1")["status"]["state"] != "connected")
    wait_for(lambda: overlay.manager.client.get("/v1/hypervisors/hv1")["status"]["state"] == "connected")
    overlay.wait_up("vm1")
    overlay.send(1, "vm1", 2)
    grows_to(10)

    overlay.plug(2, "vm1")
    overlay.hypervisors[0].switch.run("ovs-vsctl", "del-port", "br-int", "vm1")
    overlay.send(2, "vm1", 4)
    grows_to(14)
    wait_for(lambda: overlay.value("nvo3_port_tx_packets_total", port="vm2") == 4)
    assert overlay.value("nvo3_port_spoofed_packets_total", port="vm1") == 3
    assert overlay.value("nvo3_port_rx_bytes_total", port="vm1") >= 14 * 34


def test_health(overlay: Overlay) -> None:
    overlay.manager.client.post("/v1/tenants", json={"name": "blue"}, wait="realized")
    overlay.manager.client.delete("/v1/tenants/blue")
    families = overlay.families()
    text = {name for name, family in families.items() if not family.documentation}
    assert not text
    assert all(name.startswith(("nvo3_", "process_", "python_")) for name in families)
    wait_for(lambda: overlay.value("nvo3_hypervisors", state="connected") == 2)
    assert overlay.value("nvo3_hypervisors") == 2 and overlay.value("nvo3_tenants") == 1
    n_ports = overlay.value("nvo3_ports")
    assert n_ports == 2
    assert overlay.value("nvo3_events_total", kind="NorthboundChanged") >= 3
    assert overlay.value("nvo3_realization_duration_seconds_count") >= 2
    assert 0 < overlay.value("nvo3_realization_duration_seconds_sum") < 60
    assert overlay.value("nvo3_flows_added_total") > 20 and overlay.value("nvo3_bundle_size_bytes_sum") > 1000
    assert overlay.value("nvo3_connections_total", protocol="ovsdb") >= 2
    assert overlay.value("nvo3_connections_total", protocol="openflow") >= 2
    assert overlay.value("nvo3_northbound_up") == 1 and overlay.value("nvo3_event_queue_length") == 0
    assert overlay.value("nvo3_northbound_transaction_duration_seconds_count", result="committed") >= 6
    assert overlay.value("nvo3_build_info") == 1 and overlay.value("process_resident_memory_bytes") > 1e6
    assert overlay.value("nvo3_polls_total", result="answered") > 0


def test_openmetrics_where_it_is_asked_for(overlay: Overlay) -> None:
    text = overlay.scrape("application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5")
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(text)}
    assert families["nvo3_events"].type == "counter"
    assert families.keys() == overlay.families().keys()


def test_labels_have_few_values(overlay: Overlay) -> None:
    before = sum(len(family.samples) for family in overlay.families().values())
    with httpx.Client(base_url=f"http://127.0.0.1:{overlay.manager.http_port}", trust_env=False) as http:
        for n in range(50):
            http.get(f"/v1/tenants/none{n}")
            http.get(f"/nothing/{n}")
            http.request(f"M{n}", f"/v1/tenants/none{n}")
    after = sum(len(family.samples) for family in overlay.families().values())
    assert after - before < 100
    assert overlay.value("nvo3_api_requests_total", route="unmatched") >= 50


def test_a_scrape_waits_for_no_switch(overlay: Overlay) -> None:
    overlay.send(2, "vm2", 1, to="vm1")
    wait_for(lambda: overlay.rx_packets("vm2") == 1)
    pids = [pid for hypervisor in overlay.hypervisors for pid in hypervisor.switch.pids]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began_at = time.monotonic()
        assert overlay.rx_packets("vm2") == 1
        assert time.monotonic() - began_at < 1
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_the_log_is_json_and_has_the_events(overlay: Overlay) -> None:
    overlay.manager.client.post("/v1/tenants", json={"name": "green"})
    overlay.manager.client.delete("/v1/tenants/green")

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in overlay.manager.log.read_text().splitlines()]

    wait_for(lambda: any(line.get("event", {}).get("what") == "deleted" for line in lines()))
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines())
    assert not any("exception" in line for line in lines())
    (created,) = [line for line in lines() if line.get("event", {}).get("name") == "green" and line["event"]["what"] == "created"]
    assert created["event"]["kind"] == "tenant" and created["message"] == "tenant green created" and created["level"] == "INFO"
