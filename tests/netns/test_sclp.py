"""SCLP between guests, natively and over UDP: whole MTUs, Wireshark with our dissector, and silence of the hypervisors' own stacks."""

import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from nvo3.lab import Lab, node, system
from nvo3.lab.names import UNDERLAY
from tests.netns.support import Capture, await_listening, wrong_pairs
from tests.netns.underlay import IPV4, IPV6, NETWORKS, add_stranger, encapsulated

pytestmark = pytest.mark.netns

_DISSECTOR = Path(__file__).resolve().parents[2] / "docs" / "protocols" / "sclp.lua"
_WIRE = {"sclp": "ip proto 234", "sclp-udp": "udp port 7234"}
_PORT = 22222
_STREAM_BYTES = 500_000
_SEND = f"""
import hashlib, random, socket
data = random.Random(1).randbytes({_STREAM_BYTES})
with socket.create_connection(('{IPV4[1]}', {_PORT})) as peer:
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    assert peer.recv(32, socket.MSG_WAITALL) == hashlib.sha256(data).digest()
"""
_RECEIVE = f"""
import hashlib, socket
server = socket.create_server(('', {_PORT}))
print('ready', flush=True)
peer, digest = server.accept()[0], hashlib.sha256()
while data := peer.recv(65536):
    digest.update(data)
peer.sendall(digest.digest())
"""


@pytest.fixture(params=list(_WIRE))
def encapsulation(underlay_lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    """All networks over one transport of SCLP."""
    with encapsulated(underlay_lab, request.param):
        yield request.param


def _stream(lab: Lab, network: str) -> None:
    """Send a stream between the guests of a network; the receiver answers with its hash."""
    receiver = lab.popen(f"{network}2", ["python3", "-c", _RECEIVE], stdout=subprocess.PIPE)
    try:
        assert receiver.stdout is not None and receiver.stdout.readline() == "ready\n"
        lab.run(f"{network}1", ["python3", "-c", _SEND])
    finally:
        receiver.kill()
        receiver.communicate()


def test_guests_reach_each_other_with_their_whole_mtu_over_an_underlay_of_1500(underlay_lab: Lab, encapsulation: str) -> None:
    lab = underlay_lab
    assert not wrong_pairs(lab)
    for network, mtu in NETWORKS.items():
        for address, headers in ((IPV4[1], 20 + 8), (IPV6[1], 40 + 8)):
            ping = ["ping", "-M", "do", "-c", "2", "-i", "0.05", "-W", "1", "-s"]
            for size in {mtu - headers, mtu - headers - 1, min(mtu - headers, 1473)}:
                assert " 0% packet loss" in lab.run(f"{network}1", [*ping, str(size), address]).stdout
            over = lab.run(f"{network}1", [*ping, str(mtu - headers + 1), address], check=False)
            assert over.returncode and "message too long" in (over.stdout + over.stderr).lower()
        _stream(lab, network)


def test_wireshark_reads_what_guests_send(underlay_lab: Lab, encapsulation: str, tmp_path: Path) -> None:
    """A stream of large frames, a datagram in 41 segments and a ping: whole, of the network's VNI, without an error."""
    lab, file = underlay_lab, tmp_path / "wire.pcap"
    argv = ["tcpdump", "-U", "-i", node.NIC, "-Q", "in", "-B", "65536", "-w", str(file), "--immediate-mode", *_WIRE[encapsulation].split()]
    tcpdump = lab.popen("hv2", argv, stderr=subprocess.PIPE)
    try:
        await_listening(tcpdump)
        _stream(lab, "giant")
        lab.run("giant1", ["python3", "-c", f"import socket; socket.socket(2, 2).sendto(bytes(59000), ('{IPV4[1]}', 7))"])
        lab.run("giant1", ["ping", "-c", "1", "-s", "3000", IPV4[1]])  # answered when all before it is through
    finally:
        tcpdump.terminate()
        tcpdump.communicate(timeout=10)

    names = ("vxlan.vni", "ip.src", "ip.len", "tcp.seq", "tcp.len")
    tshark = ["tshark", "-n", "-X", f"lua_script:{_DISSECTOR}", "-r", str(file)]
    fields = ["-T", "fields", "-E", "occurrence=l", *(word for name in names for word in ("-e", name))]
    done = subprocess.run([*tshark, *fields], capture_output=True, text=True, check=True, timeout=60)
    assert "lua" not in done.stderr.lower(), done.stderr
    frames = [row for row in (line.split("\t") for line in done.stdout.split("\n")) if row[0] and row[1] == IPV4[0]]
    with lab.client() as client:
        vni = client.get("/v1/tenants/t/networks/giant")["vni"]
    assert {row[0] for row in frames} == {str(vni)}
    assert [row[2] for row in frames if not row[3]] == [str(59000 + 8 + 20), str(3000 + 8 + 20)]
    segments, end = sorted((int(row[3]), int(row[4])) for row in frames if row[3] and row[4] != "0"), 1
    for seq, length in segments:  # some perhaps twice
        assert seq <= end
        end = max(end, seq + length)
    assert end == 1 + _STREAM_BYTES and max(length for _, length in segments) > node.UNDERLAY_MTU
    experts = subprocess.run([*tshark, "-q", "-z", "expert"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Errors" not in experts, experts


def _mac(lab: Lab, hypervisor: str) -> str:
    return lab.switch(hypervisor).vsctl("get", "interface", node.UNDERLAY_BRIDGE, "mac_in_use").strip().strip('"')


def _nonsense() -> list[Packet]:
    """What is not SCLP, or of no use, though it comes as such from a hypervisor."""
    ip = IP(src=node.vtep_ip(0), dst=node.vtep_ip(1), proto=234)
    noise = random.Random(2).randbytes
    native = [ip / Raw(noise(size)) for size in (1, 11, 12, 13, 100, 1480)]
    udp = [ip.copy() / UDP(sport=9, dport=7234) / Raw(noise(size)) for size in (0, 11, 12, 100)]
    for packet in udp:
        packet[IP].proto = 17
    return [*native, *udp, *fragment(ip / Raw(noise(2000)), 1400)]


def test_no_icmp_leaves_a_hypervisor_for_what_comes_as_sclp(underlay_lab: Lab, encapsulation: str) -> None:
    lab = underlay_lab
    ether = Ether(src=_mac(lab, "hv1"), dst=_mac(lab, "hv2"))

    def send(interface: str) -> Callable[[], None]:
        def body() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
                sender.bind((interface, 0))
                for packet in _nonsense():
                    sender.send(bytes(ether / packet))

        return body

    captures = [Capture(lab, name, node.NIC, "icmp[icmptype] == icmp-unreach", direction="out") for name in ("hv1", "hv2")]
    closed = ["python3", "-c", f"import socket; socket.socket(2, 2).sendto(b'x', ('{node.vtep_ip(1)}', 9))"]
    with captures[0], captures[1], add_stranger(lab) as interface:
        system.call_in(lab.names.netns(UNDERLAY), send(interface))
        _stream(lab, "giant")
        lab.run("hv1", closed)  # this the stack of hv2 does answer: the capture would have seen others
        lab.run("hv1", ["ping", "-c", "1", "-W", "2", node.vtep_ip(1)])  # answered after all before it
    assert captures[0].lines == []
    (answer,) = captures[1].lines
    assert f"ICMP {node.vtep_ip(1)} udp port 9 unreachable" in answer
