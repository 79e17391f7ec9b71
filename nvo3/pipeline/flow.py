"""FlowSpec: a flow as a value, independent of OpenFlow's encoding.

Fields are integers in host order; an IPv6 address is a 128-bit integer.  `openflow.encoder` knows how each looks on the wire.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple
from uuid import UUID

IN_PORT = 0xFFFFFFF8  # OFPP_IN_PORT (OpenFlow 1.3.5 section 7.2.1)
CONTROLLER = 0xFFFFFFFD  # OFPP_CONTROLLER: the whole packet


class Table(IntEnum):
    """Tables by number; see the package's docstring."""

    CLASSIFY = 0
    VNIC_CONTROL = 2
    UNDERLAY = 3
    ADMIT = 5
    PORT_SECURITY = 10
    CONFIGURATION = 12
    ANSWER = 30
    SEND_ANSWER = 31
    L2 = 50
    FLOOD = 60
    OUTPUT = 80


class Field(Enum):
    """Match fields, in the order that a match lists them."""

    IN_PORT = "in_port"
    ETH_DST = "eth_dst"
    ETH_SRC = "eth_src"
    ETH_TYPE = "eth_type"
    VLAN_VID = "vlan_vid"
    IP_PROTO = "ip_proto"
    TCP_DST = "tcp_dst"
    UDP_SRC = "udp_src"
    UDP_DST = "udp_dst"
    IPV4_SRC = "ipv4_src"
    IPV4_DST = "ipv4_dst"
    ARP_OP = "arp_op"
    ARP_SPA = "arp_spa"
    ARP_TPA = "arp_tpa"
    ARP_SHA = "arp_sha"
    ARP_THA = "arp_tha"
    IPV6_SRC = "ipv6_src"
    IPV6_DST = "ipv6_dst"
    ICMPV6_TYPE = "icmpv6_type"
    ICMPV6_CODE = "icmpv6_code"
    ND_TARGET = "nd_target"
    ND_SLL = "nd_sll"
    ND_TLL = "nd_tll"
    ND_RESERVED = "nd_reserved"
    ND_OPTIONS_TYPE = "nd_options_type"
    METADATA = "metadata"
    TUN_ID = "tun_id"
    TUN_IPV4_SRC = "tun_src"
    TUN_IPV4_DST = "tun_dst"
    REG0 = "reg0"
    REG1 = "reg1"
    REG15 = "reg15"

    __hash__ = object.__hash__  # members are singletons; Enum's own hash goes through Python code


METER_MAX = (1 << 17) - 1  # of our meters; Open vSwitch has twice as many

FROM_UNDERLAY = Field.REG0
FLOOD_PART = Field.REG1
OUT_PORT = Field.REG15


class Cond(NamedTuple):
    """One condition of a match: field & mask == value; mask None is an exact match."""

    field: Field
    value: int
    mask: int | None = None


Match = tuple[Cond, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """Send a copy to an OpenFlow port."""

    port: int


@dataclass(frozen=True, slots=True)
class SetField:
    """Write a whole field."""

    field: Field
    value: int


@dataclass(frozen=True, slots=True)
class Move:
    """Copy n_bits of one field to another, from bit offsets counted from the least significant bit."""

    src: Field
    dst: Field
    n_bits: int
    src_offset: int = 0
    dst_offset: int = 0


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Look up another table and come back."""

    table: Table


Action = Output | SetField | Move | Resubmit


class FlowKey(NamedTuple):
    """What makes two flows the same flow to a switch."""

    table: Table
    priority: int
    match: Match


class Meter(NamedTuple):
    """What limits a flow, or several of a bridge together.  id: 1..METER_MAX; one id is always of one rate."""

    id: int
    packets_per_s: int


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """A flow.

    owner: the object that it serves, None for the pipeline itself.  What exceeds the rate of `meter` is dropped (see `encoder.meter_mod`);
    then actions are applied in order, then metadata is written, then lookup goes on in `goto`; none of them: drop.
    """

    key: FlowKey
    owner: UUID | None = None
    actions: tuple[Action, ...] = ()
    metadata: int | None = None
    goto: Table | None = None
    meter: Meter | None = None


def build_flow(
    table: Table,
    priority: int,
    match: Iterable[Cond] = (),
    *,
    owner: UUID | None = None,
    actions: Iterable[Action] = (),
    metadata: int | None = None,
    goto: Table | None = None,
    meter: Meter | None = None,
) -> FlowSpec:
    """Return a FlowSpec.  goto: a table behind `table`, else ValueError (OpenFlow 1.3.5 section 5.9)."""
    if goto is not None and goto <= table:
        raise ValueError(f"goto {goto} is not behind table {table}")
    return FlowSpec(FlowKey(table, priority, tuple(match)), owner, tuple(actions), metadata, goto, meter)
