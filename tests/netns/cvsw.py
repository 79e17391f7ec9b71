"""A controller's end of CVSW on a port of a switch, where PACKET_OUT and PACKET_IN would be: a packet socket."""

import ctypes
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence

from nvo3.cvsw.controller import ControllerSession
from nvo3.cvsw.effect import Change, ControllerEffect, ControllerEvent, ReadTable, Received, Send, TableRead, Tick
from nvo3.cvsw.flow import Flow
from nvo3.lab import system
from nvo3.wire import cvsw
from nvo3.wire.of10 import FlowStats

_SEED = 5
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
# "ether proto 0xabba" for bpf(4): load the EtherType; the whole frame if it is that, else nothing.
_FILTER = [(0x28, 0, 0, 12), (0x15, 0, 1, cvsw.ETHERTYPE), (0x06, 0, 0, 1 << 16), (0x06, 0, 0, 0)]


def _open(port: str) -> socket.socket:
    """Return a socket that has the control frames that come from behind a port, be that a bridge's or not."""
    result = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER))
    result.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_FILTER), ctypes.addressof(program)))
    result.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
    result.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
    result.bind((port, 3))  # ETH_P_ALL
    result.setblocking(False)
    return result


class VnicController:
    """A session with the vNIC behind a port.  effects: what it asked for beside sending.  frames: what came from the agent.

    loss: of the frames, each way, 0..1.
    """

    def __init__(self, space: str, port: str, mac: bytes, *, seed: int = _SEED, loss: float = 0) -> None:
        self.mac = mac
        self.session = ControllerSession(mac, random.Random(seed))
        self._loss = loss
        self._chance = random.Random(seed)
        self.effects: list[ControllerEffect] = []
        self.frames: list[bytes] = []
        self._socket = system.call_in(space, lambda: _open(port))

    def __enter__(self) -> "VnicController":
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, frame: bytes) -> None:
        """Send any frame."""
        self._socket.send(frame)

    def _send(self, frame: bytes) -> None:
        if self._chance.random() >= self._loss:
            self.send(frame)

    def tell(self, event: ControllerEvent) -> None:
        for effect in self.session.handle(event, time.monotonic()):
            if isinstance(effect, Send):
                self._send(effect.frame)
            else:
                self.effects.append(effect)

    def receive(self) -> None:
        try:
            while True:
                frame = self._socket.recv(1 << 16)
                if self._chance.random() >= self._loss:
                    self.frames.append(frame)
                    self.tell(Received(frame))
        except BlockingIOError:
            pass

    @property
    def is_confirmed(self) -> bool:
        return self.session.confirmed == self.session.version

    def of_kind(self, kind: type) -> list[object]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def want(self, *flows: Flow, delete: Sequence[Flow] = ()) -> None:
        """Have these flows in force."""
        self.tell(Change(flows, tuple(flow.key for flow in delete)))
        serve([self], lambda: self.is_confirmed)

    def messages(self) -> list[cvsw.Message]:
        """Return what came from the agent."""
        return [cvsw.parse(cvsw.parse_frame(frame)) for frame in self.frames]

    def read(self) -> dict[bytes, FlowStats]:
        """Return the agent's table."""
        n = len(self.of_kind(TableRead))
        self.tell(ReadTable())
        serve([self], lambda: len(self.of_kind(TableRead)) > n)
        result = self.of_kind(TableRead)[-1]
        assert isinstance(result, TableRead)
        return {Flow.from_message(entry).key: entry for entry in result.entries}


def serve(controllers: Sequence[VnicController], until: Callable[[], bool], timeout_s: float = 20) -> float:
    """Serve until something is so; return how long that took."""
    begin = now = time.monotonic()
    while not until():
        deadlines = [d for one in controllers if (d := one.session.next_deadline) is not None]
        wait_s = min([*(max(d - now, 0) for d in deadlines), 0.02])
        readable, _, _ = select.select(controllers, [], [], wait_s)
        for one in readable:
            one.receive()
        now = time.monotonic()
        for one in controllers:
            if (deadline := one.session.next_deadline) is not None and deadline <= now:
                one.tell(Tick())
        assert now - begin < timeout_s, f"not so after {timeout_s} s"
    return time.monotonic() - begin
