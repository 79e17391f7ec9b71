"""The configuration file: what `nvo3 check-config` says of one, and what the controller does with it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manager.conftest import CHECKOUT, Manager
from tests.pipeline.switch import wait_for

EXAMPLE = CHECKOUT / "etc" / "nvo3.conf"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}


def run(directory: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


def check_config(file: Path, *more: str) -> tuple[int, list[str]]:
    """Return the exit status, and the errors without the file's directory."""
    done = run(file.parent, "nvo3.cli", "check-config", str(file), *more)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.replace(f"{file.parent}/", "").splitlines()


def test_each_error_has_file_line_value_and_limit(tmp_path: Path) -> None:
    file = tmp_path / "nvo3.conf"
    lines = [
        "[DEFAULT]",
        "wsapi_port = 99999",
        "ofp_tcp_listen_port = lots",
        "verbose = perhaps",
        "echo_request_interval = 0",
        "wsapi_port = 1",
    ]
    file.write_text("\n".join(lines))
    assert check_config(file) == (
        1,
        [
            "nvo3.conf:2: wsapi_port: '99999' is not an integer within 1..65535",
            "nvo3.conf:3: ofp_tcp_listen_port: 'lots' is not an integer within 1..65535",
            "nvo3.conf:4: verbose: 'perhaps' is not true or false",
            "nvo3.conf:5: echo_request_interval: 0.0 is not within 1..3600",
            "nvo3.conf:6: wsapi_port: stands twice, first in line 2",
        ],
    )


def test_unknown_names_come_with_the_nearest_known_one(tmp_path: Path) -> None:
    file = tmp_path / "nvo3.conf"
    file.write_text("[DEFAULT]\nwsapi-port = 80\nnvo3_state_dri = /x\nxyzzy = 1\n[DEFALT]\nwsapi_port = 80\n")
    assert check_config(file) == (
        1,
        [
            "nvo3.conf:5: [DEFALT]: unknown section; did you mean [DEFAULT]?",
            "nvo3.conf:2: wsapi-port: unknown option; did you mean wsapi_port?",
            "nvo3.conf:3: nvo3_state_dri: unknown option; did you mean nvo3_state_dir?",
            "nvo3.conf:4: xyzzy: unknown option",
        ],
    )


def test_what_options_say_together_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "nvo3.conf"
    file.write_text(
        "[DEFAULT]\nctl_privkey = /nonexistent/key\nnvo3_db = tcp:[::1]:6641,udp:x\nnvo3_controller_target = tcp:192.0.2.1:70000\n"
    )
    status, errors = check_config(file)
    assert status == 1
    assert errors == [
        "nvo3.conf:4: nvo3_controller_target: port 70000 of tcp:192.0.2.1:70000 is not within 1..65535",
        "nvo3.conf:3: nvo3_db: 'udp:x' is not tcp:HOST:PORT or ssl:HOST:PORT or unix:/PATH",
        "nvo3.conf:2: ctl_privkey: /nonexistent/key: No such file or directory",
        "nvo3.conf:2: ctl_privkey: is set, but ctl_cert is not",
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"wsapi_port 80\n", "nvo3.conf:1: 'wsapi_port 80': neither NAME = VALUE nor [SECTION]"),
        (b"[DEFAULT]\n[open\n", "nvo3.conf:2: '[open': invalid section (must end with ])"),
        (b"wsapi_host = \xff\n", "nvo3.conf: not text in UTF-8"),
        (None, "nvo3.conf: No such file or directory"),
    ],
    ids=["no assignment", "open section", "bytes", "missing"],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None, error: str) -> None:
    file = tmp_path / "nvo3.conf"
    if content is not None:
        file.write_bytes(content)
    assert check_config(file) == (1, [error])


def test_options_of_a_user_s_app_may_be_in_it(tmp_path: Path) -> None:
    app = tmp_path / "mine.py"
    app.write_text("from ryu import cfg\ncfg.CONF.register_opts([cfg.IntOpt('depth', default=1)], 'mine')\n")
    file = tmp_path / "nvo3.conf"
    file.write_text(f"[DEFAULT]\napp_lists = {app}\n[mine]\ndepth = 3\n")
    assert check_config(file) == (0, [])
    file.write_text("[mine]\ndepth = deep\n")
    assert check_config(file) == (1, ["nvo3.conf:1: [mine]: unknown section"])
    assert check_config(file, "--app", str(app)) == (1, ["nvo3.conf:2: depth: 'deep' is not an integer"])


def test_the_example_has_every_option_at_its_default(tmp_path: Path) -> None:
    printed = run(tmp_path, "nvo3.cli", "check-config", "--example")
    assert printed.stdout == EXAMPLE.read_text(), "renew it: nvo3 check-config --example > etc/nvo3.conf"
    assert check_config(EXAMPLE)[0] == 0
    options = re.findall(r"^#(\w+) =", printed.stdout, re.MULTILINE)
    helped = run(tmp_path, "nvo3.manager", "--help").stdout
    flags = {flag.replace("-", "_") for flag in re.findall(r"^  (?:-\w(?: \w+)?, )?--([a-z][\w-]+)", helped, re.MULTILINE)}
    of_sections = {flag for flag in flags if flag.startswith(("test_switch_", "bgp_app_", "zapi_"))}  # of os-ken's own apps
    negations = {f"no{flag}" for flag in flags}
    others = {"help", "config_file", "config_dir", "version", "shell_completion", "config_source"}
    in_files_only = {"echo_request_interval", "maximum_unreplied_echo_requests", "socket_timeout"}
    assert sorted(options) == sorted(flags - of_sections - negations - others | in_files_only)
    # Said aloud, the defaults are accepted.
    file = tmp_path / "nvo3.conf"
    file.write_text(re.sub(r"^#(\w+ = .+)$", r"\1", printed.stdout, flags=re.MULTILINE))
    assert check_config(file) == (0, [])


def test_the_controller_does_not_start_on_what_is_wrong_and_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "nvo3.conf"
    for content in ("wsapi_port = 99999\n", "wsapi_prot = 80\n", "nvo3_db = nonsense\n"):
        file.write_text(f"[DEFAULT]\n{content}")
        checked = run(tmp_path, "nvo3.cli", "check-config", str(file)).stderr
        started = run(tmp_path, "nvo3.manager", "--config-file", str(file), "nvo3_app.py")
        assert started.returncode == 1 and checked.count("\n") == 1
        assert started.stderr.splitlines()[-1] == f"ryu-manager: {checked.strip()}"
        assert "Traceback" not in started.stderr


@pytest.mark.ovsdb
def test_sighup_only_says_what_a_restart_would_read(manager: Manager) -> None:
    file = manager.directory / "nvo3.conf"
    manager.stop()
    file.write_text("[DEFAULT]\nverbose = false\n")
    manager.apps = ["--config-file", str(file), "nvo3_app.py"]
    manager.start()
    assert manager.process is not None
    manager.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the configuration is in order; a restart takes it over" in manager.log.read_text())
    file.write_text("[DEFAULT]\nverbos = true\n")
    manager.process.send_signal(signal.SIGHUP)
    wait_for(lambda: f"{file}:2: verbos: unknown option; did you mean verbose?" in manager.log.read_text())
    assert manager.client.get("/v1/tenants") == {"items": []}
    assert manager.end(signal.SIGTERM) == 0
