"""Numbers of FLOW_MODs, 32 bits that come round, and which of them have arrived."""

from nvo3.wire.cvsw import WINDOW

XID_MASK = 0xFFFFFFFF
# Of the controller's, under way at once: what it sends on an answer may overtake the barrier that moves the agent's window.
SEND_WINDOW = WINDOW // 2


class ReceiveWindow:
    """The agent's: each number of base..base+WINDOW-1 is taken once.  received, refused: bit i stands for base + i."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.received = 0
        self.refused = 0

    def take(self, xid: int) -> bool:
        """Return whether a number is new; from now on it is not."""
        offset = xid - self.base & XID_MASK
        if offset >= WINDOW or self.received >> offset & 1:
            return False
        self.received |= 1 << offset
        return True

    def refuse(self, xid: int) -> None:
        """What had a number that was taken is not in force."""
        self.refused |= 1 << (xid - self.base & XID_MASK)

    def advance(self, base: int) -> None:
        """Forget the numbers before `base`.  One that is behind, or beyond the window, is an old request's."""
        shift = base - self.base & XID_MASK
        if shift <= WINDOW:
            self.base = base
            self.received >>= shift
            self.refused >>= shift
