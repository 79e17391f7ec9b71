"""Who reaches whom: every ordered pair of guests, measured by tokens.

Tenants' addresses overlap, so an answer from 10.0.0.12 does not say whose 10.0.0.12 that is.  A socket does: it stays
in the namespace in which it was opened.  One process opens sockets in every guest, sends tokens from each to each other
and looks at which guest's socket they come out, see `probe`.

- Within a network a token goes the way of all packets, from socket to socket with the neighbour resolved, and the guest
  that gets it echoes it with its own number.
- Between networks a token goes in a frame made for it, with the other guest's MAC and IP address: no resolution that
  fails keeps it from being sent.  And a guest's packet socket hears every frame that comes in, so that a token is a
  leak even if it is not for this guest and its stack drops it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from nvo3.lab.record import Guest


@dataclass(frozen=True, slots=True)
class Cell:
    """An ordered pair of guests.

    expected: both are in one network.  reachable: for an expected pair, every address both ways; for another, any
    token.

    detail: what was missing or what leaked, empty if expected == reachable.
    """

    source: str
    target: str
    expected: bool
    reachable: bool
    detail: str = ""

    @property
    def right(self) -> bool:
        return self.expected == self.reachable


@dataclass(frozen=True, slots=True)
class Target:
    """What a token is sent to.

    source, target: numbers of guests.  expected: both are in one network.  family: 4, 6, or 2 for a MAC address.
    """

    source: int
    target: int
    expected: bool
    family: int
    address: str


@dataclass(slots=True)
class Seen:
    """What arrived.

    probes: (number of the target, guest whose socket got it).  echoes: the same, where the answer came back.  heard:
    (guest that sent a token, guest at whose vNIC it came in, to whatever address).
    """

    probes: set[tuple[int, int]] = field(default_factory=set)
    heard: set[tuple[int, int]] = field(default_factory=set)
    echoes: set[tuple[int, int]] = field(default_factory=set)


def targets(guests: Sequence[Guest]) -> list[Target]:
    """Return what to send for every ordered pair: to each address of a family that both have, else to the MAC."""
    addresses = [[(int(ip_address(text).version), text) for text in guest.plain_addresses] for guest in guests]
    families = [{family for family, _ in pairs} for pairs in addresses]
    found = []
    for one, source in enumerate(guests):
        for other, target in enumerate(guests):
            if one == other:
                continue
            common = [pair for pair in addresses[other] if pair[0] in families[one]]
            expected = _same_network(source, target)
            found += [Target(one, other, expected, family, text) for family, text in common or [(2, target.mac)]]
    return found


def _same_network(one: Guest, other: Guest) -> bool:
    return (one.tenant, one.network) == (other.tenant, other.network)


def judge(guests: Sequence[Guest], sent: Sequence[Target], seen: Seen) -> list[Cell]:
    """Return the matrix: what was sent against what arrived."""
    leaks = {(sent[number].source, at) for number, at in seen.probes} | seen.heard
    missing: dict[tuple[int, int], list[str]] = {}
    for number, target in enumerate(sent):
        if (number, target.target) not in seen.probes:
            missing.setdefault((target.source, target.target), []).append(f"{target.address} not reached")
        elif (number, target.target) not in seen.echoes:
            missing.setdefault((target.source, target.target), []).append(f"no answer from {target.address}")
    return [
        _cell(guests, one, other, missing.get((one, other), []), (one, other) in leaks)
        for one in range(len(guests))
        for other in range(len(guests))
        if one != other
    ]


def _cell(guests: Sequence[Guest], one: int, other: int, missing: list[str], leak: bool) -> Cell:
    source, target = guests[one], guests[other]
    if _same_network(source, target):
        return Cell(source.name, target.name, True, not missing, ", ".join(missing))
    detail = f"a packet of {source.name} arrived at {target.name}" if leak else ""
    return Cell(source.name, target.name, False, leak, detail)
