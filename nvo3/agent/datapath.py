"""The fast path behind the agent's flow table, and what it must know beside the entries: where tunnels to this vNIC end.

Nobody says that; the entries do.  The outer source of the set action that came last is this vNIC's underlay address, with its MAC; where
no entry has a set action, it is what a match on a tunnel has for nw_dst.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from nvo3.agent.fastpath import FastPath, Refusal, RefusedError
from nvo3.cvsw.table import Counters, Entry
from nvo3.wire.of10_action import SetTunnel, serialize_actions
from nvo3.wire.of10_error import Code, OpenFlowError

_CODES = {
    Refusal.NO_MEMORY: Code.FMFC_ALL_TABLES_FULL,
    Refusal.TABLE_FULL: Code.FMFC_ALL_TABLES_FULL,
    Refusal.NO_ENTRY: Code.FMFC_UNSUPPORTED,
    Refusal.BAD_MATCH: Code.FMFC_UNSUPPORTED,
    Refusal.BAD_ACTION_TYPE: Code.BAC_BAD_TYPE,
    Refusal.BAD_ACTION_LENGTH: Code.BAC_BAD_LEN,
    Refusal.BAD_OUT_PORT: Code.BAC_BAD_OUT_PORT,
    Refusal.BAD_ARGUMENT: Code.BAC_BAD_ARGUMENT,
}

Underlay = tuple[IPv4Address, bytes]  # address and MAC


class FastDatapath:
    """`nvo3.cvsw.table.Datapath` by a fast path.  mac, mtu: of the vNIC."""

    def __init__(self, path: FastPath, mac: bytes, mtu: int) -> None:
        self._path = path
        self._mac = mac
        self._mtu = mtu
        self._ids: dict[bytes, int] = {}
        self._sources: dict[bytes, Underlay] = {}  # by entry, the newest last
        self._ends: dict[bytes, Underlay] = {}
        self._apply_underlay()

    @property
    def underlay(self) -> Underlay | None:
        """Return address and MAC of this vNIC in the underlay, as the entries have them."""
        return next((known[next(reversed(known))] for known in (self._sources, self._ends) if known), None)

    def set_mtu(self, mtu: int) -> None:
        """Say that the vNIC has another MTU."""
        self._mtu = mtu
        self._apply_underlay()

    def put(self, entry: Entry) -> None:
        """See Datapath."""
        flow = entry.flow
        try:
            # Not the match in the key, which is reduced: only the whole one says whether it is exact.
            self._ids[flow.key] = self._path.add(flow.match.serialize(), flow.priority, serialize_actions(flow.actions))
        except RefusedError as error:
            raise _refused(error) from None
        self._note_underlay(entry)

    def modify(self, entry: Entry) -> None:
        """See Datapath."""
        try:
            self._path.modify(self._ids[entry.flow.key], serialize_actions(entry.flow.actions))
        except RefusedError as error:
            raise _refused(error) from None
        self._note_underlay(entry)

    def remove(self, entry: Entry) -> None:
        """See Datapath."""
        key = entry.flow.key
        self._path.delete(self._ids.pop(key))
        self._forget_underlay(key)
        self._apply_underlay()

    def counters(self, entry: Entry) -> Counters:
        """See Datapath; the clock is the monotonic one."""
        stats = self._path.flow_stats([self._ids[entry.flow.key]])[0]
        if stats is None or not stats.n_packets:
            return Counters()
        return Counters(stats.n_packets, stats.n_bytes, stats.used_ms / 1000)

    def stop_encapsulating(self, entries: Iterable[Entry]) -> None:
        """Take from the fast path those of the entries that begin a tunnel."""
        for entry in entries:
            if any(isinstance(action, SetTunnel) for action in entry.flow.actions):
                self.remove(entry)

    def _note_underlay(self, entry: Entry) -> None:
        key, flow = entry.flow.key, entry.flow
        self._forget_underlay(key)
        for action in flow.actions:
            if isinstance(action, SetTunnel):
                self._sources[key] = (IPv4Address(action.nw_src), action.dl_src)
        match = flow.match
        if match.tunnel and match.nw_dst is not None and match.nw_dst.prefixlen == 32:
            self._ends[key] = (match.nw_dst.network_address, match.dl_dst or self._mac)
        self._apply_underlay()

    def _forget_underlay(self, key: bytes) -> None:
        self._sources.pop(key, None)
        self._ends.pop(key, None)

    def _apply_underlay(self) -> None:
        address, mac = self.underlay or (None, self._mac)
        self._path.set_underlay(address, mac, self._mtu)


def _refused(error: RefusedError) -> OpenFlowError:
    return OpenFlowError(_CODES[error.reason], str(error))
