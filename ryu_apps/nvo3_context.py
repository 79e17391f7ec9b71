"""What the overlay's apps share: the core, the NB database, the hypervisors' databases, the switches' sessions.

Everything that happens is `post`ed here as an event; the core's effects are carried out before `post` returns.  Nothing in here waits for
a peer: a switch has an outbox, a hypervisor a green thread of its own.
"""

import logging
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import eventlet
from os_ken import cfg

from nvo3 import logs, options
from nvo3.chronicle import Chronicle
from nvo3.controller import (
    Advertise,
    ChangeFlows,
    ConfigureBridge,
    ConnectHypervisor,
    Controller,
    DisconnectHypervisor,
    Effect,
    Event,
    PortMoved,
    RememberView,
    SyncSwitch,
)
from nvo3.events import EventLog
from nvo3.metrics import Metrics
from nvo3.model.errors import Nvo3Error, Unavailable
from nvo3.model.event import FlowsConfirmed, FlowsRefused, SwitchConnected, SwitchDisconnected, Tick
from nvo3.model.ids import Dpid
from nvo3.model.physical import HypervisorView
from nvo3.openflow.connection import LiveSession
from nvo3.openflow.session import Confirmed, FlowsRead, PacketIn, Refused, SessionEvent, SwitchSession
from nvo3.ovsdb import seen, server
from nvo3.ovsdb.hypervisor import HypervisorLink
from nvo3.ovsdb.northbound import Northbound
from nvo3.pipeline.flow import Table
from nvo3.vnics import ChangeRules, StartVnic, StopVnic
from ryu_apps.agents import Agents
from ryu_apps.control_plane import Plane
from ryu_apps.guests import Guests
from ryu_apps.poll import Poll
from ryu_apps.telemetry import Telemetry

LOG = logging.getLogger("nvo3")

_TICK_S = 0.25


class Memory:
    """Writes what hypervisors told into the NB database; where one tells faster than that goes, the newest only."""

    def __init__(self, northbound: Northbound) -> None:
        self._northbound = northbound
        self._views: dict[UUID, HypervisorView] = {}
        self._awake = eventlet.event.Event()
        self._thread = eventlet.spawn(self._run)

    def put(self, hypervisor: UUID, view: HypervisorView) -> None:
        """Remember a view soon."""
        self._views[hypervisor] = view
        if not self._awake.ready():
            self._awake.send()

    def close(self) -> None:
        """Stop writing."""
        self._thread.kill()

    def _run(self) -> None:
        while True:
            self._awake.wait()
            self._awake = eventlet.event.Event()
            views, self._views = self._views, {}
            for hypervisor, view in views.items():
                try:
                    self._northbound.transact(seen.remember(hypervisor, view))
                except Nvo3Error as error:
                    LOG.warning("what hypervisors told is not stored: %s", error)
                    if isinstance(error, Unavailable) and hypervisor not in self._views:
                        self.put(hypervisor, view)


class Nvo3Context:
    """northbound, plane and telemetry: for the REST API.  controller: the core."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._handling = False
        self._links: dict[UUID, HypervisorLink] = {}
        self._switches: dict[Dpid, LiveSession] = {}
        self._server: server.Server | None = None
        self.controller = Controller()
        self.agents = Agents(self._send_frame, self.post, self._port_name, self.controller.is_plain)
        self.guests = Guests(self.controller, self._send_frame)
        self.plane = Plane(self.controller, self._switches, self.agents, self.guests, EventLog(lambda: datetime.now(UTC), logs.log_event))
        self._chronicle = Chronicle(self.controller, self.plane.events, self.plane.hypervisor_status)
        self.telemetry = Telemetry(self.controller, Metrics())
        try:
            self.northbound = self._open_northbound()
        except Nvo3Error as error:
            LOG.error("%s", error)
            sys.exit(1)
        self._memory = Memory(self.northbound)
        self._observe()
        metrics, interval_s = self.telemetry.metrics, cfg.CONF.nvo3_metrics_interval
        self._poll = Poll(self.controller, self._switches, self.telemetry.accounts, metrics, interval_s)
        self._ticker = eventlet.spawn(self._tick)
        self.northbound.start()

    def _open_northbound(self) -> Northbound:
        conf = cfg.CONF
        options.register(conf)
        remotes = conf.nvo3_db
        if not remotes:
            self._server = server.start(Path(conf.nvo3_state_dir), Path(conf.nvo3_run_dir))
            remotes = self._server.remote
        return Northbound(remotes, self.post, observe=lambda result, s: self.telemetry.metrics.transactions.labels(result).observe(s))

    def _observe(self) -> None:
        """Have what is asked for at a scrape be found."""
        metrics = self.telemetry.metrics
        metrics.read_gauge("nvo3_event_queue_length", "Events that wait for the core.", lambda: len(self._events))
        metrics.read_gauge("nvo3_northbound_up", "1 while the NB database is connected.", lambda: self.northbound.is_up)
        self.telemetry.read_states(lambda hypervisor: self.plane.hypervisor_status(hypervisor).state, self.agents.states)

    def close(self) -> None:
        """Let go of everything; hypervisors keep what they have."""
        self._ticker.kill()
        self._poll.close()
        self.agents.close()
        self.guests.close()
        self._memory.close()
        self.northbound.stop()
        for link in self._links.values():
            link.stop()
        if self._server is not None:
            self._server.stop()

    def _tick(self) -> None:
        while True:
            began_at = time.monotonic()
            eventlet.sleep(_TICK_S)
            self.telemetry.metrics.loop_lag.observe(max(time.monotonic() - began_at - _TICK_S, 0))
            self.post(Tick())

    # Events in, effects out.

    def post(self, event: Event) -> None:
        """Give the core an event; one that an effect causes is taken after the effect's own."""
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                event = self._events.popleft()
                epoch, began_at = self.controller.epoch, time.perf_counter()
                self._chronicle.foresee(event)
                for effect in self.controller.handle(event, eventlet.hubs.get_hub().clock()):
                    self._carry_out(effect)
                self._chronicle.note(event)
                self.telemetry.handled(event, epoch, began_at, time.perf_counter())
        finally:
            self._handling = False
        self.plane.changed()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case ChangeFlows(dpid, adds, deletes, epoch):
                if (switch := self._switches.get(dpid)) is not None:
                    self._send_bundle(switch, switch.session.apply(adds, deletes, epoch), len(adds), len(deletes))
            case SyncSwitch(dpid):
                if (switch := self._switches.get(dpid)) is not None:
                    switch.outbox.put(switch.session.start())
            case ConnectHypervisor(hypervisor, dpid):
                if (link := self._links.pop(hypervisor.uuid, None)) is not None:
                    link.stop()
                self._links[hypervisor.uuid] = HypervisorLink(hypervisor, dpid, self._target, self.post, self.controller.encapsulates)
            case DisconnectHypervisor(hypervisor_id):
                if (link := self._links.pop(hypervisor_id, None)) is not None:
                    link.stop(withdraw=True)
            case RememberView(hypervisor_id, view):
                self._memory.put(hypervisor_id, view)
            case PortMoved(port):
                self._chronicle.note_binding(port)
            case StartVnic() | StopVnic() | ChangeRules():
                self.agents.carry_out(effect)
            case Advertise():
                self.guests.carry_out(effect)
            case ConfigureBridge(hypervisor_id, patch, sclp_payload):
                if (link := self._links.get(hypervisor_id)) is not None:
                    link.configure(patch, sclp_payload)

    def _send_bundle(self, switch: LiveSession, message: bytes, n_added: int, n_deleted: int) -> None:
        if message:
            metrics = self.telemetry.metrics
            metrics.flows_added.inc(n_added)
            metrics.flows_deleted.inc(n_deleted)
            metrics.bundle_flow_mods.observe(n_added + n_deleted)
            metrics.bundle_bytes.observe(len(message))
            switch.outbox.put(message)

    @staticmethod
    def _target(local_ip: str) -> str:
        return options.controller_target(cfg.CONF, local_ip)

    # Switches.

    def switch_connected(self, datapath: Any) -> None:
        """br-int's OpenFlow handshake is done; an older connection of the same bridge is dead."""
        dpid = Dpid(datapath.id)
        if (old := self._switches.pop(dpid, None)) is not None:
            old.close()
            old.datapath.close()
        self._switches[dpid] = LiveSession(datapath, SwitchSession, lambda event: self._handle_session(dpid, datapath, event))
        known = self.controller.knows(dpid)
        LOG.log(logging.INFO if known else logging.WARNING, "switch %016x: %s", dpid, "connected" if known else "unknown, ignored")
        self.post(SwitchConnected(dpid))

    def switch_disconnected(self, datapath: Any) -> None:
        """An OpenFlow connection is gone."""
        dpid = Dpid(datapath.id)
        switch = self._switches.get(dpid)
        if switch is None or switch.datapath is not datapath:
            return
        del self._switches[dpid]
        switch.close()
        LOG.info("switch %016x: disconnected", dpid)
        self.post(SwitchDisconnected(dpid))

    def _handle_session(self, dpid: Dpid, datapath: Any, event: SessionEvent) -> None:
        switch = self._switches.get(dpid)
        if switch is None or switch.datapath is not datapath:
            return
        match event:
            case FlowsRead():
                self._reconcile(dpid, switch)
            case Confirmed(epoch):
                self.post(FlowsConfirmed(dpid, epoch))
            case Refused(error_type, code):
                LOG.error("switch %016x: refused a change: OpenFlow error type %d code %d", dpid, error_type, code)
                self.post(FlowsRefused(dpid, f"switch refused a change: OpenFlow error type {error_type} code {code}"))
            case PacketIn(Table.VNIC_CONTROL, ofport, data):
                self.agents.receive(dpid, ofport, data)
            case PacketIn(Table.CONFIGURATION, ofport, data):
                self.guests.receive(dpid, ofport, data)

    def _send_frame(self, dpid: Dpid, ofport: int, frame: bytes) -> None:
        if (switch := self._switches.get(dpid)) is not None:
            switch.outbox.put(switch.session.packet_out(ofport, frame))

    def _port_name(self, port: UUID) -> str:
        inventory = self.controller.inventory
        row = inventory.ports[port]
        network = inventory.networks[row.network]
        return f"{inventory.tenants[network.tenant].name}/{network.name}/{row.name}"

    def _reconcile(self, dpid: Dpid, switch: LiveSession) -> None:
        if not self.controller.knows(dpid):
            return
        desired, epoch = self.controller.desired_flows(dpid)
        message = switch.session.reconcile(desired, epoch)
        n_added, n_deleted = switch.session.last_diff
        LOG.info("switch %016x: %d flows added or changed, %d deleted", dpid, n_added, n_deleted)
        if message:
            self._send_bundle(switch, message, n_added, n_deleted)
        else:
            self.post(FlowsConfirmed(dpid, epoch))
