"""A private ovsdb-server for each test, and clients of it."""

import json
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")

import eventlet  # noqa: E402

from nvo3.model.event import NorthboundChanged  # noqa: E402
from nvo3.ovsdb import server  # noqa: E402
from nvo3.ovsdb.northbound import Northbound  # noqa: E402


class Watched(Northbound):
    """Keeps what it told the application."""

    def __init__(self, remotes: str, timeout_s: float = 5.0) -> None:
        self.events: list[NorthboundChanged] = []
        super().__init__(remotes, self.events.append, timeout_s=timeout_s)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[server.Server]:
    running = server.start(tmp_path / "state", tmp_path / "run")
    yield running
    running.stop()


@pytest.fixture
def connect(database: server.Server) -> Iterator[Callable[..., Watched]]:
    """Return what makes a further Northbound on the database."""
    made: list[Watched] = []

    def connect(timeout_s: float = 5.0) -> Watched:
        northbound = Watched(database.remote, timeout_s)
        made.append(northbound)
        northbound.start()
        northbound.wait_up()
        return northbound

    yield connect
    for northbound in made:
        northbound.stop()


@pytest.fixture
def northbound(connect: Callable[..., Watched]) -> Watched:
    return connect()


@pytest.fixture
def foreign(database: server.Server) -> Callable[..., list[Any]]:
    """Return what runs a transaction as another client, in the notation of RFC 7047; it returns the results."""

    def transact(*operations: dict[str, Any]) -> list[Any]:
        command = [binary("ovsdb-client"), "transact", database.remote, json.dumps(["nvo3", *operations])]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        results = list(json.loads(done.stdout))
        assert not any(result and "error" in result for result in results), results
        return results

    return transact


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return what waits for a condition while greenthreads run."""

    def eventually(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the condition does not come true"
            eventlet.sleep(0.01)

    return eventually


def binary(name: str) -> str:
    """Return the path of an Open vSwitch program."""
    prefix = os.environ.get("NVO3_OVS", "")
    found = shutil.which(name, path=f"{prefix}/sbin:{prefix}/bin:{os.environ['PATH']}")
    assert found is not None
    return found
