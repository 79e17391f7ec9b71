"""The agent in guests' namespaces, whose vNICs are ports of a switch that a controller's session speaks through."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from nvo3.cvsw.effect import Change, Expired, Lost, Refused, Registered, Removed, Settings
from nvo3.cvsw.flow import Flow
from nvo3.lab import Lab, system
from nvo3.lab.system import wait_until
from nvo3.wire import cvsw, of10
from nvo3.wire.cvsw import Offload
from nvo3.wire.of10_action import Output, Port, SetTunnel, StripTunnel
from nvo3.wire.of10_error import Code
from nvo3.wire.of10_match import Match, Tunnel, TunnelMatch
from tests.netns.cvsw import VnicController, serve
from tests.netns.support import CHECKOUT, cli_env

pytestmark = pytest.mark.netns

_VNIC, _TAP = "eth0", "eth0-cvsw"
_TRANSFER = [sys.executable, str(Path(__file__).with_name("transfer.py"))]
_UNDERLAY = (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))
_VNI = 5001
_SIZE = 10_000_000
_ROUNDS = 7
_SHOW_ROUTES = ["route", "show", "table", "all"]


@dataclass
class _Guest:
    """A namespace with a vNIC, and the agent in it while one runs."""

    index: int
    space: str
    run_dir: Path
    output: list[str] = field(default_factory=list)
    _agent: "subprocess.Popen[str] | None" = None

    @property
    def mac(self) -> bytes:
        return bytes([2, 0, 0, 0, 0, self.index + 1])

    @property
    def ipv4(self) -> str:
        return f"10.0.0.{self.index + 1}"

    @property
    def ipv6(self) -> str:
        return f"fd00::{self.index + 1}"

    @property
    def outer_mac(self) -> bytes:
        """Return the MAC of its tunnels' end, which the vNIC does not have."""
        return bytes([6, 0x6E]) + _UNDERLAY[self.index].packed

    def argv(self, *arguments: str) -> list[str]:
        agent = [sys.executable, "-P", "-m", "nvo3.agent.command", *arguments, "--run-dir", str(self.run_dir)]
        return ["ip", "netns", "exec", self.space, *agent]

    def start(self, *, until: str = f"{_VNIC}.sock") -> None:
        """Start an agent and wait until a file of its is there: the socket when it is ready, the record when it begins."""
        (self.run_dir / until).unlink(missing_ok=True)
        self._agent = agent = subprocess.Popen(self.argv("--vnic", _VNIC), env=cli_env(), stderr=subprocess.PIPE, text=True)
        wait_until(lambda: (self.run_dir / until).exists() or agent.poll() is not None, 20)
        if agent.poll() is not None:
            self.end()
            pytest.fail(f"the agent has ended: {self.output}")

    def end(self, number: signal.Signals | None = None, timeout_s: float = 20) -> int:
        """Wait for the agent's end, after a signal if one is given; return its status."""
        agent, self._agent = self._agent, None
        assert agent and agent.stderr
        if number:
            agent.send_signal(number)
        try:
            _, errors = agent.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.communicate()
            raise
        self.output += errors.splitlines()
        return agent.returncode

    def clean(self) -> None:
        if self._agent:
            self.end(signal.SIGKILL)

    def show(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.run("show", "--output", "json").stdout)
        return parsed

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.argv(*arguments), env=cli_env(), capture_output=True, text=True, timeout=30, check=False)

    def ip_json(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(system.run(["ip", "-n", self.space, "-j", *arguments]) or "[]")
        return found

    def addresses(self, name: str) -> list[tuple[object, ...]]:
        found = [one["addr_info"] for one in self.ip_json("address", "show", "dev", name)][0]
        keys = ("family", "local", "prefixlen", "scope", "broadcast", "label")
        return [tuple(one.get(key, "").replace(name, "*") if key == "label" else one.get(key) for key in keys) for one in found]

    def routes(self, name: str) -> list[str]:
        """Return the routes by a device, as ip(8) has them, but for its own of addresses and multicast."""
        lines = [line for family in ("-4", "-6") for line in system.run(["ip", "-n", self.space, "-o", family, *_SHOW_ROUTES]).splitlines()]
        return sorted(
            " ".join(line.replace(f" {name} ", " * ").split()) for line in lines if f" {name} " in line and "table local" not in line
        )

    def link(self, name: str) -> dict[str, Any]:
        return self.ip_json("-d", "link", "show", "dev", name)[0]

    def features(self, *names: str) -> list[bool]:
        lines = system.run_in(self.space, ["ethtool", "-k", _VNIC]).splitlines()
        on = {line.split(":")[0].strip(): line.split(":")[1].split()[0] == "on" for line in lines[1:]}
        return [on[name] for name in names]

    def ping(self, address: str, size: int = 56) -> None:
        argv = ["ip", "netns", "exec", self.space, "ping", "-n", "-c", "1", "-W", "1", "-s", str(size), address]
        assert wait_until(lambda: not subprocess.run(argv, capture_output=True, check=False).returncode, 10)


@dataclass
class _World:
    """Two guests, and the controller's ends for their vNICs."""

    guests: list[_Guest]
    switch: str
    stack: ExitStack

    def controller(self, guest: _Guest, **options: Any) -> VnicController:
        return self.stack.enter_context(VnicController(self.switch, f"port{guest.index}", guest.mac, **options))


@pytest.fixture
def world(free_lab: Lab, tmp_path: Path) -> Iterator[_World]:
    switch, *spaces = (free_lab.names.netns(name) for name in ("sw", "ga", "gb"))
    with ExitStack() as stack:
        for space in (switch, *spaces):
            system.run(["ip", "netns", "add", space])
            stack.callback(system.run, ["ip", "netns", "delete", space])
            system.set_sysctls(space, {"ipv6/conf/default/accept_dad": "0", "ipv6/conf/default/dad_transmits": "0"})
        system.ip(["link add br0 type bridge", "link set br0 up"], switch)
        guests = [_Guest(index, space, tmp_path / str(index)) for index, space in enumerate(spaces)]
        for guest in guests:
            stack.callback(guest.clean)
            port = f"port{guest.index}"
            system.ip([f"link add name {_VNIC} netns {guest.space} type veth peer name {port} netns {switch}"])
            system.ip([f"link set {port} master br0 up"], switch)
            system.ip(
                [
                    "link set lo up",
                    f"link set {_VNIC} address {guest.mac.hex(':')} up",
                    f"address add {guest.ipv4}/24 broadcast + dev {_VNIC}",
                    f"address add 10.0.0.{guest.index + 51}/24 dev {_VNIC} label {_VNIC}:web",
                    f"address add {guest.ipv6}/64 dev {_VNIC}",
                    f"route add default via 10.0.0.254 dev {_VNIC}",
                    f"route add 10.7.0.0/16 via 10.0.0.253 dev {_VNIC} metric 50 mtu 1400 table 77",
                    f"route add 10.8.0.0/16 nexthop via 10.0.0.9 dev {_VNIC} nexthop via 10.0.0.8 dev {_VNIC} weight 3",
                    f"route add default via fd00::fe dev {_VNIC}",
                ],
                guest.space,
            )
        yield _World(guests, switch, stack)


@pytest.fixture
def guest(world: _World) -> _Guest:
    return world.guests[0]


@pytest.fixture
def started(guest: _Guest) -> _Guest:
    guest.start()
    return guest


@pytest.fixture
def controller(world: _World, started: _Guest) -> VnicController:
    """A controller that has programmed nothing yet."""
    one = world.controller(started)
    serve([one], lambda: one.is_confirmed)
    return one


def _flow(number: int = 0, **fields: Any) -> Flow:
    """Return one of many flows that no packet matches."""
    match = Match(dl_type=0x800, nw_dst=IPv4Network(0xC6120000 + number), dl_src=bytes([2, 9, 0, 0, number >> 8, number & 255]))
    return Flow(match, 100 + number % 7, (Output(Port.NET),), **fields)


def _towards_peer(**fields: Any) -> Flow:
    """Return a flow for what the guest sends by IPv4; it forwards that as it would go without it."""
    return Flow(Match(in_port=Port.HOST, dl_type=0x800), 10, (Output(Port.NET),), **fields)


# Taking over and giving back


def test_guest_keeps_what_it_has(world: _World) -> None:
    """Addresses, routes, MAC, MTU and connections, over take-over and give-back."""
    guest, peer = world.guests
    addresses, routes, link = guest.addresses(_VNIC), guest.routes(_VNIC), guest.link(_VNIC)
    offloads = guest.features("tx-checksumming", "tcp-segmentation-offload", "generic-receive-offload")
    assert len(addresses) == 4 and len(routes) == 7
    with _connection(peer, guest) as exchange:
        exchange(b"before")
        guest.start()
        exchange(b"by the table, which is empty")
        guest.ping(peer.ipv4)
        guest.ping(peer.ipv6, 1400)
        peer.ping(guest.ipv4)
        assert sorted(guest.addresses(_TAP)) == sorted(addresses)
        assert guest.routes(_TAP) == routes
        assert not guest.addresses(_VNIC) and not guest.routes(_VNIC)
        assert [guest.link(_TAP)[key] for key in ("address", "mtu")] == [link[key] for key in ("address", "mtu")]
        assert guest.link(_TAP)["gso_max_size"] == 64000 and guest.link(_VNIC)["promiscuity"] == 1
        counters = guest.show()["counters"]
        assert counters["host_rx_packets"] and counters["net_rx_packets"]

        assert guest.end(signal.SIGTERM) == 0
        exchange(b"after")
        guest.ping(peer.ipv6)
    assert sorted(guest.addresses(_VNIC)) == sorted(addresses)
    assert guest.routes(_VNIC) == routes
    after = guest.link(_VNIC)
    assert {key: after[key] for key in ("flags", "mtu", "address", "inet6_addr_gen_mode", "promiscuity")} == {
        key: link[key] for key in ("flags", "mtu", "address", "inet6_addr_gen_mode", "promiscuity")
    }
    assert guest.features("tx-checksumming", "tcp-segmentation-offload", "generic-receive-offload") == offloads
    assert not system.run_in(guest.space, ["nft", "list", "ruleset"])
    assert sorted(os.listdir(guest.run_dir)) == [f"{_VNIC}.lock"]


def _connection(server: _Guest, client: _Guest) -> "_Connection":
    with system.call_in(server.space, lambda: socket.create_server((server.ipv4, 7000))) as listening:
        near = system.call_in(client.space, lambda: socket.create_connection((server.ipv4, 7000), timeout=20))
        far, _ = listening.accept()
        far.settimeout(20)
    return _Connection(near, far)


@dataclass
class _Connection:
    near: socket.socket
    far: socket.socket

    def __enter__(self) -> Callable[[bytes], None]:
        return self.exchange

    def __exit__(self, *exc: object) -> None:
        self.near.close()
        self.far.close()

    def exchange(self, data: bytes) -> None:
        for source, target in ((self.near, self.far), (self.far, self.near)):
            source.sendall(data)
            assert target.recv(1000) == data


def test_what_the_guest_adds_meanwhile_it_keeps(guest: _Guest) -> None:
    guest.start()
    system.ip([f"address add 10.3.0.1/24 dev {_TAP}", f"route add 10.4.0.0/16 via 10.3.0.9 dev {_TAP}"], guest.space)
    addresses, routes = guest.addresses(_TAP), guest.routes(_TAP)
    assert guest.end(signal.SIGINT) == 0
    assert sorted(guest.addresses(_VNIC)) == sorted(addresses)
    assert guest.routes(_VNIC) == routes


def test_addresses_are_in_use_at_once(guest: _Guest) -> None:
    """The kernel does not make sure again that they are unique."""
    system.set_sysctls(guest.space, {f"ipv6/conf/{_VNIC}/{name}": "1" for name in ("accept_dad", "dad_transmits")})
    guest.start()
    assert system.run(["ip", "-n", guest.space, "-6", "address", "show", "dev", _TAP]).count("inet6 ") == 2
    assert not system.run(["ip", "-n", guest.space, "-6", "address", "show", "tentative"])
    assert guest.link(_TAP)["inet6_addr_gen_mode"] == "eui64"
    assert guest.end(signal.SIGTERM) == 0
    assert not system.run(["ip", "-n", guest.space, "-6", "address", "show", "tentative"])


def test_killed_and_started_again(world: _World) -> None:
    guest, peer = world.guests
    addresses, routes, link = guest.addresses(_VNIC), guest.routes(_VNIC), guest.link(_VNIC)
    offloads = guest.features("tcp-segmentation-offload", "generic-receive-offload")
    guest.start()
    one = world.controller(guest)
    one.tell(Settings(1400, Offload.CSUM | Offload.GRO))
    one.want(_towards_peer())
    guest.end(signal.SIGKILL)
    assert not guest.addresses(_VNIC) and guest.link(_VNIC)["mtu"] == 1400

    guest.start()
    assert sorted(guest.addresses(_TAP)) == sorted(addresses)
    assert guest.routes(_TAP) == routes
    assert guest.link(_TAP)["mtu"] == link["mtu"]
    serve([one], lambda: len(one.of_kind(Registered)) == 2 and one.is_confirmed)
    assert len(guest.show()["entries"]) == 1
    peer.ping(guest.ipv4)

    guest.end(signal.SIGKILL)
    guest.start()
    assert guest.end(signal.SIGTERM) == 0
    assert sorted(guest.addresses(_VNIC)) == sorted(addresses)
    assert guest.routes(_VNIC) == routes
    assert guest.link(_VNIC)["mtu"] == link["mtu"] and guest.link(_VNIC)["flags"] == link["flags"]
    assert guest.features("tcp-segmentation-offload", "generic-receive-offload") == offloads
    peer.ping(guest.ipv6)


def test_killed_while_it_takes_over(guest: _Guest) -> None:
    addresses, routes = guest.addresses(_VNIC), guest.routes(_VNIC)
    for _ in range(5):
        guest.start(until=f"{_VNIC}.json")
        guest.end(signal.SIGKILL)
    guest.start()
    assert sorted(guest.addresses(_TAP)) == sorted(addresses)
    assert guest.end(signal.SIGTERM) == 0
    assert sorted(guest.addresses(_VNIC)) == sorted(addresses)
    assert guest.routes(_VNIC) == routes


def test_tap_is_deleted(started: _Guest) -> None:
    """The guest has its addresses again, as they were at the start."""
    addresses = started.addresses(_TAP)
    system.ip([f"link delete {_TAP}"], started.space)
    assert started.end() == 1
    assert f"{_TAP} is gone" in started.output[-1]
    assert sorted(started.addresses(_VNIC)) == sorted(addresses)


def test_vnic_is_deleted(started: _Guest) -> None:
    system.ip([f"link delete {_VNIC}"], started.space)
    assert started.end() == 1
    assert f"{_VNIC} is gone" in started.output[-1]


def test_errors_name_the_remedy(started: _Guest) -> None:
    system.ip(["link add br0 type bridge", "link add va type veth peer name vb", "link set va master br0"], started.space)
    for options, message in (
        (["--vnic", _VNIC], "an agent of eth0 runs already, pid "),
        (["--vnic", "eth9"], "there is no device eth9: give one of lo, eth0, "),
        (["--vnic", "lo"], "lo is no Ethernet device: "),
        (["--vnic", "va"], "va belongs to br0: take it out by 'ip link set va nomaster'"),
        (["--vnic", "vb", "--tap", "br0"], "there is a device br0 already: give another name by --tap"),
        (["show", "--vnic", "vb"], "no agent answers at "),
    ):
        done = started.run(*options)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith(f"nvo3-agent: {message}")
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    argv = started.argv("--vnic", "vb")
    done = subprocess.run([*argv[:4], *unprivileged, *argv[4:]], env=cli_env(), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "NET_ADMIN and NET_RAW" in done.stderr
    assert started.show()["state"] == "disconnected"


# What the controller programs


def test_a_thousand_entries(controller: VnicController, started: _Guest) -> None:
    flows = [_flow(number) for number in range(1000)]
    took_s = []
    for _ in range(3):
        begin = len(controller.frames)
        took_s.append(_timed(controller, flows))
        assert len(controller.frames) > begin
        assert {key: Flow.from_message(entry) for key, entry in controller.read().items()} == {flow.key: flow for flow in flows}
        controller.want(delete=flows)
        assert not started.show()["entries"]
    assert min(took_s) <= 1.0


def _timed(controller: VnicController, flows: list[Flow]) -> float:
    controller.tell(Change(tuple(flows)))
    return serve([controller], lambda: controller.is_confirmed)


def test_ten_thousand_entries(controller: VnicController, started: _Guest) -> None:
    """To program, read and show a large table takes no longer for each entry than for a small one's."""
    flows = [_flow(number) for number in range(10_000)]
    controller.want(*flows)
    assert controller.read().keys() == {flow.key for flow in flows}
    assert len(started.show()["entries"]) == len(flows)
    assert not controller.of_kind(Lost)


def test_a_lossy_channel(world: _World, started: _Guest) -> None:
    controller = world.controller(started, loss=0.2)
    flows = [_flow(number) for number in range(1000)]
    assert _timed(controller, flows) <= 5.0
    assert controller.read().keys() == {flow.key for flow in flows}


def test_another_controller_finds_the_table(world: _World, controller: VnicController, started: _Guest) -> None:
    """As after the death of the first: nothing is programmed again but what differs."""
    flows = [_flow(number) for number in range(20)]
    controller.want(*flows)
    before = {str(entry["match"]): entry["age_s"] for entry in started.show()["entries"]}
    with world.controller(started, seed=6) as second:
        second.want(*flows[1:], _flow(77))
        assert second.read().keys() == {flow.key for flow in (*flows[1:], _flow(77))}
    after = {str(entry["match"]): entry["age_s"] for entry in started.show()["entries"]}
    assert all(after[str(_shown(flow))] > before[str(_shown(flow))] for flow in flows[1:])


def test_entries_forward_and_count(world: _World, controller: VnicController) -> None:
    guest, peer = world.guests
    dropped = Match(in_port=Port.HOST, dl_type=0x800, nw_proto=17, nw_dst=IPv4Network("10.0.0.0/24"))
    controller.want(_towards_peer(cookie=7), Flow(dropped, 20))
    guest.ping(peer.ipv4)
    before = next(entry for entry in controller.read().values() if entry.cookie == 7)
    with system.call_in(guest.space, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        for _ in range(5):
            sender.sendto(b"gone", (peer.ipv4, 9))
    assert wait_until(lambda: guest.show()["entries"][0]["packets"] == 5, 10)
    entries = {entry.cookie: entry for entry in controller.read().values()}
    assert entries[0].n_packets == 5 and before.n_packets >= 1 and entries[7].n_bytes >= 98

    done = guest.run("show")
    assert done.returncode == 0
    assert "in_port=host,dl_type=0x0800,nw_proto=17,nw_dst=10.0.0.0/24  drop" in done.stdout
    assert "connected" in done.stdout and "drop_action" in done.stdout


def test_idle_timeout(world: _World, controller: VnicController) -> None:
    """Traffic keeps an entry; without, it goes, and the controller hears of it."""
    guest, peer = world.guests
    used, unused = _towards_peer(idle_timeout=1, tells_removal=True), _flow(1, idle_timeout=1, tells_removal=True)
    controller.want(used, unused)
    guest.ping(peer.ipv4)

    def expired() -> bool:
        if len(controller.of_kind(Expired)) < 1:
            guest.ping(peer.ipv4)
        return len(controller.of_kind(Expired)) > 0

    for flow in (unused, used):
        serve([controller], expired)
        assert controller.effects[-1] == Expired(flow) or Expired(flow) in controller.effects
        (removed,) = controller.of_kind(Removed)
        assert isinstance(removed, Removed)
        assert (removed.removed.match, removed.removed.reason) == (flow.match, of10.Reason.IDLE_TIMEOUT)
        assert bool(removed.removed.n_packets) == (flow is used)
        controller.effects.clear()
        if flow is unused:
            assert len(guest.show()["entries"]) == 1
            serve([controller], lambda: bool(controller.of_kind(Expired)))
    assert not guest.show()["entries"]


def test_settings_of_the_device(controller: VnicController, started: _Guest) -> None:
    controller.tell(Settings(1400, Offload.CSUM | Offload.GRO))
    serve([controller], lambda: controller.is_confirmed)
    names = ("tx-checksumming", "rx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload", "tx-udp-segmentation")
    assert started.features(*names, "generic-receive-offload") == [True, True, False, False, False, True]
    assert (started.link(_VNIC)["mtu"], started.link(_TAP)["mtu"]) == (1400, 1500)
    shown = started.show()
    assert (shown["mtu"], shown["offloads"], shown["state"]) == (1400, ["csum", "gro"], "connected")

    # Below 1280 bytes a device has no IPv6, and gets it again above.
    for mtu in (1000, 1500):
        controller.tell(Settings(mtu, Offload.CSUM | Offload.GRO))
        serve([controller], lambda: controller.is_confirmed)
    assert not started.addresses(_VNIC) and started.link(_VNIC)["inet6_addr_gen_mode"] == "none"

    # TSO needs checksums, which the kernel knows.
    controller.tell(Settings(1500, Offload.TSO))
    serve([controller], lambda: bool(controller.of_kind(Refused)))
    assert Refused(cvsw.ChangeOffload(Offload.TSO), Code.BRC_EPERM) in controller.effects
    assert started.show()["offloads"] == ["csum", "gro"]
    serve([controller], lambda: started.link(_VNIC)["mtu"] == 1500)

    controller.tell(Settings(1500, Offload.CSUM | Offload.TSO | Offload.UFO | Offload.GSO))
    serve([controller], lambda: controller.is_confirmed)
    assert started.features(*names, "generic-receive-offload") == [True] * 5 + [False]


def test_malformed_messages(controller: VnicController, started: _Guest) -> None:
    controller.want(_towards_peer())
    before = started.show()["entries"]
    good = cvsw.serialize(controller.mac, cvsw.SetEntry(_flow(5).add()))
    unknown_action = bytes.fromhex("7777 0008 00000000")
    bad: list[tuple[bytes, Code]] = [
        (good[:14] + bytes([4]) + good[15:], Code.BRC_BAD_VERSION),
        (good[:6] + bytes([0x2F]) + good[7:], Code.BRC_BAD_TYPE),
        (good[:8] + b"\xff\xff" + good[10:], Code.BRC_BAD_LEN),
        (good[:16] + b"\x00\x49" + good[18:], Code.BRC_BAD_LEN),
        (good[:-8] + unknown_action, Code.BAC_BAD_TYPE),
        (good[:-8] + bytes.fromhex("0000 0018 00020000"), Code.BAC_BAD_LEN),
        (good[:-4] + b"\x00\x63" + good[-2:], Code.BAC_BAD_OUT_PORT),
    ]
    base = [message.base for message in controller.messages() if isinstance(message, cvsw.BarrierReply)][-1]
    for number, (frame, _) in enumerate(bad):
        # In the agent's window, but beyond what the controller has under way.
        controller.send(frame[:18] + (base + 300 + number & 0xFFFFFFFF).to_bytes(4, "big") + frame[22:])
    for length in range(14, len(good)):
        controller.send(good[:length])

    def told() -> set[Code | None]:
        errors = [message.error for message in controller.messages() if isinstance(message, cvsw.Error)]
        return {Code.find(error.error_type, error.code) for error in errors}

    serve([controller], lambda: told() == {code for _, code in bad})
    controller.want(_flow(6))
    assert [entry["match"] for entry in started.show()["entries"]] == [_shown(_flow(6)), *[entry["match"] for entry in before]]


def _shown(flow: Flow) -> dict[str, str]:
    assert flow.match.dl_src and flow.match.nw_dst
    return {"dl_src": flow.match.dl_src.hex(":"), "dl_type": "0x0800", "nw_dst": str(flow.match.nw_dst.network_address)}


def test_control_frames_of_the_guest_do_nothing(world: _World, started: _Guest) -> None:
    """Neither to its own agent nor to another one's."""
    peer = world.guests[1]
    peer.start()
    with system.call_in(started.space, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)) as forger:
        forger.bind((_TAP, 0))
        for mac in (started.mac, peer.mac):
            for message in (cvsw.Hello(cvsw.CAPABILITIES), cvsw.SetEntry(_flow().add()), cvsw.ChangeMtu(1000)):
                forger.send(cvsw.serialize(mac, message))
    assert wait_until(lambda: started.show()["counters"]["drop_host_control"] == 6, 10)
    for guest in world.guests:
        shown = guest.show()
        assert (shown["state"], shown["entries"], shown["mtu"]) == ("disconnected", [], 1500)
        assert not shown["counters"]["control_rx"]


def test_end_of_the_agent_is_told(controller: VnicController, started: _Guest) -> None:
    """The controller need not find out by silence."""
    controller.want(_flow())
    assert started._agent
    started._agent.send_signal(signal.SIGTERM)
    assert serve([controller], lambda: bool(controller.of_kind(Lost))) < 2
    assert started.end() == 0
    assert len(controller.of_kind(Registered)) == 1


# Tunnels


def _program(controller: VnicController, guest: _Guest, peer: _Guest) -> None:
    """Program a vNIC as a network of two over STT."""
    ours, theirs = _UNDERLAY[guest.index], _UNDERLAY[peer.index]
    towards = SetTunnel(Tunnel.STT, peer.outer_mac, guest.outer_mac, theirs.packed, ours.packed, _VNI)
    back = Match(in_port=Port.NET, dl_type=0x800, nw_src=IPv4Network(theirs), tunnel=TunnelMatch(Tunnel.STT, _VNI, 24))
    controller.want(
        Flow(Match(in_port=Port.HOST), 10, (towards, Output(Port.NET))), Flow(back, 20, (StripTunnel(Tunnel.STT), Output(Port.HOST)))
    )


def test_stt_between_two_agents(world: _World) -> None:
    for guest in world.guests:
        guest.start()
    controllers = [world.controller(guest) for guest in world.guests]
    for controller, guest, peer in zip(controllers, world.guests, reversed(world.guests), strict=True):
        _program(controller, guest, peer)
    guest, peer = world.guests
    guest.ping(peer.ipv4)
    guest.ping(peer.ipv6, 1400)
    _transfer(guest, peer)
    for one in world.guests:
        shown = one.show()
        assert shown["underlay"] == {"address": str(_UNDERLAY[one.index]), "mac": one.outer_mac.hex(":")}
        assert shown["counters"]["encapsulated"] and shown["counters"]["decapsulated"]
        assert all(entry["packets"] for entry in shown["entries"])


def _elsewhere(guest: _Guest, number: int) -> Flow:
    """Return what a controller programs a vNIC to for one more destination of the network."""
    mac = bytes([2, 9, 0, 0, number >> 8, number & 255])
    far = SetTunnel(Tunnel.STT, mac, guest.outer_mac, bytes([192, 0, 2, 9]), _UNDERLAY[guest.index].packed, _VNI)
    return Flow(Match(in_port=Port.HOST, dl_dst=mac), 20, (far, Output(Port.NET)))


@pytest.mark.parametrize(
    "options", [pytest.param((), id="bytes"), pytest.param(("--udp", "--bitrate", "0", "--length", "18"), id="frames of 64 bytes")]
)
def test_ten_thousand_entries_do_not_slow_traffic(world: _World, request: pytest.FixtureRequest, options: Sequence[str]) -> None:
    """Rounds take turns; what is compared are medians."""
    if not request.config.getoption("--full"):
        pytest.skip("compares speeds for a minute, which only means something while nothing else runs: --full")
    for guest in world.guests:
        guest.start()
        system.ip([f"link set {_TAP} mtu 1400"], guest.space)
    controllers = [world.controller(guest) for guest in world.guests]
    for controller, guest, peer in zip(controllers, world.guests, reversed(world.guests), strict=True):
        _program(controller, guest, peer)
    guest, peer = world.guests
    many = {one.index: [_elsewhere(one, number) for number in range(9990)] for one in world.guests}
    for controller, one in zip(controllers, world.guests, strict=True):
        controller.want(*(_elsewhere(one, number) for number in range(9990, 9998)))
    guest.ping(peer.ipv4)
    rates: dict[int, list[float]] = {10: [], 10_000: []}
    for _ in range(_ROUNDS):
        rates[10].append(_rate(guest, peer, options))
        for controller, flows in zip(controllers, many.values(), strict=True):
            controller.want(*flows)
        assert len(guest.show()["entries"]) == len(peer.show()["entries"]) == 10_000
        rates[10_000].append(_rate(guest, peer, options))
        for controller, flows in zip(controllers, many.values(), strict=True):
            controller.want(delete=flows)
    print({n: [f"{rate:.3g}" for rate in found] for n, found in rates.items()})
    assert median(rates[10_000]) >= 0.9 * median(rates[10]), rates


def _rate(source: _Guest, target: _Guest, options: Sequence[str]) -> float:
    """Return bits per second received, by iperf3."""
    argv = [["ip", "netns", "exec", guest.space, "iperf3"] for guest in (source, target)]
    server = subprocess.Popen([*argv[1], "--server", "--one-off", "--forceflush"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout and any("listening" in line for line in server.stdout)
        sending = [*argv[0], "--client", target.ipv4, "--time", "3", "--json", *options]
        done = subprocess.run(sending, capture_output=True, text=True, timeout=60, check=True)
    finally:
        server.kill()
        server.communicate()
    assert "sum_received" in done.stdout, done.stdout[-1500:]
    received: float = json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]
    return received


def _transfer(source: _Guest, target: _Guest) -> None:
    """Move bytes over TCP and compare."""
    argv = [["ip", "netns", "exec", guest.space, *_TRANSFER] for guest in (source, target)]
    receiver = subprocess.Popen([*argv[1], "tcp-receive", target.ipv4, "7000"], stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout and receiver.stdout.readline() == "ready\n"
        sending = [*argv[0], "tcp-send", target.ipv4, "7000", str(_SIZE)]
        done = subprocess.run(sending, capture_output=True, text=True, timeout=60, check=True)
    finally:
        receiver.kill()
        receiver.communicate()
    result = json.loads(done.stdout)
    assert result["sent"] == result["received"]


def test_launcher(guest: _Guest) -> None:
    """From a checkout, as a user would."""
    done = subprocess.run([str(CHECKOUT / "bin" / "nvo3-agent"), "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert all(option in done.stdout for option in ("--vnic", "--tap", "--max-entries", "--verbose", "show"))
