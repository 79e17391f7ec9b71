"""The lab of the default topology, as its user sees it."""

import json
import subprocess
import time

import pytest

from nvo3.lab import Lab, system
from nvo3.lab.topology import DEFAULT, load
from tests.netns.support import cli, leftovers, pinging, status_json, wrong_pairs

pytestmark = pytest.mark.netns


def test_status_json_has_exactly_the_documented_keys(lab: Lab) -> None:
    status = status_json(lab)
    assert list(status) == ["api", "hypervisors", "guests", "matrix"]
    assert status["api"] == lab.api_url
    assert [list(one) for one in status["hypervisors"]] == [["name", "encapsulations", "connected"]] * 2
    assert all(one["connected"] and {"vxlan", "geneve", "gre"} <= set(one["encapsulations"]) for one in status["hypervisors"])
    assert [list(one) for one in status["guests"]] == [["name", "tenant", "network", "hypervisor", "addresses"]] * 4
    assert [list(one) for one in status["matrix"]] == [["from", "to", "expected", "reachable"]] * 12


def test_matrix_of_tenants_with_the_same_addresses_is_as_expected(lab: Lab) -> None:
    matrix = status_json(lab)["matrix"]
    assert {(one["from"], one["to"]) for one in matrix if one["reachable"]} == {
        ("r1", "r2"),
        ("r2", "r1"),
        ("b1", "b2"),
        ("b2", "b1"),
    }
    assert all(one["expected"] == one["reachable"] for one in matrix)


def test_matrix_takes_less_than_two_seconds(lab: Lab) -> None:
    started = time.monotonic()
    assert not wrong_pairs(lab)
    assert time.monotonic() - started < 2


def test_matrix_shows_a_leak_between_tenants(lab: Lab) -> None:
    flow = "table=0,priority=65535,in_port=g-r1,ip"
    lab.run("hv1", ["ovs-ofctl", "add-flow", "br-int", f"cookie=0xbad,{flow},actions=output:g-b1"])
    try:
        status = cli(lab, "status")
        assert status.returncode == 1
        assert "r1 -> b1: a packet of r1 arrived at b1" in status.stdout
        assert ("r1", "b1") in wrong_pairs(lab)
    finally:
        lab.run("hv1", ["ovs-ofctl", "del-flows", "br-int", "cookie=0xbad/-1"])
    assert not wrong_pairs(lab)


def test_up_again_checks_and_keeps_the_lab(lab: Lab) -> None:
    before = lab.pid("controller")
    started = time.monotonic()
    done = cli(lab, "up", "--json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 20
    assert json.loads(done.stdout)["api"] == lab.api_url
    assert lab.pid("controller") == before


def test_up_again_starts_what_is_not_running(lab: Lab) -> None:
    lab.stop_vswitchd("hv1")
    lab.stop_controller()
    done = cli(lab, "up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hv1: ovs-vswitchd is not running: starting it" in done.stderr
    assert "the controller is not running: starting it" in done.stderr


def test_nics_of_hypervisors_join_udp_datagrams(lab: Lab) -> None:
    for hypervisor in ("hv1", "hv2"):
        features = lab.run(hypervisor, ["ethtool", "-k", "eth1"]).stdout
        assert "rx-udp-gro-forwarding: on" in features


def test_exec_passes_input_output_and_status_through(lab: Lab) -> None:
    assert cli(lab, "exec", "r1", "--", "sh", "-c", "exit 7").returncode == 7
    shown = cli(lab, "exec", "r2", "ip", "-br", "address", "show", "eth0").stdout
    assert "10.0.0.12/24" in shown and "fd00:10::12/64" in shown
    assert "br-int" in cli(lab, "exec", "hv1", "--", "ovs-vsctl", "list-br").stdout
    assert "br-int" in cli(lab, "exec", "hv2", "--", "ovs-appctl", "dpif/show").stdout
    missing = cli(lab, "exec", "r1", "--", "no-such-command")
    assert (missing.returncode, missing.stderr) == (127, "error: no-such-command: command not found\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("exec", "r9", "--", "true"), "'r9' is neither a guest nor a hypervisor; there are r1, r2, b1, b2, hv1, hv2"),
        (("guest", "move", "r9", "hv1"), "guest: 'r9' is not one of r1, r2, b1, b2"),
        (("guest", "move", "r1", "hv9"), "hypervisor: 'hv9' is not one of hv1, hv2"),
        (("guest", "delete", "r9"), "guest: 'r9' is not one of r1, r2, b1, b2"),
        (
            ("guest", "add", "r1", "--tenant", "red", "--network", "web", "--hypervisor", "hv1"),
            "name: 'r1' is already the name of a guest, of a hypervisor or of a part of the lab",
        ),
        (("guest", "add", "x", "--tenant", "red", "--network", "db", "--hypervisor", "hv1"), "db"),
        (
            (
                "guest",
                "add",
                "x",
                "--tenant",
                "red",
                "--network",
                "web",
                "--hypervisor",
                "hv1",
                "--address",
                "10.9.9.9",
            ),
            "10.9.9.9",
        ),
        (("up", "--wire", "fast"), "--wire: 'fast' is not one of tso, gso"),
        (("up", "/nonexistent.yaml"), "/nonexistent.yaml: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(lab: Lab, arguments: tuple[str, ...], message: str) -> None:
    before = leftovers(lab)
    done = cli(lab, *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in done.stderr
    assert leftovers(lab) == before


def test_guest_added_is_reachable_within_two_seconds_and_deleted_is_gone(lab: Lab) -> None:
    before = set(leftovers(lab))
    started = time.monotonic()
    done = cli(lab, "guest", "add", "r3", "--tenant", "red", "--network", "web", "--hypervisor", "hv2")
    assert done.returncode == 0, done.stderr
    address = lab.record.guests["r3"].plain_addresses[0]
    lab.run("r1", ["ping", "-c", "1", "-W", "1", address])
    assert time.monotonic() - started < 2
    assert not wrong_pairs(lab)
    with lab.client() as client:
        assert client.get("/v1/tenants/red/networks/web/ports/r3")["status"]["hypervisor"] == "hv2"
    assert cli(lab, "guest", "delete", "r3").returncode == 0
    assert set(leftovers(lab)) == before
    with lab.client() as client:
        names = [port["name"] for port in client.get("/v1/tenants/red/networks/web/ports")["items"]]
        happened = [event for event in client.get("/v1/events")["items"] if event["name"] == "red/web/r3"]
    assert names == ["r1", "r2"]
    assert [event["what"] for event in happened][:2] == ["created", "bound"] and happened[-1]["what"] == "deleted"
    assert happened[1]["detail"].startswith("hv2, ")
    assert "r3" not in [guest["name"] for guest in status_json(lab)["guests"]]


def test_guest_moved_under_ping_loses_at_most_100_ms_and_stays_the_same(lab: Lab) -> None:
    before = lab.record.guests["r2"]
    for hypervisor, address in (("hv1", "10.0.0.12"), ("hv2", "fd00:10::12")):
        with pinging(lab, "r1", address) as ping:
            done = cli(lab, "guest", "move", "r2", hypervisor)
            assert done.returncode == 0, done.stderr
            lab.run("r1", ["ping", "-c", "3", "-i", "0.05", address])
        assert ping.gap_s <= 0.1, ping
        assert not wrong_pairs(lab)
        assert [one["hypervisor"] for one in status_json(lab)["guests"] if one["name"] == "r2"] == [hypervisor]
        assert before.mac in lab.run("r2", ["ip", "link", "show", "eth0"]).stdout
    assert lab.record.guests["r2"] == before
    for hypervisor, ports in (("hv1", ["g-b1", "g-r1"]), ("hv2", ["g-b2", "g-r2"])):
        listed = lab.switch(hypervisor).vsctl("list-ports", "br-int").split()
        assert [port for port in listed if port.startswith("g-")] == ports


def test_moved_guests_own_traffic_goes_on(lab: Lab) -> None:
    try:
        with pinging(lab, "r2", "10.0.0.11") as ping:
            lab.guest_move("r2", "hv1")
            lab.run("r2", ["ping", "-c", "3", "-i", "0.05", "10.0.0.11"])
        assert ping.gap_s <= 0.1, ping
    finally:
        lab.guest_move("r2", "hv2")


def test_another_wire_or_topology_takes_the_old_lab_down(free_lab: Lab) -> None:
    assert free_lab.up(load(DEFAULT)).right
    old = free_lab.pid("controller")
    done = cli(free_lab, "up", "--wire", "gso")
    assert done.returncode == 0, done.stderr
    assert "a lab with wire tso, not gso is up: taking it down" in done.stderr
    assert free_lab.pid("controller") != old
    features = free_lab.run("hv1", ["ethtool", "-k", "eth1"]).stdout
    assert "tx-tcp-segmentation: off" in features and "tx-udp-segmentation: off" in features
    assert "generic-receive-offload: on" in features


def test_gso_wire_carries_segments_that_the_receiver_merges(free_lab: Lab) -> None:
    free_lab.up(load(DEFAULT), "gso")
    with free_lab.client() as client:
        client.patch("/v1/tenants/red/networks/web", {"encapsulation": "none"}, wait="realized")
    free_lab.restart_vswitchd("hv1")  # which looks at the NIC anew
    server = free_lab.popen("r2", ["iperf3", "--server", "--one-off"], stdout=subprocess.DEVNULL)
    sniffers = [
        # Frames above the MTU: none leaves hv1, many arrive at hv2's stack.
        free_lab.popen(
            hypervisor,
            ["timeout", "10", "tcpdump", "-n", "-i", "eth1", "-c", "20", *direction, "tcp and greater 20000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for hypervisor, direction in (("hv1", ("-Q", "out")), ("hv2", ("-Q", "in")))
    ]
    client_argv = ["iperf3", "--client", "10.0.0.12", "--time", "2"]
    assert system.wait_until(lambda: free_lab.run("r1", client_argv, check=False).returncode == 0, 20)
    leaves, arrives = sniffers
    assert arrives.wait(15) == 0
    assert leaves.poll() is None
    leaves.terminate()
    leaves.wait()
    server.wait(5)


def test_two_labs_share_nothing(lab: Lab, free_lab: Lab) -> None:
    before = set(leftovers(lab))
    assert free_lab.up(load(DEFAULT)).right
    ours, theirs = free_lab.record.place, lab.record.place
    assert ours.subnet != theirs.subnet
    assert len({ours.api_port, ours.openflow_port, theirs.api_port, theirs.openflow_port}) == 4
    assert not wrong_pairs(lab)
    free_lab.down()
    assert leftovers(free_lab) == []
    assert set(leftovers(lab)) == before
    assert not wrong_pairs(lab)
