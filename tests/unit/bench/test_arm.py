"""Arms, as `--arms` names them, and the order in which they run."""

import pytest

from nvo3.bench import tcp
from nvo3.bench.arm import ARMS, Arm, parse_arms, reference
from nvo3.bench.bed import BEDS, topology
from nvo3.bench.measure import Sample
from nvo3.model.errors import ConfigError
from nvo3.model.physical import ENCAPSULATIONS


def test_every_encapsulation_and_none_is_an_arm() -> None:
    assert set(ARMS) >= {"none", *ENCAPSULATIONS}
    assert all(arm.bed in BEDS for arm in ARMS.values())


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


def test_topology_of_the_bed_is_valid() -> None:
    assert [guest.name for guest in topology().guests] == ["client", "server"]


def test_run_takes_turns_and_prepares_before_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    class Bed:
        description = {"ovs": "0"}

        def __enter__(self) -> "Bed":
            log.append("up")
            return self

        def __exit__(self, *_: object) -> None:
            log.append("down")

    def measured(bed: object, arm: str, number: int, seconds: int) -> Sample:
        log.append(f"{arm} {number}")
        return Sample(arm, number, 1.0, 0, 1, 0.0, seconds)

    monkeypatch.setitem(BEDS, "fake", lambda wire, say: Bed())
    monkeypatch.setattr(tcp.measure, "tcp", measured)
    arms = [Arm(name, "", "fake", lambda bed, name=name: log.append(f"prepare {name}")) for name in ("a", "b")]
    run = tcp.run(arms, "tso", 2, 1, lambda text: None)
    one_round = ["prepare a", "a {}", "prepare b", "b {}"]
    assert log == ["up", *(line.format(number) for number in (1, 2) for line in one_round), "down"]
    assert [sample.round for sample in run.of("b")] == [1, 2]
