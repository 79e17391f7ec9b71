"""DHCP messages (RFC 2131 section 2, options of RFC 2132).  Bytes in, values out; no I/O.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |     op        |   htype       |    hlen       |     hops      |
    |                              xid                              |
    |             secs              |B|           flags             |
    |                            ciaddr                             |
    |                            yiaddr                             |
    |                            siaddr                             |
    |                            giaddr                             |
    |                        chaddr (16 bytes)                      |
    |                        sname (64 bytes)                       |
    |                         file (128 bytes)                      |
    |              cookie, then options: code, length, value        |

Options may go on in `file` and `sname` (RFC 2131 section 4.1), and one that stands several times is one that was cut (RFC 3396): both
are read, neither is written.  os-ken's codec does neither, takes padding between options for their end, and fails on names that are not
ASCII.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address
from typing import Self

from nvo3.wire.errors import Malformed, Truncated

CLIENT_PORT = 68
SERVER_PORT = 67
REQUEST = 1  # op
REPLY = 2
ETHERNET = 1  # htype
FLAG_BROADCAST = 0x8000
SIZE_MIN = 300  # of what is sent, as BOOTP had it (RFC 1542 section 2.1): some clients and relays want it
OPTION_MAX = 255  # bytes of a value

_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _END, _OVERLOAD = 0, 255, 52
_IN_FILE, _IN_SNAME = 1, 2  # bits of the value of _OVERLOAD
_NO_ADDRESS = IPv4Address(0)


class Kind(IntEnum):
    """Values of Option.MESSAGE_TYPE (RFC 2132 section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """Codes of the options used here: RFC 2132; RFC 3442 for the last."""

    SUBNET_MASK = 1
    ROUTER = 3
    DNS_SERVERS = 6
    DOMAIN = 15
    MTU = 26
    BROADCAST = 28
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETERS = 55
    MESSAGE = 56
    MAX_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    CLIENT_ID = 61
    CLASSLESS_ROUTES = 121


@dataclass(frozen=True, slots=True)
class DhcpMessage:
    """chaddr: hlen bytes.  flags: FLAG_BROADCAST or 0; the others are reserved.  options: code -> value, in the order of the wire."""

    op: int
    xid: int
    chaddr: bytes
    options: Mapping[int, bytes] = field(default_factory=dict)
    htype: int = ETHERNET
    secs: int = 0
    flags: int = 0
    ciaddr: IPv4Address = _NO_ADDRESS
    yiaddr: IPv4Address = _NO_ADDRESS
    giaddr: IPv4Address = _NO_ADDRESS

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        """Return a message.  Raises Truncated where header, cookie or an option is cut off, Malformed for another cookie or hlen."""
        if len(data) < _HEADER.size:
            raise Truncated("dhcp_truncated", f"{len(data)} bytes, a DHCP message has at least {_HEADER.size}")
        op, htype, hlen, _, xid, secs, flags, ciaddr, yiaddr, _, giaddr, chaddr, sname, file, cookie = _HEADER.unpack_from(data)
        if cookie != _COOKIE:
            raise Malformed("dhcp_cookie", f"{cookie.hex()} is not {_COOKIE.hex()}")
        if hlen > len(chaddr):
            raise Malformed("dhcp_hlen", f"{hlen} exceeds {len(chaddr)}")
        options = _collect(bytes(data[_HEADER.size :]))
        overload = options.get(_OVERLOAD, b"\0")[-1:]
        more = [part for bit, part in ((_IN_FILE, file), (_IN_SNAME, sname)) if overload and overload[0] & bit]
        for part in more:
            for code, value in _collect(part).items():
                options[code] = options.get(code, b"") + value
        addresses = (IPv4Address(a) for a in (ciaddr, yiaddr, giaddr))
        return cls(op, xid, chaddr[:hlen], options, htype, secs, flags, *addresses)

    def serialize(self) -> bytes:
        """Return the message, padded.  Raises ValueError for an option or a hardware address that is too long."""
        parts = [b""]
        for code, value in self.options.items():
            if len(value) > OPTION_MAX:
                raise ValueError(f"option {code}: {len(value)} bytes exceed {OPTION_MAX}")
            parts.append(bytes((code, len(value))) + value)
        if len(self.chaddr) > 16:
            raise ValueError(f"chaddr: {len(self.chaddr)} bytes exceed 16")
        addresses = (self.ciaddr.packed, self.yiaddr.packed, b"\0" * 4, self.giaddr.packed)
        head = (self.op, self.htype, len(self.chaddr), 0, self.xid, self.secs, self.flags, *addresses, self.chaddr, b"", b"", _COOKIE)
        return (_HEADER.pack(*head) + b"".join(parts) + bytes((_END,))).ljust(SIZE_MIN, b"\0")

    def address(self, code: int) -> IPv4Address | None:
        """Return the address that an option holds, None without one.  Raises Malformed."""
        value = self.options.get(code)
        if value is None:
            return None
        if len(value) != 4:
            raise Malformed("dhcp_option", f"option {code} of {len(value)} bytes; an address has 4")
        return IPv4Address(value)


def option_size(value: bytes) -> int:
    """Return how many bytes an option takes."""
    return 2 + len(value)


EMPTY_SIZE = _HEADER.size + 1  # a message without options


def _collect(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    for code, value in _options(data):
        options[code] = options.get(code, b"") + value
    return options


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data) and data[offset] != _END:
        if data[offset] == _PAD:
            offset += 1
            continue
        end = offset + 2 + (data[offset + 1] if offset + 1 < len(data) else len(data))
        if end > len(data):
            raise Truncated("dhcp_option", f"option {data[offset]} at byte {offset} of {len(data)} is cut off")
        yield data[offset], data[offset + 2 : end]
        offset = end
