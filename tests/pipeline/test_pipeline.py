"""Packets through the emitted flows on a real switch."""

import pytest
from scapy.all import ARP, ICMP, IP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, IPv6, Raw, fragment
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
)

from nvo3.model.ids import SERVICE_MAC
from tests.pipeline.switch import Switch
from tests.pipeline.world import World, mac

BROADCAST = "ff:ff:ff:ff:ff:ff"


def ipv4(src: int, dst: int, **kw):
    ether = Ether(src=kw.get("src_mac", mac(src)), dst=kw.get("dst_mac", mac(dst)))
    return ether / IP(src=kw.get("src_ip", f"10.0.0.{src}"), dst=f"10.0.0.{dst}") / ICMP() / Raw(b"x" * 20)


def ipv6(src: int, dst: int, **kw):
    ether = Ether(src=mac(src), dst=mac(dst))
    return ether / IPv6(src=kw.get("src_ip", f"fd00::{src}"), dst=f"fd00::{dst}") / ICMPv6EchoRequest()


def arp(src: int, target: str, **kw):
    sender = {"hwsrc": kw.get("sha", mac(src)), "psrc": kw.get("spa", f"10.0.0.{src}")}
    return Ether(src=kw.get("src_mac", mac(src)), dst=BROADCAST) / ARP(op=kw.get("op", 1), pdst=target, **sender)


def solicitation(src: int, target: str, src_ip: str | None = None, sll: str | None = ""):
    packet = Ether(src=mac(src), dst="33:33:ff:00:00:01")
    packet = packet / IPv6(src=src_ip or f"fd00::{src}", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=target)
    return packet if sll is None else packet / ICMPv6NDOptSrcLLAddr(lladdr=sll or mac(src))


def only(sent: dict, port: str):
    """The single packet that was sent, on this port and no other."""
    assert list(sent) == [port] and len(sent[port]) == 1, sent
    return sent[port][0]


def test_switch_reports_exactly_what_was_installed(switch: Switch, world: World) -> None:
    assert switch.install(world.flows()) == (0, 0)


def test_unicast_reaches_the_local_guest_unchanged(switch: Switch, world: World) -> None:
    for packet in (ipv4(1, 2), ipv6(1, 2)):
        assert bytes(only(switch.receive("r1", packet), "r2")) == bytes(packet)


def test_unicast_to_the_same_address_of_another_tenant_stays_apart(switch: Switch, world: World) -> None:
    # b9 and r9 have the same MAC and addresses; only the encapsulation of each network is used.
    assert list(switch.receive("r1", ipv4(1, 9))) == ["geneve"]
    assert switch.receive("b1", ipv4(1, 2)) == {}


def test_remote_guest_is_reached_through_the_tunnel_of_its_network(switch: Switch, world: World) -> None:
    trace = switch.trace(f"in_port=1,dl_src={mac(1)},dl_dst={mac(9)},ip,nw_src=10.0.0.1,nw_dst=10.0.0.9")
    assert "set_field:0x1389->tun_id" in trace and "set_field:192.0.2.2->tun_dst" in trace and "output:65002" in trace


@pytest.mark.parametrize("tunnel", [65001, 65002])
def test_tunnelled_packet_from_an_allowed_peer_is_delivered_whatever_the_encapsulation(switch: Switch, world: World, tunnel: int) -> None:
    flow = f"in_port={tunnel},tun_id=5001,tun_src=192.0.2.2,dl_src={mac(9)},dl_dst={mac(1)},ip"
    trace = switch.trace(flow)
    assert "output:1\n" in trace and "actions: drop" not in trace, trace


@pytest.mark.parametrize(
    "outer",
    ["tun_id=5001,tun_src=192.0.2.66", "tun_id=5003,tun_src=192.0.2.2", "tun_id=77,tun_src=192.0.2.2", "tun_id=5001"],
    ids=["unknown source", "source does not host the network", "unknown VNI", "no source"],
)
def test_tunnelled_packet_is_dropped(switch: Switch, world: World, outer: str) -> None:
    flow = f"in_port=65001,{outer},dl_src={mac(9)},dl_dst={mac(1)},ip"
    assert "Datapath actions: drop" in switch.trace(flow)


def test_packet_from_the_underlay_never_goes_back_to_it(switch: Switch, world: World) -> None:
    for destination in (mac(9), BROADCAST):
        flow = f"in_port=65001,tun_id=5001,tun_src=192.0.2.2,dl_src={mac(9)},dl_dst={destination},ip"
        trace = switch.trace(flow)
        assert "output:6500" not in trace, trace


def test_broadcast_reaches_each_port_and_hypervisor_of_the_network_once(switch: Switch, world: World) -> None:
    packet = Ether(src=mac(1), dst=BROADCAST) / IP(src="10.0.0.1", dst="255.255.255.255") / UDP(dport=9) / Raw(b"hi" * 10)
    sent = switch.receive("r1", packet)
    assert {name: len(packets) for name, packets in sent.items()} == {"r2": 1, "free": 1, "geneve": 1}


def test_unknown_unicast_is_dropped(switch: Switch, world: World) -> None:
    assert switch.receive("r1", ipv4(1, 77)) == {}


@pytest.mark.parametrize("group", ["01:80:c2:00:00:00", "01:80:c2:00:00:0e"])
def test_link_constrained_groups_are_not_forwarded(switch: Switch, world: World, group: str) -> None:
    assert switch.receive("free", Ether(src=mac(6), dst=group, type=0x88CC) / Raw(b"\0" * 46)) == {}


@pytest.mark.parametrize("target", ["10.0.0.2", "10.0.0.9"], ids=["local", "remote"])
def test_arp_is_answered_to_the_asker_alone(switch: Switch, world: World, target: str) -> None:
    n = int(target.rpartition(".")[2])
    reply = only(switch.receive("r1", arp(1, target)), "r1")
    assert (reply.src, reply.dst) == (mac(n), mac(1))
    assert (reply[ARP].op, reply[ARP].hwsrc, reply[ARP].psrc) == (2, mac(n), target)
    assert (reply[ARP].hwdst, reply[ARP].pdst) == (mac(1), "10.0.0.1")


def test_arp_probe_for_an_address_of_its_own_is_met_with_silence(switch: Switch, world: World) -> None:
    assert switch.receive("r1", arp(1, "10.0.0.1", spa="0.0.0.0")) == {}
    assert switch.receive("r1", arp(1, "10.0.0.1")) == {}


def test_arp_for_an_address_that_nobody_has_goes_nowhere(switch: Switch, world: World) -> None:
    assert switch.receive("r1", arp(1, "10.0.0.200")) == {}


@pytest.mark.parametrize("target", ["fd00::2", "fd00::9", "fe80::ff:fe00:9"], ids=["local", "remote", "link-local"])
def test_solicitation_is_answered_to_the_asker_alone(switch: Switch, world: World, target: str) -> None:
    n = int(target[-1])
    reply = only(switch.receive("r1", solicitation(1, target)), "r1")
    assert (reply.src, reply.dst) == (mac(n), mac(1))
    assert (reply[IPv6].src, reply[IPv6].dst, reply[IPv6].hlim) == (target, "fd00::1", 255)
    advertisement = reply[ICMPv6ND_NA]
    assert (advertisement.tgt, advertisement.S, advertisement.O, advertisement.R) == (target, 1, 1, 0)
    assert reply[ICMPv6NDOptDstLLAddr].lladdr == mac(n)
    checksum, packet = advertisement.cksum, Ether(bytes(reply))
    del packet[ICMPv6ND_NA].cksum
    assert Ether(bytes(packet))[ICMPv6ND_NA].cksum == checksum


def test_solicitation_without_option_is_answered(switch: Switch, world: World) -> None:
    reply = only(switch.receive("r1", solicitation(1, "fd00::2", sll=None)), "r1")
    assert reply[ICMPv6ND_NA].tgt == "fd00::2" and reply.src == mac(2)


def test_duplicate_address_detection_finds_nobody(switch: Switch, world: World) -> None:
    assert switch.receive("r1", solicitation(1, "fd00::1", src_ip="::", sll=None)) == {}


def spoofs():
    """What r1 (MAC 1, 10.0.0.1, fd00::1) may not send, by name."""
    advertisement = Ether(src=mac(1), dst=mac(2)) / IPv6(src="fd00::1", dst="fd00::2", hlim=255)
    return {
        "another's MAC": ipv4(1, 2, src_mac=mac(9)),
        "another's IPv4": ipv4(1, 2, src_ip="10.0.0.9"),
        "an IPv4 of nobody": ipv4(1, 2, src_ip="10.0.0.99"),
        "another's IPv6": ipv6(1, 2, src_ip="fd00::9"),
        "another's ARP sender address": arp(1, "10.0.0.2", spa="10.0.0.9"),
        "another's ARP sender MAC": arp(1, "10.0.0.2", sha=mac(9)),
        "ARP from another's MAC": arp(1, "10.0.0.2", src_mac=mac(9)),
        "an ARP reply": arp(1, "10.0.0.2", op=2),
        "gratuitous ARP for another": arp(1, "10.0.0.9", spa="10.0.0.9"),
        "solicitation with another's MAC": solicitation(1, "fd00::2", sll=mac(9)),
        "solicitation from another's address": solicitation(1, "fd00::2", src_ip="fd00::9"),
        "DAD for another's address": solicitation(1, "fd00::9", src_ip="::", sll=None),
        "advertisement": advertisement / ICMPv6ND_NA(tgt="fd00::9") / ICMPv6NDOptDstLLAddr(lladdr=mac(1)),
        "router advertisement": advertisement / ICMPv6ND_RA(),
        "VLAN tag": Ether(src=mac(1), dst=mac(2)) / Dot1Q(vlan=5) / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(),
        "another protocol": Ether(src=mac(1), dst=mac(2), type=0x88B5) / Raw(b"\0" * 46),
        "CVSW control": Ether(src=mac(1), dst=mac(2), type=0xABBA) / Raw(b"\0" * 46),
    }


@pytest.mark.parametrize("name", list(spoofs()))
def test_spoofed_packet_reaches_nobody(switch: Switch, world: World, name: str) -> None:
    assert switch.receive("r1", spoofs()[name]) == {}


def n_asked(switch: Switch) -> int:
    """How many packets went to the controller to be answered."""
    lines = switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int", "table=12").splitlines()
    return sum(int(line.split("n_packets=")[1].split(",")[0]) for line in lines if "CONTROLLER" in line)


def dhcp(src: int, src_ip: str = "0.0.0.0", dst_ip: str = "255.255.255.255", sport: int = 68, dport: int = 67, **kw):
    ether = Ether(src=kw.get("src_mac", mac(src)), dst=kw.get("dst_mac", BROADCAST))
    return ether / IP(src=src_ip, dst=dst_ip) / UDP(sport=sport, dport=dport) / Raw(b"\1" * 300)


def router_solicitation(src: int, src_ip: str):
    return Ether(src=mac(src), dst="33:33:00:00:00:02") / IPv6(src=src_ip, dst="ff02::2", hlim=255) / ICMPv6ND_RS()


def questions():
    return {
        "who has no address": dhcp(1),
        "who has one": dhcp(1, "10.0.0.1"),
        "to the server alone": dhcp(1, "10.0.0.1", "10.0.0.1", dst_mac=SERVICE_MAC),
        "to a guest that would be a server": dhcp(1, "10.0.0.1", "10.0.0.2", dst_mac=mac(2)),
        "router, from the link-local address": router_solicitation(1, "fe80::ff:fe00:1"),
        "router, from no address": router_solicitation(1, "::"),
    }


@pytest.mark.parametrize("name", list(questions()))
def test_what_a_guest_asks_about_its_addresses_goes_to_the_controller_alone(switch: Switch, world: World, name: str) -> None:
    before = n_asked(switch)
    assert switch.receive("r1", questions()[name]) == {}
    assert n_asked(switch) == before + 1


@pytest.mark.parametrize(
    "packet",
    [
        dhcp(1, "10.0.0.9"),
        dhcp(1, src_mac=mac(9)),
        dhcp(1, sport=1068),
        dhcp(1, dport=69),
        Ether(src=mac(1), dst=BROADCAST) / IP(src="0.0.0.0", dst="255.255.255.255") / ICMP(),
        router_solicitation(1, "fe80::ff:fe00:9"),
    ],
    ids=["another's address", "another's MAC", "another source port", "another port", "another protocol", "another's link-local address"],
)
def test_who_asks_otherwise_is_not_heard(switch: Switch, world: World, packet) -> None:
    before = n_asked(switch)
    assert switch.receive("r1", packet) == {}
    assert n_asked(switch) == before


def server_says():
    reply = dhcp(1, "10.0.0.1", sport=67, dport=68)
    ra = Ether(src=mac(1), dst="33:33:00:00:00:01") / IPv6(src="fe80::ff:fe00:1", dst="ff02::1", hlim=255) / ICMPv6ND_RA()
    long = Ether(src=mac(1), dst=mac(2)) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=67, dport=68) / Raw(b"\2" * 400)
    return {
        "DHCP": reply,
        "DHCP from another port": dhcp(1, "10.0.0.1", sport=4000, dport=68, dst_mac=mac(2)),
        "DHCP in a fragment": Ether(src=mac(1), dst=mac(2)) / fragment(long[IP], fragsize=320)[0],
        "router advertisement": ra,
    }


@pytest.mark.parametrize("port", ["r1", "free"])
@pytest.mark.parametrize("name", list(server_says()))
def test_no_guest_says_what_the_controller_does(switch: Switch, world: World, name: str, port: str) -> None:
    assert switch.receive(port, server_says()[name]) == {}


def test_l2_network_has_dhcp_and_routers_of_its_own(switch: Switch, world: World) -> None:
    for packet in (dhcp(0x31), dhcp(0x31, "10.0.0.1", sport=67, dport=68), router_solicitation(0x31, "fe80::ff:fe00:31")):
        assert list(switch.receive("l1", packet)) == ["l2"]


def test_fragments_of_what_is_allowed_pass(switch: Switch, world: World) -> None:
    for piece in fragment(ipv4(1, 2)[IP] / Raw(b"x" * 600), fragsize=200):
        assert list(switch.receive("r1", Ether(src=mac(1), dst=mac(2)) / piece)) == ["r2"]


def test_address_of_the_server_is_known_where_it_is_nobodys(switch: Switch, world: World) -> None:
    # In the other network 10.0.0.1 is a guest's.
    assert only(switch.receive("e2", arp(0x42, "10.0.0.1", spa="10.0.0.66")), "e2")[ARP].hwsrc == SERVICE_MAC
    assert only(switch.receive("r2", arp(2, "10.0.0.1")), "r2")[ARP].hwsrc == mac(1)


def test_port_without_security_may_send_as_anybody(switch: Switch, world: World) -> None:
    assert list(switch.receive("free", ipv4(1, 2, src_mac=mac(99), src_ip="10.9.9.9"))) == ["r2"]


def test_l2_network_floods_arp_and_checks_the_mac_only(switch: Switch, world: World) -> None:
    question = Ether(src=mac(0x31), dst=BROADCAST) / ARP(op=1, hwsrc=mac(0x31), psrc="172.16.0.1", pdst="172.16.0.2")
    assert list(switch.receive("l1", question)) == ["l2"]
    answer = Ether(src=mac(0x32), dst=mac(0x31)) / ARP(op=2, hwsrc=mac(0x32), psrc="172.16.0.2", pdst="172.16.0.1")
    assert list(switch.receive("l2", answer)) == ["l1"]
    poison = Ether(src=mac(0x31), dst=mac(0x32)) / ARP(op=2, hwsrc=mac(0x77), psrc="172.16.0.9", pdst="172.16.0.2")
    assert switch.receive("l1", poison) == {}
    assert switch.receive("l1", Ether(src=mac(0x77), dst=mac(0x32)) / IP() / UDP()) == {}
