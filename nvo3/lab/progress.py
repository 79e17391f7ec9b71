"""Progress on standard error: a live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Say(Protocol):
    """Tell the user what is being done now."""

    def __call__(self, text: str) -> None: ...


def quiet(text: str) -> None:
    """Say nothing: for callers that are not a person."""


@contextmanager
def shown() -> Iterator[Say]:
    """Give a `Say` for the time of a command."""
    started = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda text: print(f"{time.monotonic() - started:5.1f} s  {text}", file=sys.stderr, flush=True)
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("") as status:
        yield lambda text: status.update(f"{text}  [dim]{time.monotonic() - started:.1f} s[/]")
