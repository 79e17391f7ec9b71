"""Errors of the preparation.

PrepareError        what stops the preparation, in one line with the remedy   -> exit status 1
└── ToolFailed      a tool (apt-get, pip, make, ...) ended badly              -> the log's last lines are shown as well
Terminated          SIGTERM or SIGHUP asked us to stop; like KeyboardInterrupt, not an Exception
"""

from collections.abc import Sequence
from pathlib import Path


class PrepareError(Exception):
    """What stops the preparation; `str()` is one line that ends with the remedy."""


class ToolFailed(PrepareError):
    """A tool ended with a status other than 0.

    tail: its last lines of output, newest last.  log: the file with its full output.
    """

    def __init__(self, message: str, tail: Sequence[str], log: Path) -> None:
        super().__init__(message)
        self.tail = tuple(tail)
        self.log = log


class Terminated(BaseException):
    """A signal asked the process to end; `signal_number` as in signal(7)."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"ended by signal {signal_number}")
        self.signal_number = signal_number
