"""The private ovsdb-server: life, death and successors."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nvo3.model.errors import ConfigError, Unavailable
from nvo3.model.logical import Settings
from nvo3.ovsdb import command, server
from nvo3.ovsdb.northbound import Northbound

pytestmark = pytest.mark.ovsdb

_OWNER = """
import sys, pathlib
from nvo3.ovsdb import server
running = server.start(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
print(running.pid, flush=True)
sys.stdin.read()
"""


def _binary(name: str) -> str:
    return str(Path(server._find_tools().tool).with_name(name))


def _contents(remote: str) -> str:
    command = [_binary("ovsdb-client"), "dump", remote, "nvo3", "Tenant", "name"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()


def _insert(remote: str, name: str) -> None:
    operation = {"op": "insert", "table": "Tenant", "row": {"name": name}}
    command = [_binary("ovsdb-client"), "transact", remote, json.dumps(["nvo3", operation])]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_start_keeps_contents_over_a_restart(tmp_path: Path) -> None:
    first = server.start(tmp_path / "s", tmp_path / "r")
    _insert(first.remote, "red")
    first.stop()
    second = server.start(tmp_path / "s", tmp_path / "r")
    try:
        assert "red" in _contents(second.remote)
    finally:
        second.stop()
    assert not _alive(second.pid)
    assert not (tmp_path / "r" / "nvo3.db.sock").exists()


def test_start_with_long_directory(tmp_path: Path) -> None:
    """A Unix socket's path may have 107 bytes; directories may have more."""
    running = server.start(tmp_path / "s", tmp_path / ("d" * 120))
    try:
        assert "red" not in _contents(running.remote)
    finally:
        running.stop()


def test_start_refuses_directory_in_use(database: server.Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"in use by another controller .*{database.pid}"):
        server.start(tmp_path / "state", tmp_path / "other")
    with pytest.raises(ConfigError, match="run directory: .* is in use by another controller"):
        server.start(tmp_path / "other", tmp_path / "run")
    assert _alive(database.pid)
    assert "red" not in _contents(database.remote)


def test_start_in_one_directory(tmp_path: Path) -> None:
    running = server.start(tmp_path, tmp_path)
    try:
        assert "red" not in _contents(running.remote)
    finally:
        running.stop()


@pytest.mark.parametrize("with_setpriv", [True, False])
def test_start_after_owner_was_killed(
    tmp_path: Path, with_setpriv: bool, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """The orphan ends by itself; where setpriv is missing its successor ends it."""
    script = _OWNER if with_setpriv else _OWNER.replace("running =", "server._die_with_parent = lambda: []\nrunning =")
    command = [sys.executable, "-c", script, str(tmp_path / "s"), str(tmp_path / "r")]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    orphan = int(owner.stdout.readline())
    _insert(f"unix:{tmp_path / 'r' / 'nvo3.db.sock'}", "red")
    owner.kill()
    owner.wait()
    if not with_setpriv:
        assert _alive(orphan)
    started = time.monotonic()
    successor = server.start(tmp_path / "s", tmp_path / "elsewhere")
    try:
        assert time.monotonic() - started < 3
        assert "red" in _contents(successor.remote)
        eventually(lambda: not _alive(orphan))
    finally:
        successor.stop()


def test_stale_pidfile_of_another_process_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "nvo3.db.pid").write_text(f"{os.getpid()}\n")
    running = server.start(tmp_path / "s", tmp_path / "r")
    running.stop()


def test_server_that_dies_is_started_again(database: server.Server, eventually: Callable[..., None]) -> None:
    _insert(database.remote, "red")
    first = database.pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: database.pid != first)
    assert "red" in _contents(database.remote)


def test_stop_twice(tmp_path: Path) -> None:
    running = server.start(tmp_path / "s", tmp_path / "r")
    running.stop()
    running.stop()


def _error(state_dir: Path, run_dir: Path) -> str:
    with pytest.raises((ConfigError, Unavailable)) as caught:
        server.start(state_dir, run_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot make" in _error(tmp_path / "file" / "s", tmp_path / "r")
    for name, content in (("text", "hello\n"), ("empty", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nvo3.db").write_text(content)
        assert "nvo3.db" in _error(tmp_path / name, tmp_path / "r")


def test_error_for_another_schema(tmp_path: Path) -> None:
    schema = tmp_path / "other.ovsschema"
    schema.write_text(json.dumps({"name": "other", "version": "1.0.0", "tables": {}}))
    database = tmp_path / "nvo3.db"
    subprocess.run([_binary("ovsdb-tool"), "create", str(database), str(schema)], check=True)
    assert "'other', not 'nvo3'" in _error(tmp_path, tmp_path / "r")


def _with_version(tmp_path: Path, version: str, drop: str = "") -> None:
    content = json.loads(server.SCHEMA.read_text())
    content["version"] = version
    if drop:
        del content["tables"][drop]
    schema = tmp_path / "changed.ovsschema"
    schema.write_text(json.dumps(content))
    (tmp_path / "s").mkdir()
    subprocess.run([_binary("ovsdb-tool"), "create", str(tmp_path / "s" / "nvo3.db"), str(schema)], check=True)


def test_older_schema_is_converted(tmp_path: Path) -> None:
    _with_version(tmp_path, "0.9.0", drop="Hypervisor")
    running = server.start(tmp_path / "s", tmp_path / "r")
    try:
        command = [_binary("ovsdb-client"), "list-tables", running.remote, "nvo3"]
        assert b"Hypervisor" in subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    finally:
        running.stop()


def test_settings_of_a_database_without_payload_are_kept(tmp_path: Path) -> None:
    schema = json.loads(server.SCHEMA.read_text())
    schema["version"] = "1.1.0"
    del schema["tables"]["Settings"]["columns"]["sclp_payload"]
    schema["tables"]["Network"]["columns"]["encapsulation"]["type"]["key"]["enum"][1] = ["auto", "none", "stt", "geneve", "vxlan", "gre"]
    (tmp_path / "s").mkdir()
    (tmp_path / "old.ovsschema").write_text(json.dumps(schema))
    tool, database = _binary("ovsdb-tool"), str(tmp_path / "s" / "nvo3.db")
    subprocess.run([tool, "create", database, str(tmp_path / "old.ovsschema")], check=True)
    insert = {"op": "insert", "table": "Settings", "row": {"encapsulation_order": "gre,vxlan"}}
    subprocess.run([tool, "transact", database, json.dumps(["nvo3", insert])], stdout=subprocess.DEVNULL, check=True)
    running = server.start(tmp_path / "s", tmp_path / "r")
    northbound = Northbound(running.remote)
    try:
        northbound.start()
        northbound.wait_up()
        assert northbound.view.settings == Settings(("gre", "vxlan"), "vxlan")
        assert command.set_settings(northbound, sclp_payload="geneve") == northbound.view.settings == Settings(("gre", "vxlan"), "geneve")
    finally:
        northbound.stop()
        running.stop()


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    _with_version(tmp_path, "99.0.0")
    assert "schema 99.0.0, newer than" in _error(tmp_path / "s", tmp_path / "r")


def test_missing_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.shutil, "which", lambda name, path=None: None)
    monkeypatch.setenv("NVO3_OVS", "/nowhere")
    assert "ovsdb-server not found in $NVO3_OVS (/nowhere) or PATH" in _error(tmp_path / "s", tmp_path / "r")
