"""ryu-manager: beside other apps, under hostile connections, and at its end."""

import contextlib
import random
import signal
import socket
import struct
import time
from pathlib import Path

import pytest
from scapy.all import IP, UDP, Ether

from nvo3.api.client import ApiUnreachable
from tests.manager.bridge import Bridge
from tests.manager.conftest import Manager
from tests.manager.handshake import openflow_handshake
from tests.manager.hypervisor import overlay_on
from tests.pipeline.switch import Switch, wait_for

pytestmark = pytest.mark.ovsdb

LEARNING_SWITCH = str(Path(__file__).with_name("learning_switch.py"))


def status_of(pid: int) -> dict[str, int]:
    """Threads, resident kilobytes and open files of a process."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    n_files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"threads": int(lines["Threads"]), "rss_kb": int(lines["VmRSS"].split()[0]), "files": n_files}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_two_seconds_with_status_0_and_leaves_no_process(manager: Manager, number: signal.Signals) -> None:
    database = int((manager.directory / "run" / "nvo3.db.pid").read_text()) if (manager.directory / "run" / "nvo3.db.pid").exists() else 0
    # A client in the middle of a request, and a switch in the middle of its handshake, do not hold it.
    with socket.create_connection(("127.0.0.1", manager.http_port)) as http, socket.create_connection(("127.0.0.1", manager.openflow_port)):
        http.sendall(b"GET /v1/tenants HTTP/1.1\r\n")
        assert manager.end(number) == 0
    assert "Traceback" not in manager.log.read_text()
    if database:
        wait_for(lambda: not Path(f"/proc/{database}").exists(), timeout_s=2)


def test_what_was_acknowledged_is_there_after_kill_9(manager: Manager) -> None:
    manager.client.post("/v1/tenants", json={"name": "red"})
    assert manager.end(signal.SIGKILL) == -signal.SIGKILL
    manager.start()
    assert [t["name"] for t in manager.client.get("/v1/tenants")["items"]] == ["red"]


@pytest.mark.parametrize("manager", [["nvo3_app.py", LEARNING_SWITCH]], indirect=True, ids=["with a learning switch"])
def test_a_user_s_ryu_app_runs_beside_ours_and_does_not_touch_our_bridges(manager: Manager, switch: Switch) -> None:
    # The user's own bridge, and br-int as the overlay makes it, on one switch.
    user = Bridge(switch, "br-user", 1, ["u1", "u2", "u3"], manager.openflow_port)
    overlay_on(switch, manager)

    # It learns: the first frame is flooded, the answer and what follows is not.
    wait_for(lambda: "CONTROLLER" in user.flows())
    there, back = (
        Ether(src=f"02:00:00:00:00:0{a}", dst=f"02:00:00:00:00:0{b}") / IP(src="192.0.2.1", dst="192.0.2.2") / UDP() / (b"x" * 40)
        for a, b in ((1, 2), (2, 1))
    )
    assert user.deliver("u1", there) == {"u2", "u3"}
    assert user.deliver("u2", back) == {"u1"}
    wait_for(lambda: "priority=1" in user.flows())
    assert user.deliver("u1", there) == {"u2"}

    # It never heard of br-int, where its table miss would hand tenants' packets to it.
    flows = switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br-int")
    assert "cookie=0x4e564f33" in flows
    assert all("table=2," in line for line in flows.splitlines() if "CONTROLLER" in line), "but for what agents say"
    log = manager.log.read_text()
    assert log.count("learning on") == 1 and "learning on 4e56" not in log


def test_thousands_of_connections_of_garbage_leave_it_as_it_was(manager: Manager) -> None:
    rng = random.Random(7)

    def garbage(n: int) -> None:
        socks = []
        for i in range(n):
            sock = socket.create_connection(("127.0.0.1", manager.openflow_port), timeout=5)
            data = rng.randbytes(rng.choice([3, 8, 64, 2000]))
            if i % 3 == 0:  # a valid header first: version 1.3, any type, any length
                data = struct.pack("!BBHI", 4, rng.randrange(30), rng.choice([0, 7, 8, 16, 65535]), 7) + data
            sock.sendall(data)
            socks.append(sock)
            if len(socks) > 50 or i % 2:
                socks.pop(0).close()
        for sock in socks:
            sock.close()

    time_before = answer_time(manager)
    garbage(1000)
    wait_for(lambda: connections(manager) == 0)
    before = status_of(manager.pid)
    # The heap grows to its size in the first ten thousand, by blocks; what is kept for a connection shows in every thousand.
    memory_kb = [before["rss_kb"]]
    while len(memory_kb) < 40 and (len(memory_kb) < 12 or memory_kb[-1] - memory_kb[-4] > 200):
        garbage(1000)
        wait_for(lambda: connections(manager) == 0)
        after = status_of(manager.pid)
        memory_kb.append(after["rss_kb"])
    assert memory_kb[-1] - memory_kb[-4] <= 200, memory_kb
    assert after["threads"] == before["threads"] and after["files"] <= before["files"]
    assert answer_time(manager) < max(0.1, 5 * time_before)
    log = manager.log.read_text()
    assert "Traceback" not in log and log.count("\n") < 100
    assert "protocol errors" in log


def connections(manager: Manager) -> int:
    """Established OpenFlow connections of the manager."""
    port = f":{manager.openflow_port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(port) and row[3] in ("01", "08"))


def answer_time(manager: Manager) -> float:
    """Seconds that the API takes for a request, the best of five."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        manager.client.get("/v1/tenants")
        times.append(time.perf_counter() - started)
    return min(times)


def test_a_switch_that_disconnects_is_noticed_within_a_second(manager: Manager) -> None:
    row = manager.client.post("/v1/hypervisors", json={"name": "hv1", "remote": "tcp:127.0.0.1:9"})
    sock = openflow_handshake(manager, int(row["status"]["dpid"], 16))
    wait_for(lambda: f"switch {row['status']['dpid']}: connected" in manager.log.read_text())
    started = time.monotonic()
    sock.close()
    wait_for(lambda: f"switch {row['status']['dpid']}: disconnected" in manager.log.read_text())
    assert time.monotonic() - started < 1


def test_a_silent_switch_is_let_go_and_one_that_talks_of_other_things_is_not(manager: Manager) -> None:
    silent, talking = (openflow_handshake(manager, dpid) for dpid in (1, 2))
    silent.settimeout(0.2)
    answers, ended = b"", False
    while not ended:
        talking.sendall(struct.pack("!BBHI", 4, 2, 8, 7))  # echo requests; neither answers any
        with contextlib.suppress(TimeoutError):
            ended = not silent.recv(4096)
    talking.settimeout(5)
    talking.sendall(struct.pack("!BBHI", 4, 2, 8, 0x77777777))
    while b"\x04\x03\x00\x08\x77\x77\x77\x77" not in answers:
        answers += (data := talking.recv(4096))
        assert data, "the connection is closed"
    silent.close()
    talking.close()


def test_a_switch_that_contradicts_itself_is_cut_off_and_nothing_else_happens(manager: Manager) -> None:
    row = manager.client.post("/v1/hypervisors", json={"name": "hv1", "remote": "tcp:127.0.0.1:9"})
    sock = openflow_handshake(manager, int(row["status"]["dpid"], 16))
    sock.settimeout(10)
    pending = b""
    while True:  # echo requests may come first
        pending += sock.recv(4096)
        size = int.from_bytes(pending[2:4], "big")
        message, pending = pending[:size], pending[size:]
        if message[1] == 18:  # flow statistics request
            break
    entry = b"\xff\xff" + b"\0" * 60
    sock.sendall(struct.pack("!BBH", 4, 19, 16 + len(entry)) + message[4:8] + struct.pack("!HHI", 1, 0, 0) + entry)
    wait_for(lambda: "connection closed" in manager.log.read_text())
    assert "Traceback" not in manager.log.read_text()
    assert manager.client.get("/v1/tenants") == {"items": []}


def test_a_database_that_never_answers_is_a_state_and_stops_nobody(manager: Manager) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = f"tcp:127.0.0.1:{silent.getsockname()[1]}"
        manager.client.post("/v1/hypervisors", json={"name": "hv1", "remote": remote})
        wait_for(lambda: manager.client.get("/v1/hypervisors/hv1")["status"]["detail"] != "")
        status = manager.client.get("/v1/hypervisors/hv1")["status"]
        assert status["state"] == "connecting" and not status["connected"]
        assert status["detail"] == f"{remote} accepts connections but does not answer"
        started = time.monotonic()
        manager.client.post("/v1/tenants", json={"name": "red"}, wait="realized")
        assert time.monotonic() - started < 1
        manager.client.delete("/v1/hypervisors/hv1")


def test_a_second_controller_on_the_same_port_says_so_and_ends(manager: Manager) -> None:
    other = Manager(manager.directory / "other", ["nvo3_app.py"])
    other.directory.mkdir()
    other.openflow_port = manager.openflow_port
    with contextlib.suppress(AssertionError, ApiUnreachable):  # its API may have answered before it ended, or not
        other.start()
    assert other.process is not None and other.process.wait(timeout=5) == 1
    log = other.log.read_text()
    assert f"cannot listen for OpenFlow on 127.0.0.1 port {manager.openflow_port}: Address already in use" in log
    assert "Traceback" not in log


def test_a_missing_app_is_one_line(manager: Manager) -> None:
    other = Manager(manager.directory / "other", ["no_such_app.py"])
    other.directory.mkdir()
    other.log.touch()
    with pytest.raises(AssertionError):
        other.start()
    assert other.log.read_text() == "ryu-manager: no_such_app.py: no such file, nor an app of nvo3\n"
