"""Path: how one hypervisor reaches another for a network, and which encapsulation a pair of them uses."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from nvo3.model.logical import AUTO, NONE, Network
from nvo3.model.physical import ENCAPSULATIONS
from nvo3.model.tunnel_key import key_of
from nvo3.pipeline.flow import Action, Field, Move, Output, SetField


@dataclass(frozen=True, slots=True)
class Path:
    """ofport: tunnel port, or patch to br-phy.  vtep_ip: outer destination, None on the patch.  actions: send a packet along the path."""

    ofport: int
    vtep_ip: IPv4Address | None
    actions: tuple[Action, ...]


def patch_path(ofport: int) -> Path:
    """Return the path through the patch to br-phy, without a tunnel."""
    return Path(ofport, None, (Output(ofport),))


def choose_encapsulation(network: Network, order: Iterable[str], shared: Container[str], underlay_mtu: int | None) -> str | None:
    """Return the encapsulation for a pair of hypervisors, or None where they share none that will do.

    AUTO takes the first of `order` that both offer and that carries the network's MTU over the underlay's, or, where none does, the first
    that both offer.  shared: what both offer.  underlay_mtu: the smaller of both, in bytes, None where it is not known.
    """
    if network.encapsulation != AUTO:
        return network.encapsulation if network.encapsulation in shared else None
    offered = [name for name in order if name in shared]
    fitting = (name for name in offered if underlay_mtu is None or network.mtu <= mtu_over(name, underlay_mtu))
    return next(fitting, offered[0] if offered else None)


def mtu_over(encapsulation: str, underlay_mtu: int) -> int:
    """Return the largest IP packet of a guest, in bytes, that an encapsulation, or NONE, carries over an underlay."""
    return underlay_mtu if encapsulation == NONE else ENCAPSULATIONS[encapsulation].mtu_over(underlay_mtu)


def tunnel_path(encapsulation: str, ofport: int, network: Network, vtep_ip: IPv4Address) -> Path:
    """Return the path through a tunnel port to a VTEP."""
    layout = ENCAPSULATIONS[encapsulation].key
    actions: list[Action] = [SetField(Field.TUN_ID, key_of(network, layout))]
    if layout.ingress_port.n:
        actions.append(Move(Field.IN_PORT, Field.TUN_ID, layout.ingress_port.n, dst_offset=layout.ingress_port.offset))
    actions += [SetField(Field.TUN_IPV4_DST, int(vtep_ip)), Output(ofport)]
    return Path(ofport, vtep_ip, tuple(actions))
