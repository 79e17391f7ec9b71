"""What the API asks of the running control plane; `ryu_apps/nvo3_app.py` provides it, tests give a fake."""

from typing import Protocol
from uuid import UUID

from nvo3.events import EventLog
from nvo3.model.status import AgentEntry, AgentStatus, FlowEntry, HypervisorStatus, NetworkStatus, PortCounters, PortStatus, TunnelStatus


class ControlPlane(Protocol):
    """Status of objects of the NB database.

    Calls for an unknown uuid return the status of an object that is not realized.
    """

    @property
    def events(self) -> EventLog:
        """What happened lately."""

    def hypervisor_status(self, hypervisor: UUID) -> HypervisorStatus: ...

    def network_status(self, network: UUID) -> NetworkStatus: ...

    def port_status(self, port: UUID) -> PortStatus: ...

    def port_counters(self, port: UUID, timeout_s: float) -> PortCounters | None:
        """Ask the switch; None where the port is unbound or the switch did not answer in time."""

    def flows(self, hypervisor: UUID, owner: UUID | None, timeout_s: float) -> tuple[FlowEntry, ...] | None:
        """Ask a hypervisor's switch for its flows, or those of one object, and compare; None where it did not answer in time."""

    def tunnels(self, timeout_s: float) -> tuple[TunnelStatus, ...]:
        """Ask all switches what went through their tunnels."""

    def agent_status(self, port: UUID) -> AgentStatus | None:
        """Return how the agent of a port's vNIC is; None where the port has none, or is not bound."""

    def agent_table(self, port: UUID, timeout_s: float) -> tuple[AgentEntry, ...] | None:
        """Ask the agent for its table, and compare; None where it did not answer in time."""

    def remove_foreign_flows(self, hypervisor: UUID) -> bool:
        """Remove the flows of br-int that are not ours; False where it is not connected.  Raises Unavailable if it does not answer."""

    def wait_realized(self, timeout_s: float) -> tuple[str, ...]:
        """Block until all that the NB database asked for before this call is in force on every connected hypervisor.

        Return the names of the hypervisors that had not confirmed it in time: empty means realized.
        """

    def wait_port_up(self, port: UUID, timeout_s: float) -> PortStatus:
        """Block until the port is up, or the time is over; return its status then."""

    def wait_hypervisor_connected(self, hypervisor: UUID, timeout_s: float) -> HypervisorStatus:
        """Block until the hypervisor is connected and its desired flows are in force, or the time is over.

        Return its status then.
        """
