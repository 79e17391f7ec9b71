"""A controller with a fake control plane, and the nvo3 command on it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from nvo3.cli.main import main
from tests.api.controller import FakeController, running


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str


Nvo3 = Callable[..., Result]


@pytest.fixture(scope="session")
def shared_controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeController]:
    with running(tmp_path_factory.mktemp("cli")) as controller:
        yield controller


@pytest.fixture
def controller(shared_controller: FakeController) -> FakeController:
    shared_controller.clear()
    return shared_controller


@pytest.fixture
def offline(capsys: pytest.CaptureFixture[str]) -> Nvo3:
    """Return what runs the command with arguments as one would type them."""

    def run(arguments: str) -> Result:
        capsys.readouterr()
        status = main(arguments.split())
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def nvo3(offline: Nvo3, controller: FakeController, monkeypatch: pytest.MonkeyPatch) -> Nvo3:
    """The same, on the controller."""
    monkeypatch.setenv("NVO3_API", controller.url)
    return offline


@pytest.fixture
def web(nvo3: Nvo3) -> Nvo3:
    """The same, with a tenant red, its network web and the port a1 there."""
    nvo3("tenant create red")
    nvo3("network create red/web --pool 10.0.0.0/24 --pool fd00::/64")
    nvo3("port create red/web/a1 --mac 02:00:00:00:00:01")
    return nvo3
