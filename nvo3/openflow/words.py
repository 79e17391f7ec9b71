"""OpenFlow 1.3 instructions in words: those of Ryu's `ofctl_rest`, by os-ken's library, which lacks some for what Open vSwitch has."""

from collections.abc import Iterable
from typing import Any

from os_ken.lib import ofctl_v1_3


def actions_of(instructions: Iterable[Any]) -> list[Any]:
    """Return a word for each action of os-ken's instructions, as in "OUTPUT:1"; os-ken's own notation for instructions without words."""
    words: list[Any] = []
    for instruction in instructions:
        try:
            words += ofctl_v1_3.actions_to_str([instruction])
        except (AttributeError, TypeError, ValueError):
            words.append(str(instruction))
    return words
