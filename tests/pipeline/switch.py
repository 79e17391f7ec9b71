"""A real ovs-vswitchd on its dummy datapath: flows by our own session over its management socket, packets in and out as bytes."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from scapy.all import Ether, rdpcap

from nvo3.openflow.session import Confirmed, FlowsRead, Refused, SessionEvent, SwitchSession
from nvo3.pipeline.flow import FlowSpec

_HELLO = b"\x04\x00\x00\x08\x00\x00\x00\x01"


def ovs_program(name: str) -> str | None:
    """Find a program of Open vSwitch in $NVO3_OVS or PATH."""
    prefix = os.environ.get("NVO3_OVS", "")
    return shutil.which(name, path=os.pathsep.join([f"{prefix}/bin", f"{prefix}/sbin", os.environ["PATH"], "/usr/sbin"]))


class Switch:
    """br-int with dummy ports.  directory: private, short (it holds unix sockets)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directories = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        self._env = os.environ | dict.fromkeys(directories, str(directory))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._xid = 100
        self.session = SwitchSession(self._next_xid)

    def start(self) -> None:
        """Start ovsdb-server and ovs-vswitchd, make br-int."""
        database, remote = self.directory / "conf.db", f"unix:{self.directory}/db.sock"
        schema = Path(ovs_program("ovs-vswitchd") or "").parent.parent / "share/openvswitch/vswitch.ovsschema"
        self.run("ovsdb-tool", "create", str(database), str(schema))
        self._spawn("ovsdb-server", f"--remote=p{remote}", "--pidfile", "--log-file", str(database))
        wait_for(lambda: (self.directory / "db.sock").exists())
        self.run("ovs-vsctl", "--no-wait", "init")
        self._start_vswitchd()
        self.run("ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy", "fail_mode=secure")

    def stop(self) -> None:
        """End what was started."""
        if self._socket is not None:
            self._socket.close()
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _spawn(self, program: str, *args: str) -> None:
        path = ovs_program(program)
        assert path is not None
        log = (self.directory / f"{program}.out").open("wb")
        self._processes.append(subprocess.Popen([path, "--no-chdir", *args], env=self._env, cwd=self.directory, stdout=log, stderr=log))

    def restart(self) -> None:
        """Kill ovs-vswitchd and start it again."""
        vswitchd = self._processes.pop()
        vswitchd.kill()
        vswitchd.wait()
        for control in self.directory.glob("ovs-vswitchd.*.ctl"):
            control.unlink()
        self._start_vswitchd()

    def _start_vswitchd(self) -> None:
        remote = f"unix:{self.directory}/db.sock"
        self._spawn("ovs-vswitchd", "--pidfile", "--log-file", "--enable-dummy=override", "--disable-system", remote)
        wait_for(lambda: any(self.directory.glob("ovs-vswitchd.*.ctl")))

    @property
    def pids(self) -> list[int]:
        """Its daemons'."""
        return [process.pid for process in self._processes]

    def run(self, program: str, *args: str) -> str:
        """Run a program of OVS against this switch; return what it prints."""
        path = ovs_program(program)
        assert path is not None, f"{program} not found"
        done = subprocess.run([path, *args], env=self._env, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{program} {' '.join(args)}: {done.stderr}"
        return done.stdout

    def add_port(self, name: str, ofport: int) -> None:
        """Add a dummy port that records what it transmits."""
        pcap = f"options:tx_pcap={self.directory}/{name}.pcap"
        interface = ["set", "interface", name, "type=dummy", f"ofport_request={ofport}", pcap]
        self.run("ovs-vsctl", "add-port", "br-int", name, "--", *interface)

    # OpenFlow.

    def connect(self) -> None:
        """Open an OpenFlow 1.3 connection."""
        self.run("ovs-vsctl", "set", "bridge", "br-int", "protocols=OpenFlow10,OpenFlow13")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(self.directory / "br-int.mgmt"))
        self._socket.sendall(_HELLO)

    def _next_xid(self) -> int:
        self._xid += 1
        return self._xid

    def _message(self) -> bytes:
        assert self._socket is not None
        while len(self._buffer) < 8 or len(self._buffer) < int.from_bytes(self._buffer[2:4], "big"):
            self._buffer += self._socket.recv(65536)
        size = int.from_bytes(self._buffer[2:4], "big")
        message, self._buffer = self._buffer[:size], self._buffer[size:]
        return message

    def exchange(self, request: bytes) -> list[SessionEvent]:
        """Send what the session made, and take messages until it has something to say."""
        assert self._socket is not None
        self._socket.sendall(request)
        while True:
            message = self._message()
            if message[1] == 2:  # echo request
                self._socket.sendall(b"\x04\x03" + message[2:])
            elif self.session.owns(message[1], int.from_bytes(message[4:8], "big")):
                events = self.session.handle_message(message)
                if events:
                    return events

    def install(self, desired: Iterable[FlowSpec]) -> tuple[int, int]:
        """Bring the switch to the desired flows; return how many flows that added or changed, and deleted."""
        assert self.exchange(self.session.start()) == [FlowsRead()]
        bundle = self.session.reconcile(list(desired), 1)
        if bundle:
            (event,) = self.exchange(bundle)
            if isinstance(event, Refused):
                raise AssertionError(f"refused: {event}\n{(self.directory / 'ovs-vswitchd.log').read_text()[-2000:]}")
            assert event == Confirmed(1)
        return self.session.last_diff

    def flows(self) -> list[str]:
        """Return the flows as ovs-ofctl prints them."""
        lines = self.run("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", "br-int").splitlines()
        return sorted(line.strip() for line in lines if "actions=" in line)

    # Packets.

    def receive(self, port: str, packet: Ether) -> dict[str, list[Ether]]:
        """Let a packet arrive on a port; return what each port transmitted because of it."""
        before = self._transmitted()
        self.run("ovs-appctl", "netdev-dummy/receive", port, bytes(packet).hex())
        self.run("ovs-appctl", "revalidator/wait")
        after = self._transmitted()
        return {name: packets[len(before.get(name, [])) :] for name, packets in after.items() if len(packets) > len(before.get(name, []))}

    def _transmitted(self) -> dict[str, list[Ether]]:
        files = [f for f in self.directory.glob("*.pcap") if f.stat().st_size > 24]
        return {f.stem: list(rdpcap(str(f))) for f in files}

    def trace(self, flow: str) -> str:
        """Return ofproto/trace's account of a flow."""
        return self.run("ovs-appctl", "ofproto/trace", "br-int", flow)


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0, interval_s: float = 0.01) -> None:
    """Wait until a condition holds; look again and again after so long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition did not become true in time"
        time.sleep(interval_s)
