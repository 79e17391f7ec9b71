"""OpenFlow 1.0's errors (specification 1.0.1, section 5.4.4), each with the type and code that tell the peer.

    WireError
    └── Malformed
        └── OpenFlowError    its `code` goes back in an ERROR

A message that is cut off is one with a bad length, so it is an OpenFlowError, too.
"""

from enum import Enum
from typing import Self

from nvo3.wire.errors import Malformed


class Code(Enum):
    """(type, code): BRC of OFPET_BAD_REQUEST, BAC of OFPET_BAD_ACTION, FMFC of OFPET_FLOW_MOD_FAILED."""

    BRC_BAD_VERSION = (1, 0)
    BRC_BAD_TYPE = (1, 1)
    BRC_BAD_STAT = (1, 2)
    BRC_EPERM = (1, 5)
    BRC_BAD_LEN = (1, 6)
    BAC_BAD_TYPE = (2, 0)
    BAC_BAD_LEN = (2, 1)
    BAC_BAD_VENDOR = (2, 2)
    BAC_BAD_OUT_PORT = (2, 4)
    BAC_BAD_ARGUMENT = (2, 5)
    BAC_TOO_MANY = (2, 7)
    FMFC_ALL_TABLES_FULL = (3, 0)
    FMFC_OVERLAP = (3, 1)
    FMFC_EPERM = (3, 2)
    FMFC_BAD_EMERG_TIMEOUT = (3, 3)
    FMFC_BAD_COMMAND = (3, 4)
    FMFC_UNSUPPORTED = (3, 5)

    @classmethod
    def find(cls, error_type: int, code: int) -> Self | None:
        """Return the error with these numbers, None for one that is not listed here."""
        try:
            return cls((error_type, code))
        except ValueError:
            return None


class OpenFlowError(Malformed):
    """A message that is refused.  code: what the peer is told; its name in lower case is the reason for counters."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code.name.lower(), message)
        self.code = code
