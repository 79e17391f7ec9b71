"""Options of the overlay's apps, in Ryu's manner (oslo.config): on the command line and in --config-file.

What os-ken registers beside them gets its limits and descriptions here too.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nvo3.logs import FORMATS
from nvo3.model.check import check_remote
from nvo3.model.errors import ConfigError

STATE_DIR = "/var/lib/nvo3"
RUN_DIR = "/run/nvo3"

_PORT = (1, 65535)
LIMITS: Mapping[str, tuple[float | None, float | None]] = {
    "wsapi_port": _PORT,
    "ofp_tcp_listen_port": _PORT,
    "ofp_ssl_listen_port": _PORT,
    "ofp_switch_connect_interval": (1, 3600),
    "echo_request_interval": (1, 3600),
    "socket_timeout": (1, 3600),
    "default_log_level": (0, 50),
}
_READABLE = ("ctl_privkey", "ctl_cert", "ca_certs", "log_config_file")
_TLS = ("ctl_privkey", "ctl_cert")

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "The REST API": ("wsapi_",),
    "The NB database": ("nvo3_db", "nvo3_state_dir", "nvo3_run_dir"),
    "OpenFlow": ("ofp_", "nvo3_controller_target", "echo_", "maximum_unreplied_", "socket_timeout"),
    "TLS of OpenFlow and OVSDB": ("ctl_", "ca_certs", "ciphers"),
    "Metrics": ("nvo3_metrics",),
    "The log": ("verbose", "log_", "default_log_level", "use_std", "use_sys", "nvo3_log"),
    "Ryu": ("",),
}
_NOT_IN_FILE = ("config_file", "config_dir", "config_source", "shell_completion")

# Where os-ken's own words do not suffice.
_DESCRIPTIONS: Mapping[str, str] = {
    "app_lists": "Apps to run beside those of the command line: files or modules.",
    "ca_certs": "File with the certificates of those that sign the switches'.",
    "ciphers": "Ciphers that TLS may use, as OpenSSL names them.",
    "ctl_cert": "File with the controller's certificate; with ctl_privkey, OpenFlow is TLS.",
    "ctl_privkey": "File with the controller's private key.",
    "default_log_level": "Least level that is logged: 10 debug, 20 info, 30 warning, 40 error.  Without it info, or debug with verbose.",
    "echo_request_interval": "Seconds between echo requests to a switch.",
    "log_config_file": "Configuration file of Python's logging, instead of the other options of the log.",
    "log_dir": "Directory to log into.",
    "log_file": "File to log into.",
    "log_file_mode": "Permissions of the log file, in octal.",
    "maximum_unreplied_echo_requests": "Echo requests without a reply after which a switch is disconnected; 0: never.",
    "ofp_listen_host": "Address that OpenFlow connections are accepted at.",
    "ofp_ssl_listen_port": "TCP port of OpenFlow over TLS; without it 6653.",
    "ofp_switch_address_list": "Switches that the controller connects to itself, as in 192.0.2.1:6653,[2001:db8::1]:6653.",
    "ofp_switch_connect_interval": "Seconds between attempts to connect to them.",
    "ofp_tcp_listen_port": "TCP port of OpenFlow; without it 6653 and 6633.",
    "pid_file": "File to write the process id into.",
    "socket_timeout": "Seconds that an OpenFlow peer may take to read or write before it is left for later.",
    "use_stderr": "Log to standard error.",
    "use_syslog": "Log to syslog.",
    "user_flags": "Python file that registers options of a user's own apps.",
    "verbose": "Log at level debug.",
}


def register(conf: Any) -> None:
    """Register all options; harmless when called again."""
    from os_ken import cfg

    if "nvo3_db" in conf:
        return
    conf.register_cli_opts(
        [
            cfg.StrOpt("wsapi-host", default="127.0.0.1", help="address of the REST API; it has no authentication"),
            cfg.IntOpt("wsapi-port", default=8080, min=1, max=65535, help="port of the REST API"),
            cfg.StrOpt(
                "nvo3-db",
                default="",
                metavar="REMOTES",
                help="NB database to use, as in tcp:192.0.2.1:6641,tcp:192.0.2.2:6641; without it one is started on a file",
            ),
            cfg.StrOpt("nvo3-state-dir", default=STATE_DIR, metavar="DIR", help="where the NB database's file lives"),
            cfg.StrOpt("nvo3-run-dir", default=RUN_DIR, metavar="DIR", help="where its socket and pidfile live"),
            cfg.FloatOpt(
                "nvo3-metrics-interval",
                default=10.0,
                min=0,
                metavar="SECONDS",
                help="seconds between two readings of a switch's counters for /metrics; 0 for none",
            ),
            cfg.StrOpt("nvo3-log-format", default="text", choices=FORMATS, help="lines of the log: text, or JSON objects"),
            cfg.StrOpt(
                "nvo3-controller-target",
                default="",
                metavar="TARGET",
                help="OpenFlow target given to hypervisors, as in tcp:192.0.2.1:6653; "
                "without it, the address that each hypervisor's database is reached from",
            ),
        ]
    )


def controller_target(conf: Any, local_ip: str) -> str:
    """Return the OpenFlow target for a hypervisor that sees us at `local_ip`."""
    if conf.nvo3_controller_target:
        return str(conf.nvo3_controller_target)
    secure = bool(conf.ctl_privkey and conf.ctl_cert)
    port = (conf.ofp_ssl_listen_port or 6653) if secure else (conf.ofp_tcp_listen_port or 6653)
    host = f"[{local_ip}]" if ":" in local_ip else local_ip
    return f"{'ssl' if secure else 'tcp'}:{host}:{port}"


def value_problem(name: str, value: Any) -> str:
    """Return what is wrong with an option's value, which has the right type; nothing where it is good."""
    low, high = LIMITS.get(name, (None, None))
    if low is not None and high is not None and value is not None and not low <= value <= high:
        return f"{value} is not within {low:g}..{high:g}"
    return ""


def check(conf: Any) -> Iterator[ConfigError]:
    """Yield an error for each option that cannot be right, wherever it was set."""
    for name in LIMITS:
        if name in conf and (message := value_problem(name, conf[name])):
            yield ConfigError(name, message, conf[name])
    if conf.nvo3_controller_target:
        yield from _remote_problems(conf.nvo3_controller_target, "nvo3_controller_target", ("tcp:", "ssl:"))
    for remote in conf.nvo3_db.split(",") if conf.nvo3_db else ():
        yield from _remote_problems(remote, "nvo3_db", ("tcp:", "ssl:", "unix:"))
    for name in _READABLE:
        if conf[name]:
            yield from _file_problems(name, conf[name])
    if len(given := [name for name in _TLS if conf[name]]) == 1:
        other = next(name for name in _TLS if name not in given)
        yield ConfigError(given[0], f"is set, but {other} is not")


def _remote_problems(remote: str, name: str, kinds: tuple[str, ...]) -> Iterator[ConfigError]:
    if not remote.startswith(kinds):
        forms = " or ".join(f"{kind}{'/PATH' if kind == 'unix:' else 'HOST:PORT'}" for kind in kinds)
        yield ConfigError(name, f"{remote!r} is not {forms}", remote)
        return
    try:
        check_remote(remote, name)
    except ConfigError as error:
        yield error


def _file_problems(name: str, file: str) -> Iterator[ConfigError]:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        yield ConfigError(name, f"{file}: {error.strerror}", file)


def groups(known: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the options that a file may have, by subject."""
    left = {name: option for name, option in sorted(known.items()) if name not in _NOT_IN_FILE}
    for title, prefixes in _GROUPS.items():
        members = [name for prefix in prefixes for name in left if name.startswith(prefix)]
        yield title, [left.pop(name) for name in dict.fromkeys(members)]


def sentence(option: Any) -> str:
    """Return what an option is for, in one line."""
    text = _DESCRIPTIONS.get(option.dest) or str(option.help or "")
    return _capital(text if text.endswith(".") else f"{text}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
