"""STT between the datapath and an implementation that knows nothing of it (`stt_layer.py`), and Wireshark."""

import random
import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import checksum, wrpcap

from nvo3.lab import Lab, node, system
from nvo3.lab.names import UNDERLAY
from tests.netns.stt_layer import PORT, STT, frames, segments
from tests.netns.support import Capture
from tests.netns.underlay import IPV4, add_stranger

pytestmark = pytest.mark.netns

_ALL = 3  # ETH_P_ALL
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
_UDP_PORT = 7000
_ROOM = node.UNDERLAY_MTU - 40  # of a segment, for payload


class Ear:
    """A packet socket on an interface: what came by it."""

    def __init__(self, netns: str, interface: str) -> None:
        def listen() -> socket.socket:
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
            opened.bind((interface, _ALL))
            return opened

        self._socket = system.call_in(netns, listen)

    def close(self) -> None:
        self._socket.close()

    def packets(self, wanted: Callable[[Packet], bool], count: int) -> list[Packet]:
        """Return the packets so far that are wanted; wait until there are `count`, or for 3 s."""
        found: list[Packet] = []
        while select.select([self._socket], [], [], 3 if len(found) < count else 0)[0]:
            packet = Ether(self._socket.recv(1 << 17))
            if wanted(packet):
                found.append(packet)
        return found


@contextmanager
def _hearing(lab: Lab, place: str, interface: str) -> Iterator[Ear]:
    ear = Ear(lab.names.netns(place), interface)
    try:
        yield ear
    finally:
        ear.close()


def _mac(lab: Lab, hypervisor: str) -> str:
    return lab.switch(hypervisor).vsctl("get", "interface", node.UNDERLAY_BRIDGE, "mac_in_use").strip().strip('"')


@pytest.fixture
def send(underlay_lab: Lab) -> Iterator[Callable[..., None]]:
    """Send a STT frame to hv2 as if hv1 had, in segments in any order."""
    space = underlay_lab.names.netns(UNDERLAY)
    outer = Ether(src=_mac(underlay_lab, "hv1"), dst=_mac(underlay_lab, "hv2")) / IP(src=node.vtep_ip(0), dst=node.vtep_ip(1), flags="DF")

    def send_all(network: str, inner: Packet, **header: int) -> None:
        with underlay_lab.client() as client:
            vni = client.get(f"/v1/tenants/t/networks/{network}")["vni"]
        packets = segments(STT(context_id=vni, **header) / inner, outer, random.getrandbits(32))
        random.shuffle(packets)

        def body() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
                sender.bind((interface, 0))
                for packet in packets:
                    sender.send(bytes(packet))

        system.call_in(space, body)

    with add_stranger(underlay_lab) as interface:
        yield send_all


def _ethernet(lab: Lab, network: str) -> Packet:
    guests = lab.record.guests
    return Ether(src=guests[f"{network}1"].mac, dst=guests[f"{network}2"].mac) / IP(src=IPV4[0], dst=IPV4[1], flags="DF")


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _partial(packet: Packet) -> Packet:
    """Return the frame with what the P flag promises in the checksum field: the folded sum of the pseudo header."""
    ip = Ether(bytes(packet))[IP]
    pseudo = socket.inet_aton(ip.src) + socket.inet_aton(ip.dst) + bytes((0, ip.proto)) + (ip.len - 20).to_bytes(2, "big")
    built = packet.copy()
    built[ip.payload.__class__].chksum = ~checksum(pseudo) & 0xFFFF
    return Ether(bytes(built))


@pytest.mark.parametrize(("network", "size"), [("small", 1), ("small", 1372), ("jumbo", 8972), ("giant", 59972)])
@pytest.mark.parametrize("partial", [False, True], ids=["checksum whole", "checksum partial"])
def test_a_datagram_by_another_implementation_reaches_the_guest(
    underlay_lab: Lab, send: Callable[..., None], network: str, size: int, partial: bool
) -> None:
    def listen() -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((IPV4[1], _UDP_PORT))
        opened.settimeout(3)
        return opened

    inner = _ethernet(underlay_lab, network) / UDP(sport=_UDP_PORT, dport=_UDP_PORT) / Raw(_noise(size))
    with system.call_in(underlay_lab.ns(f"{network}2"), listen) as receiver:
        if partial:
            send(network, _partial(inner), flags="checksum_partial+ipv4", l4_offset=34)
        else:
            send(network, inner)
        assert receiver.recvfrom(65535) == (_noise(size), (IPV4[0], _UDP_PORT))


def test_a_tso_frame_by_another_implementation_is_what_the_guest_gets(underlay_lab: Lab, send: Callable[..., None]) -> None:
    size, seq = 20_000, 1_000_000
    inner = _ethernet(underlay_lab, "small") / TCP(sport=5555, dport=9, seq=seq, ack=1, flags="A") / Raw(_noise(size))
    with _hearing(underlay_lab, "small2", "eth0") as ear:
        send("small", _partial(inner), flags="checksum_partial+ipv4+tcp", l4_offset=34, mss=1348)
        heard = ear.packets(lambda packet: TCP in packet and 9 in (packet[TCP].sport, packet[TCP].dport), 2)
    sent = [packet for packet in heard if packet[TCP].dport == 9]
    assert b"".join(bytes(packet[TCP].payload) for packet in sorted(sent, key=lambda packet: packet[TCP].seq)) == _noise(size)
    # Nobody listens, which the guest's TCP says of a segment that it found right.
    assert {packet[TCP].seq for packet in heard if packet[TCP].sport == 9} == {1}


def test_the_vlan_tag_of_another_implementation_reaches_the_guest(underlay_lab: Lab, send: Callable[..., None]) -> None:
    inner = _ethernet(underlay_lab, "small") / UDP(dport=_UDP_PORT) / Raw(b"tagged")
    with Capture(underlay_lab, "small2", "eth0", "vlan") as capture:
        send("small", inner, v=1, vid=77, pcp=5)
        underlay_lab.run("small1", ["ping", "-c", "1", IPV4[1]])
    (line,) = capture.lines
    assert "vlan 77, p 5" in line and f"{IPV4[0]}.53 > {IPV4[1]}.{_UDP_PORT}: " in line


def _is_stt(packet: Packet) -> bool:
    return TCP in packet and packet[TCP].dport == PORT and packet[IP].src == node.vtep_ip(0)


def _between(guests: tuple[str, str]) -> Callable[[Packet], bool]:
    return lambda packet: (packet.src, packet.dst) == guests


def _tshark(file: Path, *options: str) -> str:
    argv = ["tshark", "-n", "-r", str(file), "-o", "ip.try_heuristic_first:TRUE", *options]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def test_another_implementation_and_wireshark_read_what_guests_send(underlay_lab: Lab, tmp_path: Path) -> None:
    """A datagram in 41 segments with a partial checksum, a ping, and TSO frames: each is what the guest sent, to the byte."""
    lab = underlay_lab
    macs = (lab.record.guests["giant1"].mac, lab.record.guests["giant2"].mac)
    program = f"import socket; s = socket.socket(); s.connect(('{IPV4[1]}', 22222)); s.sendall(bytes(range(251)) * 2000); s.close()"
    server = (
        "import socket; l = socket.create_server(('', 22222)); print('ready', flush=True); c = l.accept()[0]\nwhile c.recv(65536): pass"
    )
    with _hearing(lab, UNDERLAY, "h0") as wire, _hearing(lab, "giant1", "eth0") as guest:
        receiver = lab.popen("giant2", ["python3", "-c", server], stdout=subprocess.PIPE)
        assert receiver.stdout is not None and receiver.stdout.readline() == "ready\n"
        lab.run("giant1", ["python3", "-c", program])
        assert receiver.wait(10) == 0
        datagram = f"import socket; s = socket.socket(2, 2); s.sendto(bytes(59000), ('{IPV4[1]}', 7))"
        lab.run("giant1", ["python3", "-c", datagram])
        lab.run("giant1", ["ping", "-c", "1", "-s", "3000", IPV4[1]])  # answered when all before it is through
        sent = guest.packets(_between(macs), 4)
        packets = wire.packets(_is_stt, 4)
    whole = [frame for frame in frames(packets) if _between(macs)(frame[Ether])]
    assert sorted(bytes(frame[Ether]) for frame in whole) == sorted(bytes(packet) for packet in sent)
    with lab.client() as client:
        vni = client.get("/v1/tenants/t/networks/giant")["vni"]
    assert {frame.context_id & 0xFFFFFF for frame in whole} == {vni} and {frame.version for frame in whole} == {0}
    large = [frame for frame in whole if TCP in frame and frame.mss]
    assert large and all(str(frame.flags) == "checksum_partial+ipv4+tcp" and frame.l4_offset == 34 for frame in large)
    assert all(frame.mss < len(frame[TCP].payload) for frame in large)
    (udp,) = [frame for frame in whole if UDP in frame]
    assert (str(udp.flags), udp.mss, udp.l4_offset) == ("checksum_partial+ipv4", 0, 34)

    file = tmp_path / "wire.pcap"
    # Wireshark 4.0 takes a frame for whole one segment early where the last one has no more than 20 bytes.
    readable = [packet for packet in packets if not 0 < (packet[TCP].seq >> 16) % _ROOM <= 20]
    assert len(readable) > len(packets) / 2
    wrpcap(str(file), readable)
    # Wireshark knows STT by its looks only, and asks for that first where it is told to.
    fields = [word for field in ("stt.context_id", "eth.src", "eth.dst", "ip.len") for word in ("-e", field)]
    rows = [line.split("\t") for line in _tshark(file, "-T", "fields", "-E", "occurrence=l", *fields).splitlines()]
    assert len(rows) == len(readable)
    lengths = [row[3] for row in rows if row[0] and tuple(row[1:3]) == macs]
    assert sorted(lengths) == sorted(str(frame[IP].len) for frame in whole if not 0 < len(frame) % _ROOM <= 20)
    assert "Errors" not in _tshark(file, "-q", "-z", "expert")
