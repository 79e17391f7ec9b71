"""What an agent receives: a session, its table and the fast path behind it, as the daemon joins them, but between two sockets."""

import random
import socket
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from nvo3.agent.datapath import FastDatapath
from nvo3.agent.fastpath import FastPath
from nvo3.cvsw.agent import FRAME_MAX, PARTS_MAX, AgentSession
from nvo3.cvsw.effect import AgentEvent, DeviceRefused, Received, Send, SetMtu, SetOffload, State, Tick
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.packet_key import PacketKey
from nvo3.cvsw.table import Entry, FlowTable
from nvo3.wire import cvsw, of10
from nvo3.wire.cvsw import CAPABILITIES, Capability, Type
from nvo3.wire.of10 import Command
from nvo3.wire.of10_action import Action, Output, Port, SetTunnel, StripTunnel
from nvo3.wire.of10_error import Code
from nvo3.wire.of10_match import VLAN_NONE, Match
from tests.unit.cvsw.fuzz.frames import ENTRY_TYPES, MAC, XID, Frames, type_of

ROOM = 12  # entries of the table, few so that it is full at times
_VNET = bytes(10)
_INSTANCE = 4711
_FRAME_BYTES = 1 << 17
_REASONS = {code.name.lower(): code for code in Code}
# Why the agent may refuse what is well-formed; each is looked at.
_MAY_REFUSE = {"fmfc_all_tables_full", "fmfc_overlap", "bac_bad_out_port", "bac_bad_argument"}


@dataclass(frozen=True)
class Step:
    """What happens: time passes, then a frame comes.

    device_takes: the vNIC takes the settings that the frame asks for.  synchronised: a HELLO and a barrier come before it, so that
    a FLOW_MOD's number, which is put in, is new.  is_good: the frame is one that a controller of ours may send.
    """

    frame: bytes
    advance_s: float = 0.0
    device_takes: bool = True
    synchronised: bool = False
    is_good: bool = False


def sequence(frames: Frames, known: list[bytes]) -> list[Step]:
    """Return what happens to one agent."""
    chance = frames.chance
    steps = []
    original = chance.random() < 0.25
    if chance.random() < 0.9:
        offers = Capability(0) if original else CAPABILITIES
        steps.append(Step(cvsw.serialize(MAC, cvsw.Hello(offers))))
    for _ in range(chance.choice((5, 20, 60))):
        good = cvsw.serialize(MAC, frames.to_agent())
        is_good = chance.random() < 0.4
        frame = good if is_good else frames.damaged(chance.choice((good, chance.choice(known) if known else good)), good)
        is_good = is_good and not original
        synchronised = is_good or (not original and chance.random() < 0.5)
        advance_s = chance.choice((0.0, 0.0, 0.0, 0.5, 1.0, 30.0))
        steps.append(Step(frame, advance_s, chance.random() < 0.9, synchronised, is_good))
    return steps


class Agent:
    """One agent, and the checks of what it does."""

    def __init__(self) -> None:
        with ExitStack() as stack:
            tap, self._host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            link, self._net = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for end in (tap, link, self._host, self._net):
                stack.enter_context(end)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            for end in (tap, self._host, self._net):
                end.setblocking(False)
            self._path = stack.enter_context(FastPath(link.fileno(), tap.fileno(), ROOM))
            self._datapath = FastDatapath(self._path, MAC, 1500)
            self._table = FlowTable(ROOM, self._datapath)
            self._session = AgentSession(MAC, self._table, _INSTANCE)
            self._stack = stack.pop_all()
        self._now = time.monotonic()
        self._n_asked = 0
        self._number = 0
        self._device_takes = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def play(self, step: Step) -> tuple[object, ...]:
        """Let it happen.  Returns what came of it; raises AssertionError, or what the agent raised."""
        self._now += step.advance_s
        self._handle(Tick())
        self._read(self._net)
        self._device_takes = step.device_takes
        frame = step.frame
        if step.synchronised:
            self._synchronise()
            if type_of(frame) in ENTRY_TYPES and len(frame) >= XID.stop:
                frame = frame[: XID.start] + self._number.to_bytes(4, "big") + frame[XID.stop :]
        before = self._state()
        drops = Counter(self._session.drops)
        peer = self._session._peer
        replies = self._deliver(frame)
        if replies is None:
            assert self._state() == before
            return ("data",)
        reasons = tuple((self._session.drops - drops).elements())
        self._check_replies(replies)
        self._check_refusal(frame, reasons, replies, before, peer)
        if step.is_good:
            self._check_good(frame, reasons)
        self._check_tables()
        self._check_alive()
        return self._session.state, type_of(frame), reasons, tuple(sorted({type_of(reply) for reply in replies}))

    # As the daemon does it.

    def _deliver(self, frame: bytes) -> list[bytes] | None:
        """Have a frame come from the wire; return what the agent says to it, None if it was no control frame."""
        self._net.send(_VNET + frame)
        self._path.step()
        control = self._path.receive_control()
        if control is None:
            self._read(self._net)
            self._read(self._host)
            return None
        assert control == frame
        self._handle(Received(control))
        assert not self._read(self._host)
        return self._read(self._net)

    def _handle(self, event: AgentEvent) -> None:
        pending = [event]
        while pending:
            for effect in self._session.handle(pending.pop(), self._now):
                match effect:
                    case Send(frame):
                        self._path.send(frame)
                    case SetMtu(mtu) if self._device_takes:
                        self._datapath.set_mtu(mtu)
                        self._session.frame_max = min(FRAME_MAX, 14 + mtu)
                    case SetMtu(mtu):
                        pending.append(DeviceRefused(cvsw.ChangeMtu(mtu)))
                    case SetOffload(offload) if not self._device_takes:
                        pending.append(DeviceRefused(cvsw.ChangeOffload(offload)))

    @staticmethod
    def _read(end: socket.socket) -> list[bytes]:
        frames = []
        while True:
            try:
                frames.append(end.recv(_FRAME_BYTES)[len(_VNET) :])
            except BlockingIOError:
                return frames

    # What must be so.

    def _state(self) -> tuple[object, ...]:
        """Return all that a refused message must leave alone."""
        entries = {entry.flow.key: (entry.flow, entry.created) for entry in self._table}
        return entries, self._table.digest, dict(self._datapath._ids), self._datapath.underlay, self._session.state

    def _check_replies(self, replies: list[bytes]) -> None:
        assert len(replies) <= PARTS_MAX + ROOM
        for reply in replies:
            assert len(reply) <= self._session.frame_max, f"{len(reply)} bytes"
            parsed = cvsw.parse_frame(reply)
            assert parsed.mac == MAC and parsed.type in (2, 8, 10, 12, 13, 14)
            assert len(reply) == cvsw.HEADER_LEN + len(parsed.body)
            cvsw.parse(parsed)

    def _check_refusal(
        self, frame: bytes, reasons: tuple[str, ...], replies: list[bytes], before: tuple[object, ...], peer: Capability
    ) -> None:
        """A refused message changes nothing, and says why."""
        refused = [reason for reason in reasons if reason in _REASONS]
        assert len(reasons) <= 1
        errors = [cvsw.parse(cvsw.parse_frame(reply)) for reply in replies if type_of(reply) == Type.ERROR]
        assert len(errors) == (len(refused) if peer & Capability.ERROR else 0)
        if reasons and type_of(frame) not in (Type.CHANGE_MTU, Type.CHANGE_OFFLOAD):
            assert self._state() == before, reasons
        for message in errors:
            assert isinstance(message, cvsw.Error)
            code = Code.find(message.error.error_type, message.error.code)
            assert code is not None and code.name.lower() == refused[0]
            assert frame.startswith(message.error.data) or not self._device_takes
            assert len(message.error.data) <= 128
            if type_of(frame) in ENTRY_TYPES and len(frame) >= XID.stop and code not in (Code.BRC_BAD_VERSION, Code.BRC_BAD_LEN):
                assert message.error.xid.to_bytes(4, "big") == frame[XID]

    def _check_good(self, frame: bytes, reasons: tuple[str, ...]) -> None:
        """What a controller of ours may send is carried out, or there is a reason that can be seen."""
        message = cvsw.parse(cvsw.parse_frame(frame))
        if not isinstance(message, cvsw.SetEntry | cvsw.DeleteEntry):
            return
        mod = message.flow_mod
        flow = Flow.from_message(mod)
        entry = next((one for one in self._table if one.flow.key == flow.key), None)
        assert _MAY_REFUSE.issuperset(reasons), reasons
        if "fmfc_all_tables_full" in reasons:
            assert len(self._table) == ROOM and entry is None
        elif "fmfc_overlap" in reasons:
            assert mod.flags & of10.FLAG_CHECK_OVERLAP
        elif "bac_bad_out_port" in reasons:
            assert any(isinstance(action, Output) and action.port not in list(Port) for action in mod.actions)
        elif "bac_bad_argument" in reasons:
            assert _is_tunnel_in_tunnel(mod.actions)
        elif mod.command is Command.ADD:
            assert entry is not None and entry.flow == flow
        elif mod.command is Command.MODIFY_STRICT:
            assert entry is not None and entry.flow.actions == mod.actions
        elif mod.command is Command.DELETE_STRICT and mod.out_port == of10.PORT_NONE:
            assert entry is None

    def _check_tables(self) -> None:
        """Both tables have the same entries, as far as one can see without a packet."""
        flows = {entry.flow.key: entry.flow for entry in self._table}
        assert len(flows) <= ROOM
        assert self._table.digest == sum(flow.digest for flow in flows.values()) % (1 << 64)
        ids = self._datapath._ids
        assert ids.keys() == flows.keys() and len(set(ids.values())) == len(ids)
        assert None not in self._path.flow_stats(list(ids.values()))

    def _check_alive(self) -> None:
        """Nothing that came keeps the agent from answering, in the form that it speaks now."""
        session = self._session
        if session.state is State.DISCONNECTED:
            return
        (register,) = self._answers(cvsw.Hello(session._peer))
        assert register == cvsw.Register(CAPABILITIES, _INSTANCE, ROOM)
        if session._peer:
            self._n_asked += 1
            (echo,) = self._answers(cvsw.EchoRequest(self._n_asked))
            assert isinstance(echo, cvsw.EchoReply) and echo.seq == self._n_asked
            self._check_status(echo.status)

    def _synchronise(self) -> None:
        """Begin a session in which no number has been taken."""
        self._n_asked += 1
        self._number = self._number + 1000 & 0xFFFFFFFF
        assert len(self._answers(cvsw.Hello(CAPABILITIES))) == 1
        (reply,) = self._answers(cvsw.BarrierRequest(self._n_asked, 0x10000 + self._n_asked, self._number))
        assert isinstance(reply, cvsw.BarrierReply)
        assert (reply.seq, reply.base, reply.received, reply.refused) == (self._n_asked, self._number, 0, 0)
        self._check_status(reply.status)

    def _check_status(self, status: cvsw.Status) -> None:
        assert (status.instance, status.n_entries, status.digest) == (_INSTANCE, len(self._table), self._table.digest)

    def _answers(self, message: cvsw.Message) -> list[cvsw.Message]:
        replies = self._deliver(cvsw.serialize(MAC, message))
        assert replies is not None
        self._check_replies(replies)
        return [cvsw.parse(cvsw.parse_frame(reply)) for reply in replies]

    # At the end

    def finish(self, chance: random.Random) -> None:
        """Compare what the agent tells of its table, and what that does to packets, with what it should be; then empty it."""
        if self._session.state is State.DISCONNECTED:
            return
        self._synchronise()
        told = [one for reply in self._answers(cvsw.FlowStatsRequest(of10.FlowStatsRequest(xid=9))) for one in _entries_of(reply)]
        assert Counter(map(Flow.from_message, told)) == Counter(entry.flow for entry in self._table)
        self._check_packets(chance)
        everything = of10.FlowMod(Command.DELETE, Match(), xid=self._number)
        self._answers(cvsw.DeleteEntry(everything))
        assert not len(self._table) and not self._table.digest and not self._datapath._ids and self._datapath.underlay is None
        for i in range(ROOM):
            self._path.add(Match(dl_vlan=i).serialize(), 1, b"")

    def _check_packets(self, chance: random.Random) -> None:
        """A packet of an entry comes to it; another fast path with the same entries does the same to it."""
        tap, host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link, net = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        entries = list(self._table)
        with tap, host, link, net, FastPath(link.fileno(), tap.fileno(), ROOM) as path:
            for end in (tap, host, net):
                end.setblocking(False)
            twin = FastDatapath(path, MAC, self._datapath._mtu)
            for entry in entries:
                twin.put(entry)
            underlay = self._datapath.underlay
            path.set_underlay(underlay and underlay[0], underlay[1] if underlay else MAC, self._datapath._mtu)
            for entry in entries:
                found = _packet_of(entry, chance)
                if found is None or not _is_decided(entries, found[0]):
                    continue
                key, frame = found
                went = [
                    self._forward(self._path, self._host, self._net, key.in_port, frame),
                    self._forward(path, host, net, key.in_port, frame),
                ]
                assert went[0] == went[1], entry.flow
                expected = _winner(entries, key)
                counts = [ids[expected.flow.key] for ids in (self._datapath._ids, twin._ids)]
                for one, id_ in zip((self._path, path), counts, strict=True):
                    (stats,) = one.flow_stats([id_])
                    assert stats is not None and stats.n_packets > 0, expected.flow

    def _forward(self, path: FastPath, host: socket.socket, net: socket.socket, in_port: int, frame: bytes) -> tuple[list[int], list[int]]:
        """Return the sizes of what went to the guest and to the wire."""
        (host if in_port == Port.HOST else net).send(_VNET + frame)
        path.step()
        return [len(one) for one in self._read(host)], [len(one) for one in self._read(net)]


def _entries_of(message: cvsw.Message) -> tuple[of10.FlowStats, ...]:
    assert isinstance(message, cvsw.FlowStatsReply)
    return message.reply.entries


def _is_tunnel_in_tunnel(actions: tuple[Action, ...]) -> bool:
    is_inside = False
    for action in actions:
        if is_inside and isinstance(action, SetTunnel):
            return True
        is_inside = isinstance(action, SetTunnel) or (is_inside and not isinstance(action, StripTunnel))
    return False


def _fits(entry: Entry, value: int) -> bool:
    return value & entry.mask == entry.value


def _winner(entries: list[Entry], key: PacketKey) -> Entry:
    return max((entry for entry in entries if _fits(entry, key.value)), key=lambda entry: entry.rank)


def _is_decided(entries: list[Entry], key: PacketKey) -> bool:
    """Return whether one entry is the packet's, and no tunnel's end is asked for."""
    ranks = sorted(entry.rank for entry in entries if _fits(entry, key.value))
    return bool(ranks) and ranks.count(ranks[-1]) == 1


def _packet_of(entry: Entry, chance: random.Random) -> tuple[PacketKey, bytes] | None:
    """Return a packet that fits an entry, with its key; None where that is no plain one of TCP, UDP, ICMP or nothing at all."""
    match = entry.flow.match.reduced()
    in_port = match.in_port or chance.choice((Port.HOST, Port.NET))
    if match.tunnel or in_port not in (Port.HOST, Port.NET):
        return None
    vlan = match.dl_vlan if match.dl_vlan is not None else (VLAN_NONE if match.dl_vlan_pcp is None else 5)
    if vlan != VLAN_NONE and vlan > 4095:
        return None
    pcp = match.dl_vlan_pcp or 0
    source, target = match.dl_src or bytes.fromhex("02000000000a"), match.dl_dst or bytes.fromhex("02000000000b")
    dl_type = match.dl_type if match.dl_type is not None else 0x88B5
    tag = b"" if vlan == VLAN_NONE else b"\x81\x00" + (pcp << 13 | vlan).to_bytes(2, "big")
    head = target + source + tag + dl_type.to_bytes(2, "big")
    ether = PacketKey(int(in_port), source, target, vlan, pcp if vlan != VLAN_NONE else 0, dl_type)
    if dl_type == 0x88B5:
        return ether, head + bytes(50)
    protocol = match.nw_proto if match.nw_proto is not None else 6
    if dl_type != 0x0800 or protocol not in (1, 6, 17):
        return None
    nw_src, nw_dst = (int(net.network_address) if net is not None else 0x0A000009 for net in (match.nw_src, match.nw_dst))
    tos, ports = match.nw_tos or 0, (match.tp_src or 0, match.tp_dst or 0)
    if protocol == 1 and max(ports) > 255:
        return None
    l4 = bytes(ports) if protocol == 1 else b"".join(port.to_bytes(2, "big") for port in ports)
    l4 = (l4 + (b"\0\x14" if protocol == 17 else b"")).ljust(12, b"\0") + b"\x50".ljust(8, b"\0")
    ip = bytes((0x45, tos, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0)) + nw_src.to_bytes(4, "big") + nw_dst.to_bytes(4, "big")
    key = PacketKey(int(in_port), source, target, vlan, ether.dl_vlan_pcp, dl_type, tos, protocol, nw_src, nw_dst, *ports)
    return key, head + ip + l4
