"""A guest whose vNIC encapsulates and that forges: real frames out of its vNIC, and everybody else's devices listened at.

Each forgery is what would reach somebody if one rule were looser: from another endpoint's address, it carries a frame of a network that
this endpoint is in.  `test_what_is_not_forged_arrives` shows that the same frames, not forged, do.
"""

import itertools
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest
from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw, fragment

from nvo3.lab import Lab, agent, node, system
from nvo3.lab.system import wait_until
from nvo3.lab.topology import parse
from nvo3.lab.vnic import VNIC
from nvo3.wire import cvsw, sclp, stt, vxlan
from nvo3.wire.of10 import Command, FlowMod
from nvo3.wire.of10_match import Match
from tests.netns.conftest import unused_lab
from tests.netns.test_cvsw import WIRE, agents, await_realized

pytestmark = pytest.mark.netns

RED, BLUE = 5001, 5002
BROADCAST = "ff:ff:ff:ff:ff:ff"
ETH_P_ALL = 3
_WAIT_S = 5.0
_PORT = 4000  # of fences
_TOPOLOGY = """
hypervisors: [hv1, hv2]
tenants:
  red: {networks: {web: {vni: 5001, pools: [10.0.0.0/24]}}}
  blue: {networks: {web: {vni: 5002, pools: [10.0.0.0/24]}}}
guests:
  - {name: r1, tenant: red, network: web, hypervisor: hv1, addresses: [10.0.0.11], offload: cvsw}
  - {name: r2, tenant: red, network: web, hypervisor: hv2, addresses: [10.0.0.12], offload: cvsw}
  - {name: r3, tenant: red, network: web, hypervisor: hv1, addresses: [10.0.0.13]}
  - {name: r4, tenant: red, network: web, hypervisor: hv2, addresses: [10.0.0.14]}
  - {name: b1, tenant: blue, network: web, hypervisor: hv1, addresses: [10.0.0.21], offload: cvsw}
  - {name: b2, tenant: blue, network: web, hypervisor: hv2, addresses: [10.0.0.22]}
  - {name: b3, tenant: blue, network: web, hypervisor: hv2, addresses: [10.0.0.23], offload: cvsw}
  - {name: b4, tenant: blue, network: web, hypervisor: hv1, addresses: [10.0.0.24]}
"""
ADDRESS = {"r1": 11, "r2": 12, "r3": 13, "r4": 14, "b1": 21, "b2": 22, "b3": 23, "b4": 24}
# Who tells a guest that all that was on its way before has come: one on the same hypervisor.
FENCES = {"r3": "r1", "r4": "r2", "r2": "r4", "b1": "b4", "b4": "b1", "b2": "b3", "b3": "b2"}
_ARRIVALS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class End:
    """A tunnel endpoint."""

    mac: str
    ip: str


@dataclass
class Forger:
    """r1, its addresses and everybody else's, and devices of theirs.  marker: in what it sends now."""

    lab: Lab
    ends: dict[str, End]
    macs: dict[str, str]
    devices: dict[str, socket.socket]
    vnic: socket.socket
    fences: dict[str, socket.socket]
    marker: bytes = b""

    # What to send.

    def inner(self, source: str, destination: str) -> bytes:
        addresses = {"src": f"10.0.0.{ADDRESS[source]}", "dst": f"10.0.0.{ADDRESS[destination]}"}
        frame = Ether(src=self.macs[source], dst=self.macs[destination]) / IP(**addresses) / UDP(sport=1, dport=9) / Raw(self.marker)
        return bytes(frame)

    def outer(self, to: str, *, src_mac: str = "r1") -> Ether:
        return Ether(src=self.ends[src_mac].mac, dst=self.ends[to].mac)

    def ip(self, to: str, *, src: str = "r1", **fields: Any) -> IP:
        return IP(src=self.ends[src].ip, dst=self.ends[to].ip, flags="DF", **fields)

    def tunnel(self, name: str, vni: int, frame: bytes, to: str, *, src: str = "r1", src_mac: str = "r1") -> Ether:
        """A tunnel packet to an endpoint."""
        return self.outer(to, src_mac=src_mac) / encapsulated(name, self.ip(to, src=src), vni, frame)

    def blue(self, name: str, to: str, guest: str, **fields: str) -> Ether:
        """A tunnel packet with a frame of the other tenant's, for one of its guests."""
        source = "b1" if guest in ("b2", "b3") else "b3"
        return self.tunnel(name, BLUE, self.inner(source, guest), to, **fields)

    # What becomes of it.

    def send(self, *frames: Ether | bytes) -> set[str]:
        """Send frames out of the vNIC; return the devices that saw the marker, once all that could have come has."""
        for frame in frames:
            self.vnic.send(bytes(frame))
        seen: set[str] = set()
        fence = f"fence {next(_ARRIVALS):8}".encode()
        forged, self.marker = self.marker, fence
        self.vnic.send(bytes(self.tunnel("vxlan", RED, self.inner("r1", "r4"), "hv2")))
        self._listen("wire", fence, forged, seen)
        self._listen("r4", fence, forged, seen)
        for guest, teller in FENCES.items():
            self.fences[teller].sendto(fence + guest.encode(), (f"10.0.0.{ADDRESS[guest]}", _PORT))
        for guest in FENCES:
            self._listen(guest, fence + guest.encode(), forged, seen)
        for name in self.devices:
            self._listen(name, None, forged, seen)
        self.marker = b"forged %08d" % next(_ARRIVALS)
        return seen

    def _listen(self, name: str, fence: bytes | None, forged: bytes, seen: set[str]) -> None:
        """Take what has come to a device until a fence does, or without one what is there."""
        deadline = time.monotonic() + (0 if fence is None else _WAIT_S)
        device = self.devices[name]
        while True:
            ready, _, _ = select.select([device], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                assert fence is None, f"nothing comes to {name}"
                return
            frame = device.recv(1 << 16)
            if forged in frame:
                seen.add(name)
            if fence is not None and fence in frame:
                return

    def spoofed(self) -> int:
        """What the API has counted as spoofed."""
        with self.lab.client() as client:
            return int(client.get("/v1/tenants/red/networks/web/ports/r1/counters")["spoofed_packets"])


def encapsulated(name: str, ip: IP, vni: int, frame: bytes) -> IP:
    """An outer IPv4 packet; of STT and SCLP made by the codecs, of the rest here."""
    source, destination = (IPv4Address(address).packed for address in (ip.src, ip.dst))
    number = 2 * next(_ARRIVALS)  # SCLP has a flag in the last bit
    match name:
        case "vxlan":
            return ip / UDP(sport=50000, dport=4789) / Raw(vxlan.VxlanHeader(vni).serialize() + frame)
        case "geneve":
            return ip / UDP(sport=50000, dport=6081) / Raw(struct.pack("!HHI", 0, 0x6558, vni << 8) + frame)
        case "gre":
            ip.proto = 47
            return ip / Raw(struct.pack("!HHI", 0x2000, 0x6558, vni << 8) + frame)
        case "stt":
            packet = stt.SttPacket(source, destination, stt.SttSegment(50000, 7471, number, stt.TOTAL_MIN, 0, b"-"))
            return IP(stt.segment(stt.SttHeader(vni).serialize() + frame, 1500, packet)[0])
    udp = sclp.Udp(50000) if name == "sclp-udp" else None
    payload = vxlan.VxlanHeader(vni).serialize() + frame
    return IP(sclp.segment(payload, 1500, sclp.SclpPacket(source, destination, (b"-",), udp), 50000, vxlan.DST_PORT, number)[0])


def _listening(space: str, device: str) -> socket.socket:
    """Return a socket that has what comes to a device; not what leaves by it."""
    result = system.call_in(space, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    result.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
    result.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    result.bind((device, ETH_P_ALL))
    return result


@pytest.fixture(scope="module")
def forger() -> Iterator[Forger]:
    with unused_lab() as lab:
        lab.up(parse(_TOPOLOGY, "forging"))
        await_realized(lab)
        guests = lab.record.guests
        ends = {item["port"].rpartition("/")[2]: item["underlay_ip"] for item in agents(lab).values()}
        known = {name: End("06:6e:" + IPv4Address(ip).packed.hex(":"), ip) for name, ip in ends.items()}
        for index, name in enumerate(("hv1", "hv2")):
            mac = lab.switch(name).vsctl("get", "interface", node.UNDERLAY_BRIDGE, "mac_in_use").strip().strip('"')
            known[name] = End(mac, node.vtep_ip(index))
        devices = {"wire": _listening(lab.ns("hv2"), node.NIC)}
        for name in ("hv1", "hv2"):
            devices[f"{name} itself"] = _listening(lab.ns(name), node.UNDERLAY_BRIDGE)
        for name, guest in guests.items():
            if name in FENCES:
                devices[name] = _listening(lab.ns(name), VNIC if guest.offload == "none" else agent.TAP)
            if name in FENCES and guest.offload != "none":
                devices[f"{name} vNIC"] = _listening(lab.ns(name), VNIC)
        vnic = system.call_in(lab.ns("r1"), lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        vnic.bind((VNIC, 0))
        fences = {name: system.call_in(lab.ns(name), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for name in guests}
        one = Forger(lab, known, {name: guest.mac for name, guest in guests.items()}, devices, vnic, fences)
        one.send()
        yield one
        for each in (*devices.values(), *fences.values(), vnic):
            each.close()


# What is not forged.


@pytest.mark.parametrize("name", WIRE)
def test_what_is_not_forged_arrives(forger: Forger, name: str) -> None:
    assert forger.send(forger.tunnel(name, RED, forger.inner("r1", "r2"), "r2")) == {"wire", "r2 vNIC", "r2"}
    assert forger.send(forger.tunnel(name, RED, forger.inner("r1", "r4"), "hv2")) == {"wire", "r4"}


# Outer addresses of others.


@pytest.mark.parametrize("name", WIRE)
def test_address_of_another_endpoint(forger: Forger, name: str) -> None:
    """A hypervisor's and a vNIC's, of the other tenant's network: to a hypervisor, to a vNIC, to the guest's own hypervisor."""
    for to, guest, sources in (("hv2", "b2", ("hv1", "b1")), ("b3", "b3", ("hv1", "b1")), ("hv1", "b4", ("hv2", "b3"))):
        for source in sources:
            for src_mac in ("r1", source):
                assert forger.send(forger.blue(name, to, guest, src=source, src_mac=src_mac)) == set(), (to, source, src_mac)


@pytest.mark.parametrize("mac", ["hv1", "hv2", "r2", "b1"])
def test_mac_of_another_endpoint(forger: Forger, mac: str) -> None:
    for to, guest in (("hv2", "r4"), ("r2", "r2")):
        assert forger.send(forger.tunnel("vxlan", RED, forger.inner("r1", guest), to, src_mac=mac)) == set()


def test_mac_of_its_own_that_is_not_the_outer_one(forger: Forger) -> None:
    for mac in (forger.macs["r1"], "02:00:00:00:00:99"):
        frame = forger.tunnel("vxlan", RED, forger.inner("r1", "r4"), "hv2")
        frame.src = mac
        assert forger.send(frame) == set()


# Networks of others.


@pytest.mark.parametrize("name", WIRE)
def test_network_id_of_another_tenant(forger: Forger, name: str) -> None:
    """From its own endpoint, which is in no network of theirs."""
    assert forger.send(forger.blue(name, "hv2", "b2")) == {"wire"}
    assert forger.send(forger.blue(name, "b3", "b3")) == {"wire", "b3 vNIC"}
    assert forger.send(forger.blue(name, "r2", "b3")) == {"wire", "r2 vNIC"}
    assert forger.send(forger.tunnel(name, RED, forger.inner("r1", "r2"), "b3")) == {"wire", "b3 vNIC"}
    assert not forger.send(forger.blue(name, "hv1", "b4")) & {"b4", "b1", "b2", "b3"}
    assert not forger.send(forger.blue(name, "b1", "b1")) & {"b4", "b1", "b2", "b3"}


# What is no tunnel packet.


def _datagram(port: int) -> Callable[[Forger], Ether]:
    return lambda f: f.outer("hv2") / f.ip("hv2") / UDP(sport=50000, dport=port) / Raw(f.marker)


def _segment(port: int, to: str) -> Callable[[Forger], Ether]:
    return lambda f: f.outer(to) / f.ip(to) / TCP(sport=50000, dport=port, flags="S") / Raw(f.marker)


def _vxlan(f: Forger) -> Ether:
    return f.tunnel("vxlan", RED, f.inner("r1", "r4"), "hv2")


def _later_fragment(f: Forger) -> Ether:
    packet = _vxlan(f)
    packet[IP].flags = 0
    return f.outer("hv2") / fragment(packet[IP], fragsize=56)[1]


def _tagged(*tags: Dot1Q) -> Callable[[Forger], Ether]:
    def make(f: Forger) -> Ether:
        frame = f.outer("hv2")
        for tag in tags:
            frame = frame / tag
        return frame / _vxlan(f).payload

    return make


def _to(mac: str, ip: str) -> Callable[[Forger], Ether]:
    def make(f: Forger) -> Ether:
        frame = _vxlan(f)
        frame.dst, frame[IP].dst = mac, ip
        return frame

    return make


def _arp(source: str, op: int, claimed: str, to: str = "hv2") -> Callable[[Forger], Ether]:
    """From the outer MAC address, or another: an endpoint's address is at the forger's."""

    def make(f: Forger) -> Ether:
        mac = f.macs["r1"] if source == "own" else f.ends[source].mac
        target = {"hwdst": f.ends[to].mac, "pdst": f.ends[to].ip}
        return (
            Ether(src=mac, dst=BROADCAST if op == 1 else f.ends[to].mac)
            / ARP(op=op, hwsrc=mac, psrc=f.ends[claimed].ip, **target)
            / Raw(f.marker)
        )

    return make


NO_TUNNEL: dict[str, Callable[[Forger], Ether]] = {
    "ICMP to a hypervisor": lambda f: f.outer("hv2") / f.ip("hv2") / ICMP() / Raw(f.marker),
    "ICMP to its own hypervisor": lambda f: f.outer("hv1") / f.ip("hv1") / ICMP() / Raw(f.marker),
    "ICMP to a vNIC": lambda f: f.outer("r2") / f.ip("r2") / ICMP() / Raw(f.marker),
    "SSH": _segment(22, "hv2"),
    "SSH of its own hypervisor": _segment(22, "hv1"),
    "OVSDB": _segment(6640, "hv2"),
    "OpenFlow": _segment(6653, "hv1"),
    "TCP beside STT": _segment(7472, "hv2"),
    "TCP from STT's port": lambda f: f.outer("hv2") / f.ip("hv2") / TCP(sport=7471, dport=80) / Raw(f.marker),
    "DNS": _datagram(53),
    "UDP beside VXLAN": _datagram(4788),
    "UDP from VXLAN's port": lambda f: f.outer("hv2") / f.ip("hv2") / UDP(sport=4789, dport=53) / Raw(f.marker),
    "another IP protocol": lambda f: f.outer("hv2") / f.ip("hv2", proto=4) / Raw(f.marker),
    "SCTP to VXLAN's port": lambda f: f.outer("hv2") / f.ip("hv2", proto=132) / Raw(struct.pack("!HH", 50000, 4789) + f.marker),
    "IPv6": lambda f: f.outer("hv2") / IPv6(src="fd00::1", dst="fd00::2") / UDP(dport=4789) / Raw(f.marker),
    "a later fragment": _later_fragment,
    "a tag": _tagged(Dot1Q(vlan=7)),
    "a tag of priority": _tagged(Dot1Q(vlan=0, prio=5)),
    "another tag behind a tag": _tagged(Dot1Q(vlan=7), Dot1Q(vlan=8)),
    "broadcast": _to(BROADCAST, "255.255.255.255"),
    "broadcast of the underlay": _to(BROADCAST, "192.0.2.255"),
    "unicast in a broadcast": _to(BROADCAST, "192.0.2.12"),
    "multicast": _to("01:00:5e:00:00:01", "224.0.0.1"),
    "reserved multicast": _to("01:80:c2:00:00:0e", "192.0.2.12"),
    "ARP reply for a hypervisor": _arp("r1", 2, "hv1"),
    "ARP reply for a vNIC": _arp("r1", 2, "b1", "b3"),
    "ARP request from a hypervisor's address": _arp("r1", 1, "hv1"),
    "gratuitous ARP": _arp("r1", 1, "hv2", "hv2"),
    "ARP for itself": _arp("r1", 1, "r1"),
    "ARP from its inner MAC": _arp("own", 2, "hv1"),
    "ARP from its inner MAC, a request": _arp("own", 1, "hv1"),
    "ARP from a hypervisor's MAC": _arp("hv2", 1, "hv2"),
    "ARP from a vNIC's MAC": _arp("b1", 1, "b1"),
    "LLDP": lambda f: Ether(src=f.ends["r1"].mac, dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(f.marker.ljust(46)),
    "no known EtherType": lambda f: Ether(src=f.ends["r1"].mac, dst=f.ends["hv2"].mac, type=0x88B5) / Raw(f.marker.ljust(46)),
}


@pytest.mark.parametrize("name", NO_TUNNEL)
def test_no_tunnel_packet_reaches_nobody(forger: Forger, name: str) -> None:
    """From the outer MAC address, if not said otherwise."""
    assert forger.send(NO_TUNNEL[name](forger)) == set()


def test_forgeries_are_counted(forger: Forger) -> None:
    """As the port's spoofed packets; a tagged frame is dropped before anybody asks whose it is."""
    n = 20  # of each, more than what the guest's own stack sends, and what was counted late
    made = [make(forger) for name, make in NO_TUNNEL.items() if "tag" not in name]
    made += [forger.blue(name, "hv2", "b2", src="hv1", src_mac=mac) for name in WIRE for mac in ("r1", "hv1")]
    before = forger.spoofed()
    assert forger.send(*made * n) == set()
    assert wait_until(lambda: forger.spoofed() >= before + n * len(made), _WAIT_S), (before, forger.spoofed(), n * len(made))


def test_neighbours_of_the_underlay_are_as_they_were(forger: Forger) -> None:
    def neighbours() -> list[str]:
        return [line for name in ("hv1", "hv2") for line in forger.lab.switch(name).run("ovs-appctl", "tnl/neigh/show").splitlines()]

    forger.send(forger.tunnel("vxlan", RED, forger.inner("r1", "r4"), "hv2"))
    before = neighbours()
    for name, make in NO_TUNNEL.items():
        if "ARP" in name:
            forger.send(make(forger))
    assert sorted(neighbours()) == sorted(before)


# Control frames.


def test_control_frames_reach_no_agent(forger: Forger) -> None:
    """To its own agent and to others', as they are and in a tunnel; nothing is reprogrammed."""

    def state() -> list[Any]:
        tables = []
        with forger.lab.client() as client:
            for port in sorted(agents(forger.lab)):
                tenant, network, name = port.split("/")
                entries = client.get(f"/v1/tenants/{tenant}/networks/{network}/ports/{name}/agent/table")["items"]
                tables.append((port, [(entry["match"], entry["actions"], entry["state"]) for entry in entries]))
        return [tables, [(item["port"], item["state"], item["realized"]) for item in agents(forger.lab).values()]]

    before = state()
    everything = FlowMod(Command.DELETE, Match())
    messages = (
        cvsw.Hello(),
        cvsw.Hello(cvsw.CAPABILITIES),
        cvsw.DeleteEntry(everything),
        cvsw.ChangeMtu(1000),
        cvsw.ChangeOffload(cvsw.Offload(0)),
    )
    tap = system.call_in(forger.lab.ns("r1"), lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    tap.bind((agent.TAP, 0))
    with tap:
        for name in ("r1", "r2", "b1", "b3"):
            mac = bytes.fromhex(forger.macs[name].replace(":", ""))
            frames = [cvsw.serialize(mac, message, published=True) + forger.marker for message in messages]
            assert forger.send(*frames) == set()
            for frame in frames:
                tap.send(frame + forger.marker)
            assert forger.send() == set()
            tunnelled = [forger.tunnel("vxlan", RED, frame + forger.marker, to) for frame in frames for to in ("r2", "hv2")]
            assert not forger.send(*tunnelled) & {"r4", "b1", "b2", "b3"}
    assert state() == before
