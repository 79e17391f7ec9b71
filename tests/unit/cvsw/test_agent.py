"""The agent's session: states, what it refuses and what it drops."""

import pytest

from nvo3.cvsw.agent import AgentSession
from nvo3.cvsw.controller import farewell
from nvo3.cvsw.effect import DeviceRefused, Received, Send, SetMtu, SetOffload, State, StateChanged, Tick
from nvo3.cvsw.table import FlowTable
from nvo3.wire import cvsw, of10
from nvo3.wire.cvsw import CAPABILITIES, NOT_SET, Capability, Offload
from nvo3.wire.of10 import Command, FlowMod
from nvo3.wire.of10_action import Output
from nvo3.wire.of10_error import Code
from nvo3.wire.of10_match import Match, Tunnel, TunnelMatch

MAC = bytes.fromhex("020000000001")
ORIGINAL = cvsw.Hello()
HELLO = cvsw.Hello(CAPABILITIES)
SESSION = 0x11223344


def flow_mod(in_port: int = 1, xid: int = 0, command: Command = Command.ADD, **fields: object) -> FlowMod:
    return FlowMod(command, Match(in_port=in_port), 100, (Output(2),), xid=xid, **fields)  # type: ignore[arg-type]


class Agent:
    """A session, told messages and asked for those it sends."""

    def __init__(self, *messages: cvsw.Message, max_entries: int = 8) -> None:
        self.session = AgentSession(MAC, FlowTable(max_entries), 77)
        self.now = 0.0
        for message in messages:
            self.tell(message)

    def tell(self, message: cvsw.Message, *, published: bool = False) -> list[object]:
        return self.tell_bytes(cvsw.serialize(MAC, message, published=published))

    def tell_bytes(self, frame: bytes) -> list[object]:
        return self.effects(self.session.handle(Received(frame), self.now))

    def effects(self, effects: list) -> list[object]:
        return [cvsw.parse(cvsw.parse_frame(effect.frame)) if isinstance(effect, Send) else effect for effect in effects]

    @property
    def in_ports(self) -> set[int | None]:
        return {entry.flow.match.in_port for entry in self.session.table}


@pytest.fixture
def agent() -> Agent:
    """One that our controller has begun a session with; FLOW_MODs are numbered from 0."""
    return Agent(HELLO, cvsw.BarrierRequest(1, SESSION, 0))


def code_of(effects: list[object]) -> tuple[Code | None, int]:
    [error] = [effect.error for effect in effects if isinstance(effect, cvsw.Error)]
    return Code.find(error.error_type, error.code), error.xid


# States


def test_states_of_the_published_driver() -> None:
    agent = Agent()
    assert agent.session.state is State.DISCONNECTED
    assert agent.tell(cvsw.SetEntry(flow_mod())) == []
    assert agent.tell(cvsw.ChangeMtu(1400)) == []
    assert (agent.session.state, agent.in_ports, agent.session.drops["disconnected"]) == (State.DISCONNECTED, set(), 2)
    assert agent.tell(ORIGINAL) == [StateChanged(State.CONNECTING), cvsw.Register(CAPABILITIES, 77, 8, True)]
    assert agent.tell(cvsw.SetEntry(flow_mod())) == [StateChanged(State.CONNECTED)]
    assert agent.in_ports == {1}


@pytest.mark.parametrize("message", [cvsw.SetEntry(flow_mod()), cvsw.ChangeMtu(1400), cvsw.ChangeOffload(Offload.TSO)])
def test_what_connects(message: cvsw.Message) -> None:
    assert StateChanged(State.CONNECTED) in Agent(ORIGINAL).tell(message)


def test_deletion_does_not_connect() -> None:
    agent = Agent(ORIGINAL)
    assert agent.tell(cvsw.DeleteEntry(flow_mod(command=Command.DELETE_STRICT))) == []
    assert agent.session.state is State.CONNECTING


@pytest.mark.parametrize("hello", [ORIGINAL, HELLO])
def test_second_hello_is_answered_and_leaves_the_table_alone(hello: cvsw.Hello) -> None:
    agent = Agent(ORIGINAL, cvsw.SetEntry(flow_mod()))
    assert agent.tell(hello) == [cvsw.Register(CAPABILITIES, 77, 8, True)]
    assert (agent.session.state, agent.in_ports) == (State.CONNECTED, {1})


def test_announces_itself_until_a_hello_comes() -> None:
    agent = Agent()
    times = []
    while len(times) < 7:
        agent.now = max(agent.now, agent.session.next_deadline)
        times.append(agent.now)
        assert agent.effects(agent.session.handle(Tick(), agent.now)) == [cvsw.Register(CAPABILITIES, 77, 8, False)]
    assert times == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0]
    agent.tell(ORIGINAL)
    assert agent.session.next_deadline is None


def test_announces_itself_again_where_our_controller_is_silent(agent: Agent) -> None:
    agent.tell(cvsw.SetEntry(flow_mod()))
    agent.now = agent.session.next_deadline
    assert agent.now == 20.0
    assert agent.effects(agent.session.handle(Tick(), agent.now)) == [cvsw.Register(CAPABILITIES, 77, 8, True)]
    assert (agent.session.state, agent.in_ports) == (State.CONNECTED, {1})


# An original controller


def test_farewell_empties_the_table_whatever_the_session(agent: Agent) -> None:
    session = agent.session
    for xid, in_port in enumerate((1, 2)):
        session.table.apply(flow_mod(in_port, xid), 0.0)
    session.table.apply(FlowMod(Command.ADD, Match(tunnel=TunnelMatch(Tunnel.STT, 5001, 24)), 7), 0.0)
    assert len(session.table) == 3
    for _ in range(2):
        for frame in farewell(MAC):
            session.handle(Received(frame), 1.0)
        assert len(session.table) == 0


def test_original_controller_gets_no_types_of_ours() -> None:
    agent = Agent(ORIGINAL)
    bad = cvsw.Frame(MAC, cvsw.Type.SET_ENTRY, 0, b"\1").serialize()
    assert agent.tell_bytes(bad) == []
    assert agent.session.drops["brc_bad_len"] == 1
    assert agent.tell(cvsw.BarrierRequest(1, 2, 3)) == []
    agent.tell(cvsw.SetEntry(flow_mod(hard_timeout=1, flags=of10.FLAG_SEND_FLOW_REM)))
    assert agent.session.handle(Tick(), 5.0) == []
    assert agent.in_ports == set()


def test_original_controller_speaks_the_published_form() -> None:
    agent = Agent(ORIGINAL)
    match = Match(in_port=2, tunnel=TunnelMatch(Tunnel.GENEVE, 5001))
    agent.tell(cvsw.SetEntry(FlowMod(Command.ADD, match)), published=True)
    assert [entry.flow.match for entry in agent.session.table] == [match]


def test_original_controller_repeats_itself() -> None:
    agent = Agent(ORIGINAL)
    for _ in range(3):
        agent.tell(cvsw.SetEntry(flow_mod()))
    assert len(agent.session.table) == 1
    agent.tell(cvsw.DeleteEntry(flow_mod(command=Command.DELETE_STRICT)))
    assert agent.in_ports == set()


# MTU and offloads


def test_mtu_and_offloads(agent: Agent) -> None:
    assert agent.tell(cvsw.ChangeMtu(1450)) == [StateChanged(State.CONNECTED), SetMtu(1450)]
    assert agent.tell(cvsw.ChangeOffload(Offload.TSO | Offload.CSUM)) == [SetOffload(Offload.TSO | Offload.CSUM)]
    [reply] = agent.tell(cvsw.EchoRequest(9))
    assert reply == cvsw.EchoReply(9, cvsw.Status(SESSION, 77, 0, 0, 1450, 3))


def test_off_means_off(agent: Agent) -> None:
    for _ in range(2):
        assert agent.tell(cvsw.ChangeOffload(Offload(0)))[-1:] == [SetOffload(Offload(0))]


def test_mtu_that_is_none(agent: Agent) -> None:
    assert code_of(agent.tell(cvsw.ChangeMtu(575))) == (Code.BRC_EPERM, 0)
    assert agent.session.mtu == NOT_SET


@pytest.mark.parametrize("message", [cvsw.ChangeMtu(9000), cvsw.ChangeOffload(Offload.TSO)])
def test_setting_that_the_device_refuses(agent: Agent, message: cvsw.ChangeMtu | cvsw.ChangeOffload) -> None:
    agent.tell(message)
    [error] = agent.effects(agent.session.handle(DeviceRefused(message), 0.0))
    assert error == cvsw.Error(of10.Error(1, 5, cvsw.serialize(MAC, message)))
    assert (agent.session.mtu, agent.session.offload) == (NOT_SET, NOT_SET)


# FLOW_MODs by number


def bits(agent: Agent, base: int = 0, seq: int = 2) -> tuple[int, int]:
    [reply] = agent.tell(cvsw.BarrierRequest(seq, SESSION, base))
    return reply.received, reply.refused


def test_barrier_tells_what_has_arrived(agent: Agent) -> None:
    for xid in (0, 3, 511):
        agent.tell(cvsw.SetEntry(flow_mod(xid, xid)))
    assert bits(agent) == (1 << 511 | 1 << 3 | 1, 0)
    assert bits(agent, base=2) == (1 << 509 | 1 << 1, 0)


def test_each_number_counts_once(agent: Agent) -> None:
    agent.tell(cvsw.SetEntry(flow_mod(1, 0)))
    agent.tell(cvsw.DeleteEntry(flow_mod(1, 1, Command.DELETE_STRICT)))
    agent.tell(cvsw.SetEntry(flow_mod(1, 0)))
    assert agent.in_ports == set(), "a late copy must not bring back what was deleted"
    agent.tell(cvsw.BarrierRequest(2, SESSION, 2))
    agent.tell(cvsw.SetEntry(flow_mod(1, 1)))
    agent.tell(cvsw.SetEntry(flow_mod(1, 2 + cvsw.WINDOW)))
    assert (agent.in_ports, agent.session.drops["repeated"]) == (set(), 3)


def test_numbers_come_round() -> None:
    agent = Agent(HELLO, cvsw.BarrierRequest(1, SESSION, 0xFFFFFFFF))
    agent.tell(cvsw.SetEntry(flow_mod(1, 0xFFFFFFFF)))
    agent.tell(cvsw.SetEntry(flow_mod(2, 0)))
    assert agent.in_ports == {1, 2}
    assert bits(agent, 0xFFFFFFFF) == (3, 0)
    assert bits(agent, 0) == (1, 0)


def test_old_barrier_does_not_move_the_window(agent: Agent) -> None:
    agent.tell(cvsw.SetEntry(flow_mod(1, 0)))
    bits(agent, base=1)
    [reply] = agent.tell(cvsw.BarrierRequest(1, SESSION, 0))
    assert (reply.base, reply.received) == (1, 0)


def test_former_session_is_over(agent: Agent) -> None:
    agent.tell(cvsw.BarrierRequest(1, SESSION + 1, 1000))
    assert agent.tell(cvsw.BarrierRequest(9, SESSION, 0)) == []
    agent.tell(cvsw.SetEntry(flow_mod(1, 0)))
    assert agent.in_ports == set()
    agent.tell(cvsw.SetEntry(flow_mod(2, 1000)))
    assert agent.in_ports == {2}


def test_entries_before_a_session_are_of_another_one() -> None:
    agent = Agent(HELLO)
    assert agent.tell(cvsw.SetEntry(flow_mod())) == []
    assert (agent.in_ports, agent.session.drops["no_session"]) == (set(), 1)


# Refusals


def refused_entry(agent: Agent, mod: bytes, kind: cvsw.Type = cvsw.Type.SET_ENTRY) -> tuple[Code | None, int]:
    before = {entry.flow.key: entry.flow for entry in agent.session.table}
    answer = code_of(agent.tell_bytes(cvsw.Frame(MAC, kind, 0, mod).serialize()))
    assert {entry.flow.key: entry.flow for entry in agent.session.table} == before
    assert agent.tell(cvsw.EchoRequest(1)), "alive"
    return answer


def test_malformed_flow_mod_is_refused_by_number(agent: Agent) -> None:
    agent.tell(cvsw.SetEntry(flow_mod(1, 0)))
    good = flow_mod(2, 5).serialize()
    assert refused_entry(agent, good[:72] + bytes.fromhex("100b000800000000")) == (Code.BAC_BAD_TYPE, 5)
    assert bits(agent) == (1 << 5 | 1, 1 << 5)


def test_every_truncation_is_refused(agent: Agent) -> None:
    agent.tell(cvsw.SetEntry(flow_mod(1, 0)))
    good = flow_mod(2, 7).serialize()
    for end in range(len(good)):
        code, xid = refused_entry(Agent(HELLO, cvsw.BarrierRequest(1, SESSION, 0), cvsw.SetEntry(flow_mod(1, 0))), good[:end])
        assert (code, xid) == (Code.BRC_BAD_LEN, 7 if end >= 8 else 0)


def test_error_has_the_beginning_of_the_frame(agent: Agent) -> None:
    frame = cvsw.Frame(MAC, cvsw.Type.SET_ENTRY, 0, flow_mod(2, 5).serialize() + bytes(200)).serialize()
    [error] = agent.tell_bytes(frame)
    assert error.error.data == frame[:128]


def test_refusal_of_the_table(agent: Agent) -> None:
    for xid in range(8):
        agent.tell(cvsw.SetEntry(flow_mod(xid, xid)))
    assert refused_entry(agent, flow_mod(8, 8).serialize()) == (Code.FMFC_ALL_TABLES_FULL, 8)
    assert refused_entry(agent, flow_mod(1, 9, flags=of10.FLAG_CHECK_OVERLAP).serialize()) == (Code.FMFC_OVERLAP, 9)
    assert bits(agent)[1] == 1 << 8 | 1 << 9


def test_actions_that_statistics_cannot_tell_of_are_refused(agent: Agent) -> None:
    """Whatever the table has can be read, also where frames are as small as they may be made."""
    agent.session.frame_max = 14 + 576
    for number, n_actions in enumerate((59, 60, 8182)):
        mod = FlowMod(Command.ADD, Match(in_port=number), actions=(Output(2),) * n_actions, xid=number)
        agent.tell(cvsw.SetEntry(mod))
    [part] = agent.tell(cvsw.FlowStatsRequest(of10.FlowStatsRequest(xid=5)))
    assert [len(entry.actions) for entry in part.reply.entries] == [59] and len(cvsw.serialize(MAC, part)) <= agent.session.frame_max
    assert agent.session.drops == {"bac_too_many": 2}


def test_wrong_command_is_refused(agent: Agent) -> None:
    mod = flow_mod(1, 4, Command.DELETE).serialize()
    assert refused_entry(agent, mod) == (Code.FMFC_BAD_COMMAND, 4)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (MAC + bytes.fromhex("310000000000abba"), Code.BRC_BAD_VERSION),
        (MAC + bytes.fromhex("2f0000000000abba"), Code.BRC_BAD_TYPE),
        (MAC + bytes.fromhex("200000000000abba"), Code.BRC_BAD_TYPE),
        (MAC + bytes.fromhex("230000010000abba"), Code.BRC_BAD_LEN),
        (MAC + bytes.fromhex("270000000000abba"), Code.BRC_BAD_LEN),
    ],
)
def test_malformed_frame_is_refused(agent: Agent, frame: bytes, code: Code) -> None:
    assert code_of(agent.tell_bytes(frame)) == (code, 0)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (MAC, "frame_truncated"),
        (MAC + bytes.fromhex("2100000000000800"), "ethertype"),
        (MAC[:5] + bytes.fromhex("09210000000000abba"), "other_mac"),
        (cvsw.serialize(MAC, cvsw.Register()), "unexpected"),
        (cvsw.serialize(MAC, cvsw.Error(of10.Error(1, 1, b""))), "unexpected"),
        (b"", "other_mac"),
    ],
)
def test_what_is_not_for_an_agent_is_dropped(agent: Agent, frame: bytes, reason: str) -> None:
    assert agent.tell_bytes(frame) == []
    assert agent.session.drops[reason] == 1


# Statistics and removals


def test_statistics_in_parts() -> None:
    agent = Agent(HELLO, cvsw.BarrierRequest(1, SESSION, 0), max_entries=100)
    for xid in range(40):
        agent.tell(cvsw.SetEntry(flow_mod(xid, xid)))
    parts = agent.tell(cvsw.FlowStatsRequest(of10.FlowStatsRequest(xid=5)))
    assert [(part.part, part.reply.more, part.reply.xid) for part in parts] == [(0, True, 5), (1, True, 5), (2, False, 5)]
    assert {entry.match.in_port for part in parts for entry in part.reply.entries} == set(range(40))
    assert all(len(cvsw.serialize(MAC, part)) <= 1514 for part in parts)


def test_statistics_of_an_empty_bucket(agent: Agent) -> None:
    [part] = agent.tell(cvsw.FlowStatsRequest(of10.FlowStatsRequest(xid=5), 3, 1))
    assert part == cvsw.FlowStatsReply(of10.FlowStatsReply((), xid=5))


def test_more_than_can_be_told_at_once_is_refused() -> None:
    agent = Agent(HELLO, cvsw.BarrierRequest(1, SESSION, 0), max_entries=2000)
    for number in range(1000):
        agent.session.table.apply(flow_mod(number), 0.0)
    assert code_of(agent.tell(cvsw.FlowStatsRequest(of10.FlowStatsRequest(xid=5)))) == (Code.BRC_EPERM, 5)


def test_removals_are_told(agent: Agent) -> None:
    agent.tell(cvsw.SetEntry(flow_mod(1, 0, hard_timeout=5, flags=of10.FLAG_SEND_FLOW_REM)))
    agent.tell(cvsw.SetEntry(flow_mod(2, 1, flags=of10.FLAG_SEND_FLOW_REM)))
    assert agent.session.next_deadline == 5.0
    [removed] = agent.effects(agent.session.handle(Tick(), 5.0))
    assert removed.removed == of10.FlowRemoved(Match(in_port=1), 100, of10.Reason.HARD_TIMEOUT, duration_ns=5 * 10**9)
    agent.now = 6.0
    [removed] = agent.tell(cvsw.DeleteEntry(flow_mod(2, 2, Command.DELETE)))
    assert removed.removed.reason is of10.Reason.DELETE


def test_capabilities_are_used_where_they_are_offered() -> None:
    agent = Agent(cvsw.Hello(Capability.BARRIER), cvsw.BarrierRequest(1, SESSION, 0))
    assert agent.tell_bytes(cvsw.Frame(MAC, 15, 0, b"").serialize()) == []
    assert agent.session.drops["brc_bad_type"] == 1


def test_agent_that_ends_is_another_instance() -> None:
    [register] = Agent(HELLO).effects(Agent(HELLO).session.leave())
    assert register == cvsw.Register(CAPABILITIES, 78, 8, answers=False)
    assert not Agent(ORIGINAL).session.leave() and not Agent().session.leave()
