"""What a hypervisor last told, in its row of the NB database: `HypervisorView` <-> columns.

It is not desired state.  It is there for a controller that starts while a hypervisor's database is not reachable.
"""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

from nvo3.model.errors import ConfigError
from nvo3.model.ids import parse_mac
from nvo3.model.physical import ENCAPSULATIONS, HypervisorView, Vport


def parse(row: Any) -> HypervisorView:
    """Return the view that a row remembers.  Raises ConfigError for values that no controller wrote."""
    try:
        vtep_ip = IPv4Address(row.vtep_ip[0]) if row.vtep_ip else None
        vports = [_vport(port, text) for port, text in row.vports.items()]
        underlay_mac = parse_mac(row.underlay_mac[0], "underlay_mac") if row.underlay_mac else None
    except ValueError as error:
        raise ConfigError("seen", str(error)) from None
    tunnels = tuple((name, row.tunnels[name]) for name in ENCAPSULATIONS if name in row.tunnels)
    patch = row.patch_ofport[0] if row.patch_ofport else None
    underlay_mtu = row.underlay_mtu[0] if row.underlay_mtu else None
    return HypervisorView(vtep_ip, tunnels, patch, tuple(sorted(vports, key=lambda v: v.ofport)), underlay_mtu, underlay_mac)


def _vport(port: UUID, text: str) -> Vport:
    ofport, _, interface = text.partition(" ")
    return Vport(port, interface, int(ofport))


def remember(hypervisor: UUID, view: HypervisorView) -> Callable[[Any], None]:
    """Return what composes the transaction that stores a view; nothing happens if the hypervisor is gone."""

    def compose(change: Any) -> None:
        if hypervisor not in change.view.hypervisors:
            return
        change.update(
            "Hypervisor",
            hypervisor,
            seen=True,
            vtep_ip=[str(view.vtep_ip)] if view.vtep_ip is not None else [],
            tunnels=dict(view.tunnels),
            patch_ofport=[view.patch_ofport] if view.patch_ofport is not None else [],
            underlay_mtu=[view.underlay_mtu] if view.underlay_mtu is not None else [],
            underlay_mac=[view.underlay_mac] if view.underlay_mac is not None else [],
            vports={v.port: f"{v.ofport} {v.interface}" for v in view.vports},
        )

    return compose
