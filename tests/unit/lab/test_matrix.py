"""The matrix: what is sent to whom, and what the arrivals say.

The measurement itself is tested with real namespaces.
"""

from nvo3.lab.matrix import Cell, Seen, judge, targets
from nvo3.lab.record import Guest


def guest(name: str, tenant: str, *addresses: str) -> Guest:
    return Guest(name, tenant, "web", "hv1", f"port-{name}", f"02:00:00:00:00:{ord(name[-1]):02x}", 1400, addresses)


R1 = guest("r1", "red", "10.0.0.11/24", "fd00::11/64")
R2 = guest("r2", "red", "10.0.0.12/24", "fd00::12/64")
B1 = guest("b1", "blue", "10.0.0.11/24", "fd00::11/64")
B2 = guest("b2", "blue", "10.0.0.12/24", "fd00::12/64")
GUESTS = [R1, R2, B1, B2]


def arrivals(guests: list[Guest]) -> Seen:
    """Return what is seen where networks are right: everything inside them, nothing between them."""
    seen = Seen()
    for number, one in enumerate(targets(guests)):
        if guests[one.source].tenant == guests[one.target].tenant:
            seen.probes.add((number, one.target))
            seen.echoes.add((number, one.target))
    return seen


def cell(cells: list[Cell], source: str, target: str) -> Cell:
    (found,) = [one for one in cells if (one.source, one.target) == (source, target)]
    return found


def number_of(guests: list[Guest], source: Guest, target: Guest, address: str) -> int:
    sent = targets(guests)
    return next(n for n, one in enumerate(sent) if (guests[one.source], guests[one.target], one.address) == (source, target, address))


def test_targets_are_every_address_of_every_other_guest() -> None:
    sent = targets(GUESTS)
    assert len(sent) == 4 * 3 * 2
    assert {one.family for one in sent} == {4, 6}


def test_targets_without_a_common_family_are_mac_addresses() -> None:
    sent = targets([guest("a", "red", "10.0.0.1/24"), guest("b", "red", "fd00::1/64"), guest("c", "red")])
    assert {one.family for one in sent} == {2}
    assert {one.address for one in sent if one.target == 1} == {"02:00:00:00:00:62"}


def test_judge_networks_as_they_should_be_is_right() -> None:
    cells = judge(GUESTS, targets(GUESTS), arrivals(GUESTS))
    assert len(cells) == 12
    assert all(one.right for one in cells)
    assert {(one.source, one.target) for one in cells if one.reachable} == {
        ("r1", "r2"),
        ("r2", "r1"),
        ("b1", "b2"),
        ("b2", "b1"),
    }


def test_judge_one_lost_family_makes_the_pair_unreachable_and_is_named() -> None:
    seen = arrivals(GUESTS)
    lost = number_of(GUESTS, R1, R2, "fd00::12")
    seen.probes.discard((lost, 1))
    seen.echoes.discard((lost, 1))
    found = cell(judge(GUESTS, targets(GUESTS), seen), "r1", "r2")
    assert not found.reachable and found.expected
    assert found.detail == "fd00::12 not reached"


def test_judge_lost_answer_makes_the_pair_unreachable() -> None:
    seen = arrivals(GUESTS)
    seen.echoes.discard((number_of(GUESTS, R1, R2, "10.0.0.12"), 1))
    found = cell(judge(GUESTS, targets(GUESTS), seen), "r1", "r2")
    assert not found.right
    assert found.detail == "no answer from 10.0.0.12"


def test_judge_token_in_another_tenant_is_a_leak_whatever_it_was_sent_to() -> None:
    seen = arrivals(GUESTS)
    # r1 asked for 10.0.0.12, which r2 has; b2, which has it too, got it as well.
    seen.probes.add((number_of(GUESTS, R1, R2, "10.0.0.12"), 3))
    cells = judge(GUESTS, targets(GUESTS), seen)
    found = cell(cells, "r1", "b2")
    assert found.reachable and not found.expected and not found.right
    assert found.detail == "a packet of r1 arrived at b2"
    assert [one for one in cells if not one.right] == [found]


def test_judge_token_overheard_in_another_tenant_is_a_leak() -> None:
    seen = arrivals(GUESTS)
    seen.heard |= {(0, 1), (0, 2)}  # in the own network it is none
    wrong = [one for one in judge(GUESTS, targets(GUESTS), seen) if not one.right]
    assert [(one.source, one.target) for one in wrong] == [("r1", "b1")]


def test_judge_answer_of_another_tenants_guest_does_not_count() -> None:
    seen = arrivals(GUESTS)
    number = number_of(GUESTS, R1, R2, "10.0.0.12")
    seen.echoes.discard((number, 1))
    seen.echoes.add((number, 3))
    assert not cell(judge(GUESTS, targets(GUESTS), seen), "r1", "r2").right


def test_judge_same_network_name_of_another_tenant_is_another_network() -> None:
    assert not cell(judge(GUESTS, targets(GUESTS), Seen()), "r1", "b1").expected
