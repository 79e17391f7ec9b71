"""The API on a real database and a real port, with a control plane that acts by the names of things.

    fake_controller.py STATE_DIR RUN_DIR [REMOTES]

Prints the port of the API, and that of ovsdb-server's process, as JSON on one line, then serves until its standard
input ends.

A hypervisor named deaf… never confirms and never connects; others are connected.  A port named up… is bound and up,
one named mute… is bound but its switch does not answer.  A network named broken is a fault in the program.
The agent of a port named up… is connected, of one named mute… it does not answer, of others it is absent.
"""

# ruff: noqa: E402
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
import eventlet

eventlet.monkey_patch()

import json
import logging
import sys
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from uuid import UUID

from nvo3.api import serve
from nvo3.api.app import create_app
from nvo3.api.serve import HttpServer
from nvo3.events import EventLog
from nvo3.exposition import Family
from nvo3.metrics import Metrics
from nvo3.model.event import NorthboundChanged
from nvo3.model.ids import dpid_of
from nvo3.model.logical import Tenant
from nvo3.model.status import AgentEntry, AgentStatus, FlowEntry, HypervisorStatus, NetworkStatus, PortCounters, PortStatus, TunnelStatus
from nvo3.ovsdb import server
from nvo3.ovsdb.northbound import Northbound


class FakePlane:
    """A ControlPlane without switches."""

    def __init__(self, northbound: Northbound) -> None:
        self._northbound = northbound
        self._cleaned: set[UUID] = set()  # hypervisors without foreign flows
        self.events = EventLog(lambda: datetime.now(UTC))

    def note(self, event: NorthboundChanged) -> None:
        """Log each tenant that is new or changed."""
        for row in event.upserted:
            if isinstance(row, Tenant):
                self.events.add("tenant", "changed", row.name)

    def hypervisor_status(self, hypervisor: UUID) -> HypervisorStatus:
        name = self._northbound.view.hypervisors[hypervisor].name
        if name.startswith("deaf"):
            return HypervisorStatus("connecting", False, dpid_of(hypervisor), None, (), 0, "no answer from it")
        vtep_ip = IPv4Address("192.0.2.1")
        n_ports = 2 if name.startswith("busy") else 0
        return HypervisorStatus(
            "connected", True, dpid_of(hypervisor), vtep_ip, ("geneve", "vxlan"), 12, n_ports=n_ports, underlay_mtu=1500
        )

    def network_status(self, network: UUID) -> NetworkStatus:
        if self._northbound.view.networks[network].name == "broken":
            raise RuntimeError("broken network")
        return NetworkStatus(("hv1", "hv2"), (("hv1", "hv2", "geneve"), ("hv2", "hv3", None)), "hv2 and hv3 share none")

    def port_status(self, port: UUID) -> PortStatus:
        name = self._northbound.view.ports[port].name
        if name.startswith(("up", "mute")):
            return PortStatus("up", "hv1", "tap0", 5)
        return PortStatus("unbound", detail="no interface carries its uuid")

    def port_counters(self, port: UUID, timeout_s: float) -> PortCounters | None:
        up = self._northbound.view.ports[port].name.startswith("up")
        return PortCounters(1, 2, 3, 4, 5, 6, 7, {"ack": 1, "offer": 2}) if up else None

    def flows(self, hypervisor: UUID, owner: UUID | None, timeout_s: float) -> tuple[FlowEntry, ...] | None:
        name = self._northbound.view.hypervisors[hypervisor].name
        if name.startswith(("deaf", "mute")):
            return None
        flows = (
            FlowEntry("000.65435.0", "present", 0, 100, 0x4E564F3300000000, "in_port=1", "goto_table:10", 5, 300),
            FlowEntry("050.65435.0", "missing", 50, 100, 0x4E564F3300000001, "metadata=0x1389", "output:2"),
            FlowEntry("050.65435.1", "foreign", 50, 100, 7, "dl_type=0x800", "drop", 1, 60),
        )
        return flows if owner is None and hypervisor not in self._cleaned else flows[:2]

    def tunnels(self, timeout_s: float) -> tuple[TunnelStatus, ...]:
        return (
            TunnelStatus("hv1", "hv2", "stt", ("red/web",), (7, 700), (6, 600)),
            TunnelStatus("hv2", "hv1", "stt", ("red/web",), None, (1, 100)),
            TunnelStatus("hv2", "red/web/up1", "vxlan", ("red/web",), (3, 300), None),
        )

    def agent_status(self, port: UUID) -> AgentStatus | None:
        name = self._northbound.view.ports[port].name
        if name.startswith("un"):
            return None
        if name.startswith(("up", "mute")):
            return AgentStatus(
                "connected", ("error", "flow_stats"), ("stt", "vxlan"), 2, 1, False, 1500, ("BAC_BAD_ARGUMENT",), {"unasked": 3}
            )
        return AgentStatus("absent", (), (), 2, 0, False, 1500)

    def agent_table(self, port: UUID, timeout_s: float) -> tuple[AgentEntry, ...] | None:
        if not self._northbound.view.ports[port].name.startswith("up"):
            return None
        return (
            AgentEntry("present", 32768, "in_port=HOST", "output:NET", 5, 300, 1.5),
            AgentEntry("missing", 32768, "in_port=NET", "output:HOST"),
        )

    def remove_foreign_flows(self, hypervisor: UUID) -> bool:
        connected = self.hypervisor_status(hypervisor).connected
        if connected:
            self._cleaned.add(hypervisor)
        return connected

    def wait_realized(self, timeout_s: float) -> tuple[str, ...]:
        missing = tuple(h.name for h in self._northbound.view.hypervisors.values() if h.name.startswith("deaf"))
        if missing:
            eventlet.sleep(min(timeout_s, _PATIENCE_S))
        return missing

    def wait_port_up(self, port: UUID, timeout_s: float) -> PortStatus:
        status = self.port_status(port)
        if status.state != "up":
            eventlet.sleep(min(timeout_s, _PATIENCE_S))
        return status

    def wait_hypervisor_connected(self, hypervisor: UUID, timeout_s: float) -> HypervisorStatus:
        status = self.hypervisor_status(hypervisor)
        if not status.connected:
            eventlet.sleep(min(timeout_s, _PATIENCE_S))
        return status


class FakeTelemetry:
    """Counts requests; no port and no tunnel has carried anything."""

    def __init__(self) -> None:
        self.metrics = Metrics()

    def families(self) -> tuple[Family, ...]:
        return ()


_PATIENCE_S = 2.0

# Shorter than in operation, so that tests need not wait as long.
serve._HEAD_S = serve._SOCKET_S = 2.0


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    state_dir, run_dir, *remotes = sys.argv[1:]
    database = None if remotes else server.start(Path(state_dir), Path(run_dir))
    northbound = Northbound(remotes[0] if database is None else database.remote, lambda event: plane.note(event), timeout_s=5.0)
    plane = FakePlane(northbound)
    northbound.start()
    http = HttpServer("127.0.0.1", 0, create_app(northbound, plane, FakeTelemetry()))
    http.start()
    print(json.dumps({"port": http.port, "database": None if database is None else database.pid}), flush=True)
    try:
        eventlet.hubs.trampoline(sys.stdin.fileno(), read=True)
    except KeyboardInterrupt:
        pass
    finally:
        http.stop()
        northbound.stop()
        if database is not None:
            database.stop()


if __name__ == "__main__":
    main()
