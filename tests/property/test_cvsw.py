"""CVSW: values survive the wire, bytes never do worse than a WireError, tables keep their rules, sessions come to agree."""

import random
from dataclasses import fields
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvo3.cvsw.agent import AgentSession
from nvo3.cvsw.controller import ControllerSession
from nvo3.cvsw.effect import Change, ReadTable, Received, Settings, Tick
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.packet_key import PacketKey
from nvo3.cvsw.table import FlowTable
from nvo3.wire import cvsw, of10
from nvo3.wire.errors import WireError
from nvo3.wire.of10 import Command, FlowMod
from nvo3.wire.of10_action import Output, parse_actions, serialize_actions
from nvo3.wire.of10_error import Code, OpenFlowError
from nvo3.wire.of10_match import VLAN_NONE, Match
from tests.property import cvsw_strategies as values
from tests.unit.cvsw.simulation import Channel, Simulation

MAC = values.MAC


@given(values.messages(), st.binary(max_size=50))
def test_message_survives(message: cvsw.Message, padding: bytes) -> None:
    frame = cvsw.parse_frame(cvsw.serialize(MAC, message) + padding)
    assert (frame.mac, cvsw.parse(frame)) == (MAC, message)


@given(values.frames(), st.data())
def test_truncation_is_told_as_a_bad_length(frame: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(WireError) as caught:
        cvsw.parse_frame(frame[:end])
    if end >= cvsw.HEADER_LEN:
        assert isinstance(caught.value, OpenFlowError)
        assert caught.value.code is Code.BRC_BAD_LEN


@given(values.damaged_frames(), st.booleans())
def test_any_frame_is_a_message_or_a_wire_error(data: bytes, published: bool) -> None:
    try:
        message = cvsw.parse(cvsw.parse_frame(data), published=published)
    except WireError as error:
        assert error.reason and "\n" not in str(error)
        assert isinstance(error, OpenFlowError) or error.reason in ("frame_truncated", "ethertype")
    else:
        again = cvsw.serialize(MAC, message)
        assert cvsw.parse(cvsw.parse_frame(again)) == message


@given(st.lists(st.binary(min_size=4, max_size=40), max_size=4).map(b"".join))
def test_any_actions_are_values_or_an_openflow_error(data: bytes) -> None:
    try:
        actions = parse_actions(data)
    except OpenFlowError as error:
        assert error.code.name.startswith("BAC_")
    else:
        assert parse_actions(serialize_actions(actions)) == actions


@given(values.small_matches(), values.small_packets())
def test_number_of_a_match_means_what_its_fields_say(one: Match, packet: PacketKey) -> None:
    def has_meaning(name: str) -> bool:
        match name[:3] if name.startswith("tp_") else name:
            case "dl_vlan_pcp":
                return one.dl_vlan != VLAN_NONE
            case "nw_tos":
                return one.dl_type == 0x800
            case "nw_proto" | "nw_src" | "nw_dst":
                return one.dl_type in (0x800, 0x806)
            case "tp_":
                return one.dl_type == 0x800 and one.nw_proto in (1, 6, 17)
        return True

    def fits(name: str) -> bool:
        wanted, found = getattr(one, name), getattr(packet, name)
        if wanted is None or not has_meaning(name):
            return True
        if name == "dl_vlan_pcp":
            return packet.dl_vlan != VLAN_NONE and wanted == found
        if name in ("nw_src", "nw_dst"):
            return IPv4Address(found) in wanted
        return wanted == (found & 0xFC if name == "nw_tos" else found)

    expected = all(fits(field.name) for field in fields(Match) if field.name != "tunnel")
    if (tunnel := one.tunnel) is not None:
        expected = expected and packet.tunnel is tunnel.tunnel and packet.tunnel_id % (1 << tunnel.bits) == tunnel.id
    table = FlowTable(1)
    table.apply(FlowMod(Command.ADD, one), 0.0)
    assert (table.lookup(packet, 1, 0.0) is not None) == expected


@given(values.small_matches(), values.small_matches(), values.small_packets())
def test_containment_and_overlap_are_about_packets(one: Match, other: Match, packet: PacketKey) -> None:
    """Whom a loose deletion spares has packets beyond the deleted ones; who may be added under CHECK_OVERLAP shares no packet."""

    def takes(match: Match) -> bool:
        table = FlowTable(1)
        table.apply(FlowMod(Command.ADD, match), 0.0)
        return table.lookup(packet, 1, 0.0) is not None

    table = FlowTable(2)
    table.apply(FlowMod(Command.ADD, one), 0.0)
    try:
        table.apply(FlowMod(Command.ADD, other, flags=of10.FLAG_CHECK_OVERLAP), 0.0)
    except OpenFlowError as error:
        assert error.code is Code.FMFC_OVERLAP
    else:
        assert not (takes(one) and takes(other)) or one.rank(0) != other.rank(0)
    table.apply(FlowMod(Command.DELETE, one), 0.0)
    kept = {entry.flow.match for entry in table}
    assert one not in kept
    table.apply(FlowMod(Command.ADD, other), 0.0)
    table.apply(FlowMod(Command.DELETE, one), 0.0)
    if not len(table):
        assert takes(one) or not takes(other)


@settings(deadline=None)
@given(st.lists(values.damaged_frames(), max_size=30), st.booleans())
def test_agent_survives_anything(frames: list[bytes], extended: bool) -> None:
    agent = AgentSession(MAC, FlowTable(5), 1)
    agent.handle(Received(cvsw.serialize(MAC, cvsw.Hello(cvsw.CAPABILITIES if extended else cvsw.Capability(0)))), 0.0)
    agent.handle(Received(cvsw.serialize(MAC, cvsw.BarrierRequest(1, 2, 0))), 0.0)
    for now, frame in enumerate(frames):
        agent.handle(Received(frame), float(now))
    assert len(agent.table) <= 5
    assert agent.table.digest == sum(entry.flow.digest for entry in agent.table) % (1 << 64)
    agent.handle(Received(cvsw.serialize(MAC, cvsw.Hello(cvsw.CAPABILITIES))), 100.0)
    assert agent.handle(Received(cvsw.serialize(MAC, cvsw.EchoRequest(7))), 100.0), "alive"


@settings(deadline=None)
@given(st.lists(values.damaged_frames(), max_size=30), st.integers(0, 10))
def test_controller_survives_anything(frames: list[bytes], n_true: int) -> None:
    """Frames that are no agent's, at any point of a conversation with one."""
    simulation = Simulation()
    simulation.tell(Change(tuple(Flow(Match(in_port=i)) for i in range(20))))
    simulation.tell(Settings(1400))
    simulation.tell(ReadTable())
    for _ in range(n_true):
        simulation.step(simulation.now + 1.0)
    for frame in frames:
        simulation.tell(Received(frame))
        assert simulation.controller.next_deadline is not None
    simulation.run(lambda: simulation.is_right and simulation.is_confirmed, 60.0)


class _Wanted:
    """Changes of what is desired, restarts and time, in any order."""

    @staticmethod
    def steps() -> st.SearchStrategy[list[tuple[str, int, int]]]:
        kinds = st.sampled_from(("put", "put", "delete", "delete", "restart_agent", "restart_controller", "settings", "time", "time"))
        return st.lists(st.tuples(kinds, st.integers(0, 40), st.integers(0, 40)), max_size=25)

    @staticmethod
    def flow(n: int, version: int) -> Flow:
        return Flow(Match(in_port=n), 100, (Output(1),) * (version % 3), cookie=version)


@settings(deadline=None, max_examples=60)
@given(_Wanted.steps(), st.integers(0, 2**32), st.sampled_from((0.0, 0.2)), st.sampled_from((0.0, 0.3)), st.sampled_from((0.0, 0.01)))
def test_sessions_come_to_agree(steps: list[tuple[str, int, int]], seed: int, loss: float, duplication: float, jitter_s: float) -> None:
    simulation = Simulation(Channel(loss, duplication, 0.001, jitter_s), seed=seed, max_entries=1000)
    for kind, a, b in steps:
        match kind:
            case "put":
                simulation.tell(Change(tuple(_Wanted.flow(n, b) for n in range(a, a + 10))))
            case "delete":
                simulation.tell(Change((), tuple(_Wanted.flow(n, 0).key for n in range(a, a + b % 10))))
            case "settings":
                simulation.tell(Settings(1000 + a, cvsw.Offload(b % 32)))
            case "time":
                simulation.run_for(a * b / 1000)
            case _:
                getattr(simulation, kind)()
    simulation.tell(Change((_Wanted.flow(1000, seed % 100),)))
    simulation.run(lambda: simulation.is_confirmed and simulation.is_right, 20.0)
    simulation.run_for(6.0)
    assert simulation.is_right
    wanted = simulation.settings
    if wanted is not None:
        simulation.run(lambda: (simulation.agent.mtu, simulation.agent.offload) == (wanted.mtu, wanted.offload), 20.0)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from((0.05, 0.5)))
def test_sessions_recover_from_damage(seed: int, n: int, damage: float) -> None:
    """Frames have no checksum: what a damaged one has done is found out by the digest."""
    simulation = Simulation(Channel(damage=damage), seed=seed, max_entries=1000)
    for version in range(10):
        simulation.tell(Change(tuple(_Wanted.flow(i, version) for i in range(version, n))))
        simulation.run_for(simulation.chance.random())
    simulation.channel = Channel()
    simulation.tell(Change((_Wanted.flow(1000, 1),)))
    simulation.run(lambda: simulation.is_confirmed and simulation.is_right, 120.0)


def test_two_controllers_draw_other_numbers() -> None:
    """A session of one must not be taken for the other's."""
    frames = []
    for seed in (1, 2):
        controller = ControllerSession(MAC, random.Random(seed))
        controller.handle(Tick(), 0.0)
        effects = controller.handle(Received(cvsw.serialize(MAC, cvsw.Register(cvsw.CAPABILITIES, 1, 10))), 0.0)
        frames.append([cvsw.parse(cvsw.parse_frame(effect.frame)) for effect in effects if hasattr(effect, "frame")])
    [one], [other] = frames
    assert isinstance(one, cvsw.BarrierRequest) and isinstance(other, cvsw.BarrierRequest)
    assert one.session != other.session
    assert one.base != other.base
