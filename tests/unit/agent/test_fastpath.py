"""The binding of the fast path; what the fast path does with packets is tests/native/fastpath's."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from nvo3.agent.fastpath import HOST, NET, FastPath, FlowStats, Refusal, RefusedError
from tests.native.fastpath import openflow as of

_VNET = bytes(10)
_FRAME = bytes.fromhex("02000000000b 02000000000a 88b5") + bytes(50)
_CONTROL = bytes.fromhex("02aa00000001 130000480000 abba") + bytes(72)


@dataclass
class _Bench:
    """A fast path between two sockets, of which it has one end and we have the other."""

    path: FastPath
    host: socket.socket
    net: socket.socket


@pytest.fixture
def bench() -> Iterator[_Bench]:
    tap, host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link, net = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    tap.setblocking(False)
    for end in (host, net):
        end.settimeout(10)
    with tap, host, link, net, FastPath(link.fileno(), tap.fileno(), max_entries=10) as path:
        yield _Bench(path, host, net)


@pytest.fixture
def running(bench: _Bench) -> Iterator[_Bench]:
    thread = threading.Thread(target=bench.path.run)
    thread.start()
    yield bench
    bench.path.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_ports() -> None:
    assert (HOST, NET) == (of.HOST, of.NET)


def test_forwards_in_its_thread(running: _Bench) -> None:
    running.host.send(_VNET + _FRAME)
    assert running.net.recv(1000) == _VNET + _FRAME
    running.net.send(_VNET + _FRAME)
    assert running.host.recv(1000) == _VNET + _FRAME


def test_entry_and_its_counters(bench: _Bench) -> None:
    before = time.monotonic_ns() // 1_000_000
    id_ = bench.path.add(of.match(in_port=of.HOST), 5, of.output(of.IN_PORT))
    (fresh,) = bench.path.flow_stats([id_])
    assert fresh is not None and fresh.n_packets == 0 and fresh.used_ms >= before
    for _ in range(3):
        bench.host.send(_VNET + _FRAME)
    bench.path.step()
    assert bench.path.flow_stats([id_, 12345])[1] is None
    stats = bench.path.delete(id_)
    assert stats == FlowStats(3, 3 * len(_FRAME), stats.used_ms) and stats.used_ms >= fresh.used_ms
    assert bench.path.flow_stats([id_]) == [None]


def test_miss_can_drop(bench: _Bench) -> None:
    bench.path.set_miss(drops=True)
    bench.host.send(_VNET + _FRAME)
    bench.path.step()
    assert bench.path.counters()["drop_miss"] == 1


def test_refusals_name_the_reason(bench: _Bench) -> None:
    with pytest.raises(RefusedError) as caught:
        bench.path.add(of.match(), 1, of.output(99))
    assert caught.value.reason is Refusal.BAD_OUT_PORT and str(caught.value) == "bad out port"
    for call in (lambda: bench.path.delete(7), lambda: bench.path.modify(7, b"")):
        with pytest.raises(RefusedError) as caught:
            call()
        assert caught.value.reason is Refusal.NO_ENTRY
    for i in range(10):
        bench.path.add(of.match(dl_vlan=i), 1, b"")
    with pytest.raises(RefusedError) as caught:
        bench.path.add(of.match(dl_vlan=10), 1, b"")
    assert caught.value.reason is Refusal.TABLE_FULL
    bench.path.clear()
    bench.path.add(of.match(), 1, b"")


def test_misuse(bench: _Bench) -> None:
    with pytest.raises(ValueError, match="40 bytes, not 39"):
        bench.path.add(bytes(39), 1, b"")
    with pytest.raises(ValueError, match="6 bytes, not 5"):
        bench.path.set_underlay(IPv4Address("192.0.2.1"), bytes(5), 1500)
    with pytest.raises(OSError, match="Invalid argument"):
        FastPath(0, 0, max_entries=0)


def test_control_frames(running: _Bench) -> None:
    assert running.path.receive_control() is None
    running.net.send(_VNET + _CONTROL)
    deadline = time.monotonic() + 10
    while (frame := running.path.receive_control()) is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert frame == _CONTROL
    running.path.send(_CONTROL)
    assert running.net.recv(1000) == _VNET + _CONTROL


def test_stop_before_run(bench: _Bench) -> None:
    bench.path.stop()
    bench.path.run()


def test_underlay_and_counters(bench: _Bench) -> None:
    bench.path.set_underlay(IPv4Address("192.0.2.1"), bytes(6), 1500)
    bench.path.set_underlay(None, bytes(6), 1500)
    counters = bench.path.counters()
    assert {"net_rx_packets", "stt_ok", "sclp_ok", "reassembly_bytes_now"} <= set(counters) and not any(counters.values())
