"""Arms, as `--arms` names them, and the order in which they run."""

import pytest

from nvo3.bench.arm import ARMS, comparisons, parse_arms, reference
from nvo3.bench.overlay import topology
from nvo3.bench.run import BEDS
from nvo3.model.errors import ConfigError
from nvo3.model.logical import CVSW, NONE
from nvo3.model.physical import ENCAPSULATIONS


def test_every_encapsulation_and_none_is_an_arm_and_what_no_release_has_none_of_stock() -> None:
    assert set(ARMS) == {
        *("none", *ENCAPSULATIONS),
        *("sclp-geneve", "sclp-udp-geneve"),
        *(f"cvsw-{name}" for name in ("none", *ENCAPSULATIONS)),
        *(f"stock-{name}" for name in ("none", "geneve", "vxlan", "gre")),
        *("kernel-bridge", "kernel-vxlan"),
    }
    assert {arm.bed for arm in ARMS.values()} == set(BEDS)


class FakeBed:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def set_encapsulation(self, encapsulation: str) -> None:
        self.log.append(encapsulation)

    def set_sclp_payload(self, payload: str) -> None:
        self.log.append(f"with {payload}")


@pytest.mark.parametrize(
    ("arm", "done"),
    [
        ("vxlan", ["vxlan"]),
        ("sclp", ["with vxlan", "sclp"]),
        ("sclp-geneve", ["with geneve", "sclp"]),
        ("sclp-udp-geneve", ["with geneve", "sclp-udp"]),
        ("cvsw-none", ["none"]),
        ("cvsw-stt", ["stt"]),
        ("cvsw-sclp", ["with vxlan", "sclp"]),
        ("kernel-vxlan", []),
    ],
)
def test_an_arm_prepares_what_it_is(arm: str, done: list[str]) -> None:
    bed = FakeBed()
    ARMS[arm].prepare(bed)  # type: ignore[arg-type]
    assert bed.log == done


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


def test_comparisons_of_vnics_are_with_one_another_with_the_switch_and_with_stock() -> None:
    found = comparisons(["none", "stt", "stock-vxlan", "cvsw-none", "cvsw-stt", "cvsw-vxlan"])
    assert [pair for pair in found if pair[0].startswith("cvsw") and pair[1] != "none"] == [
        ("cvsw-stt", "stock-vxlan"),
        ("cvsw-stt", "cvsw-none"),
        ("cvsw-stt", "cvsw-vxlan"),
        ("cvsw-stt", "stt"),
    ]
    assert ("cvsw-none", "none") in found


def test_comparisons_of_sclp_are_with_what_it_carries_and_over_udp_with_stt() -> None:
    found = comparisons(["none", "stt", "sclp-udp", "sclp", "sclp-geneve", "geneve", "vxlan", "stock-vxlan"])
    assert [pair for pair in found if pair[0].startswith("sclp") and pair[1] != "none"] == [
        ("sclp-udp", "stt"),
        ("sclp-udp", "vxlan"),
        ("sclp-udp", "stock-vxlan"),
        ("sclp", "vxlan"),
        ("sclp", "stock-vxlan"),
        ("sclp-geneve", "geneve"),
    ]


def test_topology_of_the_bed_is_valid() -> None:
    assert [(guest.name, guest.offload) for guest in topology().guests] == [("client", NONE), ("server", NONE)]
    assert {guest.offload for guest in topology(CVSW).guests} == {CVSW}
