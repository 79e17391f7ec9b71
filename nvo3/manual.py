"""Manual pages, made from what the commands say of themselves: man(7) source, as `nvo3 man DIRECTORY` writes it.

nvo3(1)  ryu-manager(8)  nvo3-agent(8)  nvo3.conf(5)
"""

import argparse
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import nvo3

_COMMON = "Common"  # the panel of options that many commands share
_EXIT = {
    0: "Done.",
    1: "Refused, or failed.",
    2: "Wrong usage.",
    3: "The API does not answer.",
    130: "Interrupted.",
}


_ESCAPED = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga", "…": "..."})


def text(line: str) -> str:
    """Return text as source: characters that mean something to roff are escaped."""
    escaped = line.translate(_ESCAPED)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def bold(words: str) -> str:
    """Return words in bold, within a line."""
    return f"\\fB{text(words)}\\fR"


def italic(words: str) -> str:
    """Return words that stand for others."""
    return f"\\fI{text(words)}\\fR"


def prose(words: str) -> str:
    """Return a paragraph, with what stands in `backquotes` in bold; each sentence on a line of its own, as roff wants it."""
    joined = re.sub(r"(?<=[a-z)`]\.) +(?=[A-Z`])", "\n", " ".join(words.split()))
    parts = re.split(r"`([^`]*)`", joined)
    source = "".join(bold(part) if number % 2 else text(part) for number, part in enumerate(parts))
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in source.split("\n"))


def item(term: str, words: str) -> str:
    """Return an item of a list: a term, which is source, and text."""
    return f".TP\n{term}\n{prose(words)}" if words else f".TP\n{term}\n\\&"


def page(name: str, section: int, what: str, parts: Mapping[str, str]) -> str:
    """Return a whole page.  parts: source, by the section's heading."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    date = datetime.fromtimestamp(seconds, UTC).date()
    lines = [f'.TH {name.upper()} {section} {date} "nvo3 {nvo3.__version__}"', ".SH NAME", f"{text(name)} \\- {text(what)}"]
    for heading, source in parts.items():
        lines += [f".SH {heading}", source]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Return all pages, by their file's name."""
    return {"nvo3.1": _nvo3(), "ryu-manager.8": _ryu_manager(), "nvo3-agent.8": _agent(), "nvo3.conf.5": _conf()}


# nvo3(1)


def _nvo3() -> str:
    from nvo3.cli import main

    root, context = main.command_tree()
    commands = list(_leaves(root, context))
    common = {o.name: o for _, command in commands for o in command.params if getattr(o, "rich_help_panel", None) == _COMMON}
    return page(
        "nvo3",
        1,
        "network virtualization overlays on Open vSwitch",
        {
            "SYNOPSIS": f".B nvo3\n{italic('COMMAND')} ...",
            "DESCRIPTION": prose(
                "The commands on tenants, networks, ports, hypervisors and what else a controller has speak to its REST API; "
                "the others act on this machine. Errors are one line on standard error, with what to do where that is clear. "
                "Colours are for terminals only, and there not where `NO_COLOR` is set. "
                "`nvo3 --install-completion` has the shell complete commands, options, and names of what there is."
            ),
            "COMMON OPTIONS": "\n".join(_option(option, context) for option in common.values()),
            "COMMANDS": "\n".join(_command(path, command, context, common) for path, command in commands),
            "EXIT STATUS": _exit(_EXIT),
            "ENVIRONMENT": "\n".join(
                (
                    item(".B NVO3_API", "Where the API is, where `--api` is not given."),
                    item(".B NO_COLOR", "No colours, if it is set at all."),
                    item(".B NVO3_OVS", "Prefix of the Open vSwitch that is used before that of PATH."),
                )
            ),
            "FILES": item(".I /etc/nvo3/nvo3.conf", "The controller's configuration, which `check-config` checks."),
            "EXAMPLES": _examples(
                "nvo3 hypervisor create hv1 --remote tcp:10.1.0.11:6640 --wait",
                "nvo3 tenant create red",
                "nvo3 network create red/web --pool 10.0.0.0/24",
                "nvo3 port create red/web/vm1 --output json",
                "nvo3 export red > red.yaml; nvo3 apply -f red.yaml --dry-run",
            ),
            "SEE ALSO": _see_also(("nvo3.conf", 5), ("ryu-manager", 8), ("nvo3-agent", 8), ("ovs-vsctl", 8)),
        },
    )


def _leaves(command: Any, context: Any) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a tree with the words that call each."""
    if not hasattr(command, "list_commands"):
        yield context.command_path, command
        return
    if context.parent is None:
        yield context.command_path, command
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if not child.hidden:
            yield from _leaves(child, type(context)(child, parent=context, info_name=name))


def _command(path: str, command: Any, context: Any, common: Mapping[str, Any]) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
    own = [option for option in options if common.get(option.name) is None or option.rich_help_panel != _COMMON]
    shared = [option for option in options if option not in own]
    names = " ".join(_metavar(argument) for argument in arguments)
    lines = [f".SS {text(path)} {text(names)}".rstrip()]
    paragraphs = [part for part in (command.help or "").replace("\f", "").split("\n\n") if part.strip()]
    lines += ["\n.PP\n".join(prose(part) for part in paragraphs)] if paragraphs else []
    lines += [item(italic(_metavar(argument)), argument.help) for argument in arguments if getattr(argument, "help", None)]
    lines += [_option(option, context) for option in own]
    if shared:
        flags = ", ".join(bold(option.opts[0]) for option in shared)
        lines.append(f".PP\nAlso {flags}.")
    return "\n".join(line for line in lines if line)


def _metavar(argument: Any) -> str:
    metavar = argument.metavar or argument.name.upper()
    return str(metavar) if argument.required or metavar.startswith("[") else f"[{metavar}]"


def _option(option: Any, context: Any) -> str:
    term, words = option.get_help_record(context)
    source = re.sub(r"[^\s,<>\[\]|]+", lambda match: bold(match[0]) if match[0].startswith("-") else italic(match[0]), term)
    return item(source, words)


# ryu-manager(8), nvo3.conf(5)


def _options() -> list[tuple[str, list[Any]]]:
    from os_ken import cfg

    from nvo3 import config_file, manager

    manager.register_all(cfg.CONF, cfg)
    return config_file.groups(cfg.CONF)


def _ryu_manager() -> str:
    return page(
        "ryu-manager",
        8,
        "the controller of nvo3 overlays, and of Ryu apps",
        {
            "SYNOPSIS": f".B ryu\\-manager\n[{italic('OPTION')}] ... {italic('APP')} ...",
            "DESCRIPTION": prose(
                "Runs Ryu apps: files, modules, or those of nvo3 by their names. "
                "`ryu-manager nvo3_app.py` is the controller of overlays, with its REST API. "
                "Hypervisors and guests keep what they have when it ends, however it ends, and traffic goes on."
            )
            + "\n.PP\n"
            + prose(
                "Each option of nvo3.conf(5) is also one of the command line, with `-` for `_`; a few are for the file only. "
                "Those of the command line count."
            ),
            "OPTIONS": "\n".join(
                (
                    item(
                        f"{bold('--config-file')} {italic('FILE')}",
                        "Configuration to read instead of the default. Can be repeated; the last one counts.",
                    ),
                    item(f"{bold('--config-dir')} {italic('DIR')}", "Directory with more of them, `*.conf`."),
                    item(bold("--version"), "Show the version."),
                    item(bold("--help"), "Show all options, also those of os-ken's own apps."),
                )
            ),
            "SIGNALS": "\n".join(
                (
                    item('.BR SIGTERM ", " SIGINT', "End, within two seconds."),
                    item(
                        ".B SIGHUP",
                        "Check the configuration files and log what is wrong. They are read at the start only: a restart takes them over.",
                    ),
                )
            ),
            "EXIT STATUS": _exit({0: "Ended by a signal.", 1: "It cannot run, or not go on; standard error says why.", 2: "Wrong usage."}),
            "ENVIRONMENT": item(".B NVO3_OVS", "Prefix of the Open vSwitch whose ovsdb-server is started, before PATH.")
            + "\n"
            + item(
                '.BR NOTIFY_SOCKET ", " WATCHDOG_USEC', "As set by systemd(1): it tells when it is ready, that it lives, and that it ends."
            ),
            "FILES": "\n".join(
                (
                    item(".I /etc/nvo3/nvo3.conf", "The configuration that is read by default."),
                    item(".I /var/lib/nvo3/nvo3.db", "The NB database, all there is to back up."),
                    item(".I /run/nvo3/nvo3.db.sock", "Where that is served."),
                )
            ),
            "SEE ALSO": _see_also(("nvo3.conf", 5), ("nvo3", 1), ("ovsdb-server", 1)),
        },
    )


def _conf() -> str:
    from nvo3 import config_file

    described = []
    for title, members in _options():
        described.append(f".SS {text(title)}")
        described += [_setting(option) for option in members]
    return page(
        "nvo3.conf",
        5,
        "configuration of the controller of nvo3 overlays",
        {
            "DESCRIPTION": prose(
                f"ryu-manager(8) reads {config_file.DEFAULT}, or the files that `--config-file` names, at its start. "
                "A line is `NAME = VALUE`, under `[DEFAULT]`; those that begin with # or ; are comments. "
                "Other sections are for options of other Ryu apps."
            )
            + "\n.PP\n"
            + prose("`nvo3 check-config FILE` checks a file. The controller does not start on one with errors, and says the same."),
            "OPTIONS": "\n".join(described),
            "EXAMPLES": _examples("[DEFAULT]", "wsapi_host = 10.1.0.1", "nvo3_db = tcp:10.1.0.1:6641,tcp:10.1.0.2:6641,tcp:10.1.0.3:6641"),
            "SEE ALSO": _see_also(("ryu-manager", 8), ("nvo3", 1)),
        },
    )


def _setting(option: Any) -> str:
    from nvo3 import config_file

    default = config_file.default_text(option)
    told = f"Default: {default}." if default else "Not set by default."
    return item(f"{bold(option.dest)} = {italic(_kind(option))}", " ".join((*config_file.about(option), told)))


def _kind(option: Any) -> str:
    return str(option.metavar or re.sub(r"\W.*", "", str(option.type)).upper())


# nvo3-agent(8)


def _agent() -> str:
    from nvo3.agent import command

    parser = command.parser()
    subcommands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    showing = subcommands.choices["show"]
    return page(
        "nvo3-agent",
        8,
        "flow table in a guest's vNIC (CVSW)",
        {
            "SYNOPSIS": f".B nvo3\\-agent\n[{italic('OPTION')}] ...\n.br\n.B nvo3\\-agent show\n[{italic('OPTION')}] ...",
            "DESCRIPTION": prose(str(parser.description)),
            "OPTIONS": _arguments(parser._actions),
            "SHOW": prose(f"{next(iter(subcommands._choices_actions)).help}.") + "\n" + _arguments(showing._actions),
            "SIGNALS": item('.BR SIGTERM ", " SIGINT ", " SIGHUP', "Give the vNIC back and end."),
            "EXIT STATUS": _exit({0: "The vNIC is given back.", 1: "Failed.", 2: "Wrong usage."}),
            "FILES": item(".I /run/nvo3\\-agent", "A lock, the record of what was taken, and the socket that `show` asks."),
            "SEE ALSO": _see_also(("nvo3", 1), ("ip", 8), ("nft", 8)),
        },
    )


def _arguments(actions: Iterable[argparse.Action]) -> str:
    found = []
    for action in actions:
        if action.option_strings:
            flags = ", ".join(map(bold, action.option_strings))
            takes = (
                ""
                if action.nargs == 0
                else f" {italic(str(action.metavar or '|'.join(map(str, action.choices or ())) or action.dest.upper()))}"
            )
            words = (action.help or "") % {"default": action.default} if action.help else ""
            found.append(item(f"{flags}{takes}", f"{words[:1].upper()}{words[1:]}." if words else ""))
    return "\n".join(found)


# What pages share.


def _exit(statuses: Mapping[int, str]) -> str:
    return "\n".join(item(f".B {status}", words) for status, words in statuses.items())


def _examples(*lines: str) -> str:
    return "\n".join((".nf", *(text(line) for line in lines), ".fi"))


def _see_also(*others: tuple[str, int]) -> str:
    return ",\n".join(f".BR {text(name)} ({section})" for name, section in others).replace("),\n", ") ,\n")


def write(directory: str) -> list[str]:
    """Write the pages under a directory such as /usr/local/share/man; return their files' names."""
    written = []
    for name, source in pages().items():
        section = os.path.join(directory, f"man{name[-1]}")
        os.makedirs(section, exist_ok=True)
        file = os.path.join(section, name)
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(source)
        written.append(file)
    return written
