"""What guests are told by router advertisements; scapy speaks for the guest and reads the answer."""

from ipaddress import ip_address
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from scapy.all import Ether, IPv6, raw
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptSrcLLAddr,
)

from nvo3 import router_advertisement
from nvo3.model.ids import SERVICE_MAC, Mac
from nvo3.model.logical import Port
from tests.unit.test_dhcp import MAC, NETWORK, PORT, change

OWN = "fe80::ff:fe00:7"
SERVICE = "fe80::6e:76ff:fe6f:3300"
ROUTER = Port(UUID(int=9), UUID(int=1), "gw", Mac("02:00:00:00:00:fe"), (ip_address("fd00::fe"),))


def solicitation(source: str = OWN, *options, **fields):
    packet = Ether(src=MAC, dst="33:33:00:00:00:02") / IPv6(src=source, dst="ff02::2", hlim=fields.pop("hlim", 255)) / ICMPv6ND_RS(**fields)
    for option in options:
        packet = packet / option
    return packet


SLAAC_PORT = change(PORT, addresses=(*PORT.addresses, ip_address("fd00::ff:fe00:7")))


def ask(request, network=NETWORK, router=None, port=SLAAC_PORT):
    answer = router_advertisement.answer(network, port, router, raw(request))
    return answer.outcome, None if answer.frame is None else read(answer.frame)


def read(data: bytes):
    frame = Ether(data)
    again = Ether(data)
    del again[IPv6].plen, again[ICMPv6ND_RA].cksum
    assert raw(again) == data  # scapy would have written the same checksum and length
    assert (frame.dst, frame[IPv6].dst, frame[IPv6].hlim) == (MAC, "ff02::1", 255)
    return frame


def options(frame, kind) -> list:
    found, layer = [], frame[ICMPv6ND_RA].payload
    while layer:
        if isinstance(layer, kind):
            found.append(layer)
        layer = layer.payload
    return found


def test_guest_is_told_prefix_mtu_and_resolvers_for_ever_and_of_no_router() -> None:
    outcome, frame = ask(solicitation(OWN, ICMPv6NDOptSrcLLAddr(lladdr=MAC)))
    assert outcome == "advertisement"
    assert (frame.src, frame[IPv6].src, options(frame, ICMPv6NDOptSrcLLAddr)[0].lladdr) == (SERVICE_MAC, SERVICE, SERVICE_MAC)
    ra = frame[ICMPv6ND_RA]
    assert (ra.M, ra.O, ra.routerlifetime) == (0, 0, 0)
    (prefix,) = options(frame, ICMPv6NDOptPrefixInfo)
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("fd00::", 64, 1, 1)
    assert prefix.validlifetime == prefix.preferredlifetime == 0xFFFFFFFF
    assert options(frame, ICMPv6NDOptMTU)[0].mtu == 1342
    (resolvers,) = options(frame, ICMPv6NDOptRDNSS)
    assert (resolvers.dns, resolvers.lifetime) == (["fd00::53"], 0xFFFFFFFF)
    assert options(frame, ICMPv6NDOptDNSSL)[0].searchlist == ["web.example."]


def test_only_in_64_bits_guests_make_their_own_addresses() -> None:
    from ipaddress import ip_network

    network = change(NETWORK, pools=(ip_network("fd00::/64"), ip_network("fd01::/80")), dns_servers=(), domain="")
    frame = ask(solicitation(), network)[1]
    assert [(o.prefix, o.prefixlen, o.A) for o in options(frame, ICMPv6NDOptPrefixInfo)] == [("fd00::", 64, 1), ("fd01::", 80, 0)]
    assert options(frame, ICMPv6NDOptRDNSS) == options(frame, ICMPv6NDOptDNSSL) == []


def test_a_guest_makes_no_address_that_it_may_not_send_from() -> None:
    """It would send from that rather than from the one that it was given."""
    for port, autonomous in ((SLAAC_PORT, 1), (PORT, 0), (change(PORT, port_security=False), 1)):
        frame = ask(solicitation(), port=port)[1]
        assert [(o.L, o.A) for o in options(frame, ICMPv6NDOptPrefixInfo)] == [(1, autonomous)]


def test_gateway_that_is_a_guest_is_the_default_router_of_the_others() -> None:
    frame = ask(solicitation(), router=ROUTER)[1]
    assert (frame.src, frame[IPv6].src, frame[ICMPv6ND_RA].routerlifetime) == (ROUTER.mac, "fe80::ff:fe00:fe", 65535)
    itself = router_advertisement.answer(NETWORK, ROUTER, ROUTER, raw(solicitation())).frame
    assert Ether(itself)[ICMPv6ND_RA].routerlifetime == 0 and Ether(itself).src == SERVICE_MAC
    bye = read(router_advertisement.farewell(PORT, ROUTER))
    assert (bye[IPv6].src, bye[ICMPv6ND_RA].routerlifetime, options(bye, ICMPv6NDOptPrefixInfo)) == ("fe80::ff:fe00:fe", 0, [])


def test_what_is_gone_is_taken_back() -> None:
    now = change(NETWORK, dns_servers=(ip_address("fd00::54"),), domain="other.example", mtu=1300)
    frame = read(router_advertisement.advertisement(now, PORT, None, NETWORK))
    assert [(o.dns, o.lifetime) for o in options(frame, ICMPv6NDOptRDNSS)] == [(["fd00::54"], 0xFFFFFFFF), (["fd00::53"], 0)]
    assert [(o.searchlist, o.lifetime) for o in options(frame, ICMPv6NDOptDNSSL)] == [
        (["other.example."], 0xFFFFFFFF),
        (["web.example."], 0),
    ]
    assert len(options(frame, ICMPv6NDOptPrefixInfo)) == 1 and options(frame, ICMPv6NDOptMTU)[0].mtu == 1300


def test_silence() -> None:
    assert ask(solicitation(), change(NETWORK, dhcp=False)) == ("no_address", None)
    assert ask(solicitation(), change(NETWORK, pools=NETWORK.pools[:2])) == ("no_address", None)
    wrong = [
        solicitation(hlim=64),
        solicitation(code=1),
        solicitation(type=134),
        solicitation("::", ICMPv6NDOptSrcLLAddr(lladdr=MAC)),
        solicitation(OWN, ICMPv6NDOptSrcLLAddr(lladdr=MAC, len=0)),
        solicitation(OWN, ICMPv6NDOptSrcLLAddr(lladdr=MAC, len=2)),
    ]
    assert [ask(packet) for packet in wrong] == [("malformed", None)] * len(wrong)
    assert ask(solicitation("::"))[0] == "advertisement"


_VALID = raw(solicitation(OWN, ICMPv6NDOptSrcLLAddr(lladdr=MAC)))


@given(st.lists(st.tuples(st.integers(12, len(_VALID) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(_VALID)), st.booleans())
def test_damaged_solicitations_get_the_answer_or_none(damage: list[tuple[int, int]], cut: int, is_cut: bool) -> None:
    data = bytearray(_VALID)
    for offset, value in damage:
        data[offset] = value
    answer = router_advertisement.answer(NETWORK, PORT, None, bytes(data[:cut] if is_cut else data))
    assert answer.frame in (None, router_advertisement.advertisement(NETWORK, PORT, None))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    for frame in (data, _VALID[:14] + data, _VALID[:54] + data):
        router_advertisement.answer(NETWORK, PORT, None, frame)
