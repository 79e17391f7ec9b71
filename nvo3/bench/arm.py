"""Arms: the paths that a benchmark compares.  A further one is a further row.

An arm is a name, the bed that it runs on, and what makes the bed that arm.  Arms that share a bed run on the same
guests and the same switches, and differ in their encapsulation only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nvo3.bench.bed import CVSW, KERNEL_BRIDGE, KERNEL_VXLAN, PATCHED, STOCK, Bed
from nvo3.model.errors import ConfigError
from nvo3.model.logical import NONE, SCLP_PAYLOADS
from nvo3.model.physical import ENCAPSULATIONS, Encapsulation

STT = "stt"
SCLP, SCLP_UDP = "sclp", "sclp-udp"
_STOCK_PREFIX, _CVSW_PREFIX = "stock-", "cvsw-"


@dataclass(frozen=True, slots=True)
class Arm:
    """name: as `--arms` has it.

    summary: for people.  bed: a key of `run.BEDS`.  encapsulation: what the bed is set to before each sample, empty
    where it has one only.  sclp_payload: what SCLP carries, empty where it is not SCLP.
    """

    name: str
    summary: str
    bed: str
    encapsulation: str = ""
    sclp_payload: str = ""

    def prepare(self, bed: Bed) -> None:
        """Make the bed this arm."""
        if self.sclp_payload:
            bed.set_sclp_payload(self.sclp_payload)
        if self.encapsulation:
            bed.set_encapsulation(self.encapsulation)


def _overlays(encapsulation: Encapsulation) -> list[Arm]:
    """Return the arms of an encapsulation on the patched Open vSwitch; of SCLP one for each payload."""
    name, summary = encapsulation.name, f"overlay over {encapsulation.name}"
    if not encapsulation.has_payload:
        return [Arm(name, summary, PATCHED, name)]
    plain, *others = SCLP_PAYLOADS
    return [
        Arm(name, f"{summary}, with {plain} inside", PATCHED, name, plain),
        *(Arm(f"{name}-{payload}", f"{summary}, with {payload} inside", PATCHED, name, payload) for payload in others),
    ]


def _in_vnic(name: str) -> Arm:
    """Return the arm of an encapsulation, or of none, in the guests' vNICs; CVSW has SCLP with VXLAN inside only."""
    payload = SCLP_PAYLOADS[0] if name != NONE and ENCAPSULATIONS[name].has_payload else ""
    return Arm(f"{_CVSW_PREFIX}{name}", f"{name} by agents in the guests", CVSW, name, payload)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(NONE, "flat: the same switches and flows, no tunnel", PATCHED, NONE),
        *(arm for encapsulation in ENCAPSULATIONS.values() for arm in _overlays(encapsulation)),
        *(
            Arm(f"{_STOCK_PREFIX}{name}", f"{name} on Open vSwitch without the patches", STOCK, name)
            for name in (NONE, *(e.name for e in ENCAPSULATIONS.values() if e.proof is None))
        ),
        *(_in_vnic(name) for name in (NONE, *ENCAPSULATIONS)),
        Arm("kernel-bridge", "flat: a Linux bridge on each hypervisor, no Open vSwitch", KERNEL_BRIDGE),
        Arm("kernel-vxlan", "a Linux bridge and a Linux VXLAN device on each hypervisor, no Open vSwitch", KERNEL_VXLAN),
    )
}


def parse_arms(text: str) -> list[Arm]:
    """Return the arms of a comma-separated list, in its order; `all` stands for all of them.  Raises ConfigError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return list(ARMS.values())
    if not names:
        raise ConfigError("--arms", f"no arm given; there are {', '.join(ARMS)}", text)
    for index, name in enumerate(names):
        if name not in ARMS:
            raise ConfigError("--arms", f"{name!r} is not one of {', '.join(ARMS)}", name, ", ".join(ARMS))
        if name in names[:index]:
            raise ConfigError("--arms", f"{name!r} is given twice", name)
    return [ARMS[name] for name in names]


def reference(arms: Sequence[str]) -> str:
    """Return what the others are compared with: `none`, or the first where it is absent."""
    return NONE if NONE in arms else arms[0]


def comparisons(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs (arm, arm below it) whose ratios say something.

    Each with the reference, each of ours with the same on stock Open vSwitch, STT with every other, a vNIC's STT with other vNICs' arms and
    stock ones, a vNIC's arm with the switch's, SCLP with what it carries, ours and stock, and over UDP with STT, since the NIC cuts both.
    """
    base = reference(arms)
    pairs = [(arm, base) for arm in arms]
    pairs += [(arm, f"{_STOCK_PREFIX}{arm}") for arm in arms]
    pairs += [(STT, arm) for arm in arms]
    pairs += [(f"{_CVSW_PREFIX}{STT}", arm) for arm in arms if arm.startswith((_STOCK_PREFIX, _CVSW_PREFIX))]
    pairs += [(f"{_CVSW_PREFIX}{arm}", arm) for arm in arms]
    for one in (ARMS[arm] for arm in arms if arm in ARMS and ARMS[arm].bed == PATCHED and ARMS[arm].sclp_payload):
        pairs += [(one.name, STT)] if one.encapsulation == SCLP_UDP else []
        pairs += [(one.name, one.sclp_payload), (one.name, f"{_STOCK_PREFIX}{one.sclp_payload}")]
    known = [(above, below) for above, below in pairs if above != below and above in arms and below in arms]
    return list(dict.fromkeys(known))
