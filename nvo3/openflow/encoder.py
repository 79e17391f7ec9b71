"""FlowSpec -> OpenFlow 1.3 messages, written byte by byte.

Sources: OpenFlow 1.3.5 sections 7.1 to 7.3; ONF extension 230 (bundles for 1.3); Nicira extensions as of ovs-actions(7).  A property test
holds the flow-mods equal to os-ken's serializer, which is eighty times slower.
"""

import struct
import zlib
from collections.abc import Iterable
from uuid import UUID

from nvo3.openflow import oxm
from nvo3.pipeline.flow import CONTROLLER, Action, FlowSpec, Meter, Move, Output, Resubmit, SetField

OFP_VERSION = 0x04
OFPT_ERROR = 1
OFPT_SET_CONFIG = 9
OFPT_PACKET_IN = 10
OFPT_EXPERIMENTER = 4
OFPT_PACKET_OUT = 13
OFPT_FLOW_MOD = 14
OFPT_MULTIPART_REQUEST = 18
OFPT_MULTIPART_REPLY = 19
OFPT_ROLE_REQUEST = 24
OFPT_METER_MOD = 29
OFPMP_FLOW = 1
OFPMP_PORT_STATS = 4
OFPFC_ADD = 0
OFPFC_MODIFY = 1
OFPFC_MODIFY_STRICT = 2
OFPFC_DELETE = 3
OFPFC_DELETE_STRICT = 4

ANY = 0xFFFFFFFF  # OFPP_ANY, OFPG_ANY, OFP_NO_BUFFER
OFPTT_ALL = 0xFF
_OFPC_FRAG_NX_MATCH = 3
_NO_BUFFER = 0xFFFF  # OFPCML_NO_BUFFER: the whole packet
_NX_VENDOR = 0x00002320
_NXAST_REG_MOVE = 6
_NXAST_RESUBMIT_TABLE = 14
_OFPP_IN_PORT_1_0 = 0xFFF8

ONF_VENDOR = 0x4F4E4600
ONF_ET_BUNDLE_CONTROL = 2300
_ONF_ET_BUNDLE_ADD = 2301
BUNDLE_OPEN_REQUEST = 0
BUNDLE_OPEN_REPLY = 1
BUNDLE_COMMIT_REQUEST = 4
BUNDLE_COMMIT_REPLY = 5
_BUNDLE_FLAGS = 3  # atomic, ordered

# Cookies of our flows: "NVO3" above, a digest of the owner's uuid below.
COOKIE_PREFIX = 0x4E564F33 << 32
COOKIE_PREFIX_MASK = 0xFFFFFFFF << 32
COOKIE_MASK = (1 << 64) - 1

_HEADER = struct.Struct("!BBHI")
_FLOW_MOD = struct.Struct("!QQBBHHHIIIHxx")  # after the header
_PACKET_OUT = struct.Struct("!IIH6x")
_MATCH = struct.Struct("!HH")
_OUTPUT = struct.Struct("!HHIH6x")
_SET_FIELD = struct.Struct("!HH")
_NX_MOVE = struct.Struct("!HHIHHHH4s4s")
_NX_RESUBMIT = struct.Struct("!HHIHHB3x")
_WRITE_METADATA = struct.Struct("!HH4xQQ")
_APPLY_ACTIONS = struct.Struct("!HH4x")
_GOTO_TABLE = struct.Struct("!HHB3x")
_METER = struct.Struct("!HHI")
_SET_CONFIG = struct.Struct("!HH")
_METER_MOD = struct.Struct("!HHI")
_METER_BAND_DROP = struct.Struct("!HHII4x")
_BUNDLE_CONTROL = struct.Struct("!BBHIIIIHH")
_BUNDLE_ADD = struct.Struct("!BBHIIIIxxH")
_FLOW_STATS_REQUEST = struct.Struct("!HH4xB3xII4xQQ")
_PORT_STATS_REQUEST = struct.Struct("!HH4xI4x")
_EMPTY_MATCH = b"\x00\x01\x00\x04\x00\x00\x00\x00"
_PADDING = (b"", b"\0" * 7, b"\0" * 6, b"\0" * 5, b"\0" * 4, b"\0" * 3, b"\0" * 2, b"\0")  # by size modulo 8


def cookie_of_owner(owner: UUID | None) -> int:
    """Return the 64-bit cookie of an object's flows: our prefix and a digest of the uuid, 0 for the pipeline itself."""
    return COOKIE_PREFIX | (zlib.crc32(owner.bytes) if owner else 0)


def is_our_cookie(cookie: int) -> bool:
    """Tell whether a cookie is one of our flows'."""
    return cookie & COOKIE_PREFIX_MASK == COOKIE_PREFIX


def cookie_of(flow: FlowSpec) -> int:
    """Return the 64-bit cookie of a flow."""
    return cookie_of_owner(flow.owner)


def serialize_match(flow: FlowSpec) -> bytes:
    """Return ofp_match, padded."""
    fields = oxm.serialize_match(flow.key.match)
    size = 4 + len(fields)
    return _MATCH.pack(1, size) + fields + _PADDING[size & 7]


def serialize_action(action: Action) -> bytes:
    """Return one action.  Raises OverflowError where a value does not fit its field."""
    match action:
        case Output(port):
            return _OUTPUT.pack(0, 16, port, _NO_BUFFER if port == CONTROLLER else 0)
        case SetField(field, value):
            tlv = oxm.serialize_value(field, value)
            padding = _PADDING[(4 + len(tlv)) & 7]
            return _SET_FIELD.pack(25, 4 + len(tlv) + len(padding)) + tlv + padding
        case Move(src, dst, n_bits, src_offset, dst_offset):
            return _NX_MOVE.pack(
                0xFFFF, 24, _NX_VENDOR, _NXAST_REG_MOVE, n_bits, src_offset, dst_offset, oxm.move_header(src), oxm.move_header(dst)
            )
        case Resubmit(table):
            return _NX_RESUBMIT.pack(0xFFFF, 16, _NX_VENDOR, _NXAST_RESUBMIT_TABLE, _OFPP_IN_PORT_1_0, table)


def serialize_instructions(flow: FlowSpec) -> bytes:
    """Return the instructions in the order in which OVS reports them: meter, apply actions, write metadata, goto table."""
    parts = []
    if flow.meter is not None:
        parts.append(_METER.pack(6, 8, flow.meter.id))
    if flow.actions:
        actions = b"".join([serialize_action(a) for a in flow.actions])
        parts.append(_APPLY_ACTIONS.pack(4, 8 + len(actions)) + actions)
    if flow.metadata is not None:
        parts.append(_WRITE_METADATA.pack(2, 24, flow.metadata, COOKIE_MASK))
    if flow.goto is not None:
        parts.append(_GOTO_TABLE.pack(1, 8, flow.goto))
    return b"".join(parts)


def flow_mod(
    xid: int, command: int, table: int, priority: int, match: bytes, cookie: int, cookie_mask: int, instructions: bytes = b""
) -> bytes:
    """Return an OFPT_FLOW_MOD without timeouts, buffer or flags.  match and instructions as serialized above."""
    body = _FLOW_MOD.pack(cookie, cookie_mask, table, command, 0, 0, priority, ANY, ANY, ANY, 0)
    size = 8 + len(body) + len(match) + len(instructions)
    return _HEADER.pack(OFP_VERSION, OFPT_FLOW_MOD, size, xid) + body + match + instructions


def add_flow(xid: int, flow: FlowSpec) -> bytes:
    """Return the message that adds a flow, or replaces the one with the same table, priority and match."""
    return flow_mod(
        xid,
        OFPFC_ADD,
        flow.key.table,
        flow.key.priority,
        serialize_match(flow),
        cookie_of(flow),
        0,
        serialize_instructions(flow),
    )


def set_config(xid: int) -> bytes:
    """Return the message that has first fragments match by their L4 ports, too; nothing that misses a table is sent to us.

    Else a guest would get past what forbids it a port by cutting its packets: Open vSwitch takes the ports of all fragments for 0 unless
    told OFPC_FRAG_NX_MATCH (set-frags in ovs-ofctl(8)).
    """
    return _HEADER.pack(OFP_VERSION, OFPT_SET_CONFIG, 12, xid) + _SET_CONFIG.pack(_OFPC_FRAG_NX_MATCH, 0)


def meter_mod(xid: int, meter: Meter) -> bytes:
    """Return the message that adds a meter, which drops what exceeds a rate; a burst lasts at most a second.

    A switch that has the meter answers with an error.  Source: OpenFlow 1.3.5 section 7.3.4.5.
    """
    flags = 1 << 1 | 1 << 2  # OFPMF_PKTPS, OFPMF_BURST
    body = _METER_MOD.pack(0, flags, meter.id) + _METER_BAND_DROP.pack(1, 16, meter.packets_per_s, meter.packets_per_s)
    return _HEADER.pack(OFP_VERSION, OFPT_METER_MOD, 8 + len(body), xid) + body


def packet_out(xid: int, ofport: int, data: bytes) -> bytes:
    """Return the message that sends a packet out of a port.  Source: OpenFlow 1.3.5 section 7.3.7."""
    action = serialize_action(Output(ofport))
    body = _PACKET_OUT.pack(ANY, CONTROLLER, len(action)) + action + data
    return _HEADER.pack(OFP_VERSION, OFPT_PACKET_OUT, 8 + len(body), xid) + body


def delete_flow(xid: int, table: int, priority: int, match: bytes) -> bytes:
    """Return the message that deletes one flow, if it is ours."""
    return flow_mod(xid, OFPFC_DELETE_STRICT, table, priority, match, COOKIE_PREFIX, COOKIE_PREFIX_MASK)


def delete_flows(xid: int, cookie: int) -> bytes:
    """Return the message that deletes all flows with a cookie."""
    return flow_mod(xid, OFPFC_DELETE, OFPTT_ALL, 0, _EMPTY_MATCH, cookie, COOKIE_MASK)


def with_cookie(message: bytes, cookie: int) -> bytes:
    """Return a FLOW_MOD that modifies or deletes, limited to flows with a cookie."""
    return message[:8] + cookie.to_bytes(8, "big") + COOKIE_MASK.to_bytes(8, "big") + message[24:]


def bundle(xid: int, bundle_id: int, messages: Iterable[bytes]) -> bytes:
    """Return an atomic, ordered bundle: open, the messages, commit.  All carry `xid`, and so do the switch's replies and errors."""
    parts = [_bundle_control(xid, bundle_id, BUNDLE_OPEN_REQUEST)]
    for message in messages:
        size = 24 + len(message)
        parts.append(_BUNDLE_ADD.pack(OFP_VERSION, OFPT_EXPERIMENTER, size, xid, ONF_VENDOR, _ONF_ET_BUNDLE_ADD, bundle_id, _BUNDLE_FLAGS))
        parts.append(message)
    parts.append(_bundle_control(xid, bundle_id, BUNDLE_COMMIT_REQUEST))
    return b"".join(parts)


def _bundle_control(xid: int, bundle_id: int, kind: int) -> bytes:
    return _BUNDLE_CONTROL.pack(OFP_VERSION, OFPT_EXPERIMENTER, 24, xid, ONF_VENDOR, ONF_ET_BUNDLE_CONTROL, bundle_id, kind, _BUNDLE_FLAGS)


def flow_stats_request(
    xid: int,
    cookie: int,
    cookie_mask: int,
    table: int = OFPTT_ALL,
    out_port: int = ANY,
    out_group: int = ANY,
    match: bytes = _EMPTY_MATCH,
) -> bytes:
    """Ask for all flows whose cookie matches; of a table, with an output, with the fields of a match, where those are given."""
    body = _FLOW_STATS_REQUEST.pack(OFPMP_FLOW, 0, table, out_port, out_group, cookie, cookie_mask) + match
    return _HEADER.pack(OFP_VERSION, OFPT_MULTIPART_REQUEST, 8 + len(body), xid) + body


def port_stats_request(xid: int, ofport: int) -> bytes:
    """Ask for the counters of one port."""
    body = _PORT_STATS_REQUEST.pack(OFPMP_PORT_STATS, 0, ofport)
    return _HEADER.pack(OFP_VERSION, OFPT_MULTIPART_REQUEST, 8 + len(body), xid) + body
