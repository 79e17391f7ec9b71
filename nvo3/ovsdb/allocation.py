"""Which numbers are free: VNIs of the system, addresses of a network.  No I/O."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from nvo3.model.logical import IPAddress, IPNetwork

# Offset of the first address that is given out: the one before it, the first host, is kept for a gateway.
_FIRST_HOST = 2


class NumberSpace:
    """Integers that are taken, and those claimed by a transaction that is under way.

    `lowest` starts at the lowest number that may be free instead of at the first, so that giving out n numbers one
    after the other costs O(n) in all.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._claimed: set[int] = set()
        self._hints: dict[int, int] = {}  # first -> all of first..hint-1 are taken or claimed

    def __contains__(self, number: int) -> bool:
        return number in self._taken

    def take(self, number: int) -> None:
        """Mark a number taken."""
        self._taken.add(number)

    def free(self, number: int) -> None:
        """Mark a number free."""
        self._taken.discard(number)
        self._reopen(number)

    def claim(self, number: int) -> None:
        """Keep `lowest` from returning a number until `release`."""
        self._claimed.add(number)

    def release(self, number: int) -> None:
        """Undo `claim`."""
        self._claimed.discard(number)
        if number not in self._taken:
            self._reopen(number)

    def _reopen(self, number: int) -> None:
        for first, hint in self._hints.items():
            if first <= number < hint:
                self._hints[first] = number

    def is_free(self, number: int) -> bool:
        """Tell whether a number is neither taken nor claimed."""
        return number not in self._taken and number not in self._claimed

    def lowest(self, first: int, last: int) -> int | None:
        """Return the lowest number within first..last that is neither taken nor claimed."""
        number = self._hints.get(first, first)
        while not self.is_free(number):
            number += 1
        self._hints[first] = number
        return number if number <= last else None


class AddressSpace:
    """The addresses of one network, both families."""

    def __init__(self) -> None:
        self._spaces = {4: NumberSpace(), 6: NumberSpace()}

    def take(self, address: IPAddress) -> None:
        """Mark an address taken."""
        self._spaces[address.version].take(int(address))

    def free(self, address: IPAddress) -> None:
        """Mark an address free."""
        self._spaces[address.version].free(int(address))

    def claim(self, address: IPAddress) -> None:
        """Keep `allocate` from returning an address until `release`."""
        self._spaces[address.version].claim(int(address))

    def release(self, address: IPAddress) -> None:
        """Undo `claim`."""
        self._spaces[address.version].release(int(address))

    def is_free(self, address: IPAddress) -> bool:
        """Tell whether an address is neither taken nor claimed."""
        return self._spaces[address.version].is_free(int(address))

    def allocate(self, pools: Iterable[IPNetwork]) -> IPAddress | None:
        """Return the lowest free address of the first pool, all of one family, that has one."""
        for pool in pools:
            base, end = int(pool.network_address), int(pool.broadcast_address)
            last = end - 1 if pool.version == 4 else end
            number = self._spaces[pool.version].lowest(base + _FIRST_HOST, last)
            if number is not None:
                return IPv4Address(number) if pool.version == 4 else IPv6Address(number)
        return None
