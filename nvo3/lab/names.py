"""What the parts of a lab are called.

Every name carries the lab's instance, so that two labs on one machine share nothing.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from nvo3.model.errors import ConfigError

RUN_ROOT = Path("/run/nvo3")

# Namespaces of the lab itself; hypervisors and guests take other names.
MANAGEMENT = "mgmt"
UNDERLAY = "underlay"
RESERVED = (MANAGEMENT, UNDERLAY)

# No "-": it separates the instance from the rest of a name.  10: "nvo3-" before it makes an interface's 15 (IFNAMSIZ
# less its zero).
_INSTANCE = re.compile(r"[a-z0-9]{1,10}")
_INTERFACE_MAX = 15
_SAFE_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def instance_of(checkout: Path) -> str:
    """Return the instance of a checkout: the same for the same directory, another for any other."""
    return hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()[:8]


def check_instance(name: str) -> str:
    """Return `name` if it may name an instance, else raise ConfigError."""
    if not _INSTANCE.fullmatch(name):
        raise ConfigError("--instance", f"{name!r} is not an instance: 1 to 10 of a-z 0-9", name, "1 to 10 of a-z 0-9")
    return name


def guest_interface(guest: str) -> str:
    """Return the name of the hypervisor's end of a guest's vNIC: at most 15 characters, the same for the same guest."""
    name = f"g-{guest}"
    if len(name) <= _INTERFACE_MAX and _SAFE_INTERFACE.fullmatch(name):
        return name
    return f"g-{hashlib.sha256(guest.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Names:
    """instance: as `check_instance` allows.  run_root: the directory of all labs of the machine."""

    instance: str
    run_root: Path = RUN_ROOT

    @property
    def run_dir(self) -> Path:
        return self.run_root / self.instance

    @property
    def lock_file(self) -> Path:
        """Beside the run directory, not in it: it outlives what it guards."""
        return self.run_root / f"{self.instance}.lock"

    @property
    def journal_file(self) -> Path:
        return self.run_dir / "journal"

    @property
    def record_file(self) -> Path:
        return self.run_dir / "lab.json"

    @property
    def prefix(self) -> str:
        """What the names of the lab's namespaces begin with."""
        return f"nvo3-{self.instance}-"

    def netns(self, node: str) -> str:
        """Return the namespace of a guest, of a hypervisor, of MANAGEMENT or of UNDERLAY."""
        return f"{self.prefix}{node}"

    @property
    def management_link(self) -> str:
        """The one link that the lab has in the machine's own namespace."""
        return f"nvo3-{self.instance}"
