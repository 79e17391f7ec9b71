"""The NB database as a RAFT cluster of three servers, as --nvo3-db names one."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nvo3.ovsdb import command
from nvo3.ovsdb.server import SCHEMA
from tests.ovsdb.conftest import Watched, binary

pytestmark = pytest.mark.ovsdb


class Cluster:
    """Three ovsdb-servers on Unix sockets in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.remotes = ",".join(f"unix:{directory}/{number}.sock" for number in (1, 2, 3))
        tool, first = binary("ovsdb-tool"), self._raft(1)
        self._run(tool, "create-cluster", "1.db", str(SCHEMA), first)
        for number in (2, 3):
            self._run(tool, "join-cluster", f"{number}.db", "nvo3", self._raft(number), first)
        for number in (1, 2, 3):
            self.start(number)

    def _raft(self, number: int) -> str:
        return f"unix:{self._directory}/{number}.raft"

    def _run(self, *arguments: str) -> str:
        return subprocess.run(arguments, cwd=self._directory, stdout=subprocess.PIPE, check=True).stdout.decode()

    def start(self, number: int) -> None:
        """Run a server, new or again."""
        base = f"{self._directory}/{number}"
        options = [f"--remote=punix:{base}.sock", f"--unixctl={base}.ctl", f"--log-file={base}.log", "-vconsole:off"]
        self._processes[number] = subprocess.Popen([binary("ovsdb-server"), *options, f"{base}.db"])

    def wait_joined(self) -> None:
        """Block until every server is a member: before, two of three are no majority."""
        deadline = time.monotonic() + 20
        while not all("Status: cluster member" in self._status(number) for number in self._processes):
            assert time.monotonic() < deadline, "the servers do not join"
            time.sleep(0.05)

    def leader(self) -> int:
        """Return the server that leads; there is one within seconds."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for number, process in self._processes.items():
                if process.poll() is None and "Role: leader" in self._status(number):
                    return number
            time.sleep(0.05)
        raise AssertionError("the cluster has no leader")

    def _status(self, number: int) -> str:
        target = f"{self._directory}/{number}.ctl"
        command = [binary("ovs-appctl"), "-t", target, "cluster/status", "nvo3"]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode()

    def kill(self, number: int) -> None:
        """End a server at once."""
        self._processes[number].kill()
        self._processes[number].wait()

    def stop(self) -> None:
        """End all."""
        for number in self._processes:
            self.kill(number)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.stop()


def test_leader_dies(cluster: Cluster, eventually: Callable[..., None]) -> None:
    """Two controllers go on with the new leader, and none of what was reported stored is lost."""
    cluster.wait_joined()
    leader = cluster.leader()
    controllers = [Watched(cluster.remotes, timeout_s=30.0) for _ in range(2)]
    try:
        for controller in controllers:
            controller.start()
            controller.wait_up(20)
        command.create_tenant(controllers[0], "red")
        cluster.kill(leader)
        command.create_tenant(controllers[1], "blue")
        command.create_network(controllers[0], "red", "web")
        assert cluster.leader() != leader
        cluster.start(leader)
        command.create_network(controllers[1], "blue", "web")
        for controller in controllers:
            eventually(lambda view=controller.view: len(view.networks) == 2)
            assert sorted(controller.view.tenant_names) == ["blue", "red"]
            assert {network.vni for network in controller.view.networks.values()} == {5000, 5001}
    finally:
        for controller in controllers:
            controller.stop()
