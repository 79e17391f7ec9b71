"""Guests that get their addresses from the network: Debian's DHCP clients and the kernel's SLAAC, against a running controller."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from nvo3.lab import Lab
from nvo3.lab.system import wait_until
from nvo3.lab.topology import parse
from nvo3.model.ids import Mac
from nvo3.model.logical import CVSW, eui64
from tests.netns.conftest import unused_lab
from tests.netns.support import Capture, pinging

pytestmark = pytest.mark.netns

CONFIGURED_S = 3.0  # what a guest that starts may take
RED, BLUE = "/v1/tenants/red/networks/web", "/v1/tenants/blue/networks/web"
_TOPOLOGY = """
hypervisors: [hv1, hv2]
tenants:
  red:
    networks:
      web:
        vni: 5001
        mtu: 1342
        pools: [10.0.0.0/24, "fd00:10::/64"]
        gateways: [10.0.0.1]
        dns_servers: [10.0.0.53, 9.9.9.9]
        routes: [{destination: 192.168.0.0/16, nexthop: 10.0.0.12}]
        domain: red.example
  blue: {networks: {web: {vni: 5002, mtu: 1300, pools: [10.0.0.0/24, "fd00:10::/64"], dns_servers: [10.0.0.54]}}}
guests:
  - {name: r1, tenant: red, network: web, hypervisor: hv1, mac: "02:00:00:00:00:11"}
  - {name: r2, tenant: red, network: web, hypervisor: hv2, addresses: [10.0.0.12, "fd00:10::12"]}
  - {name: r3, tenant: red, network: web, hypervisor: hv1, offload: cvsw}
  - {name: b1, tenant: blue, network: web, hypervisor: hv1}
  - {name: b2, tenant: blue, network: web, hypervisor: hv2, addresses: [10.0.0.12]}
"""
_SCRIPT = """#!/bin/sh
case $1 in
deconfig) ip link set $interface up;;
bound|renew) ip address replace $ip/$mask dev $interface; [ -z "$mtu" ] || ip link set $interface mtu $mtu;;
esac
{ echo "event=$1"; env; } > @told.new; mv @told.new @told
"""
_FLOOD = """
import socket
one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
one.bind(("eth0", 0))
frame = bytes.fromhex("{frame}")
while True: one.send(frame)
"""


@pytest.fixture(scope="module")
def guests() -> Iterator[Lab]:
    with unused_lab() as one:
        one.up(parse(_TOPOLOGY, "dhcp"))
        yield one


def addresses(lab: Lab, guest: str) -> dict[int, str]:
    """The addresses of a guest's port, by IP version."""
    return {6 if ":" in text else 4: text for text in lab.record.guests[guest].plain_addresses}


def device(lab: Lab, guest: str) -> str:
    """What its stack sends by: its vNIC, or what its agent gives it in place of that."""
    return "eth0-cvsw" if lab.record.guests[guest].offload == CVSW else "eth0"


def link(lab: Lab, guest: str) -> dict[str, Any]:
    [found] = json.loads(lab.run(guest, ["ip", "-json", "address", "show", "dev", device(lab, guest)]).stdout)
    return dict(found)


def configured(lab: Lab, guest: str) -> set[str]:
    return {f"{a['local']}/{a['prefixlen']}" for a in link(lab, guest)["addr_info"] if a["scope"] == "global"}


def routes(lab: Lab, guest: str) -> set[tuple[str, str | None]]:
    return {(route["dst"], route.get("gateway")) for route in json.loads(lab.run(guest, ["ip", "-json", "route"]).stdout)}


@contextmanager
def fresh(lab: Lab, guest: str) -> Iterator[None]:
    """A guest that knows nothing of its addresses; what the lab gave it is back afterwards."""
    given, name = lab.record.guests[guest], device(lab, guest)
    lab.run(guest, ["ip", "address", "flush", "dev", name, "scope", "global"])
    lab.run(guest, ["ip", "link", "set", name, "mtu", "1500"])
    try:
        yield
    finally:
        lab.run(guest, ["ip", "address", "flush", "dev", name, "scope", "global"])
        lab.run(guest, ["ip", "link", "set", name, "mtu", str(given.mtu)])
        for address in given.addresses:
            lab.run(guest, ["ip", "address", "replace", address, "dev", name, *(["nodad"] if ":" in address else [])])


class Dhclient:
    """Debian's dhclient with Debian's configuration and scripts, on a copy of /etc that only it sees."""

    def __init__(self, lab: Lab, guest: str, directory: Path) -> None:
        self.etc = directory / "etc"
        if not self.etc.exists():
            shutil.copytree(
                "/etc", self.etc, symlinks=True, ignore=lambda _, names: {"shadow", "shadow-", "gshadow", "gshadow-"} & {*names}
            )
            resolver = self.etc / "resolv.conf"
            resolver.unlink(missing_ok=True)
            resolver.touch()
        self._pidfile = directory / "dhclient.pid"
        files = ["-pf", str(self._pidfile), "-lf", str(directory / "dhclient.leases")]
        (directory / "dhclient.leases").unlink(missing_ok=True)
        command = f"mount --bind {self.etc} /etc && exec dhclient -4 -1 -v {' '.join(files)} eth0"
        started = time.monotonic()
        self.said = lab.run(guest, ["sh", "-c", command], timeout_s=30).stderr  # back when it is bound
        self.took_s = time.monotonic() - started

    def __enter__(self) -> "Dhclient":
        return self

    def __exit__(self, *exc: object) -> None:
        _end(int(self._pidfile.read_text()))


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    assert wait_until(lambda: not Path("/proc", str(pid)).exists(), 5)


class Udhcpc:
    """BusyBox's client, which renews when it is told to.  told: what it gave its script last."""

    def __init__(self, lab: Lab, guest: str, directory: Path) -> None:
        self._told, self._log = directory / "told", directory / "udhcpc.log"
        script = directory / "script"
        script.write_text(_SCRIPT.replace("@told", str(self._told)))
        script.chmod(0o755)
        self._pidfile = directory / "udhcpc.pid"
        argv = ["udhcpc", "-f", "-i", device(lab, guest), "-s", str(script), "-p", str(self._pidfile), "-A", "1", "-O", "staticroutes"]
        with self._log.open("w") as log:
            self._process = lab.popen(guest, argv, stdout=log, stderr=log)

    def __enter__(self) -> "Udhcpc":
        assert wait_until(lambda: self.told.get("event") == "bound", 10), self._log.read_text()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    @property
    def told(self) -> dict[str, str]:
        lines = self._told.read_text().splitlines() if self._told.exists() else []
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def renew(self) -> str:
        """Have the lease renewed; return what it says about that."""
        before = len(self._log.read_text())
        self._told.write_text("")
        os.kill(int(self._pidfile.read_text()), signal.SIGUSR1)
        assert wait_until(lambda: "event" in self.told, 10), self._log.read_text()
        assert self.told["event"] == "renew", self._log.read_text()
        return self._log.read_text()[before:]


def test_fresh_guest_is_configured_by_debians_client(guests: Lab, tmp_path: Path) -> None:
    with fresh(guests, "r1"), Dhclient(guests, "r1", tmp_path) as client:
        print(f"configured after {client.took_s:.2f} s")
        assert client.took_s <= CONFIGURED_S, client.said
        assert configured(guests, "r1") == {f"{addresses(guests, 'r1')[4]}/24"}
        assert link(guests, "r1")["mtu"] == 1342
        assert {("default", "10.0.0.1"), ("192.168.0.0/16", "10.0.0.12")} <= routes(guests, "r1")
        resolver = (client.etc / "resolv.conf").read_text()
        assert re.findall(r"nameserver (\S+)", resolver) == ["10.0.0.53", "9.9.9.9"] and "search red.example" in resolver
        guests.run("r1", ["ping", "-c", "1", "-W", "2", "10.0.0.12"])
        guests.run("r1", ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", str(1342 - 28), "10.0.0.12"])


def test_other_tenant_of_the_same_pool_gets_its_own(guests: Lab, tmp_path: Path) -> None:
    with fresh(guests, "b1"), Dhclient(guests, "b1", tmp_path) as client:
        assert client.took_s <= CONFIGURED_S, client.said
        assert (configured(guests, "b1"), link(guests, "b1")["mtu"]) == ({f"{addresses(guests, 'b1')[4]}/24"}, 1300)
        assert addresses(guests, "b1")[4] == addresses(guests, "r1")[4]
        assert re.findall(r"nameserver (\S+)", (client.etc / "resolv.conf").read_text()) == ["10.0.0.54"]
        assert "default" not in dict(routes(guests, "b1"))


def test_guest_whose_vnic_encapsulates_is_configured(guests: Lab, tmp_path: Path) -> None:
    with fresh(guests, "r3"), Udhcpc(guests, "r3", tmp_path) as client:
        assert (client.told["ip"], client.told["mtu"]) == (addresses(guests, "r3")[4], "1342")
        guests.run("r3", ["ping", "-c", "1", "-W", "2", "10.0.0.12"])
        assert "sending renew to server 10.0.0.1" in client.renew()


def test_static_addresses_go_on_working(guests: Lab, tmp_path: Path) -> None:
    with pinging(guests, "r2", addresses(guests, "r3")[4]) as ping, fresh(guests, "r1"), Udhcpc(guests, "r1", tmp_path):
        guests.run("r2", ["ping", "-c", "3", "-i", "0.1", addresses(guests, "r1")[4]])
    assert ping.lost == 0, ping


def test_renewals_are_answered_after_whatever_happens(guests: Lab, tmp_path: Path) -> None:
    """From the same server, by unicast: at once, after the controller's restart, after a move."""
    with fresh(guests, "r1"), Udhcpc(guests, "r1", tmp_path) as client:
        own = addresses(guests, "r1")[4]
        assert client.told["ip"] == own and client.told["staticroutes"] == "0.0.0.0/0 10.0.0.1 192.168.0.0/16 10.0.0.12"

        def renewed() -> None:
            said = client.renew()
            assert "sending renew to server 10.0.0.1" in said and f"lease of {own} obtained from 10.0.0.1" in said, said

        with Capture(guests, "r1", "eth0", "udp port 67") as seen:
            renewed()
        assert any(f"{own}.68 > 10.0.0.1.67" in line for line in seen.lines), seen.lines
        guests.stop_controller(signal.SIGKILL)
        guests.start_controller()
        assert wait_until(lambda: all(h.connected for h in guests.status().hypervisors), 10)
        renewed()
        with guests.client() as api:
            api.patch(RED, json={"lease_s": 77}, wait="realized")
        try:
            renewed()
            assert client.told["lease"] == "77"
            guests.guest_move("r1", "hv2")
            renewed()
        finally:
            guests.guest_move("r1", "hv1")
            with guests.client() as api:
                api.patch(RED, json={"lease_s": 3600}, wait="realized")


def test_guest_that_answers_dhcp_is_heard_by_nobody(guests: Lab, tmp_path: Path) -> None:
    """What a server would send, broadcast and unicast, while a client asks."""
    from scapy.all import BOOTP, DHCP, IP, UDP, Ether, raw

    offer = DHCP(options=[("message-type", "offer"), ("server_id", "10.0.0.12"), ("lease_time", 60), "end"])
    rogue = guests.record.guests["r2"]
    frames = [
        raw(Ether(src=rogue.mac, dst=mac) / IP(src="10.0.0.12", dst="255.255.255.255") / UDP(sport=67, dport=68) / BOOTP(op=2) / offer)
        for mac in ("ff:ff:ff:ff:ff:ff", guests.record.guests["r1"].mac)
    ]
    program = _FLOOD.split("frame =")[0] + f"for frame in {[frame.hex() for frame in frames]} * 20: one.send(bytes.fromhex(frame))\n"
    with fresh(guests, "r1"), Capture(guests, "r1", "eth0", "udp dst port 68 and src host 10.0.0.12") as seen:
        guests.run("r2", [sys.executable, "-c", program])
        guests.run("r2", ["ping", "-c", "1", "-W", "2", addresses(guests, "r3")[4]])
    assert seen.lines == []


def test_flood_of_discovers_leaves_the_controller_at_work(guests: Lab, tmp_path: Path) -> None:
    from scapy.all import BOOTP, DHCP, IP, UDP, Ether, raw

    mac = guests.record.guests["b1"].mac
    bootp = BOOTP(op=1, chaddr=bytes.fromhex(mac.replace(":", "")), xid=7) / DHCP(options=[("message-type", "discover"), "end"])
    frame = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / bootp
    program = _FLOOD.format(frame=raw(frame).hex())
    flood = guests.popen("b1", [sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    try:
        with Capture(guests, "b1", "eth0", "udp src port 67", direction="in") as answers:
            guests.run("r1", ["ping", "-c", "11", "-i", "0.1", "10.0.0.12"])  # for a second
        used, started = guests.cpu_seconds("controller"), time.monotonic()
        with guests.client() as client:
            latencies, n = [], 0
            while time.monotonic() < started + 2:
                n += 1
                asked = time.monotonic()
                client.post(f"{RED}/ports", json={"name": f"x{n}"}, wait="realized")
                client.delete(f"{RED}/ports/x{n}", wait="realized")
                latencies.append(time.monotonic() - asked)
                guests.run("r1", ["ping", "-c", "5", "-i", "0.05", "10.0.0.12"])
        share = (guests.cpu_seconds("controller") - used) / (time.monotonic() - started)
        with fresh(guests, "r1"), Udhcpc(guests, "r1", tmp_path):
            pass
    finally:
        flood.kill()
        flood.wait()
    print(f"controller: {share:.0%} of a CPU; a port created and deleted in {max(latencies):.3f} s at most; {len(answers.lines)} answers/s")
    assert 1 <= len(answers.lines) <= 30
    assert share < 0.2
    assert max(latencies) < 1.0


@contextmanager
def autonomous(lab: Lab, guest: str) -> Iterator[None]:
    """A fresh guest that hears of its addresses by router advertisements: its link comes up in this block."""
    with fresh(lab, guest):
        lab.run(guest, ["ip", "link", "set", "eth0", "down"])
        settings = {
            "accept_ra": 1,
            "accept_ra_rtr_pref": 1,
            "addr_gen_mode": 0,
            "use_tempaddr": 0,
            "router_solicitation_delay": 0,
            "mtu": 1500,
        }
        lab.run(guest, ["sysctl", "-q", *(f"net.ipv6.conf.eth0.{name}={value}" for name, value in settings.items())])
        try:
            yield
        finally:
            lab.run(guest, ["sysctl", "-q", "net.ipv6.conf.eth0.accept_ra=0", "net.ipv6.conf.eth0.mtu=1342"])
            lab.run(guest, ["ip", "-6", "route", "flush", "proto", "ra"])


def mtu6(lab: Lab, guest: str) -> int:
    return int(lab.run(guest, ["sysctl", "-n", "net.ipv6.conf.eth0.mtu"]).stdout)


def routes6(lab: Lab, guest: str) -> set[tuple[str, str | None]]:
    return {(route["dst"], route.get("gateway")) for route in json.loads(lab.run(guest, ["ip", "-6", "-json", "route"]).stdout)}


def test_fresh_guest_makes_its_own_ipv6_address(guests: Lab) -> None:
    own = f"{addresses(guests, 'r1')[6]}/64"
    assert own == "fd00:10::ff:fe00:11/64"
    with autonomous(guests, "r1"):
        started = time.monotonic()
        guests.run("r1", ["ip", "link", "set", "eth0", "up"])
        assert wait_until(lambda: own in configured(guests, "r1"), CONFIGURED_S), link(guests, "r1")
        print(f"configured after {time.monotonic() - started:.2f} s")
        assert configured(guests, "r1") == {own}
        assert mtu6(guests, "r1") == 1342
        [address] = [a for a in link(guests, "r1")["addr_info"] if a["local"] == addresses(guests, "r1")[6]]
        assert address["valid_life_time"] == 0xFFFFFFFF and address["dynamic"]
        assert "default" not in dict(routes6(guests, "r1"))
        guests.run("r1", ["ping", "-c", "1", "-W", "2", "fd00:10::12"])


def test_changes_are_advertised_at_once(guests: Lab) -> None:
    """The MTU; a gateway that is a guest's, and its end."""
    router = guests.record.guests["r2"]
    gateway = str(eui64(Mac(router.mac), IPv6Network("fe80::/64")))
    with autonomous(guests, "r1"), guests.client() as api:
        guests.run("r1", ["ip", "link", "set", "eth0", "up"])
        assert wait_until(lambda: mtu6(guests, "r1") == 1342, CONFIGURED_S)
        try:
            api.patch(RED, json={"mtu": 1330, "gateways": ["10.0.0.1", "fd00:10::12"]}, wait="realized")
            assert wait_until(lambda: mtu6(guests, "r1") == 1330 and ("default", gateway) in routes6(guests, "r1"), 3)
            guests.run("r1", ["ping", "-c", "1", "-W", "2", f"{gateway}%eth0"])
        finally:
            api.patch(RED, json={"mtu": 1342, "gateways": ["10.0.0.1"]}, wait="realized")
        assert wait_until(lambda: mtu6(guests, "r1") == 1342 and "default" not in dict(routes6(guests, "r1")), 3)


def test_what_guests_ask_is_counted(guests: Lab, tmp_path: Path) -> None:
    def asked(guest: str) -> dict[str, int]:
        row = guests.record.guests[guest]
        with guests.client() as client:
            return dict(client.get(f"/v1/tenants/{row.tenant}/networks/{row.network}/ports/{guest}/counters")["asked"])

    before = asked("r1")
    with fresh(guests, "r1"), Udhcpc(guests, "r1", tmp_path):
        pass
    after = asked("r1")
    assert (after["offer"], after["ack"]) == (before.get("offer", 0) + 1, before.get("ack", 0) + 1)
    assert asked("b2") == {}
