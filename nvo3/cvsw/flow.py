"""A flow, as the controller wants it and as the agent's table has it, without counters."""

import struct
import zlib
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

from nvo3.wire import of10
from nvo3.wire.of10_action import Action, serialize_actions
from nvo3.wire.of10_match import Match

DEFAULT_PRIORITY = 0x8000
DIGEST_MASK = (1 << 64) - 1

_RANK = struct.Struct("!I")
_REST = struct.Struct("!QHHH")


@dataclass(frozen=True, slots=True)
class Flow:
    """An entry of a flow table.

    idle_timeout, hard_timeout: seconds, 0: none.  tells_removal: the agent sends FLOW_REMOVED.  Derived: key, the same for two flows
    that cannot be in one table (reduced match and rank, 44 bytes); digest, 64 bits over all of it.
    """

    match: Match
    priority: int = DEFAULT_PRIORITY
    actions: tuple[Action, ...] = ()
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    tells_removal: bool = False
    key: bytes = field(init=False, repr=False, compare=False)
    digest: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        key = key_of(self.match, self.priority)
        try:
            rest = _REST.pack(self.cookie, self.idle_timeout, self.hard_timeout, self.tells_removal)
        except struct.error as error:
            raise ValueError(f"{self.cookie}, {self.idle_timeout}, {self.hard_timeout}: {error}") from None
        whole = blake2b(key + rest + serialize_actions(self.actions), digest_size=8)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "digest", int.from_bytes(whole.digest(), "big"))

    @classmethod
    def from_message(cls, message: of10.FlowMod | of10.FlowStats) -> Self:
        """Return the flow that a FLOW_MOD adds or that statistics tell of."""
        return cls(
            message.match,
            message.priority,
            message.actions,
            message.cookie,
            message.idle_timeout,
            message.hard_timeout,
            bool(message.flags & of10.FLAG_SEND_FLOW_REM),
        )

    @property
    def flags(self) -> int:
        """Return the flags of the FLOW_MOD that adds it."""
        return of10.FLAG_SEND_FLOW_REM if self.tells_removal else 0

    @property
    def can_expire(self) -> bool:
        """Return whether it has a timeout."""
        return bool(self.idle_timeout or self.hard_timeout)

    def add(self, xid: int = 0) -> of10.FlowMod:
        """Return the FLOW_MOD that adds it."""
        return of10.FlowMod(
            of10.Command.ADD,
            self.match,
            self.priority,
            self.actions,
            self.cookie,
            self.idle_timeout,
            self.hard_timeout,
            self.flags,
            xid=xid,
        )

    def delete(self, xid: int = 0) -> of10.FlowMod:
        """Return the FLOW_MOD that deletes it."""
        return of10.FlowMod(of10.Command.DELETE_STRICT, self.match, self.priority, xid=xid)


def key_of(match: Match, priority: int) -> bytes:
    """Return the key of a flow.  Raises ValueError for what the wire cannot carry."""
    if not 0 <= priority <= 0xFFFF:
        raise ValueError(f"priority: {priority} is not in 0..65535")
    return match.reduced().serialize() + _RANK.pack(match.rank(priority))


def bucket_of(key: bytes, bits: int) -> int:
    """Return which of 2**bits buckets a flow belongs to, by its key."""
    return zlib.crc32(key) & (1 << bits) - 1
