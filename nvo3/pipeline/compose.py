"""Flows of one bridge, and rules of one vNIC, in parts: what must be computed again when something changes is a few parts, not a bridge.

A part depends on one object and one bridge or vNIC.  `compute` makes a part's flows from the inventory, `compute_vnic` its rules; a part
that no longer applies has none.
"""

from collections.abc import Callable, Hashable
from enum import Enum
from typing import NamedTuple, TypeVar
from uuid import UUID

from nvo3.model.inventory import Binding, Inventory
from nvo3.model.logical import NONE, SCLP_PAYLOADS, Network, Port
from nvo3.model.physical import ENCAPSULATIONS
from nvo3.model.tunnel_key import key_of
from nvo3.pipeline import admit, answer, classify, configuration, flood, l2, output, port_security, underlay, vnic_control
from nvo3.pipeline.flow import FlowSpec
from nvo3.pipeline.path import Path, choose_encapsulation, mtu_over, patch_path, tunnel_path
from nvo3.pipeline.vnic import Decapsulate, Encapsulate, VnicRule

_T = TypeVar("_T")


class Kind(Enum):
    """What a part is about."""

    BASE = "base"  # the same on every bridge
    TUNNELS = "tunnels"  # the bridge's tunnel ports
    NETWORK = "network"  # a network that the bridge hosts
    PEER = "peer"  # a network and another hypervisor that hosts it
    FLOOD = "flood"  # a network's broadcast
    LOCAL = "local"  # a port that is bound here
    REMOTE = "remote"  # a port that is bound elsewhere
    ANSWERS = "answers"  # a port's addresses
    VNIC_TO = "vnic_to"  # of a vNIC's rules: a port that is bound elsewhere
    VNIC_FROM = "vnic_from"  # of a vNIC's rules: a hypervisor, or a port whose vNIC encapsulates


class Part(NamedTuple):
    """network: the network that it belongs to, None for BASE and TUNNELS.  subject: the port or the peer."""

    kind: Kind
    network: UUID | None = None
    subject: UUID | None = None


BASE = Part(Kind.BASE)
TUNNELS = Part(Kind.TUNNELS)


def _memoized(inventory: Inventory, key: Hashable, make: Callable[[], _T]) -> _T:
    """Return what `make` returned for the inventory as it is: many bridges have the same flows for a port of another."""
    if key not in inventory.memo:
        inventory.memo[key] = make()
    value: _T = inventory.memo[key]
    return value


def compute(inventory: Inventory, here: UUID, part: Part) -> list[FlowSpec]:
    """Return the flows of a part on the bridge of hypervisor `here`."""
    if part.kind is Kind.BASE:
        return [*classify.base(), *vnic_control.base(), *answer.base(), *l2.base()]
    if part.kind is Kind.TUNNELS:
        tunnels = inventory.hosts[here].tunnels
        return [f for name, ofport in tunnels.items() for f in classify.from_tunnel(ENCAPSULATIONS[name], ofport)]
    network = inventory.networks.get(part.network) if part.network else None
    if network is None or here not in inventory.hosting(network.uuid):
        return []
    match part.kind:
        case Kind.NETWORK:
            return _network(inventory, network, here)
        case Kind.FLOOD:
            return _flood(inventory, network, here)
        case Kind.PEER:
            return _peer(inventory, network, here, part.subject)
        case _:
            return _port(inventory, network, here, part)


def _network(inventory: Inventory, network: Network, here: UUID) -> list[FlowSpec]:
    flows = [*answer.for_network(network), *l2.for_network(network)]
    patch = inventory.hosts[here].view.patch_ofport
    if patch is not None and inventory.flat_network == network.uuid:
        flows += classify.from_patch(network, patch)
    return flows


def _peer(inventory: Inventory, network: Network, here: UUID, peer: UUID | None) -> list[FlowSpec]:
    if peer is None or peer == here or peer not in inventory.hosting(network.uuid):
        return []
    vtep_ip = inventory.vtep_ip(peer)
    return admit.from_peer(network, vtep_ip) if vtep_ip is not None else []


def _flood(inventory: Inventory, network: Network, here: UUID) -> list[FlowSpec]:
    hosting = inventory.hosting(network.uuid)
    ofports = sorted(b.vport.ofport for p in hosting[here] if (b := inventory.binding(p)) is not None)
    paths = {path(inventory, network, here, there) for there in hosting if there != here}
    ordered = sorted((p for p in paths if p is not None), key=lambda p: (p.vtep_ip is not None, p.ofport, int(p.vtep_ip or 0)))
    return flood.to_all(network, ofports, ordered)


def _port(inventory: Inventory, network: Network, here: UUID, part: Part) -> list[FlowSpec]:
    port = inventory.ports.get(part.subject) if part.subject else None
    if port is None or port.network != network.uuid:
        return []
    if part.kind is Kind.ANSWERS:
        return _memoized(inventory, ("answers", port.uuid), lambda: answer.for_port(network, port))
    binding = inventory.binding(port.uuid)
    if binding is None or (binding.hypervisor == here) != (part.kind is Kind.LOCAL):
        return []
    if part.kind is Kind.REMOTE:
        return _remote(inventory, network, here, port, binding)
    ofport = binding.vport.ofport
    patch = inventory.patch_of(port.uuid)
    vnic = []
    if patch is not None:
        vnic += classify.from_vnic(port, ofport, patch)
        vnic += vnic_control.from_port(port, ofport)
        vnic += underlay.for_port(port, ofport, patch)
    return [
        *vnic,
        *classify.from_port(network, port, ofport),
        *port_security.check(network, port, ofport),
        *configuration.from_port(network, port, ofport),
        *answer.for_owner(network, port, ofport),
        *l2.to_local(network, port, ofport),
        *output.to_port(network, port, ofport),
    ]


def _remote(inventory: Inventory, network: Network, here: UUID, port: Port, binding: Binding) -> list[FlowSpec]:
    flows = []
    way = _path_to_vnic(inventory, network, here, port, binding) or path(inventory, network, here, binding.hypervisor)
    if way is not None:
        flows += _memoized(inventory, ("remote", port.uuid, way), lambda: l2.to_remote(network, port, way))
    if port.underlay_ip is not None and network.encapsulation != NONE:
        flows += admit.from_vnic(network, port)
    return flows


def _path_to_vnic(inventory: Inventory, network: Network, here: UUID, port: Port, binding: Binding) -> Path | None:
    """Return the way from a hypervisor to a vNIC that decapsulates, None where the hypervisor at its other end has to do that."""
    agent = inventory.agent(port.uuid)
    if agent is None or here not in agent.accepts or port.underlay_ip is None or inventory.vtep_ip(here) is None:
        return None
    tunnels = inventory.hosts[here].tunnels
    name = _choose_for_vnic(inventory, network, agent.encapsulations & tunnels.keys(), here, binding.hypervisor)
    return tunnel_path(name, tunnels[name], network, port.underlay_ip) if name is not None else None


def _choose_for_vnic(inventory: Inventory, network: Network, shared: frozenset[str], here: UUID, there: UUID) -> str | None:
    if inventory.sclp_payload != SCLP_PAYLOADS[0]:  # CVSW has VXLAN over SCLP, and no other
        shared = frozenset(e for e in shared if not ENCAPSULATIONS[e].has_payload)
    return choose_encapsulation(network, inventory.encapsulation_order, shared, underlay_mtu(inventory, here, there))


def compute_vnic(inventory: Inventory, vnic: UUID, part: Part) -> list[VnicRule]:
    """Return the rules of a part on the vNIC of a port."""
    port, binding = inventory.ports.get(vnic), inventory.binding(vnic)
    if port is None or binding is None or part.subject is None or part.network != port.network or inventory.patch_of(vnic) is None:
        return []
    network = inventory.networks[port.network]
    if network.encapsulation == NONE:
        return []
    if part.kind is Kind.VNIC_FROM:
        return _vnic_from(inventory, network, port, binding, part.subject)
    return _vnic_to(inventory, network, port, binding, part.subject)


def _vnic_from(inventory: Inventory, network: Network, port: Port, binding: Binding, source: UUID) -> list[VnicRule]:
    if source in inventory.hosts:
        ip = inventory.vtep_ip(source) if source != binding.hypervisor and source in inventory.hosting(network.uuid) else None
    else:
        other = inventory.binding(source) if inventory.patch_of(source) is not None else None
        near = other is None or other.hypervisor == binding.hypervisor or inventory.ports[source].network != network.uuid
        ip = None if near else inventory.ports[source].underlay_ip
    return [Decapsulate(ip, port.underlay_ip, network.vni)] if ip is not None and port.underlay_ip is not None else []


def _vnic_to(inventory: Inventory, network: Network, port: Port, binding: Binding, destination: UUID) -> list[VnicRule]:
    to, there = inventory.ports.get(destination), inventory.binding(destination)
    agent, own_ip = inventory.agent(port.uuid), port.underlay_ip
    if to is None or there is None or agent is None or own_ip is None:
        return []
    if to.network != network.uuid or there.hypervisor == binding.hypervisor:
        return []
    here, mtu = binding.hypervisor, underlay_mtu(inventory, binding.hypervisor, there.hypervisor)
    if mtu is None:
        return []
    peer, host = inventory.agent(destination), inventory.hosts[there.hypervisor]
    ends = []  # the vNIC itself where it accepts us, else its hypervisor
    if peer is not None and port.uuid in peer.accepts and to.underlay_ip is not None:
        ends.append((peer.encapsulations, to.underlay_mac, to.underlay_ip))
    vtep_ip = inventory.vtep_ip(there.hypervisor)
    if vtep_ip is not None and host.view.underlay_mac is not None:
        ends.append((frozenset(host.tunnels), host.view.underlay_mac, vtep_ip))
    for encapsulations, mac, ip in ends:
        name = _choose_for_vnic(inventory, network, agent.encapsulations & encapsulations, here, there.hypervisor)
        if name is not None:
            key = key_of(network, ENCAPSULATIONS[name].key)
            return [Encapsulate(to.mac, name, key, port.underlay_mac, mac, own_ip, ip, mtu)]
    return []


def encapsulation(inventory: Inventory, network: Network, here: UUID, there: UUID) -> str | None:
    """Return what carries a network between two hypervisors, None where nothing can."""
    a, b = inventory.hosts[here], inventory.hosts[there]
    if network.encapsulation == NONE:
        joined = a.view.patch_ofport is not None and b.view.patch_ofport is not None
        return NONE if joined and inventory.flat_network == network.uuid else None
    if inventory.vtep_ip(here) is None or inventory.vtep_ip(there) is None:
        return None
    shared = a.tunnels.keys() & b.tunnels.keys()
    return choose_encapsulation(network, inventory.encapsulation_order, shared, underlay_mtu(inventory, here, there))


def problem(inventory: Inventory, network: Network, here: UUID, there: UUID) -> str:
    """Return what is wrong with a network between two hypervisors, in words, or an empty string."""
    name = encapsulation(inventory, network, here, there)
    a, b = inventory.hosts[here].row.name, inventory.hosts[there].row.name
    if name is None:
        return f"{a} and {b} share no encapsulation for it"
    mtu = underlay_mtu(inventory, here, there)
    limit = mtu_over(name, mtu) if mtu is not None else network.mtu
    if network.mtu > limit:
        return f"{a} and {b}: {name} carries packets of up to {limit} bytes over the underlay's {mtu}; the network's MTU is {network.mtu}"
    return ""


def underlay_mtu(inventory: Inventory, here: UUID, there: UUID) -> int | None:
    """Return the largest IP packet, in bytes, between two hypervisors as far as it is known."""
    known = [mtu for h in (here, there) if (mtu := inventory.hosts[h].view.underlay_mtu) is not None]
    return min(known, default=None)


def path(inventory: Inventory, network: Network, here: UUID, there: UUID) -> Path | None:
    """Return the way from one hypervisor to another for a network."""
    return _memoized(inventory, ("path", network.uuid, here, there), lambda: _path(inventory, network, here, there))


def _path(inventory: Inventory, network: Network, here: UUID, there: UUID) -> Path | None:
    name = encapsulation(inventory, network, here, there)
    if name is None:
        return None
    host = inventory.hosts[here]
    if name == NONE:
        return patch_path(host.view.patch_ofport) if host.view.patch_ofport is not None else None
    vtep_ip = inventory.vtep_ip(there)
    return tunnel_path(name, host.tunnels[name], network, vtep_ip) if vtep_ip is not None else None
