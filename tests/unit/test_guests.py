"""What the controller tells guests unasked, by the shim that does it."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import eventlet

from nvo3.model.event import NorthboundChanged
from nvo3.model.ids import Dpid, dpid_of
from ryu_apps.guests import Guests
from tests.unit.test_controller import System


def test_guests_are_told_again_and_again() -> None:
    """Unasked, by the shim; each port that is bound, of networks with IPv6, by its own switch."""
    system, sent = System(), list[tuple[Dpid, int, bytes]]()
    system.network = system.change(system.network, pools=(ip_network("fd00::/64"),), gateways=(ip_address("fd00::1"),))
    ports = [replace(system.port(n), addresses=(ip_address(f"fd00::{n}"),)) for n in range(1, 4)]
    system.do(NorthboundChanged(tuple(ports)))
    system.plug(0, ports[0], 5)
    system.plug(1, ports[1], 6)
    guests = Guests(system.core, lambda *frame: sent.append(frame), first_s=0.0, again_s=0.01)
    try:
        with eventlet.Timeout(5):
            while len(sent) < 4:
                eventlet.sleep(0.01)
    finally:
        guests.close()
    here, there = (dpid_of(hypervisor.uuid) for hypervisor in system.hypervisors)
    assert sorted((dpid, ofport) for dpid, ofport, _ in sent[:2]) == sorted([(here, 5), (there, 6)])
    assert sorted(sent[:2]) == sorted(sent[2:4])
    lifetimes = {ofport: int.from_bytes(frame[14 + 40 + 6 :][:2], "big") for _, ofport, frame in sent[:2]}
    assert lifetimes == {5: 0, 6: 65535}  # fd00::1 is the router, and nobody's of its own
