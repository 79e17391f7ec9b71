"""`import ryu.…` in a process of its own, since it changes how modules are found."""

import subprocess
import sys

_SCRIPT = """
import importlib
from nvo3 import manager
manager.install_alias()
for name in ("base.app_manager", "lib.hub", "ofproto.ofproto_v1_3", "app.wsgi", "app.ofctl_rest", "app.simple_switch_13", "app.ofctl.api"):
    assert importlib.import_module(f"ryu.{name}") is importlib.import_module(f"os_ken.{name}"), name
from ryu.app import conf_switch_key, simple_switch_13
from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route, websocket
from ryu.base import app_manager
assert issubclass(simple_switch_13.SimpleSwitch13, app_manager.RyuApp) and conf_switch_key.OVSDB_ADDR == "ovsdb_addr"
for name in ("ryu.app.nothing", "os_ken.app.nothing", "ryu.nothing"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert str(error) == f"No module named {name!r}", error
    else:
        raise AssertionError(name)
"""


def test_ryu_s_names_find_os_ken_and_what_it_left_out() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _SCRIPT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
