"""Lowest free numbers."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from nvo3.ovsdb.allocation import AddressSpace, NumberSpace

_Steps = st.lists(st.tuples(st.sampled_from(["take", "free", "claim", "release"]), st.integers(0, 12)), max_size=60)


@given(_Steps, st.integers(0, 6))
def test_lowest_is_the_lowest(steps: list[tuple[str, int]], first: int) -> None:
    space, taken, claimed = NumberSpace(), set(), set()
    for step, number in steps:
        getattr(space, step)(number)
        {"take": taken.add, "free": taken.discard, "claim": claimed.add, "release": claimed.discard}[step](number)
        free = [n for n in range(first, 11) if n not in taken | claimed]
        assert space.lowest(first, 10) == (free[0] if free else None)


def test_addresses_of_a_pool_in_order() -> None:
    space, pool = AddressSpace(), ip_network("10.0.0.0/29")
    given_out = []
    while (address := space.allocate([pool])) is not None:
        space.take(address)
        given_out.append(str(address))
    assert given_out == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    space.free(ip_address("10.0.0.4"))
    assert str(space.allocate([pool])) == "10.0.0.4"


def test_smallest_pools() -> None:
    space = AddressSpace()
    assert str(space.allocate([ip_network("10.0.0.0/30")])) == "10.0.0.2"
    for expected in ("fd00::2", "fd00::3"):
        address = space.allocate([ip_network("fd00::/126")])
        assert str(address) == expected
        assert address is not None
        space.take(address)
    assert space.allocate([ip_network("fd00::/126")]) is None


def test_next_pool_when_one_is_full() -> None:
    space = AddressSpace()
    pools = [ip_network("10.0.0.0/30"), ip_network("10.1.0.0/30")]
    space.take(ip_address("10.0.0.2"))
    assert str(space.allocate(pools)) == "10.1.0.2"


def test_large_pool_is_not_scanned() -> None:
    """100,000 addresses one after the other cost a scan of what is taken once, not each time."""
    space, pool = AddressSpace(), ip_network("10.0.0.0/8")
    for _ in range(100_000):
        address = space.allocate([pool])
        assert address is not None
        space.take(address)
    assert str(space.allocate([pool])) == "10.1.134.162"
