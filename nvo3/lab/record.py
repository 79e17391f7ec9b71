"""What a lab is, for later commands: its place on this machine and its guests.

Facts of this lab only, not the desired state: that is in the controller's database.  Replaced as a whole, so a reader
sees either the old or the new.
"""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from nvo3.lab.errors import LabError
from nvo3.lab.place import Place
from nvo3.lab.topology import Topology, Wire
from nvo3.model.logical import NONE


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest that is plugged in.

    addresses: with their prefix length, `10.0.0.11/24`.  mtu: bytes of IP.  port: uuid, the interface-id.  offload: as its port has it.
    """

    name: str
    tenant: str
    network: str
    hypervisor: str
    port: str
    mac: str
    mtu: int
    addresses: tuple[str, ...]
    offload: str = NONE

    @property
    def plain_addresses(self) -> tuple[str, ...]:
        """The addresses without their prefix length."""
        return tuple(address.partition("/")[0] for address in self.addresses)


@dataclass(frozen=True, slots=True)
class Record:
    """A lab.  complete: False while it is being made.  guests: by name, in the order in which they came."""

    place: Place
    wire: Wire
    topology: Topology
    complete: bool = False
    guests: dict[str, Guest] = field(default_factory=dict)

    def with_guest(self, guest: Guest) -> Self:
        """Return the record with a guest that is new or has moved."""
        return replace(self, guests=self.guests | {guest.name: guest})

    def without_guest(self, name: str) -> Self:
        """Return the record without a guest."""
        return replace(self, guests={key: guest for key, guest in self.guests.items() if key != name})

    def save(self, path: Path) -> None:
        """Write the record to `path`."""
        plain = asdict(self) | {"topology": self.topology.model_dump(mode="json")}
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(plain, indent=1) + "\n")
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Return the record at `path`, None if there is none.  Raises LabError if it is not one."""
        try:
            plain = json.loads(path.read_text())
            return cls._from_plain(plain)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise LabError(f"{path}: not a lab's record ({error.__class__.__name__}); `nvo3 lab down` clears it") from None

    @classmethod
    def _from_plain(cls, plain: dict[str, Any]) -> Self:
        guests = {name: Guest(**guest | {"addresses": tuple(guest["addresses"])}) for name, guest in plain["guests"].items()}
        return cls(
            place=Place(**plain["place"]),
            wire=plain["wire"],
            topology=Topology.model_validate_json(json.dumps(plain["topology"])),
            complete=plain["complete"],
            guests=guests,
        )
