"""Requests that Schemathesis makes of `/openapi.json`, valid and not: no answer is one that the description does not have."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.api.controller import FakeController

pytestmark = pytest.mark.ovsdb

_CHECKOUT = Path(__file__).resolve().parents[2]
_SEED = "1"
_EXAMPLES = "10"  # of each operation
_CONFIG = Path(__file__).with_name("schemathesis.toml")
_OPTIONS = ["--exclude-path", "/v1/events/stream", "--seed", _SEED, "--max-examples", _EXAMPLES]


def test_every_answer_is_as_described(http: httpx.Client, web: str, controller: FakeController, tmp_path: Path) -> None:
    http.put("/v1/hypervisors/hv1", json={"remote": "tcp:192.0.2.1:6640"}).raise_for_status()
    http.put(f"{web}/ports/up1", json={}).raise_for_status()
    before = controller.n_tracebacks()
    environment = os.environ | {"PYTHONPATH": str(_CHECKOUT), "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIG), "run", f"{controller.url}/openapi.json", *_OPTIONS]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert controller.n_tracebacks() == before
