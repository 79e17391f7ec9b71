"""Programming an original driver: types 1 to 6, to which it says nothing, so what is sent is sent several times, and that is all.

It replaces no entry, so one is deleted before it is set anew.  It has no prefixes and no timeouts, and some matches never match; such
flows are refused here.  Turning an offload off toggles it there, so that message is sent once.  See docs/protocols/cvsw.md.
"""

from collections import deque
from collections.abc import Iterator

from nvo3.cvsw.flow import Flow
from nvo3.wire import cvsw
from nvo3.wire.of10_action import SetTunnel
from nvo3.wire.of10_match import RANK_EXACT, VLAN_NONE

REPEATS = 3
GAP_S = 0.05
BURST = 64  # frames at once
BURST_GAP_S = 0.01


class OriginalPlan:
    """mac: of the vNIC.  refused: flows that are new in the newest plan and that the driver cannot carry out."""

    def __init__(self, mac: bytes) -> None:
        self.refused: list[Flow] = []
        self._mac = mac
        self._sent: dict[bytes, Flow] = {}
        self._unfit: dict[bytes, Flow] = {}
        self._bursts: deque[tuple[float, list[bytes]]] = deque()

    @property
    def is_idle(self) -> bool:
        """Return whether everything has been sent."""
        return not self._bursts

    @property
    def next_deadline(self) -> float | None:
        """Return when to call `take`."""
        return self._bursts[0][0] if self._bursts else None

    def start(self, desired: dict[bytes, Flow], settings: list[cvsw.Message], now: float) -> None:
        """Plan the way from what was sent to what is desired; only while idle."""
        frames = {key: self._frame(flow) for key, flow in desired.items() if self._sent.get(key) != flow}
        unfit = {key: desired[key] for key, frame in frames.items() if frame is None}
        self.refused = [flow for key, flow in unfit.items() if self._unfit.get(key) != flow]
        self._unfit = unfit
        sets = [frame for frame in frames.values() if frame is not None]
        gone = [flow for key, flow in self._sent.items() if desired.get(key) != flow]
        deletes = [cvsw.serialize(self._mac, cvsw.DeleteEntry(flow.delete()), published=True) for flow in gone]
        for flow in gone:
            del self._sent[flow.key]
        self._sent.update((key, desired[key]) for key, frame in frames.items() if frame is not None)
        at = self._schedule([cvsw.serialize(self._mac, message) for message in settings if isinstance(message, cvsw.ChangeOffload)], 1, now)
        at = self._schedule(
            [cvsw.serialize(self._mac, message) for message in settings if isinstance(message, cvsw.ChangeMtu)], REPEATS, at
        )
        at = self._schedule(deletes, REPEATS, at)
        self._schedule(sets, REPEATS, at)

    def take(self, now: float) -> list[bytes]:
        """Return the frames that are due."""
        frames: list[bytes] = []
        while self._bursts and self._bursts[0][0] <= now:
            frames += self._bursts.popleft()[1]
        return frames

    def _schedule(self, frames: list[bytes], repeats: int, at: float) -> float:
        """Plan the frames, all of them and then all of them again; return when the next ones may go."""
        if not frames:
            return at
        for _ in range(repeats):
            for burst in _bursts(frames):
                self._bursts.append((at, burst))
                at += BURST_GAP_S
            at += GAP_S
        return at

    def _frame(self, flow: Flow) -> bytes | None:
        """Return the frame that sets a flow, None for one that the driver cannot carry out."""
        match = flow.match
        never_matches = match.rank(0) == RANK_EXACT or match.nw_tos is not None or match.dl_vlan == VLAN_NONE
        has_extension = any(isinstance(action, SetTunnel) and not action.is_published for action in flow.actions)
        if never_matches or has_extension or flow.can_expire or flow.tells_removal:
            return None
        try:
            return cvsw.serialize(self._mac, cvsw.SetEntry(flow.add()), published=True)
        except ValueError:
            return None


def _bursts(frames: list[bytes]) -> Iterator[list[bytes]]:
    for i in range(0, len(frames), BURST):
        yield frames[i : i + BURST]
