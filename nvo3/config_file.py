"""The configuration file, checked before it is used: known sections and options only, each value one that its option takes.

The format is oslo.config's, which Ryu has: `name = value` under `[DEFAULT]`, lines of comment with # or ; in front.  `--config-file` may be
given several times; what stands later counts.
"""

import argparse
import difflib
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg, iniparser, types

from nvo3 import options
from nvo3.model.errors import ConfigError

DEFAULT = "/etc/nvo3/nvo3.conf"
_DEFAULTS = (DEFAULT, "/usr/local/etc/ryu/ryu.conf")  # the first that is there
_SECTION = "DEFAULT"
_SHOWN_MAX = 60  # characters of a value
_WIDTH = 100  # of comments


@dataclass(frozen=True, slots=True)
class _Entry:
    """An option that a file sets.  line: where it stands; 0 for a section alone."""

    file: str
    line: int
    section: str
    name: str
    value: str

    def problem(self, message: str) -> str:
        """Return the line of an error."""
        return f"{self.file}:{self.line}: {message}"


class _Parser(iniparser.BaseParser):
    """Collects what a file has."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.section = _SECTION
        self.entries: list[_Entry] = []
        self.sections: list[_Entry] = []
        self._begin = 0

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        self._begin = self.lineno
        return super()._split_key_value(line)

    def assignment(self, key: str, value: list[str]) -> None:
        """An option is complete."""
        self.entries.append(_Entry(self.file, self._begin, self.section, key, "\n".join(value)))

    def new_section(self, section: str) -> None:
        """A section begins."""
        self.section = section
        self.sections.append(_Entry(self.file, self.lineno, section, "", ""))


def files_of(argv: Sequence[str]) -> list[str]:
    """Return the files that arguments of ryu-manager name, or the default one if it is there."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-file", action="append", default=[])
    parser.add_argument("--config-dir", action="append", default=[])
    given = parser.parse_known_args(list(argv))[0]
    files: list[str] = list(given.config_file)
    for directory in given.config_dir:
        files += sorted(str(path) for path in Path(directory).glob("*.conf"))
    return files or default_files()


def default_files() -> list[str]:
    """Return the file that is read where none is named."""
    return [file for file in _DEFAULTS if Path(file).exists()][:1]


def problems(conf: Any, files: Sequence[str], unknown: bool = True) -> list[str]:
    """Return what is wrong with files, a line each.

    unknown: whether to say so of options and sections that nobody has registered.  Before a user's Ryu apps are loaded, theirs are not.
    """
    found: list[str] = []
    for file in files:
        parser = _Parser(file)
        try:
            parser.parse(Path(file).read_text(encoding="utf-8").splitlines())
        except OSError as error:
            found.append(f"{file}: {error.strerror}")
        except UnicodeDecodeError:
            found.append(f"{file}: not text in UTF-8")
        except iniparser.ParseError as error:
            found.append(f"{file}:{error.lineno}: {_shown(error.line)}: {_syntax(error)}")
        else:
            found += _problems_of(conf, parser, unknown)
    return found


def located(error: ConfigError, files: Sequence[str]) -> str:
    """Return the line of an error in an option, with the place in the files that set it."""
    for file in reversed(files):
        parser = _Parser(file)
        try:
            parser.parse(Path(file).read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError, iniparser.ParseError):
            continue
        for entry in reversed(parser.entries):
            if entry.section == _SECTION and entry.name == error.path:
                return entry.problem(str(error))
    return str(error)


def _problems_of(conf: Any, parser: _Parser, unknown: bool) -> Iterator[str]:
    known = {_SECTION: _options(conf), **{name: _options(group) for name, group in conf._groups.items()}}
    for section in parser.sections if unknown else ():
        if section.section not in known:
            yield section.problem(f"[{section.section}]: unknown section{_meant(section.section, list(known), '[{}]')}")
    first: dict[tuple[str, str], int] = {}
    for entry in parser.entries:
        option = known.get(entry.section, {}).get(entry.name)
        if option is None:
            if unknown and entry.section in known:
                yield entry.problem(f"{entry.name}: unknown option{_meant(entry.name, list(known[entry.section]), '{}')}")
            continue
        line = first.setdefault((entry.section, entry.name), entry.line)
        if line != entry.line and not option.multi:
            yield entry.problem(f"{entry.name}: stands twice, first in line {line}")
        if "$" not in entry.value and (message := _value_problem(option, entry.value)):
            yield entry.problem(f"{entry.name}: {message}")


def _options(registered: Any) -> dict[str, Any]:
    return {dest: each["opt"] for dest, each in registered._opts.items() if not each["opt"].positional}


def _meant(name: str, known: Sequence[str], form: str) -> str:
    near = difflib.get_close_matches(name.replace("-", "_"), known, 1)
    return f"; did you mean {form.format(near[0])}?" if near else ""


def _value_problem(option: Any, value: str) -> str:
    """Return what is wrong with a value, nothing where it is good."""
    try:
        given = option.type(value)
    except ValueError as error:
        return f"{_shown(value)} is not {wanted(option)}" if wanted(option) else f"{_shown(value)}: {error}"
    return options.value_problem(option.dest, given)


def wanted(option: Any) -> str:
    """Return what an option takes, as in `an integer within 1..65535`; nothing for text."""
    limits = options.LIMITS.get(option.dest, (getattr(option.type, "min", None), getattr(option.type, "max", None)))
    match limits:
        case None, None:
            within = ""
        case low, None:
            within = f" of at least {low:g}"
        case None, high:
            within = f" of at most {high:g}"
        case low, high:
            within = f" within {low:g}..{high:g}"
    match option.type:
        case types.Integer():
            return f"an integer{within}"
        case types.Float():
            return f"a number{within}"
        case types.Boolean():
            return "true or false"
        case types.String() if option.type.choices:
            return f"one of {', '.join(option.type.choices)}"
    return ""


def _shown(value: str) -> str:
    text = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
    return repr(text)


def _syntax(error: iniparser.ParseError) -> str:
    if error.msg.startswith("No "):
        return "neither NAME = VALUE nor [SECTION]"
    return error.msg[:1].lower() + error.msg[1:]


def example(conf: Any) -> str:
    """Return a file with every option of the controller, commented out, at its default."""
    lines = [
        "# Configuration of nvo3's controller, ryu-manager nvo3_app.py.",
        "#",
        f"# Read once at the start, from {DEFAULT} or the file that --config-file names.  What is commented out is the default.",
        "# `nvo3 check-config FILE` tells what is wrong with a file; the controller does not start on one that is.",
        "",
        f"[{_SECTION}]",
    ]
    for title, members in groups(conf):
        lines += ["", f"### {title} ###"]
        for option in members:
            unset = [] if default_text(option) else ["Not set by default."]
            lines += ["", *(f"# {line}" for sentence in (*about(option), *unset) for line in textwrap.wrap(sentence, _WIDTH))]
            lines.append(f"#{option.dest} = {default_text(option)}".rstrip())
    return "\n".join(lines) + "\n"


def groups(conf: Any) -> list[tuple[str, list[Any]]]:
    """Return the controller's options, by subject."""
    return list(options.groups(_options(conf)))


def about(option: Any) -> list[str]:
    """Return what an option is for, and what it takes, in sentences."""
    takes = wanted(option)
    return [options.sentence(option), *([f"Takes {takes}."] if takes else [])]


def default_text(option: cfg.Opt) -> str:
    """Return how a file says an option's default."""
    match option.default:
        case None:
            return ""
        case bool():
            return "true" if option.default else "false"
        case list():
            return ",".join(map(str, option.default))
    return str(option.default)
