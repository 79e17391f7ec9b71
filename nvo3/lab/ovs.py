"""One Open vSwitch per hypervisor: its daemons in the hypervisor's namespace, every file in its own directory.

Specification: ovsdb-server(1), ovs-vswitchd(8), ovs-vsctl(8), ovs-vswitchd.conf.db(5).
"""

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nvo3.lab import process, system
from nvo3.lab.errors import DaemonFailed, LabError
from nvo3.lab.process import Process

ENVIRONMENT = "NVO3_OVS"  # prefix of the Open vSwitch that the launcher built

OVSDB_SERVER = "ovsdb-server"
VSWITCHD = "ovs-vswitchd"

_START_S = 15.0

# Segments of TCP stay whole up to 64 KB on the way through the switch, as a NIC with segmentation offload would have
# them (ovs-vswitchd.conf.db(5)).  One thread of each kind: the lab's hypervisors share a machine.
_CONFIGURATION = (
    "other_config:userspace-tso-enable=true",
    "other_config:n-handler-threads=1",
    "other_config:n-revalidator-threads=1",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where Open vSwitch's programs and its schema are."""

    path: str  # for $PATH
    schema: Path

    @classmethod
    def find(cls, prefix: str = "") -> "Binaries":
        """Find the programs by a prefix, by $NVO3_OVS where none is given, else by $PATH.

        Raises LabError, with the remedy, if there are none.
        """
        prefix = prefix or os.environ.get(ENVIRONMENT, "")
        own = [f"{prefix}/bin", f"{prefix}/sbin"] if prefix else []
        path = os.pathsep.join([*own, os.environ.get("PATH", "")])
        for program in (OVSDB_SERVER, VSWITCHD, "ovsdb-tool", "ovs-vsctl"):
            if not shutil.which(program, path=path):
                raise LabError(f"{program} not found by ${ENVIRONMENT} ({prefix or 'not set'}) nor by $PATH; `nvo3 ovs build` builds it")
        vswitchd = Path(shutil.which(VSWITCHD, path=path) or "").resolve()
        schema = vswitchd.parent.parent / "share/openvswitch/vswitch.ovsschema"
        if not schema.exists():
            raise LabError(f"{schema}: not found, though {vswitchd} is there; `nvo3 ovs build --force` builds it anew")
        return cls(path, schema)


class Switch:
    """The Open vSwitch of one hypervisor.

    name: the hypervisor's.  directory: its own; exists.
    """

    def __init__(self, name: str, directory: Path, binaries: Binaries) -> None:
        self.name = name
        self.directory = directory
        self._binaries = binaries

    @property
    def environment(self) -> dict[str, str]:
        """What makes OVS's own tools (ovs-vsctl, ovs-ofctl, ovs-appctl) talk to this switch."""
        own = str(self.directory)
        directories = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), own)
        return dict(os.environ) | directories | {"PATH": self._binaries.path}

    def log(self, daemon: str) -> Path:
        """Return the log of OVSDB_SERVER or VSWITCHD."""
        return self.directory / f"{daemon}.log"

    def output(self, daemon: str) -> Path:
        """Return where a daemon's standard output and error go: what it says before it logs."""
        return self.directory / f"{daemon}.out"

    def role(self, daemon: str) -> str:
        """Return what the journal calls a daemon of this switch."""
        return f"{self.name} {daemon}"

    def create_database(self) -> None:
        """Make an empty database."""
        self.run("ovsdb-tool", "create", str(self.directory / "conf.db"), str(self._binaries.schema))

    def ovsdb_server_argv(self, remote: str) -> list[str]:
        """Return how to start ovsdb-server; `remote`: where it listens beside its socket, as in `ptcp:6640:ADDRESS`."""
        return [
            OVSDB_SERVER,
            str(self.directory / "conf.db"),
            f"--remote=punix:{self.directory}/db.sock",
            f"--remote={remote}",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            *self._daemon_options(OVSDB_SERVER),
        ]

    def vswitchd_argv(self) -> list[str]:
        """Return how to start ovs-vswitchd."""
        return [VSWITCHD, f"unix:{self.directory}/db.sock", *self._daemon_options(VSWITCHD)]

    def _daemon_options(self, daemon: str) -> list[str]:
        return [
            "--no-chdir",
            f"--pidfile={self.directory}/{daemon}.pid",
            f"--log-file={self.log(daemon)}",
            "-vconsole:emer",
            "-vsyslog:off",
        ]

    def run(self, *argv: str, timeout_s: float = 30) -> str:
        """Run a tool of OVS on this switch and return its output.  Raises CommandFailed."""
        return system.run(argv, env=self.environment, timeout_s=timeout_s)

    def vsctl(self, *arguments: str, wait: bool = True) -> str:
        """Run ovs-vsctl; wait: until ovs-vswitchd has done what was asked."""
        return self.run("ovs-vsctl", f"--timeout={_START_S:g}", *([] if wait else ["--no-wait"]), *arguments, timeout_s=_START_S + 5)

    def configure(self, hypervisor: str, vtep_ip: str, underlay: str, nic: str) -> None:
        """Set the switch up, for ovs-vswitchd to find when it starts: underlay bridge with its NIC, VTEP address."""
        identity = (
            f"external_ids:system-id={hypervisor}",
            f"external_ids:hostname={hypervisor}",
            f"external_ids:nvo3-vtep-ip={vtep_ip}",
        )
        bridge = ("--may-exist", "add-br", underlay, "--", "set", "Bridge", underlay, "datapath_type=netdev")
        port = ("--may-exist", "add-port", underlay, nic)
        self.vsctl("init", "--", "set", "Open_vSwitch", ".", *_CONFIGURATION, *identity, "--", *bridge, "--", *port, wait=False)

    def await_ovsdb(self, started: Process) -> None:
        """Wait until ovsdb-server serves.  Raises DaemonFailed."""
        serves = partial(_listens, self.directory / "db.sock")
        system.wait_until(lambda: serves() or not process.is_alive(started), _START_S)
        self._require(started, OVSDB_SERVER, "did not open its socket", serves())

    def await_vswitchd(self, started: Process, interfaces: Sequence[str]) -> None:
        """Wait until ovs-vswitchd has made the interfaces.  Raises DaemonFailed with the reason that OVS gives."""
        # The columns of Interface may still be those of an earlier run: first let it work through its configuration.
        wanted = self._configuration_number("next_cfg") + 1
        self.vsctl("set", "Open_vSwitch", ".", f"next_cfg={wanted}", wait=False)

        def done() -> bool:
            return self._configuration_number("cur_cfg") >= wanted

        system.wait_until(lambda: done() or not process.is_alive(started), _START_S)
        self._require(started, VSWITCHD, f"did not make {', '.join(interfaces)}", done())
        for interface in interfaces:
            error = self._interface_column(interface, "error")
            if error:
                raise DaemonFailed(f"{self.name}: {VSWITCHD}: {interface}: {error}", self.log(VSWITCHD))

    def offers(self, interface_type: str) -> bool:
        """Tell whether ovs-vswitchd has an interface type."""
        return interface_type in re.findall(r"[\w-]+", self.vsctl("get", "Open_vSwitch", ".", "iface_types", wait=False))

    def _configuration_number(self, column: str) -> int:
        return int(self.vsctl("get", "Open_vSwitch", ".", column, wait=False))

    def _interface_column(self, interface: str, column: str) -> str:
        """Return a column of an Interface as text, empty where it has no value."""
        text = self.vsctl("--if-exists", "get", "Interface", interface, column, wait=False).strip().strip('"')
        return "" if text == "[]" else text

    def _require(self, started: Process, daemon: str, failure: str, succeeded: bool) -> None:
        if not process.is_alive(started):
            log = self.log(daemon) if last_line(self.log(daemon)) else self.output(daemon)
            raise DaemonFailed(f"{self.name}: {daemon} ended: {last_line(log) or 'no message'}", log)
        if not succeeded:
            raise DaemonFailed(f"{self.name}: {daemon} {failure} within {_START_S:g} s", self.log(daemon))


def _listens(path: Path) -> bool:
    """Tell whether somebody accepts connections at a Unix socket; that its file exists does not say so."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def last_line(log: Path) -> str:
    """Return the last line of a log that says something, empty if there is none."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1] if lines else ""
