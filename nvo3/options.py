"""Options of the overlay's apps, in Ryu's manner (oslo.config): on the command line and in --config-file."""

from typing import Any

from nvo3.model.errors import ConfigError

STATE_DIR = "/var/lib/nvo3"
RUN_DIR = "/run/nvo3"


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


def check(conf: Any) -> None:
    """Raise ConfigError for an option that cannot be right."""
    target = conf.nvo3_controller_target
    if target and not target.startswith(("tcp:", "ssl:")):
        raise ConfigError("nvo3-controller-target", f"{target!r} is neither tcp:HOST:PORT nor ssl:HOST:PORT", target)
