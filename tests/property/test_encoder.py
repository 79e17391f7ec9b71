"""Our flow-mods against os-ken's serializer: the same bytes for any flow that both can say."""

import contextlib
import ipaddress
import os
import uuid

os.environ["OSKEN_HUB_TYPE"] = "eventlet"

from hypothesis import given
from hypothesis import strategies as st
from os_ken.base import app_manager  # noqa: F401  before the parser, or os-ken's imports go round in a circle
from os_ken.ofproto import ofproto_protocol, ofproto_v1_3, ofproto_v1_3_parser

from nvo3.openflow import decoder, encoder, oxm
from nvo3.pipeline.flow import Cond, Field, FlowKey, FlowSpec, Move, Output, Resubmit, SetField, Table

# Our field: os-ken's name, bits, and how os-ken wants the value.
_FIELDS = {
    Field.IN_PORT: ("in_port", 32),
    Field.ETH_DST: ("eth_dst", 48),
    Field.ETH_SRC: ("eth_src", 48),
    Field.ETH_TYPE: ("eth_type", 16),
    Field.VLAN_VID: ("vlan_vid", 13),
    Field.IP_PROTO: ("ip_proto", 8),
    Field.IPV4_SRC: ("ipv4_src", 32),
    Field.IPV4_DST: ("ipv4_dst", 32),
    Field.ARP_OP: ("arp_op", 16),
    Field.ARP_SPA: ("arp_spa", 32),
    Field.ARP_TPA: ("arp_tpa", 32),
    Field.ARP_SHA: ("arp_sha", 48),
    Field.ARP_THA: ("arp_tha", 48),
    Field.IPV6_SRC: ("ipv6_src", 128),
    Field.IPV6_DST: ("ipv6_dst", 128),
    Field.ICMPV6_TYPE: ("icmpv6_type", 8),
    Field.ICMPV6_CODE: ("icmpv6_code", 8),
    Field.ND_TARGET: ("ipv6_nd_target", 128),
    Field.ND_SLL: ("ipv6_nd_sll", 48),
    Field.ND_TLL: ("ipv6_nd_tll", 48),
    Field.METADATA: ("metadata", 64),
    Field.TUN_ID: ("tunnel_id", 64),
    Field.TUN_IPV4_SRC: ("tun_ipv4_src", 32),
    Field.TUN_IPV4_DST: ("tun_ipv4_dst", 32),
    Field.REG0: ("reg0", 32),
    Field.REG1: ("reg1", 32),
    Field.REG15: ("reg15", 32),
}
_MASKABLE = (Field.ETH_DST, Field.METADATA, Field.IPV4_SRC, Field.IPV6_DST, Field.REG0)
_MOVES = {  # os-ken writes the headers that it knows; these are the same in both
    Field.METADATA: 64,
    Field.REG0: 32,
    Field.REG15: 32,
}


def _text(field: Field, value: int) -> object:
    """A value as os-ken takes it: addresses are strings."""
    name, bits = _FIELDS[field]
    if bits == 48:
        return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))
    if bits == 128:
        return str(ipaddress.IPv6Address(value))
    if name.endswith(("_spa", "_tpa")) or name.startswith(("ipv4", "tun_ipv4")):
        return str(ipaddress.IPv4Address(value))
    return value


@st.composite
def conditions(draw) -> Cond:
    field = draw(st.sampled_from(list(_FIELDS)))
    top = (1 << _FIELDS[field][1]) - 1
    value = draw(st.integers(0, top))
    if field in _MASKABLE and draw(st.booleans()):
        mask = draw(st.integers(1, top - 1))
        return Cond(field, value & mask, mask)
    return Cond(field, value)


@st.composite
def actions(draw):
    kind = draw(st.sampled_from(["output", "set", "move", "resubmit"]))
    if kind == "output":
        return Output(draw(st.integers(0, 0xFFFFFFFF)))
    if kind == "resubmit":
        return Resubmit(draw(st.sampled_from(list(Table))))
    if kind == "set":
        field = draw(st.sampled_from([f for f in _FIELDS if f not in (Field.IN_PORT,)]))
        return SetField(field, draw(st.integers(0, (1 << _FIELDS[field][1]) - 1)))
    src, dst = draw(st.sampled_from(list(_MOVES))), draw(st.sampled_from(list(_MOVES)))
    n_bits = draw(st.integers(1, min(_MOVES[src], _MOVES[dst])))
    return Move(src, dst, n_bits, draw(st.integers(0, _MOVES[src] - n_bits)), draw(st.integers(0, _MOVES[dst] - n_bits)))


@st.composite
def flows(draw) -> FlowSpec:
    match = draw(st.lists(conditions(), max_size=7, unique_by=lambda c: c.field))
    table = draw(st.sampled_from(list(Table)))
    goto = draw(st.sampled_from([None, *(t for t in Table if t > table)]))
    owner = draw(st.one_of(st.none(), st.integers(0, (1 << 128) - 1).map(lambda i: uuid.UUID(int=i))))
    metadata = draw(st.one_of(st.none(), st.integers(0, (1 << 64) - 1)))
    steps = tuple(draw(st.lists(actions(), max_size=6)))
    return FlowSpec(FlowKey(table, draw(st.integers(0, 0xFFFF)), tuple(match)), owner, steps, metadata, goto)


def reference(flow: FlowSpec, xid: int) -> bytes:
    """The flow-mod as os-ken writes it."""
    parser, datapath = ofproto_v1_3_parser, ofproto_protocol.ProtocolDesc(version=ofproto_v1_3.OFP_VERSION)
    # os-ken keeps the order it is given; ours is ascending by header.
    ordered = sorted(flow.key.match, key=lambda c: oxm.serialize_match((c,))[:4])
    match = parser.OFPMatch(
        _ordered_fields=[
            (_FIELDS[c.field][0], _text(c.field, c.value) if c.mask is None else (_text(c.field, c.value), _text(c.field, c.mask)))
            for c in ordered
        ]
    )
    steps = []
    for action in flow.actions:
        match action:
            case Output(port):
                steps.append(parser.OFPActionOutput(port, 0))
            case SetField(field, value):
                steps.append(parser.OFPActionSetField(**{_FIELDS[field][0]: _text(field, value)}))
            case Resubmit(table):
                steps.append(parser.NXActionResubmitTable(in_port=0xFFF8, table_id=int(table)))
            case Move(src, dst, n_bits, src_offset, dst_offset):
                steps.append(parser.NXActionRegMove(_FIELDS[src][0], _FIELDS[dst][0], n_bits, src_offset, dst_offset))
    instructions = []
    if steps:
        instructions.append(parser.OFPInstructionActions(ofproto_v1_3.OFPIT_APPLY_ACTIONS, steps))
    if flow.metadata is not None:
        instructions.append(parser.OFPInstructionWriteMetadata(flow.metadata, (1 << 64) - 1))
    if flow.goto is not None:
        instructions.append(parser.OFPInstructionGotoTable(int(flow.goto)))
    message = parser.OFPFlowMod(
        datapath,
        cookie=encoder.cookie_of(flow),
        table_id=int(flow.key.table),
        priority=flow.key.priority,
        out_port=ofproto_v1_3.OFPP_ANY,
        out_group=ofproto_v1_3.OFPG_ANY,
        match=match,
        instructions=instructions,
    )
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


@given(flows(), st.integers(0, 0xFFFFFFFF))
def test_flow_mod_equals_the_library_s(flow: FlowSpec, xid: int) -> None:
    assert encoder.add_flow(xid, flow) == reference(flow, xid)


@given(st.binary(max_size=300))
def test_any_flow_statistics_give_flows_or_malformed(body: bytes) -> None:
    with contextlib.suppress(decoder.Malformed):
        list(decoder.flow_stats(memoryview(body)))


@given(st.lists(flows(), max_size=5, unique_by=lambda f: f.key))
def test_bundle_wraps_each_message_under_its_own_length(specs: list[FlowSpec]) -> None:
    messages = [encoder.add_flow(7, f) for f in specs]
    data, seen = encoder.bundle(7, 3, messages), []
    while data:
        size = int.from_bytes(data[2:4], "big")
        assert data[:2] == b"\x04\x04" and data[4:8] == (7).to_bytes(4, "big")
        seen.append(data[24:size])
        data = data[size:]
    assert seen == [b"", *messages, b""]
