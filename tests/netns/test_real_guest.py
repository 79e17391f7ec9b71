"""A guest with a kernel of its own: Debian's, in a virtual machine whose vNIC is virtio-net on a TAP, and the agent inside."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from nvo3.lab import Lab
from nvo3.lab.system import wait_until
from nvo3.lab.topology import parse
from tests.netns import machine
from tests.netns.conftest import unused_lab
from tests.netns.guest_image import Image, make_image
from tests.netns.machine import Done, Machine
from tests.netns.support import Capture, cli_env, pinging
from tests.netns.vnics import (
    NETWORK,
    PORT,
    WIRE,
    agents,
    assert_intact,
    await_realized,
    outer,
    receive,
    receiving,
    send,
    set_encapsulation,
    table,
)

pytestmark = [pytest.mark.netns, pytest.mark.skipif(bool(machine.lacking()), reason=machine.lacking())]

_NAME = "red/web/vm1"
_TAP = "tap-vm1"
VM, R2, R3, R4 = "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"
VM6 = "fd00:10::11"
HV1, HV2 = "192.0.2.11", "192.0.2.12"
_TOPOLOGY = """
hypervisors: [hv1, hv2]
tenants:
  red: {networks: {web: {vni: 5001, pools: [10.0.0.0/24, "fd00:10::/64"]}}}
guests:
  - {name: r2, tenant: red, network: web, hypervisor: hv2, addresses: [10.0.0.12, "fd00:10::12"], offload: cvsw}
  - {name: r3, tenant: red, network: web, hypervisor: hv1, addresses: [10.0.0.13, "fd00:10::13"]}
  - {name: r4, tenant: red, network: web, hypervisor: hv2, addresses: [10.0.0.14, "fd00:10::14"]}
"""
_LARGE = 1000
_PING = ("ping", "-n", "-c", "3", "-i", "0.1", "-s", str(_LARGE))
# Every instruction of the machine is interpreted, and others may use this one.
_AGENT_S = 120.0
_TRANSFER_S = 180.0


class _Vm:
    """The port of the virtual machine, and the machine while one runs."""

    def __init__(self, lab: Lab, image: Image, directory: Path) -> None:
        self.lab = lab
        self._image = image
        self._console = directory / "console"
        self._machine: Machine | None = None
        self._agent: Future[Done] | None = None
        with lab.client() as client:
            self.port: dict[str, Any] = client.post(f"{NETWORK}/ports", {"name": "vm1", "addresses": [VM, VM6], "offload": "cvsw"})
            self.mtu = client.get(NETWORK)["mtu"]

    @property
    def machine(self) -> Machine:
        assert self._machine, "the machine does not run"
        return self._machine

    @property
    def underlay_ip(self) -> str:
        return str(self.port["underlay_ip"])

    # What a manager of virtual machines and the owner of this one do.

    def boot(self) -> None:
        """Start the machine, plug it in, give it its addresses, and start the agent."""
        self._machine = one = Machine(self.lab, "hv1", self._image, _TAP, self.mtu, self.port["mac"], self._console)
        interface = ("set", "Interface", _TAP, f"external_ids:iface-id={self.port['uuid']}")
        self.lab.switch("hv1").vsctl("add-port", "br-int", _TAP, "--", *interface)
        one.await_boot()
        one.run(["ip", "link", "set", "eth0", "mtu", str(self.mtu), "up"])
        for address in (f"{VM}/24", f"{VM6}/64"):
            one.run(["ip", "address", "add", address, "dev", "eth0"])
        self.start_agent()

    def start_agent(self) -> None:
        """Start the agent, and wait until it is programmed."""
        self._agent = self.machine.start_python("-m", "nvo3.agent.command", "--vnic", "eth0", "--verbose", console=True)
        await_realized(self.lab, _AGENT_S)

    def stop_agent(self) -> None:
        """End the agent in order, and wait until it has given the vNIC back."""
        self.run("kill", str(self.show()["pid"]))
        assert self._agent and self._agent.result(_AGENT_S).returncode == 0

    def kill(self) -> None:
        """End the machine, if one runs, as a crash would."""
        one, self._machine = self._machine, None
        if one:
            one.kill()
            assert not one.has_tap()

    def unplug(self) -> None:
        self.lab.switch("hv1").vsctl("del-port", "br-int", _TAP)

    def console(self) -> str:
        return self._machine.new_console_output() if self._machine else ""

    # Traffic

    def run(self, *argv: str) -> str:
        return self.machine.run(argv).stdout

    def ping(self, address: str) -> None:
        self.run(*_PING, "-W", "5", address)

    def ping_from(self, guest: str, address: str = VM) -> None:
        """Have another guest ping this one."""
        self.lab.run(guest, [*_PING, "-W", "5", address])

    def show(self) -> dict[str, Any]:
        """Return what the agent shows."""
        done = self.machine.start_python("-m", "nvo3.agent.command", "show", "--output", "json").result(_AGENT_S)
        assert done.returncode == 0, done.stderr
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    def send(self, target: str, address: str, size: int) -> None:
        """Send bytes to a guest, which arrive as they are."""
        with receiving(self.lab, target, address):
            done = self.machine.start_python(*send(address, size)).result(_TRANSFER_S)
        assert_intact(done.stdout)

    def receive(self, source: str, address: str, size: int) -> None:
        """Have a guest send bytes, which arrive as they are."""
        receiver = self.machine.start_python(*receive(address))
        assert wait_until(lambda: self.run("ss", "-Hltn", "sport", "=", f":{PORT}") or receiver.done(), _AGENT_S)
        done = self.lab.run(source, [sys.executable, *send(address, size)], timeout_s=_TRANSFER_S)
        assert_intact(done.stdout)
        assert receiver.result(_AGENT_S).returncode == 0


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Vm]:
    """A lab with guests in namespaces, and a virtual machine whose agent is programmed."""
    directory = tmp_path_factory.mktemp("guest")
    image = make_image(directory)
    with unused_lab() as lab:
        lab.up(parse(_TOPOLOGY, "real guest"))
        one = _Vm(lab, image, directory)
        try:
            try:
                one.boot()
            except BaseException:
                print(one.console())
                raise
            yield one
        finally:
            one.kill()
            image.initrd.unlink()


@pytest.fixture
def vm(booted: _Vm) -> Iterator[_Vm]:
    """The virtual machine; what it says on its console meanwhile is shown where the test fails."""
    yield booted
    print(booted.console())


def _agent_list(lab: Lab) -> dict[str, dict[str, Any]]:
    """Return what `nvo3 agent list` prints."""
    argv = [sys.executable, "-m", "nvo3.cli", "agent", "list", "--api", lab.api_url, "--output", "json"]
    done = subprocess.run(argv, env=cli_env(), capture_output=True, text=True, timeout=60, check=True)
    return {item["port"]: item for item in json.loads(done.stdout)}


def test_agent_in_it_is_registered_and_programmed(vm: _Vm) -> None:
    agent = _agent_list(vm.lab)[_NAME]
    assert (agent["state"], agent["realized"], agent["hypervisor"]) == ("connected", True, "hv1")
    assert agent["entries_present"] == agent["entries_desired"] > 0 and not agent["refused"], agent
    shown = vm.show()
    assert (shown["state"], shown["mac"], shown["underlay"]["address"]) == ("connected", vm.port["mac"], vm.underlay_ip)
    assert shown["mtu"] == agent["underlay_mtu"] == 1500
    # At both ends, though it was made with the network's.
    [tap] = json.loads(vm.lab.run("hv1", ["ip", "-json", "link", "show", _TAP]).stdout)
    assert tap["mtu"] == 1500 > vm.mtu
    # The controller asks for all; virtio-net has segmentation of UDP where kernels and qemu are new.
    assert {"csum", "tso", "gso", "gro"} <= set(shown["offloads"])


def test_its_stack_has_its_addresses_on_the_tap(vm: _Vm) -> None:
    shown = {link["ifname"]: link for link in json.loads(vm.run("ip", "-json", "address", "show"))}
    addresses = {info["local"]: info for info in shown["eth0-cvsw"]["addr_info"]}
    assert {VM, VM6} <= addresses.keys() and not shown["eth0"]["addr_info"]
    assert (shown["eth0-cvsw"]["mtu"], shown["eth0"]["mtu"]) == (vm.mtu, 1500)
    # Duplicate address detection, which guests in the lab's namespaces do without, has found nothing.
    assert not addresses[VM6].keys() & {"tentative", "dadfailed"}, addresses


def test_it_and_a_guest_elsewhere_reach_each_other_by_stt_from_its_vnic(vm: _Vm) -> None:
    for address in (R2, R3, R4):
        vm.ping(address)
    # Large ones: what the machine multicasts now and then is flooded by the switch.  Twelve, of which the last may be missing.
    with Capture(vm.lab, "hv1", "eth1", f"{WIRE['stt']} and greater {_LARGE}") as wire:
        vm.ping(R4)
        vm.ping_from("r4")
    packets = outer(wire)
    assert len(packets) > 6 and all(f"{vm.underlay_ip}." in line and f"{HV2}." in line for line in packets), wire.lines
    for guest in ("r2", "r3"):
        vm.ping_from(guest)
    vm.ping_from("r4", VM6)


def test_bytes_arrive(vm: _Vm) -> None:
    vm.send("r4", R4, 8 << 20)
    vm.receive("r4", VM, 8 << 20)
    vm.send("r2", "fd00:10::12", 2 << 20)
    vm.receive("r2", VM6, 2 << 20)


@pytest.mark.parametrize("encapsulation", [name for name in WIRE if name != "stt"])
def test_bytes_arrive_by_every_encapsulation(vm: _Vm, encapsulation: str) -> None:
    try:
        set_encapsulation(vm.lab, encapsulation)
        vm.send("r4", R4, 1 << 20)
        vm.receive("r4", VM, 1 << 20)
    finally:
        set_encapsulation(vm.lab, "auto")


def test_counters_count(vm: _Vm) -> None:
    def counts() -> tuple[int, ...]:
        counters = vm.show()["counters"]
        to_r4 = [entry["packets"] for (_, actions), entry in table(vm.lab, "vm1").items() if HV2 in actions]
        return (counters["encapsulated"], counters["decapsulated"], sum(to_r4))

    before = counts()
    vm.ping(R4)
    assert all(after - then >= 3 for after, then in zip(counts(), before, strict=True))


def test_without_its_agent_it_is_reached_as_any_guest(vm: _Vm) -> None:
    vm.stop_agent()
    assert wait_until(lambda: agents(vm.lab)[_NAME]["state"] == "absent", _AGENT_S)
    with Capture(vm.lab, "hv1", "eth1", f"{WIRE['stt']} and host {HV1} and greater {_LARGE}") as wire:
        vm.ping(R4)
        vm.ping_from("r4")
    assert len(outer(wire)) > 6, wire.lines
    vm.start_agent()
    vm.ping(R4)
    vm.ping_from("r4")


def test_killed_it_disturbs_nobody_and_started_again_it_is_reached(vm: _Vm) -> None:
    with pinging(vm.lab, "r3", R4) as ping:
        vm.kill()
        assert wait_until(lambda: agents(vm.lab)[_NAME]["state"] == "absent", 30)
        # Who sends to it meanwhile sends to its hypervisor.
        with Capture(vm.lab, "hv1", "eth1", f"{WIRE['stt']} and dst {HV1} and greater {_LARGE}") as wire:
            vm.lab.run("r4", [*_PING, "-W", "0.1", VM], check=False)
        assert wire.lines
        vm.unplug()
        assert wait_until(lambda: agents(vm.lab)[_NAME]["state"] == "unbound", 10)
        vm.boot()
    assert ping.gap_s <= 0.3, ping
    vm.ping(R4)
    vm.ping_from("r4")
