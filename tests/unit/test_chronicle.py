"""What users hear of what happens: the log of events, and what goes into it."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from uuid import UUID

from nvo3 import events
from nvo3.chronicle import Chronicle
from nvo3.controller import Controller, PortMoved
from nvo3.events import EventLog
from nvo3.model.event import HypervisorChanged, NorthboundChanged, VnicReported
from nvo3.model.ids import Mac, Vni
from nvo3.model.logical import Network, Port, Settings, Tenant
from nvo3.model.physical import Hypervisor, HypervisorView, Vport
from nvo3.model.status import HypervisorStatus

_NOW = datetime(2026, 1, 2, tzinfo=UTC)
_TENANT = Tenant(UUID(int=1), "red")
_NETWORK = Network(UUID(int=2), _TENANT.uuid, "web", Vni(5001))
_PORT = Port(UUID(int=3), _NETWORK.uuid, "a1", Mac("02:00:00:00:00:01"))
_HYPERVISOR = Hypervisor(UUID(int=4 << 90), "hv1", "tcp:192.0.2.1:6640")


class _System:
    def __init__(self) -> None:
        self.core = Controller()
        self.log = EventLog(lambda: _NOW)
        self.status = HypervisorStatus("connecting", False, 1, None, (), 0)
        self.chronicle = Chronicle(self.core, self.log, lambda _: self.status)
        self.do(NorthboundChanged((_HYPERVISOR,)))

    def do(self, event) -> list[str]:
        """Return the lines that an event makes."""
        before = self.log.last_id
        self.chronicle.foresee(event)
        for effect in self.core.handle(event, 0.0):
            if isinstance(effect, PortMoved):
                self.chronicle.note_binding(effect.port)
        self.chronicle.note(event)
        found = self.log.since(before)[1]
        return [" ".join(filter(None, (e.kind, e.name, e.what, e.detail))) for e in found]


def _view(*vports: Vport) -> HypervisorView:
    return HypervisorView(IPv4Address("192.0.2.1"), (), None, vports)


def test_objects_come_change_and_go() -> None:
    system = _System()
    assert system.do(NorthboundChanged((_TENANT, _NETWORK, _PORT))) == [
        *("tenant red created", "network red/web created", "port red/web/a1 created")
    ]
    assert system.do(NorthboundChanged((replace(_NETWORK, mtu=1300),))) == ["network red/web changed"]
    assert system.do(NorthboundChanged((replace(_TENANT, name="blue"),))) == ["tenant blue changed was red"]
    assert system.do(NorthboundChanged((Settings(("vxlan",)),))) == ["settings changed"]
    assert system.do(NorthboundChanged(deleted=(("port", _PORT.uuid), ("network", _NETWORK.uuid)))) == [
        *("port blue/web/a1 deleted", "network blue/web deleted")
    ]


def test_what_was_there_at_the_start_is_no_news() -> None:
    system = _System()
    assert system.log.since(None) == (0, [])


def test_what_a_hypervisor_told_and_was_stored_is_no_news() -> None:
    system = _System()
    assert system.do(NorthboundChanged((replace(_HYPERVISOR, seen=_view()),))) == []
    assert system.do(NorthboundChanged((replace(_HYPERVISOR, name="hv9"),))) == ["hypervisor hv9 changed was hv1"]


def test_a_ports_way_from_place_to_place() -> None:
    system = _System()
    system.do(NorthboundChanged((_TENANT, _NETWORK, _PORT)))
    uuid = _HYPERVISOR.uuid
    assert system.do(HypervisorChanged(uuid, True, _view(Vport(_PORT.uuid, "tap0", 1)))) == ["port red/web/a1 bound hv1, tap0"]
    assert system.do(HypervisorChanged(uuid, True, _view(Vport(_PORT.uuid, "tap1", 2)))) == ["port red/web/a1 bound hv1, tap1"]
    assert system.do(HypervisorChanged(uuid, True, _view())) == ["port red/web/a1 unbound"]
    system.do(HypervisorChanged(uuid, True, _view(Vport(_PORT.uuid, "tap0", 1))))
    assert system.do(NorthboundChanged(deleted=(("port", _PORT.uuid),))) == ["port red/web/a1 deleted"]


def test_a_hypervisors_state_is_told_when_it_changes() -> None:
    system = _System()
    changed = HypervisorChanged(_HYPERVISOR.uuid, True, _view())
    assert system.do(changed) == []
    system.status = replace(system.status, state="connected")
    assert system.do(changed) == ["hypervisor hv1 connected"]
    assert system.do(changed) == []
    system.status = replace(system.status, state="error", detail="out of tunnels")
    assert system.do(changed) == ["hypervisor hv1 error out of tunnels"]


def test_agents_come_and_go() -> None:
    system = _System()
    system.do(NorthboundChanged((_TENANT, _NETWORK, _PORT)))
    assert system.do(VnicReported(_PORT.uuid, frozenset({"stt"}), 1)) == ["agent red/web/a1 connected"]
    assert system.do(VnicReported(_PORT.uuid, frozenset({"stt"}), 2)) == []
    assert system.do(VnicReported(_PORT.uuid, None)) == ["agent red/web/a1 absent"]


def test_readers_learn_what_they_missed() -> None:
    log, woken = EventLog(lambda: _NOW), []
    with log.read(lambda: woken.append(1)):
        ids = [log.add("tenant", "created", f"t{n}").id for n in range(events.KEPT + 5)]
    assert len(woken) == len(ids) and log.n_readers == 0
    n_lost, found = log.since(ids[2])
    assert n_lost == 2 and [e.name for e in found][:2] == ["t5", "t6"] and len(found) == events.KEPT
    assert log.since(ids[-2]) == (0, found[-1:])
    assert log.since(log.last_id) == (0, [])
    for foreign in (None, "", "other-7", f"{log.last_id}x", "-", "é"):
        assert log.since(foreign) == (0, found)
