"""What the controller configures on a hypervisor: br-int, its controller, tunnel ports, the patch to br-phy, and vNICs' MTU.

`ensure` writes the difference between what is there and what should be into the IDL's open transaction; applied twice
it changes nothing. Ports that others plug into br-int are theirs, but for the MTU where the guest's vNIC encapsulates.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import ovs.db.idl

from nvo3.model.errors import ConfigError
from nvo3.model.ids import Dpid, Mac, parse_mac
from nvo3.model.physical import ENCAPSULATIONS, PATCH_OFPORT, UNDERLAY_MTU_MAX, UNDERLAY_MTU_MIN, Encapsulation

BRIDGE = "br-int"
UNDERLAY = "br-phy"
OWNER = "nvo3"  # external_ids key on everything that we made
IFACE_ID = "iface-id"  # Interface.external_ids, the convention of OVN and Neutron
_MTU_OWNER = "nvo3-mtu"  # external_ids key where the mtu_request is ours
_PATCH = "nvo3-phy"  # br-int's end
_PATCH_PEER = "nvo3-int"  # br-phy's end
_MAX_BACKOFF_MS = 1000  # how long a bridge waits before it tries the controller again
_PROBE_MS = 5000


class NotOurs(Exception):
    """br-int exists and belongs to somebody else; `str()` says how that was seen."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """controller: OpenFlow target, `tcp:IP:PORT`.  patch: join br-int to br-phy.  sclp_payload: what tunnels of SCLP carry.

    encapsulates: tells whether the vNIC of a port is to, so that its interface must carry what the underlay does.
    """

    dpid: Dpid
    controller: str
    patch: bool
    sclp_payload: str
    encapsulates: Callable[[UUID], bool]


def find(rows: Iterable[Any], name: str) -> Any | None:
    """Return the row with a name."""
    return next((row for row in rows if row.name == name), None)


def offered(root: Any) -> list[Encapsulation]:
    """Return the encapsulations that a hypervisor's OVS has an interface type for."""
    return [e for e in ENCAPSULATIONS.values() if e.interface_type in root.iface_types]


class _Writer:
    """Writes into one transaction and notes whether anything was written."""

    def __init__(self, txn: ovs.db.idl.Transaction) -> None:
        self._txn = txn
        self._tables = txn.idl.tables
        self.changed = False

    def insert(self, table: str, **columns: Any) -> Any:
        row = self._txn.insert(self._tables[table])
        for name, value in columns.items():
            setattr(row, name, value)
        self.changed = True
        return row

    def assign(self, row: Any, **columns: Any) -> None:
        for name, value in columns.items():
            if getattr(row, name) != value:
                setattr(row, name, value)
                self.changed = True

    def merge(self, row: Any, column: str, entries: Mapping[str, str]) -> None:
        for key, value in entries.items():
            if getattr(row, column).get(key) != value:
                row.setkey(column, key, value)
                self.changed = True

    def add_port(self, bridge: Any, name: str, **columns: Any) -> None:
        interface = self.insert("Interface", name=name, external_ids={OWNER: "true"}, **columns)
        port = self.insert("Port", name=name, interfaces=[interface], external_ids={OWNER: "true"})
        bridge.addvalue("ports", port)

    def ensure_port(
        self, bridge: Any, name: str, options: Mapping[str, str], defaults: Mapping[str, str] | None = None, **columns: Any
    ) -> None:
        """Have a port with these options, and with `defaults` where it has none of the kind; its other options are its host's."""
        defaults, port = defaults or {}, find(bridge.ports, name)
        if port is None:
            self.add_port(bridge, name, options={**defaults, **options}, **columns)
            return
        interface = port.interfaces[0]
        self.assign(interface, **columns)
        self.merge(interface, "options", {k: v for k, v in defaults.items() if k not in interface.options} | dict(options))

    def remove_port(self, bridge: Any, name: str) -> None:
        port = find(bridge.ports, name)
        if port is not None and OWNER in port.external_ids:
            bridge.delvalue("ports", port)
            self.changed = True


def ensure(txn: ovs.db.idl.Transaction, root: Any, wanted: Wanted) -> bool:
    """Write what is missing; return whether anything was.  Raises NotOurs."""
    writer = _Writer(txn)
    bridge = find(root.bridges, BRIDGE)
    if bridge is None:
        bridge = _create_bridge(writer, root, wanted)
    elif OWNER not in bridge.external_ids and any(c.target != wanted.controller for c in bridge.controller):
        targets = ", ".join(c.target for c in bridge.controller)
        raise NotOurs(f"{BRIDGE} exists and is controlled by {targets}")
    else:
        _ensure_mtu(writer, root, bridge, wanted.encapsulates)
    writer.merge(bridge, "external_ids", {OWNER: "true"})
    writer.merge(bridge, "other_config", _other_config(wanted))
    writer.assign(bridge, datapath_type="netdev", fail_mode=["secure"])
    _ensure_controller(writer, bridge, wanted.controller)
    for encapsulation in offered(root):
        writer.ensure_port(
            bridge,
            encapsulation.port,
            _tunnel_options(encapsulation, wanted),
            encapsulation.defaults,
            type=encapsulation.interface_type,
            ofport_request=[encapsulation.ofport],
        )
    _ensure_patch(writer, root, bridge, wanted.patch)
    return writer.changed


def _other_config(wanted: Wanted) -> dict[str, str]:
    return {"datapath-id": f"{wanted.dpid:016x}", "disable-in-band": "true"}


def _tunnel_options(encapsulation: Encapsulation, wanted: Wanted) -> dict[str, str]:
    payload = {"payload": wanted.sclp_payload} if encapsulation.has_payload else {}
    return {"remote_ip": "flow", "key": "flow", **encapsulation.options, **payload}


def _create_bridge(writer: _Writer, root: Any, wanted: Wanted) -> Any:
    # A row that is not in the database yet has the columns that were written, and no others to read.
    interface = writer.insert("Interface", name=BRIDGE, type="internal")
    bridge = writer.insert(
        "Bridge",
        name=BRIDGE,
        datapath_type="netdev",
        fail_mode=["secure"],
        ports=[writer.insert("Port", name=BRIDGE, interfaces=[interface])],
        controller=[],
        external_ids={OWNER: "true"},
        other_config=_other_config(wanted),
    )
    root.addvalue("bridges", bridge)
    return bridge


def _ensure_controller(writer: _Writer, bridge: Any, target: str) -> None:
    settings = {
        "connection_mode": ["out-of-band"],
        "max_backoff": [_MAX_BACKOFF_MS],
        "inactivity_probe": [_PROBE_MS],
    }
    row = bridge.controller[0] if len(bridge.controller) == 1 else None
    if row is None or row.target != target:
        bridge.controller = [writer.insert("Controller", target=target, **settings)]
    else:
        writer.assign(row, **settings)


def _ensure_patch(writer: _Writer, root: Any, bridge: Any, wanted: bool) -> None:
    underlay = find(root.bridges, UNDERLAY)
    if underlay is not None and wanted:
        writer.ensure_port(bridge, _PATCH, {"peer": _PATCH_PEER}, type="patch", ofport_request=[PATCH_OFPORT])
        writer.ensure_port(underlay, _PATCH_PEER, {"peer": _PATCH}, type="patch")
        return
    writer.remove_port(bridge, _PATCH)
    if underlay is not None:
        writer.remove_port(underlay, _PATCH_PEER)


def _ensure_mtu(writer: _Writer, root: Any, bridge: Any, encapsulates: Callable[[UUID], bool]) -> None:
    """Ask for the underlay's MTU where vNICs encapsulate; a request of the host's own stays, and so does a larger MTU.

    Open vSwitch gives no MTU back when a request is gone: the interface keeps the larger one, which does no harm.
    """
    mtu = underlay_mtu(root)
    for interface in (interface for port in bridge.ports for interface in port.interfaces):
        is_ours = _MTU_OWNER in interface.external_ids
        port = port_of(interface)
        if port is None or not encapsulates(port):
            if is_ours:
                writer.assign(interface, mtu_request=[])
                interface.delkey("external_ids", _MTU_OWNER)
        elif mtu is not None and (is_ours or (not interface.mtu_request and interface.mtu and interface.mtu[0] < mtu)):
            writer.assign(interface, mtu_request=[mtu])
            writer.merge(interface, "external_ids", {_MTU_OWNER: "true"})


def withdraw(txn: ovs.db.idl.Transaction, root: Any) -> bool:
    """Take back everything; br-int itself goes if nobody else has a port on it.  Return whether anything was written."""
    writer = _Writer(txn)
    bridge = find(root.bridges, BRIDGE)
    if bridge is None or OWNER not in bridge.external_ids:
        return False
    _ensure_patch(writer, root, bridge, wanted=False)
    _ensure_mtu(writer, root, bridge, lambda port: False)
    for encapsulation in ENCAPSULATIONS.values():
        writer.remove_port(bridge, encapsulation.port)
    if [p.name for p in bridge.ports] == [BRIDGE]:
        root.delvalue("bridges", bridge)
    else:
        bridge.controller = []
        bridge.delkey("external_ids", OWNER)
    return True


def port_of(interface: Any) -> UUID | None:
    """Return the port that an interface says it is; None for one of another system, or of none."""
    try:
        return UUID(interface.external_ids[IFACE_ID])
    except (KeyError, ValueError):
        return None


def ofport_of(bridge: Any, name: str) -> int | None:
    """Return the OpenFlow port of a port on a bridge, None while it has none."""
    port = find(bridge.ports, name)
    ofport = port.interfaces[0].ofport if port is not None and port.interfaces else []
    return ofport[0] if ofport and ofport[0] > 0 else None


def tunnel_ofport(bridge: Any, encapsulation: Encapsulation) -> int | None:
    """Return the OpenFlow port of the tunnel port for an encapsulation, None where the switch does not really have it."""
    port = find(bridge.ports, encapsulation.port)
    if port is not None and encapsulation.proof is not None and encapsulation.proof not in port.interfaces[0].status:
        return None
    return ofport_of(bridge, encapsulation.port)


def _underlay(root: Any) -> Any | None:
    """Return the interface of br-phy itself."""
    bridge = find(root.bridges, UNDERLAY)
    port = find(bridge.ports, UNDERLAY) if bridge is not None else None
    return port.interfaces[0] if port is not None and port.interfaces else None


def underlay_mac(root: Any) -> Mac | None:
    """Return the MAC address of br-phy, None where it is not known."""
    interface = _underlay(root)
    try:
        return parse_mac(interface.mac_in_use[0], "mac_in_use") if interface is not None and interface.mac_in_use else None
    except ConfigError:
        return None


def underlay_mtu(root: Any) -> int | None:
    """Return the MTU of br-phy, in bytes of IP, None where it is not known."""
    interface = _underlay(root)
    mtu = interface.mtu if interface is not None else []
    return mtu[0] if mtu and UNDERLAY_MTU_MIN <= mtu[0] <= UNDERLAY_MTU_MAX else None


def patch_ofport(bridge: Any) -> int | None:
    """Return the OpenFlow port of the patch to br-phy."""
    return ofport_of(bridge, _PATCH)
