"""Path: how one hypervisor reaches another for a network, and which encapsulation a pair of them uses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from nvo3.model.ids import Vni
from nvo3.model.logical import AUTO
from nvo3.model.physical import ENCAPSULATIONS
from nvo3.pipeline.flow import Action, Field, Output, SetField


@dataclass(frozen=True, slots=True)
class Path:
    """ofport: tunnel port, or patch to br-phy.  vtep_ip: outer destination, None on the patch.  actions: send a packet along the path."""

    ofport: int
    vtep_ip: IPv4Address | None
    actions: tuple[Action, ...]


def patch_path(ofport: int) -> Path:
    """Return the path through the patch to br-phy, without a tunnel."""
    return Path(ofport, None, (Output(ofport),))


def choose_encapsulation(wanted: str, order: Iterable[str], here: Mapping[str, int], there: Mapping[str, int]) -> str | None:
    """Return the encapsulation for a pair of hypervisors, or None where they share none that will do.

    wanted: a name, or AUTO for the first of `order` that both offer.  here, there: encapsulation -> ofport.
    """
    candidates = order if wanted == AUTO else (wanted,)
    return next((name for name in candidates if name in here and name in there), None)


def tunnel_path(encapsulation: str, ofport: int, vni: Vni, vtep_ip: IPv4Address) -> Path:
    """Return the path through a tunnel port to a VTEP."""
    key = vni << ENCAPSULATIONS[encapsulation].vni_shift_bits
    actions = (SetField(Field.TUN_ID, key), SetField(Field.TUN_IPV4_DST, int(vtep_ip)), Output(ofport))
    return Path(ofport, vtep_ip, actions)
