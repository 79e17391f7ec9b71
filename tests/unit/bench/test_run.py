"""A run: the order of its samples, what is prepared before them, and what they cost."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from nvo3.bench import reassembly, tcp
from nvo3.bench import run as runs
from nvo3.bench.arm import Arm
from nvo3.bench.bed import Bed, Options
from nvo3.bench.benchmark import Case, Reading
from nvo3.lab.errors import LabError

OPTIONS = Options("gso")
TCP = tcp.benchmark()


class FakeBed:
    """A bed that logs what is done to it; its sending switch uses 1 s of CPU time a sample, the receiving one 2 s."""

    server_address = "192.0.2.1"
    description = {"ovs": "0"}

    def __init__(self) -> None:
        self.log: list[str] = []
        self.n_samples = 0

    def popen(self, guest: str, argv: object, **options: object) -> None:
        raise AssertionError

    def cpu_seconds(self, guest: str) -> float:
        return self.n_samples * {"client": 1.0, "server": 2.0}[guest]

    def set_encapsulation(self, encapsulation: str) -> None:
        self.log.append(f"set {encapsulation}")

    def set_sclp_payload(self, payload: str) -> None:
        raise AssertionError

    def set_tunnel_options(self, encapsulation: str, options: Mapping[str, str]) -> None:
        self.log.append(" ".join([encapsulation, *(f"{key}={value}" for key, value in options.items())]))

    def measure(self, bed: Bed, case: Case, seconds: int) -> Reading:
        assert bed is self
        self.log.append(f"measure {case.label}".strip())
        self.n_samples += 1
        return Reading((1.0, 0), 1e9, seconds)


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> FakeBed:
    one = FakeBed()

    @contextmanager
    def made(options: Options, say: object) -> Iterator[FakeBed]:
        assert options is OPTIONS
        one.log.append("up")
        try:
            yield one
        finally:
            one.log.append("down")

    @contextmanager
    def alone(say: object) -> Iterator[None]:
        yield

    monkeypatch.setitem(runs.BEDS, "fake", made)
    monkeypatch.setattr(runs, "alone", alone)
    return one


ARMS = (Arm("a", "", "fake", "vxlan"), Arm("b", "", "fake", ""))


def test_run_takes_turns_and_prepares_what_has_an_encapsulation(bed: FakeBed) -> None:
    cases = (Case("small", {"size_bytes": 1}), Case("large", {"size_bytes": 2}))
    done = runs.run(replace(TCP, measure=bed.measure, cases=cases), ARMS, OPTIONS, 2, 1, lambda text: None)
    one_round = ["set vxlan", "measure small", "measure large", "measure small", "measure large"]
    assert bed.log == ["up", *one_round, *one_round, "down"]
    assert [(sample.arm, sample.round) for sample in done.of("b", cases[1])] == [("b", 1), ("b", 2)]
    assert (done.wire, done.rounds, done.seconds, done.conditions["ovs"]) == ("gso", 2, 1, "0")


def test_run_of_reassembly_sets_the_case_s_options_before_each_sample(bed: FakeBed) -> None:
    done = runs.run(replace(reassembly.benchmark(), measure=bed.measure), ARMS[:1], OPTIONS, 1, 1, lambda text: None)
    assert bed.log == [
        *("up", "set vxlan"),
        *("sclp offload=false reassembly=both", "measure none"),
        *("sclp offload=true reassembly=gro", "measure gro"),
        *("sclp offload=true reassembly=nve", "measure nve"),
        *("sclp offload=true reassembly=both", "measure both"),
        "down",
    ]
    assert [sample.case.fields["reassembly"] for sample in done.samples] == ["none", "gro", "nve", "both"]


def test_run_accounts_cpu_time_to_each_side_and_sample(bed: FakeBed) -> None:
    done = runs.run(replace(TCP, measure=bed.measure), ARMS, OPTIONS, 2, 1, lambda text: None)
    assert [(sample.cost.sender_s, sample.cost.receiver_s, sample.cost.vswitchd_s) for sample in done.samples] == [(1.0, 2.0, 3.0)] * 4
    assert all(sample.cost.machine_s >= sample.cost.softirq_s >= 0 for sample in done.samples)


def test_run_that_fails_says_where_and_takes_the_bed_down(bed: FakeBed) -> None:
    def fail(bed: Bed, case: Case, seconds: int) -> Reading:
        raise LabError("no data")

    with pytest.raises(LabError, match="^round 1 of 1: a: no data$"):
        runs.run(replace(TCP, measure=fail), ARMS, OPTIONS, 1, 1, lambda text: None)
    assert bed.log == ["up", "set vxlan", "down"]
