"""Both sessions over a simulated channel: what arrives in the agent's table, and when."""

import random

import pytest

from nvo3.cvsw.agent import AgentSession
from nvo3.cvsw.controller import ControllerSession, Phase
from nvo3.cvsw.effect import (
    Accepted,
    Change,
    Confirmed,
    DeviceRefused,
    Expired,
    Lost,
    ReadTable,
    Received,
    Refused,
    Registered,
    Removed,
    Send,
    SetMtu,
    SetOffload,
    Settings,
    TableRead,
    Tick,
)
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.packet_key import PacketKey
from nvo3.cvsw.table import FlowTable
from nvo3.wire import cvsw, of10
from nvo3.wire.cvsw import CAPABILITIES, Offload
from nvo3.wire.of10_action import Output, SetTunnel
from nvo3.wire.of10_error import Code
from nvo3.wire.of10_match import Match, Tunnel
from tests.unit.cvsw.simulation import MAC, Channel, Simulation

GOOD = Channel()
BAD = Channel(loss=0.2, duplication=0.05, delay_s=0.001, jitter_s=0.003)


def flow(n: int, vni: int = 5001, **fields: object) -> Flow:
    """The flow from the guest to the n-th destination."""
    outer = (bytes.fromhex("0200c0000202"), bytes.fromhex("0200c0000201"), bytes([192, 0, 2, 2]), bytes([192, 0, 2, 1]))
    actions = (SetTunnel(Tunnel.STT, *outer, vni), Output(2))
    return Flow(Match(in_port=1, dl_dst=(0x020000000000 + n).to_bytes(6, "big")), 100, actions, **fields)  # type: ignore[arg-type]


def flows(n: int, vni: int = 5001) -> tuple[Flow, ...]:
    return tuple(flow(i, vni) for i in range(n))


def in_force(*put: Flow, channel: Channel = GOOD, **arguments: int) -> Simulation:
    """A simulation in which these flows are in force."""
    simulation = Simulation(channel, **arguments)
    simulation.tell(Change(put))
    simulation.run(lambda: simulation.is_confirmed, 20.0)
    assert simulation.is_right
    simulation.effects.clear()
    simulation.sent_to_agent.clear()
    simulation.sent_to_controller.clear()
    return simulation


def types(frames: list[bytes]) -> list[cvsw.Type]:
    return [cvsw.Type(cvsw.parse_frame(frame).type) for frame in frames]


# Programming


def test_from_nothing_to_in_force() -> None:
    simulation = Simulation()
    simulation.tell(Change(flows(3)))
    simulation.run(lambda: simulation.is_confirmed, 1.0)
    assert simulation.is_right
    [registered] = simulation.of_kind(Registered)
    assert (registered.capabilities, registered.max_entries, registered.restarted) == (CAPABILITIES, 100_000, True)
    assert simulation.of_kind(Confirmed) == [Confirmed(1)]
    assert types(simulation.sent_to_agent) == [
        cvsw.Type.HELLO,
        cvsw.Type.BARRIER_REQUEST,
        *[cvsw.Type.SET_ENTRY] * 3,
        cvsw.Type.BARRIER_REQUEST,
    ]


def test_each_flow_is_sent_once_where_nothing_is_lost() -> None:
    simulation = Simulation()
    simulation.tell(Change(flows(1000)))
    simulation.run(lambda: simulation.is_confirmed, 1.0)
    assert simulation.is_right
    assert types(simulation.sent_to_agent).count(cvsw.Type.SET_ENTRY) == 1000
    assert not simulation.agent.drops


@pytest.mark.parametrize("seed", range(5))
def test_1000_flows_over_a_bad_channel(seed: int) -> None:
    simulation = Simulation(BAD, seed=seed)
    simulation.tell(Change(flows(1000)))
    simulation.tell(Settings(1450, Offload.TSO | Offload.CSUM))
    assert simulation.run(lambda: simulation.is_right, 5.0) <= 5.0
    simulation.run(lambda: simulation.is_confirmed, 5.0)
    assert simulation.is_right
    assert (simulation.agent.mtu, simulation.agent.offload) == (1450, Offload.TSO | Offload.CSUM)


def test_change_takes_what_changes() -> None:
    simulation = in_force(*flows(100))
    simulation.tell(Change((flow(5, vni=7), flow(200)), (flow(6).key,)))
    simulation.run(lambda: simulation.is_confirmed, 1.0)
    assert simulation.is_right
    assert types(simulation.sent_to_agent) == [cvsw.Type.DELETE_ENTRY, *[cvsw.Type.SET_ENTRY] * 2, cvsw.Type.BARRIER_REQUEST]


def test_change_that_changes_nothing_is_confirmed_at_once() -> None:
    simulation = in_force(*flows(3))
    simulation.tell(Change(flows(2), (flow(50).key,)))
    assert simulation.of_kind(Confirmed) == [Confirmed(2)]
    assert simulation.sent_to_agent == []


@pytest.mark.parametrize("seed", range(5))
def test_desired_changes_while_it_is_programmed(seed: int) -> None:
    simulation = Simulation(BAD, seed=seed)
    for version in range(30):
        put = tuple(flow(i, vni=version) for i in range(version, 300, version + 1))
        simulation.tell(Change(put, tuple(flow(i).key for i in range(0, 300, version + 2))))
        simulation.run_for(0.01)
    simulation.run(lambda: simulation.is_confirmed, 10.0)
    assert simulation.is_right
    assert simulation.controller.desired


def test_more_entries_than_the_agent_has_room_for() -> None:
    simulation = Simulation(max_entries=10)
    simulation.tell(Change(flows(12)))
    simulation.run(lambda: simulation.is_confirmed, 1.0)
    refused = simulation.of_kind(Refused)
    assert [(one.what, one.code) for one in refused] == [(flow(10), Code.FMFC_ALL_TABLES_FULL), (flow(11), Code.FMFC_ALL_TABLES_FULL)]
    simulation.tell(Change((), (flow(0).key, flow(1).key)))
    simulation.run(lambda: simulation.is_right, 1.0)
    simulation.run_for(1.0)
    assert simulation.of_kind(Accepted) == [Accepted(flow(10)), Accepted(flow(11))]


@pytest.mark.parametrize("seed", range(3))
def test_full_table_is_exchanged(seed: int) -> None:
    simulation = in_force(*flows(300), channel=BAD, seed=seed, max_entries=300)
    for step in range(10):
        put = tuple(flow(300 + 10 * step + i) for i in range(10))
        simulation.tell(Change(put, tuple(flow(10 * step + i).key for i in range(10))))
        simulation.run(lambda: simulation.is_right, 5.0)
    assert simulation.of_kind(Refused) == []


def test_lost_error_is_known_from_the_barrier() -> None:
    simulation = in_force(*flows(10), max_entries=10)
    lossy = simulation._transmit
    simulation._transmit = lambda peer, frame: None if frame[6] & 15 == cvsw.Type.ERROR else lossy(peer, frame)  # type: ignore[method-assign]
    simulation.tell(Change((flow(11),)))
    simulation.run(lambda: simulation.is_confirmed, 1.0)
    assert simulation.of_kind(Refused) == [Refused(flow(11), None)]


# Restarts


def test_controller_is_restarted_and_finds_everything_right() -> None:
    simulation = in_force(*flows(1000))
    simulation.agent.table.lookup(PacketKey(in_port=1, dl_dst=flow(3).match.dl_dst or b""), 100, simulation.now)
    simulation.restart_controller()
    simulation.run(lambda: simulation.is_confirmed, 1.0)
    assert types(simulation.sent_to_agent) == [cvsw.Type.HELLO, *[cvsw.Type.BARRIER_REQUEST] * 2]
    [entry] = simulation.agent.table.stats(of10.FlowStatsRequest(flow(3).match), simulation.now)
    assert entry.n_packets == 1, "traffic has not been disturbed"


@pytest.mark.parametrize("channel", [GOOD, BAD])
def test_controller_is_restarted_and_wants_something_else(channel: Channel) -> None:
    simulation = in_force(*flows(1000), channel=channel)
    simulation.restart_controller()
    simulation.tell(Change((flow(5, vni=7), flow(2000)), (flow(0).key,)))
    simulation.run(lambda: simulation.is_confirmed, 5.0)
    assert simulation.is_right
    if channel != BAD:
        sent = types(simulation.sent_to_agent)
        assert (sent.count(cvsw.Type.SET_ENTRY), sent.count(cvsw.Type.DELETE_ENTRY)) == (2, 1)


@pytest.mark.parametrize("channel", [GOOD, BAD])
def test_agent_is_restarted(channel: Channel) -> None:
    simulation = in_force(*flows(200), channel=channel)
    simulation.run_for(60.0)
    simulation.restart_agent()
    took = simulation.run(lambda: simulation.is_right, 5.0)
    simulation.run(lambda: simulation.is_confirmed, 5.0)
    assert [effect.restarted for effect in simulation.of_kind(Registered)][-1:] == [True]
    if channel != BAD:
        assert took < 0.1, "its announcement is answered at once"


def test_agent_that_comes_late_is_greeted_at_once() -> None:
    simulation = Simulation()
    simulation.channel = Channel(loss=1.0)
    simulation.tell(Change(flows(3)))
    simulation.run_for(100.0)
    assert 20 <= len(simulation.sent_to_agent) <= 30, "HELLO every 5 s"
    simulation.channel = Channel()
    simulation.restart_agent()
    assert simulation.run(lambda: simulation.is_right, 5.0) < 0.3


def test_silence_on_both_sides_and_back() -> None:
    simulation = in_force(*flows(20))
    simulation.channel = Channel(loss=1.0)
    simulation.run_for(30.0)
    assert simulation.of_kind(Lost) == [Lost()]
    simulation.tell(Change((flow(30),), (flow(0).key,)))
    simulation.channel = Channel()
    simulation.run(lambda: simulation.is_confirmed, 6.0)
    assert simulation.is_right
    assert [effect.restarted for effect in simulation.of_kind(Registered)] == [False]


@pytest.mark.parametrize("seed", range(8))
def test_restarts_at_any_time_over_a_bad_channel(seed: int) -> None:
    simulation = Simulation(BAD, seed=seed)
    chance = random.Random(seed)
    simulation.tell(Change(flows(300)))
    for _ in range(6):
        simulation.run_for(chance.random() ** 3)
        chance.choice((simulation.restart_agent, simulation.restart_controller))()
        simulation.tell(Change((flow(chance.randrange(400), vni=chance.randrange(100)),), (flow(chance.randrange(400)).key,)))
    simulation.run(lambda: simulation.is_confirmed and simulation.is_right, 10.0)
    simulation.run_for(10.0)
    assert simulation.is_right


# Keeping alive, drift


def test_echo_where_nothing_else_is_said() -> None:
    simulation = in_force(*flows(3))
    simulation.run_for(51.0)
    assert set(types(simulation.sent_to_agent)) == {cvsw.Type.ECHO_REQUEST}
    assert set(types(simulation.sent_to_controller)) == {cvsw.Type.ECHO_REPLY}
    assert 9 <= len(simulation.sent_to_agent) <= 11


def test_table_that_drifts_is_put_right() -> None:
    simulation = in_force(*flows(50))
    table = simulation.agent.table
    table.apply(flow(3).delete(), simulation.now)
    table.apply(flow(4, vni=9).add(), simulation.now)
    table.apply(flow(777).add(), simulation.now)
    simulation.run(lambda: simulation.is_right, 6.0)
    sent = types(simulation.sent_to_agent)
    assert (sent.count(cvsw.Type.SET_ENTRY), sent.count(cvsw.Type.DELETE_ENTRY)) == (2, 1)


# Timeouts


@pytest.mark.parametrize("tells", [True, False])
def test_expired_flow_is_not_desired_any_more(tells: bool) -> None:
    mortal = flow(1, hard_timeout=3, tells_removal=tells)
    simulation = in_force(mortal, flow(2))
    simulation.run(lambda: bool(simulation.of_kind(Expired)), 10.0)
    assert simulation.of_kind(Expired) == [Expired(mortal)]
    assert simulation.controller.desired == {flow(2).key: flow(2)}
    simulation.run_for(20.0)
    assert simulation.is_right
    assert len(simulation.of_kind(Removed)) == tells


def test_lost_removal_is_noticed() -> None:
    simulation = in_force(flow(1, hard_timeout=3, tells_removal=True), flow(2))
    simulation.run_for(2.5)
    simulation.channel = Channel(loss=1.0)
    simulation.run_for(1.0)
    simulation.channel = Channel()
    simulation.run(lambda: bool(simulation.of_kind(Expired)), 10.0)
    assert simulation.is_right


def test_flow_with_a_timeout_is_set_again_after_a_restart() -> None:
    simulation = in_force(flow(1, hard_timeout=1000))
    simulation.restart_agent()
    simulation.run(lambda: simulation.is_right, 5.0)
    assert simulation.table == {flow(1).key: flow(1, hard_timeout=1000)}


# Settings


@pytest.mark.parametrize("channel", [GOOD, BAD])
def test_settings_are_sent_until_they_are_seen(channel: Channel) -> None:
    simulation = in_force(*flows(3), channel=channel)
    simulation.tell(Settings(9000, Offload(0)))
    simulation.run(lambda: simulation.is_confirmed, 5.0)
    assert (simulation.agent.mtu, simulation.agent.offload) == (9000, 0)
    assert SetMtu(9000) in simulation.of_kind(SetMtu)
    assert SetOffload(Offload(0)) in simulation.of_kind(SetOffload)


def test_setting_that_the_device_refuses() -> None:
    simulation = in_force(*flows(3))
    simulation.tell(Settings(9000))
    simulation.run(lambda: bool(simulation.of_kind(SetMtu)), 1.0)
    simulation.tell_agent(DeviceRefused(cvsw.ChangeMtu(9000)))
    simulation.run(lambda: simulation.is_confirmed, 5.0)
    assert simulation.of_kind(Refused) == [Refused(cvsw.ChangeMtu(9000), Code.BRC_EPERM)]
    simulation.run_for(20.0)
    assert types(simulation.sent_to_agent).count(cvsw.Type.CHANGE_MTU) == 1
    assert simulation.of_kind(Accepted) == []
    simulation.run(lambda: simulation.of_kind(Accepted) == [Accepted(cvsw.ChangeMtu(9000))], 20.0)
    assert simulation.agent.mtu == 9000


# Reading the table


@pytest.mark.parametrize("channel", [GOOD, BAD])
def test_table_is_read(channel: Channel) -> None:
    simulation = in_force(*flows(500), channel=channel)
    for n in range(7):
        simulation.agent.table.lookup(PacketKey(in_port=1, dl_dst=flow(n).match.dl_dst or b""), 100, simulation.now)
    simulation.tell(ReadTable())
    simulation.tell(Change((flow(5000),)))
    simulation.run(lambda: bool(simulation.of_kind(TableRead)), 10.0)
    [read] = simulation.of_kind(TableRead)
    assert {Flow.from_message(entry) for entry in read.entries} >= set(flows(500))
    assert sum(entry.n_bytes for entry in read.entries) == 700
    simulation.run(lambda: simulation.is_confirmed, 10.0)
    assert simulation.is_right


# Hostile peers


def hostile(*messages: cvsw.Message) -> list[Received]:
    return [Received(cvsw.serialize(MAC, message)) for message in messages]


def test_answers_that_are_slow_are_not_in_vain() -> None:
    """Three seconds from question to answer, as where a controller finds hundreds of agents at its start: longer than it waits."""
    simulation = in_force(*flows(200))
    simulation.restart_controller()
    simulation.tell(Change((flow(5, vni=7),)))
    simulation.channel = Channel(delay_s=1.5)
    assert simulation.run(lambda: simulation.is_confirmed, 60.0) < 30.0
    assert simulation.is_right
    asked = types(simulation.sent_to_agent).count(cvsw.Type.FLOW_STATS_REQUEST)
    assert asked < 8 * 64, "of 64 buckets"


def test_flood_of_registrations_gets_few_hellos() -> None:
    session = ControllerSession(MAC, random.Random(1))
    session.handle(Change(flows(100)), 0.0)
    sent = 0
    for i in range(10_000):
        [event] = hostile(cvsw.Register(CAPABILITIES, i, 10, True))
        sent += sum(isinstance(effect, Send) and effect.frame[6] & 15 == cvsw.Type.HELLO for effect in session.handle(event, i / 1000))
    assert sent < 30


def test_agent_that_never_has_what_it_says() -> None:
    """Its digest is never right, so its table is read again and again, but less and less often."""
    agent = AgentSession(MAC, FlowTable(100), 77)
    controller = ControllerSession(MAC, random.Random(1))
    controller.handle(Change(flows(5)), 0.0)
    now, n_sent = 0.0, 0
    while now < 100.0:
        deadline = controller.next_deadline
        assert deadline is not None
        now = max(now + 0.001, deadline)
        frames = [effect.frame for effect in controller.handle(Tick(), now) if isinstance(effect, Send)]
        while frames:
            n_sent += 1
            replies = [effect.frame for effect in agent.handle(Received(frames.pop()), now) if isinstance(effect, Send)]
            agent.table.digest += 1
            for reply in replies:
                frames += [effect.frame for effect in controller.handle(Received(reply), now) if isinstance(effect, Send)]
    assert n_sent < 500


def test_agent_that_receives_nothing() -> None:
    """It answers each barrier, but says that no FLOW_MOD has arrived."""
    controller = ControllerSession(MAC, random.Random(1))
    controller.handle(Change(flows(1000)), 0.0)
    now, n_sent = 0.0, 0
    while now < 20.0:
        deadline = controller.next_deadline
        assert deadline is not None
        now = max(now + 0.001, deadline)
        effects = controller.handle(Tick(), now)
        for _ in range(100):
            frames = [effect.frame for effect in effects if isinstance(effect, Send)]
            n_sent += len(frames)
            effects = []
            for message in [cvsw.parse(cvsw.parse_frame(frame)) for frame in frames]:
                if isinstance(message, cvsw.Hello):
                    effects += controller.handle(*hostile(cvsw.Register(CAPABILITIES, 77, 1000)), now)
                elif isinstance(message, cvsw.BarrierRequest):
                    status = cvsw.Status(message.session, 77, 0, 0)
                    effects += controller.handle(*hostile(cvsw.BarrierReply(message.seq, status, message.base, 0, 0)), now)
    assert n_sent < 20 * 4000, "some windows for each HELLO, and these are 5 s apart"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "other_mac"),
        (MAC, "frame_truncated"),
        (cvsw.serialize(MAC, cvsw.Hello()), "unexpected"),
        (cvsw.serialize(MAC, cvsw.SetEntry(flow(1).add())), "unexpected"),
        (cvsw.serialize(MAC, cvsw.BarrierReply(77777, cvsw.Status(1, 2, 3, 4), 0, 0, 0)), "unasked"),
        (cvsw.serialize(MAC, cvsw.FlowStatsReply(of10.FlowStatsReply(()))), "unasked"),
        (cvsw.serialize(MAC, cvsw.Error(of10.Error(1, 1, b"", 5))), "unasked"),
        (cvsw.Frame(MAC, cvsw.Type.BARRIER_REPLY, 0, b"").serialize(), "brc_bad_len"),
    ],
)
def test_what_makes_no_sense_is_counted(frame: bytes, reason: str) -> None:
    simulation = in_force(*flows(3))
    simulation.tell(Received(frame))
    assert simulation.controller.drops[reason] == 1
    assert simulation.sent_to_agent == []
    assert simulation.controller.phase is Phase.LIVE


def test_table_that_is_told_to_be_endless() -> None:
    controller = ControllerSession(MAC, random.Random(1))
    controller.handle(Change(flows(5)), 0.0)
    controller.handle(*hostile(cvsw.Register(CAPABILITIES, 77, 1000)), 0.1)
    session = controller._session
    effects = controller.handle(*hostile(cvsw.BarrierReply(1, cvsw.Status(session, 77, 0xFFFFFFFF, 1), 0, 0, 0)), 0.2)
    assert effects == [Lost()]
    assert controller.next_deadline is not None
    assert controller.next_deadline >= 5.0


def test_answer_that_never_ends() -> None:
    """Parts without a last one, full of entries: read no further than a table can be."""
    controller = ControllerSession(MAC, random.Random(1))
    controller.handle(Change(flows(5)), 0.0)
    controller.handle(*hostile(cvsw.Register(CAPABILITIES, 77, 1000)), 0.1)
    status = cvsw.Status(controller._session, 77, 1, 1)
    effects = controller.handle(*hostile(cvsw.BarrierReply(1, status, 0, 0, 0)), 0.2)
    [question] = [cvsw.parse(cvsw.parse_frame(effect.frame)) for effect in effects if isinstance(effect, Send)]
    assert isinstance(question, cvsw.FlowStatsRequest)
    entries = (of10.FlowStats(Match(), 1),) * 700
    for i in range(300):
        part = cvsw.FlowStatsReply(of10.FlowStatsReply(entries, True, question.request.xid), i % 64)
        effects = controller.handle(*hostile(part), 0.2)
        if effects:
            break
    assert effects == [Lost()]
    assert i * 700 <= 1 << 17
