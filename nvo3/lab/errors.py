"""Errors of the lab: each is one line (or one line per problem) that says what to do about it.

Nvo3Error
└── LabError              something on this machine did not work
    ├── CommandFailed     a system command (ip, ovs-vsctl, …) failed
    ├── DaemonFailed      a process of the lab ended or did not answer; names its log
    └── TopologyInvalid   a topology file is wrong; all its problems
"""

from collections.abc import Sequence
from pathlib import Path

from nvo3.model.errors import Nvo3Error


class LabError(Nvo3Error):
    """Something on this machine did not work."""


class CommandFailed(LabError):
    """A system command failed.  output: what it said."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        lines = [line for line in output.strip().splitlines() if line.strip()]
        super().__init__(f"`{' '.join(argv)}` failed with status {status}: {lines[-1].strip() if lines else 'no message'}")
        self.status = status
        self.output = output


class DaemonFailed(LabError):
    """A process of the lab ended, or does not do what it should."""

    def __init__(self, what: str, log: Path) -> None:
        super().__init__(f"{what}; log: {log}")
        self.log = log


class TopologyInvalid(LabError):
    """A topology file is wrong.  problems: one line each, `file:line:column: path: message`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
