"""Arms, as `--arms` names them, and the order in which they run."""

import pytest

from nvo3.bench.arm import ARMS, comparisons, parse_arms, reference
from nvo3.bench.overlay import topology
from nvo3.bench.run import BEDS
from nvo3.model.errors import ConfigError
from nvo3.model.physical import ENCAPSULATIONS


def test_every_encapsulation_and_none_is_an_arm_and_all_but_stt_one_of_stock() -> None:
    assert set(ARMS) == {
        *("none", *ENCAPSULATIONS),
        *(f"stock-{name}" for name in ("none", *ENCAPSULATIONS) if name != "stt"),
        *("kernel-bridge", "kernel-vxlan"),
    }
    assert {arm.bed for arm in ARMS.values()} == set(BEDS)


def test_parse_arms_all_are_all() -> None:
    assert parse_arms("all") == list(ARMS.values())


def test_parse_arms_keeps_their_order() -> None:
    assert [arm.name for arm in parse_arms("gre, none,vxlan")] == ["gre", "none", "vxlan"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--arms: no arm given; there are none, "),
        ("none,vlan", "--arms: 'vlan' is not one of none, "),
        ("none,none", "--arms: 'none' is given twice"),
    ],
)
def test_parse_arms_refuses_with_what_there_is(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_arms(text)
    assert str(caught.value).startswith(message)


def test_reference_is_none_or_the_first() -> None:
    assert reference(["vxlan", "none"]) == "none"
    assert reference(["vxlan", "gre"]) == "vxlan"


def test_comparisons_are_with_the_reference_with_stock_and_of_stt_with_all() -> None:
    assert comparisons(["none", "vxlan", "stock-vxlan", "kernel-vxlan", "stt"]) == [
        ("vxlan", "none"),
        ("stock-vxlan", "none"),
        ("kernel-vxlan", "none"),
        ("stt", "none"),
        ("vxlan", "stock-vxlan"),
        ("stt", "vxlan"),
        ("stt", "stock-vxlan"),
        ("stt", "kernel-vxlan"),
    ]
    assert comparisons(["none", "stock-none"]) == [("stock-none", "none"), ("none", "stock-none")]
    assert comparisons(["stt"]) == []


def test_topology_of_the_bed_is_valid() -> None:
    assert [guest.name for guest in topology().guests] == ["client", "server"]
