"""docs/api.md: its commands run as they stand there, and answer what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.api.controller import FakeController

pytestmark = pytest.mark.ovsdb

_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
_END = "\x1e"


def _steps() -> list[tuple[str, str]]:
    """Return the commands of the document, and what it says that they print, with … for anything."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", _DOCUMENT.read_text(), re.DOTALL | re.MULTILINE):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = step.partition("\n")
            found.append((command, printed))
    return found


def test_the_walk_is_as_it_says(controller: FakeController, http: httpx.Client, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl: run by 'bin/nvo3 test', which installs it")
    steps = _steps()
    assert len(steps) > 20 and "http://127.0.0.1:8080/v1" in steps[0][0]
    script = "\n".join(f"{command}\nprintf '{_END}'" for command, _ in steps).replace("http://127.0.0.1:8080", controller.url)
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    seen = done.stdout.split(_END)[:-1]
    for (command, wanted), got in zip(steps, seen, strict=True):
        pattern = ".*".join(map(re.escape, wanted.strip().split("…")))
        assert re.fullmatch(pattern, got.replace("\r", "").strip(), re.DOTALL), f"{command}\nprints {got}not {wanted}"
    assert http.get("/v1/tenants").json() == {"items": []}
    assert [item["name"] for item in http.get("/v1/hypervisors").json()["items"]] == ["hv1"]


def test_it_names_every_status_of_the_description(http: httpx.Client) -> None:
    table = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", _DOCUMENT.read_text(), re.MULTILINE) for number in row.split(",")}
    paths = http.get("/openapi.json").json()["paths"]
    statuses = {int(status) for path in paths.values() for operation in path.values() for status in operation["responses"]}
    assert {status for status in statuses if status >= 400} <= table
