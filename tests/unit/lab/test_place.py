"""A lab's place: names, subnets, ports and locks that no two labs share."""

import json
import os
import socket
import threading
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from nvo3.lab import place
from nvo3.lab.errors import LabError
from nvo3.lab.names import Names, check_instance, guest_interface, instance_of
from nvo3.model.errors import ConfigError


def test_instance_of_checkout_is_stable_and_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (tmp_path / "link").symlink_to(one)
    assert instance_of(one) == instance_of(tmp_path / "link") == check_instance(instance_of(one))
    assert instance_of(one) != instance_of(other)


@pytest.mark.parametrize("name", ["", "a-b", "A", "elevenchars", "a/b", ".."])
def test_check_instance_refuses_what_does_not_fit_into_names(name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 10 of a-z 0-9"):
        check_instance(name)


@pytest.mark.parametrize("guest", ["r1", "a.b", "a" * 13, "a" * 14, "x" * 63])
def test_guest_interface_is_an_interface_name(guest: str) -> None:
    name = guest_interface(guest)
    assert name == guest_interface(guest)
    assert 1 <= len(name) <= 15 and "." not in name


def test_guest_interface_of_long_names_differ() -> None:
    assert guest_interface("a" * 20) != guest_interface("a" * 21)


def test_names_of_one_instance_are_not_a_prefix_of_anothers() -> None:
    assert not Names("ab").netns("hv1").startswith(Names("a").prefix)


def test_free_subnet_avoids_what_is_taken() -> None:
    first = place.free_subnet([])
    second = place.free_subnet([first])
    assert first.subnet_of(place.MANAGEMENT_SPACE) and first.prefixlen == 24
    assert not first.overlaps(second)


def test_free_subnet_in_a_full_space_says_so() -> None:
    with pytest.raises(LabError, match=r"no free /24 in 100\.64\.0\.0/10"):
        place.free_subnet([IPv4Network("100.64.0.0/10")])


def test_chosen_avoids_other_labs_and_busy_ports(tmp_path: Path) -> None:
    with place.chosen(tmp_path) as first:
        (tmp_path / "one").mkdir()
        (tmp_path / "one/lab.json").write_text(json.dumps({"place": {name: getattr(first, name) for name in first.__slots__}}))
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with place.chosen(tmp_path) as second:
            assert second.subnet != first.subnet
            ports = [first.api_port, first.openflow_port, second.api_port, second.openflow_port, busy.getsockname()[1]]
            assert len(set(ports)) == 5


def test_locked_waits_for_the_other_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.lock"
    holding, told, order = threading.Event(), threading.Event(), []

    def other() -> None:
        with place.locked(path, wait_s=5, waiting=told.set):
            order.append("second")

    with place.locked(path, wait_s=1):
        thread = threading.Thread(target=other)
        thread.start()
        assert told.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert not holding.is_set() and not path.parent.exists()  # nothing stays


def test_locked_gives_up_in_time_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with (
        place.locked(path, wait_s=1),
        pytest.raises(LabError, match=f"more than 0.05 s .it holds {path}"),
        place.locked(path, wait_s=0.05),
    ):
        pass


def test_locked_by_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    child = os.fork()
    if child == 0:
        held = place.locked(path, wait_s=1)
        held.__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert path.exists()
    with place.locked(path, wait_s=1):
        pass
