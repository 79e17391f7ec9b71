"""The `ryu-manager` command: loads Ryu and os-ken apps and runs them on eventlet, with Ryu's options.

`nvo3_app.py` and the other apps of `ryu_apps/` are found from any directory.  `import ryu.…` resolves to `os_ken.…`, or to `nvo3.ryu.…` for
what os-ken left out, so an app written for Ryu runs unchanged.  Import this module before os_ken: it selects the hub.
"""

import importlib
import importlib.abc
import importlib.machinery
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import oslo_config.cfg

# os-ken's default hub, native threads, loses disconnected switches and leaks a thread for each.  It is chosen at the first import.
os.environ["OSKEN_HUB_TYPE"] = "eventlet"
warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")  # it is, and os-ken has nothing better yet

import nvo3  # noqa: E402
from nvo3.notify import notify, watchdog_s  # noqa: E402

_STOP_S = 1.5  # what apps have to close down, after which the process ends anyway
LOG = logging.getLogger("nvo3.manager")


def _actual(name: str) -> str:
    """Return the module that `ryu.x.y` or `os_ken.x.y` is: `nvo3.ryu.app.y` for those of Ryu's apps that os-ken left out."""
    package, _, module = name.rpartition(".")
    if package in ("ryu.app", "os_ken.app") and (Path(nvo3.__file__).parent / "ryu" / "app" / f"{module}.py").exists():
        return f"nvo3.ryu.app.{module}"
    return "os_ken" + name[3:] if name == "ryu" or name.startswith("ryu.") else name


class _RyuAlias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """`ryu.x.y` is `os_ken.x.y`, the same module object, but for what `_actual` says."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return None if _actual(fullname) == fullname else importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        name = _actual(spec.name)
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from None
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written the alias's spec into the module.
        if module.__spec__ is not None:
            module.__spec__ = self._specs.pop(module.__spec__.name)

    def __init__(self) -> None:
        self._specs: dict[str, Any] = {}


def install_alias() -> None:
    """Make `import ryu` work in this process."""
    from os_ken.base import app_manager

    app_manager.RyuApp = app_manager.OSKenApp
    if not any(isinstance(finder, _RyuAlias) for finder in sys.meta_path):
        sys.meta_path.insert(0, _RyuAlias())


def resolve_app(name: str) -> str:
    """Return what os-ken can load for an app as the user named it: a file, one of ours, or a module."""
    ours = Path(nvo3.__file__).parent.parent / "ryu_apps"
    path = Path(name)
    if path.suffix == ".py" and (ours / path.name).exists() and (not path.exists() or path.resolve().parent == ours):
        return f"ryu_apps.{path.stem}"
    if (ours / f"{name}.py").exists() and not path.exists():
        return f"ryu_apps.{name}"
    if path.suffix == ".py" and not path.exists():
        module = ".".join(path.with_suffix("").parts)  # `ryu/app/ofctl_rest.py`, as Ryu's users write
        if module.startswith("ryu.app.") and _actual(module).startswith("nvo3."):
            return _actual(module)
        raise SystemExit(f"ryu-manager: {name}: no such file, nor an app of nvo3")
    return _actual(name)


def _register_options(conf: Any, cfg: Any) -> None:
    conf.register_cli_opts(
        [
            cfg.ListOpt("app-lists", default=[], help="application module name to run"),
            cfg.MultiStrOpt("app", positional=True, default=[], help="application module or file name to run"),
            cfg.StrOpt("pid-file", default=None, help="pid file name"),
            cfg.StrOpt("user-flags", default=None, help="Additional flags file for user applications"),
        ]
    )


class Refused(Exception):
    """The configuration is wrong.  lines: what is, a line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


def register_all(conf: Any, cfg: Any) -> None:
    """Register the options of os-ken, of this command and of the overlay; harmless when called again."""
    # app_manager comes first, or os-ken's imports go round in a circle; the others register options, too late when an app imports them.
    from os_ken import log  # noqa: F401
    from os_ken.base import app_manager  # noqa: F401
    from os_ken.controller import controller, ofp_handler  # noqa: F401
    from os_ken.topology import switches  # noqa: F401

    from nvo3 import options

    if "app_lists" not in conf:
        _register_options(conf, cfg)
    options.register(conf)


def check_config(argv: Sequence[str]) -> list[str]:
    """Return what is wrong with the configuration that arguments of this command name, a line each.  Loads the apps, and runs nothing."""
    from os_ken import cfg
    from os_ken.base.app_manager import AppManager

    install_alias()
    try:
        AppManager.get_instance().load_apps(_parse(cfg.CONF, cfg, argv))
        return _problems(cfg.CONF, argv)
    except Refused as error:
        return list(error.lines)
    except (ModuleNotFoundError, SystemExit) as error:
        return [str(error)]


def example_config() -> str:
    """Return a configuration file with all options at their defaults."""
    from os_ken import cfg

    from nvo3 import config_file

    register_all(cfg.CONF, cfg)
    return config_file.example(cfg.CONF)


def _problems(conf: Any, argv: Sequence[str]) -> list[str]:
    """Return what is wrong, now that all apps have registered their options."""
    from nvo3 import config_file, options

    files = config_file.files_of(argv)
    return config_file.problems(conf, files) or [config_file.located(error, files) for error in options.check(conf)]


def _parse(conf: Any, cfg: Any, argv: Sequence[str]) -> list[str]:
    """Parse the options; those of our own apps are known before the apps are loaded."""
    from nvo3 import config_file

    register_all(conf, cfg)
    default = config_file.default_files()
    if lines := config_file.problems(conf, config_file.files_of(argv), unknown=False):
        raise Refused(lines)
    arguments = {
        "args": list(argv),
        "project": "ryu",
        "prog": "ryu-manager",
        "version": f"nvo3 {nvo3.__version__}",
        "usage": "%(prog)s [options] [app ...]",
    }
    try:
        conf(**arguments, default_config_files=default)
    except oslo_config.cfg.Error as error:
        raise Refused([" ".join(str(error).split())]) from None
    if conf.user_flags:
        from os_ken import utils

        utils.import_module(conf.user_flags)
        conf(**arguments, default_config_files=default)
    apps = [*conf.app_lists, *conf.app]
    return [resolve_app(app) for entry in apps for app in entry.split(",")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the manager until SIGTERM or Ctrl-C.  Return the exit status."""
    from os_ken import cfg
    from os_ken.lib import hub

    hub.patch(thread=False)
    install_alias()
    from os_ken import log

    log.early_init_log(logging.DEBUG)
    arguments = sys.argv[1:] if argv is None else argv
    try:
        apps = _parse(cfg.CONF, cfg, arguments)
    except Refused as error:
        return _refuse(error)
    _init_log(log, cfg.CONF.nvo3_log_format)
    if cfg.CONF.pid_file:
        Path(cfg.CONF.pid_file).write_text(f"{os.getpid()}\n")
    return _run(apps or ["os_ken.controller.ofp_handler"], arguments)


def _refuse(error: Refused) -> int:
    for line in error.lines:
        print(f"ryu-manager: {line}", file=sys.stderr)
    return 1


def _init_log(log: ModuleType, line_format: str) -> None:
    from nvo3 import logs

    log.init_log()
    logging.captureWarnings(True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logs.formatter(line_format))


def _run(apps: list[str], arguments: Sequence[str]) -> int:
    import eventlet
    from os_ken import cfg
    from os_ken.base.app_manager import AppManager

    from nvo3.model.errors import ConfigError
    from nvo3.openflow import connection
    from nvo3.ryu.app import wsgi

    stop = eventlet.event.Event()
    received: list[int] = []
    hangups: list[int] = []
    failures: list[str] = []

    def handle_signal(number: int, frame: FrameType | None) -> None:
        (hangups if number == signal.SIGHUP else received).append(number)

    def watch() -> None:
        # A signal handler runs inside whatever green thread is current, so it only leaves a note.
        while not received and not failures:
            eventlet.sleep(0.1)
            if hangups:
                hangups.clear()
                _hang_up(arguments)
        stop.send()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handle_signal)
    eventlet.spawn(watch)
    connection.install(failures.append)
    manager = AppManager.get_instance()
    try:
        manager.load_apps(apps)
        if lines := _problems(cfg.CONF, arguments):
            raise Refused(lines)
        contexts = manager.create_contexts()
        server = wsgi.bind(contexts.values(), cfg.CONF.wsapi_host, cfg.CONF.wsapi_port)
        manager.instantiate_apps(**contexts)
    except (SystemExit, KeyboardInterrupt):
        raise
    except Refused as error:
        return _refuse(error)
    except ModuleNotFoundError as error:
        LOG.error("ryu-manager: %s", error)
        return 1
    except ConfigError as error:
        LOG.error("%s", error)
        return 1
    if server is not None:
        server.start()
        host = cfg.CONF.wsapi_host
        LOG.info("HTTP at http://%s:%d", f"[{host}]" if ":" in host else host, server.port)
    notify("READY=1")
    _keep_watchdog()
    stop.wait()
    notify("STOPPING=1")
    if failures:
        LOG.error("%s", failures[0])
    else:
        LOG.info("stopping on signal %d", received[0])
    with eventlet.Timeout(_STOP_S, False):
        if server is not None:
            server.stop()
        manager.close()
    logging.shutdown()
    # Green threads that still wait for a peer must not keep the process.
    os._exit(1 if failures else 0)


def _keep_watchdog() -> None:
    """Give the service manager signs of life as long as green threads run."""
    import eventlet

    interval_s = watchdog_s()

    def live(seconds: float) -> None:
        while True:
            notify("WATCHDOG=1")
            eventlet.sleep(seconds)

    if interval_s is not None:
        eventlet.spawn(live, interval_s)


def _hang_up(arguments: Sequence[str]) -> None:
    """On SIGHUP: say what a restart would make of the configuration, which is read at the start only."""
    from os_ken import cfg

    lines = _problems(cfg.CONF, arguments)
    for line in lines:
        LOG.error("%s", line)
    if not lines:
        LOG.info("the configuration is in order; a restart takes it over, and traffic goes on meanwhile")


if __name__ == "__main__":
    sys.exit(main())
