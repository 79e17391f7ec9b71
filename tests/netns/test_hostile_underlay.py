"""A host on the underlay that begins STT frames and never ends them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from nvo3.lab import Lab, node
from nvo3.lab.names import UNDERLAY
from nvo3.lab.system import wait_until
from tests.netns.support import cli_env
from tests.netns.underlay import IPV4, add_stranger, stt_counters

pytestmark = pytest.mark.netns

_FLOOD = [sys.executable, str(Path(__file__).with_name("flood.py"))]
_STT_PORT, _OTHER_PORT = 7471, 7472
_CAP_BYTES = 8 * (8 << 20)  # of packets, by shard: lib/netdev-stt.c
_CAP_FRAMES = 8 * 2048


@pytest.fixture
def stranger(underlay_lab: Lab) -> Iterator[str]:
    """A host's NIC on the underlay.  What it sends to another port than STT's hv2 drops before its own stack sees it."""
    flow = f"tcp,nw_dst={node.vtep_ip(1)},tp_dst={_OTHER_PORT}"
    underlay_lab.run("hv2", ["ovs-ofctl", "add-flow", node.UNDERLAY_BRIDGE, f"priority=100,{flow},actions=drop"])
    with add_stranger(underlay_lab) as interface:
        yield interface
    underlay_lab.run("hv2", ["ovs-ofctl", "del-flows", node.UNDERLAY_BRIDGE, flow])


def _flood(lab: Lab, interface: str, port: int, first: int, count: int, packets_per_s: int) -> "subprocess.Popen[str]":
    """Start to send `count` unfinished frames to hv2, with ids from `first`; half of them look like hv1's."""
    columns = [lab.switch(name).vsctl("get", "interface", node.UNDERLAY_BRIDGE, "mac_in_use") for name in ("hv2", "hv1")]
    macs = ",".join(text.strip().strip('"') for text in columns)
    words = [*_FLOOD, interface, macs, node.vtep_ip(0), node.vtep_ip(1), *map(str, (port, first, count, packets_per_s))]
    argv = ["ip", "netns", "exec", lab.names.netns(UNDERLAY), *words]
    return subprocess.Popen(argv, env=cli_env(), stdout=subprocess.PIPE, text=True)


def _rss_bytes(lab: Lab, hypervisor: str) -> int:
    status = Path(f"/proc/{lab.pid(f'{hypervisor} ovs-vswitchd')}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def _await_empty(lab: Lab) -> dict[str, dict[str, int]]:
    """Wait until hv2 keeps nothing; return its counters."""
    assert wait_until(lambda: set(stt_counters(lab, "hv2")["in flight"].values()) == {0}, 5)
    return stt_counters(lab, "hv2")


def test_100000_unfinished_frames_stay_within_the_cap_and_go(underlay_lab: Lab, stranger: str) -> None:
    lab, count = underlay_lab, 100_000
    before, rss = _await_empty(lab), _rss_bytes(lab, "hv2")
    sender = _flood(lab, stranger, _STT_PORT, 1, count, 0)
    most, most_rss = dict.fromkeys(before["in flight"], 0), 0
    while sender.poll() is None:
        now, most_rss = stt_counters(lab, "hv2")["in flight"], max(most_rss, _rss_bytes(lab, "hv2"))
        most = {name: max(value, now[name]) for name, value in most.items()}
    print(f"in flight at most: {most}, RSS {rss} to {most_rss}, {sender.communicate()[0].strip()} s")
    after = _await_empty(lab)
    assert 1000 < most["frames"] <= _CAP_FRAMES and most["bytes"] <= _CAP_BYTES
    # Packets, and the tables that the first frames touch; a heap is never full to the last byte.
    assert most_rss - rss < 1.5 * _CAP_BYTES
    # Every segment was queued and every one went again, for one of two reasons.
    queued = after["received"]["segments queued"] - before["received"]["segments queued"]
    gone = sum(after[why]["segments"] - before[why]["segments"] for why in ("expired", "evicted"))
    assert 1.5 * count < queued == gone <= 2 * count
    # None of them came out whole; guests say something of their own now and then (router solicitations).
    assert after["received"]["frames"] - before["received"]["frames"] < 10
    lab.run("small1", ["ping", "-c", "3", "-i", "0.05", IPV4[1]])


def _gbps_beside(lab: Lab, flood: "subprocess.Popen[str]") -> tuple[float, float]:
    """Return the guests' TCP throughput while `flood` runs, and how long that took."""
    server = lab.popen("small2", ["iperf3", "--server", "--one-off"], stdout=subprocess.DEVNULL)
    try:
        argv = ["iperf3", "--client", IPV4[1], "--time", "2", "--json"]
        end = wait_until(lambda: json.loads(lab.run("small1", argv, check=False).stdout)["end"].get("sum_received"), 10)
        return float(end["bits_per_second"]) / 1e9, float(flood.communicate(timeout=30)[0])
    finally:
        for process in (server, flood):
            process.kill()
            process.wait()


def test_unfinished_frames_cost_other_traffic_little_more_than_their_arrival(underlay_lab: Lab, stranger: str) -> None:
    """Compared with the same packets, sent as fast, that the switch drops as they come: what is left is STT's part."""
    lab, count, packets_per_s = underlay_lab, 35_000, 30_000
    rates: dict[int, list[float]] = {_STT_PORT: [], _OTHER_PORT: []}
    before = _await_empty(lab)
    for number in range(3):
        for port, found in rates.items():
            gbps, seconds = _gbps_beside(lab, _flood(lab, stranger, port, 1 + number * count, count, packets_per_s))
            print(f"port {port}: {gbps:.2f} Gbit/s, {2 * count / seconds:.0f} packets/s")
            found.append(gbps)
    after = _await_empty(lab)
    queued = after["received"]["segments queued"] - before["received"]["segments queued"]
    assert queued > 1.8 * 3 * count
    assert median(rates[_STT_PORT]) >= 0.8 * median(rates[_OTHER_PORT]), rates
