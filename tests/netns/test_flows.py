"""What the API says of flows and tunnels, against what is on the switches and on the wire."""

from collections.abc import Iterator
from typing import Any

import pytest

from nvo3.lab import Lab, system
from nvo3.lab.topology import parse
from tests.netns.conftest import unused_lab

pytestmark = pytest.mark.netns

_TOPOLOGY = """
hypervisors: [hv1, hv2]
tenants:
  red: {networks: {web: {vni: 5001, pools: [10.0.0.0/24], encapsulation: vxlan}, db: {vni: 5002, pools: [10.1.0.0/24], encapsulation: stt}}}
guests:
  - {name: r1, tenant: red, network: web, hypervisor: hv1, addresses: [10.0.0.11]}
  - {name: r2, tenant: red, network: web, hypervisor: hv2, addresses: [10.0.0.12]}
  - {name: d1, tenant: red, network: db, hypervisor: hv1, addresses: [10.1.0.11]}
  - {name: d2, tenant: red, network: db, hypervisor: hv2, addresses: [10.1.0.12]}
"""


@pytest.fixture(scope="module")
def two() -> Iterator[Lab]:
    """Two networks between two hypervisors, each by an encapsulation of its own."""
    with unused_lab() as one:
        one.up(parse(_TOPOLOGY, "flows"))
        yield one


def _flows(lab: Lab, where: str, **query: Any) -> list[dict[str, Any]]:
    with lab.client() as client:
        return client.items(f"/v1/{where}/flows", **query)


def _differences(lab: Lab, hypervisor: str = "hv1") -> list[tuple[str, str, str]]:
    flows = _flows(lab, f"hypervisors/{hypervisor}")
    return [(flow["state"], flow["match"], flow["actions"]) for flow in flows if flow["state"] != "present"]


def _ofctl(lab: Lab, hypervisor: str, *arguments: str) -> str:
    return lab.switch(hypervisor).run("ovs-ofctl", "-OOpenFlow13", *arguments)


def test_all_flows_are_those_that_should_be(two: Lab) -> None:
    for hypervisor in ("hv1", "hv2"):
        assert _differences(two, hypervisor) == []
        dumped = [line for line in _ofctl(two, hypervisor, "dump-flows", "br-int").splitlines() if "table=" in line]
        assert len(_flows(two, f"hypervisors/{hypervisor}")) == len(dumped)


def test_flows_about_a_port_are_its_own_on_every_hypervisor_of_its_network(two: Lab) -> None:
    with two.client() as client:
        mac = client.get("/v1/tenants/red/networks/web/ports/r2")["mac"]
    found = _flows(two, "tenants/red/networks/web/ports/r2")
    assert {flow["hypervisor"] for flow in found} == {"hv1", "hv2"} and {flow["state"] for flow in found} == {"present"}
    towards = [flow for flow in found if flow["hypervisor"] == "hv1" and flow["table"] == 50]
    assert [flow["match"] for flow in towards] == [f"reg0=0x0,metadata=0x1389,dl_dst={mac}"]
    assert towards[0]["actions"].startswith("set_field:0x1389->tun_id,set_field:192.0.2.12->tun_dst,output:")


def test_what_somebody_adds_changes_or_deletes_by_hand_shows(two: Lab) -> None:
    local = [flow for flow in _flows(two, "hypervisors/hv1", table=50) if "goto_table:80" in flow["actions"]]
    one = next(flow for flow in local if "dl_dst" in flow["match"])
    match = one["match"].replace("reg0=0x0,", "")
    try:
        _ofctl(two, "hv1", "add-flow", "br-int", "table=0,priority=7,tcp,tp_dst=23,actions=drop")
        assert _differences(two) == [("foreign", "dl_type=0x800,nw_proto=6,tcp_dst=23", "drop")]
        _ofctl(two, "hv1", "--strict", "mod-flows", "br-int", f"table=50,priority=100,{match},actions=drop")
        assert ("wrong", one["match"], "drop") in _differences(two)
        _ofctl(two, "hv1", "--strict", "del-flows", "br-int", f"table=50,priority=100,{match}")
        assert ("missing", one["match"], one["actions"]) in _differences(two)
        _ofctl(two, "hv1", "add-flow", "br-int", "cookie=0x4e564f3300000009,table=0,priority=8,udp,actions=drop")
        assert ("stale", "dl_type=0x800,nw_proto=17", "drop") in _differences(two)
    finally:
        _ofctl(two, "hv1", "--strict", "del-flows", "br-int", "table=0,priority=7,tcp,tp_dst=23")
        _reconnect(two)

    def is_connected() -> bool:
        with two.client() as client:
            return bool(client.get("/v1/hypervisors/hv1")["status"]["state"] == "connected")

    assert system.wait_until(is_connected, 10)
    assert system.wait_until(lambda: _differences(two) == [], 10), _differences(two)


def _reconnect(lab: Lab) -> None:
    """Have hv1's switch connect anew, so that the controller reads its flows."""
    lab.switch("hv1").run("ovs-appctl", "bridge/reconnect", "br-int")


def _tunnels(lab: Lab) -> dict[tuple[str, str, str], dict[str, Any]]:
    with lab.client() as client:
        return {(item["from"], item["to"], item["encapsulation"]): item for item in client.items("/v1/tunnels")}


def test_tunnels_count_both_ways_by_encapsulation(two: Lab) -> None:
    before = _tunnels(two)
    assert {key: item["networks"] for key, item in before.items()} == {
        (here, there, name): [network]
        for here, there in (("hv1", "hv2"), ("hv2", "hv1"))
        for name, network in (("vxlan", "red/web"), ("stt", "red/db"))
    }
    two.run("r1", ["ping", "-c", "200", "-i", "0.01", "-s", "100", "10.0.0.12"])
    two.run("d2", ["ping", "-c", "100", "-i", "0.01", "-s", "100", "10.1.0.11"])
    numbers = ("sent_packets", "sent_bytes", "received_packets", "received_bytes")

    def grown() -> dict[tuple[str, str, str], list[int]]:
        now = _tunnels(two)
        return {key: [now[key][name] - item[name] for name in numbers] for key, item in before.items()}

    frame = 14 + 20 + 8 + 100  # Ethernet, IPv4, ICMP, payload

    def are_counted() -> bool:
        """Guests say a word or two by themselves, such as of multicast groups."""
        return all(
            n <= packets <= n + 5 and 0 <= size - packets * frame + 5 * frame <= 10 * frame
            for (_, _, name), (sent, sent_bytes, received, received_bytes) in grown().items()
            for n in ({"vxlan": 200, "stt": 100}[name],)
            for packets, size in ((sent, sent_bytes), (received, received_bytes))
        )

    # A switch puts a flow's counters together a moment after the packets.
    assert system.wait_until(are_counted, 5), grown()
