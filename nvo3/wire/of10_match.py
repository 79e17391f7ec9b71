"""OpenFlow 1.0's match (specification 1.0.1, section 5.2.3), and the match on tunnels that CVSW adds.  Bytes in, values out; no I/O.

    offset  0 wildcards (32)
            4 in_port (16)   6 dl_src[6]   12 dl_dst[6]   18 dl_vlan (16)   20 dl_vlan_pcp (8)   21 pad1[1]
           22 dl_type (16)  24 nw_tos (8)  25 nw_proto (8)  26 pad2[2]
           28 nw_src (32)   32 nw_dst (32)   36 tp_src (16)   38 tp_dst (16)

A match on a tunnel has two forms, docs/protocols/cvsw.md explains both: ours, in the pads, and the published one, in bits of the wildcards
that standard OpenFlow 1.0 uses otherwise.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv4Network
from typing import Self

from nvo3.wire.of10_error import Code, OpenFlowError

MATCH_LEN = 40
VLAN_NONE = 0xFFFF  # dl_vlan of a frame without a tag
TUNNEL_BITS_MAX = 32
RANK_EXACT = 0x10000  # above all priorities

_MATCH = struct.Struct("!IH6s6sHBBHBBBxIIHH")

_IN_PORT = 1 << 0
_DL_VLAN = 1 << 1
_DL_SRC = 1 << 2
_DL_DST = 1 << 3
_DL_TYPE = 1 << 4
_NW_PROTO = 1 << 5
_TP_SRC = 1 << 6
_TP_DST = 1 << 7
_NW_SRC_SHIFT = 8
_NW_DST_SHIFT = 14
_NW_BITS = 0x3F  # low bits of an address that do not count; 32 and more: none counts
_DL_VLAN_PCP = 1 << 20
_NW_TOS = 1 << 21
WILDCARDS_ALL = (1 << 22) - 1

_TUNNEL_SHIFT = 16  # published form: a bit for each tunnel type, clear where it is matched
_TUNNEL_WILDCARDS = 0x1F << _TUNNEL_SHIFT
_DSCP = 0xFC
_IPV4 = 0x0800
_ARP = 0x0806
_WITH_PORTS = (1, 6, 17)  # ICMP, TCP, UDP
_PCP = 0x07


class Tunnel(IntEnum):
    """Types of tunnels, with their numbers in our form of the match; SCLP: VXLAN over SCLP."""

    VXLAN = 1
    NVGRE = 2
    STT = 3
    GENEVE = 4
    SCLP = 5

    @property
    def id_bits(self) -> int:
        """Return how many bits the network id has on the wire."""
        return 64 if self is Tunnel.STT else 24


@dataclass(frozen=True, slots=True)
class TunnelMatch:
    """Packets of a tunnel to this vNIC.  id: the low `bits` (0..32) of the network id; STT's context id has more of them."""

    tunnel: Tunnel
    id: int
    bits: int = TUNNEL_BITS_MAX

    def __post_init__(self) -> None:
        """Raise ValueError for what the wire cannot carry."""
        if not 0 <= self.bits <= TUNNEL_BITS_MAX:
            raise ValueError(f"bits: {self.bits} is not in 0..{TUNNEL_BITS_MAX}")
        if not 0 <= self.id < 1 << self.bits:
            raise ValueError(f"id: {self.id} does not fit {self.bits} bits")


@dataclass(frozen=True, slots=True)
class Match:
    """What a packet must be; None: any.

    dl_vlan: VLAN_NONE without a tag.  nw_tos: DSCP in the upper 6 bits.  nw_proto: of ARP, the operation.  nw_src, nw_dst: of ARP, too.
    tp_src, tp_dst: of ICMP, type and code.  tunnel takes the place of tp_src and tp_dst.  Some have no meaning beside others: `reduced`.
    """

    in_port: int | None = None
    dl_src: bytes | None = None
    dl_dst: bytes | None = None
    dl_vlan: int | None = None
    dl_vlan_pcp: int | None = None
    dl_type: int | None = None
    nw_tos: int | None = None
    nw_proto: int | None = None
    nw_src: IPv4Network | None = None
    nw_dst: IPv4Network | None = None
    tp_src: int | None = None
    tp_dst: int | None = None
    tunnel: TunnelMatch | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a tunnel beside ports."""
        if self.tunnel is not None and (self.tp_src is not None or self.tp_dst is not None):
            raise ValueError("tunnel: its id takes the place of tp_src and tp_dst")

    @classmethod
    def parse(cls, data: bytes | memoryview, offset: int = 0, *, published: bool = False) -> Self:
        """Return the match at `offset` of `data`, which has MATCH_LEN bytes there.

        published: the sender knows the published form of a tunnel's match only.  Raises OpenFlowError for a tunnel that does not exist.
        """
        fields = _MATCH.unpack_from(data, offset)
        wildcards, in_port, dl_src, dl_dst, dl_vlan, pcp, pad1, dl_type, tos, proto, pad2, nw_src, nw_dst, tp_src, tp_dst = fields
        if published:
            tunnel, wildcards = _parse_published(wildcards, tp_src << 16 | tp_dst)
        else:
            tunnel = _parse_tunnel(pad1, pad2, tp_src << 16 | tp_dst) if pad1 else None
        has_ports = tunnel is None
        return cls(
            None if wildcards & _IN_PORT else in_port,
            None if wildcards & _DL_SRC else dl_src,
            None if wildcards & _DL_DST else dl_dst,
            None if wildcards & _DL_VLAN else dl_vlan,
            None if wildcards & _DL_VLAN_PCP else pcp & _PCP,
            None if wildcards & _DL_TYPE else dl_type,
            None if wildcards & _NW_TOS else tos & _DSCP,
            None if wildcards & _NW_PROTO else proto,
            _network(nw_src, wildcards >> _NW_SRC_SHIFT & _NW_BITS),
            _network(nw_dst, wildcards >> _NW_DST_SHIFT & _NW_BITS),
            tp_src if has_ports and not wildcards & _TP_SRC else None,
            tp_dst if has_ports and not wildcards & _TP_DST else None,
            tunnel,
        )

    def serialize(self, *, published: bool = False) -> bytes:
        """Return the MATCH_LEN bytes.  Raises ValueError for what the form cannot carry, or a value that is out of range."""
        wildcards = self._wildcards()
        pad1 = pad2 = 0
        tp_src, tp_dst = self.tp_src or 0, self.tp_dst or 0
        if self.tunnel is not None:
            tp_src, tp_dst = self.tunnel.id >> 16, self.tunnel.id & 0xFFFF
            pad1, pad2 = int(self.tunnel.tunnel), self.tunnel.bits
        if published:
            wildcards, pad1, pad2 = self._published_wildcards(wildcards), 0, 0
        if (self.nw_tos or 0) & ~_DSCP or (self.dl_vlan_pcp or 0) & ~_PCP:
            raise ValueError(f"nw_tos {self.nw_tos}: DSCP is the upper 6 bits; dl_vlan_pcp {self.dl_vlan_pcp}: at most {_PCP}")
        try:
            return _MATCH.pack(
                wildcards,
                self.in_port or 0,
                _mac("dl_src", self.dl_src),
                _mac("dl_dst", self.dl_dst),
                self.dl_vlan or 0,
                self.dl_vlan_pcp or 0,
                pad1,
                self.dl_type or 0,
                self.nw_tos or 0,
                self.nw_proto or 0,
                pad2,
                0 if self.nw_src is None else int(self.nw_src.network_address),
                0 if self.nw_dst is None else int(self.nw_dst.network_address),
                tp_src,
                tp_dst,
            )
        except struct.error as error:
            raise ValueError(f"{self}: {error}") from None

    def rank(self, priority: int) -> int:
        """Return what decides between entries: `priority`, but an exact match comes before all others (section 3.4), whatever its own."""
        return RANK_EXACT if self._wildcards() == 0 else priority

    def reduced(self) -> "Match":
        """Return the match without the fields that others leave without a meaning (section 3.4, as Open vSwitch reads it).

        A priority needs a tag; nw_proto and addresses need IPv4 or ARP, nw_tos needs IPv4, and ports need TCP, UDP or ICMP over it.
        """
        gone: list[str] = []
        if self.dl_vlan == VLAN_NONE:
            gone.append("dl_vlan_pcp")
        if self.dl_type not in (_IPV4, _ARP):
            gone += ("nw_proto", "nw_src", "nw_dst")
        if self.dl_type != _IPV4:
            gone.append("nw_tos")
        if self.dl_type != _IPV4 or self.nw_proto not in _WITH_PORTS:
            gone += ("tp_src", "tp_dst")
        gone = [name for name in gone if getattr(self, name) is not None]
        return replace(self, **dict.fromkeys(gone)) if gone else self

    def _wildcards(self) -> int:
        return (
            (_IN_PORT if self.in_port is None else 0)
            | (_DL_VLAN if self.dl_vlan is None else 0)
            | (_DL_SRC if self.dl_src is None else 0)
            | (_DL_DST if self.dl_dst is None else 0)
            | (_DL_TYPE if self.dl_type is None else 0)
            | (_NW_PROTO if self.nw_proto is None else 0)
            | (_TP_SRC if self.tp_src is None else 0)
            | (_TP_DST if self.tp_dst is None else 0)
            | _ignored_bits(self.nw_src) << _NW_SRC_SHIFT
            | _ignored_bits(self.nw_dst) << _NW_DST_SHIFT
            | (_DL_VLAN_PCP if self.dl_vlan_pcp is None else 0)
            | (_NW_TOS if self.nw_tos is None else 0)
        )

    def _published_wildcards(self, wildcards: int) -> int:
        if self.nw_dst is not None or self.dl_vlan_pcp is not None:
            raise ValueError("nw_dst, dl_vlan_pcp: the published form uses their wildcards for tunnels")
        if self.nw_src is not None and self.nw_src.prefixlen != 32:
            raise ValueError(f"nw_src: {self.nw_src}: the published driver has no prefixes")
        if self.tunnel is None:
            return wildcards
        if self.tunnel.bits != TUNNEL_BITS_MAX:
            raise ValueError(f"tunnel: {self.tunnel.bits} bits, the published form has all {TUNNEL_BITS_MAX}")
        return wildcards & ~(1 << _TUNNEL_SHIFT + self.tunnel.tunnel - 1)


def _ignored_bits(network: IPv4Network | None) -> int:
    # All six bits, as in OFPFW_ALL: the published form has its own in the upper four of nw_dst's.
    return _NW_BITS if network is None else 32 - network.prefixlen


def _network(address: int, ignored_bits: int) -> IPv4Network | None:
    """Return the prefix; a prefix of no bits is no condition."""
    if ignored_bits >= 32:
        return None
    return IPv4Network((address >> ignored_bits << ignored_bits, 32 - ignored_bits))


def _mac(name: str, address: bytes | None) -> bytes:
    if address is None:
        return bytes(6)
    if len(address) != 6:
        raise ValueError(f"{name}: {len(address)} bytes, a MAC address has 6")
    return address


def _parse_tunnel(kind: int, bits: int, id_: int) -> TunnelMatch:
    if kind > max(Tunnel) or bits > TUNNEL_BITS_MAX:
        raise OpenFlowError(Code.FMFC_UNSUPPORTED, f"match on tunnel type {kind}, {bits} bits of the id")
    return TunnelMatch(Tunnel(kind), id_ & (1 << bits) - 1, bits)


def _parse_published(wildcards: int, id_: int) -> tuple[TunnelMatch | None, int]:
    """Return the tunnel, and the wildcards without its bits.  One of the five bits is clear, or it is standard OpenFlow 1.0."""
    matched = ~wildcards & _TUNNEL_WILDCARDS
    if not matched or matched & matched - 1 or matched == _DL_VLAN_PCP and not wildcards & _DL_VLAN:
        return None, wildcards
    tunnel = Tunnel((matched >> _TUNNEL_SHIFT).bit_length())
    return TunnelMatch(tunnel, id_), wildcards | _TUNNEL_WILDCARDS
