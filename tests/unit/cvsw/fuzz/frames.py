"""Control frames for fuzzing: good ones of all types, and what damage makes of them.  All chance comes from a `random.Random`."""

import random
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network

from nvo3.wire import cvsw, of10, of10_action
from nvo3.wire.cvsw import Type
from nvo3.wire.of10 import Command
from nvo3.wire.of10_action import SEGMENT_MIN, Action, SetTunnel, StripTunnel
from nvo3.wire.of10_match import VLAN_NONE, Match, Tunnel, TunnelMatch

MAC = bytes.fromhex("020000000001")
ENTRY_TYPES = (Type.SET_ENTRY, Type.DELETE_ENTRY)
XID = slice(cvsw.HEADER_LEN + 4, cvsw.HEADER_LEN + 8)  # of the OpenFlow message in a frame
_LENGTH = slice(8, 10)
_OF_LENGTH = slice(cvsw.HEADER_LEN + 2, cvsw.HEADER_LEN + 4)
_ACTIONS = cvsw.HEADER_LEN + of10.FLOW_MOD_LEN
_BODY_MAX = 0xFFFF
_SETS = (Command.ADD, Command.ADD, Command.ADD, Command.MODIFY, Command.MODIFY_STRICT)
_DELETES = (Command.DELETE, Command.DELETE_STRICT, Command.DELETE_STRICT)
_ODD_LENGTHS = (0, 1, 7, 8, 9, 15, 16, 63, 64, 65, 71, 72, 73, 80, 88, 0x7FFF, 0x8000, 0xFFF8, 0xFFFE, 0xFFFF)
_ODD_TYPES = (0, 11, 12, 0x0FFF, 0x1000, 0x1001, 0x1005, 0x1009, 0x100A, 0x100B, 0x2320, 0xFFFF)


class Frames:
    """Makes frames."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def action(self) -> Action:
        """Return any action that the wire can carry; ports are those of a vNIC most of the time."""
        chance = self.chance
        tunnel = chance.choice(list(Tunnel))
        makers: tuple[Callable[[], Action], ...] = (
            lambda: of10_action.Output(chance.choice(list(of10_action.Port))),
            lambda: of10_action.Output(chance.choice((*of10_action.Port, 0, 0xFFFD, 7)), chance.getrandbits(16)),
            lambda: of10_action.SetVlanVid(chance.randrange(4096)),
            lambda: of10_action.SetVlanPcp(chance.randrange(8)),
            of10_action.StripVlan,
            lambda: of10_action.SetDlSrc(chance.randbytes(6)),
            lambda: of10_action.SetDlDst(chance.randbytes(6)),
            lambda: of10_action.SetNwSrc(chance.randbytes(4)),
            lambda: of10_action.SetNwDst(chance.randbytes(4)),
            lambda: of10_action.SetNwTos(chance.randrange(64) << 2),
            lambda: of10_action.SetTpSrc(chance.getrandbits(16)),
            lambda: of10_action.SetTpDst(chance.getrandbits(16)),
            lambda: self._set_tunnel(tunnel),
            lambda: self._set_tunnel(tunnel),
            lambda: StripTunnel(tunnel),
        )
        return chance.choice(makers)()

    def _set_tunnel(self, tunnel: Tunnel) -> SetTunnel:
        chance, is_sclp = self.chance, tunnel is Tunnel.SCLP
        return SetTunnel(
            tunnel,
            chance.randbytes(6),
            chance.randbytes(6),
            chance.randbytes(4),
            chance.randbytes(4),
            chance.getrandbits(chance.choice((1, tunnel.id_bits))),
            is_sclp and chance.random() < 0.5,
            is_sclp and chance.random() < 0.5,
            chance.choice((0, SEGMENT_MIN, 1500, 65535)),
        )

    def match(self) -> Match:
        """Return any match; from few values, so that entries meet."""
        chance = self.chance
        tunnel = None
        if chance.random() < 0.3:
            bits = chance.choice((0, 1, 24, 32))
            tunnel = TunnelMatch(chance.choice(list(Tunnel)), chance.getrandbits(bits) if bits else 0, bits)
        values: tuple[Sequence[object], ...] = (
            (1, 2, 0xFFFF),
            (bytes(6), MAC),
            (bytes(6), MAC, b"\xff" * 6),
            (VLAN_NONE, 0, 5, 0x1005),
            (0, 7),
            (0x0800, 0x0800, 0x0800, 0x0806, 0x86DD, 0),
            (0, 4, 252),
            (0, 1, 6, 17, 255),
            (IPv4Network("10.0.0.0/8"), IPv4Network("10.0.0.1/32"), IPv4Network("0.0.0.0/1")),
            (IPv4Network("10.0.0.0/31"), IPv4Network("10.0.0.1/32"), IPv4Network("192.0.2.1/32")),
            (0, 1, 65535),
            (0, 1, 65535),
        )
        n_ports = len(values) - (2 if tunnel else 0)
        density = chance.choice((0.1, 0.3, 0.5, 1.0))
        fields = [chance.choice(of) if i < n_ports and chance.random() < density else None for i, of in enumerate(values)]
        return Match(*fields, tunnel)  # type: ignore[arg-type, call-arg]

    def flow_mod(self, commands: Sequence[Command]) -> of10.FlowMod:
        """Return a FLOW_MOD; most have no timeout."""
        chance = self.chance
        timeouts = [chance.choice((0, 0, 0, 1, 10, 65535)) for _ in range(2)]
        priority, flags = chance.choice((0, 1, 0x8000, 0xFFFF)), chance.choice((0, 0, 0, 1, 2, 3))
        out_port = chance.choice((of10.PORT_NONE, of10.PORT_NONE, of10.PORT_NONE, 1, 2))
        actions = tuple(self.action() for _ in range(chance.choice((0, 1, 1, 2, 3, 6))))
        cookie, xid = chance.getrandbits(64), chance.getrandbits(32)
        return of10.FlowMod(chance.choice(commands), self.match(), priority, actions, cookie, *timeouts, flags, out_port, xid)

    def set_entry(self) -> cvsw.SetEntry:
        return cvsw.SetEntry(self.flow_mod(_SETS))

    def delete_entry(self) -> cvsw.DeleteEntry:
        return cvsw.DeleteEntry(self.flow_mod(_DELETES))

    def to_agent(self) -> cvsw.Message:
        """Return a message that an agent may get from a controller, changes of the table most often."""
        chance = self.chance
        bits = chance.choice((0, 0, 1, 4, cvsw.BUCKET_BITS_MAX))
        makers: tuple[Callable[[], cvsw.Message], ...] = (
            *[self.set_entry] * 8,
            *[self.delete_entry] * 3,
            lambda: cvsw.Hello(cvsw.Capability(chance.choice((0x3F, 0x3F, 0, chance.randrange(64))))),
            lambda: cvsw.ChangeMtu(chance.choice((0, 68, 576, 1280, 1500, 9000, 65535))),
            lambda: cvsw.ChangeOffload(cvsw.Offload(chance.randrange(32))),
            lambda: cvsw.BarrierRequest(chance.getrandbits(32), chance.choice((1, 2, 0)), chance.getrandbits(chance.choice((9, 32)))),
            lambda: cvsw.EchoRequest(chance.getrandbits(32)),
            lambda: cvsw.FlowStatsRequest(of10.FlowStatsRequest(self.match(), chance.choice((0xFFFF, 1, 2)), 7), bits, 0),
            lambda: cvsw.FlowStatsRequest(of10.FlowStatsRequest(), bits, chance.randrange(1 << bits)),
        )
        return chance.choice(makers)()

    def _status(self) -> cvsw.Status:
        words = (self.chance.getrandbits(size) for size in (32, 32, 16, 64, 16, 16))
        return cvsw.Status(*words)

    def _stats(self) -> of10.FlowStats:
        mod, chance = self.flow_mod(_SETS), self.chance
        rest = (mod.cookie, mod.idle_timeout, mod.hard_timeout, mod.flags)
        return of10.FlowStats(mod.match, mod.priority, mod.actions, *rest, chance.getrandbits(40), *(chance.getrandbits(64) for _ in "ab"))

    def to_controller(self) -> cvsw.Message:
        """Return a message that a controller may get from an agent."""
        chance = self.chance
        makers: tuple[Callable[[], cvsw.Message], ...] = (
            lambda: cvsw.Register(
                cvsw.Capability(chance.choice((0, 0x3F, chance.randrange(64)))), self._word(), self._word(), chance.random() < 0.5
            ),
            lambda: cvsw.BarrierReply(self._seq(), self._status(), self._word(), *(chance.getrandbits(cvsw.WINDOW) for _ in "ab")),
            lambda: cvsw.EchoReply(self._seq(), self._status()),
            lambda: cvsw.FlowStatsReply(self._stats_reply(), chance.choice((0, 1, 63, 64, 65535))),
            lambda: cvsw.FlowRemoved(self._removed()),
            lambda: cvsw.Error(
                of10.Error(chance.randrange(6), chance.randrange(10), chance.randbytes(chance.randrange(140)), self._word())
            ),
        )
        return chance.choice(makers)()

    def _stats_reply(self) -> of10.FlowStatsReply:
        entries = tuple(self._stats() for _ in range(self.chance.randrange(4)))
        return of10.FlowStatsReply(entries, self.chance.random() < 0.5, self._word())

    def _removed(self) -> of10.FlowRemoved:
        reason, times = self.chance.choice(list(of10.Reason)), (self.chance.choice((0, 5)), self._word())
        return of10.FlowRemoved(self.match(), self.chance.getrandbits(16), reason, self._word(), *times, self._word(), self._word())

    def _word(self) -> int:
        return self.chance.getrandbits(32)

    def _seq(self) -> int:
        return self.chance.choice((1, 2, 3, self.chance.getrandbits(32)))

    # Damage

    def damaged(self, frame: bytes, other: bytes) -> bytes:
        """Return the frame after one to four changes, with its lengths put right afterwards or not.  other: to splice with."""
        chance = self.chance
        data = bytearray(frame)
        changes = (
            self._cut,
            self._flip_bit,
            self._flip_bit,
            self._set_byte,
            self._set_length,
            self._set_action,
            self._set_action,
            self._repeat,
            self._remove,
            self._append,
            self._set_type,
            self._fill,
            lambda what: self._splice(what, other),
        )
        for _ in range(chance.choice((1, 1, 2, 4))):
            chance.choice(changes)(data)
        if chance.random() < 0.6:
            put_lengths_right(data)
        if chance.random() < 0.95:
            data[: len(MAC)] = MAC
        return bytes(data[: cvsw.HEADER_LEN + _BODY_MAX])

    def _place(self, data: bytearray) -> int:
        return self.chance.randrange(len(MAC), len(data)) if len(data) > len(MAC) else 0

    def _cut(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _flip_bit(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] ^= 1 << self.chance.randrange(8)

    def _set_byte(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] = self.chance.choice((0, 1, 0x7F, 0x80, 0xFF, self.chance.randrange(256)))

    def _set_length(self, data: bytearray) -> None:
        where = self.chance.choice((_LENGTH, _OF_LENGTH))
        if len(data) >= where.stop:
            now = int.from_bytes(data[where], "big")
            data[where] = (self.chance.choice((*_ODD_LENGTHS, now + 1, now - 1, now + 8, now - 8)) & 0xFFFF).to_bytes(2, "big")

    def _set_action(self, data: bytearray) -> None:
        """Give an action another type or length; where actions begin is a guess after the first."""
        at = _ACTIONS + 8 * self.chance.choice((0, 0, 1, 2, 8, 9))
        if len(data) < at + 4:
            return
        if self.chance.random() < 0.5:
            data[at : at + 2] = self.chance.choice((*_ODD_TYPES, self.chance.randrange(13))).to_bytes(2, "big")
        else:
            data[at + 2 : at + 4] = self.chance.choice(_ODD_LENGTHS).to_bytes(2, "big")

    def _repeat(self, data: bytearray) -> None:
        begin = self.chance.choice((_ACTIONS, self._place(data)))
        data[begin:begin] = data[begin : begin + self.chance.choice((1, 2, 8, 64, 72))]

    def _remove(self, data: bytearray) -> None:
        begin = self.chance.choice((_ACTIONS, self._place(data)))
        del data[begin : begin + self.chance.choice((1, 2, 8, 64))]

    def _append(self, data: bytearray) -> None:
        data += self.chance.randbytes(self.chance.choice((1, 7, 8, 64)))

    def _set_type(self, data: bytearray) -> None:
        kind = self.chance.random()
        if kind < 0.6 and len(data) > 6:
            data[6] = self.chance.choice((0x20, 0x20, 0x20, 0x10)) | self.chance.randrange(16)
        elif len(data) > cvsw.HEADER_LEN + 1:
            data[cvsw.HEADER_LEN + 1] = self.chance.choice((*of10.Type, 0, 13, 255))

    def _fill(self, data: bytearray) -> None:
        """Have actions up to what a frame can carry, or about as many as an agent may tell of in one."""
        if self.chance.random() < 0.8 or len(data) < _ACTIONS:
            return
        one = bytes(data[_ACTIONS:]) or struct.pack("!HHHH", 0, 8, 1, 0)
        size = self.chance.choice((464, 472, 480, 1392, 1400, 1408, 1428, 9000, 65456, 65464, _BODY_MAX))
        data[_ACTIONS:] = (one * (size // len(one) + 1))[: self.chance.choice((size, size // len(one) * len(one)))]

    def _splice(self, data: bytearray, other: bytes) -> None:
        at = self._place(data)
        data[at:] = other[at if self.chance.random() < 0.7 else self._place(bytearray(other)) :]


def put_lengths_right(data: bytearray) -> None:
    """Have a frame say how long it is, and the OpenFlow message in it."""
    body = len(data) - cvsw.HEADER_LEN
    if 0 <= body <= _BODY_MAX:
        data[_LENGTH] = body.to_bytes(2, "big")
        if body >= of10.HEADER_LEN and data[6] & 15 in (3, 4, 7, 8, 9, 10, 11, 12, 13, 14):
            data[_OF_LENGTH] = body.to_bytes(2, "big")


def type_of(frame: bytes) -> int:
    """Return the type of a frame, -1 where it is cut off."""
    return frame[6] & 15 if len(frame) > 6 else -1
