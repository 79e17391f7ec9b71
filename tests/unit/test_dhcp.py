"""What guests are told by DHCP; scapy speaks for the guest and reads the answer."""

from contextlib import suppress
from ipaddress import IPv4Network, ip_address, ip_network
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.all import BOOTP, DHCP, IP, UDP, Ether, raw

from nvo3 import dhcp
from nvo3.model.ids import SERVICE_MAC, Mac, Vni
from nvo3.model.logical import Network, Port, Route
from nvo3.wire.dhcp import DhcpMessage, Option
from nvo3.wire.errors import WireError

MAC, OTHER_MAC = "02:00:00:00:00:07", "02:00:00:00:00:08"
OWN, SERVER = "10.0.0.7", "10.0.0.1"
POOLS = (ip_network("10.0.0.0/24"), ip_network("10.1.0.0/16"), ip_network("fd00::/64"))
NETWORK = Network(
    UUID(int=1),
    UUID(int=2),
    "web",
    Vni(5001),
    mtu=1342,
    pools=POOLS,
    gateways=(ip_address("10.0.0.254"), ip_address("fd00::fe")),
    dns_servers=(ip_address("10.0.0.53"), ip_address("fd00::53"), ip_address("9.9.9.9")),
    routes=(Route(IPv4Network("172.16.0.0/12"), ip_address("10.0.0.9")), Route(IPv4Network("192.0.2.128/25"), ip_address("10.0.0.8"))),
    domain="web.example",
    lease_s=1000,
)
PORT = Port(UUID(int=3), UUID(int=1), "vm", Mac(MAC), (ip_address(OWN), ip_address("fd00::7")))
ALL = [1, 3, 6, 15, 26, 28, 121]


def change(row, **values):
    return type(row)(**{name: getattr(row, name) for name in row.__slots__} | values)


def packet(kind, *options, src="0.0.0.0", dst="255.255.255.255", chaddr=MAC, sport=68, **fields):
    bootp = BOOTP(op=1, chaddr=bytes.fromhex(chaddr.replace(":", "")), xid=0x1234, **fields)
    said = [("message-type", kind), *options, "end"]
    return Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / IP(src=src, dst=dst) / UDP(sport=sport, dport=67) / bootp / DHCP(options=said)


def asking(*codes):
    return ("param_req_list", list(codes))


def ask(request, network=NETWORK, port=PORT):
    """Return the outcome, the frame as scapy reads it, and its options by code."""
    answer = dhcp.answer(network, port, raw(request))
    if answer.frame is None:
        return answer.outcome, None, {}
    frame = Ether(answer.frame)
    again = Ether(answer.frame)
    del again[IP].chksum, again[UDP].chksum, again[IP].len, again[UDP].len
    assert raw(again) == answer.frame  # scapy would have written the same checksums and lengths
    assert (frame.src, frame[UDP].sport, frame[UDP].dport, frame[BOOTP].op, frame[BOOTP].xid) == (SERVICE_MAC, 67, 68, 2, 0x1234)
    assert len(frame[BOOTP]) >= 300
    options = {o[0]: (o[1:] if len(o) > 2 else o[1]) for o in frame[DHCP].options if isinstance(o, tuple)}
    return answer.outcome, frame, options


def test_discover_is_offered_the_ports_address_and_all_of_the_network() -> None:
    outcome, frame, options = ask(packet("discover", asking(*ALL)))
    assert outcome == "offer" and options["message-type"] == 2
    assert (frame[BOOTP].yiaddr, frame[IP].src, frame[IP].dst, frame.dst) == (OWN, SERVER, OWN, MAC)
    assert (options["server_id"], options["subnet_mask"], options["interface-mtu"]) == (SERVER, "255.255.255.0", 1342)
    assert (options["router"], options["name_server"]) == ("10.0.0.254", ("10.0.0.53", "9.9.9.9"))
    assert (options["domain"], options["broadcast_address"]) == (b"web.example", "10.0.0.255")
    assert (options["lease_time"], options["renewal_time"], options["rebinding_time"]) == (1000, 500, 875)


def test_classless_routes_have_the_default_route_among_them() -> None:
    read = DhcpMessage.parse(raw(ask(packet("discover", asking(*ALL)))[1][BOOTP])).options[Option.CLASSLESS_ROUTES]
    assert read.hex(" ") == "00 0a 00 00 fe 0c ac 10 0a 00 00 09 19 c0 00 02 80 0a 00 00 08"
    without = change(NETWORK, routes=())
    assert 121 not in DhcpMessage.parse(raw(ask(packet("discover", asking(*ALL)), without)[1][BOOTP])).options


def test_only_what_is_asked_for_and_the_mtu() -> None:
    options = ask(packet("discover", asking(1, 6)))[2]
    assert options.keys() == {
        *("message-type", "server_id", "lease_time", "renewal_time", "rebinding_time", "subnet_mask", "interface-mtu", "name_server")
    }
    assert {"router", "domain", "broadcast_address"} <= ask(packet("discover"))[2].keys()  # a client that does not say


def test_mask_stands_before_router() -> None:
    names = [o[0] for o in ask(packet("discover", asking(3, 1)))[1][DHCP].options]
    assert names.index("subnet_mask") < names.index("router")


@pytest.mark.parametrize("flags", [0, 0x8000])
def test_broadcast_flag_is_heard(flags: int) -> None:
    frame = ask(packet("discover", flags=flags))[1]
    assert (frame.dst, frame[IP].dst) == (("ff:ff:ff:ff:ff:ff", "255.255.255.255") if flags else (MAC, OWN))
    assert frame[BOOTP].flags == flags


def test_client_id_is_sent_back() -> None:
    for kind in ("discover", "request"):
        assert ask(packet(kind, ("client_id", b"\xffwhoever"), ("requested_addr", OWN)))[2]["client_id"] == b"\xffwhoever"
    assert "client_id" in ask(packet("request", ("client_id", b"\xffwhoever"), ("requested_addr", "10.0.0.9")))[2]


@pytest.mark.parametrize(
    ("options", "fields", "outcome"),
    [
        ([("server_id", SERVER), ("requested_addr", OWN)], {}, "ack"),  # selecting
        ([("server_id", SERVER), ("requested_addr", "10.0.0.8")], {}, "nak"),
        ([("server_id", "10.0.0.66"), ("requested_addr", OWN)], {}, "another_server"),
        ([("requested_addr", OWN)], {}, "ack"),  # reboot
        ([("requested_addr", "192.168.1.5")], {}, "nak"),
        ([], {"ciaddr": OWN, "src": OWN, "dst": SERVER}, "ack"),  # renewing
        ([], {"ciaddr": OWN, "src": OWN}, "ack"),  # rebinding
        ([], {"ciaddr": "10.0.0.8"}, "nak"),
        ([], {}, "malformed"),
    ],
)
def test_requests(options, fields, outcome: str) -> None:
    said, frame, told = ask(packet("request", *options, **fields))
    assert said == outcome
    if outcome == "ack":
        assert (told["message-type"], frame[BOOTP].yiaddr, frame[IP].dst, told["lease_time"]) == (5, OWN, OWN, 1000)
        assert frame[BOOTP].ciaddr == fields.get("ciaddr", "0.0.0.0")
    elif outcome == "nak":
        assert (told["message-type"], frame[BOOTP].yiaddr, frame[IP].dst) == (6, "0.0.0.0", "255.255.255.255")
        assert "lease_time" not in told and told["server_id"] == SERVER
    else:
        assert frame is None


def test_inform_is_told_everything_but_an_address() -> None:
    outcome, frame, options = ask(packet("inform", asking(*ALL), ciaddr=OWN, src=OWN))
    assert (outcome, frame[BOOTP].yiaddr, frame[IP].dst) == ("ack", "0.0.0.0", OWN)
    assert "lease_time" not in options and options["name_server"] == ("10.0.0.53", "9.9.9.9")
    assert ask(packet("inform", ciaddr="10.0.0.9"))[1] is None


@pytest.mark.parametrize(
    ("request_", "outcome"),
    [
        (packet("decline", ("requested_addr", OWN)), "decline"),
        (packet("release", ciaddr=OWN), "release"),
        (packet("discover", chaddr=OTHER_MAC), "another_mac"),
        (packet("discover", giaddr="10.0.0.1"), "relayed"),
        (packet("discover", sport=1068), "malformed"),
        (packet("offer"), "malformed"),
        (packet("lease_query"), "malformed"),
        (Ether() / IP() / UDP(sport=68, dport=67) / BOOTP(op=1, chaddr=bytes.fromhex(MAC.replace(":", ""))), "malformed"),
    ],
)
def test_silence(request_, outcome: str) -> None:
    assert ask(request_)[:2] == (outcome, None)


def test_port_without_an_ipv4_address_and_network_without_dhcp_are_silent() -> None:
    assert ask(packet("discover"), port=change(PORT, addresses=(ip_address("fd00::7"),)))[:2] == ("no_address", None)
    assert ask(packet("discover"), change(NETWORK, dhcp=False))[:2] == ("no_address", None)


def test_of_several_addresses_the_one_that_is_asked_for_else_the_first() -> None:
    port = change(PORT, addresses=(ip_address(OWN), ip_address("10.1.2.3")))
    assert ask(packet("discover"), port=port)[1][BOOTP].yiaddr == OWN
    _, frame, options = ask(packet("discover", ("requested_addr", "10.1.2.3")), port=port)
    assert (frame[BOOTP].yiaddr, options["subnet_mask"], options["server_id"]) == ("10.1.2.3", "255.255.0.0", "10.1.0.1")
    assert ask(packet("request", ("requested_addr", "10.1.2.3")), port=port)[0] == "ack"


def test_who_has_the_servers_address_hears_of_another() -> None:
    port = change(PORT, addresses=(ip_address(SERVER),))
    _, frame, options = ask(packet("discover"), port=port)
    assert (frame[BOOTP].yiaddr, options["server_id"], frame[IP].src) == (SERVER, "10.0.0.2", "10.0.0.2")


def test_message_is_as_long_as_the_client_takes() -> None:
    much = change(
        NETWORK,
        domain="d" * 64,
        dns_servers=tuple(ip_address(f"9.9.9.{n}") for n in range(8)),
        routes=tuple(Route(IPv4Network(f"172.16.{n}.4/32"), ip_address("10.0.0.9")) for n in range(16)),
    )
    long_id = ("client_id", b"i" * 200)
    short = ask(packet("discover", asking(*ALL), long_id), much)
    assert len(short[1][IP]) <= 576 and short[2]["interface-mtu"] == 1342 and short[2]["router"] == "10.0.0.254"
    assert not {15, 121} & DhcpMessage.parse(raw(short[1][BOOTP])).options.keys()
    long = ask(packet("discover", asking(*ALL), long_id, ("max_dhcp_size", 1500)), much)
    assert 576 < len(long[1][IP]) <= 1342 and len(DhcpMessage.parse(raw(long[1][BOOTP])).options[121]) == 5 + 16 * 9


def test_options_that_are_cut_and_overloaded_are_read_whole() -> None:
    head = raw(packet("discover")[BOOTP])[:236]
    file = b"\x37\x01\x06" + b"\xff" + bytes(124)
    sname = bytes(2) + b"\x37\x01\x1a\xff" + bytes(58)
    whole = head[:44] + sname + file + b"\x63\x82\x53\x63" + b"\x00\x35\x01\x01\x37\x01\x01\x00\x34\x01\x03\xff"
    message = DhcpMessage.parse(whole)
    assert message.options == {53: b"\x01", 55: b"\x01\x06\x1a", 52: b"\x03"}


def test_what_is_written_is_read_again() -> None:
    message = DhcpMessage(1, 7, b"\2" * 6, {53: b"\1", 12: b"h" * 255}, flags=0x8000, ciaddr=ip_address(OWN), giaddr=ip_address(SERVER))
    assert DhcpMessage.parse(message.serialize()) == message


_VALID = raw(packet("discover", asking(*ALL), ("client_id", b"\1" * 7)))


@given(st.binary(max_size=700))
@example(b"")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(WireError):
        DhcpMessage.parse(data)
    assert dhcp.answer(NETWORK, PORT, data).frame is None


@given(st.lists(st.tuples(st.integers(14, len(_VALID) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(_VALID)), st.booleans())
def test_damaged_requests_get_a_bounded_answer_or_none(damage: list[tuple[int, int]], cut: int, is_cut: bool) -> None:
    data = bytearray(_VALID)
    for offset, value in damage:
        data[offset] = value
    answer = dhcp.answer(NETWORK, PORT, bytes(data[:cut] if is_cut else data))
    if answer.frame is not None:
        frame = Ether(answer.frame)
        assert len(frame) <= 14 + NETWORK.mtu and frame[BOOTP].yiaddr in (OWN, "0.0.0.0")
