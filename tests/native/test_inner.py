"""The C code finds the headers of frames that scapy builds, and computes scapy's checksums."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from nvo3.wire import checksum
from tests.native.conftest import Tool

_with_tool = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
_ether = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
_tags = st.lists(st.builds(lambda kind, vid: kind(vlan=vid), st.sampled_from((Dot1Q, Dot1AD)), st.integers(0, 4095)), max_size=3)
_options = st.lists(st.just(IPOption(b"\x94\x04\0\0")), max_size=10)


@st.composite
def _ipv6(draw: st.DrawFn) -> Packet:
    packet = IPv6(src=str(draw(st.ip_addresses(v=6))), dst=str(draw(st.ip_addresses(v=6))))
    if draw(st.booleans()):
        packet /= IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(draw(st.integers(0, 40))))])
    if draw(st.booleans()):
        packet /= IPv6ExtHdrRouting(segleft=0)
    if draw(st.booleans()):
        packet /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(draw(st.integers(0, 40))))])
    return packet


_ipv4 = st.builds(lambda a, b, o: IP(src=str(a), dst=str(b), options=o), st.ip_addresses(v=4), st.ip_addresses(v=4), _options)
_tcp = st.builds(lambda n: TCP(flags="A", options=[("NOP", None)] * 4 * n), st.integers(0, 10))


def _frame(tags: list[Packet], *layers: Packet) -> Packet:
    packet = _ether
    for layer in (*tags, *layers):
        packet = packet / layer
    return packet


@_with_tool
@given(_tags, _ipv4 | _ipv6(), _tcp | st.just(UDP()), st.binary(max_size=300), st.integers(0, 10))
def test_headers_and_checksum(tool: Tool, tags: list[Packet], l3: Packet, l4: Packet, payload: bytes, n_padding: int) -> None:
    data = bytes(_frame(tags, l3, l4, Raw(payload)))
    l4_size = 8 if isinstance(l4, UDP) else len(bytes(l4))
    l4_offset, field = len(data) - len(payload) - l4_size, 6 if isinstance(l4, UDP) else 16
    found = tool.ask("inner", (data + bytes(n_padding)).hex())
    assert found["verdict"] == "ok"
    assert (found["l3_offset"], found["l4_offset"]) == (14 + 4 * len(tags), l4_offset)
    assert (found["payload_offset"], found["end"]) == (len(data) - len(payload), len(data))
    assert (found["is_ipv4"], found["is_tcp"]) == (isinstance(l3, IP), isinstance(l4, TCP))
    assert bytes.fromhex(found["whole"]) == data + bytes(n_padding)
    partial = bytes.fromhex(found["partial"])
    # What a NIC does with a partial checksum gives the whole one; UDP has none of zero.
    completed = checksum.checksum(partial[l4_offset : len(data)]) or (0xFFFF if isinstance(l4, UDP) else 0)
    assert completed.to_bytes(2, "big") == data[l4_offset + field : l4_offset + field + 2]


def _verdict(tool: Tool, *layers: Packet) -> str:
    verdict: str = tool.ask("inner", bytes(_frame([], *layers)).hex())["verdict"]
    return verdict


def test_what_has_no_checksum_to_complete(tool: Tool) -> None:
    assert _verdict(tool, ARP()) == "inner_l3"
    assert _verdict(tool, IP(src="10.0.0.1", dst="10.0.0.2"), ICMP()) == "inner_l4"
    assert _verdict(tool, IP(src="10.0.0.1", dst="10.0.0.2", flags="MF"), TCP()) == "inner_fragment"
    assert _verdict(tool, IPv6(src="fd00::1", dst="fd00::2"), IPv6ExtHdrFragment(), UDP()) == "inner_fragment"
    assert _verdict(tool, IPv6(src="fd00::1", dst="fd00::2"), IPv6ExtHdrRouting(addresses=["fd00::3"]), UDP()) == "inner_l4"
