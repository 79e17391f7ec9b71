"""CVSW's codecs: vectors written by hand from the format, os-ken as an independent encoder, and every way to be malformed."""

import json
import re
import struct
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from os_ken.ofproto import ofproto_v1_0 as ofp
from os_ken.ofproto import ofproto_v1_0_parser as ofp_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from nvo3.wire import cvsw, of10, of10_action, of10_match
from nvo3.wire.errors import Malformed, Truncated
from nvo3.wire.of10 import Command, FlowMod
from nvo3.wire.of10_action import Output, SetTunnel, parse_actions, serialize_actions
from nvo3.wire.of10_error import Code, OpenFlowError
from nvo3.wire.of10_match import VLAN_NONE, Match, Tunnel, TunnelMatch

MAC = bytes.fromhex("020000000001")
_VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "cvsw"
_NAMES = (
    vars(cvsw) | vars(of10_match) | vars(of10_action) | {"hex": bytes.fromhex, "of10": of10, "ALL": cvsw.CAPABILITIES, "FlowMod": FlowMod}
)
_NAMES |= {"Command": Command, "Reason": of10.Reason}


def _vectors(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in json.loads((_VECTORS / f"{kind}.json").read_text(encoding="utf-8"))]


def _bytes(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex("".join(digits for digits, _ in vector["bytes"]))


def _refusal(call: Any) -> Code:
    with pytest.raises(OpenFlowError) as caught:
        call()
    assert caught.value.reason == caught.value.code.name.lower()
    assert "\n" not in str(caught.value)
    return caught.value.code


# Vectors


@pytest.mark.parametrize("vector", _vectors("action"))
def test_action_vector(vector: dict[str, Any]) -> None:
    data = _bytes(vector)
    fields = {name: bytes.fromhex(value) if isinstance(value, str) else value for name, value in vector["fields"].items()}
    if "tunnel" in fields:
        fields["tunnel"] = Tunnel(fields["tunnel"])
    action = getattr(of10_action, vector["action"])(**fields)
    assert parse_actions(data) == (action,)
    assert serialize_actions([action]) == data


@pytest.mark.parametrize("vector", _vectors("frame"))
@pytest.mark.parametrize("padding", [b"", bytes(50)])
def test_frame_vector(vector: dict[str, Any], padding: bytes) -> None:
    data = _bytes(vector)
    published = vector.get("published", False)
    message = eval(vector["message"], dict(_NAMES))  # values written in the vector, not input
    frame = cvsw.parse_frame(data + padding)
    assert frame.mac == MAC
    assert cvsw.parse(frame, published=published) == message
    assert cvsw.serialize(MAC, message, published=published) == data


@pytest.mark.parametrize("vector", _vectors("frame"))
def test_frame_that_is_cut_off(vector: dict[str, Any]) -> None:
    data = _bytes(vector)
    for end in range(len(data)):
        if end < cvsw.HEADER_LEN:
            with pytest.raises(Truncated) as caught:
                cvsw.parse_frame(data[:end])
            assert caught.value.reason == "frame_truncated"
        else:
            assert _refusal(lambda end=end: cvsw.parse_frame(data[:end])) is Code.BRC_BAD_LEN


@pytest.mark.parametrize("vector", _vectors("frame"))
def test_body_that_is_cut_off(vector: dict[str, Any]) -> None:
    """Each prefix of the body, with lengths that agree with it: a bad length of the message, or of the action in which it is cut."""
    frame = cvsw.parse_frame(_bytes(vector))
    is_entry = frame.type in (cvsw.Type.SET_ENTRY, cvsw.Type.DELETE_ENTRY)
    for end in range(len(frame.body)):
        body = frame.body[:end]
        if end >= 4 and frame.type != cvsw.Type.REGISTER:
            body = body[:2] + struct.pack("!H", end) + body[4:]
        short = cvsw.Frame(frame.mac, frame.type, frame.data, body)
        if frame.type == cvsw.Type.ERROR and end >= 12 or is_entry and end >= 72 and _is_whole(body[72:]):
            cvsw.parse(short)
            continue
        expected = Code.BAC_BAD_LEN if is_entry and end > 72 else Code.BRC_BAD_LEN
        if frame.type == cvsw.Type.FLOW_STATS_REPLY and end == 12:
            assert cvsw.parse(short) == cvsw.FlowStatsReply(of10.FlowStatsReply((), True, 17), 2)
            continue
        assert _refusal(lambda short=short: cvsw.parse(short)) is expected, end


def _is_whole(actions: bytes) -> bool:
    while actions:
        size = int.from_bytes(actions[2:4], "big") if len(actions) >= 4 else 0
        if not size or size > len(actions):
            return False
        actions = actions[size:]
    return True


# Frames


def test_foreign_ethertype() -> None:
    with pytest.raises(Malformed) as caught:
        cvsw.parse_frame(MAC + bytes.fromhex("2100000000000800"))
    assert caught.value.reason == "ethertype"
    assert not isinstance(caught.value, OpenFlowError)


def test_other_version() -> None:
    assert _refusal(lambda: cvsw.parse_frame(MAC + bytes.fromhex("110000000000abba"))) is Code.BRC_BAD_VERSION


@pytest.mark.parametrize("kind", [0, 15])
def test_unknown_type(kind: int) -> None:
    assert _refusal(lambda: cvsw.parse(cvsw.Frame(MAC, kind, 0, b""))) is Code.BRC_BAD_TYPE


def test_length_has_16_bits() -> None:
    """The published driver reads DELETE_ENTRY's length as 32 bits: here `data`, the 16 bits behind it, does not count."""
    delete = FlowMod(Command.DELETE_STRICT, Match(in_port=1))
    frame = cvsw.Frame(MAC, cvsw.Type.DELETE_ENTRY, 0xFFFF, delete.serialize())
    assert cvsw.parse(cvsw.parse_frame(frame.serialize())) == cvsw.DeleteEntry(delete)


def test_length_beyond_the_frame() -> None:
    data = bytearray(cvsw.serialize(MAC, cvsw.SetEntry(FlowMod(Command.ADD, Match()))))
    data[9] += 1
    assert _refusal(lambda: cvsw.parse_frame(bytes(data))) is Code.BRC_BAD_LEN


def test_length_below_the_message() -> None:
    data = bytearray(cvsw.serialize(MAC, cvsw.SetEntry(FlowMod(Command.ADD, Match()))))
    data[9] -= 1
    assert _refusal(lambda: cvsw.parse(cvsw.parse_frame(bytes(data)))) is Code.BRC_BAD_LEN


@pytest.mark.parametrize(("kind", "command"), [(cvsw.Type.SET_ENTRY, Command.DELETE), (cvsw.Type.DELETE_ENTRY, Command.ADD)])
def test_command_that_does_not_fit_the_type(kind: cvsw.Type, command: Command) -> None:
    frame = cvsw.Frame(MAC, kind, 0, FlowMod(command, Match()).serialize())
    assert _refusal(lambda: cvsw.parse(frame)) is Code.FMFC_BAD_COMMAND


def test_published_deletion_may_say_add() -> None:
    frame = cvsw.Frame(MAC, cvsw.Type.DELETE_ENTRY, 0, FlowMod(Command.ADD, Match(in_port=1)).serialize())
    assert cvsw.parse(frame, published=True) == cvsw.DeleteEntry(FlowMod(Command.DELETE_STRICT, Match(in_port=1)))


# FLOW_MOD


def _flow_mod(offset: int, replacement: str) -> bytes:
    data = bytearray(FlowMod(Command.ADD, Match(in_port=1), actions=(Output(2),)).serialize())
    patch = bytes.fromhex(replacement)
    data[offset : offset + len(patch)] = patch
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(_flow_mod(0, "04"), Code.BRC_BAD_VERSION, id="version of OpenFlow 1.3"),
        pytest.param(_flow_mod(1, "0d"), Code.BRC_BAD_TYPE, id="PACKET_OUT"),
        pytest.param(_flow_mod(2, "0048"), Code.BRC_BAD_LEN, id="length below the bytes"),
        pytest.param(_flow_mod(2, "ffff"), Code.BRC_BAD_LEN, id="length beyond the bytes"),
        pytest.param(_flow_mod(2, "0000"), Code.BRC_BAD_LEN, id="length 0"),
        pytest.param(_flow_mod(8 + 21, "06"), Code.FMFC_UNSUPPORTED, id="match on an unknown tunnel"),
        pytest.param(_flow_mod(8 + 21, "01"), None, id="match on VXLAN, 0 bits of the id"),
        pytest.param(_flow_mod(8 + 21, "010000000021"), Code.FMFC_UNSUPPORTED, id="33 bits of the tunnel's id"),
        pytest.param(_flow_mod(56, "0005"), Code.FMFC_BAD_COMMAND, id="unknown command"),
        pytest.param(_flow_mod(70, "0004"), Code.FMFC_ALL_TABLES_FULL, id="emergency entry"),
        pytest.param(_flow_mod(58, "0001 0000 8000 ffffffff ffff 0004"), Code.FMFC_BAD_EMERG_TIMEOUT, id="emergency entry with a timeout"),
        pytest.param(_flow_mod(70, "0008"), Code.FMFC_UNSUPPORTED, id="unknown flag"),
        pytest.param(_flow_mod(64, "00000001"), None, id="a buffer, which means nothing here"),
        pytest.param(_flow_mod(72, "000b"), Code.BAC_BAD_TYPE, id="ENQUEUE"),
        pytest.param(_flow_mod(72, "100b"), Code.BAC_BAD_TYPE, id="action beyond the tunnels'"),
        pytest.param(_flow_mod(72, "1000"), Code.BAC_BAD_TYPE, id="action before the tunnels'"),
        pytest.param(_flow_mod(72, "ffff"), Code.BAC_BAD_VENDOR, id="vendor's action"),
        pytest.param(_flow_mod(74, "0000"), Code.BAC_BAD_LEN, id="action of 0 bytes"),
        pytest.param(_flow_mod(74, "0004"), Code.BAC_BAD_LEN, id="action of 4 bytes"),
        pytest.param(_flow_mod(74, "0007"), Code.BAC_BAD_LEN, id="action of 7 bytes"),
        pytest.param(_flow_mod(74, "0010"), Code.BAC_BAD_LEN, id="action longer than the message"),
        pytest.param(_flow_mod(74, "ffff"), Code.BAC_BAD_LEN, id="action of 65535 bytes"),
        pytest.param(_flow_mod(74, "fff8"), Code.BAC_BAD_LEN, id="action of 65528 bytes"),
        pytest.param(_flow_mod(72, "1001 0008"), Code.BAC_BAD_LEN, id="set VXLAN of 8 bytes"),
        pytest.param(_flow_mod(72, "0004 0008"), Code.BAC_BAD_LEN, id="set source MAC of 8 bytes"),
        pytest.param(_flow_mod(72, "0001 0008 1000"), Code.BAC_BAD_ARGUMENT, id="VLAN id of 13 bits"),
        pytest.param(_flow_mod(72, "0002 0008 08"), Code.BAC_BAD_ARGUMENT, id="VLAN priority 8"),
        pytest.param(_flow_mod(72, "0008 0008 01"), Code.BAC_BAD_ARGUMENT, id="TOS with ECN"),
    ],
)
def test_malformed_flow_mod(data: bytes, code: Code | None) -> None:
    if code is None:
        FlowMod.parse(data)
    else:
        assert _refusal(lambda: FlowMod.parse(data)) is code


_SET = SetTunnel(Tunnel.SCLP, MAC, MAC, b"\x0a\0\0\1", b"\x0a\0\0\2", 5)


@pytest.mark.parametrize(
    ("offset", "replacement"),
    [
        pytest.param(20, "01", id="outer destination is not IPv4"),
        pytest.param(47, "01", id="outer source is not IPv4"),
        pytest.param(52, "01", id="id of 25 bits"),
        pytest.param(56, "0004", id="unknown flag"),
        pytest.param(58, "007f", id="segment that has no room for headers"),
        pytest.param(0, "1001 0040 " + _SET.serialize()[4:56].hex() + "0001", id="offload state over VXLAN"),
    ],
)
def test_bad_argument_of_a_set_action(offset: int, replacement: str) -> None:
    data = bytearray(_SET.serialize())
    patch = bytes.fromhex(replacement)
    data[offset : offset + len(patch)] = patch
    assert _refusal(lambda: parse_actions(bytes(data))) is Code.BAC_BAD_ARGUMENT
    if offset >= 56 or offset == 0:
        assert parse_actions(bytes(data), published=True), "what the published form pads with means nothing there"


def test_actions_fill_a_flow_mod() -> None:
    actions = (Output(2),) * ((0xFFFF - 72) // 8)
    mod = FlowMod(Command.ADD, Match(), actions=actions)
    assert FlowMod.parse(mod.serialize()) == mod
    with pytest.raises(ValueError, match="actions: 65464 bytes exceed 65463"):
        FlowMod(Command.ADD, Match(), actions=(*actions, Output(2))).serialize()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Match(in_port=65536).serialize(),
        lambda: Match(nw_tos=1).serialize(),
        lambda: Match(dl_vlan_pcp=8).serialize(),
        lambda: Match(dl_src=b"12345").serialize(),
        lambda: Match(tp_dst=80, tunnel=TunnelMatch(Tunnel.VXLAN, 1)),
        lambda: TunnelMatch(Tunnel.VXLAN, 1 << 24, 24),
        lambda: TunnelMatch(Tunnel.VXLAN, 0, 33),
        lambda: SetTunnel(Tunnel.VXLAN, MAC, MAC, b"1234", b"1234", 1 << 24),
        lambda: SetTunnel(Tunnel.STT, MAC, MAC, b"1234", b"1234", 1 << 64),
        lambda: SetTunnel(Tunnel.STT, MAC, MAC, b"1234", b"1234", 1, udp=True),
        lambda: SetTunnel(Tunnel.STT, MAC, MAC, bytes(16), b"1234", 1),
        lambda: FlowMod(Command.ADD, Match(), priority=65536).serialize(),
        lambda: FlowMod(Command.ADD, Match(), xid=1 << 32).serialize(),
        lambda: serialize_actions([Output(65536)]),
        lambda: cvsw.serialize(MAC, cvsw.ChangeMtu(65536)),
        lambda: cvsw.serialize(b"12345", cvsw.ChangeMtu(1500)),
        lambda: cvsw.serialize(MAC, cvsw.BarrierReply(0, cvsw.Status(0, 0, 0, 0), 0, 1 << cvsw.WINDOW, 0)),
        lambda: cvsw.serialize(MAC, cvsw.FlowStatsRequest(of10.FlowStatsRequest(), 3, 8)),
    ],
)
def test_our_own_mistake_is_a_value_error(make: Any) -> None:
    with pytest.raises(ValueError, match="."):
        make()


# The published form of a match


@pytest.mark.parametrize("tunnel", Tunnel)
def test_published_tunnel_match_is_a_clear_wildcard_bit(tunnel: Tunnel) -> None:
    match = Match(in_port=2, dl_type=0x800, tunnel=TunnelMatch(tunnel, 0x01020304))
    data = match.serialize(published=True)
    assert int.from_bytes(data[:4], "big") == 0x3FFFFF & ~(1 << 15 + tunnel) & ~0x11
    assert data[36:] == bytes.fromhex("01020304")
    assert Match.parse(data, published=True) == match


@pytest.mark.parametrize("match", [Match(nw_dst=IPv4Network("10.0.0.1/32")), Match(dl_vlan_pcp=1), Match(nw_src=IPv4Network("10.0.0.0/8"))])
def test_published_form_cannot_carry(match: Match) -> None:
    with pytest.raises(ValueError, match="published"):
        match.serialize(published=True)


@pytest.mark.parametrize("bits", range(33))
def test_standard_form_has_every_prefix(bits: int) -> None:
    """The bits of NW_DST's prefix that the published form has for tunnels are OpenFlow's own here."""
    network = IPv4Network(("10.1.2.3", bits), strict=False)
    match = Match(dl_type=0x800, nw_src=network, nw_dst=network)
    parsed = Match.parse(match.serialize())
    assert parsed == (match if bits else Match(dl_type=0x800))
    assert parsed.tunnel is None


def test_exact_match_survives_the_published_form() -> None:
    data = bytes(4) + Match().serialize()[4:]
    assert Match.parse(data, published=True) == Match.parse(data)
    assert Match.parse(data).rank(0) > 0xFFFF


# os-ken as an independent encoder


class _Datapath(ProtocolDesc):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(version=ofp.OFP_VERSION)


@pytest.mark.parametrize("command", Command)
def test_flow_mod_agrees_with_os_ken(command: Command) -> None:
    datapath = _Datapath()
    wildcards = ofp.OFPFW_ALL & ~(ofp.OFPFW_IN_PORT | ofp.OFPFW_DL_TYPE | ofp.OFPFW_NW_SRC_MASK | ofp.OFPFW_NW_DST_MASK | ofp.OFPFW_TP_DST)
    wildcards &= ~(ofp.OFPFW_NW_PROTO | ofp.OFPFW_NW_TOS | ofp.OFPFW_DL_VLAN | ofp.OFPFW_DL_DST)
    wildcards |= 8 << ofp.OFPFW_NW_DST_SHIFT
    theirs = ofp_parser.OFPMatch(
        wildcards,
        1,
        0,
        MAC,
        VLAN_NONE,
        0,
        0x800,
        0xB8,
        6,
        int.from_bytes(b"\x0a\0\0\1", "big"),
        int.from_bytes(b"\x0a\1\2\0", "big"),
        0,
        443,
    )
    actions = [
        ofp_parser.OFPActionSetDlSrc(MAC),
        ofp_parser.OFPActionSetDlDst(MAC),
        ofp_parser.OFPActionVlanVid(7),
        ofp_parser.OFPActionVlanPcp(3),
        ofp_parser.OFPActionStripVlan(),
        ofp_parser.OFPActionSetNwSrc(0x0A000003),
        ofp_parser.OFPActionSetNwDst(0x0A000004),
        ofp_parser.OFPActionSetNwTos(0xB8),
        ofp_parser.OFPActionSetTpSrc(1),
        ofp_parser.OFPActionSetTpDst(65535),
        ofp_parser.OFPActionOutput(2, 0),
    ]
    message = ofp_parser.OFPFlowMod(
        datapath, theirs, 0x1122334455667788, int(command), 5, 6, 77, ofp.OFP_NO_BUFFER, 2, ofp.OFPFF_SEND_FLOW_REM, actions
    )
    message.set_xid(99)
    message.serialize()
    ours = FlowMod(
        command,
        Match(
            in_port=1,
            dl_dst=MAC,
            dl_vlan=VLAN_NONE,
            dl_type=0x800,
            nw_tos=0xB8,
            nw_proto=6,
            nw_src=IPv4Network("10.0.0.1/32"),
            nw_dst=IPv4Network("10.1.2.0/24"),
            tp_dst=443,
        ),
        77,
        (
            of10_action.SetDlSrc(MAC),
            of10_action.SetDlDst(MAC),
            of10_action.SetVlanVid(7),
            of10_action.SetVlanPcp(3),
            of10_action.StripVlan(),
            of10_action.SetNwSrc(bytes([10, 0, 0, 3])),
            of10_action.SetNwDst(bytes([10, 0, 0, 4])),
            of10_action.SetNwTos(0xB8),
            of10_action.SetTpSrc(1),
            of10_action.SetTpDst(65535),
            Output(2),
        ),
        0x1122334455667788,
        5,
        6,
        of10.FLAG_SEND_FLOW_REM,
        2,
        99,
    )
    assert FlowMod.parse(bytes(message.buf)) == ours
    assert ours.serialize() == bytes(message.buf)


def test_other_messages_agree_with_os_ken() -> None:
    datapath = _Datapath()
    match = Match(in_port=2, dl_type=0x806)

    def parsed(data: bytes) -> Any:
        version, kind, length, xid = struct.unpack_from("!BBHI", data)
        return ofp_parser.msg_parser(datapath, version, kind, length, xid, data)

    removed = parsed(of10.FlowRemoved(match, 5, of10.Reason.HARD_TIMEOUT, 7, 8, 3_000_000_004, 9, 10).serialize())
    assert (removed.priority, removed.reason, removed.cookie, removed.idle_timeout) == (5, ofp.OFPRR_HARD_TIMEOUT, 7, 8)
    assert (removed.duration_sec, removed.duration_nsec, removed.packet_count, removed.byte_count) == (3, 4, 9, 10)
    assert (removed.match.in_port, removed.match.dl_type) == (2, 0x806)

    entries = (of10.FlowStats(match, 5, (Output(2),), 7, 8, 9, 0, 3_000_000_004, 10, 11), of10.FlowStats(Match(), 1))
    reply = parsed(of10.FlowStatsReply(entries, more=True, xid=12).serialize())
    assert (reply.xid, reply.type, reply.flags, len(reply.body)) == (12, ofp.OFPST_FLOW, 1, 2)
    first = reply.body[0]
    assert (first.priority, first.cookie, first.idle_timeout, first.hard_timeout) == (5, 7, 8, 9)
    assert (first.duration_sec, first.duration_nsec, first.packet_count, first.byte_count) == (3, 4, 10, 11)
    assert [(action.port) for action in first.actions] == [2]

    error = parsed(of10.Error(*Code.BAC_BAD_LEN.value, b"12345678", 13).serialize())
    assert (error.xid, error.type, error.code, error.data) == (13, ofp.OFPET_BAD_ACTION, ofp.OFPBAC_BAD_LEN, b"12345678")


@pytest.mark.parametrize("code", Code)
def test_error_codes_are_openflows(code: Code) -> None:
    prefix, name = code.name.split("_", 1)
    kinds = {"BRC": ofp.OFPET_BAD_REQUEST, "BAC": ofp.OFPET_BAD_ACTION, "FMFC": ofp.OFPET_FLOW_MOD_FAILED}
    assert code.value == (kinds[prefix], getattr(ofp, f"OFP{prefix}_{name}"))
    assert re.fullmatch("[a-z_]+", OpenFlowError(code, "").reason)
    assert Code.find(*code.value) is code


def test_unknown_error_code() -> None:
    assert Code.find(9, 9) is None
