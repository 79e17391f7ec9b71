"""Errors of configuration and of the API.

    Nvo3Error
    ├── ConfigError     a value is wrong: the field's path, the value seen, the limit      -> HTTP 400
    │   └── Misfit      it is right by itself, but does not fit the object that it is for   -> HTTP 409
    ├── NotFound        a name does not exist                                               -> HTTP 404
    ├── Conflict        taken, in use, or changed by somebody else meanwhile                -> HTTP 409
    ├── Outdated        not as the caller, who said how it must be, knows it                -> HTTP 412
    └── Unavailable     the database or a switch does not answer                            -> HTTP 503

Our own misuse of an interface is a ValueError, not one of these.
"""

from typing import Any


class Nvo3Error(Exception):
    """Base of all errors that a user may see; `str()` is the one-line message."""


class ConfigError(Nvo3Error):
    """A value given by the user is wrong.

    path: the field, as in `networks.web.vni`.  message: what is wrong, with the value and the limit.  value, limit: as given, or None.
    """

    def __init__(self, path: str, message: str, value: Any = None, limit: Any = None) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.value = value
        self.limit = limit


class Misfit(ConfigError):
    """A value that might do elsewhere does not fit the object that it is for, such as an address its network."""


class NotFound(Nvo3Error):
    """A named object does not exist."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} does not exist")
        self.kind = kind
        self.name = name


class Conflict(Nvo3Error):
    """The change collides with what exists; `path` names the field where one is to blame."""

    def __init__(self, message: str, path: str = "", value: Any = None) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.value = value


class Outdated(Nvo3Error):
    """An object is not, or no longer, as whoever wants to change it says that it must be."""


class Unavailable(Nvo3Error):
    """The database or a switch cannot be reached now; the same request may succeed later."""
