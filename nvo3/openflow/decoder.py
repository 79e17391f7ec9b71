"""Replies of a switch to what `encoder` asked, OpenFlow 1.3.

Sources: OpenFlow 1.3.5 sections 7.3.5.2 (flow statistics), 7.3.5.6 (port statistics), 7.4.1 (errors); ONF extension 230 (bundles).
A reply that breaks its own lengths raises Malformed; the caller gives up the connection.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from nvo3.openflow import oxm
from nvo3.openflow.encoder import BUNDLE_COMMIT_REPLY, ONF_ET_BUNDLE_CONTROL, ONF_VENDOR, is_our_cookie
from nvo3.pipeline.flow import Field

_MULTIPART = struct.Struct("!8xHH4x")
_FLOW_STATS = struct.Struct("!HBxIIHHHH4xQQQ")
_FLOW_MOD = struct.Struct("!8xQQBBHHHIIIHxx")
_COUNTERS, _COUNTERS_AT = struct.Struct("!QQ"), 32  # of a flow
_MATCH = struct.Struct("!HH")
_PORT_STATS = struct.Struct("!I4xQQQQQQQQ")
_BUNDLE_CONTROL = struct.Struct("!8xIIIHH")
_ERROR = struct.Struct("!8xHH")
_TYPE_SIZE = struct.Struct("!HH")  # of an instruction, of an action
_OFPIT_APPLY_ACTIONS = 4
_OFPAT_OUTPUT, _OFPAT_SET_FIELD = 0, 25
_TUN_DST = oxm.serialize_value(Field.TUN_IPV4_DST, 0)[:4]
_PACKET_IN = struct.Struct("!8xIHBBQ")
_IN_PORT = bytes((0x80, 0, 0, 4))  # OXM header of Field.IN_PORT
_MORE = 1


class Malformed(Exception):
    """The switch sent a message that contradicts itself."""


class WireKey(NamedTuple):
    """A flow's identity on the wire.  match: ofp_match with its fields in canonical order, padded."""

    table: int
    priority: int
    match: bytes


@dataclass(frozen=True, slots=True)
class InstalledFlow:
    """A flow as the switch reports it.

    plain: without timeouts and flags, as all of ours are.  entry: all that the switch said, of a flow that is not ours.
    """

    key: WireKey
    cookie: int
    instructions: bytes
    n_packets: int
    n_bytes: int
    plain: bool
    entry: bytes = b""


@dataclass(frozen=True, slots=True)
class FlowMod:
    """Which flows a FLOW_MOD concerns, and how.  match: as serialized."""

    command: int
    table: int
    priority: int
    match: bytes
    cookie: int
    cookie_mask: int
    out_port: int
    out_group: int


@dataclass(frozen=True, slots=True)
class PortStats:
    """Counters of one OpenFlow port, from the switch's point of view."""

    ofport: int
    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int


def multipart(message: bytes) -> tuple[int, bool, memoryview]:
    """Return the type of a multipart reply, whether more follow, and its body."""
    if len(message) < _MULTIPART.size:
        raise Malformed(f"multipart reply of {len(message)} bytes; at least {_MULTIPART.size}")
    kind, flags = _MULTIPART.unpack_from(message)
    return kind, bool(flags & _MORE), memoryview(message)[_MULTIPART.size :]


class CountedFlow(NamedTuple):
    """A flow that has seen a packet, as the switch reports it.  identity: all of the report that stays the same."""

    identity: bytes
    n_packets: int
    n_bytes: int

    def decode(self) -> InstalledFlow:
        """Return what it is.  Raises Malformed."""
        head, rest = self.identity[:4] + bytes(8) + self.identity[4:24], self.identity[24:]
        return _flow_stats_entry(head + _COUNTERS.pack(self.n_packets, self.n_bytes) + rest)


def counted_flows(body: memoryview) -> Iterator[CountedFlow]:
    """Yield the flows of a flow statistics reply's body that have seen a packet, as they are: ten times as fast as `flow_stats`."""
    for entry in _flow_stats_entries(body):
        n_packets, n_bytes = _COUNTERS.unpack_from(entry, _COUNTERS_AT)
        if n_packets:
            yield CountedFlow(entry[:4] + entry[12:_COUNTERS_AT] + entry[_FLOW_STATS.size :], n_packets, n_bytes)


def flow_stats(body: memoryview) -> Iterator[InstalledFlow]:
    """Yield the flows of a flow statistics reply's body."""
    for entry in _flow_stats_entries(body):
        yield _flow_stats_entry(entry)


def _flow_stats_entries(body: memoryview) -> Iterator[bytes]:
    offset = 0
    while offset < len(body):
        if len(body) - offset < _FLOW_STATS.size + 8:
            raise Malformed(f"flow statistics are cut off at byte {offset} of {len(body)}")
        size = int.from_bytes(body[offset : offset + 2], "big")
        if size < _FLOW_STATS.size + 8 or size > len(body) - offset:
            raise Malformed(f"flow statistics entry of {size} bytes at byte {offset} of {len(body)}")
        yield bytes(body[offset : offset + size])
        offset += size


def _flow_stats_entry(entry: bytes) -> InstalledFlow:
    _, table, _, _, priority, idle, hard, flags, cookie, n_packets, n_bytes = _FLOW_STATS.unpack_from(entry)
    start = _FLOW_STATS.size
    _, match_size = _MATCH.unpack_from(entry, start)
    padded = (match_size + 7) & ~7
    if match_size < 4 or start + padded > len(entry):
        raise Malformed(f"match of {match_size} bytes in a flow statistics entry of {len(entry)}")
    key = WireKey(table, priority, canonical_match(entry[start : start + padded]))
    plain = not (idle or hard or flags)
    kept = b"" if is_our_cookie(cookie) else entry
    return InstalledFlow(key, cookie, entry[start + padded :], n_packets, n_bytes, plain, kept)


def canonical_match(match: bytes) -> bytes:
    """Return an ofp_match, padded, with its fields in canonical order.  Raises Malformed."""
    _, size = _MATCH.unpack_from(match)
    try:
        return match[:4] + oxm.canonical(match[4:size]) + match[size:]
    except ValueError as error:
        raise Malformed(str(error)) from None


def match_values(match: bytes) -> dict[Field, int]:
    """Return the exact fields of a `WireKey.match`."""
    return oxm.values(match[4 : _MATCH.unpack_from(match)[1]])


@lru_cache(maxsize=1 << 14)
def tunnel_outputs(instructions: bytes) -> tuple[tuple[int, int], ...]:
    """Return the ports that a flow of ours sends to after it has set a tunnel's destination, each with that IPv4 address."""
    found: list[tuple[int, int]] = []
    for kind, start, end in _parts(instructions, 0, len(instructions)):
        vtep_ip = None
        for action, at, _ in _parts(instructions, start + 8, end) if kind == _OFPIT_APPLY_ACTIONS else ():
            if action == _OFPAT_SET_FIELD and instructions[at + 4 : at + 8] == _TUN_DST:
                vtep_ip = int.from_bytes(instructions[at + 8 : at + 12], "big")
            elif action == _OFPAT_OUTPUT and vtep_ip is not None:
                found.append((int.from_bytes(instructions[at + 4 : at + 8], "big"), vtep_ip))
                vtep_ip = None
    return tuple(found)


def _parts(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, start and end of each instruction, or each action."""
    while start + _TYPE_SIZE.size <= end:
        kind, size = _TYPE_SIZE.unpack_from(data, start)
        if size < 8 or start + size > end:
            raise Malformed(f"instruction or action of {size} bytes at byte {start} of {end}")
        yield kind, start, start + size
        start += size


def port_stats(body: memoryview) -> Iterator[PortStats]:
    """Yield the ports of a port statistics reply's body."""
    for offset in range(0, len(body) - 111, 112):
        ofport, rx, tx, rx_bytes, tx_bytes, rx_dropped, tx_dropped, _, _ = _PORT_STATS.unpack_from(body, offset)
        yield PortStats(ofport, rx, tx, rx_bytes, tx_bytes, rx_dropped, tx_dropped)


def is_commit_reply(message: bytes) -> bool:
    """Tell whether an experimenter message confirms a bundle."""
    if len(message) < _BUNDLE_CONTROL.size:
        return False
    vendor, kind, _, control, _ = _BUNDLE_CONTROL.unpack_from(message)
    return bool(vendor == ONF_VENDOR and kind == ONF_ET_BUNDLE_CONTROL and control == BUNDLE_COMMIT_REPLY)


def flow_mod(message: bytes) -> FlowMod:
    """Return what a FLOW_MOD says (OpenFlow 1.3.5 section 7.3.4.1).  It is one that somebody here made, and whole."""
    cookie, cookie_mask, table, command, _, _, priority, _, out_port, out_group, _ = _FLOW_MOD.unpack_from(message)
    start = _FLOW_MOD.size
    _, match_size = _MATCH.unpack_from(message, start)
    end = start + ((match_size + 7) & ~7)
    return FlowMod(command, table, priority, message[start:end], cookie, cookie_mask, out_port, out_group)


def packet_in(message: bytes) -> tuple[int, int, bytes]:
    """Return the table, the port and the packet of a PACKET_IN that holds it whole (OpenFlow 1.3.5 section 7.4.1)."""
    start = _PACKET_IN.size
    if len(message) < start + 8:
        raise Malformed(f"PACKET_IN of {len(message)} bytes; at least {start + 8}")
    _, size, _, table, _ = _PACKET_IN.unpack_from(message)
    _, match_size = _MATCH.unpack_from(message, start)
    data = start + ((match_size + 7) & ~7) + 2
    if match_size < 4 or data > len(message) or size > len(message) - data:
        raise Malformed(f"PACKET_IN of {len(message)} bytes with a match of {match_size} and a packet of {size}")
    try:
        fields = oxm.canonical(message[start + 4 : start + match_size])
    except ValueError as error:
        raise Malformed(str(error)) from None
    if not fields.startswith(_IN_PORT) or len(fields) < 8:
        raise Malformed("PACKET_IN without in_port")
    return table, int.from_bytes(fields[4:8], "big"), message[data:]


def error(message: bytes) -> tuple[int, int]:
    """Return type and code of an error message."""
    if len(message) < _ERROR.size:
        raise Malformed(f"error message of {len(message)} bytes; at least {_ERROR.size}")
    kind, code = _ERROR.unpack_from(message)
    return kind, code
