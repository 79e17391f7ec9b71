"""Fixtures of the preparation: each test has a cache of its own."""

from pathlib import Path

import pytest

from tests.unit.prepare.support import Display, write_tarball, write_tree


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that the code under test uses."""
    path = tmp_path / "cache"
    monkeypatch.setenv("NVO3_CACHE", str(path))
    monkeypatch.delenv("OVS_SOURCE", raising=False)
    return path


@pytest.fixture
def progress(tmp_path: Path) -> Display:
    directory = tmp_path / "display"
    directory.mkdir()
    return Display(directory)


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    """The small source tree, packed as a release is."""
    return write_tarball(tmp_path / "openvswitch-3.5.0.tar.gz", write_tree(tmp_path / "openvswitch-3.5.0"))
