"""What all tests share: which of them this machine can run.

A test that cannot run is skipped with the reason, which pytest shows at the end (`-ra`).
"""

import os
import shutil
from pathlib import Path

import pytest


def _ovs_binary(name: str) -> str | None:
    """Return the path of an Open vSwitch program: from $NVO3_OVS, which the launcher sets, else from PATH."""
    prefix = os.environ.get("NVO3_OVS")
    path = f"{prefix}/bin:{prefix}/sbin" if prefix else None
    return (path and shutil.which(name, path=path)) or shutil.which(name)


def _lacking_for_ovsdb() -> str:
    return "" if _ovs_binary("ovsdb-server") else "no ovsdb-server: run by 'bin/nvo3 test' or set NVO3_OVS"


def _lacking_for_netns() -> str:
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    return "" if _ovs_binary("ovs-vswitchd") else "no ovs-vswitchd: run by 'bin/nvo3 test' or set NVO3_OVS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = {"ovsdb": _lacking_for_ovsdb(), "netns": _lacking_for_netns()}
    for item in items:
        for marker, reason in lacking.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="also what takes minutes: as many bytes as the acceptance of STT asks for, and comparisons of speed",
    )
