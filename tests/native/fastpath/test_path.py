"""What the fast path takes out of the way of data, and what it drops: control frames, ARP, nonsense."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.native.fastpath import openflow as of
from tests.native.fastpath.conftest import GSO_TCPV4, NEEDS_CSUM, Frame, Switch, plain

OURS, MAC, OTHER = "192.0.2.1", "02:aa:00:00:00:01", "02:aa:00:00:00:02"
_ETHER = Ether(src=OTHER, dst=MAC)
_CONTROL = Ether(src="13:00:00:48:00:00", dst=MAC, type=0xABBA) / Raw(bytes(range(72)))


def test_control_frames_from_the_wire_go_to_the_queue(switch: Switch) -> None:
    switch.add(of.match(), of.output(of.HOST))
    out = switch.from_net(_CONTROL, _ETHER / IP(), _CONTROL)
    assert out.control == [bytes(_CONTROL)] * 2
    assert out.host == [plain(_ETHER / IP())] and not out.net
    assert switch.counters()["control_rx"] == 2


def test_control_frames_from_the_guests_stack_are_dropped(switch: Switch) -> None:
    switch.add(of.match(), of.output(of.NET))
    tagged = Ether(src=MAC, dst=OTHER) / Dot1Q(vlan=3, type=0xABBA) / Raw(bytes(50))
    out = switch.from_host(_CONTROL, tagged)
    assert not (out.control or out.net or out.host)
    assert switch.drops() == {"drop_host_control": 2}


def test_control_frames_inside_a_tunnel_are_data(switch: Switch) -> None:
    switch.underlay(OURS, MAC)
    switch.add(of.match(of.VXLAN, 5), of.strip_tunnel(of.VXLAN) + of.output(of.HOST))
    vxlan = Raw(b"\x08\0\0\0\0\0\x05\0" + bytes(_CONTROL))
    out = switch.from_net(_ETHER / IP(src="192.0.2.2", dst=OURS) / UDP(dport=4789) / vxlan)
    assert not out.control


def test_the_agent_sends_past_the_table(switch: Switch) -> None:
    switch.add(of.match(), of.output(of.NONE))
    switch.miss_drops()
    assert switch.send(bytes(_CONTROL)).net == [plain(_CONTROL)]


def _request(target: str, **more: str) -> Packet:
    return Ether(src=OTHER, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=OTHER, psrc="192.0.2.2", pdst=target, **more)


def test_arp_for_the_underlay_is_answered(switch: Switch) -> None:
    switch.underlay(OURS, MAC)
    out = switch.from_net(bytes(_request(OURS)) + bytes(18))
    assert not out.host
    (reply,) = out.net
    expected = Ether(src=MAC, dst=OTHER) / ARP(op=2, hwsrc=MAC, psrc=OURS, hwdst=OTHER, pdst="192.0.2.2")
    assert reply.data == bytes(expected) + bytes(18)


@pytest.mark.parametrize("packet", [_request("192.0.2.9"), _ETHER / ARP(op=2, pdst=OURS), _ETHER / IP(dst="192.0.2.9") / ICMP()])
def test_other_packets_are_data(switch: Switch, packet: Packet) -> None:
    switch.underlay(OURS, MAC)
    out = switch.from_net(packet)
    assert out.host == [plain(packet)] and not out.net


def test_no_arp_without_an_address(switch: Switch) -> None:
    assert switch.from_net(_request("0.0.0.0")).host


def test_what_else_comes_for_the_underlay_address_does_not_reach_the_guest(switch: Switch) -> None:
    """It is the agent's; a guest that forwards would answer."""
    switch.underlay(OURS, MAC)
    assert not switch.from_net(_ETHER / IP(dst=OURS) / ICMP(), _ETHER / IP(dst=OURS) / UDP(dport=53)).host
    assert switch.drops() == {"drop_underlay": 2}


_PACKET = bytes(_ETHER / IP() / UDP() / Raw(bytes(100)))
_NONSENSE = {
    "checksum past the end": Frame(_PACKET, NEEDS_CSUM, csum_start=len(_PACKET) - 1),
    "checksum offset past the end": Frame(_PACKET, NEEDS_CSUM, csum_start=34, csum_offset=len(_PACKET) - 35),
    "checksum of the Ethernet header": Frame(_PACKET, NEEDS_CSUM, csum_start=13, csum_offset=16),
    "checksum wraps": Frame(_PACKET, NEEDS_CSUM, csum_start=65535, csum_offset=65535),
    "no segment size": Frame(_PACKET, NEEDS_CSUM, GSO_TCPV4, 54, 0, 34, 16),
    "segments without a checksum": Frame(_PACKET, 0, GSO_TCPV4, 54, 100),
    "ecn alone": Frame(_PACKET, NEEDS_CSUM, 0x80, 54, 100, 34, 16),
}


@pytest.mark.parametrize("name", _NONSENSE)
def test_virtio_net_header_that_makes_no_sense(switch: Switch, name: str) -> None:
    assert not switch.from_host(_NONSENSE[name]).net
    assert not switch.from_net(_NONSENSE[name]).host
    assert switch.drops() == {"drop_offload": 2}


def test_virtio_net_header_passes_as_it_is(switch: Switch) -> None:
    frame = Frame(bytes(_ETHER / IP() / Raw(bytes(60000))), NEEDS_CSUM, GSO_TCPV4, 54, 1400, 34, 16)
    assert switch.from_host(frame).net == [frame]
    assert switch.from_net(frame).host == [frame]


def test_counters_of_ports(switch: Switch) -> None:
    switch.from_host(*[_PACKET] * 3)
    switch.from_net(*[_PACKET] * 2)
    counters = switch.counters()
    expected = {"host_rx": 3, "net_tx": 3, "net_rx": 2, "host_tx": 2}
    assert {name: counters[f"{name}_packets"] for name in expected} == expected
    assert {name: counters[f"{name}_bytes"] for name in expected} == {name: n * len(_PACKET) for name, n in expected.items()}


def test_control_queue_is_bounded(switch: Switch) -> None:
    """What is more than the queue takes is counted, and data goes on.  The tool reads it once after each batch."""
    large = plain(_CONTROL / Raw(bytes(65000)))
    out = switch.from_net(*[large] * 63, _PACKET)
    counters = switch.counters()
    assert counters["control_rx"] == len(out.control) > 0
    assert counters["drop_control_full"] == 63 - len(out.control) > 0
    assert out.host == [plain(_PACKET)]
    assert switch.from_net(_CONTROL).control == [bytes(_CONTROL)]
