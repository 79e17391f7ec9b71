"""Things done at the same time, by threads that nobody has to wait for: so Ctrl-C ends a command at once."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_AT_ONCE = 16  # more gain nothing: they wait for the same few daemons
_slots = threading.BoundedSemaphore(_AT_ONCE)


class Task(Generic[T]):
    """A call in a thread of its own, which begins now."""

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            with _slots:
                self._result.append(self._function(*self._arguments))
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def result(self) -> T:
        """Wait for the end of the call; return its result or raise its error."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]


def results(tasks: Iterable[Task[T]]) -> list[T]:
    """Return the results of tasks in their order; raises the error of the first that failed."""
    return [task.result() for task in list(tasks)]


def each(function: Callable[..., T], items: Iterable[Any]) -> list[T]:
    """Call a function for every item, at the same time; return the results in the order of the items."""
    return results([Task(function, item) for item in items])
