"""Rules of a vNIC as flows of its table, and what an agent's capabilities are worth."""

from ipaddress import IPv4Network

from nvo3.cvsw.flow import Flow
from nvo3.model.ids import Mac, mac_to_int
from nvo3.model.physical import ENCAPSULATIONS
from nvo3.pipeline.vnic import Decapsulate, Encapsulate, VnicRule
from nvo3.wire.cvsw import Capability
from nvo3.wire.of10_action import Output, Port, SetTunnel, StripTunnel
from nvo3.wire.of10_match import TUNNEL_BITS_MAX, Match, Tunnel, TunnelMatch

_IPV4 = 0x0800
_VNI_BITS = 24

# Encapsulations that CVSW has, with their tunnel type.
_TUNNELS = {
    "vxlan": Tunnel.VXLAN,
    "gre": Tunnel.NVGRE,
    "stt": Tunnel.STT,
    "geneve": Tunnel.GENEVE,
    "sclp": Tunnel.SCLP,
    "sclp-udp": Tunnel.SCLP,
}
# An original driver has neither SCLP over UDP nor the state of inner frames that switches send in SCLP.  It compares 32 bits of STT's
# context id, in which switches put more than the VNI.
_ORIGINAL = frozenset({"vxlan", "gre", "geneve"})


def encapsulations(capabilities: Capability) -> frozenset[str]:
    """Return the encapsulations that an agent with these capabilities can be programmed for."""
    return frozenset(_TUNNELS) if Capability.MATCH in capabilities else _ORIGINAL


def flows_of(rule: VnicRule, capabilities: Capability) -> tuple[Flow, ...]:
    """Return the flows that carry out a rule, in the form that an agent with these capabilities understands."""
    has_match = Capability.MATCH in capabilities
    match rule:
        case Encapsulate():
            return (_encapsulate(rule, has_match),)
        case Decapsulate():
            tunnels = {_TUNNELS[name] for name in encapsulations(capabilities)}
            return tuple(_decapsulate(rule, tunnel, has_match) for tunnel in sorted(tunnels))


def _encapsulate(rule: Encapsulate, has_match: bool) -> Flow:
    tunnel = _TUNNELS[rule.encapsulation]
    layout = ENCAPSULATIONS[rule.encapsulation].key
    is_sclp = tunnel is Tunnel.SCLP
    action = SetTunnel(
        tunnel,
        _octets(rule.outer_dst_mac),
        _octets(rule.outer_src_mac),
        rule.outer_dst.packed,
        rule.outer_src.packed,
        rule.tunnel_key if tunnel is Tunnel.STT else layout.vni.get(rule.tunnel_key),
        offload=is_sclp and has_match,
        udp=rule.encapsulation == "sclp-udp",
        segment=rule.underlay_mtu if has_match else 0,
    )
    return Flow(Match(in_port=Port.HOST, dl_dst=_octets(rule.mac)), actions=(action, Output(Port.NET)))


def _decapsulate(rule: Decapsulate, tunnel: Tunnel, has_match: bool) -> Flow:
    source = IPv4Network(rule.outer_src)
    if has_match:
        there = TunnelMatch(tunnel, rule.vni, _VNI_BITS)
        match = Match(in_port=Port.NET, dl_type=_IPV4, nw_src=source, nw_dst=IPv4Network(rule.outer_dst), tunnel=there)
    else:
        match = Match(in_port=Port.NET, dl_type=_IPV4, nw_src=source, tunnel=TunnelMatch(tunnel, rule.vni, TUNNEL_BITS_MAX))
    return Flow(match, actions=(StripTunnel(tunnel), Output(Port.HOST)))


def _octets(mac: Mac) -> bytes:
    return mac_to_int(mac).to_bytes(6, "big")
