"""/metrics of the lab: counters of real traffic, which stay with a port and a tunnel."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from nvo3.lab import Lab
from nvo3.lab.system import wait_until

pytestmark = pytest.mark.netns

R2 = "10.0.0.12"
_READ_S = 15.0  # many intervals of reading


def value(lab: Lab, name: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels."""
    text = httpx.get(f"{lab.api_url}/metrics", trust_env=False).raise_for_status().text
    samples = [sample for family in parse(text) for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def of_tunnel(lab: Lab, name: str) -> float:
    return value(lab, f"nvo3_tunnel_{name}_packets_total", **{"from": "hv1", "to": "hv2"})


def of_r1(lab: Lab) -> float:
    return value(lab, "nvo3_port_rx_packets_total", tenant="red", network="web", port="r1")


def ping(lab: Lab, n: int) -> None:
    """Send n packets from r1 to r2, when they get through."""
    assert wait_until(lambda: lab.run("r1", ["ping", "-n", "-c", "1", "-W", "1", R2], check=False).returncode == 0, _READ_S)
    lab.run("r1", ["ping", "-n", "-c", str(n), "-i", "0.05", R2])


def test_counters_of_a_guest_and_its_tunnel_over_a_restart_and_a_move(lab: Lab) -> None:
    sent, received, rx = of_tunnel(lab, "sent"), of_tunnel(lab, "received"), of_r1(lab)
    ping(lab, 20)
    assert wait_until(lambda: of_tunnel(lab, "sent") >= sent + 20 and of_tunnel(lab, "received") >= received + 20, _READ_S)
    assert wait_until(lambda: of_r1(lab) >= rx + 20, _READ_S)

    sent, received, rx = of_tunnel(lab, "sent"), of_tunnel(lab, "received"), of_r1(lab)
    lab.restart_vswitchd("hv1")
    ping(lab, 10)
    assert wait_until(lambda: of_tunnel(lab, "sent") >= sent + 10 and of_tunnel(lab, "received") >= received + 10, _READ_S)
    assert wait_until(lambda: of_r1(lab) >= rx + 10, _READ_S)

    sent, rx = of_tunnel(lab, "sent"), of_r1(lab)
    lab.guest_move("r1", "hv2")
    try:
        ping(lab, 10)
        assert wait_until(lambda: of_r1(lab) >= rx + 10, _READ_S)
        assert of_tunnel(lab, "sent") >= sent
    finally:
        lab.guest_move("r1", "hv1")
