"""STT and SCLP over an underlay that drops, duplicates, reorders and corrupts: nothing arrives but what was sent.

STT leaves the wire's TCP alone, too.  `--full` moves 10 GB by TCP and 1 GB by UDP over STT, a fifth of that over each transport of SCLP.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from nvo3.lab import Lab, node
from nvo3.lab.system import wait_until
from tests.netns.support import Capture
from tests.netns.underlay import IPV4, IPV6, NETWORKS, Cable, Harm, build, encapsulated, lossy_cable, tunnel_counters

pytestmark = pytest.mark.netns

_TRANSFER = [sys.executable, str(Path(__file__).with_name("transfer.py"))]
_PORT = 5000
_MB = 1_000_000
_HARM = Harm(drop=0.005, duplicate=0.005, reorder=0.005, corrupt=0.005)
_UDP_BYTES_PER_S = 30 * _MB
_VTEPS = (node.vtep_ip(0), node.vtep_ip(1))


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a receiver counts segments as that the wire corrupted behind the IPv4 header.

    names: of counters.  unseen: at most this share of them is of none of these names, because what is harmed says what a segment is.
    others: for what else the tunnel may drop on such a wire; None: anything.
    """

    names: tuple[str, ...]
    unseen: float
    others: tuple[str, ...] | None = None


_REPEATED = ("duplicate", "overlap")
_REFUSALS = {
    # The port may be another, and flags, data offset, and the frame's total and offset are looked at before the checksum.
    "stt": _Refusal(("tcp_checksum",), 0.09),
    # The checksum covers all of it; `remaining` is looked at before.
    "sclp": _Refusal(("sclp_checksum", "total"), 0, _REPEATED),
    # A port that is another is within 31 of nearly 12,000 bits.  A checksum that became 0 is none, and SCLP's is looked at.
    "sclp-udp": _Refusal(("udp_checksum", "udp_length", "sclp_checksum"), 0.05, _REPEATED),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("lossy", tmp_path_factory.mktemp("lossy"))


@pytest.fixture(scope="module")
def lab(underlay_lab: Lab) -> Lab:
    """Guests whose TCP and fragments recover from loss within milliseconds, so that more is sent than waited."""
    for guest in underlay_lab.record.guests:
        for address in (*IPV4, *IPV6):
            underlay_lab.run(guest, ["ip", "route", "replace", address, "dev", "eth0", "rto_min", "5ms"])
        # A number of an IPv4 packet is used again before the usual 30 s are over, and fragments of two packets become one.
        underlay_lab.run(guest, ["sysctl", "-q", "-w", "net.ipv4.ipfrag_time=1"])
    return underlay_lab


@contextmanager
def _receiving(lab: Lab, place: str, what: str, address: str, port: int) -> Iterator["subprocess.Popen[str]"]:
    argv = [*_TRANSFER, f"{what}-receive", address, str(port)]
    process = lab.popen(place, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _told(process: "subprocess.Popen[str]", timeout_s: float) -> dict[str, Any]:
    """Return what a program says at its end."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    assert process.returncode == 0
    parsed: dict[str, Any] = json.loads(output.splitlines()[-1])
    return parsed


@contextmanager
def _tcp(lab: Lab, places: tuple[str, str], address: str, size: int, *, port: int = _PORT) -> Iterator[dict[str, Any]]:
    """Send by TCP from one place to another beside the block; afterwards the sender's words are there."""
    result: dict[str, Any] = {}
    with _receiving(lab, places[1], "tcp", address, port):
        sender = lab.popen(places[0], [*_TRANSFER, "tcp-send", address, str(port), str(size)], stdout=subprocess.PIPE)
        try:
            yield result
            result |= _told(sender, 60 + size / _MB)
        finally:
            sender.kill()
            sender.wait()


@contextmanager
def _udp(lab: Lab, places: tuple[str, str], address: str, size: int, datagram_bytes: int) -> Iterator[dict[str, Any]]:
    """The same by UDP; afterwards the receiver's words are there, and how many datagrams were `sent`."""
    result: dict[str, Any] = {}
    with _receiving(lab, places[1], "udp", address, _PORT) as receiver:
        numbers = (_PORT, size, datagram_bytes, _UDP_BYTES_PER_S)
        sender = lab.popen(places[0], [*_TRANSFER, "udp-send", address, *map(str, numbers)], stdout=subprocess.PIPE)
        try:
            yield result
            result |= _told(sender, 60 + 2 * size / _UDP_BYTES_PER_S)
            result |= _told(receiver, 30)
        finally:
            sender.kill()
            sender.wait()


def _pair(network: str) -> tuple[str, str]:
    return f"{network}1", f"{network}2"


def _assert_harmed(cable: Cable) -> None:
    counts = cable.counts["hv1"]
    assert all(counts[name] > 0 for name in ("dropped", "duplicated", "reordered", "corrupted")), counts


def _assert_nothing_waits(lab: Lab, encapsulation: str) -> None:
    """What came of frames that will never be whole goes when its time is over."""

    def waits(hypervisor: str) -> dict[str, int]:
        return tunnel_counters(lab, hypervisor, encapsulation)["in flight"]

    for hypervisor in ("hv1", "hv2"):
        assert wait_until(lambda: waits(hypervisor)["frames"] == 0, 5), waits(hypervisor)  # noqa: B023
        assert set(waits(hypervisor).values()) == {0}


def _assert_refused(lab: Lab, encapsulation: str, before: dict[str, int], counts: dict[str, int]) -> None:
    """hv2 refused what hv1's side of the cable corrupted, and as such; before: why it had dropped segments until then."""
    refusal = _REFUSALS[encapsulation]
    least = (1 - refusal.unseen) * counts["corrupted"]

    def grown() -> dict[str, int]:
        dropped = tunnel_counters(lab, "hv2", encapsulation)["dropped"]
        return {name: count - before[name] for name, count in dropped.items() if count > before[name]}

    def refused(found: dict[str, int]) -> int:
        return sum(found.get(name, 0) for name in refusal.names)

    assert wait_until(lambda: refused(grown()) >= least, 5), (grown(), counts)
    found = grown()
    assert refused(found) <= counts["corrupted"] + counts["duplicated"], (found, counts)
    assert refusal.others is None or set(found) <= {*refusal.names, *refusal.others}, found


@pytest.mark.parametrize(
    ("encapsulation", "network", "address", "megabytes", "full"),
    [
        ("stt", "small", IPV4[1], 200, 10_000),
        ("stt", "jumbo", IPV6[1], 50, 500),
        ("stt", "giant", IPV4[1], 20, 200),
        *((name, *rest) for name in ("sclp", "sclp-udp") for rest in (("small", IPV4[1], 50, 2000), ("giant", IPV4[1], 20, 200))),
    ],
)
def test_tcp_over_a_bad_wire_arrives_as_it_was_sent(
    lab: Lab, program: Path, request: pytest.FixtureRequest, encapsulation: str, network: str, address: str, megabytes: int, full: int
) -> None:
    size = _MB * (full if request.config.getoption("--full") else megabytes)
    with encapsulated(lab, encapsulation, [network]):
        before = tunnel_counters(lab, "hv2", encapsulation)["dropped"]
        with lossy_cable(lab, program, _HARM) as cable, _tcp(lab, _pair(network), address, size) as result:
            pass
        print(f"{encapsulation}, {network}: {result}; {cable.counts}")
        assert result["received"] == result["sent"]
        _assert_harmed(cable)
        _assert_refused(lab, encapsulation, before, cable.counts["hv1"])
        _assert_nothing_waits(lab, encapsulation)


@pytest.mark.parametrize(
    ("encapsulation", "network", "address", "datagram_bytes", "megabytes", "full"),
    [
        ("stt", "small", IPV4[1], 1372, 50, 1000),
        ("stt", "small", IPV4[1], 8000, 20, 200),  # in fragments, each a frame
        ("stt", "jumbo", IPV6[1], 8000, 20, 200),
        ("stt", "giant", IPV4[1], 59000, 20, 200),
        ("sclp", "small", IPV4[1], 1372, 20, 200),
        ("sclp", "giant", IPV4[1], 59000, 20, 200),
        ("sclp-udp", "small", IPV4[1], 1372, 20, 200),
        ("sclp-udp", "giant", IPV4[1], 59000, 20, 200),
    ],
)
def test_udp_over_a_bad_wire_loses_what_the_wire_lost_and_no_more(
    lab: Lab,
    program: Path,
    request: pytest.FixtureRequest,
    encapsulation: str,
    network: str,
    address: str,
    datagram_bytes: int,
    megabytes: int,
    full: int,
) -> None:
    size = _MB * (full if request.config.getoption("--full") else megabytes)
    with (
        encapsulated(lab, encapsulation, [network]),
        lossy_cable(lab, program, _HARM) as cable,
        _udp(lab, _pair(network), address, size, datagram_bytes) as result,
    ):
        pass
    print(f"{encapsulation}, {network}, {datagram_bytes}: {result}; {cable.counts}")
    _assert_harmed(cable)
    assert result["corrupt"] == 0
    assert result["sizes"] == [datagram_bytes]
    # A frame of one segment that the wire doubles is a frame twice, as on any network; one of several is not.
    assert result["duplicate"] <= (cable.counts["hv1"]["duplicated"] if datagram_bytes < NETWORKS["small"] else 0)
    assert result["sent"] - result["intact"] <= cable.lost("hv1") + result["overrun"]
    _assert_nothing_waits(lab, encapsulation)


def _resets(captures: Sequence[Capture]) -> list[str]:
    return [line for capture in captures for line in capture.lines]


def test_no_reset_leaves_a_hypervisor_and_plain_tcp_beside_stt_is_whole(lab: Lab, program: Path) -> None:
    # The plain connections may end with one: what the wire has doubled or delayed comes after they were closed.
    resets = f"tcp[tcpflags] & tcp-rst != 0 and not port {_PORT}"
    captures = [Capture(lab, name, node.NIC, resets, direction="out") for name in ("hv1", "hv2")]
    with ExitStack() as stack:
        for capture in captures:
            stack.enter_context(capture)
        cable = stack.enter_context(lossy_cable(lab, program, _HARM))
        results = [
            stack.enter_context(_tcp(lab, _pair("small"), IPV4[1], 20 * _MB)),
            stack.enter_context(_tcp(lab, _pair("small")[::-1], IPV6[0], 20 * _MB)),
            stack.enter_context(_tcp(lab, ("hv1", "hv2"), _VTEPS[1], 5 * _MB)),
            stack.enter_context(_tcp(lab, ("hv2", "hv1"), _VTEPS[0], 5 * _MB)),
        ]
        datagrams = stack.enter_context(_udp(lab, _pair("giant"), IPV4[1], 20 * _MB, 59000))
    print(f"{results}; {datagrams}; {cable.counts}")
    assert [result["received"] for result in results] == [result["sent"] for result in results]
    assert datagrams["corrupt"] == 0
    assert _resets(captures) == []
    # The capture would have seen one.
    with Capture(lab, "hv2", node.NIC, resets, direction="out") as capture:
        lab.run("hv1", [sys.executable, "-c", f"import socket; socket.socket().connect_ex(('{_VTEPS[1]}', 9))"])
    assert len(capture.lines) == 1


def _plain_gbps(lab: Lab) -> float:
    with _tcp(lab, ("hv1", "hv2"), _VTEPS[1], 40 * _MB) as result:
        pass
    assert result["received"] == result["sent"]
    gbps: float = result["gbps"]
    return gbps


def test_plain_tcp_is_as_fast_beside_stt_as_beside_vxlan(lab: Lab) -> None:
    """Under the same traffic of guests: what the switch does with STT costs other TCP of the NIC nothing."""
    rates: dict[str, list[float]] = {"stt": [], "vxlan": []}
    path = "/v1/tenants/t/networks/small"
    with lab.client() as client:
        try:
            for _ in range(3):
                for encapsulation, found in rates.items():
                    client.patch(path, {"encapsulation": encapsulation}, wait="realized")
                    with _udp(lab, _pair("small"), IPV4[1], 30 * _MB, 1372) as beside:
                        found.append(_plain_gbps(lab))
                    assert beside["corrupt"] == beside["duplicate"] == 0
        finally:
            client.patch(path, {"encapsulation": "auto"}, wait="realized")
    print(f"alone: {_plain_gbps(lab):.2f} Gbit/s, beside: {rates}")
    assert median(rates["stt"]) > 0.6 * median(rates["vxlan"])


# Guests' MTU beyond the underlay's.


@pytest.mark.parametrize("network", ["jumbo", "giant"])
def test_guests_use_their_whole_mtu_over_an_underlay_of_1500(lab: Lab, network: str) -> None:
    mtu, (source, _) = NETWORKS[network], _pair(network)
    for address, headers in ((IPV4[1], 20 + 8), (IPV6[1], 40 + 8)):
        ping = ["ping", "-M", "do", "-c", "3", "-i", "0.05", "-W", "1"]
        for size in (mtu - headers, mtu - headers - 1, 1472, 1473):
            assert " 0% packet loss" in lab.run(source, [*ping, "-s", str(size), address]).stdout
        over = lab.run(source, [*ping, "-s", str(mtu - headers + 1), address], check=False)
        assert over.returncode and "message too long" in (over.stdout + over.stderr).lower()


def test_a_datagram_of_59000_bytes_crosses_the_wire_in_segments_and_arrives_in_one(lab: Lab, program: Path) -> None:
    capture = Capture(lab, "giant2", "eth0", "udp or ip6 or (ip[6:2] & 0x3fff != 0)")
    count = 20
    with lossy_cable(lab, program, Harm()) as cable, capture, _udp(lab, _pair("giant"), IPV4[1], count * 59000, 59000) as result:
        pass
    assert (result["intact"], result["sent"]) == (count, count)
    datagrams = [line for line in capture.lines if "UDP" in line]
    assert len(datagrams) == count and all("UDP, length 59000" in line for line in datagrams)
    # Inner Ethernet, IPv4 and UDP headers and STT's own, at 1460 a segment.
    assert cable.counts["hv1"]["received"] >= count * -(-(59000 + 14 + 20 + 8 + 18) // 1460)


def _iperf_gbps(lab: Lab, network: str) -> float:
    source, target = _pair(network)
    server = lab.popen(target, ["iperf3", "--server", "--one-off"], stdout=subprocess.DEVNULL)
    try:
        argv = ["iperf3", "--client", IPV4[1], "--time", "1", "--json"]
        # Refused, with the same status, until the server listens.
        end = wait_until(lambda: json.loads(lab.run(source, argv, check=False).stdout)["end"].get("sum_received"), 10)
        return float(end["bits_per_second"]) / 1e9
    finally:
        server.kill()
        server.wait()


def test_tcp_of_a_large_mtu_is_no_slower(lab: Lab) -> None:
    rates: dict[str, list[float]] = {network: [] for network in NETWORKS}
    before = tunnel_counters(lab, "hv2", "stt")["received"]
    for _ in range(3):
        for network, found in rates.items():
            found.append(_iperf_gbps(lab, network))
    print(rates)
    after = tunnel_counters(lab, "hv2", "stt")["received"]
    # What the sending kernel cut the receiving one has put together, but for the last segment of a frame: then the figures mean something.
    assert after["segments queued"] - before["segments queued"] < 5 * (after["frames"] - before["frames"])
    # Loosely: others may use the machine, and this is one second at a time.
    assert median(rates["jumbo"]) > 0.7 * median(rates["small"])
    assert median(rates["giant"]) > 0.7 * median(rates["small"])
