"""Progress of a preparation: a live line on a terminal, a plain line every few seconds elsewhere.

Full output of the tools goes to a log (`Log`), which is created with its first line, so a run with nothing to do leaves
none.
"""

import contextlib
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

_LIVE_PERIOD_S = 0.2
_PLAIN_PERIOD_S = 5.0
_LOGS_KEPT = 20
_TAIL_LINES = 15
_ERASE_LINE = "\r\x1b[K"  # ECMA-48: carriage return, erase to the end of the line


class Log:
    """A file for the full output of tools, with its last lines at hand."""

    def __init__(self, directory: Callable[[], Path]) -> None:
        self._directory = directory
        self._file: TextIO | None = None
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    @property
    def path(self) -> Path:
        return Path(self._open().name)

    def write(self, line: str) -> None:
        """Append one line; it reaches the file at once, since a reader may follow it."""
        self.tail.append(line)
        file = self._open()
        file.write(line + "\n")
        file.flush()

    def _open(self) -> TextIO:
        if self._file is None:
            directory = self._directory()
            _keep_newest(directory, _LOGS_KEPT - 1)
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
            self._file = (directory / name).open("a", encoding="utf-8", errors="replace")
        return self._file


def _keep_newest(directory: Path, n_kept: int) -> None:
    for path in sorted(directory.glob("*.log"), reverse=True)[n_kept:]:
        path.unlink(missing_ok=True)


class Progress:
    """Shows which of how many steps runs, for how long, and how far it is.

    stream: where to, stderr by default.  live: whether it is a terminal that can redraw a line.
    """

    def __init__(
        self,
        log: Log,
        stream: TextIO | None = None,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = log
        self._stream = stream or sys.stderr
        self._live = _is_terminal(self._stream) if live is None else live
        self._clock = clock
        self._n_expected = 0
        self._n_begun = 0
        self._title = ""
        self._detail = ""
        self._begun_at = self._shown_at = clock()

    def expect(self, n_steps: int) -> None:
        """Set how many steps there will be; fewer may come when another process has done some."""
        self._n_expected = n_steps

    @property
    def expects(self) -> bool:
        return self._n_expected > 0

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step from its begin to its end."""
        self._n_begun += 1
        self._title, self._detail = title, ""
        self._begun_at = self._shown_at = self._clock()
        self.log.write(f"== {self._prefix()} {time.strftime('%H:%M:%S')}")
        self._draw(self._prefix()) if self._live else self._print(f"{self._prefix()} ...")
        try:
            yield
        except BaseException as error:
            how = "failed" if isinstance(error, Exception) else "stopped"
            self._print(f"{self._prefix()}: {how} after {self._elapsed()}")
            raise
        self._print(f"{self._prefix()}: done in {self._elapsed()}")

    def detail(self, text: str) -> None:
        """Say how far the step is, as in `120/324 files`."""
        self._detail = text
        self.tick()

    def tick(self) -> None:
        """Show the elapsed time anew where that is due; call it often."""
        now = self._clock()
        if now - self._shown_at < (_LIVE_PERIOD_S if self._live else _PLAIN_PERIOD_S):
            return
        self._shown_at = now
        text = ", ".join(filter(None, (self._detail, self._elapsed())))
        self._draw(f"{self._prefix()}: {text}") if self._live else self._print(f"{self._prefix()}: {text}")

    def wait_note(self, text: str) -> None:
        """Say why nothing happens; meant to be called again and again while that lasts."""
        now = self._clock()
        if self._title != text:
            self._title, self._detail, self._begun_at = text, "", now
            self._draw(text) if self._live else self._print(text)
            self._shown_at = now
        elif now - self._shown_at >= (_LIVE_PERIOD_S if self._live else _PLAIN_PERIOD_S):
            self._shown_at = now
            line = f"{text}, {self._elapsed()}"
            self._draw(line) if self._live else self._print(line)

    def clear(self) -> None:
        """Remove a live line, before somebody else writes to the terminal."""
        if self._live:
            self._write(_ERASE_LINE)

    def _prefix(self) -> str:
        return f"[{self._n_begun}/{max(self._n_expected, self._n_begun)}] {self._title}"

    def _elapsed(self) -> str:
        seconds = self._clock() - self._begun_at
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"

    def _draw(self, line: str) -> None:
        width = shutil.get_terminal_size().columns
        self._write(_ERASE_LINE + line[: width - 1])

    def _print(self, line: str) -> None:
        self._write((_ERASE_LINE if self._live else "") + line + "\n")

    def _write(self, text: str) -> None:
        # Nobody may be reading any more; that is no reason to stop a build.
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
