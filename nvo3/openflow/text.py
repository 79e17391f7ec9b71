"""Matches and instructions as people read them, in the manner of ovs-ofctl(8); os-ken decodes them, whoever made them."""

from typing import Any

from os_ken.ofproto import ofproto_v1_3_parser as parser

from nvo3.pipeline.flow import CONTROLLER, IN_PORT

# What ovs-fields(7) calls a field, where os-ken has another name for it.
_FIELDS = {
    "eth_dst": "dl_dst",
    "eth_src": "dl_src",
    "eth_type": "dl_type",
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "tunnel_id": "tun_id",
    "tunnel_id_nxm": "tun_id",
    "tun_ipv4_src": "tun_src",
    "tun_ipv4_dst": "tun_dst",
}
_HEX = ("dl_type", "tun_id", "metadata", "vlan_vid")
_PORTS = {IN_PORT: "IN_PORT", CONTROLLER: "CONTROLLER"}


def match_text(match: bytes) -> str:
    """Return an ofp_match."""
    try:
        fields = parser.OFPMatch.parser(match, 0).items()
    except Exception:  # a switch may report what the library cannot read
        return f"undecoded:{match.hex()}"
    return ",".join(_field(name, value) for name, value in fields)


def actions_text(instructions: bytes) -> str:
    """Return what a flow does, `drop` where that is nothing."""
    found: list[str] = []
    offset = 0
    try:
        while offset < len(instructions):
            instruction = parser.OFPInstruction.parser(instructions, offset)
            if instruction.len < 8:
                raise ValueError(instruction.len)
            offset += instruction.len
            found += _instruction(instruction)
    except Exception:
        return f"undecoded:{instructions.hex()}"
    return ",".join(found) or "drop"


def _instruction(instruction: Any) -> list[str]:
    match type(instruction).__name__:
        case "OFPInstructionActions" if instruction.type == 4:
            return [_action(action) for action in instruction.actions]
        case "OFPInstructionActions":
            return [f"write_actions({','.join(map(_action, instruction.actions))})" if instruction.actions else "clear_actions"]
        case "OFPInstructionWriteMetadata":
            return [f"write_metadata:{instruction.metadata:#x}"]
        case "OFPInstructionGotoTable":
            return [f"goto_table:{instruction.table_id}"]
        case "OFPInstructionMeter":
            return [f"meter:{instruction.meter_id}"]
        case other:
            return [other]


def _action(action: Any) -> str:
    match type(action).__name__:
        case "OFPActionOutput":
            return f"output:{_PORTS.get(action.port, action.port)}"
        case "OFPActionSetField":
            name = _FIELDS.get(action.key, action.key)
            return f"set_field:{_value(name, action.value)}->{name}"
        case "NXActionRegMove":
            src, dst = (_FIELDS.get(name, name) for name in (action.src_field, action.dst_field))
            return f"move:{src}[{_bits(action.src_ofs, action.n_bits)}]->{dst}[{_bits(action.dst_ofs, action.n_bits)}]"
        case "NXActionResubmitTable":
            return f"resubmit(,{action.table_id})"
        case _:
            return str(action)


def _bits(offset: int, n: int) -> str:
    return str(offset) if n == 1 else f"{offset}..{offset + n - 1}"


def _field(name: str, value: Any) -> str:
    shown = _FIELDS.get(name, name)
    if isinstance(value, tuple):
        return f"{shown}={_value(shown, value[0])}/{_value(shown, value[1], mask=True)}"
    return f"{shown}={_value(shown, value)}"


def _value(name: str, value: Any, *, mask: bool = False) -> str:
    if isinstance(value, int) and (mask or name in _HEX or name.startswith("reg")):
        return f"{value:#x}"
    return str(value)
