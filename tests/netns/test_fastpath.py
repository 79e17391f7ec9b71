"""The agent's fast path on real devices: two guests, each with a vNIC that a fast path reads, programmed by hand; and Linux's own VXLAN."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from nvo3.agent import device
from nvo3.agent.fastpath import FastPath
from nvo3.lab import Lab, node, system
from nvo3.lab.system import wait_until
from tests.native.fastpath import openflow as of

pytestmark = pytest.mark.netns

_TRANSFER = [sys.executable, str(Path(__file__).with_name("transfer.py"))]
_VNIC, _TAP, _VNI = "eth0", "tap0", 5001
_UNDERLAY = ("192.0.2.1", "192.0.2.2")
_MACS = ("02:aa:00:00:00:01", "02:aa:00:00:00:02")
_IPV4 = ("10.0.0.1", "10.0.0.2")
_IPV6 = ("fd00::1", "fd00::2")
_UNDERLAY_MTU = 1500
_SIZE = 30_000_000
# As the agent shall: what SCLP over UDP carries in one packet, after all headers.
_GSO_MAX_SIZE = 64000


@dataclass(frozen=True, slots=True)
class _Tunnel:
    """An encapsulation.

    overhead: of an inner frame, where one packet carries it; 0 where the guest's MTU is free.  flags: of the set action.
    """

    kind: int
    overhead: int = 0
    flags: int = 0

    @property
    def mtu(self) -> int:
        return _UNDERLAY_MTU - self.overhead


_TUNNELS = {
    "vxlan": _Tunnel(of.VXLAN, 50),
    "nvgre": _Tunnel(of.NVGRE, 42),
    "stt": _Tunnel(of.STT),
    "geneve": _Tunnel(of.GENEVE, 50),
    "sclp": _Tunnel(of.SCLP, flags=of.OFFLOAD),
    "sclp without offload": _Tunnel(of.SCLP),
    "sclp-udp": _Tunnel(of.SCLP, flags=of.OFFLOAD | of.UDP),
}


class _Listener:
    """A packet socket on a TAP: how large the frames were that crossed it."""

    def __init__(self) -> None:
        self._socket = device.open_link(_TAP)
        self._socket.setblocking(False)
        self._socket.setsockopt(263, 23, 0)  # SOL_PACKET, PACKET_IGNORE_OUTGOING

    def largest(self) -> int:
        """Return the size of the largest frame so far and close."""
        largest = 0
        with self._socket:
            while True:
                try:
                    largest = max(largest, self._socket.recv_into(bytearray(64), 64, socket.MSG_TRUNC))
                except BlockingIOError:
                    return largest


@contextmanager
def _agent(space: str, index: int, mtu: int) -> Iterator[FastPath]:
    """Run a fast path in a namespace, between its vNIC and a TAP with the guest's addresses."""
    with ExitStack() as stack:
        link = stack.enter_context(system.call_in(space, lambda: device.open_link(_VNIC)))
        tap = system.call_in(space, lambda: device.open_tap(_TAP))
        stack.callback(os.close, tap)
        system.ip(
            [
                f"link set {_TAP} address 02:00:00:00:00:0{index + 1} mtu {mtu} gso_max_size {_GSO_MAX_SIZE} up",
                f"address add {_IPV4[index]}/24 dev {_TAP}",
                f"address add {_IPV6[index]}/64 dev {_TAP} nodad",
            ],
            space,
        )
        path = stack.enter_context(FastPath(link.fileno(), tap))
        path.set_underlay(IPv4Address(_UNDERLAY[index]), of.mac_bytes(_MACS[index]), _UNDERLAY_MTU)
        thread = threading.Thread(target=path.run)
        thread.start()
        stack.callback(thread.join)
        stack.callback(path.stop)
        yield path


def _program(path: FastPath, index: int, tunnel: _Tunnel) -> None:
    peer = 1 - index
    ends = {"macs": (_MACS[peer], _MACS[index]), "addresses": (_UNDERLAY[peer], _UNDERLAY[index])}
    path.add(of.match(in_port=of.HOST), 1, of.set_tunnel(tunnel.kind, _VNI, flags=tunnel.flags, **ends) + of.output(of.NET))
    tunnelled = of.match(tunnel.kind, _VNI, in_port=of.NET, dl_type=0x800, nw_src=_UNDERLAY[peer])
    path.add(tunnelled, 1, of.strip_tunnel(tunnel.kind) + of.output(of.HOST))


@pytest.fixture
def spaces(free_lab: Lab) -> Iterator[tuple[str, str]]:
    """Two namespaces that a cable joins."""
    a, b = (free_lab.names.netns(name) for name in ("fpa", "fpb"))
    with ExitStack() as stack:
        for space in (a, b):
            system.run(["ip", "netns", "add", space])
            stack.callback(system.run, ["ip", "netns", "delete", space])
            system.set_sysctls(space, {"ipv6/conf/default/accept_dad": "0", "ipv6/conf/default/dad_transmits": "0"})
        system.ip([f"link add name {_VNIC} netns {a} type veth peer name {_VNIC} netns {b}"])
        for space, mac in zip((a, b), _MACS, strict=True):
            system.ip(["link set lo up", f"link set {_VNIC} address {mac} mtu {_UNDERLAY_MTU} up"], space)
        yield a, b


def _set_wire(spaces: tuple[str, str], wire: str) -> None:
    """As the lab's: tso, or gso, whose NICs segment in the kernel and coalesce on receipt."""
    if wire == "gso":
        for space in spaces:
            features = [word for name in ("tso", "tx-udp-segmentation") for word in (name, "off")]
            system.run_in(space, ["ethtool", "-K", _VNIC, *features, "gro", "on", "rx-udp-gro-forwarding", "on"])


def _ping(space: str, address: str, size: int = 56) -> None:
    argv = ["ping", "-n", "-c", "1", "-W", "1", "-s", str(size), address]
    assert wait_until(lambda: not subprocess.run(["ip", "netns", "exec", space, *argv], capture_output=True, check=False).returncode, 10)


def _transfer(spaces: tuple[str, str], address: str) -> None:
    """Move bytes from the first to the second guest, whose address is given, and compare."""
    argv = [["ip", "netns", "exec", space, *_TRANSFER] for space in spaces]
    receiver = subprocess.Popen([*argv[1], "tcp-receive", address, "7000"], stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout and receiver.stdout.readline() == "ready\n"
        done = subprocess.run([*argv[0], "tcp-send", address, "7000", str(_SIZE)], capture_output=True, text=True, timeout=60, check=True)
    finally:
        receiver.kill()
        receiver.wait()
        receiver.stdout and receiver.stdout.close()
    result = json.loads(done.stdout)
    assert result["sent"] == result["received"]


def _unexpected(path: FastPath) -> dict[str, int]:
    """Return what was dropped for a reason."""
    return {name: n for name, n in path.counters().items() if n and name.startswith("drop_") and name != "drop_host_send"}


@pytest.mark.parametrize("wire", ["tso", "gso"])
@pytest.mark.parametrize("name", _TUNNELS)
def test_two_guests(spaces: tuple[str, str], name: str, wire: str) -> None:
    tunnel = _TUNNELS[name]
    _set_wire(spaces, wire)
    for space in spaces:
        node.silence(space, [_VNIC])
    with _agent(spaces[0], 0, tunnel.mtu) as first, _agent(spaces[1], 1, tunnel.mtu) as second:
        for index, path in enumerate((first, second)):
            _program(path, index, tunnel)
        for address in (_IPV4[1], _IPV6[1]):
            _ping(spaces[0], address)
            _ping(spaces[0], address, tunnel.mtu - 48)
        listeners = [system.call_in(space, _Listener) for space in spaces]
        for address in (_IPV4[1], _IPV6[1]):
            _transfer(spaces, address)
        sent, received = (listener.largest() for listener in listeners)
        assert sent > 60000
        assert received > 60000 or tunnel.overhead or not tunnel.flags & of.OFFLOAD and tunnel.kind == of.SCLP
        assert not _unexpected(first) and not _unexpected(second)


def test_guest_mtu_above_the_underlays(spaces: tuple[str, str]) -> None:
    for space in spaces:
        node.silence(space, [_VNIC])
    with _agent(spaces[0], 0, 9000) as first, _agent(spaces[1], 1, 9000) as second:
        for index, path in enumerate((first, second)):
            _program(path, index, _TUNNELS["stt"])
        _ping(spaces[0], _IPV4[1], 8900)
        _transfer(spaces, _IPV4[1])


def test_linux_vxlan(spaces: tuple[str, str]) -> None:
    """A peer that is no agent, in both directions; the agent answers ARP for its underlay address."""
    tunnel = _TUNNELS["vxlan"]
    node.silence(spaces[0], [_VNIC])
    system.ip(
        [
            f"address add {_UNDERLAY[1]}/24 dev {_VNIC}",
            f"link add vx0 type vxlan id {_VNI} local {_UNDERLAY[1]} remote {_UNDERLAY[0]} dstport 4789",
            f"link set vx0 mtu {tunnel.mtu} up",
            f"address add {_IPV4[1]}/24 dev vx0",
            f"address add {_IPV6[1]}/64 dev vx0 nodad",
        ],
        spaces[1],
    )
    with _agent(spaces[0], 0, tunnel.mtu) as path:
        _program(path, 0, tunnel)
        for index, address in ((1, _IPV4), (1, _IPV6)):
            _ping(spaces[0], address[index])
            _transfer(spaces, address[1])
            _transfer((spaces[1], spaces[0]), address[0])
        counters = path.counters()
        assert counters["arp_replies"] >= 1
        assert not _unexpected(path)


def test_tagged_frames_keep_their_tag(spaces: tuple[str, str]) -> None:
    """The kernel takes tags out of what a packet socket receives."""
    for space in spaces:
        node.silence(space, [_VNIC])
    tagged = bytes.fromhex("02000000000202000000000181006007" + "88b5") + bytes(100)
    with _agent(spaces[0], 0, 1500), _agent(spaces[1], 1, 1500):
        guests = [system.call_in(space, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)) for space in spaces]
        with guests[0], guests[1]:
            guests[1].setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
            guests[1].settimeout(10)
            for guest in guests:
                guest.bind((_TAP, 3))  # ETH_P_ALL
            guests[0].send(tagged)
            while True:
                data, ancillary, _, _ = guests[1].recvmsg(2000, 100)
                if data[12:14] == b"\x88\xb5":
                    break
    ((_, _, auxdata),) = ancillary
    assert data == tagged[:12] + tagged[16:]
    assert auxdata[16:20] == (0x6007).to_bytes(2, sys.byteorder) + (0x8100).to_bytes(2, sys.byteorder)


def test_run_ends_when_the_tap_does(spaces: tuple[str, str]) -> None:
    link = system.call_in(spaces[0], lambda: device.open_link(_VNIC))
    tap = system.call_in(spaces[0], lambda: device.open_tap(_TAP))
    errors: list[OSError] = []

    def run() -> None:
        try:
            path.run()
        except OSError as error:
            errors.append(error)

    with link, FastPath(link.fileno(), tap) as path:
        thread = threading.Thread(target=run)
        thread.start()
        system.ip([f"link delete {_TAP}"], spaces[0])
        thread.join(10)
        assert not thread.is_alive() and errors
    os.close(tap)


def test_entries_change_under_load(spaces: tuple[str, str]) -> None:
    """Nobody waits long for the table, and nothing is lost: an entry that nothing matches comes and goes."""
    for space in spaces:
        node.silence(space, [_VNIC])
    with _agent(spaces[0], 0, 1450) as first, _agent(spaces[1], 1, 1450) as second:
        for index, path in enumerate((first, second)):
            _program(path, index, _TUNNELS["vxlan"])
        _ping(spaces[0], _IPV4[1])
        n, is_over = 0, threading.Event()

        def change() -> None:
            nonlocal n
            while not is_over.is_set():
                for path in (first, second):
                    path.delete(path.add(of.match(dl_src="02:00:00:00:77:77") if n % 2 else of.match(dl_vlan=n % 4096), 9, b""))
                n += 1

        thread = threading.Thread(target=change)
        thread.start()
        _transfer(spaces, _IPV4[1])
        is_over.set()
        thread.join()
        assert n > 100 and not _unexpected(first) and not _unexpected(second)
