"""Flows on our bridges that somebody else put there, by `ofctl_rest` or ovs-ofctl: shown, left alone, removed when that is asked for.

A flow of ours has a cookie with our prefix; all others are foreign.  A sync reads and touches ours only, so a foreign one stays, but for
one that stands in the place of ours: same table, priority and match.  Changes that a user asks of a bridge of ours pass through `send`,
which keeps them from the overlay's flows, its meters and its role.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from nvo3.model.errors import Conflict, Unavailable
from nvo3.openflow import decoder, encoder
from nvo3.openflow.decoder import FlowMod, InstalledFlow
from nvo3.openflow.session import Statistics
from nvo3.pipeline.flow import METER_MAX

_TIMEOUT_S = 30.0  # there may be very many flows
_STRICT = (encoder.OFPFC_ADD, encoder.OFPFC_MODIFY_STRICT, encoder.OFPFC_DELETE_STRICT)


class Live(Protocol):
    """What is needed of `connection.LiveSession`."""

    session: Any
    datapath: Any
    outbox: Any

    def next_xid(self) -> int: ...

    def ask(self, queries: Iterable[tuple[int, bytes]], timeout_s: float) -> list[Statistics] | None: ...


def remove(live: Live) -> None:
    """Remove the foreign flows; return when they are gone.  Raises Unavailable where the switch does not answer in time."""
    flows = _ask(live, live.session.request_all_flows())
    cookies = {flow.cookie for flow in flows if not encoder.is_our_cookie(flow.cookie)}
    if cookies:
        xid = live.next_xid()
        live.outbox.put(b"".join(encoder.delete_flows(xid, cookie) for cookie in cookies))
        _ask(live, live.session.request_all_flows())  # a switch answers in order


def _ask(live: Live, query: tuple[int, bytes]) -> tuple[InstalledFlow, ...]:
    answers = live.ask([query], _TIMEOUT_S)
    if answers is None:
        raise Unavailable(f"switch {live.datapath.id:016x} did not answer within {_TIMEOUT_S:g} s")
    return answers[0].flows


def send(live: Live, message: bytes) -> None:
    """Send a message of a user to a bridge of ours.

    What deletes or modifies all flows that match does so to foreign ones only.  Raises Conflict for what names the overlay's own.
    """
    match message[1]:
        case encoder.OFPT_FLOW_MOD:
            change = decoder.flow_mod(message)
            live.outbox.put(b"".join(confined(message, change, _ask(live, live.session.request_affected(change)))))
            return
        case encoder.OFPT_METER_MOD:
            meter = int.from_bytes(message[12:16], "big")
            if meter <= METER_MAX or meter == encoder.ANY:
                raise Conflict(f"those up to {METER_MAX} of this bridge are the overlay's", "meter_id", meter)
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
    return [encoder.with_cookie(message, cookie) for cookie in {flow.cookie for flow in affected} if not encoder.is_our_cookie(cookie)]
