"""OpenFlow 1.0 matches and actions as bytes, typed from the specification (5.2.3, 5.2.4) and from the formats of the tunnel extension."""

import struct
from ipaddress import IPv4Address

HOST, NET = 1, 2
IN_PORT, FLOOD, ALL, CONTROLLER, NONE = 0xFFF8, 0xFFFB, 0xFFFC, 0xFFFD, 0xFFFF
VXLAN, NVGRE, STT, GENEVE, SCLP = 1, 2, 3, 4, 5
OFFLOAD, UDP = 1, 2
UNTAGGED = 0xFFFF
_BITS = {
    "in_port": 0,
    "dl_vlan": 1,
    "dl_src": 2,
    "dl_dst": 3,
    "dl_type": 4,
    "nw_proto": 5,
    "tp_src": 6,
    "tp_dst": 7,
    "dl_vlan_pcp": 20,
    "nw_tos": 21,
}


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def match(tunnel: int = 0, id_: int = 0, id_bits: int = 24, **fields: int | str | tuple[str, int]) -> bytes:
    """Return the 40 bytes of a match; what is not given is a wildcard.  nw_src, nw_dst: an address or (address, prefix length)."""
    wildcards = (1 << 22) - 1
    values: dict[str, int] = dict.fromkeys(_BITS, 0) | {"nw_src": 0, "nw_dst": 0}
    macs = {"dl_src": bytes(6), "dl_dst": bytes(6)}
    for name, value in fields.items():
        if name in ("nw_src", "nw_dst"):
            address, prefix = value if isinstance(value, tuple) else (value, 32)
            shift = 8 if name == "nw_src" else 14
            wildcards = wildcards & ~(0x3F << shift) | (32 - int(prefix)) << shift
            values[name] = int(IPv4Address(address))
            continue
        wildcards &= ~(1 << _BITS[name])
        if name in macs:
            macs[name] = mac_bytes(str(value))
        else:
            assert isinstance(value, int)
            values[name] = value
    if tunnel:
        values["tp_src"], values["tp_dst"] = id_ >> 16, id_ & 0xFFFF
    return (
        struct.pack("!IH", wildcards, values["in_port"])
        + macs["dl_src"]
        + macs["dl_dst"]
        + struct.pack("!HBBH", values["dl_vlan"], values["dl_vlan_pcp"], tunnel, values["dl_type"])
        + struct.pack("!BBBx", values["nw_tos"], values["nw_proto"], id_bits if tunnel else 0)
        + struct.pack("!IIHH", values["nw_src"], values["nw_dst"], values["tp_src"], values["tp_dst"])
    )


def output(port: int) -> bytes:
    return struct.pack("!HHHH", 0, 8, port, 0)


def set_vlan_vid(vid: int) -> bytes:
    return struct.pack("!HHHxx", 1, 8, vid)


def set_vlan_pcp(pcp: int) -> bytes:
    return struct.pack("!HHBxxx", 2, 8, pcp)


def strip_vlan() -> bytes:
    return struct.pack("!HHxxxx", 3, 8)


def set_dl_src(mac: str) -> bytes:
    return struct.pack("!HH6s6x", 4, 16, mac_bytes(mac))


def set_dl_dst(mac: str) -> bytes:
    return struct.pack("!HH6s6x", 5, 16, mac_bytes(mac))


def set_nw_src(address: str) -> bytes:
    return struct.pack("!HHI", 6, 8, int(IPv4Address(address)))


def set_nw_dst(address: str) -> bytes:
    return struct.pack("!HHI", 7, 8, int(IPv4Address(address)))


def set_nw_tos(tos: int) -> bytes:
    return struct.pack("!HHBxxx", 8, 8, tos)


def set_tp_src(port: int) -> bytes:
    return struct.pack("!HHHxx", 9, 8, port)


def set_tp_dst(port: int) -> bytes:
    return struct.pack("!HHHxx", 10, 8, port)


def set_tunnel(tunnel: int, id_: int, *, macs: tuple[str, str], addresses: tuple[str, str], flags: int = 0, segment: int = 0) -> bytes:
    """Return the 64 bytes of a set action; macs, addresses: of the underlay, destination and source."""
    destination, source = (IPv4Address(address).packed for address in addresses)
    return struct.pack(
        "!HH6s6s16s16sQHHI",
        0x0FFF + 2 * tunnel,
        64,
        mac_bytes(macs[0]),
        mac_bytes(macs[1]),
        destination,
        source,
        id_,
        flags,
        segment,
        0,
    )


def strip_tunnel(tunnel: int) -> bytes:
    return struct.pack("!HHxxxx", 0x1000 + 2 * tunnel, 8)
