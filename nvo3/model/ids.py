"""Identifiers and their ranges.

Sources: RFC 7348 section 5 (VNI), RFC 8926 section 3.4 (Geneve VNI), RFC 7637 section 3.2 (NVGRE VSID), IEEE 802-2014 clause 8 (MAC).
"""

import re
import uuid as _uuid
from typing import NewType

from nvo3.model.errors import ConfigError

Vni = NewType("Vni", int)
Dpid = NewType("Dpid", int)
Mac = NewType("Mac", str)

VNI_MIN = 1
VNI_MAX = (1 << 24) - 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
# Our own, in every network: the source of what the controller says to guests.  Locally administered (IEEE 802-2014 clause 8.4).
SERVICE_MAC = Mac("02:6e:76:6f:33:00")
NAME_RULE = "1 to 63 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"

# The upper 16 bits of the datapath ids that we give to br-int.  They tell our bridges from a user's own before the hypervisor's
# database has been read ("NV" in ASCII; OpenFlow 1.3.5 section 7.3.1 leaves these bits to the implementer).
DPID_PREFIX = 0x4E56


def check_name(name: str, path: str) -> str:
    """Return `name` if it may name an object, else raise ConfigError for the field at `path`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(path, f"{name!r} is not a name: {NAME_RULE}", name, NAME_RULE)
    return name


def parse_mac(text: str, path: str) -> Mac:
    """Return the canonical lower-case form of a unicast MAC address.

    Raises ConfigError if `text` is not six hexadecimal octets, is a group address, all zero or SERVICE_MAC.
    """
    canonical = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(canonical):
        raise ConfigError(path, f"{text!r} is not a MAC address (six octets such as 02:00:00:00:00:01)", text)
    if int(canonical[:2], 16) & 1:
        raise ConfigError(path, f"{text} is a group address; a port needs a unicast MAC", text)
    if canonical == "00:00:00:00:00:00":
        raise ConfigError(path, f"{text} is the all-zero address", text)
    if canonical == SERVICE_MAC:
        raise ConfigError(path, f"{text} is the controller's own in every network", text)
    return Mac(canonical)


def mac_to_int(mac: Mac) -> int:
    """Return the 48-bit value of a canonical MAC address."""
    return int(mac.replace(":", ""), 16)


def dpid_of(hypervisor: _uuid.UUID) -> Dpid:
    """Return the datapath id of br-int on a hypervisor: the same after every restart, known before it connects."""
    return Dpid(DPID_PREFIX << 48 | (hypervisor.int >> 80))


def is_our_dpid(dpid: int) -> bool:
    """Tell whether a datapath id is one that `dpid_of` makes."""
    return dpid >> 48 == DPID_PREFIX
