"""Labs for tests of real traffic.

`lab`: the default topology, up for the whole session; a test puts back what it changes.  `underlay_lab`: the same, of
`underlay.py`'s topology and with a wire that carries what a real one does.  `free_lab`: a lab that is not up, for one
test.  Instances are this checkout's own, and locked, so that test runs beside one another do not meet; what a killed
run left, the next one clears.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nvo3.lab import Lab, place
from nvo3.lab.errors import LabError
from nvo3.lab.names import RUN_ROOT, instance_of
from nvo3.lab.topology import DEFAULT, load
from tests.netns import underlay

_INSTANCES = 10
_CHECKOUT = Path(__file__).resolve().parents[2]


def _say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr)


@contextmanager
def unused_lab() -> Iterator[Lab]:
    """Give a lab that nobody else uses; it is down before and after."""
    for number in range(_INSTANCES):
        instance = f"t{instance_of(_CHECKOUT)}{number}"
        with ExitStack() as stack:
            try:
                stack.enter_context(place.locked(RUN_ROOT / f"{instance}.test.lock", wait_s=0))
            except LabError:
                continue
            one = Lab(instance, say=_say)
            one.down()
            stack.callback(one.down)
            yield one
            return
    raise LabError(f"all {_INSTANCES} test labs of this checkout are in use")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with unused_lab() as one:
        one.up(load(DEFAULT))
        yield one


@pytest.fixture(scope="session")
def underlay_lab() -> Iterator[Lab]:
    with unused_lab() as one:
        one.up(underlay.topology(), "gso")
        underlay.finish_checksums(one)
        yield one


@pytest.fixture
def free_lab() -> Iterator[Lab]:
    with unused_lab() as one:
        yield one
