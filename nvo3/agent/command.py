"""The `nvo3-agent` command.

Exit status: 0 the vNIC is given back; 1 failed; 2 wrong usage.  Errors are one line on standard error.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import nvo3
from nvo3.agent import show
from nvo3.agent.errors import AgentError
from nvo3.agent.record import RUN_DIR

_MAX_ENTRIES = 65536
_NAME_MAX = 15  # IFNAMSIZ, less the end of the string
_TAP_SUFFIX = "-cvsw"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="nvo3-agent",
        description="Takes a vNIC over, and forwards what goes through it by a flow table that the controller programs (CVSW).",
        epilog="SIGTERM and SIGINT give the vNIC back.  docs/agent.md says what it needs and does.",
    )
    parser.add_argument("--version", action="version", version=f"nvo3 {nvo3.__version__}")
    _add_common(parser)
    parser.add_argument("--tap", metavar="NAME", help="device for the guest's addresses; VNIC-cvsw if not given")
    parser.add_argument("--max-entries", metavar="N", type=_positive, default=_MAX_ENTRIES, help="of the flow table (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="log what is refused or dropped on the control channel, too")
    commands = parser.add_subparsers(metavar="show", dest="command")
    showing = commands.add_parser("show", help="print state, flow table and counters of an agent that runs")
    _add_common(showing)
    showing.add_argument("-o", "--output", choices=("table", "json"), default="table")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    # Without a default where the option stands before a command and may stand behind it.
    parser.add_argument("--vnic", metavar="VNIC", default=argparse.SUPPRESS, help="the device, as eth0")
    parser.add_argument("--run-dir", metavar="DIR", type=Path, default=argparse.SUPPRESS, help=f"for lock, record and socket ({RUN_DIR})")


def _positive(text: str) -> int:
    value = int(text)
    if not 0 < value < 1 << 24:
        raise argparse.ArgumentTypeError(f"{value} is not in 1..{(1 << 24) - 1}")
    return value


def tap_name(vnic: str) -> str:
    """Return the TAP's name for a vNIC where none is given."""
    return vnic[: _NAME_MAX - len(_TAP_SUFFIX)] + _TAP_SUFFIX


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; ends the process."""
    arguments = parser().parse_args(argv)
    vnic: str | None = getattr(arguments, "vnic", None)
    run_dir: Path = getattr(arguments, "run_dir", RUN_DIR)
    try:
        if arguments.command == "show":
            _show(vnic, run_dir, arguments.output)
            return
        if vnic is None:
            parser().error("say which device by --vnic")
        _run(vnic, run_dir, arguments)
    except AgentError as error:
        sys.exit(f"nvo3-agent: {error}")
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        sys.exit(f"nvo3-agent: {error.strerror or error}: is it run as root?")


def _show(vnic: str | None, run_dir: Path, output: str) -> None:
    answer = show.ask(run_dir / f"{vnic or show.find(run_dir)}.sock")
    print(json.dumps(answer, indent=2) if output == "json" else show.table(answer))


def _run(vnic: str, run_dir: Path, arguments: argparse.Namespace) -> None:
    # Not for `show`: it loads, and in a checkout builds, the fast path.
    from nvo3.agent import daemon

    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s nvo3-agent: %(message)s")
    logging.getLogger("asyncio").setLevel(logging.INFO)
    daemon.run(daemon.Options(vnic, arguments.tap or tap_name(vnic), arguments.max_entries, run_dir))


if __name__ == "__main__":
    main()
