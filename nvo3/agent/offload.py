"""Offloads of a device (ethtool's features, <linux/ethtool.h>), and the bits of CHANGE_OFFLOAD that stand for them."""

import array
import fcntl
import socket
import struct
from errno import EOPNOTSUPP

from nvo3.wire.cvsw import OFFLOADS, Offload

_SIOCETHTOOL = 0x8946
_GSSET_INFO, _GSTRINGS, _GFEATURES, _SFEATURES = 0x37, 0x1B, 0x3A, 0x3B
_ETH_SS_FEATURES = 4
_NAME_LEN = 32
_BITS = 32  # of a block of features

# What a bit turns on and off, by how the names begin.  UFO itself is gone from Linux; what cuts UDP now is tx-udp-segmentation.
_PREFIXES: dict[Offload, tuple[str, ...]] = {
    Offload.CSUM: ("rx-checksum", "tx-checksum-"),
    Offload.TSO: ("tx-tcp",),
    Offload.UFO: ("tx-udp-segmentation",),
    Offload.GSO: ("tx-generic-segmentation",),
    Offload.GRO: ("rx-gro",),
}
# What tells whether it is on, where that is not the same: without checksums, Linux leaves some of TSO's features on.
_TELLING = {**_PREFIXES, Offload.TSO: ("tx-tcp-segmentation", "tx-tcp6-segmentation")}
_WHOLE_NAMES = ("rx-gro",)  # others begin with it


def _is_of(feature: str, prefixes: tuple[str, ...]) -> bool:
    return any(feature == prefix or (feature.startswith(prefix) and prefix not in _WHOLE_NAMES) for prefix in prefixes)


def _call(name: str, request: "array.array[int]") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, _SIOCETHTOOL, struct.pack("16sP16x", name.encode(), request.buffer_info()[0]))


def _words(data: bytes) -> "array.array[int]":
    words = array.array("I")
    words.frombytes(data)
    return words


def names(offload: Offload) -> str:
    """Return the names of some offloads."""
    return ",".join(bit.name.lower() for bit in offload if bit.name) or "none"


class Features:
    """The features of a device, as read by the constructor.  active: what is on.  Raises OSError."""

    def __init__(self, name: str) -> None:
        self._name = name
        info = _words(struct.pack("=IIQI4x", _GSSET_INFO, 0, 1 << _ETH_SS_FEATURES, 0))
        _call(name, info)
        n = info[4]
        strings = _words(struct.pack("=III", _GSTRINGS, _ETH_SS_FEATURES, n) + bytes(n * _NAME_LEN))
        _call(name, strings)
        names = strings.tobytes()[12:]
        self._names = [names[i : i + _NAME_LEN].split(b"\0")[0].decode() for i in range(0, n * _NAME_LEN, _NAME_LEN)]
        blocks = -(-n // _BITS)
        features = _words(struct.pack("=II", _GFEATURES, blocks) + bytes(16 * blocks))
        _call(name, features)
        # Of each block: available, requested, active, never changed.
        self.active = {name for i, name in enumerate(self._names) if name and features[2 + i // _BITS * 4 + 2] >> i % _BITS & 1}
        self._available = {name for i, name in enumerate(self._names) if name and features[2 + i // _BITS * 4] >> i % _BITS & 1}

    @property
    def offload(self) -> Offload:
        """Return the bits of which something is on, among what can be changed if anything can: virtio-net's rx-checksum never is off."""
        result = Offload(0)
        for bit, prefixes in _TELLING.items():
            telling = {name for name in self._names if _is_of(name, prefixes)}
            if (telling & self._available or telling) & self.active:
                result |= bit
        return result

    def ours(self) -> dict[str, bool]:
        """Return those features that CHANGE_OFFLOAD may change."""
        return {name: name in self.active for name in self._available if any(_is_of(name, prefixes) for prefixes in _PREFIXES.values())}

    def set_offload(self, offload: Offload) -> None:
        """Turn these on, but for what the device does not have, and the others off.

        Raises OSError where it cannot, and has what it had before.
        """
        before = self.ours()
        after = self._try(offload)
        if after == offload:
            return
        at_best = self._try(OFFLOADS)
        if after != offload & at_best:
            self.set(before)
            raise OSError(EOPNOTSUPP, f"it would have {names(after)}")
        self._try(offload)

    def _try(self, offload: Offload) -> Offload:
        """Ask for these, and no others; return what is on then."""
        self.set({name: any(bit & offload and _is_of(name, prefixes) for bit, prefixes in _PREFIXES.items()) for name in self.ours()})
        return Features(self._name).offload

    def set(self, features: dict[str, bool]) -> None:
        """Turn features on and off; the device may have its own mind."""
        blocks = -(-len(self._names) // _BITS)
        request = _words(struct.pack("=II", _SFEATURES, blocks) + bytes(8 * blocks))
        for i, name in enumerate(self._names):
            if name in features:
                place = 2 + i // _BITS * 2  # valid, requested
                request[place] |= 1 << i % _BITS
                request[place + 1] |= (1 << i % _BITS) if features[name] else 0
        _call(self._name, request)
