"""OpenFlow 1.0's actions (specification 1.0.1, section 5.2.4) and the tunnel actions that CVSW adds.  Bytes in, values out; no I/O.

    +-----------+-----------+
    | type (16) | len (16)  |  arguments, padded to a multiple of 8
    +-----------+-----------+

Setting a tunnel, 64 bytes; stripping one is the 8 bytes of an action without arguments:

    offset  0 type (16)   2 len (16)   4 dl_dst[6]   10 dl_src[6]   16 nw_dst[16]   32 nw_src[16]
           48 id (64): STT's context id; of others the upper 32 bits are padding
           56 flags (16)   58 segment (16)   60 pad[4]           all padding in the published form
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from nvo3.wire.check import require_range
from nvo3.wire.of10_error import Code, OpenFlowError
from nvo3.wire.of10_match import Tunnel

ACTIONS_MAX = 0xFFFF - 72  # bytes: what a FLOW_MOD has room for
SEGMENT_MIN = 128  # of the underlay's MTU: room for all headers and some payload


class Port(IntEnum):
    """Ports of a vNIC's table.  FLOOD, ALL: that of HOST and NET which the packet did not come from.  NONE: drop."""

    HOST = 1
    NET = 2
    IN_PORT = 0xFFF8
    FLOOD = 0xFFFB
    ALL = 0xFFFC
    NONE = 0xFFFF


class _Type(IntEnum):
    OUTPUT = 0
    SET_VLAN_VID = 1
    SET_VLAN_PCP = 2
    STRIP_VLAN = 3
    SET_DL_SRC = 4
    SET_DL_DST = 5
    SET_NW_SRC = 6
    SET_NW_DST = 7
    SET_NW_TOS = 8
    SET_TP_SRC = 9
    SET_TP_DST = 10
    SET_TUNNEL = 0x1001  # VXLAN's; each tunnel type has a pair of numbers
    STRIP_TUNNEL = 0x1002
    VENDOR = 0xFFFF


_HEADER = struct.Struct("!HH")
_OUTPUT = struct.Struct("!HHHH")
_U8 = struct.Struct("!HHB3x")
_U16 = struct.Struct("!HHH2x")
_ADDRESS = struct.Struct("!HH4s")
_MAC = struct.Struct("!HH6s6x")
_BARE = struct.Struct("!HH4x")
_SET_TUNNEL = struct.Struct("!HH6s6s4s12s4s12sQHH4x")

_FLAG_OFFLOAD = 1
_FLAG_UDP = 2
_NO_REST = bytes(12)


@dataclass(frozen=True, slots=True)
class Output:
    """port: one of Port, or another that the receiver refuses.  max_len: bytes for a controller, which a vNIC does not send to."""

    port: int
    max_len: int = 0

    def serialize(self) -> bytes:
        """Return the action."""
        return _OUTPUT.pack(_Type.OUTPUT, 8, self.port, self.max_len)


@dataclass(frozen=True, slots=True)
class SetVlanVid:
    """Add a tag or change its VLAN id, 0..4095."""

    vid: int

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, vid=4095)

    def serialize(self) -> bytes:
        """Return the action."""
        return _U16.pack(_Type.SET_VLAN_VID, 8, self.vid)


@dataclass(frozen=True, slots=True)
class SetVlanPcp:
    """Add a tag or change its priority, 0..7."""

    pcp: int

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, pcp=7)

    def serialize(self) -> bytes:
        """Return the action."""
        return _U8.pack(_Type.SET_VLAN_PCP, 8, self.pcp)


@dataclass(frozen=True, slots=True)
class StripVlan:
    """Take the tag off, if there is one."""

    def serialize(self) -> bytes:
        """Return the action."""
        return _BARE.pack(_Type.STRIP_VLAN, 8)


@dataclass(frozen=True, slots=True)
class SetDlSrc:
    """address: 6 bytes."""

    address: bytes

    def serialize(self) -> bytes:
        """Return the action."""
        return _MAC.pack(_Type.SET_DL_SRC, 16, _sized(self.address, 6))


@dataclass(frozen=True, slots=True)
class SetDlDst:
    """address: 6 bytes."""

    address: bytes

    def serialize(self) -> bytes:
        """Return the action."""
        return _MAC.pack(_Type.SET_DL_DST, 16, _sized(self.address, 6))


@dataclass(frozen=True, slots=True)
class SetNwSrc:
    """address: IPv4, 4 bytes."""

    address: bytes

    def serialize(self) -> bytes:
        """Return the action."""
        return _ADDRESS.pack(_Type.SET_NW_SRC, 8, _sized(self.address, 4))


@dataclass(frozen=True, slots=True)
class SetNwDst:
    """address: IPv4, 4 bytes."""

    address: bytes

    def serialize(self) -> bytes:
        """Return the action."""
        return _ADDRESS.pack(_Type.SET_NW_DST, 8, _sized(self.address, 4))


@dataclass(frozen=True, slots=True)
class SetNwTos:
    """tos: DSCP in the upper 6 bits; ECN stays."""

    tos: int

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, tos=252)
        if self.tos & 3:
            raise ValueError(f"tos: {self.tos} has bits of ECN")

    def serialize(self) -> bytes:
        """Return the action."""
        return _U8.pack(_Type.SET_NW_TOS, 8, self.tos)


@dataclass(frozen=True, slots=True)
class SetTpSrc:
    """port: of TCP or UDP."""

    port: int

    def serialize(self) -> bytes:
        """Return the action."""
        return _U16.pack(_Type.SET_TP_SRC, 8, self.port)


@dataclass(frozen=True, slots=True)
class SetTpDst:
    """port: of TCP or UDP."""

    port: int

    def serialize(self) -> bytes:
        """Return the action."""
        return _U16.pack(_Type.SET_TP_DST, 8, self.port)


@dataclass(frozen=True, slots=True)
class SetTunnel:
    """Encapsulate.

    dl_dst, dl_src: 6 bytes each, nw_dst, nw_src: IPv4, 4 bytes each, of the outer headers.  id: network id, 64 bits for STT, else 24.
    The others are not in the published form.  offload: the peer takes the offload state of inner frames, which SCLP sends only then.
    udp: SCLP over UDP.  segment: the underlay's MTU, SEGMENT_MIN..65535 bytes; 0: the vNIC's.
    """

    tunnel: Tunnel
    dl_dst: bytes
    dl_src: bytes
    nw_dst: bytes
    nw_src: bytes
    id: int
    offload: bool = False
    udp: bool = False
    segment: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        require_range(self, id=(1 << self.tunnel.id_bits) - 1, segment=65535)
        if 0 < self.segment < SEGMENT_MIN:
            raise ValueError(f"segment: {self.segment} is below {SEGMENT_MIN}")
        if (self.offload or self.udp) and self.tunnel is not Tunnel.SCLP:
            raise ValueError(f"offload, udp: SCLP's, not {self.tunnel.name}'s")
        for name, address, size in (
            ("dl_dst", self.dl_dst, 6),
            ("dl_src", self.dl_src, 6),
            ("nw_dst", self.nw_dst, 4),
            ("nw_src", self.nw_src, 4),
        ):
            if len(address) != size:
                raise ValueError(f"{name}: {len(address)} bytes, not {size}")

    @property
    def is_published(self) -> bool:
        """Return whether the published form can carry it."""
        return not (self.offload or self.udp or self.segment)

    def serialize(self) -> bytes:
        """Return the action, 64 bytes."""
        flags = (_FLAG_OFFLOAD if self.offload else 0) | (_FLAG_UDP if self.udp else 0)
        head = (_Type.SET_TUNNEL + 2 * (self.tunnel - 1), _SET_TUNNEL.size, self.dl_dst, self.dl_src)
        return _SET_TUNNEL.pack(*head, self.nw_dst, _NO_REST, self.nw_src, _NO_REST, self.id, flags, self.segment)


@dataclass(frozen=True, slots=True)
class StripTunnel:
    """Decapsulate."""

    tunnel: Tunnel

    def serialize(self) -> bytes:
        """Return the action, 8 bytes."""
        return _BARE.pack(_Type.STRIP_TUNNEL + 2 * (self.tunnel - 1), _BARE.size)


Action = (
    Output
    | SetVlanVid
    | SetVlanPcp
    | StripVlan
    | SetDlSrc
    | SetDlDst
    | SetNwSrc
    | SetNwDst
    | SetNwTos
    | SetTpSrc
    | SetTpDst
    | SetTunnel
    | StripTunnel
)


def _sized(address: bytes, size: int) -> bytes:
    if len(address) != size:
        raise ValueError(f"address: {len(address)} bytes, not {size}")
    return address


def _argument(kind: str, value: int, is_good: bool) -> int:
    if not is_good:
        raise OpenFlowError(Code.BAC_BAD_ARGUMENT, f"{kind} {value}")
    return value


def _parse_set_tunnel(tunnel: Tunnel, data: bytes, offset: int, published: bool) -> SetTunnel:
    fields = _SET_TUNNEL.unpack_from(data, offset)
    _, _, dl_dst, dl_src, nw_dst, dst_rest, nw_src, src_rest, id_, flags, segment = fields
    if dst_rest != _NO_REST or src_rest != _NO_REST:
        raise OpenFlowError(Code.BAC_BAD_ARGUMENT, "outer address is not IPv4")
    if tunnel is not Tunnel.STT:
        id_ &= 0xFFFFFFFF
    if published:
        flags = segment = 0
    if flags & ~(_FLAG_OFFLOAD | _FLAG_UDP):
        raise OpenFlowError(Code.BAC_BAD_ARGUMENT, f"flags {flags:#06x}")
    try:
        return SetTunnel(tunnel, dl_dst, dl_src, nw_dst, nw_src, id_, bool(flags & _FLAG_OFFLOAD), bool(flags & _FLAG_UDP), segment)
    except ValueError as error:
        raise OpenFlowError(Code.BAC_BAD_ARGUMENT, str(error)) from None


def _u8(data: bytes, offset: int) -> int:
    return data[offset + 4]


def _u16(data: bytes, offset: int) -> int:
    return data[offset + 4] << 8 | data[offset + 5]


# type: (length, parse(data, offset, published))
_Parser = Callable[[bytes, int, bool], Action]
_PARSERS: dict[int, tuple[int, _Parser]] = {
    _Type.OUTPUT: (8, lambda d, o, _: Output(_u16(d, o), d[o + 6] << 8 | d[o + 7])),
    _Type.SET_VLAN_VID: (8, lambda d, o, _: SetVlanVid(_argument("VLAN id", v := _u16(d, o), v < 4096))),
    _Type.SET_VLAN_PCP: (8, lambda d, o, _: SetVlanPcp(_argument("VLAN priority", v := _u8(d, o), v < 8))),
    _Type.STRIP_VLAN: (8, lambda d, o, _: StripVlan()),
    _Type.SET_DL_SRC: (16, lambda d, o, _: SetDlSrc(d[o + 4 : o + 10])),
    _Type.SET_DL_DST: (16, lambda d, o, _: SetDlDst(d[o + 4 : o + 10])),
    _Type.SET_NW_SRC: (8, lambda d, o, _: SetNwSrc(d[o + 4 : o + 8])),
    _Type.SET_NW_DST: (8, lambda d, o, _: SetNwDst(d[o + 4 : o + 8])),
    _Type.SET_NW_TOS: (8, lambda d, o, _: SetNwTos(_argument("TOS", v := _u8(d, o), not v & 3))),
    _Type.SET_TP_SRC: (8, lambda d, o, _: SetTpSrc(_u16(d, o))),
    _Type.SET_TP_DST: (8, lambda d, o, _: SetTpDst(_u16(d, o))),
}


def _set_tunnel_parser(tunnel: Tunnel) -> _Parser:
    return lambda data, offset, published: _parse_set_tunnel(tunnel, data, offset, published)


def _strip_tunnel_parser(tunnel: Tunnel) -> _Parser:
    return lambda data, offset, published: StripTunnel(tunnel)


for _tunnel in Tunnel:
    _PARSERS[_Type.SET_TUNNEL + 2 * (_tunnel - 1)] = (_SET_TUNNEL.size, _set_tunnel_parser(_tunnel))
    _PARSERS[_Type.STRIP_TUNNEL + 2 * (_tunnel - 1)] = (_BARE.size, _strip_tunnel_parser(_tunnel))


def parse_actions(data: bytes, *, published: bool = False) -> tuple[Action, ...]:
    """Return the actions that fill `data`.

    published: the sender knows the published form only, so what it pads with means nothing.  Raises OpenFlowError.
    """
    actions = []
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _BARE.size:
            raise OpenFlowError(Code.BAC_BAD_LEN, f"{end - offset} bytes are left, an action has at least {_BARE.size}")
        kind, length = _HEADER.unpack_from(data, offset)
        if length < _BARE.size or length % 8 or length > end - offset:
            raise OpenFlowError(Code.BAC_BAD_LEN, f"action {kind:#x} of {length} bytes in {end - offset}, in multiples of 8")
        if kind not in _PARSERS:
            raise OpenFlowError(Code.BAC_BAD_VENDOR if kind == _Type.VENDOR else Code.BAC_BAD_TYPE, f"action {kind:#x}")
        expected, parser = _PARSERS[kind]
        if length != expected:
            raise OpenFlowError(Code.BAC_BAD_LEN, f"action {kind:#x} of {length} bytes, it has {expected}")
        actions.append(parser(data, offset, published))
        offset += length
    return tuple(actions)


def serialize_actions(actions: Iterable[Action]) -> bytes:
    """Return the actions' bytes.  Raises ValueError where a FLOW_MOD has no room for them, or a value is out of range."""
    try:
        data = b"".join([action.serialize() for action in actions])
    except struct.error as error:
        raise ValueError(f"{actions}: {error}") from None
    if len(data) > ACTIONS_MAX:
        raise ValueError(f"actions: {len(data)} bytes exceed {ACTIONS_MAX}")
    return data
