"""A fast path between two sockets, under sanitizers."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scapy.compat import raw
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.native.conftest import Tool

VNET = struct.Struct("=BBHHHH")  # virtio-net header: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
NEEDS_CSUM, DATA_VALID = 1, 2
_RECEIVE_NET = 64  # receive.h
GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 1, 4, 5, 0x80


@dataclass(frozen=True)
class Frame:
    """A frame with what its virtio-net header says."""

    data: bytes
    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    @classmethod
    def parse(cls, text: str) -> "Frame":
        wire = bytes.fromhex(text)
        return cls(wire[VNET.size :], *VNET.unpack_from(wire))

    def hex(self) -> str:
        head = VNET.pack(self.flags, self.gso_type, self.hdr_len, self.gso_size, self.csum_start, self.csum_offset)
        return (head + self.data).hex()

    @property
    def packet(self) -> Packet:
        return Ether(self.data)


def plain(packet: Packet | bytes) -> Frame:
    return Frame(packet if isinstance(packet, bytes) else raw(packet))


@dataclass(frozen=True)
class Out:
    """What came out."""

    host: list[Frame]
    net: list[Frame]
    control: list[bytes]


class Switch:
    """The fast path of the tool."""

    def __init__(self, tool: Tool, max_entries: int = 1000) -> None:
        self._tool = tool
        tool.ask("path-new", max_entries)

    def close(self) -> None:
        self._tool.ask("path-end")

    def underlay(self, address: str, mac: str, mtu: int = 1500) -> None:
        from ipaddress import IPv4Address

        self._tool.ask("path-underlay", int(IPv4Address(address)), mac.replace(":", ""), mtu)

    def miss_drops(self) -> None:
        self._tool.ask("path-miss", 1)

    def try_add(self, match: bytes, priority: int = 10, actions: bytes = b"") -> tuple[int, int]:
        """Return error and id."""
        answer = self._tool.ask("path-add", priority, match.hex(), actions.hex())
        return answer["error"], answer["id"]

    def add(self, match: bytes, actions: bytes = b"", priority: int = 10) -> int:
        error, id_ = self.try_add(match, priority, actions)
        assert not error
        return id_

    def modify(self, id_: int, actions: bytes) -> int:
        return int(self._tool.ask("path-modify", id_, actions.hex()))

    def delete(self, id_: int) -> int:
        return int(self._tool.ask("path-delete", id_))

    def clear(self) -> None:
        self._tool.ask("path-clear")

    def stats(self, id_: int) -> tuple[int, int, bool]:
        """Return packets, bytes, and whether the entry is there."""
        ((packets, octets, is_there),) = self._tool.ask("path-read", id_)
        return packets, octets, is_there

    def counters(self) -> dict[str, int]:
        """Return those that are not 0."""
        return {name: value for name, value in self._tool.ask("path-counters").items() if value}

    def buffers_lost(self) -> int:
        """Return how many buffers neither reassembly holds nor wait for the link."""
        counters = self._tool.ask("path-counters")
        held = counters["buffers_large_now"] + counters["buffers_small_now"]
        return max(0, int(held - counters["reassembly_segments_now"] - _RECEIVE_NET))

    def drops(self) -> dict[str, int]:
        return {name: value for name, value in self.counters().items() if name.startswith("drop_")}

    def from_host(self, *frames: Frame | Packet | bytes) -> Out:
        return self._frames("path-host", frames)

    def from_net(self, *frames: Frame | Packet | bytes) -> Out:
        return self._frames("path-net", frames)

    def send(self, frame: bytes) -> Out:
        return self._out("path-send", frame.hex())

    def step(self, timeout_ms: int = 0) -> Out:
        return self._out("path-step", timeout_ms)

    def _frames(self, command: str, frames: tuple[Frame | Packet | bytes, ...]) -> Out:
        return self._out(command, *((one if isinstance(one, Frame) else plain(one)).hex() for one in frames))

    def _out(self, *words: object) -> Out:
        answer = self._tool.ask(*words)
        return Out(
            [Frame.parse(text) for text in answer["host"]],
            [Frame.parse(text) for text in answer["net"]],
            [bytes.fromhex(text) for text in answer["control"]],
        )


@pytest.fixture
def switch(tool: Tool) -> Iterator[Switch]:
    one = Switch(tool)
    try:
        yield one
        assert one.buffers_lost() == 0
    finally:
        one.close()
