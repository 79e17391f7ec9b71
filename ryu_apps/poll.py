"""Asks each switch for its counters, once in an interval, one after the other; nobody else waits for that."""

import logging
import time
from collections.abc import Iterable, Mapping
from uuid import UUID

import eventlet

from nvo3.accounts import TABLES, Accounts
from nvo3.controller import Controller
from nvo3.metrics import Metrics
from nvo3.model.ids import Dpid
from nvo3.openflow.connection import LiveSession
from nvo3.openflow.decoder import CountedFlow, Malformed, PortStats

LOG = logging.getLogger("nvo3")

_TIMEOUT_S = 10.0
_IDLE_S = 0.5  # while there is no switch


class Poll:
    """switches: as they are connected."""

    def __init__(
        self, core: Controller, switches: Mapping[Dpid, LiveSession], accounts: Accounts, metrics: Metrics, interval_s: float
    ) -> None:
        self._core = core
        self._switches = switches
        self._accounts = accounts
        self._metrics = metrics
        self._interval_s = interval_s
        self._asked: set[LiveSession] = set()  # that have not answered yet
        self._thread = eventlet.spawn(self._run) if interval_s else None

    def close(self) -> None:
        """Ask no more."""
        if self._thread is not None:
            self._thread.kill()

    def _run(self) -> None:
        while True:
            self._accounts.forget()
            dpids = [dpid for dpid in self._switches if self._core.knows(dpid)]
            for dpid in dpids:
                eventlet.sleep(self._interval_s / len(dpids))
                switch = self._switches.get(dpid)
                if switch is not None and switch not in self._asked:
                    eventlet.spawn(self._poll, dpid, switch)
            if not dpids:
                eventlet.sleep(min(_IDLE_S, self._interval_s))

    def _poll(self, dpid: Dpid, switch: LiveSession) -> None:
        hypervisor = self._core.hypervisor_of(dpid)
        if hypervisor is None:
            return
        session = switch.session
        self._asked.add(switch)
        try:
            requests = [session.request_port(), *(session.request_table(table, is_counted=True) for table in TABLES)]
            answers = switch.ask(requests, _TIMEOUT_S)
        finally:
            self._asked.discard(switch)
        # A bridge has a port of its own: without any, the answer is an error.
        if answers is None or not answers[0].ports or self._core.hypervisor_of(dpid) != hypervisor:
            self._metrics.polls.labels("timeout").inc()
            return
        self._metrics.polls.labels("answered").inc()
        flows = [flow for answer in answers[1:] for flow in answer.counted]
        try:
            self._take(hypervisor, answers[0].ports, flows)
        except Malformed as error:
            LOG.warning("switch %016x: %s; connection closed", dpid, error)
            switch.datapath.close()

    def _take(self, hypervisor: UUID, ports: Iterable[PortStats], flows: Iterable[CountedFlow]) -> None:
        took_s, began_at = 0.0, time.perf_counter()
        for _ in self._accounts.take(hypervisor, ports, flows):
            took_s += time.perf_counter() - began_at
            eventlet.sleep(0)
            began_at = time.perf_counter()
        self._metrics.poll_duration.observe(took_s + time.perf_counter() - began_at)
