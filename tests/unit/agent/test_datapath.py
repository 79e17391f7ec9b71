"""The fast path behind a flow table."""

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from nvo3.agent.datapath import FastDatapath
from nvo3.agent.fastpath import FastPath
from nvo3.cvsw.agent import AgentSession
from nvo3.cvsw.effect import Received, Send
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.table import Entry, FlowTable
from nvo3.wire import cvsw, of10
from nvo3.wire.of10 import Command, FlowMod
from nvo3.wire.of10_action import Output, Port, SetTunnel
from nvo3.wire.of10_error import Code, OpenFlowError
from nvo3.wire.of10_match import Match, Tunnel, TunnelMatch

_MAC = bytes.fromhex("020000000001")
_OTHER_MAC = bytes.fromhex("020000000002")
_VNET = bytes(10)
_FRAME = bytes.fromhex("02000000000b 02000000000a 88b5") + bytes(50)
_ONE, _TWO = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


@dataclass
class _Bench:
    """A table in front of a fast path between two sockets, of which we have the guest's and the wire's ends."""

    path: FastPath
    datapath: FastDatapath
    table: FlowTable
    host: socket.socket
    net: socket.socket

    def add(self, match: Match, priority: int = 1, *actions: object) -> Flow:
        flow = Flow(match, priority, tuple(actions))  # type: ignore[arg-type]
        self.table.apply(flow.add(), time.monotonic())
        return flow

    def delete(self, flow: Flow) -> None:
        self.table.apply(flow.delete(), time.monotonic())

    def goes_back(self) -> bool:
        """Send a frame from the guest; return whether it comes back to it instead of going out."""
        self.host.send(_VNET + _FRAME)
        self.path.step()
        for end, result in ((self.host, True), (self.net, False)):
            try:
                assert end.recv(1000)[len(_VNET) :] == _FRAME
                return result
            except BlockingIOError:
                pass
        raise AssertionError("the frame is gone")


@pytest.fixture
def bench() -> Iterator[_Bench]:
    tap, host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link, net = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (tap, host, net):
        end.setblocking(False)
    with tap, host, link, net, FastPath(link.fileno(), tap.fileno(), max_entries=10) as path:
        datapath = FastDatapath(path, _MAC, 1500)
        yield _Bench(path, datapath, FlowTable(10, datapath), host, net)


def _back() -> Output:
    return Output(Port.IN_PORT)


def _set(source: IPv4Address, mac: bytes = _MAC) -> SetTunnel:
    return SetTunnel(Tunnel.VXLAN, bytes(6), mac, _TWO.packed, source.packed, 7)


def _end(address: IPv4Address, dl_dst: bytes | None = None) -> Match:
    return Match(dl_type=0x800, dl_dst=dl_dst, nw_dst=IPv4Network(address), tunnel=TunnelMatch(Tunnel.VXLAN, 7, 24))


def test_entries_and_counters(bench: _Bench) -> None:
    assert not bench.goes_back()
    flow = bench.add(Match(in_port=Port.HOST), 5, _back())
    assert bench.goes_back() and bench.goes_back()
    (stats,) = bench.table.stats(of10.FlowStatsRequest(), time.monotonic())
    assert (stats.n_packets, stats.n_bytes) == (2, 2 * len(_FRAME))
    modified = replace(flow, actions=(Output(Port.NET),))
    bench.table.apply(replace(modified.add(), command=Command.MODIFY_STRICT), time.monotonic())
    assert not bench.goes_back()
    (stats,) = bench.table.stats(of10.FlowStatsRequest(), time.monotonic())
    assert stats.n_packets == 3
    bench.add(Match(in_port=Port.HOST), 5, _back())
    assert bench.goes_back()
    (stats,) = bench.table.stats(of10.FlowStatsRequest(), time.monotonic())
    assert stats.n_packets == 1
    bench.delete(flow)
    assert not bench.goes_back() and not len(bench.table)


def test_idle_timeout_is_by_the_packets(bench: _Bench) -> None:
    flow = Flow(Match(in_port=Port.HOST), 5, (_back(),), idle_timeout=1, tells_removal=True)
    created = time.monotonic() - 0.9
    bench.table.apply(flow.add(), created)
    assert bench.goes_back()
    assert not bench.table.expire(created + 1.5)
    (removed,) = bench.table.expire(created + 2.5)
    assert removed.reason is of10.Reason.IDLE_TIMEOUT and removed.n_packets == 1


def test_the_higher_priority_decides_and_an_exact_match_above_all(bench: _Bench) -> None:
    bench.add(Match(), 0xFFFF, Output(Port.NET))
    bench.add(Match(in_port=Port.HOST), 1, _back())
    assert not bench.goes_back()
    exact = Match(
        in_port=Port.HOST,
        dl_src=bytes.fromhex("02000000000a"),
        dl_dst=bytes.fromhex("02000000000b"),
        dl_vlan=0xFFFF,
        dl_vlan_pcp=0,
        dl_type=0x88B5,
        nw_tos=0,
        nw_proto=0,
        nw_src=IPv4Network("0.0.0.0/32"),
        nw_dst=IPv4Network("0.0.0.0/32"),
        tp_src=0,
        tp_dst=0,
    )
    flow = bench.add(exact, 3, _back())
    assert bench.goes_back()
    bench.delete(replace(flow, priority=9))
    assert not bench.goes_back()


def test_underlay_is_what_the_entries_say(bench: _Bench) -> None:
    assert bench.datapath.underlay is None
    end = bench.add(_end(_TWO))
    assert bench.datapath.underlay == (_TWO, _MAC)
    first = bench.add(Match(in_port=Port.HOST), 1, _set(_ONE, _OTHER_MAC), Output(Port.NET))
    assert bench.datapath.underlay == (_ONE, _OTHER_MAC)
    second = bench.add(Match(in_port=Port.HOST), 2, _set(_TWO), Output(Port.NET))
    assert bench.datapath.underlay == (_TWO, _MAC)
    bench.table.apply(FlowMod(Command.MODIFY_STRICT, second.match, 2, (Output(Port.NET),)), time.monotonic())
    assert bench.datapath.underlay == (_ONE, _OTHER_MAC)
    bench.delete(first)
    bench.delete(end)
    bench.add(_end(_ONE, _OTHER_MAC))
    assert bench.datapath.underlay == (_ONE, _OTHER_MAC)
    bench.table.clear()
    assert bench.datapath.underlay is None


def test_underlay_reaches_the_fast_path(bench: _Bench) -> None:
    """It answers ARP for the address."""
    request = bytes.fromhex("ffffffffffff 02000000000c 0806 0001080006040001 02000000000c c0000202 000000000000 c0000201")
    bench.add(Match(in_port=Port.HOST), 1, _set(_ONE, _OTHER_MAC), Output(Port.NET))
    bench.net.send(_VNET + request)
    bench.path.step()
    assert bench.net.recv(1000)[len(_VNET) + 22 :][:10] == _OTHER_MAC + _ONE.packed


def test_what_the_fast_path_refuses(bench: _Bench) -> None:
    flow = bench.add(Match(in_port=Port.HOST), 1, _back())
    with pytest.raises(OpenFlowError) as caught:
        bench.datapath.put(Entry(Flow(Match(), 1, (Output(99),)), 0))
    assert caught.value.code is Code.BAC_BAD_OUT_PORT
    for i in range(9):
        bench.add(Match(dl_vlan=i))
    with pytest.raises(OpenFlowError) as caught:
        bench.add(Match(dl_vlan=10))
    assert caught.value.code is Code.FMFC_ALL_TABLES_FULL
    assert bench.goes_back()
    bench.delete(flow)
    bench.add(Match(dl_vlan=10))


def test_what_begins_no_tunnel_any_more_passes_as_it_is(bench: _Bench) -> None:
    bench.add(Match(in_port=Port.HOST), 1, _set(_ONE, _OTHER_MAC), Output(Port.NET))
    bench.add(_end(_ONE, _OTHER_MAC), 1, Output(Port.HOST))
    bench.host.send(_VNET + _FRAME)
    bench.path.step()
    assert len(bench.net.recv(1000)) == len(_VNET) + 50 + len(_FRAME)
    bench.datapath.stop_encapsulating(bench.table)
    assert not bench.goes_back()
    assert bench.datapath.underlay == (_ONE, _OTHER_MAC)


# The whole agent: session, table and fast path.

_HEADER = struct.Struct("!BBHI")
_OUTPUT = Output(Port.NET).serialize()
_UNKNOWN = (11, 12, 0x0FFF, 0x1000, 0x100B, 0x7777, 0xFFFE)
_LENGTHS = (0, 1, 4, 7, 9, 12, 16, 64, 0x7FF8, 0xFFF8, 0xFFFF)


@dataclass
class _Agent:
    """An agent that our controller has begun a session with.  kept: an entry that it has; what it forwards shows that it still does."""

    bench: _Bench
    session: AgentSession
    kept: Flow
    n_sent: int = 0

    def tell(self, frame: bytes) -> list[cvsw.Message]:
        effects = self.session.handle(Received(frame), time.monotonic())
        return [cvsw.parse(cvsw.parse_frame(effect.frame)) for effect in effects if isinstance(effect, Send)]

    def refusal(self, body: bytes, *, length: int | None = None) -> Code | None:
        """Send a SET_ENTRY with this FLOW_MOD, whose header says its length, or another; return the code of the one ERROR to it.

        The table is as before, and so is what the fast path does; the agent lives.
        """
        self.n_sent += 1
        if len(body) >= _HEADER.size:
            body = _HEADER.pack(1, of10.Type.FLOW_MOD, len(body) if length is None else length, self.n_sent) + body[_HEADER.size :]
        (answer,) = self.tell(cvsw.Frame(_MAC, cvsw.Type.SET_ENTRY, 0, body).serialize())
        assert isinstance(answer, cvsw.Error) and answer.error.xid == (self.n_sent if len(body) >= _HEADER.size else 0)
        assert [entry.flow for entry in self.bench.table] == [self.kept] and self.bench.goes_back()
        (alive,) = self.tell(cvsw.serialize(_MAC, cvsw.EchoRequest(self.n_sent)))
        assert isinstance(alive, cvsw.EchoReply) and alive.status.n_entries == 1
        return Code.find(answer.error.error_type, answer.error.code)


@pytest.fixture
def agent(bench: _Bench) -> _Agent:
    session = AgentSession(_MAC, bench.table, 77)
    one = _Agent(bench, session, bench.add(Match(in_port=Port.HOST), 5, _back()))
    one.tell(cvsw.serialize(_MAC, cvsw.Hello(cvsw.CAPABILITIES)))
    one.tell(cvsw.serialize(_MAC, cvsw.BarrierRequest(1, 1, 0)))
    return one


def _mod(*actions: bytes) -> bytes:
    """A FLOW_MOD that would take over what the entry has."""
    return FlowMod(Command.ADD, Match(in_port=Port.HOST), 9).serialize() + b"".join(actions)


def test_agent_refuses_every_truncation(agent: _Agent) -> None:
    """With the length that the whole one has, and with one that agrees; where that ends between actions, it is another FLOW_MOD."""
    good = _mod(_set(_ONE).serialize(), _OUTPUT)
    for end in range(len(good)):
        assert agent.refusal(good[:end], length=len(good)) is Code.BRC_BAD_LEN
        if end not in (72, 136):
            assert agent.refusal(good[:end]) is (Code.BRC_BAD_LEN if end < 72 else Code.BAC_BAD_LEN)


def test_agent_refuses_bad_lengths(agent: _Agent) -> None:
    good = _mod(_OUTPUT)
    for length in (0, 7, 8, 71, 72, 79, 81, 0xFFFF):
        assert agent.refusal(good, length=length) is Code.BRC_BAD_LEN
    for length in _LENGTHS:
        assert agent.refusal(_mod(struct.pack("!HHHH", 0, length, Port.NET, 0))) is Code.BAC_BAD_LEN
        assert agent.refusal(_mod(_OUTPUT, struct.pack("!HH4x", 0x1001, length), _OUTPUT)) is Code.BAC_BAD_LEN


def test_agent_refuses_unknown_actions(agent: _Agent) -> None:
    for kind in _UNKNOWN:
        for before in ((), (_OUTPUT,), (_set(_ONE).serialize(),)):
            assert agent.refusal(_mod(*before, struct.pack("!HH4x", kind, 8))) is Code.BAC_BAD_TYPE
    assert agent.refusal(_mod(_OUTPUT, struct.pack("!HHI", 0xFFFF, 8, 0x2320))) is Code.BAC_BAD_VENDOR


def test_agent_refuses_actions_that_do_not_fit(agent: _Agent) -> None:
    """Into 0xFFFF bytes, the longest FLOW_MOD: the last one is cut off by its end, or says that it goes on."""
    n = (0xFFFF - 72) // 8
    full = _mod(_OUTPUT * n)
    assert len(full) == 0xFFF8
    assert agent.refusal(full + _OUTPUT[:7]) is Code.BAC_BAD_LEN
    assert agent.refusal(full[:-8] + struct.pack("!HH4x", 0, 16)) is Code.BAC_BAD_LEN
    assert agent.refusal(_mod(_OUTPUT * (n - 7), _set(_ONE).serialize()[:56])) is Code.BAC_BAD_LEN
    assert agent.refusal(_mod(_OUTPUT, struct.pack("!HH4x", 0, 0xFFF8), _OUTPUT)) is Code.BAC_BAD_LEN, "8 and 0xFFF8 are 0 in 16 bits"


def test_agent_refuses_what_the_fast_path_does(agent: _Agent) -> None:
    assert agent.refusal(_mod(Output(99).serialize())) is Code.BAC_BAD_OUT_PORT
    assert agent.refusal(_mod(_set(_ONE).serialize() * 2, _OUTPUT)) is Code.BAC_BAD_ARGUMENT
