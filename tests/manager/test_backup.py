"""Backup, restore and upgrade, as docs/operating.md says they are done."""

import re
import shutil
import signal
import subprocess

import pytest

from nvo3.ovsdb.server import SCHEMA
from tests.manager.conftest import Manager
from tests.pipeline.switch import ovs_program

pytestmark = pytest.mark.ovsdb


def _contents(manager: Manager) -> list[object]:
    return [manager.client.get(f"/v1/{path}") for path in ("tenants", "networks", "ports", "settings")]


def _fill(manager: Manager) -> list[object]:
    manager.client.post("/v1/tenants", {"name": "red"})
    manager.client.post("/v1/tenants/red/networks", {"name": "web", "pools": ["10.0.0.0/24"]})
    manager.client.post("/v1/tenants/red/networks/web/ports", {"name": "vm1"})
    manager.client.patch("/v1/settings", {"encapsulation_order": ["vxlan"]})
    return _contents(manager)


def test_a_backup_of_a_running_controller_brings_all_back(manager: Manager) -> None:
    """Rows keep their uuids, by which guests are plugged in."""
    before = _fill(manager)
    remote = f"unix:{manager.directory}/run/nvo3.db.sock"
    backup = subprocess.run([str(ovs_program("ovsdb-client")), "backup", remote], stdout=subprocess.PIPE, check=True).stdout
    manager.client.post("/v1/tenants", {"name": "later"})
    assert manager.end(signal.SIGTERM) == 0
    shutil.rmtree(manager.directory / "state")
    (manager.directory / "state").mkdir()
    (manager.directory / "state" / "nvo3.db").write_bytes(backup)
    manager.start()
    assert _contents(manager) == before


def test_an_exported_document_brings_tenants_back(manager: Manager) -> None:
    before = _fill(manager)
    document = manager.client.get("/v1/export")
    assert manager.end(signal.SIGTERM) == 0
    shutil.rmtree(manager.directory / "state")
    manager.start()
    manager.client.post("/v1/apply", document)

    def configured(lists: list[object]) -> str:
        return re.sub(r"'uuid': '[^']*'", "", str(lists[:3]))

    assert configured(_contents(manager)) == configured(before)
    assert manager.client.get("/v1/export") == document


def test_a_file_of_an_older_version_is_converted_at_the_start(manager: Manager) -> None:
    before = _fill(manager)
    assert manager.end(signal.SIGTERM) == 0
    file, older = manager.directory / "state" / "nvo3.db", manager.directory / "older.ovsschema"
    older.write_text(re.sub(r'"version": "[\d.]+"', '"version": "0.0.1"', SCHEMA.read_text()))
    tool = str(ovs_program("ovsdb-tool"))
    subprocess.run([tool, "convert", str(file), str(older)], check=True)
    manager.start()
    assert _contents(manager) == before
    version = subprocess.run([tool, "db-version", str(file)], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    assert version != "0.0.1" and f'"version": "{version}"' in SCHEMA.read_text()
