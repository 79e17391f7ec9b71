"""Hypervisors without a network: real Open vSwitch on its dummy datapath, and agents' sessions behind its ports.

What a port transmits comes by a pipe, as a capture (options:tx_pcap); what an agent sends goes by a socket (options:pstream).
"""

import os
import random
import selectors
import socket
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from nvo3.cvsw.agent import AgentSession
from nvo3.cvsw.effect import AgentEvent, Received, Send, Tick
from nvo3.cvsw.flow import Flow
from nvo3.cvsw.table import FlowTable
from tests.pipeline.switch import Switch

_PCAP_HEADER_LEN = 24
_PCAP_MAGIC = struct.pack("=I", 0xA1B2C3D4)
_RECORD = struct.Struct("=IIII")  # seconds, microseconds, bytes that follow, bytes of the packet
_IDLE_S = 0.005
_PIPE_SIZE = 1 << 16
_ROOM = 65536  # entries, as nvo3-agent has


class Hypervisor:
    """A switch with br-phy and a VTEP address, for a controller to take over."""

    def __init__(self, directory: Path, vtep_ip: str) -> None:
        directory.mkdir()
        self.switch = Switch(directory)
        self._vtep_ip = vtep_ip

    def start(self) -> None:
        run = self.switch.run
        self.switch.start()
        underlay = ("--", "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev")
        run("ovs-vsctl", "del-br", "br-int", *underlay, "--", "set", "open_vswitch", ".", f"external_ids:nvo3-vtep-ip={self._vtep_ip}")
        run("ovs-appctl", "netdev-dummy/ip4addr", "br-phy", f"{self._vtep_ip}/24")

    @property
    def remote(self) -> str:
        return f"unix:{self.switch.directory}/db.sock"

    def plug(self, ports: Sequence[str]) -> None:
        """Plug ports in, by their ids, that nobody is behind."""
        commands: list[str] = []
        for n, port in enumerate(ports):
            name = f"p{n}"
            interface = ("set", "interface", name, "type=patch", f"options:peer=none{n}", f"external_ids:iface-id={port}")
            commands += ["--", "add-port", "br-int", name, "--", *interface]
        self.switch.run("ovs-vsctl", *commands[1:])


class Agent:
    """A vNIC's, without packets.  n_lost: frames, of both directions."""

    def __init__(self, mac: str, loss: float, seed: int) -> None:
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.chance = random.Random(seed)
        self.loss = loss
        self.n_lost = 0
        self.pending = b""
        self.pipe = -1
        self.socket = socket.socket(socket.AF_UNIX)
        self.begin()

    def begin(self) -> None:
        """Begin with an empty table, as another instance."""
        self.table = FlowTable(_ROOM)
        self.session = AgentSession(self.mac, self.table, self.chance.randrange(1, 1 << 32))

    def tell(self, event: AgentEvent) -> None:
        for effect in self.session.handle(event, time.monotonic()):
            if isinstance(effect, Send) and not self.is_lost():
                self.socket.sendall(struct.pack("!H", len(effect.frame)) + effect.frame)

    def is_lost(self) -> bool:
        lost = self.chance.random() < self.loss
        self.n_lost += lost
        return lost

    def read(self) -> None:
        """Take what the port has transmitted."""
        self.pending += os.read(self.pipe, _PIPE_SIZE)
        while len(self.pending) >= _PCAP_HEADER_LEN:
            if self.pending.startswith(_PCAP_MAGIC):  # of each configuration of the port
                self.pending = self.pending[_PCAP_HEADER_LEN:]
                continue
            end = _RECORD.size + _RECORD.unpack_from(self.pending)[2]
            if len(self.pending) < end:
                break
            frame, self.pending = self.pending[_RECORD.size : end], self.pending[end:]
            if not self.is_lost():
                self.tell(Received(frame))

    @property
    def flows(self) -> dict[bytes, Flow]:
        return {entry.flow.key: entry.flow for entry in self.table}


class Agents:
    """Agents behind ports that are plugged into a hypervisor, all served by one thread from `start` on.

    loss: of the frames, each way, 0..1.
    """

    def __init__(self, hypervisor: Hypervisor, ports: Sequence[dict[str, str]], *, loss: float = 0.0, seed: int = 1) -> None:
        self.agents = [Agent(port["mac"], loss, seed + n) for n, port in enumerate(ports)]
        self._switch = hypervisor.switch
        self._names = [f"v{port['uuid'][:8]}" for port in ports]
        self._selector = selectors.DefaultSelector()
        self._error: BaseException | None = None
        self._stopping = threading.Event()
        self._restarting = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        commands: list[str] = []
        for name, port, agent in zip(self._names, ports, self.agents, strict=True):
            pipe = self._switch.directory / name
            os.mkfifo(pipe)
            agent.pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
            options = (f"options:tx_pcap={pipe}", f"options:pstream=punix:{pipe}.sock", f"external_ids:iface-id={port['uuid']}")
            commands += ["--", "add-port", "br-int", name, "--", "set", "interface", name, "type=dummy", *options]
        self._switch.run("ovs-vsctl", *commands[1:])
        for name, agent in zip(self._names, self.agents, strict=True):
            agent.socket.connect(f"{self._switch.directory}/{name}.sock")
            self._selector.register(agent.pipe, selectors.EVENT_READ, agent)

    def start(self) -> None:
        self._thread.start()

    def restart(self) -> None:
        """Have them forget everything and begin again; they have when this returns."""
        self._restarting.set()
        while self._restarting.is_set() and self._thread.is_alive():
            time.sleep(_IDLE_S / 10)

    def stop(self) -> None:
        """Unplug them.  Raises what went wrong with them."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        commands = [word for name in self._names for word in ("--", "del-port", "br-int", name)]
        self._switch.run("ovs-vsctl", *commands[1:])
        self._selector.close()
        for agent in self.agents:
            os.close(agent.pipe)
            agent.socket.close()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._restarting.is_set():
                    for agent in self.agents:
                        agent.begin()
                    self._restarting.clear()
                for key, _ in self._selector.select(_IDLE_S):
                    key.data.read()
                now = time.monotonic()
                for agent in self.agents:
                    if (deadline := agent.session.next_deadline) is not None and deadline <= now:
                        agent.tell(Tick())
        except BaseException as error:
            self._error = error
