"""A host on the underlay that begins frames of STT or SCLP and never ends them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from nvo3.lab import Lab, node
from nvo3.lab.names import UNDERLAY
from nvo3.lab.system import wait_until
from tests.netns.support import cli_env
from tests.netns.underlay import IPV4, add_stranger, encapsulated, tunnel_counters

pytestmark = pytest.mark.netns

_FLOOD = [sys.executable, str(Path(__file__).with_name("flood.py"))]
_CAP_BYTES = 8 * (8 << 20)  # of packets, by shard: lib/netdev-reassembly.c
_CAP_FRAMES = 8 * 2048


@dataclass(frozen=True, slots=True)
class _Target:
    """number: TCP port, IP protocol or UDP port by which a switch knows an encapsulation.  other: nobody's; match: OpenFlow's for it."""

    number: int
    other: int
    match: str


_TARGETS = {
    "stt": _Target(7471, 7472, "tcp,tp_dst=7472"),
    "sclp": _Target(234, 253, "ip,nw_proto=253"),  # RFC 3692: for experiments
    "sclp-udp": _Target(7234, 7235, "udp,tp_dst=7235"),
}


@dataclass(frozen=True, slots=True)
class _Stranger:
    """A host on the underlay that sends what looks like one encapsulation's.  interface: its NIC."""

    lab: Lab
    interface: str
    encapsulation: str

    @property
    def target(self) -> _Target:
        return _TARGETS[self.encapsulation]

    def flood(self, number: int, first: int, count: int, packets_per_s: int) -> "subprocess.Popen[str]":
        """Start to send `count` unfinished frames to hv2, with ids from `first`; half of them look like hv1's.  number: see `_Target`."""
        columns = [self.lab.switch(name).vsctl("get", "interface", node.UNDERLAY_BRIDGE, "mac_in_use") for name in ("hv2", "hv1")]
        macs = ",".join(text.strip().strip('"') for text in columns)
        numbers = map(str, (number, first, count, packets_per_s))
        words = [*_FLOOD, self.interface, macs, node.vtep_ip(0), node.vtep_ip(1), self.encapsulation, *numbers]
        argv = ["ip", "netns", "exec", self.lab.names.netns(UNDERLAY), *words]
        return subprocess.Popen(argv, env=cli_env(), stdout=subprocess.PIPE, text=True)

    def counters(self) -> dict[str, dict[str, int]]:
        """Return what hv2 counted."""
        return tunnel_counters(self.lab, "hv2", self.encapsulation)


@pytest.fixture(params=list(_TARGETS))
def stranger(underlay_lab: Lab, request: pytest.FixtureRequest) -> Iterator[_Stranger]:
    """Guests of `small` use the encapsulation.  What is sent to the other number hv2 drops before its own stack sees it."""
    flow = f"{_TARGETS[request.param].match},nw_dst={node.vtep_ip(1)}"
    with encapsulated(underlay_lab, request.param, ["small"]), add_stranger(underlay_lab) as interface:
        underlay_lab.run("hv2", ["ovs-ofctl", "add-flow", node.UNDERLAY_BRIDGE, f"priority=100,{flow},actions=drop"])
        yield _Stranger(underlay_lab, interface, request.param)
        underlay_lab.run("hv2", ["ovs-ofctl", "del-flows", node.UNDERLAY_BRIDGE, flow])


def _rss_bytes(lab: Lab, hypervisor: str) -> int:
    status = Path(f"/proc/{lab.pid(f'{hypervisor} ovs-vswitchd')}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def _await_empty(stranger: _Stranger) -> dict[str, dict[str, int]]:
    """Wait until hv2 keeps nothing; return its counters."""
    assert wait_until(lambda: set(stranger.counters()["in flight"].values()) == {0}, 5)
    return stranger.counters()


def test_100000_unfinished_frames_stay_within_the_cap_and_go(underlay_lab: Lab, stranger: _Stranger) -> None:
    lab, count = underlay_lab, 100_000
    before, rss = _await_empty(stranger), _rss_bytes(lab, "hv2")
    sender = stranger.flood(stranger.target.number, 1, count, 0)
    most, most_rss = dict.fromkeys(before["in flight"], 0), 0
    while sender.poll() is None:
        now, most_rss = stranger.counters()["in flight"], max(most_rss, _rss_bytes(lab, "hv2"))
        most = {name: max(value, now[name]) for name, value in most.items()}
    print(f"in flight at most: {most}, RSS {rss} to {most_rss}, {sender.communicate()[0].strip()} s")
    after = _await_empty(stranger)
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


def test_unfinished_frames_cost_other_traffic_little_more_than_their_arrival(underlay_lab: Lab, stranger: _Stranger) -> None:
    """Compared with the same packets, sent as fast, that the switch drops as they come: what is left is the tunnel's part."""
    lab, target, count, packets_per_s = underlay_lab, stranger.target, 35_000, 30_000
    rates: dict[int, list[float]] = {target.number: [], target.other: []}
    before = _await_empty(stranger)
    for turn in range(3):
        for number, found in rates.items():
            gbps, seconds = _gbps_beside(lab, stranger.flood(number, 1 + turn * count, count, packets_per_s))
            print(f"{stranger.encapsulation}, to {number}: {gbps:.2f} Gbit/s, {2 * count / seconds:.0f} packets/s")
            found.append(gbps)
    after = _await_empty(stranger)
    queued = after["received"]["segments queued"] - before["received"]["segments queued"]
    assert queued > 1.8 * 3 * count
    assert median(rates[target.number]) >= 0.8 * median(rates[target.other]), rates
