"""What guests ask the controller about their own addresses, and what it tells them unasked: over PACKET_IN and PACKET_OUT.

`nvo3.dhcp` and `nvo3.router_advertisement` know the answers.  A question belongs to the port that it came in by, whatever it says of
itself; the answer goes to that port alone.
"""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import eventlet

from nvo3 import dhcp, router_advertisement
from nvo3.controller import Advertise, Controller
from nvo3.dhcp import Answer
from nvo3.model.ids import Dpid, dpid_of
from nvo3.model.logical import Network, Port
from nvo3.wire import ethernet

# A default router that is a guest's is valid for 18 hours: told again so often, and soon after a start, it outlives a long absence of ours.
_FIRST_S = 60.0
_AGAIN_S = 3600.0
_BURST = 20  # frames after which others get their turn


class Guests:
    """send: a frame out of a port of a switch.  first_s, again_s: when all is told unasked."""

    def __init__(
        self, core: Controller, send: Callable[[Dpid, int, bytes], None], *, first_s: float = _FIRST_S, again_s: float = _AGAIN_S
    ) -> None:
        self._core = core
        self._send = send
        self._outcomes: dict[UUID, Counter[str]] = {}
        self._thread = eventlet.spawn(self._run, first_s, again_s)

    def close(self) -> None:
        """Say nothing any more unasked."""
        self._thread.kill()

    def receive(self, dpid: Dpid, ofport: int, frame: bytes) -> None:
        """Take a frame that came in by a port, and answer it."""
        guest = self._core.guest_at(dpid, ofport)
        if guest is None:
            return
        network, port = guest
        answer = self._answer(network, port, frame)
        self._outcomes.setdefault(port.uuid, Counter())[answer.outcome] += 1
        if answer.frame is not None:
            self._send(dpid, ofport, answer.frame)

    def _answer(self, network: Network, port: Port, frame: bytes) -> Answer:
        if frame[12:14] == ethernet.IPV6.to_bytes(2, "big"):
            return router_advertisement.answer(network, port, self._core.inventory.router_of(network), frame)
        return dhcp.answer(network, port, frame)

    def outcomes(self, port: UUID) -> dict[str, int]:
        """Return how often a port's questions had which outcome."""
        return dict(sorted(self._outcomes.get(port, {}).items()))

    # Unasked.

    def carry_out(self, effect: Advertise) -> None:
        """Tell the guests of a network what has changed."""
        eventlet.spawn_n(self._advertise, effect.network, effect.before, effect.router_before)

    def _run(self, first_s: float, again_s: float) -> None:
        eventlet.sleep(first_s)
        while True:
            self._outcomes = {port: counts for port, counts in self._outcomes.items() if port in self._core.inventory.ports}
            for network in list(self._core.inventory.networks):
                self._advertise(network)
            eventlet.sleep(again_s)

    def _advertise(self, network: UUID, before: Network | None = None, router_before: Port | None = None) -> None:
        inventory = self._core.inventory
        for n, port in enumerate(list(inventory.ports_of(network))):
            row, binding, now = inventory.ports.get(port), inventory.binding(port), inventory.networks.get(network)
            if row is None or binding is None or now is None or not now.configures(6):
                continue
            router = inventory.router_of(now)
            place = dpid_of(binding.hypervisor), binding.vport.ofport
            if router_before is not None and router_before != router and router_before.uuid != port:
                self._send(*place, router_advertisement.farewell(row, router_before))
            self._send(*place, router_advertisement.advertisement(now, row, router, before))
            if n % _BURST == _BURST - 1:
                eventlet.sleep(0)
