"""Fixtures: a switch, and a small overlay on it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.switch import Switch, ovs_program
from tests.pipeline.world import World


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """A running switch without flows."""
    if ovs_program("ovs-vswitchd") is None:
        pytest.skip("ovs-vswitchd is neither in $NVO3_OVS nor in PATH")
    directory = Path(tempfile.mkdtemp(prefix="nvo3-", dir="/tmp"))
    switch = Switch(directory)
    try:
        switch.start()
        switch.connect()
        yield switch
    finally:
        switch.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def world(switch: Switch) -> World:
    """Two tenants with the same addresses on a hypervisor, and a neighbour hypervisor; the flows are installed."""
    world = World()
    for name, ofport in world.ofports.items():
        switch.add_port(name, ofport)
    switch.install(world.flows())
    return world
