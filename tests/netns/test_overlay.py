"""The overlay under change, failure and hostile guests: real OVS, real packets."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nvo3.lab import Lab
from nvo3.lab.system import wait_until
from nvo3.model.tunnel_key import CONTEXT_ID, TunnelKey
from tests.netns.support import Capture, await_listening, pinging

pytestmark = pytest.mark.netns

NETWORK = "/v1/tenants/red/networks/web"
R2, R2_IPV6 = "10.0.0.12", "fd00:10::12"
DISSECTOR = Path(__file__).resolve().parents[2] / "docs" / "protocols" / "sclp.lua"


def dump_flows(lab: Lab, hypervisor: str) -> list[str]:
    """The flows of br-int, without what changes by itself."""
    argv = ["ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", "br-int"]
    return sorted(line.strip() for line in lab.run(hypervisor, argv).stdout.splitlines() if "actions=" in line)


def scapy(lab: Lab, guest: str, program: str) -> str:
    """Run a program with scapy's names inside a guest; its last line is `print`ed."""
    head = "import logging; logging.getLogger('scapy').setLevel(40)\nfrom scapy.all import *\nconf.verb = 0\n"
    return lab.run(guest, [__import__("sys").executable, "-c", head + program]).stdout.strip()


def test_change_of_encapsulation_under_traffic_loses_at_most_50_ms(lab: Lab) -> None:
    with lab.client() as client:
        try:
            for address in (R2, R2_IPV6):
                with pinging(lab, "r1", address) as ping:
                    for encapsulation in ("vxlan", "sclp", "geneve", "sclp-udp", "gre", "sclp", "sclp-udp", "stt", "vxlan"):
                        answer = client.patch(NETWORK, json={"encapsulation": encapsulation}, wait="realized")
                        (pair,) = answer["status"]["encapsulations"]
                        assert pair["encapsulation"] == encapsulation
                        lab.run("r1", ["ping", "-c", "5", "-i", "0.05", address])
                assert ping.gap_s <= 0.05, ping
        finally:
            client.patch(NETWORK, json={"encapsulation": "auto"}, wait="realized")


TUNNELLED = "udp port 4789 or udp port 6081 or ip proto 47 or tcp port 7471 or ip proto 234 or udp port 7234"
WIRE = {
    "stt": ("tcp port 7471", "stt.context_id", "0x0000000000001389"),  # its lowest 24 bits; see below for the others
    "sclp-udp": ("udp port 7234", "vxlan.vni", "5001"),
    "sclp": ("ip proto 234", "vxlan.vni", "5001"),
    "vxlan": ("udp port 4789", "vxlan.vni", "5001"),
    "geneve": ("udp port 6081", "geneve.vni", "0x001389"),
    "gre": ("ip proto 47", "gre.key", "0x00138900"),  # NVGRE: VSID in the upper 24 bits (RFC 7637 section 3.2)
}


@pytest.mark.parametrize("encapsulation", list(WIRE))
def test_wireshark_finds_the_network_s_id_on_the_wire(lab: Lab, encapsulation: str, tmp_path) -> None:
    expression, field, value = WIRE[encapsulation]
    with lab.client() as client:
        vni = client.get(NETWORK)["vni"]
        assert vni == 5001
        ofport = {name: client.get(f"{NETWORK}/ports/{name}")["status"]["ofport"] for name in ("r1", "r2")}
        try:
            client.patch(NETWORK, json={"encapsulation": encapsulation}, wait="realized")
            file = tmp_path / "wire.pcap"
            argv = ["tcpdump", "-U", "-i", "eth1", "-w", str(file), "-c", "4", "--immediate-mode", *expression.split()]
            tcpdump = lab.popen("hv1", argv, stderr=subprocess.PIPE)
            await_listening(tcpdump)
            lab.run("r1", ["ping", "-c", "2", "-i", "0.05", R2])
            tcpdump.communicate(timeout=10)
        finally:
            client.patch(NETWORK, json={"encapsulation": "auto"}, wait="realized")
    # Wireshark knows STT by its looks only, and asks for that first where it is told to; SCLP by our dissector.  The NIC that is to
    # compute checksums is after the capture.
    ours = ["-X", f"lua_script:{DISSECTOR}", "-o", "sclp.check_checksum:FALSE"]
    options = [*ours, "-o", "ip.try_heuristic_first:TRUE", "-T", "fields", "-E", "occurrence=f"]
    argv = ["tshark", "-r", str(file), *options, "-e", field, "-e", "icmp.type", "-e", "_ws.expert"]
    rows = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\n")
    seen = [row.split("\t") for row in rows if row]
    if encapsulation == "stt":
        keys = [TunnelKey.parse(int(row[0], 16), CONTEXT_ID) for row in seen]
        # On the sender's bridge: r1 asks, r2 answers.
        assert [key.ingress_port for key in keys] == [ofport[name] for name in ("r1", "r2", "r1", "r2")]
        assert len({key.version for key in keys}) == 1
        seen = [[f"{key.vni:#018x}", *row[1:]] for key, row in zip(keys, seen, strict=True)]
    assert seen == [[value, "8", ""], [value, "0", ""], [value, "8", ""], [value, "0", ""]]


def _sclp_options(lab: Lab, hypervisor: str, port: str) -> dict[str, str]:
    text = lab.switch(hypervisor).vsctl("get", "interface", port, "options")
    return dict(re.findall(r'(\w+)="?([\w.]+)"?', text))


def test_the_payload_of_sclp_is_set_on_every_port_and_what_a_host_has_chosen_stays(lab: Lab) -> None:
    ports = [(hv, port) for hv in ("hv1", "hv2") for port in ("nvo3-sclp", "nvo3-sclp-udp")]
    transports = {"nvo3-sclp": "ip", "nvo3-sclp-udp": "udp"}
    base = {"remote_ip": "flow", "key": "flow", "offload": "true"}
    expected = {(hv, port): base | {"transport": transports[port], "payload": "vxlan"} for hv, port in ports}
    assert {where: _sclp_options(lab, *where) for where in ports} == expected
    switch = lab.switch("hv1")
    with lab.client() as client:
        try:
            switch.vsctl("set", "interface", "nvo3-sclp", "options:offload=false", "options:tos=8")
            client.patch("/v1/settings", json={"sclp_payload": "geneve"}, wait="realized")
            expected = {where: options | {"payload": "geneve"} for where, options in expected.items()}
            expected["hv1", "nvo3-sclp"] |= {"offload": "false", "tos": "8"}
            assert {where: _sclp_options(lab, *where) for where in ports} == expected
        finally:
            switch.vsctl("remove", "interface", "nvo3-sclp", "options", "offload", "tos")
            client.patch("/v1/settings", json={"sclp_payload": "vxlan"}, wait="realized")
        expected["hv1", "nvo3-sclp"] = base | {"transport": "ip", "payload": "vxlan"}
        assert wait_until(lambda: _sclp_options(lab, "hv1", "nvo3-sclp") == expected["hv1", "nvo3-sclp"], 5)
        try:
            answer = client.patch(NETWORK, json={"encapsulation": "sclp"}, wait="realized")
            assert [pair["encapsulation"] for pair in answer["status"]["encapsulations"]] == ["sclp"]
            lab.run("r1", ["ping", "-c", "2", "-i", "0.05", R2])
        finally:
            client.patch(NETWORK, json={"encapsulation": "auto"}, wait="realized")


def test_killed_controller_costs_no_packet_and_its_restart_neither(lab: Lab) -> None:
    before = {hv: dump_flows(lab, hv) for hv in ("hv1", "hv2")}
    with pinging(lab, "r1", R2) as ping:
        lab.stop_controller(signal.SIGKILL)
        # 20 s without a controller.
        lab.run("r1", ["ping", "-q", "-i", "1", "-w", "20", R2], timeout_s=60)
        lab.start_controller()
        with lab.client() as client:
            wait_until(lambda: all(h["status"]["state"] == "connected" for h in client.get("/v1/hypervisors")["items"]), 10)
            client.patch(NETWORK, json={"mtu": 1400}, wait="realized")
        lab.run("r1", ["ping", "-q", "-c", "100", "-i", "0.01", R2])
    assert ping.sent > 1000 and ping.lost == 0, ping
    assert {hv: dump_flows(lab, hv) for hv in before} == before
    log = lab.log("controller").read_text().rpartition("loading app ryu_apps.nvo3_app")[2]
    assert re.findall(r"(\d+) flows added or changed, (\d+) deleted", log) == [("0", "0"), ("0", "0")]


def test_controller_that_starts_while_a_hypervisor_is_not_reachable_costs_no_packet(lab: Lab) -> None:
    before = dump_flows(lab, "hv1")
    database = lab.pid("hv2 ovsdb-server")
    with pinging(lab, "r1", R2) as ping:
        lab.stop_controller(signal.SIGKILL)
        os.kill(database, signal.SIGSTOP)
        try:
            lab.start_controller()
            with lab.client() as client:
                wait_until(lambda: client.get("/v1/hypervisors/hv1")["status"]["state"] == "connected", 10)
                away = wait_until(lambda: client.get("/v1/hypervisors/hv2")["status"]["detail"], 10)
                assert "does not answer" in away
                lab.run("r1", ["ping", "-q", "-c", "50", "-i", "0.01", R2])
                assert dump_flows(lab, "hv1") == before
        finally:
            os.kill(database, signal.SIGCONT)
        with lab.client() as client:
            wait_until(lambda: client.get("/v1/hypervisors/hv2")["status"]["state"] == "connected", 20)
    assert ping.lost == 0, ping
    assert dump_flows(lab, "hv1") == before


def test_a_guest_plugged_in_while_the_controller_is_away_works_after_its_return(lab: Lab) -> None:
    with lab.client() as client:
        port = client.post(f"{NETWORK}/ports", json={"name": "late", "addresses": ["10.0.0.77"]})
    try:
        lab.stop_controller(signal.SIGKILL)
        switch = lab.switch("hv2")
        switch.vsctl(
            "add-port",
            "br-int",
            "late",
            "--",
            "set",
            "interface",
            "late",
            "type=internal",
            f"external_ids:iface-id={port['uuid']}",
        )
        lab.start_controller()
        with lab.client() as client:
            status = client.get(f"{NETWORK}/ports/late", wait="up", timeout=10)["status"]
        assert (status["state"], status["hypervisor"]) == ("up", "hv2")
    finally:
        lab.switch("hv2").vsctl("--if-exists", "del-port", "br-int", "late")
        with lab.client() as client:
            client.delete(f"{NETWORK}/ports/late")


def test_killed_vswitchd_forwards_again_within_3_s_of_its_return(lab: Lab) -> None:
    before = dump_flows(lab, "hv2")
    lab.stop_vswitchd("hv2", signal.SIGKILL)
    with lab.client() as client:
        started = time.monotonic()
        wait_until(lambda: not client.get("/v1/hypervisors/hv2")["status"]["connected"], 10)
        assert time.monotonic() - started < 1
        others = client.get("/v1/hypervisors/hv1")["status"]
        assert others["connected"] and others["state"] == "connected"
    started = time.monotonic()
    lab.start_vswitchd("hv2")
    reached = lab.popen("r1", ["ping", "-c", "1", "-i", "0.05", "-w", "10", R2], stdout=subprocess.DEVNULL)
    assert reached.wait(timeout=15) == 0
    assert time.monotonic() - started < 3
    with lab.client() as client:
        wait_until(lambda: client.get("/v1/hypervisors/hv2")["status"]["state"] == "connected", 10)
        client.patch(NETWORK, json={"mtu": 1400}, wait="realized")
    assert dump_flows(lab, "hv2") == before


# Hostile guests.


def spoofs() -> dict[str, str]:
    """Frames that r1 (10.0.0.11) may not send to r2, as scapy expressions with `me` and `r2` as their MACs."""
    other = "'02:00:00:00:00:99'"
    return {
        "MAC": f"Ether(src={other}, dst=r2)/IP(src='10.0.0.11', dst='10.0.0.12')/ICMP()",
        "IPv4 of nobody": "Ether(src=me, dst=r2)/IP(src='10.0.0.99', dst='10.0.0.12')/ICMP()",
        "IPv4 of the victim": "Ether(src=me, dst=r2)/IP(src='10.0.0.12', dst='10.0.0.12')/ICMP()",
        "IPv6": "Ether(src=me, dst=r2)/IPv6(src='fd00:10::99', dst='fd00:10::12')/ICMPv6EchoRequest()",
        "ARP reply": "Ether(src=me, dst=r2)/ARP(op=2, hwsrc=me, psrc='10.0.0.99', pdst='10.0.0.12')",
        "gratuitous ARP": "Ether(src=me, dst='ff:ff:ff:ff:ff:ff')/ARP(op=1, hwsrc=me, psrc='10.0.0.12', pdst='10.0.0.12')",
        "ARP sender": f"Ether(src=me, dst='ff:ff:ff:ff:ff:ff')/ARP(op=1, hwsrc={other}, psrc='10.0.0.11', pdst='10.0.0.12')",
        "advertisement": "Ether(src=me, dst=r2)/IPv6(src='fd00:10::11', dst='fd00:10::12')/ICMPv6ND_NA(tgt='fd00:10::99')",
        "router advertisement": "Ether(src=me, dst='33:33:00:00:00:01')/IPv6(src='fe80::1', dst='ff02::1')/ICMPv6ND_RA()",
        "VLAN": "Ether(src=me, dst=r2)/Dot1Q(vlan=7)/IP(src='10.0.0.11', dst='10.0.0.12')/ICMP()",
        "CVSW control": "Ether(src=me, dst=r2, type=0xABBA)/Raw(b'x'*60)",
    }


def test_a_guest_that_spoofs_reaches_nobody_and_is_counted(lab: Lab) -> None:
    guests = lab.record.guests
    frames = ", ".join(spoofs().values())
    program = f"me, r2 = '{guests['r1'].mac}', '{guests['r2'].mac}'\nsendp([{frames}] * 5, iface='eth0')"
    victims = [Capture(lab, name, "eth0", f"ether src {guests['r1'].mac} or ether src 02:00:00:00:00:99") for name in ("r2", "b1", "b2")]
    with lab.client() as client:
        counted = client.get(f"{NETWORK}/ports/r1/counters")["spoofed_packets"]
        with victims[0], victims[1], victims[2]:
            scapy(lab, "r1", program)
            lab.run("r1", ["ping", "-c", "2", "-i", "0.05", R2])
        # What r2's own switch answers about r1, and the honest pings.
        answer, honest = f"Reply 10.0.0.11 is-at {guests['r1'].mac}", "10.0.0.11 > 10.0.0.12: ICMP echo request"
        heard = [line for line in victims[0].lines if answer not in line and honest not in line]
        assert heard == [] and victims[1].lines == [] and victims[2].lines == []
        assert len([line for line in victims[0].lines if honest in line]) == 2  # the capture did see
        # The switch adds up its counters now and then, not with each packet.
        spoofed = 5 * (len(spoofs()) - 2)
        assert wait_until(lambda: client.get(f"{NETWORK}/ports/r1/counters")["spoofed_packets"] - counted >= spoofed, 5)


def test_a_flood_of_unknown_destinations_does_not_reach_the_wire(lab: Lab) -> None:
    program = (
        f"me = '{lab.record.guests['r1'].mac}'\n"
        "sendp([Ether(src=me, dst='02:aa:%02x:%02x:00:01' % (i >> 8, i & 255))/IP(src='10.0.0.11', dst='10.0.0.200')/UDP(dport=9)"
        "/Raw(b'u' * 100) for i in range(2000)], iface='eth0')\n"
        "sendp([Ether(src=me, dst='ff:ff:ff:ff:ff:ff')/ARP(op=1, hwsrc=me, psrc='10.0.0.11', pdst='10.0.0.%d' % (100 + i % 100))"
        " for i in range(200)], iface='eth0')"
    )
    with Capture(lab, "hv2", "eth1", TUNNELLED) as capture:
        scapy(lab, "r1", program)
        lab.run("r1", ["ping", "-c", "1", R2])
    assert len(capture.lines) == 2, capture.lines[:5]  # the honest ping and its answer


def test_broadcast_crosses_the_wire_once_for_each_hypervisor_of_the_network(lab: Lab) -> None:
    program = (
        f"me = '{lab.record.guests['r1'].mac}'\n"
        "sendp([Ether(src=me, dst='ff:ff:ff:ff:ff:ff')/IP(src='10.0.0.11', dst='255.255.255.255')/UDP(dport=9)/Raw(b'b' * 64)] * 10,"
        " iface='eth0')"
    )
    inside = Capture(lab, "r2", "eth0", "udp port 9")
    with (
        Capture(lab, "hv2", "eth1", TUNNELLED) as wire,
        inside,
        Capture(lab, "b2", "eth0", "udp port 9") as other,
    ):
        scapy(lab, "r1", program)
        lab.run("r1", ["ping", "-c", "1", R2])
    assert len(inside.lines) == 10 and other.lines == []
    assert len(wire.lines) == 12  # and the ping


def test_a_tunnelled_packet_from_a_stranger_is_dropped(lab: Lab) -> None:
    """On the underlay, a host that is no hypervisor of ours sends VXLAN with a valid VNI to hv2."""
    guests = lab.record.guests
    inner = f"Ether(src='{guests['r1'].mac}', dst='{guests['r2'].mac}')/IP(src='10.0.0.11', dst='10.0.0.12')/UDP(dport=7777)/Raw(b'x')"
    outer = "Ether(src='02:00:00:00:ff:01', dst=getmacbyip_hv2)/IP(src='192.0.2.66', dst='192.0.2.12')/UDP(sport=5555, dport=4789)"
    vtep = lab.client().get("/v1/hypervisors/hv2")["status"]["vtep_ip"]
    mac = lab.switch("hv2").vsctl("get", "interface", "br-phy", "mac_in_use").strip().strip('"')
    outer = outer.replace("getmacbyip_hv2", repr(mac)).replace("192.0.2.12", vtep)
    honest = lab.client().get("/v1/hypervisors/hv1")["status"]["vtep_ip"]
    with Capture(lab, "r2", "eth0", "udp port 7777") as capture:
        for source in ("192.0.2.66", honest):
            packet = outer.replace("192.0.2.66", source)
            scapy(lab, "hv1", f"sendp([{packet}/VXLAN(vni=5001)/{inner}] * 3, iface='eth1')")
        lab.run("r1", ["ping", "-c", "1", R2])
    assert len(capture.lines) == 3  # those with the outer source of a hypervisor of the network
