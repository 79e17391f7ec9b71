"""The nvo3 command on the API's resources: output, errors, exit status."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import nvo3 as package

pytestmark = pytest.mark.ovsdb

Nvo3 = Callable[[str], Any]
_CHECKOUT = Path(package.__file__).parents[1]


def _json(result: Any) -> Any:
    assert result.status == 0, result.err
    return json.loads(result.out)


def _table(result: Any) -> list[list[str]]:
    assert result.status == 0, result.err
    return [line.split() for line in result.out.splitlines()]


def test_tenant(nvo3: Nvo3, controller: Any) -> None:
    created = _json(nvo3("tenant create red --output json"))
    assert created == httpx.get(f"{controller.url}/v1/tenants/red", trust_env=False).json()
    assert _json(nvo3("tenant show red -o json")) == created
    nvo3("tenant create blue")
    assert _table(nvo3("tenant list"))[0] == ["NAME", "UUID"]
    assert [row[0] for row in _table(nvo3("tenant list"))[1:]] == ["blue", "red"]
    assert _json(nvo3("tenant list -o json"))[1] == created
    assert _json(nvo3("tenant set red --name green -o json")) == {**created, "name": "green"}
    deleted = nvo3("tenant delete green")
    assert (deleted.status, deleted.out, deleted.err) == (0, "", "")
    assert _table(nvo3("tenant show blue"))[0] == ["NAME", "blue"]


def test_network(web: Nvo3, controller: Any) -> None:
    shown = _json(web("network show red/web -o json"))
    assert shown == httpx.get(f"{controller.url}/v1/tenants/red/networks/web", trust_env=False).json()
    assert _json(web("network list red -o json")) == [shown]
    web("tenant create blue")
    options = "--vni 77 --encapsulation vxlan --mtu 9000 --pool 192.168.0.0/16"
    created = _json(web(f"network create blue/web {options} -o json"))
    assert (created["vni"], created["encapsulation"], created["mtu"]) == (77, "vxlan", 9000)
    assert [row[0] for row in _table(web("network list"))] == ["NETWORK", "blue/web", "red/web"]
    changed = _json(web("network set blue/web --mtu 1300 --no-pool -o json"))
    assert changed == {**created, "mtu": 1300, "pools": []}
    assert _json(web("network set blue/web --pool 10.0.0.0/8 --vni 78 -o json"))["vni"] == 78
    told = "--gateway 10.0.0.1 --dns-server 9.9.9.9 --dns-server 1.1.1.1 --route 192.168.0.0/16=10.0.0.9 --domain example --lease 60"
    changed = _json(web(f"network set blue/web {told} --no-dhcp -o json"))
    assert (changed["gateways"], changed["dns_servers"], changed["dhcp"]) == (["10.0.0.1"], ["9.9.9.9", "1.1.1.1"], False)
    assert (changed["routes"], changed["lease_s"]) == ([{"destination": "192.168.0.0/16", "nexthop": "10.0.0.9"}], 60)
    assert ["ROUTES", "192.168.0.0/16=10.0.0.9"] in _table(web("network show blue/web"))
    changed = _json(web("network set blue/web --no-gateway --no-dns-server --no-route --dhcp -o json"))
    assert (changed["gateways"], changed["dns_servers"], changed["routes"], changed["dhcp"]) == ([], [], [], True)
    assert "is not DESTINATION=NEXTHOP" in web("network set blue/web --route 10.0.0.9").err
    assert web("network delete blue/web").status == 0


def test_port(web: Nvo3) -> None:
    shown = _json(web("port show red/web/a1 -o json"))
    assert (shown["mac"], shown["addresses"]) == ("02:00:00:00:00:01", ["10.0.0.2", "fd00::ff:fe00:1"])
    assert _json(web("port list red/web -o json")) == [shown]
    created = _json(web("port create red/web/a2 --address 10.0.0.9 --address fd00::9 --no-port-security -o json"))
    assert (created["addresses"], created["port_security"]) == (["10.0.0.9", "fd00::9"], False)
    changed = _json(web("port set red/web/a2 --no-address --port-security --mac 02-00-00-00-00-0F -o json"))
    assert (changed["addresses"], changed["port_security"], changed["mac"]) == ([], True, "02:00:00:00:00:0f")
    assert _table(web("port list red/web"))[0] == [*("PORT", "MAC", "ADDRESSES", "STATE", "HYPERVISOR", "UUID", "DETAIL")]
    assert _table(web("port list red/web"))[1][:4] == ["red/web/a1", "02:00:00:00:00:01", "10.0.0.2,fd00::ff:fe00:1", "unbound"]
    assert web("port delete red/web/a2").status == 0


def test_port_that_is_up(web: Nvo3) -> None:
    web("port create red/web/up1")
    assert _json(web("port counters red/web/up1 -o json"))["spoofed_packets"] == 7
    shown = _table(web("port counters red/web/up1"))
    assert (shown[0], shown[-1]) == (["RX", "PACKETS", "1"], ["ASKED", "ack=1,offer=2"])
    assert _json(web("port show red/web/up1 --wait -o json"))["status"]["state"] == "up"
    refused = web("port show red/web/a1 --wait --timeout 0.2")
    assert refused.status == 1
    assert refused.err.startswith("nvo3: port red/web/a1 is not up within 0.2 s: it is unbound")


def test_hypervisor(nvo3: Nvo3) -> None:
    created = _json(nvo3("hypervisor create hv1 --remote tcp:192.0.2.1:6640 --wait -o json"))
    assert created["status"]["state"] == "connected"
    changed = _json(nvo3("hypervisor set hv1 --remote tcp:192.0.2.2:6640 -o json"))
    assert changed["remote"] == "tcp:192.0.2.2:6640"
    assert _table(nvo3("hypervisor list"))[1][:4] == ["hv1", "tcp:192.0.2.2:6640", "connected", "192.0.2.1"]
    assert ["DPID", changed["status"]["dpid"]] in _table(nvo3("hypervisor show hv1"))
    assert nvo3("hypervisor delete hv1").status == 0


def test_lists_are_filtered_and_come_as_yaml(web: Nvo3) -> None:
    shown = yaml.safe_load(web("port show red/web/a1 -o yaml").out)
    assert shown == _json(web("port show red/web/a1 -o json"))
    web("tenant create blue")
    web("network create blue/db --encapsulation gre --pool 10.0.0.0/24")
    web("port create blue/db/b1 --mac 02:00:00:00:00:b1")
    assert [item["name"] for item in _json(web("port list -o json"))] == ["b1", "a1"]
    assert yaml.safe_load(web("port list --mac 02:00:00:00:00:B1 -o yaml").out)[0]["name"] == "b1"
    assert [item["tenant"] for item in _json(web("port list --address 10.0.0.2 --state unbound -o json"))] == ["blue", "red"]
    assert [item["name"] for item in _json(web("network list --encapsulation gre -o json"))] == ["db"]
    assert web("port list --state best").status == 1


def test_events(nvo3: Nvo3, controller: Any) -> None:
    for name in ("a", "b", "c"):
        nvo3(f"tenant create {name}")
    lines = nvo3("events --lines 2").out.splitlines()
    assert [line.split()[1:] for line in lines] == [["tenant", "b", "changed"], ["tenant", "c", "changed"]]
    assert json.loads(nvo3("events -n 1 -o json --tenant b").out)["name"] == "b"
    assert nvo3("events --kind port").out == ""
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "nvo3.cli", "events", "-f", "-n", "1", "--api", controller.url]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None and following.stdout.readline().split()[1:] == ["tenant", "c", "changed"]
            nvo3("tenant create d")
            assert following.stdout.readline().split()[1:] == ["tenant", "d", "changed"]
            following.send_signal(signal.SIGINT)
            assert following.wait(10) == 130
        finally:
            following.kill()
    assert nvo3("events").status == 0


def test_tunnels_and_flows(web: Nvo3) -> None:
    web("hypervisor create hv1 --remote unix:/hv1")
    web("hypervisor create hv2 --remote unix:/hv2")
    assert _table(web("tunnel list"))[1] == ["hv1", "hv2", "stt", "7", "700", "6", "600", "red/web"]
    assert _table(web("tunnel list --encapsulation vxlan"))[1][:3] == ["hv2", "red/web/up1", "vxlan"]
    assert _table(web("flow list hv1 --state foreign"))[1:] == [["hv1", "foreign", "50", "100", "1", "60", "dl_type=0x800", "drop"]]
    assert web("flow remove hv1").status == 2
    assert web("flow remove hv1 --foreign").status == 0 and _json(web("flow list hv1 --state foreign -o json")) == []
    assert [row[0] for row in _table(web("flow list red/web/a1 --table 0"))[1:]] == ["hv1", "hv2"]
    assert "hypervisor 'hv9' does not exist" in web("flow list hv9").err


def test_apply_and_export(web: Nvo3, tmp_path: Path) -> None:
    file = tmp_path / "red.yaml"
    exported = web("export red")
    assert exported.status == 0
    file.write_text(exported.out.replace("mtu: 1400", "mtu: 1300").replace("          a1:", "          a7: {}\n          a1:"))
    said = [
        "~ network red/web: mtu 1400 → 1300",
        "+ port red/web/a7",
    ]
    assert web(f"apply -f {file} --dry-run").out.splitlines() == said
    assert web(f"apply -f {file} --dry-run").out.splitlines() == said
    assert web(f"apply -f {file} --wait").out.splitlines() == said
    assert web(f"apply -f {file}").out == "nothing to change\n"
    assert _json(web("network show red/web -o json"))["mtu"] == 1300
    file.write_text("tenants: {red: {networks: {}}}")
    assert [change["action"] for change in _json(web(f"apply -f {file} -o json"))["changes"]] == ["delete"] * 3
    assert yaml.safe_load(web("export").out) == {"tenants": {"red": {"networks": {}}}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ("[]", "not a document such as `nvo3 export` prints"),
        ("!!python/object:os.system {}", "line 1, column 1: could not determine a constructor"),
        ("colour: red", "tenants: is missing"),
        ("tenants: {red: {networks: {web: {mtu: 5}}}}", "tenants.red.networks.web.mtu: 5 is not within 1280"),
    ],
)
def test_documents_that_are_none(web: Nvo3, tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(content)
    refused = web(f"apply -f {file}")
    assert refused.status == 1 and message in refused.err and refused.err.count("\n") == 1, refused.err


def test_settings(nvo3: Nvo3) -> None:
    changed = {"encapsulation_order": ["vxlan", "gre"], "sclp_payload": "vxlan", "agent_pools": []}
    assert _json(nvo3("settings set --encapsulation-order vxlan,gre -o json")) == changed
    assert _json(nvo3("settings show -o json")) == changed
    assert _json(nvo3("settings set --sclp-payload geneve -o json")) == changed | {"sclp_payload": "geneve"}
    assert _table(nvo3("settings set --agent-pool 192.0.2.128/26 --agent-pool 192.0.2.192/26")) == [
        ["ENCAPSULATION", "ORDER", "vxlan,gre"],
        ["SCLP", "PAYLOAD", "geneve"],
        ["AGENT", "POOLS", "192.0.2.128/26,192.0.2.192/26"],
    ]
    assert _json(nvo3("settings set --no-agent-pool -o json"))["agent_pools"] == []


def test_agent(web: Nvo3) -> None:
    assert web("settings set --agent-pool 192.0.2.128/26").status == 0
    assert ["UNDERLAY", "IP", "192.0.2.129"] in _table(web("port create red/web/up1 --offload cvsw"))
    assert _table(web("agent list"))[1] == ["red/web/up1", "hv1", "192.0.2.129", "connected", "1/2", "no", "BAC_BAD_ARGUMENT"]
    assert ["DROPPED", "unasked:3"] in _table(web("agent show red/web/up1"))
    assert _table(web("agent table red/web/up1"))[1] == ["present", "32768", "in_port=HOST", "output:NET", "5", "300", "1.5"]
    assert _json(web("port set red/web/up1 --offload none -o json"))["offload"] == "none"


def test_wait(web: Nvo3) -> None:
    assert web("port create red/web/a2 --wait").status == 0
    web("hypervisor create deaf1 --remote tcp:192.0.2.9:6640")
    refused = web("port create red/web/a3 --wait --timeout 0.2")
    assert (refused.status, refused.out) == (1, "")
    message, _, remedy = refused.err.partition("; ")
    assert message == "nvo3: port red/web/a3 is stored, but not in force within 0.2 s at: deaf1"
    assert remedy == "nothing is lost; `nvo3 hypervisor list` says what holds it up\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tenant create red", "name: red: a tenant of that name exists"),
        ("tenant create a/b", "name: 'a/b' is not a name: 1 to 63 of"),
        ("tenant show blue", "tenant 'blue' does not exist"),
        ("tenant delete red", "tenant red is in use by network red/web"),
        ("network create red/n --vni 16777216", "vni: 16777216 is not within 1..16777215"),
        ("settings set --sclp-payload gre", "sclp_payload: 'gre' is not one of vxlan, geneve"),
        ("port set red/web/a1 --offload ovs", "offload: 'ovs' is not one of none, cvsw"),
        ("port set red/web/a1 --offload cvsw", "offload: the settings have no agent_pools, "),
        ("agent show red/web/a1", "port red/web/a1 has offload none, so it has no agent"),
        ("settings set --agent-pool fd00::/64", "agent_pools[0]: fd00::/64 is not of IPv4"),
        ("network create red/n --encapsulation mpls", "encapsulation: 'mpls' is not one of auto, none, stt, sclp-udp, sclp, "),
        ("network create red/n --vni 5000", "vni: 5000: taken by network red/web"),
        ("network create red/n --pool 10.0.0.0/8 --pool 10.1.0.0/16", "pools[1]: 10.1.0.0/16 overlaps 10.0.0.0/8"),
        ("port create red/web/b --mac 02:00:00:00:00:01", "mac: 02:00:00:00:00:01: taken by port red/web/a1"),
        ("port counters red/web/a1", "port red/web/a1 is not bound, so nothing counts for it"),
        ("hypervisor create hv1 --remote tcp:x", "remote: 'tcp:x' is not tcp:HOST:PORT"),
        ("port create red/web/b --wait --timeout 1000", 'timeout: must be at most 300, not "1000.0"'),
    ],
)
def test_errors_are_one_line(web: Nvo3, arguments: str, message: str) -> None:
    refused = web(arguments)
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.count("\n") == 1
    assert message in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nonsense", "nvo3: No such command 'nonsense'. (see nvo3 --help)"),
        ("network create red", "'red' is not TENANT/NETWORK"),
        ("port show red/web/", "'red/web/' is not TENANT/NETWORK/PORT"),
        ("network create red/web --vni many", "Invalid value for '--vni'"),
        ("hypervisor create hv1", "Missing option '--remote'"),
        ("network set red/web --pool 10.0.0.0/8 --no-pool", "--pool and --no-pool exclude each other"),
        ("tenant list --output xml", "Invalid value for '--output'"),
    ],
)
def test_usage(offline: Nvo3, arguments: str, message: str) -> None:
    refused = offline(arguments)
    assert refused.status == 2
    assert refused.err.count("\n") == 1
    assert message in refused.err


def test_api_not_reachable(offline: Nvo3) -> None:
    refused = offline("tenant list --api http://127.0.0.1:1")
    assert refused.status == 3
    assert refused.err.count("\n") == 1
    assert "no API at http://127.0.0.1:1 (" in refused.err
    assert "start the controller with `ryu-manager nvo3_app.py`" in refused.err
    assert offline("tenant list --api nonsense").status == 3


def test_help_of_every_command(offline: Nvo3) -> None:
    assert offline("--version").out == f"nvo3 {package.__version__}\n"
    for group, commands in {
        "hypervisor": "list show create set delete",
        "tenant": "list show create set delete",
        "network": "list show create set delete",
        "port": "list show create set delete counters",
        "settings": "show set",
        "tunnel": "list",
        "flow": "list remove",
        "lab": "up down status exec",
        "bench": "tcp",
        "ovs": "build",
    }.items():
        assert group in offline("--help").out
        listed = offline(f"{group} --help")
        assert listed.status == 0
        for command in commands.split():
            assert command in listed.out
            shown = offline(f"{group} {command} --help")
            assert shown.status == 0
            assert f"nvo3 {group} {command}" in shown.out


def _run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "nvo3.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=False, cwd="/", **options)


def test_help_starts_quickly() -> None:
    """CPU time, the best of several starts: the machine may be busy."""
    spent = []
    for _ in range(5):
        before = os.times()
        assert _run("--help").returncode == 0
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.4


def test_as_a_process(controller: Any) -> None:
    done = _run("tenant", "create", "red", "--api", controller.url)
    assert (done.returncode, done.stderr) == (0, b"")
    done = _run("tenant", "create", "red", "--api", controller.url)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"nvo3: name: red: a tenant of that name exists; choose another, or change that one with `set`\n"


def test_reader_that_leaves(web: Nvo3, controller: Any) -> None:
    """`nvo3 … | head -0` ends without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "nvo3.cli", "port", "list", "red/web", "--api", controller.url]
    done = subprocess.run(command, env=environment, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("network show red/db", "network 'red/db' does not exist; see `nvo3 network list`"),
        ("port show red/web/b1", "port 'red/web/b1' does not exist; see `nvo3 port list`"),
        ("hypervisor delete hv9", "hypervisor 'hv9' does not exist; see `nvo3 hypervisor list`"),
        ("tenant delete red", "`nvo3 network delete TENANT/NETWORK`"),
        ("network delete red/web", "`nvo3 port delete TENANT/NETWORK/PORT`"),
        ("network create red/db --vni 5000", "without --vni a free one is taken"),
        ("port create red/web/a2 --mac 02:00:00:00:00:01", "without --mac one is chosen"),
        ("port create red/web/a2 --address 10.0.0.2", "without --address one is chosen"),
    ],
)
def test_errors_say_what_to_do(web: Nvo3, command: str, error: str) -> None:
    refused = web(command)
    assert refused.status == 1 and refused.err.count("\n") == 1
    assert refused.err.rstrip("\n").endswith(error), refused.err


def _on_a_terminal(arguments: Sequence[str], **more: str) -> str:
    """Return what the command writes to a terminal."""
    main, terminal = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS")}
    environment |= {"PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm-256color"} | more
    with subprocess.Popen([sys.executable, "-m", "nvo3.cli", *arguments], env=environment, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        text = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # nobody has the other side open any more
                break
            if not part:
                break
            text += part
    os.close(main)
    assert process.returncode == 0
    return text.decode()


def test_colours_on_a_terminal_only_and_not_where_they_are_unwanted() -> None:
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    assert colour.search(_on_a_terminal(["tenant", "--help"]))
    assert not colour.search(_on_a_terminal(["tenant", "--help"], NO_COLOR="1"))
    assert "\x1b" not in _on_a_terminal(["tenant", "--help"], TERM="dumb")
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    piped = subprocess.run([sys.executable, "-m", "nvo3.cli", "tenant", "--help"], env=environment, capture_output=True, check=True)
    assert b"\x1b" not in piped.stdout
