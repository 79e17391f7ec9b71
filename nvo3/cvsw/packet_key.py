"""Matches and packets as numbers, so that comparing them takes an operation or two.

A match is (value, mask), a packet is a value: all fields one behind the other.  A packet fits if `packet & mask == value`.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Network

from nvo3.wire.of10_match import VLAN_NONE, Match, Tunnel

_FIELDS = struct.Struct("!H6s6sHBHBBIIHHBI")
_TAGGED = 8  # beside the priority
_PCP_MASK = _TAGGED | 7
_MAC_MASK = b"\xff" * 6


@dataclass(frozen=True, slots=True)
class PacketKey:
    """What OpenFlow 1.0 sees of a packet: fields as in `Match`, 0 where the packet has none.

    nw_src, nw_dst: as numbers.  tunnel, tunnel_id: of a tunnel packet to this vNIC, and the low 32 bits of its network id.
    """

    in_port: int = 0
    dl_src: bytes = bytes(6)
    dl_dst: bytes = bytes(6)
    dl_vlan: int = VLAN_NONE
    dl_vlan_pcp: int = 0
    dl_type: int = 0
    nw_tos: int = 0
    nw_proto: int = 0
    nw_src: int = 0
    nw_dst: int = 0
    tp_src: int = 0
    tp_dst: int = 0
    tunnel: Tunnel | None = None
    tunnel_id: int = 0

    @property
    def value(self) -> int:
        """Return it as a number; of nw_tos, DSCP only."""
        return _number(
            self.in_port,
            self.dl_src,
            self.dl_dst,
            self.dl_vlan,
            0 if self.dl_vlan == VLAN_NONE else self.dl_vlan_pcp | _TAGGED,
            self.dl_type,
            self.nw_tos & 0xFC,
            self.nw_proto,
            self.nw_src,
            self.nw_dst,
            self.tp_src,
            self.tp_dst,
            self.tunnel or 0,
            self.tunnel_id,
        )


def value_and_mask(match: Match) -> tuple[int, int]:
    """Return what a packet's number must be where the mask has ones."""
    match = match.reduced()
    tunnel = match.tunnel
    value = _number(
        match.in_port or 0,
        match.dl_src or bytes(6),
        match.dl_dst or bytes(6),
        match.dl_vlan or 0,
        0 if match.dl_vlan_pcp is None else match.dl_vlan_pcp | _TAGGED,
        match.dl_type or 0,
        match.nw_tos or 0,
        match.nw_proto or 0,
        0 if match.nw_src is None else int(match.nw_src.network_address),
        0 if match.nw_dst is None else int(match.nw_dst.network_address),
        match.tp_src or 0,
        match.tp_dst or 0,
        0 if tunnel is None else tunnel.tunnel,
        0 if tunnel is None else tunnel.id,
    )
    mask = _number(
        _ones(match.in_port, 16),
        bytes(6) if match.dl_src is None else _MAC_MASK,
        bytes(6) if match.dl_dst is None else _MAC_MASK,
        _ones(match.dl_vlan, 16),
        0 if match.dl_vlan_pcp is None else _PCP_MASK,
        _ones(match.dl_type, 16),
        _ones(match.nw_tos, 8) & 0xFC,
        _ones(match.nw_proto, 8),
        _netmask(match.nw_src),
        _netmask(match.nw_dst),
        _ones(match.tp_src, 16),
        _ones(match.tp_dst, 16),
        _ones(tunnel, 8),
        0 if tunnel is None else (1 << tunnel.bits) - 1,
    )
    return value, mask


def _number(*fields: int | bytes) -> int:
    return int.from_bytes(_FIELDS.pack(*fields), "big")


def _ones(field: object | None, n_bits: int) -> int:
    return 0 if field is None else (1 << n_bits) - 1


def _netmask(network: IPv4Network | None) -> int:
    return 0 if network is None else int(network.netmask)
