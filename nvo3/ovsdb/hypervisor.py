"""A hypervisor's database: kept configured, and reported to the core.  One green thread for each hypervisor.

Whatever a hypervisor does, or does not, stays on its own connection: the core hears `HypervisorChanged` with a detail
and goes on.
"""

import errno
import logging
import os
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address
from typing import Any
from uuid import UUID

import eventlet
import ovs.db.idl
import ovs.poller

from nvo3.model.event import HypervisorChanged
from nvo3.model.ids import Dpid
from nvo3.model.logical import SCLP_PAYLOADS
from nvo3.model.physical import Hypervisor, HypervisorView, Vport
from nvo3.ovsdb import bridge, vswitch

LOG = logging.getLogger(__name__)

VTEP_IP = "nvo3-vtep-ip"  # Open_vSwitch.external_ids
_PROBE_MS = 5000
_POLL_MS = 1000
_BACKOFF_MAX_MS = 2000
_SILENT_S = 2.0  # a database that has accepted the connection answers sooner than this


class HypervisorLink:
    """report: called with every change.  controller_target: gives the OpenFlow target for a local IP address of the connection.

    encapsulates: tells whether the vNIC of a port is to; `configure` is called when it may tell otherwise.
    """

    def __init__(
        self,
        row: Hypervisor,
        dpid: Dpid,
        controller_target: Callable[[str], str],
        report: Callable[[HypervisorChanged], None],
        encapsulates: Callable[[UUID], bool],
    ) -> None:
        self.row = row
        self._patch, self._sclp_payload = False, SCLP_PAYLOADS[0]
        self._dpid = dpid
        self._controller_target = controller_target
        self._report = report
        self._encapsulates = encapsulates
        self._reported: HypervisorChanged | None = None
        self._idl = vswitch.open_idl(row.remote, _PROBE_MS)
        self._idl._session.reconnect.set_backoff(_POLL_MS, _BACKOFF_MAX_MS)
        self._connect_error = ""
        self._watch_connect_errors()
        self._txn: ovs.db.idl.Transaction | None = None
        self._txn_error = ""
        self._written_cfg = 0  # what ovs-vswitchd's `cur_cfg` is from when it has worked through what was written
        self._seen: tuple[Any, ...] = ()
        self._connected_at: float | None = None
        self._thread = eventlet.spawn(self._run)

    def configure(self, patch: bool, sclp_payload: str) -> None:
        """Say how br-int is to be; see `bridge.Wanted`."""
        self._patch, self._sclp_payload = patch, sclp_payload
        self._seen = ()
        self._evaluate()

    def stop(self, withdraw: bool = False) -> None:
        """Let go of the hypervisor; withdraw: take back what was configured, if it can be reached."""
        if withdraw and self._is_connected() and (root := self._root()) is not None:
            self._abort()
            txn = ovs.db.idl.Transaction(self._idl)
            if bridge.withdraw(txn, root):
                txn.commit()
            else:
                txn.abort()
        self._thread.kill()
        self._idl.close()

    def _watch_connect_errors(self) -> None:
        """The session logs why it could not connect and forgets it; keep it for the detail."""
        reconnect = self._idl._session.reconnect
        original = reconnect.connect_failed

        def connect_failed(now: int, error: int) -> None:
            self._connect_error = os.strerror(error) if error > 0 else "connection closed"
            original(now, error)

        reconnect.connect_failed = connect_failed

    def _run(self) -> None:
        while True:
            try:
                self._idl.run()
                self._evaluate()
            except Exception as error:  # a hypervisor's odd database is its own problem, not the others'
                LOG.error("hypervisor %s: %s: %s", self.row.name, type(error).__name__, error)
                self._abort()
                self._tell(False, None, f"{type(error).__name__}: {error}")
                self._idl.force_reconnect()
                eventlet.sleep(1)
            poller = ovs.poller.Poller()
            self._idl.wait(poller)
            poller.timer_wait(_POLL_MS)
            poller.block()

    def _is_connected(self) -> bool:
        return bool(self._idl._session.is_connected() and self._idl.state == self._idl.IDL_S_MONITORING)

    def _root(self) -> Any | None:
        return next(iter(self._idl.tables["Open_vSwitch"].rows.values()), None)

    def _evaluate(self) -> None:
        if not self._is_connected():
            self._abort()
            self._seen = ()
            self._tell_unreachable()
            return
        self._connected_at, self._connect_error = None, ""
        self._poll_transaction()
        seen = (self._idl.change_seqno, self._txn is None)
        if seen == self._seen:
            return
        self._seen = seen
        root = self._root()
        if root is None:
            self._tell(True, None, "Open_vSwitch table is empty; run ovs-vsctl init")
            return
        detail = self._configure(root)
        view, problem = self._view(root)
        # A database that was put back from a copy counts from where that was.
        configured = self._txn is None and not detail and root.cur_cfg >= min(self._written_cfg, root.next_cfg)
        self._tell(True, view, detail or problem, configured)

    def _tell_unreachable(self) -> None:
        now = eventlet.hubs.get_hub().clock()
        if self._idl._session.is_connected():
            self._connected_at = self._connected_at or now
            if now - self._connected_at >= _SILENT_S:
                self._tell(False, None, f"{self.row.remote} accepts connections but does not answer")
            return
        self._connected_at = None
        if self._connect_error:
            self._tell(False, None, f"{self.row.remote}: {self._connect_error}")
        elif self._reported is not None and self._reported.connected:
            self._tell(False, None, f"{self.row.remote}: connection lost")
        elif self._idl._session.reconnect.backoff > _POLL_MS:
            self._tell(False, None, f"{self.row.remote}: {os.strerror(errno.ETIMEDOUT)}")

    def _tell(self, connected: bool, view: HypervisorView | None, detail: str, configured: bool = False) -> None:
        event = HypervisorChanged(self.row.uuid, connected, view, detail, configured)
        if event == self._reported:
            return
        before, self._reported = self._reported, event
        if before is None or (before.connected, before.detail) != (connected, detail):
            level = logging.WARNING if detail else logging.INFO
            LOG.log(level, "hypervisor %s: %s", self.row.name, detail or "database connected")
        self._report(event)

    # Configuration.

    def _configure(self, root: Any) -> str:
        """Start a transaction if something is missing; return what stands in the way."""
        if self._txn is not None:
            return self._txn_error
        txn = ovs.db.idl.Transaction(self._idl)
        try:
            wanted = bridge.Wanted(self._dpid, self._target(), self._patch, self._sclp_payload, self._encapsulates)
            changed = bridge.ensure(txn, root, wanted)
        except bridge.NotOurs as error:
            txn.abort()
            return str(error)
        if not changed:
            txn.abort()
            return self._txn_error
        txn.add_comment(f"nvo3: configure {bridge.BRIDGE}")
        root.increment("next_cfg")
        self._txn = txn
        self._poll_transaction()
        return self._txn_error

    def _poll_transaction(self) -> None:
        if self._txn is None:
            return
        status = self._txn.commit()
        if status == ovs.db.idl.Transaction.INCOMPLETE:
            return
        good = (ovs.db.idl.Transaction.SUCCESS, ovs.db.idl.Transaction.UNCHANGED, ovs.db.idl.Transaction.TRY_AGAIN)
        self._txn_error = "" if status in good else f"configuration refused: {self._txn.get_error()}"
        if status == ovs.db.idl.Transaction.SUCCESS:
            self._written_cfg = self._txn.get_increment_new_value()
        self._txn = None

    def _abort(self) -> None:
        if self._txn is not None:
            self._txn.abort()
            self._txn = None
        elif self._idl.txn is not None:
            self._idl.txn.abort()

    def _target(self) -> str:
        return self._controller_target(self._local_ip())

    def _local_ip(self) -> str:
        """The address that this hypervisor sees us by."""
        name = self._idl._session.rpc.stream.socket.getsockname()
        return name[0] if isinstance(name, tuple) else "127.0.0.1"

    # What the core is told.

    def _view(self, root: Any) -> tuple[HypervisorView | None, str]:
        br_int = bridge.find(root.bridges, bridge.BRIDGE)
        if br_int is None:
            return None, ""
        vtep_ip, problem = _vtep_ip(root)
        tunnels = []
        for encapsulation in bridge.offered(root):
            ofport = bridge.tunnel_ofport(br_int, encapsulation)
            if ofport is not None:
                tunnels.append((encapsulation.name, ofport))
        view = HypervisorView(
            vtep_ip,
            tuple(tunnels),
            bridge.patch_ofport(br_int),
            self._vports(br_int),
            bridge.underlay_mtu(root),
            bridge.underlay_mac(root),
        )
        return view, problem or _interface_error(br_int)

    def _vports(self, br_int: Any) -> tuple[Vport, ...]:
        vports: dict[UUID, Vport] = {}
        for port in br_int.ports:
            for interface in port.interfaces:
                vport = _vport(interface)
                # The same iface-id twice on one bridge: the interface that came first keeps it.
                if vport is not None and (vport.port not in vports or vport.ofport < vports[vport.port].ofport):
                    vports[vport.port] = vport
        return tuple(sorted(vports.values(), key=lambda v: v.ofport))


def _vport(interface: Any) -> Vport | None:
    port = bridge.port_of(interface)
    if port is None or not interface.ofport or interface.ofport[0] <= 0:
        return None
    return Vport(port, interface.name, interface.ofport[0])


def _vtep_ip(root: Any) -> tuple[IPv4Address | None, str]:
    text = root.external_ids.get(VTEP_IP)
    if text is None:
        return None, f"Open_vSwitch external_ids:{VTEP_IP} is not set"
    try:
        return IPv4Address(text), ""
    except AddressValueError:
        return None, f"Open_vSwitch external_ids:{VTEP_IP}: {text!r} is not an IPv4 address"


def _interface_error(br_int: Any) -> str:
    for port in br_int.ports:
        for interface in port.interfaces:
            if interface.error and bridge.OWNER in interface.external_ids:
                return f"{interface.name}: {interface.error[0]}"
    return ""
