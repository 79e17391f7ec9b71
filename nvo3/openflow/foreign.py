"""Flows on our bridges that somebody else put there, by `ofctl_rest` or ovs-ofctl: shown, left alone, removed when that is asked for.

A flow of ours has a cookie with our prefix; all others are foreign.  A sync reads and touches ours only, so a foreign one stays, but for
one that stands in the place of ours: same table, priority and match.  Changes that a user asks of a bridge of ours pass through `send`,
which keeps them from the overlay's flows, its meters and its role.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from os_ken.lib import ofctl_v1_3
from os_ken.ofproto import ofproto_v1_3_parser

from nvo3.model.errors import Conflict, Unavailable
from nvo3.model.status import ForeignFlow
from nvo3.openflow import decoder, encoder
from nvo3.openflow.decoder import FlowMod, InstalledFlow
from nvo3.openflow.session import Statistics

LOG = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_METER_MAX = 0xFFFF  # our meters have the numbers of ports
_STRICT = (encoder.OFPFC_ADD, encoder.OFPFC_MODIFY_STRICT, encoder.OFPFC_DELETE_STRICT)
_NS = 10**9


class Live(Protocol):
    """What is needed of `connection.LiveSession`."""

    session: Any
    datapath: Any
    outbox: Any

    def next_xid(self) -> int: ...

    def ask(self, queries: Iterable[tuple[int, bytes]], timeout_s: float) -> list[Statistics] | None: ...


def flows_of(live: Live, timeout_s: float = _TIMEOUT_S) -> list[InstalledFlow]:
    """Ask a switch for its foreign flows.  Raises Unavailable where it does not answer in time."""
    answers = live.ask([live.session.request_all_flows()], timeout_s)
    if answers is None:
        raise Unavailable(f"switch {live.datapath.id:016x} did not answer within {timeout_s:g} s")
    return [flow for flow in answers[0].flows if not encoder.is_our_cookie(flow.cookie)]


def remove(live: Live, flows: Iterable[InstalledFlow]) -> None:
    """Remove foreign flows, but no flow that has taken the place of one since."""
    for flow in flows:
        live.outbox.put(_strict(live.next_xid(), encoder.OFPFC_DELETE_STRICT, flow))


def send(live: Live, message: bytes) -> None:
    """Send a message of a user to a bridge of ours.

    What deletes or modifies all flows that match does so to foreign ones only.  Raises Conflict for what names the overlay's own.
    """
    match message[1]:
        case encoder.OFPT_FLOW_MOD:
            change = decoder.flow_mod(message)
            answers = live.ask([live.session.request_affected(change)], _TIMEOUT_S)
            if answers is None:
                raise Unavailable(f"switch {live.datapath.id:016x} did not answer within {_TIMEOUT_S:g} s")
            live.outbox.put(b"".join(confined(message, change, answers[0].flows)))
            return
        case encoder.OFPT_METER_MOD:
            meter = int.from_bytes(message[12:16], "big")
            if meter <= _METER_MAX or meter == encoder.ANY:
                raise Conflict(f"those up to {_METER_MAX} of this bridge are the overlay's", "meter_id", meter)
        case encoder.OFPT_ROLE_REQUEST if message[8:12] != bytes(4):
            raise Conflict("the controller needs the role that it has at this bridge")
        case encoder.OFPT_EXPERIMENTER:
            raise Conflict("this bridge takes none but the overlay's experimenter messages")
    live.outbox.put(message)


def confined(message: bytes, change: FlowMod, affected: Sequence[InstalledFlow]) -> list[bytes]:
    """Return the messages that do of a change what concerns foreign flows.  affected: those that it may concern.  Raises Conflict."""
    if change.command == encoder.OFPFC_ADD and encoder.is_our_cookie(change.cookie):
        raise Conflict(f"those with {encoder.COOKIE_PREFIX >> 32:#x} in the upper half are the overlay's", "cookie", change.cookie)
    ours = [flow for flow in affected if encoder.is_our_cookie(flow.cookie)]
    if change.command in _STRICT:
        place = (change.priority, decoder.canonical_match(change.match))
        if any((flow.key.priority, flow.key.match) == place for flow in ours):
            raise Conflict("the flow with this table, priority and match is the overlay's")
        return [message]
    if not ours:
        return [message]
    xid = int.from_bytes(message[4:8], "big")
    foreign = (flow for flow in affected if not encoder.is_our_cookie(flow.cookie))
    return [_strict(xid, change.command + 1, flow, change.instructions) for flow in foreign]


def _strict(xid: int, command: int, flow: InstalledFlow, instructions: bytes = b"") -> bytes:
    key = flow.key
    return encoder.flow_mod(xid, command, key.table, key.priority, decoder.told_match(flow), flow.cookie, encoder.COOKIE_MASK, instructions)


def describe(flow: InstalledFlow) -> ForeignFlow:
    """Return a foreign flow in words: those of `ofctl_rest`."""
    try:
        told = ofproto_v1_3_parser.OFPFlowStats.parser(flow.entry, 0)
        match = ",".join(f"{name}={value}" for name, value in ofctl_v1_3.match_to_str(told.match).items())
        actions = ",".join(map(str, ofctl_v1_3.actions_to_str(told.instructions)))
    except Exception as error:  # os-ken does not know all that Open vSwitch has
        LOG.debug("flow %s: %s", flow.entry.hex(), error, exc_info=True)
        match, actions = f"0x{decoder.told_match(flow).hex()}", f"0x{flow.instructions.hex()}"
        return ForeignFlow(flow.key.table, flow.key.priority, flow.cookie, match, actions, flow.n_packets, flow.n_bytes)
    age_s = told.duration_sec + told.duration_nsec / _NS
    return ForeignFlow(flow.key.table, flow.key.priority, flow.cookie, match, actions, flow.n_packets, flow.n_bytes, age_s)
