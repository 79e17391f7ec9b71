"""The controller's session towards an original driver, as its published deficiencies have it."""

import random
from ipaddress import IPv4Network

import pytest

from nvo3.cvsw.controller import ControllerSession, Phase
from nvo3.cvsw.effect import Change, Confirmed, Received, Refused, Registered, Send, Settings, Tick
from nvo3.cvsw.flow import Flow
from nvo3.wire import cvsw
from nvo3.wire.cvsw import CAPABILITIES, Offload
from nvo3.wire.of10_action import Output, SetTunnel, StripTunnel
from nvo3.wire.of10_error import Code
from nvo3.wire.of10_match import VLAN_NONE, Match, Tunnel, TunnelMatch
from tests.unit.cvsw.simulation import MAC

OUTER = (MAC, MAC, bytes([192, 0, 2, 2]), bytes([192, 0, 2, 1]))
TO = Flow(Match(in_port=1, dl_dst=MAC), 5, (SetTunnel(Tunnel.VXLAN, *OUTER, 5001), Output(2)))
FROM = Flow(Match(in_port=2, tunnel=TunnelMatch(Tunnel.VXLAN, 5001)), 5, (StripTunnel(Tunnel.VXLAN), Output(1)))


class Driver:
    """An original driver: refuses a second HELLO, keeps a list to which SET_ENTRY appends and from which DELETE_ENTRY takes one."""

    def __init__(self, *events: Change | Settings, loss: float = 0.0) -> None:
        self.controller = ControllerSession(MAC, random.Random(1))
        self.now = 0.0
        self.effects: list[object] = []
        self.messages: list[cvsw.Message] = []
        self.chance = random.Random(2)
        self.loss = loss
        self.restart()
        for event in events:
            self.tell(event)

    def restart(self) -> None:
        self.is_connected = False
        self.flows: list[Flow] = []
        self.offload = Offload(0)
        self.mtu = 1500

    def tell(self, event: object) -> None:
        for effect in self.controller.handle(event, self.now):  # type: ignore[arg-type]
            if not isinstance(effect, Send):
                self.effects.append(effect)
            elif self.chance.random() >= self.loss:
                self.take(cvsw.parse(cvsw.parse_frame(effect.frame), published=True))

    def take(self, message: cvsw.Message) -> None:
        self.messages.append(message)
        match message:
            case cvsw.Hello():
                if not self.is_connected:
                    self.is_connected = True
                    self.tell(Received(cvsw.serialize(MAC, cvsw.Register())))
            case cvsw.SetEntry(mod):
                self.flows.append(Flow.from_message(mod))
            case cvsw.DeleteEntry(mod):
                gone = [flow for flow in self.flows if (flow.match, flow.priority) == (mod.match, mod.priority)]
                if gone:
                    self.flows.remove(gone[0])
            case cvsw.ChangeOffload(offload):
                self.offload ^= offload
            case cvsw.ChangeMtu(mtu):
                self.mtu = mtu

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.controller.next_deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.tell(Tick())
        self.now = end


def test_is_programmed_by_the_published_types() -> None:
    driver = Driver(Change((TO, FROM)), Settings(1450, Offload.TSO))
    driver.run_for(5.0)
    assert driver.controller.phase is Phase.ORIGINAL
    assert set(driver.flows) == {TO, FROM}
    assert (driver.mtu, driver.offload) == (1450, Offload.TSO)
    assert driver.effects[0] == Registered(cvsw.Capability(0), 0, 0, True)
    assert driver.effects[-1] == Confirmed(driver.controller.version)
    assert {type(message) for message in driver.messages} == {cvsw.Hello, cvsw.SetEntry, cvsw.ChangeMtu, cvsw.ChangeOffload}


def test_repeats_are_bounded() -> None:
    driver = Driver(Change((TO,)), Settings(1450, Offload.TSO))
    driver.run_for(1000.0)
    assert driver.messages.count(cvsw.SetEntry(TO.add())) == 3
    assert driver.messages.count(cvsw.ChangeMtu(1450)) == 3
    assert driver.messages.count(cvsw.ChangeOffload(Offload.TSO)) == 1, "once more would toggle it"


def test_loss_is_met_by_repetition() -> None:
    driver = Driver(Change(tuple(Flow(Match(in_port=1, dl_dst=i.to_bytes(6, "big")), 5, TO.actions) for i in range(200))), loss=0.05)
    driver.run_for(10.0)
    assert len(set(driver.flows)) >= 198


def test_change_deletes_before_it_sets() -> None:
    driver = Driver(Change((TO, FROM)))
    driver.run_for(5.0)
    other = Flow(TO.match, TO.priority, (SetTunnel(Tunnel.VXLAN, *OUTER, 7), Output(2)))
    driver.tell(Change((other,)))
    driver.run_for(5.0)
    assert set(driver.flows) == {other, FROM}
    driver.tell(Change((), (other.key, FROM.key)))
    driver.run_for(5.0)
    assert driver.flows == []


def test_restart_of_the_guest_is_noticed() -> None:
    driver = Driver(Change((TO,)))
    driver.run_for(40.0)
    assert driver.messages.count(cvsw.Hello(CAPABILITIES)) == 2
    driver.restart()
    driver.run_for(31.0)
    assert set(driver.flows) == {TO}


def test_second_answer_to_one_hello_is_dropped() -> None:
    driver = Driver(Change((TO,)))
    driver.run_for(5.0)
    n = len(driver.messages)
    driver.tell(Received(cvsw.serialize(MAC, cvsw.Register())))
    driver.run_for(5.0)
    assert (len(driver.messages), driver.controller.drops["repeated"]) == (n, 1)


@pytest.mark.parametrize(
    "flow",
    [
        pytest.param(Flow(Match(nw_dst=IPv4Network("10.0.0.0/8")), 5), id="prefix of nw_dst"),
        pytest.param(Flow(Match(nw_dst=IPv4Network("10.0.0.1/32")), 5), id="nw_dst: its bits are the tunnels'"),
        pytest.param(Flow(Match(nw_src=IPv4Network("10.0.0.0/8")), 5), id="prefix of nw_src"),
        pytest.param(Flow(Match(dl_vlan_pcp=1), 5), id="dl_vlan_pcp: its bit is SCLP's"),
        pytest.param(Flow(Match(nw_tos=4), 5), id="nw_tos never matches"),
        pytest.param(Flow(Match(dl_vlan=VLAN_NONE), 5), id="untagged is not known"),
        pytest.param(Flow(Match(in_port=1), 5, idle_timeout=1), id="timeouts are not known"),
        pytest.param(Flow(Match(in_port=1), 5, tells_removal=True), id="removals are not told"),
        pytest.param(Flow(Match(tunnel=TunnelMatch(Tunnel.STT, 1, 24)), 5), id="tunnel id under a mask"),
        pytest.param(Flow(Match(), 5, (SetTunnel(Tunnel.SCLP, *OUTER, 1, udp=True),)), id="SCLP over UDP"),
        pytest.param(Flow(Match(), 5, (SetTunnel(Tunnel.STT, *OUTER, 1, segment=1500),)), id="segment size"),
        pytest.param(
            Flow(Match(1, MAC, MAC, 1, 0, 0x800, 0, 6, IPv4Network("10.0.0.1/32"), IPv4Network("10.0.0.2/32"), 1, 2), 5),
            id="exact match never matches",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_once(flow: Flow) -> None:
    driver = Driver(Change((flow, TO)))
    driver.run_for(5.0)
    driver.tell(Change((FROM,)))
    driver.run_for(5.0)
    assert set(driver.flows) == {TO, FROM}
    assert [effect for effect in driver.effects if isinstance(effect, Refused)] == [Refused(flow, Code.BRC_EPERM)]


def test_our_agent_takes_its_place() -> None:
    driver = Driver(Change((TO,)))
    driver.run_for(5.0)
    driver.tell(Received(cvsw.serialize(MAC, cvsw.Register(CAPABILITIES, 77, 1000, answers=False))))
    driver.run_for(1.0)
    assert driver.controller.phase is Phase.GREETING
    assert driver.messages[-1] == cvsw.Hello(CAPABILITIES)
