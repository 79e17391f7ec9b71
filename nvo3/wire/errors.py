"""What is wrong with bytes from a peer.

    WireError
    ├── Truncated    fewer bytes than the format needs
    └── Malformed    a rule of the format is broken

Count it, drop the packet, limit the log.  A value of our own that the format cannot carry is a ValueError instead.
"""


class WireError(Exception):
    """Bytes that are not what they should be.

    reason: one word for counters, the same as in `native/`.  The text adds the value seen and the limit.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class Truncated(WireError):
    """Fewer bytes than the format needs."""


class Malformed(WireError):
    """A rule of the format is broken."""
