"""What is under way between the desired table and the agent's."""

from ipaddress import IPv4Network

from nvo3.cvsw.flow import Flow
from nvo3.cvsw.plan import Plan
from nvo3.cvsw.window import SEND_WINDOW
from nvo3.wire import cvsw
from nvo3.wire.of10_error import Code
from nvo3.wire.of10_match import Match

MAC = bytes.fromhex("020000000001")
FIRST = 0xFFFFFFF0


def plan_of(*flows: Flow) -> Plan:
    plan = Plan(MAC)
    plan.max_entries = 10_000
    plan.number_from(FIRST)
    plan.begin(())
    plan.want(flows, ())
    return plan


def sent(plan: Plan, n: int = 1000) -> list[tuple[int, str, int | None, int]]:
    """Return number, kind, in_port and cookie of what is to be sent now."""
    messages = [cvsw.parse(cvsw.parse_frame(frame)) for frame in plan.take(n)]
    plan.sent_before(1)
    mods = [message.flow_mod for message in messages if isinstance(message, cvsw.SetEntry | cvsw.DeleteEntry)]
    return [(mod.xid, mod.command.name, mod.match.in_port, mod.cookie) for mod in mods]


def reply(*xids: int, base: int = FIRST, refused: int = 0) -> cvsw.BarrierReply:
    received = sum(1 << (xid - base & 0xFFFFFFFF) for xid in xids)
    return cvsw.BarrierReply(1, cvsw.Status(1, 2, 3, 4), base, received, refused)


def test_key_has_one_message_under_way() -> None:
    """Two could arrive in the other order."""
    plan = plan_of(Flow(Match(in_port=1), cookie=1))
    assert sent(plan) == [(FIRST, "ADD", 1, 1)]
    plan.want([Flow(Match(in_port=1), cookie=2), Flow(Match(in_port=2), cookie=2)], ())
    assert sent(plan) == [(FIRST + 1, "ADD", 2, 2)]
    plan.settle(reply(FIRST))
    assert sent(plan) == [(FIRST + 2, "ADD", 1, 2)]


def test_flow_that_is_unwanted_while_under_way_is_deleted_afterwards() -> None:
    plan = plan_of(Flow(Match(in_port=1)))
    sent(plan)
    plan.want((), [Flow(Match(in_port=1)).key])
    assert sent(plan) == []
    plan.settle(reply(FIRST))
    assert sent(plan) == [(FIRST + 1, "DELETE_STRICT", 1, 0)]
    plan.settle(reply(FIRST, FIRST + 1))
    assert plan.is_idle
    assert plan.present == {}


def test_lost_message_is_sent_again_as_it_was() -> None:
    plan = plan_of(Flow(Match(in_port=1)), Flow(Match(in_port=2)))
    frames = plan.take(10)
    plan.sent_before(1)
    assert plan.settle(reply(FIRST + 1)) == ([], [frames[0]])
    assert plan.settle(reply(FIRST + 1)) == ([], []), "not before the next barrier"
    plan.sent_before(2)
    assert plan.base == FIRST


def test_window_ends_at_the_first_that_is_not_settled() -> None:
    plan = plan_of(*(Flow(Match(in_port=i)) for i in range(2 * SEND_WINDOW)))
    numbers = [number for number, *_ in sent(plan)]
    assert numbers == [FIRST + i & 0xFFFFFFFF for i in range(SEND_WINDOW)]
    plan.settle(reply(*numbers[1:]))
    assert sent(plan) == []
    plan.settle(reply(*numbers))
    assert len(sent(plan)) == SEND_WINDOW


def test_refused_flow_is_tried_again_later_or_when_it_changes() -> None:
    plan = plan_of(Flow(Match(in_port=1)))
    sent(plan)
    assert plan.refuse(FIRST, 100.0) == Flow(Match(in_port=1))
    assert plan.refuse(FIRST, 100.0) is None
    assert plan.is_idle
    assert plan.next_retry == 130.0
    plan.retry(129.0)
    assert plan.is_idle
    plan.retry(130.0)
    assert sent(plan) == [(FIRST + 1, "ADD", 1, 0)]
    plan.refuse(FIRST + 1, 130.0)
    plan.want([Flow(Match(in_port=1), cookie=1)], ())
    assert sent(plan) == [(FIRST + 2, "ADD", 1, 1)]


def test_flow_without_room_is_tried_again_when_another_is_gone() -> None:
    """One for each that is gone, and not those that were refused for another reason."""
    plan = plan_of(*(Flow(Match(in_port=i)) for i in range(5)))
    sent(plan)
    plan.settle(reply(FIRST, FIRST + 1))
    plan.refuse(FIRST + 2, 100.0, Code.BAC_BAD_ARGUMENT)
    plan.refuse(FIRST + 3, 100.0, Code.FMFC_ALL_TABLES_FULL)
    plan.refuse(FIRST + 4, 100.0, Code.FMFC_ALL_TABLES_FULL)
    assert plan.is_idle
    plan.want((), [Flow(Match(in_port=0)).key])
    assert sent(plan) == [(FIRST + 5, "DELETE_STRICT", 0, 0)]
    plan.settle(reply(FIRST + 5))
    assert sent(plan) == [(FIRST + 6, "ADD", 3, 0)]
    assert plan.accepted == []
    plan.settle(reply(FIRST + 6))
    assert plan.accepted == [Flow(Match(in_port=3))]
    assert plan.is_idle and plan.next_retry == 130.0


def test_exact_flows_of_two_priorities_are_one() -> None:
    exact = Match(1, MAC, MAC, 1, 0, 0x88B5, 0, 0, tp_src=0, tp_dst=0)
    assert Flow(exact, 1).key != Flow(exact, 2).key, "addresses are wildcards"
    whole = Match(1, MAC, MAC, 1, 0, 0x88B5, 0, 0, IPv4Network("0.0.0.0/32"), IPv4Network("0.0.0.0/32"), 0, 0)
    assert Flow(whole, 1).key == Flow(whole, 2).key
