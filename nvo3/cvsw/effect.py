"""What happens to a session, and what it asks for."""

from dataclasses import dataclass
from enum import Enum, auto

from nvo3.cvsw.flow import Flow
from nvo3.wire.cvsw import Capability, ChangeMtu, ChangeOffload, Offload
from nvo3.wire.of10 import FlowRemoved, FlowStats
from nvo3.wire.of10_error import Code

# Events of both sessions


@dataclass(frozen=True, slots=True)
class Received:
    """A control frame has come; whether from where it should is the caller's to say."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: due at `next_deadline`, harmless at any other time."""


# Events of the agent's session


@dataclass(frozen=True, slots=True)
class DeviceRefused:
    """What `SetMtu` or `SetOffload` asked for cannot be done."""

    message: ChangeMtu | ChangeOffload


# Events of the controller's session


@dataclass(frozen=True, slots=True)
class Change:
    """Flows that are wanted from now on, in the place of those with their keys, and keys of flows that are not."""

    put: tuple[Flow, ...] = ()
    delete: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """MTU in bytes and offloads that the vNIC is to have; None: left alone."""

    mtu: int | None = None
    offload: Offload | None = None


@dataclass(frozen=True, slots=True)
class ReadTable:
    """Somebody wants to see the agent's table: `TableRead` follows, unless the agent is lost before."""


# Effects of both


@dataclass(frozen=True, slots=True)
class Send:
    """Send this control frame."""

    frame: bytes


# Effects of the agent's session


class State(Enum):
    """Data passes untouched before CONNECTED, by the table then."""

    DISCONNECTED = auto()
    CONNECTING = auto()
    CONNECTED = auto()


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent's state is another."""

    state: State


@dataclass(frozen=True, slots=True)
class SetMtu:
    """Give the vNIC this MTU, in bytes; answer with `DeviceRefused` if it does not take it."""

    mtu: int


@dataclass(frozen=True, slots=True)
class SetOffload:
    """Turn these on and the others off; answer with `DeviceRefused` if the vNIC cannot."""

    offload: Offload


# Effects of the controller's session


@dataclass(frozen=True, slots=True)
class Registered:
    """The vNIC has answered.  capabilities: 0 for an original driver.  restarted: it has forgotten its table, or is new to us."""

    capabilities: Capability
    instance: int
    max_entries: int
    restarted: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The vNIC does not answer any more; greeted anew until it does."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Table and settings are as desired, but for what was refused.  version: of the newest change that is in force.

    Of an original driver, which says nothing: sent as often as it will be.
    """

    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A flow or a setting will not come into force; tried again after a while.

    code: why; None where the agent's ERROR was lost or knows a code that we do not; BRC_EPERM for what an original driver cannot do.
    """

    what: Flow | ChangeMtu | ChangeOffload
    code: Code | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A flow or a setting that was refused is in force after all; not told of what was lost with the agent."""

    what: Flow | ChangeMtu | ChangeOffload


@dataclass(frozen=True, slots=True)
class Expired:
    """A flow's time is up; it is not desired any more."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Removed:
    """The agent tells that it has removed an entry, for whatever reason."""

    removed: FlowRemoved


@dataclass(frozen=True, slots=True)
class TableRead:
    """The agent's table with counters."""

    entries: tuple[FlowStats, ...]


Event = Received | Tick
AgentEvent = Event | DeviceRefused
ControllerEvent = Event | Change | Settings | ReadTable
AgentEffect = Send | StateChanged | SetMtu | SetOffload
ControllerEffect = Send | Registered | Lost | Confirmed | Refused | Accepted | Expired | Removed | TableRead
