"""Frames made by hand are those of an independent encoder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from nvo3.lab import frame

MACS = ("02:00:00:00:00:02", "02:00:00:00:00:01")


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(1, 65535), st.binary(min_size=1, max_size=64))
def test_udp_over_ipv4_equals_scapys(source: object, destination: object, port: int, payload: bytes) -> None:
    ip = IP(src=str(source), dst=str(destination), id=0, flags="DF", ttl=64)
    expected = Ether(dst=MACS[0], src=MACS[1]) / ip / UDP(sport=port, dport=port) / Raw(payload)
    assert frame.udp(MACS, (str(destination), str(source)), port, payload) == bytes(expected)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(1, 65535), st.binary(min_size=1, max_size=64))
def test_udp_over_ipv6_equals_scapys(source: object, destination: object, port: int, payload: bytes) -> None:
    ip = IPv6(src=str(source), dst=str(destination), hlim=64)
    expected = Ether(dst=MACS[0], src=MACS[1]) / ip / UDP(sport=port, dport=port) / Raw(payload)
    assert frame.udp(MACS, (str(destination), str(source)), port, payload) == bytes(expected)


def test_udp_between_families_is_our_mistake() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1 and fd00::1 are not of one family"):
        frame.udp(MACS, ("fd00::1", "10.0.0.1"), 1, b"")
