"""Entries of a flow table as people read them."""

from collections.abc import Iterable
from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from nvo3.wire.of10_action import Action, Output, Port, SetTunnel, StripTunnel
from nvo3.wire.of10_match import VLAN_NONE, Match, TunnelMatch


def match_fields(match: Match) -> dict[str, Any]:
    """Return the fields that are not wildcards, by name."""
    result: dict[str, Any] = {}
    for field in fields(match):
        value = getattr(match, field.name)
        if isinstance(value, TunnelMatch):
            result |= {"tunnel": value.tunnel.name.lower(), "tunnel_id": value.id, "tunnel_bits": value.bits}
        elif value is not None:
            result[field.name] = _value(field.name, value)
    return result


def _value(name: str, value: object) -> object:
    match name, value:
        case "in_port", int():
            return port_name(value)
        case "dl_type", int():
            return f"{value:#06x}"
        case "dl_vlan", int() if value == VLAN_NONE:
            return "none"
        case _, bytes():
            return value.hex(":")
        case _, IPv4Network():
            return str(value.network_address if value.prefixlen == 32 else value)
        case _:
            return value


def match_text(match: Match) -> str:
    """Return a match in one word."""
    return ",".join(f"{name}={value}" for name, value in match_fields(match).items()) or "any"


def port_name(port: int) -> str:
    """Return a port of a vNIC."""
    try:
        return Port(port).name.lower()
    except ValueError:
        return str(port)


def action_text(action: Action) -> str:
    """Return an action in one word."""
    match action:
        case Output(port):
            return f"output:{port_name(port)}"
        case StripTunnel(tunnel):
            return f"strip_{tunnel.name.lower()}"
        case SetTunnel():
            return f"set_{action.tunnel.name.lower()}({','.join(_tunnel_words(action))})"
    values = [getattr(action, field.name) for field in fields(action)]
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(action).__name__)[1:]
    return ":".join([name, *(_argument(value) for value in values)])


def _argument(value: object) -> str:
    if isinstance(value, bytes):
        return str(IPv4Address(value)) if len(value) == 4 else value.hex(":")
    return str(value)


def _tunnel_words(action: SetTunnel) -> Iterable[str]:
    yield f"id={action.id:#x}" if action.tunnel.id_bits == 64 else f"id={action.id}"
    yield f"to={IPv4Address(action.nw_dst)}/{action.dl_dst.hex(':')}"
    yield f"from={IPv4Address(action.nw_src)}/{action.dl_src.hex(':')}"
    if action.offload:
        yield "offload"
    if action.udp:
        yield "udp"
    if action.segment:
        yield f"segment={action.segment}"


def actions_text(actions: Iterable[Action]) -> str:
    """Return actions in one word; no action drops."""
    return ",".join(map(action_text, actions)) or "drop"
