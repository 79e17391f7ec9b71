"""A vNIC that encapsulates, as its hypervisor's switch and the rules of its agent see it."""

import re
from ipaddress import IPv4Address

import pytest
from scapy.all import ARP, GRE, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw, fragment

from nvo3.model.event import VnicReported
from nvo3.pipeline.vnic import Decapsulate, Encapsulate
from tests.pipeline.switch import Switch
from tests.pipeline.world import World, identifier, mac

BROADCAST = "ff:ff:ff:ff:ff:ff"
OUTER_MAC, OUTER_IP = "06:6e:c0:00:02:65", "192.0.2.101"  # e1's in the underlay
PEER_MAC, PEER_IP = "06:6e:c0:00:02:6d", "192.0.2.109"  # e9's
INNER = Ether(src=mac(0x41), dst=mac(0x49)) / IP(src="10.0.0.65", dst="10.0.0.73") / UDP(dport=9) / Raw(b"inner" * 9)
TUNNELS = {
    "stt": TCP(dport=7471),
    "sclp-udp": UDP(dport=7234),
    "sclp": Raw(b"\0" * 12),
    "geneve": UDP(dport=6081),
    "vxlan": UDP(dport=4789),
    "gre": GRE(proto=0x6558),
}


def tunnel(name: str, src_mac=OUTER_MAC, src=OUTER_IP, dst_mac=PEER_MAC, dst=PEER_IP):
    ip = IP(src=src, dst=dst, flags="DF", proto=234) if name == "sclp" else IP(src=src, dst=dst, flags="DF")
    return Ether(src=src_mac, dst=dst_mac) / ip / TUNNELS[name] / Raw(bytes(INNER))


def control(kind: int, version: int = 2):
    source = bytes([version << 4 | kind, 0, 0, 0, 0, 0]).hex(":")
    return Ether(src=source, dst=mac(0x41), type=0xABBA) / Raw(b"\0" * 46)


def n_sent_to_controller(switch: Switch) -> int:
    lines = switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int", "table=2").splitlines()
    return sum(int(line.split("n_packets=")[1].split(",")[0]) for line in lines if "CONTROLLER" in line)


def test_switch_reports_exactly_what_was_installed(switch: Switch, world: World) -> None:
    assert switch.install(world.flows()) == (0, 0)


@pytest.mark.parametrize("name", TUNNELS)
def test_its_tunnel_packets_go_to_the_underlay_unchanged(switch: Switch, world: World, name: str) -> None:
    packet = tunnel(name)
    assert {port: list(map(bytes, sent)) for port, sent in switch.receive("e1", packet).items()} == {"phy": [bytes(packet)]}


@pytest.mark.parametrize("name", TUNNELS)
def test_tunnel_packets_for_it_are_delivered_to_its_own_mac(switch: Switch, world: World, name: str) -> None:
    packet = tunnel(name, mac(0x82), "192.0.2.2", OUTER_MAC, OUTER_IP)
    delivered = packet.copy()
    delivered.dst = mac(0x41)
    assert {port: list(map(bytes, sent)) for port, sent in switch.receive("phy", packet).items()} == {"e1": [bytes(delivered)]}


def forgeries():
    """What e1 may not send as a tunnel endpoint, by name."""
    other_port = tunnel("vxlan")
    other_port[UDP].dport = 53
    icmp = Ether(src=OUTER_MAC, dst=PEER_MAC) / IP(src=OUTER_IP, dst=PEER_IP) / ICMP()
    tagged = Ether(src=OUTER_MAC, dst=PEER_MAC) / Dot1Q(vlan=7) / tunnel("vxlan").payload
    ether = Ether(src=OUTER_MAC, dst=PEER_MAC)
    return {
        "another endpoint's address": tunnel("vxlan", src=PEER_IP),
        "a hypervisor's address": tunnel("stt", src="192.0.2.2"),
        "another endpoint's MAC and address": tunnel("geneve", src_mac=PEER_MAC, src=PEER_IP),
        "another endpoint's MAC": tunnel("geneve", src_mac=PEER_MAC),
        "its own MAC outside": tunnel("vxlan", src_mac=mac(0x41)),
        "another UDP port": other_port,
        "ICMP in the underlay": icmp,
        "TCP to a host of the underlay": ether / IP(src=OUTER_IP, dst="192.0.2.2") / TCP(dport=22),
        "ARP in the underlay": Ether(src=OUTER_MAC, dst=BROADCAST) / ARP(op=2, hwsrc=OUTER_MAC, psrc="192.0.2.2", pdst=PEER_IP),
        "IPv6 in the underlay": ether / IPv6(src="fd00::1", dst="fd00::2") / UDP(dport=4789),
        "a later fragment": ether / fragment(tunnel("vxlan")[IP], fragsize=80)[1],
        "a VLAN tag": tagged,
        "to all of the underlay": tunnel("vxlan", dst_mac=BROADCAST, dst="255.255.255.255"),
        "to a group": tunnel("stt", dst_mac="01:00:5e:00:00:01", dst="224.0.0.1"),
    }


@pytest.mark.parametrize("name", forgeries())
def test_forged_endpoint_reaches_nobody(switch: Switch, world: World, name: str) -> None:
    assert switch.receive("e1", forgeries()[name]) == {}


def test_other_guest_is_no_tunnel_endpoint(switch: Switch, world: World) -> None:
    assert switch.receive("e2", tunnel("vxlan")) == {}
    assert switch.receive("free", tunnel("vxlan")) == {}


def test_underlay_delivers_nothing_but_tunnel_packets(switch: Switch, world: World) -> None:
    ether = Ether(src=mac(0x82), dst=OUTER_MAC)
    assert switch.receive("phy", ether / IP(src="192.0.2.2", dst=OUTER_IP) / TCP(dport=22)) == {}
    assert switch.receive("phy", ether / IP(src="192.0.2.2", dst=OUTER_IP) / ICMP()) == {}
    assert switch.receive("phy", tunnel("vxlan", mac(0x82), "192.0.2.2", OUTER_MAC, "192.0.2.1")) == {}


def test_arp_from_the_underlay_is_answered_for_it(switch: Switch, world: World) -> None:
    question = Ether(src=mac(0x82), dst=BROADCAST) / ARP(op=1, hwsrc=mac(0x82), psrc="192.0.2.2", pdst=OUTER_IP)
    ((port, (reply,)),) = switch.receive("phy", question).items()
    assert (port, reply.src, reply.dst) == ("phy", OUTER_MAC, mac(0x82))
    assert (reply[ARP].op, reply[ARP].hwsrc, reply[ARP].psrc, reply[ARP].pdst) == (2, OUTER_MAC, OUTER_IP, "192.0.2.2")
    question[ARP].pdst = PEER_IP  # at home elsewhere
    assert switch.receive("phy", question) == {}


@pytest.mark.parametrize("kind", range(16))
def test_control_frames_go_to_the_controller_if_an_agent_may_send_them(switch: Switch, world: World, kind: int) -> None:
    before = n_sent_to_controller(switch)
    assert switch.receive("e1", control(kind)) == {}
    assert n_sent_to_controller(switch) - before == (kind in (2, 8, 10, 12, 13, 14))


def test_other_guests_may_register_and_say_nothing_else(switch: Switch, world: World) -> None:
    """By that an agent is found that was not there to be told that it is not wanted any more."""
    for port in ("e2", "free", "r1"):
        for kind in range(16):
            before = n_sent_to_controller(switch)
            assert switch.receive(port, control(kind)) == {}
            assert n_sent_to_controller(switch) - before == (kind == 2)


def test_control_frames_of_everybody_else_are_dropped(switch: Switch, world: World) -> None:
    before = n_sent_to_controller(switch)
    for kind in range(1, 16):
        assert switch.receive("phy", control(kind)) == {}
    assert switch.receive("e2", control(2, version=3)) == {}
    assert switch.receive("e1", control(2, version=3)) == {}
    assert n_sent_to_controller(switch) == before
    trace = switch.trace(f"in_port=65001,tun_id=5004,tun_src=192.0.2.2,dl_dst={mac(0x41)},dl_type=0xabba")
    assert "Datapath actions: drop" in trace


def test_flood_of_registers_is_metered(switch: Switch, world: World) -> None:
    stats = switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-meters", "br-int")
    rates = dict(re.findall(r"meter=(\d+) pktps burst bands=\s+type=drop rate=(\d+)", stats))
    assert (rates.get("8"), rates.get("65280"), rates.get("9")) == ("200", "20", None), stats


def test_flood_of_questions_is_metered(switch: Switch, world: World) -> None:
    stats = switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-meters", "br-int")
    rates = dict(re.findall(r"meter=(\d+) pktps burst bands=\s+type=drop rate=(\d+)", stats))
    asking = {world.ofports[name] for name in ("r1", "r2", "b1", "free", "e1", "e2")}  # those of networks with pools
    assert {meter: rate for meter, rate in rates.items() if int(meter) > 65280} == {str(65536 + ofport): "10" for ofport in asking}


def test_what_it_sends_without_a_tunnel_is_switched_like_any_guests(switch: Switch, world: World) -> None:
    packet = Ether(src=mac(0x41), dst=mac(0x42)) / IP(src="10.0.0.65", dst="10.0.0.66") / UDP(dport=9) / Raw(b"x" * 20)
    assert {port: list(map(bytes, sent)) for port, sent in switch.receive("e1", packet).items()} == {"e2": [bytes(packet)]}
    packet[IP].src = "10.0.0.99"
    assert switch.receive("e1", packet) == {}


@pytest.mark.parametrize("source", ["192.0.2.2", PEER_IP])
def test_frames_from_peers_are_admitted(switch: Switch, world: World, source: str) -> None:
    trace = switch.trace(f"in_port=65001,tun_id=5004,tun_src={source},dl_src={mac(0x49)},dl_dst={mac(0x42)},ip")
    assert "output:9\n" in trace and "Datapath actions: drop" not in trace, trace


@pytest.mark.parametrize("source", [PEER_IP, "192.0.2.2"], ids=["a vNIC", "a hypervisor"])
@pytest.mark.parametrize(
    "inner",
    ["dl_type=0x0800,nw_proto=17,udp_src=67,udp_dst=68", "dl_type=0x86dd,nw_proto=58,icmpv6_type=134,icmpv6_code=0"],
    ids=["DHCP", "router advertisement"],
)
def test_what_servers_say_is_not_admitted_from_a_vnic(switch: Switch, world: World, source: str, inner: str) -> None:
    trace = switch.trace(f"in_port=65001,tun_id=5004,tun_src={source},dl_src={mac(0x49)},dl_dst={mac(0x42)},{inner}")
    assert ("output:9" in trace) == (source != PEER_IP), trace


@pytest.mark.parametrize("outer", [f"tun_id=5001,tun_src={PEER_IP}", f"tun_id=5004,tun_src={OUTER_IP}", "tun_id=5004,tun_src=192.0.2.110"])
def test_frames_from_an_endpoint_that_is_not_in_the_network_are_dropped(switch: Switch, world: World, outer: str) -> None:
    assert "Datapath actions: drop" in switch.trace(f"in_port=65001,{outer},dl_src={mac(0x49)},dl_dst={mac(0x42)},ip")


# The rules of its agent.


def rules(world: World, name: str = "e1") -> dict:
    return {rule.key: rule for rule in world.core.desired_rules(identifier(name))[0]}


def report(world: World, name: str, *encapsulations: str) -> None:
    world.core.handle(VnicReported(identifier(name), frozenset(encapsulations) or None, world.core.epoch), 0.0)


def test_agent_takes_frames_from_each_peer_of_its_network_and_nobody_else() -> None:
    world, own = World(), IPv4Address(OUTER_IP)
    taken = [rule for rule in rules(world).values() if isinstance(rule, Decapsulate)]
    assert {rule.outer_src for rule in taken} == {IPv4Address("192.0.2.2"), IPv4Address(PEER_IP)}
    assert {(rule.outer_dst, rule.vni) for rule in taken} == {(own, 5004)}


def test_agent_sends_to_the_other_hypervisor_until_the_other_agent_takes_it() -> None:
    world = World()
    assert not [rule for rule in rules(world).values() if isinstance(rule, Encapsulate)]
    report(world, "e1", "stt", "geneve", "vxlan")
    by_mac = {rule.mac: rule for rule in rules(world).values() if isinstance(rule, Encapsulate)}
    assert by_mac.keys() == {mac(0x48), mac(0x49)}
    assert {(str(r.outer_dst), r.outer_dst_mac, r.encapsulation) for r in by_mac.values()} == {("192.0.2.2", mac(0x82), "geneve")}
    assert {(str(r.outer_src), r.outer_src_mac, r.underlay_mtu) for r in by_mac.values()} == {(OUTER_IP, OUTER_MAC, 1500)}
    report(world, "e9", "stt", "geneve", "vxlan")
    by_mac = {rule.mac: rule for rule in rules(world).values() if isinstance(rule, Encapsulate)}
    assert (str(by_mac[mac(0x49)].outer_dst), by_mac[mac(0x49)].outer_dst_mac, by_mac[mac(0x49)].encapsulation) == (
        PEER_IP,
        PEER_MAC,
        "stt",
    )
    assert str(by_mac[mac(0x48)].outer_dst) == "192.0.2.2"
    report(world, "e9")  # gone
    by_mac = {rule.mac: rule for rule in rules(world).values() if isinstance(rule, Encapsulate)}
    assert str(by_mac[mac(0x49)].outer_dst) == "192.0.2.2"


def test_hypervisor_sends_to_the_agent_once_that_takes_it() -> None:
    world = World()

    def destinations() -> set[str]:
        to_e9 = [f for f in world.flows() if any(c.value == int(mac(0x49).replace(":", ""), 16) for c in f.key.match)]
        actions = [a for f in to_e9 for a in f.actions]
        return {str(IPv4Address(a.value)) for a in actions if getattr(a, "field", None) is not None and a.field.value == "tun_dst"}

    assert destinations() == {"192.0.2.2"}
    report(world, "e9", "vxlan")
    assert destinations() == {PEER_IP}
    report(world, "e9")
    assert destinations() == {"192.0.2.2"}
