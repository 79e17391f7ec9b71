"""The fast path in C (`native/fastpath/fastpath.h`) as a class.

No packet passes through Python: `FastPath.run` forwards in C without the interpreter's lock, in a thread of its own.
Every other method may be called from any thread meanwhile.
"""

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from types import ModuleType
from typing import Any, Self


def _load() -> ModuleType:
    """Return the extension module: the installed one, or in a checkout one that is made for it."""
    try:
        import _nvo3_fastpath
    except ModuleNotFoundError:
        from nvo3.prepare.fastpath import ensure_fastpath

        sys.path.append(str(ensure_fastpath()))
        import _nvo3_fastpath
    module: ModuleType = _nvo3_fastpath
    return module


_module = _load()
_ffi: Any = _module.ffi
_lib: Any = _module.lib

HOST: int = _lib.FASTPATH_HOST
NET: int = _lib.FASTPATH_NET
MATCH_BYTES = 40


class Refusal(IntEnum):
    """Why the fast path refuses a flow entry; the names are those of OpenFlow 1.0's errors where it has one."""

    NO_MEMORY = _lib.FASTPATH_NO_MEMORY
    NO_ENTRY = _lib.FASTPATH_NO_ENTRY
    BAD_MATCH = _lib.FASTPATH_BAD_MATCH
    TABLE_FULL = _lib.FASTPATH_TABLE_FULL
    BAD_ACTION_TYPE = _lib.FASTPATH_BAD_ACTION_TYPE
    BAD_ACTION_LENGTH = _lib.FASTPATH_BAD_ACTION_LENGTH
    BAD_OUT_PORT = _lib.FASTPATH_BAD_OUT_PORT
    BAD_ARGUMENT = _lib.FASTPATH_BAD_ARGUMENT


class RefusedError(Exception):
    """The fast path refused a change; nothing has changed.  reason: why."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.name.lower().replace("_", " "))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FlowStats:
    """What an entry has done.  used_ms: when last, by the monotonic clock; when it was added if it was never used."""

    n_packets: int
    n_bytes: int
    used_ms: int


class FastPath:
    """The flow table between a link and a TAP; both descriptors stay the caller's and must live longer.

    link_fd: a packet socket with PACKET_VNET_HDR and PACKET_AUXDATA.  tap_fd: IFF_TAP, IFF_NO_PI and IFF_VNET_HDR, not blocking.
    `close` it, or use it as a context; `run` must have returned by then.
    """

    def __init__(self, link_fd: int, tap_fd: int, max_entries: int = 65536) -> None:
        """Raises OSError where there is no memory or no descriptor left."""
        holder = _ffi.new("struct fastpath **")
        config = _ffi.new("struct fastpath_config *", {"link_fd": link_fd, "tap_fd": tap_fd, "max_entries": max_entries})
        _raise_errno(_lib.fastpath_create(holder, config))
        self._path = holder[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free everything."""
        if self._path != _ffi.NULL:
            _lib.fastpath_destroy(self._path)
            self._path = _ffi.NULL

    def run(self) -> None:
        """Forward until `stop`.  Raises OSError when the link or the TAP is gone."""
        _raise_errno(_lib.fastpath_run(self._path))

    def step(self, timeout_s: float = 0) -> None:
        """Forward what has arrived, after waiting for it; what `run` does again and again."""
        _raise_errno(_lib.fastpath_step(self._path, int(timeout_s * 1000)))

    def stop(self) -> None:
        """Make `run` return, also one that begins later."""
        _lib.fastpath_stop(self._path)

    def set_underlay(self, address: IPv4Address | None, mac: bytes, mtu: int) -> None:
        """Say where tunnels to this vNIC end; ARP requests for the address are answered.  None: nowhere."""
        if len(mac) != 6:
            raise ValueError(f"a MAC address has 6 bytes, not {len(mac)}")
        _lib.fastpath_set_underlay(self._path, int(address) if address else 0, mac, mtu)

    def set_miss(self, *, drops: bool) -> None:
        """Say what becomes of a packet that no entry matches: it passes untouched, as at first, or is dropped."""
        _lib.fastpath_set_miss(self._path, drops)

    def add(self, match: bytes, priority: int, actions: bytes) -> int:
        """Add an entry and return its id.

        match: a FLOW_MOD's 40 bytes.  actions: those that follow it.  An entry of the same match and priority is replaced; its id is gone.
        Raises RefusedError.
        """
        if len(match) != MATCH_BYTES:
            raise ValueError(f"a match has {MATCH_BYTES} bytes, not {len(match)}")
        id_ = _ffi.new("uint64_t *")
        _raise_refusal(_lib.fastpath_add(self._path, match, priority, actions, len(actions), id_))
        return int(id_[0])

    def modify(self, id_: int, actions: bytes) -> None:
        """Give an entry other actions; its counters stay.  Raises RefusedError."""
        _raise_refusal(_lib.fastpath_modify(self._path, id_, actions, len(actions)))

    def delete(self, id_: int) -> FlowStats:
        """Delete an entry and return its last counters.  Raises RefusedError if there is none."""
        stats = _ffi.new("struct fastpath_flow_stats *")
        _raise_refusal(_lib.fastpath_delete(self._path, id_, stats))
        return FlowStats(stats.n_packets, stats.n_bytes, stats.used_ms)

    def clear(self) -> None:
        """Delete all entries."""
        _lib.fastpath_clear(self._path)

    def flow_stats(self, ids: Sequence[int]) -> list[FlowStats | None]:
        """Return the counters of entries, None for one that there is not."""
        stats = _ffi.new("struct fastpath_flow_stats[]", len(ids))
        _lib.fastpath_read(self._path, _ffi.new("uint64_t[]", list(ids)), len(ids), stats)
        return [FlowStats(one.n_packets, one.n_bytes, one.used_ms) if one.used_ms >= 0 else None for one in stats]

    def counters(self) -> dict[str, int]:
        """Return the counters of ports, of drops by reason, and of reassembly."""
        values = _ffi.new("uint64_t[]", _lib.fastpath_n_counters())
        _lib.fastpath_read_counters(self._path, values)
        return {_ffi.string(_lib.fastpath_counter_name(i)).decode(): int(value) for i, value in enumerate(values)}

    def control_fd(self) -> int:
        """Return the descriptor, to poll for reading, of the queue of control frames; it stays the fast path's."""
        return int(_lib.fastpath_control_fd(self._path))

    def receive_control(self) -> bytes | None:
        """Return the next control frame that came from NET, with its Ethernet header, or None."""
        with socket.socket(fileno=self.control_fd()) as queue:
            try:
                return queue.recv(1 << 17)
            except BlockingIOError:
                return None
            finally:
                queue.detach()

    def send(self, frame: bytes) -> None:
        """Send a frame out of NET, past the table.  Raises OSError."""
        _raise_errno(_lib.fastpath_send(self._path, frame, len(frame)))


def _raise_errno(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def _raise_refusal(error: int) -> None:
    if error:
        raise RefusedError(Refusal(error))
