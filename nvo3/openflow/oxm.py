"""OXM and NXM fields: the type-length-value form of match fields (OpenFlow 1.3.5 section 7.2.3.2).

    +--------------------+---------------+---+---------+
    | class (16)         | field (7)     | M | len (8) |  value [mask]
    +--------------------+---------------+---+---------+

Classes: 0x8000 OpenFlow basic; 0x0001 Nicira's registers and tunnel fields (Open vSwitch, ovs-fields(7)); 0x1000 the ND fields of OVS 2.11.
"""

from nvo3.pipeline.flow import Cond, Field, Match

_BASIC = 0x8000
_NXM_1 = 0x0001
_ERICSSON = 0x1000

# field: (class, number, size in bytes)
_FIELDS: dict[Field, tuple[int, int, int]] = {
    Field.IN_PORT: (_BASIC, 0, 4),
    Field.METADATA: (_BASIC, 2, 8),
    Field.ETH_DST: (_BASIC, 3, 6),
    Field.ETH_SRC: (_BASIC, 4, 6),
    Field.ETH_TYPE: (_BASIC, 5, 2),
    Field.VLAN_VID: (_BASIC, 6, 2),
    Field.IP_PROTO: (_BASIC, 10, 1),
    Field.IPV4_SRC: (_BASIC, 11, 4),
    Field.TCP_DST: (_BASIC, 14, 2),
    Field.UDP_SRC: (_BASIC, 15, 2),
    Field.UDP_DST: (_BASIC, 16, 2),
    Field.IPV4_DST: (_BASIC, 12, 4),
    Field.ARP_OP: (_BASIC, 21, 2),
    Field.ARP_SPA: (_BASIC, 22, 4),
    Field.ARP_TPA: (_BASIC, 23, 4),
    Field.ARP_SHA: (_BASIC, 24, 6),
    Field.ARP_THA: (_BASIC, 25, 6),
    Field.IPV6_SRC: (_BASIC, 26, 16),
    Field.IPV6_DST: (_BASIC, 27, 16),
    Field.ICMPV6_TYPE: (_BASIC, 29, 1),
    Field.ICMPV6_CODE: (_BASIC, 30, 1),
    Field.ND_TARGET: (_BASIC, 31, 16),
    Field.ND_SLL: (_BASIC, 32, 6),
    Field.ND_TLL: (_BASIC, 33, 6),
    Field.TUN_ID: (_BASIC, 38, 8),
    Field.REG0: (_NXM_1, 0, 4),
    Field.REG1: (_NXM_1, 1, 4),
    Field.REG15: (_NXM_1, 15, 4),
    Field.TUN_IPV4_SRC: (_NXM_1, 31, 4),
    Field.TUN_IPV4_DST: (_NXM_1, 32, 4),
    Field.ND_RESERVED: (_ERICSSON, 1, 4),
    Field.ND_OPTIONS_TYPE: (_ERICSSON, 2, 1),
}


def _header(oxm_class: int, number: int, size: int, mask: int) -> bytes:
    return (oxm_class << 16 | number << 9 | mask << 8 | (size << mask)).to_bytes(4, "big")


_EXACT: dict[Field, tuple[bytes, int]] = {f: (_header(c, n, s, 0), s) for f, (c, n, s) in _FIELDS.items()}
_MASKED: dict[Field, bytes] = {f: _header(c, n, s, 1) for f, (c, n, s) in _FIELDS.items()}


# Nicira's move action names a field by its older NXM header where it has one, and so does OVS when it reports the action.
_NXM: dict[Field, tuple[int, int]] = {
    Field.ETH_DST: (0, 1),
    Field.ETH_SRC: (0, 2),
    Field.ARP_SPA: (0, 16),
    Field.ARP_TPA: (0, 17),
    Field.TUN_ID: (1, 16),
    Field.ARP_SHA: (1, 17),
    Field.ARP_THA: (1, 18),
    Field.IPV6_SRC: (1, 19),
    Field.IPV6_DST: (1, 20),
    Field.ND_TLL: (1, 25),
}
_MOVE: dict[Field, bytes] = {f: head for f, (head, _) in _EXACT.items()} | {
    f: _header(nxm_class, number, _FIELDS[f][2], 0) for f, (nxm_class, number) in _NXM.items()
}


def move_header(field: Field) -> bytes:
    """Return the 4-byte header by which a move action names a field."""
    return _MOVE[field]


def serialize_value(field: Field, value: int) -> bytes:
    """Return header and value.  Raises OverflowError where the value does not fit the field."""
    head, size = _EXACT[field]
    return head + value.to_bytes(size, "big")


def _serialize_cond(cond: Cond) -> bytes:
    field, value, mask = cond
    head, size = _EXACT[field]
    if mask is None:
        return head + value.to_bytes(size, "big")
    return _MASKED[field] + value.to_bytes(size, "big") + mask.to_bytes(size, "big")


def serialize_match(match: Match) -> bytes:
    """Return the fields of a match, in canonical order: ascending header, in which every field follows its prerequisites."""
    return b"".join(sorted([_serialize_cond(c) for c in match]))


def canonical(fields: bytes) -> bytes:
    """Return the fields of a match from the wire in canonical order.  Raises ValueError where they are cut off."""
    parts = []
    offset, end = 0, len(fields)
    while offset < end:
        if end - offset < 4 or end - offset < 4 + fields[offset + 3]:
            raise ValueError(f"OXM field at byte {offset} of {end} is cut off")
        size = 4 + fields[offset + 3]
        parts.append(fields[offset : offset + size])
        offset += size
    return b"".join(sorted(parts))


_BY_HEADER: dict[bytes, Field] = {head: field for field, (head, _) in _EXACT.items()}


def values(fields: bytes) -> dict[Field, int]:
    """Return the fields of a canonical match that are exact, and ours.  Others are left out."""
    found: dict[Field, int] = {}
    offset = 0
    while offset < len(fields):
        size = 4 + fields[offset + 3]
        field = _BY_HEADER.get(fields[offset : offset + 4])
        if field is not None:
            found[field] = int.from_bytes(fields[offset + 4 : offset + size], "big")
        offset += size
    return found
