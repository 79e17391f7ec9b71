"""What happened, as the core hears it: `Controller.handle(event, now)`.  Plain values, made by the shims."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from nvo3.model.ids import Dpid
from nvo3.model.logical import Network, Port, Settings, Tenant
from nvo3.model.physical import Hypervisor, HypervisorView

Kind = Literal["tenant", "network", "port", "hypervisor"]


@dataclass(frozen=True, slots=True)
class NorthboundChanged:
    """One update of the NB database, whole: rows that are new or changed, and rows that are gone."""

    upserted: tuple[Tenant | Network | Port | Hypervisor | Settings, ...] = ()
    deleted: tuple[tuple[Kind, UUID], ...] = ()


@dataclass(frozen=True, slots=True)
class HypervisorChanged:
    """A hypervisor's database changed.

    view: None while it is not reachable or br-int does not stand yet; detail: why, one line.  configured: what was last written into the
    database is in force.
    """

    hypervisor: UUID
    connected: bool
    view: HypervisorView | None
    detail: str = ""
    configured: bool = True


@dataclass(frozen=True, slots=True)
class SwitchConnected:
    """br-int's OpenFlow connection is up."""

    dpid: Dpid


@dataclass(frozen=True, slots=True)
class SwitchDisconnected:
    """br-int's OpenFlow connection is down."""

    dpid: Dpid


@dataclass(frozen=True, slots=True)
class FlowsConfirmed:
    """All flow changes of a bridge up to and including `epoch` are in force."""

    dpid: Dpid
    epoch: int


@dataclass(frozen=True, slots=True)
class FlowsRefused:
    """A bridge refused a change as a whole."""

    dpid: Dpid
    detail: str


@dataclass(frozen=True, slots=True)
class VnicReported:
    """The agent of a port's vNIC: encapsulations that it has, None while it is not there; it has all rules up to and including `epoch`."""

    port: UUID
    encapsulations: frozenset[str] | None
    epoch: int = -1


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; the shell sends it a few times a second."""
