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
    """ofport: tunnel port or patch to br-phy.  key, vtep_ip: tunnel key and outer destination; None on the patch, which has no tunnel."""

    ofport: int
    key: int | None = None
    vtep_ip: IPv4Address | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        """Send the packet along the path."""
        if self.key is None or self.vtep_ip is None:
            return (Output(self.ofport),)
        return (
            SetField(Field.TUN_ID, self.key),
            SetField(Field.TUN_IPV4_DST, int(self.vtep_ip)),
            Output(self.ofport),
        )


def choose_encapsulation(wanted: str, order: Iterable[str], here: Mapping[str, int], there: Mapping[str, int]) -> str | None:
    """Return the encapsulation for a pair of hypervisors, or None where they share none that will do.

    wanted: a name, or AUTO for the first of `order` that both offer.  here, there: encapsulation -> ofport.
    """
    candidates = order if wanted == AUTO else (wanted,)
    return next((name for name in candidates if name in here and name in there), None)


def tunnel_path(encapsulation: str, ofport: int, vni: Vni, vtep_ip: IPv4Address) -> Path:
    """Return the path through a tunnel port to a VTEP."""
    return Path(ofport, vni << ENCAPSULATIONS[encapsulation].vni_shift_bits, vtep_ip)
