"""Tunnel keys: what the id that an encapsulation carries is made of.

    VXLAN, Geneve (24 bits)      | VNI |                                  RFC 7348 section 5, RFC 8926 section 3.4
    NVGRE (32 bits)              | VSID = VNI, 24 | FlowID = 0, 8 |       RFC 7637 section 3.2
    STT (64 bits, context id)    | version, 24 | ingress port, 16 | VNI, 24 |

STT's context id is unstructured (draft-davie-stt-08 section 3.2); this is our layout of it.  The ingress port is the OpenFlow port that the
frame came in by on the sending bridge: with the outer source address it tells which guest sent.  The version is the one of the network's
definition that the sender forwarded by, so that frames sent before a change can be told from those sent after it.
Receivers forward by the VNI alone.
"""

import zlib
from dataclasses import dataclass
from typing import Self

from nvo3.model.ids import Vni
from nvo3.model.logical import Network


@dataclass(frozen=True, slots=True)
class Bits:
    """A field of a key.  offset: of its least significant bit.  n: how many bits, 0 where the encapsulation has no room for it."""

    offset: int = 0
    n: int = 0

    def put(self, value: int) -> int:
        """Return a key with this field only.  Raises ValueError if the value does not fit."""
        if not 0 <= value < 1 << self.n:
            raise ValueError(f"{value} does not fit {self.n} bits")
        return value << self.offset

    def get(self, key: int) -> int:
        """Return the field's value in a key."""
        return key >> self.offset & (1 << self.n) - 1


@dataclass(frozen=True, slots=True)
class KeyLayout:
    """Where the fields are.  size: bits of the whole key."""

    size: int
    vni: Bits
    ingress_port: Bits = Bits()
    version: Bits = Bits()


VNI_ONLY = KeyLayout(24, Bits(0, 24))
NVGRE = KeyLayout(32, Bits(8, 24))
CONTEXT_ID = KeyLayout(64, Bits(0, 24), Bits(24, 16), Bits(40, 24))


@dataclass(frozen=True, slots=True)
class TunnelKey:
    """What a key says.  ingress_port and version: 0 where the encapsulation has no room for them."""

    vni: Vni
    ingress_port: int = 0
    version: int = 0

    @classmethod
    def parse(cls, key: int, layout: KeyLayout) -> Self:
        """Take a key apart.  Raises ValueError for one of more bits than the encapsulation has."""
        if not 0 <= key < 1 << layout.size:
            raise ValueError(f"{key:#x} does not fit {layout.size} bits")
        return cls(Vni(layout.vni.get(key)), layout.ingress_port.get(key), layout.version.get(key))


def version_of(network: Network) -> int:
    """Return the version of a network's definition, 24 bits: the same after a restart and on every controller.

    A checksum of what decides how its frames travel; two definitions share one with a probability of 1 in 2**24.
    """
    return zlib.crc32(f"{network.uuid} {network.vni} {network.encapsulation} {network.mtu}".encode()) & 0xFFFFFF


def key_of(network: Network, layout: KeyLayout) -> int:
    """Return what of the key is the same for all frames of a network: all but the ingress port."""
    version = layout.version.put(version_of(network)) if layout.version.n else 0
    return layout.vni.put(network.vni) | version
