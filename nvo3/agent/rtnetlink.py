"""Links, addresses and routes of the kernel (rtnetlink(7), <linux/rtnetlink.h>), as far as the agent moves them.

Addresses and routes stay the bytes that the kernel told, so that what is not known here is moved, too.  Written by hand because a guest
then needs no library for it, and importing one takes longer than all else at the start.
"""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EADDRNOTAVAIL, EEXIST, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, ENOBUFS, ENODEV, ESRCH
from typing import Self

IFF_UP = 0x1
IFF_NOARP = 0x80
ADDR_GEN_NONE = 1  # IN6_ADDR_GEN_MODE_NONE
ARPHRD_ETHER = 1

_NEWLINK, _GETLINK = 16, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_REQUEST, _ACK, _DUMP, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_ERROR, _DONE = 2, 3

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED, NLA_F_NET_BYTEORDER
_INT = struct.Struct("=i")
_RTMGRP_LINK = 1
_RECEIVE_BYTES = 1 << 17

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_AF_SPEC, _IFLA_GSO_MAX_SIZE = 1, 3, 4, 10, 26, 41
_IFLA_INET6_ADDR_GEN_MODE = 8

_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_IFA_LABEL, _IFA_FLAGS = 3, 8
_IFA_F_NODAD = 0x02
_NAME_MAX = 15

_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_CACHEINFO, _RTA_VIA, _RTA_EXPIRES, _RTA_NH_ID = 4, 5, 9, 12, 18, 23, 30
_RT_TABLE_LOCAL = 255
_RTM_F_CLONED = 0x200
_KEPT_FLAGS = 0x2 | 0x4  # RTNH_F_PERVASIVE, RTNH_F_ONLINK; the others are the kernel's to set
_NEXT_HOP = struct.Struct("=HBBi")  # length, flags, hops, index
_TICKS_PER_S = 100  # USER_HZ


@dataclass(frozen=True, slots=True)
class Link:
    """A device.  kind: an ARPHRD_*.  flags: IFF_*.  master: index of the bridge or bond that it belongs to, 0: none."""

    index: int
    kind: int
    flags: int
    name: str
    mac: bytes
    mtu: int
    master: int
    addr_gen_mode: int | None


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]


def _next_hops(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield flags, hops, index and attributes of the next hops of a route."""
    while len(data) >= _NEXT_HOP.size:
        length, flags, hops, index = _NEXT_HOP.unpack_from(data)
        if length < _NEXT_HOP.size:
            return
        yield flags, hops, index, data[_NEXT_HOP.size : length]
        data = data[(length + 3) & ~3 :]


class Rtnetlink:
    """The kernel of the calling thread's network namespace.  Every method raises OSError, ENODEV where a device is gone."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def _request(self, kind: int, flags: int, payload: bytes) -> list[bytes]:
        """Return the payloads of the answers."""
        self._sequence += 1
        length = _HEADER.size + len(payload)
        self._socket.send(_HEADER.pack(length, kind, flags | _REQUEST, self._sequence, 0) + payload)
        answers: list[bytes] = []
        while True:
            data = self._socket.recv(_RECEIVE_BYTES)
            while len(data) >= _HEADER.size:
                length, answer, _, sequence, _ = _HEADER.unpack_from(data)
                body, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
                if sequence != self._sequence:
                    continue
                if answer in (_ERROR, _DONE):
                    error = -_INT.unpack_from(body)[0] if len(body) >= _INT.size else 0
                    if error > 0:
                        raise OSError(error, os.strerror(error))
                    return answers
                answers.append(body)

    # Links

    def link(self, index: int) -> Link:
        """Return a device."""
        for body in self._request(_GETLINK, _DUMP, _LINK.pack(0, 0, 0, 0, 0)):
            _, kind, found, flags, _ = _LINK.unpack_from(body)
            if found == index:
                attributes = dict(_attributes(body[_LINK.size :]))
                number = {k: int.from_bytes(attributes.get(k, b""), "little") for k in (_IFLA_MTU, _IFLA_MASTER)}
                name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode(errors="replace")
                mac = attributes.get(_IFLA_ADDRESS, b"")
                return Link(index, kind, flags, name, mac, number[_IFLA_MTU], number[_IFLA_MASTER], _addr_gen_mode(attributes))
        raise OSError(ENODEV, os.strerror(ENODEV))

    def set_flag(self, index: int, flag: int, *, on: bool) -> None:
        """Set or clear an IFF_* of a device."""
        self._request(_NEWLINK, _ACK, _LINK.pack(0, 0, index, flag if on else 0, flag))

    def set_mac(self, index: int, mac: bytes) -> None:
        """Give a device an address."""
        self._set_link(index, _attribute(_IFLA_ADDRESS, mac))

    def set_mtu(self, index: int, mtu: int) -> None:
        """Give a device an MTU, in bytes."""
        self._set_link(index, _attribute(_IFLA_MTU, struct.pack("=I", mtu)))

    def set_gso_max_size(self, index: int, size: int) -> None:
        """Limit what the stack gives a device to segment, in bytes."""
        self._set_link(index, _attribute(_IFLA_GSO_MAX_SIZE, struct.pack("=I", size)))

    def set_addr_gen_mode(self, index: int, mode: int) -> None:
        """Say how a device gets its link-local address."""
        of_ipv6 = _attribute(socket.AF_INET6, _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([mode])))
        self._set_link(index, _attribute(_IFLA_AF_SPEC, of_ipv6))

    def _set_link(self, index: int, attribute: bytes) -> None:
        self._request(_NEWLINK, _ACK, _LINK.pack(0, 0, index, 0, 0) + attribute)

    # Addresses

    def addresses(self, index: int) -> list[bytes]:
        """Return the IPv4 and IPv6 addresses of a device."""
        found = self._request(_GETADDR, _DUMP, _ADDRESS.pack(0, 0, 0, 0, 0))
        return [body for body in found if _ADDRESS.unpack_from(body)[4] == index and body[0] in (socket.AF_INET, socket.AF_INET6)]

    def add_address(self, address: bytes) -> None:
        """Add an address to the device that it names, unless it is there; one whose life is over is not."""
        self._try(_NEWADDR, _CREATE | _EXCL, address, EEXIST, EINVAL)

    def remove_address(self, address: bytes) -> None:
        """Remove an address; those that go with it are no error."""
        self._try(_DELADDR, 0, address, EADDRNOTAVAIL)

    # Routes

    def routes(self, index: int) -> list[bytes]:
        """Return the routes by a device in all tables but the kernel's own, in an order in which they can be added."""
        found = [body for body in self._request(_GETROUTE, _DUMP, _ROUTE.pack(*bytes(8), 0)) if _is_by(body, index)]
        return sorted(found, key=_has_gateway)

    def add_route(self, route: bytes) -> None:
        """Add a route, unless it is there; one whose gateway is out of reach, or whose device is down, is left out."""
        self._try(_NEWROUTE, _CREATE | _EXCL, route, EEXIST, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EINVAL)

    def remove_route(self, route: bytes) -> None:
        """Remove a route, if it is there."""
        self._try(_DELROUTE, 0, route, ESRCH)

    def _try(self, kind: int, flags: int, payload: bytes, *fine: int) -> None:
        try:
            self._request(kind, flags | _ACK, payload)
        except OSError as error:
            if error.errno not in fine:
                raise


class LinkEvents:
    """A descriptor that can be read when some device has changed; not what has."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, _RTMGRP_LINK))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Take all that is there."""
        while True:
            try:
                self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != ENOBUFS:  # some were lost
                    raise


def _addr_gen_mode(attributes: dict[int, bytes]) -> int | None:
    of_ipv6 = dict(_attributes(attributes.get(_IFLA_AF_SPEC, b""))).get(socket.AF_INET6, b"")
    mode = dict(_attributes(of_ipv6)).get(_IFLA_INET6_ADDR_GEN_MODE)
    return mode[0] if mode else None


def _is_by(route: bytes, index: int) -> bool:
    fields = _ROUTE.unpack_from(route)
    if fields[0] not in (socket.AF_INET, socket.AF_INET6) or fields[4] == _RT_TABLE_LOCAL or fields[8] & _RTM_F_CLONED:
        return False
    attributes = dict(_attributes(route[_ROUTE.size :]))
    indices = [hop[2] for hop in _next_hops(attributes.get(_RTA_MULTIPATH, b""))]
    return index in indices or attributes.get(_RTA_OIF) == _INT.pack(index)


def _has_gateway(route: bytes) -> bool:
    return any(kind in (_RTA_GATEWAY, _RTA_VIA, _RTA_MULTIPATH) for kind, _ in _attributes(route[_ROUTE.size :]))


def moved_address(address: bytes, source: Link, target: Link) -> bytes:
    """Return what adds an address of one device to another.

    The address is unique already, since it is the guest's: it shall not be out of use while the kernel makes sure.
    """
    family, prefix_len, flags, scope, _ = _ADDRESS.unpack_from(address)
    result = b""
    for kind, value in _attributes(address[_ADDRESS.size :]):
        if kind == _IFA_FLAGS:
            value = struct.pack("=I", struct.unpack("=I", value)[0] | _IFA_F_NODAD)
        elif kind == _IFA_LABEL:
            label = value.rstrip(b"\0").decode(errors="replace")
            if label.startswith(source.name):
                label = target.name + label[len(source.name) :]
            value = label[:_NAME_MAX].encode() + b"\0"
        result += _attribute(kind, value)
    return _ADDRESS.pack(family, prefix_len, flags | _IFA_F_NODAD, scope, target.index) + result


def moved_route(route: bytes, source: Link, target: Link) -> bytes:
    """Return what adds a route by one device to another."""
    *fields, flags = _ROUTE.unpack_from(route)
    result = b""
    for kind, value in _attributes(route[_ROUTE.size :]):
        match kind:
            case _ if kind == _RTA_OIF:
                result += _attribute(kind, _INT.pack(target.index))
            case _ if kind == _RTA_MULTIPATH:
                result += _attribute(kind, b"".join(_moved_hop(*hop, source, target) for hop in _next_hops(value)))
            case _ if kind == _RTA_CACHEINFO:
                expires = _INT.unpack_from(value, 8)[0]
                result += _attribute(_RTA_EXPIRES, _INT.pack(max(expires // _TICKS_PER_S, 1))) if expires > 0 else b""
            case _ if kind != _RTA_NH_ID:  # of a next hop that is the guest's object: the route has what that says, too
                result += _attribute(kind, value)
    return _ROUTE.pack(*fields, flags & _KEPT_FLAGS) + result


def _moved_hop(flags: int, hops: int, index: int, attributes: bytes, source: Link, target: Link) -> bytes:
    index = target.index if index == source.index else index
    length = _NEXT_HOP.size + len(attributes)
    return _NEXT_HOP.pack(length, flags & _KEPT_FLAGS, hops, index) + attributes + bytes(-length % 4)
