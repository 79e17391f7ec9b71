"""Values and bytes of CVSW for property tests."""

from ipaddress import IPv4Network

from hypothesis import strategies as st

from nvo3.cvsw.packet_key import PacketKey
from nvo3.wire import cvsw, of10, of10_action
from nvo3.wire.of10_action import ACTIONS_MAX, SEGMENT_MIN, SetTunnel, StripTunnel, serialize_actions
from nvo3.wire.of10_match import VLAN_NONE, Match, Tunnel, TunnelMatch
from tests.property.damage import damaged, u8, u16, u32

MAC = bytes.fromhex("020000000001")
u64 = st.integers(0, 2**64 - 1)
macs = st.binary(min_size=6, max_size=6)
addresses = st.binary(min_size=4, max_size=4)
tunnels = st.sampled_from(Tunnel)
tos = u8.map(lambda value: value & 0xFC)
ports = st.sampled_from(of10_action.Port)


@st.composite
def networks(draw: st.DrawFn) -> IPv4Network:
    return IPv4Network((draw(u32), draw(st.integers(1, 32))), strict=False)


@st.composite
def tunnel_matches(draw: st.DrawFn) -> TunnelMatch:
    bits = draw(st.integers(0, 32))
    return TunnelMatch(draw(tunnels), draw(st.integers(0, (1 << bits) - 1)), bits)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """Any match, with a tunnel or with ports."""
    tunnel = draw(st.none() | tunnel_matches())
    tp = st.none() if tunnel else st.none() | u16
    fields = (u16, macs, macs, u16, st.integers(0, 7), u16, tos, u8, networks(), networks())
    return Match(*[draw(st.none() | field) for field in fields], draw(tp), draw(tp), tunnel)


@st.composite
def set_tunnels(draw: st.DrawFn) -> SetTunnel:
    tunnel = draw(tunnels)
    options = [draw(st.booleans()), draw(st.booleans())] if tunnel is Tunnel.SCLP else [False, False]
    id_ = draw(st.integers(0, (1 << tunnel.id_bits) - 1))
    segment = draw(st.just(0) | st.integers(SEGMENT_MIN, 65535))
    return SetTunnel(tunnel, draw(macs), draw(macs), draw(addresses), draw(addresses), id_, *options, segment)


def actions() -> st.SearchStrategy[of10_action.Action]:
    return st.one_of(
        st.builds(of10_action.Output, u16, u16),
        st.builds(of10_action.SetVlanVid, st.integers(0, 4095)),
        st.builds(of10_action.SetVlanPcp, st.integers(0, 7)),
        st.builds(of10_action.StripVlan),
        st.builds(of10_action.SetDlSrc, macs),
        st.builds(of10_action.SetDlDst, macs),
        st.builds(of10_action.SetNwSrc, addresses),
        st.builds(of10_action.SetNwDst, addresses),
        st.builds(of10_action.SetNwTos, tos),
        st.builds(of10_action.SetTpSrc, u16),
        st.builds(of10_action.SetTpDst, u16),
        set_tunnels(),
        st.builds(StripTunnel, tunnels),
    )


def action_lists(max_size: int = 6) -> st.SearchStrategy[tuple[of10_action.Action, ...]]:
    lists = st.lists(actions(), max_size=max_size).map(tuple)
    return lists.filter(lambda found: len(serialize_actions(found)) <= ACTIONS_MAX)


def flow_mods(commands: st.SearchStrategy[of10.Command]) -> st.SearchStrategy[of10.FlowMod]:
    flags = st.integers(0, 3)
    return st.builds(of10.FlowMod, commands, matches(), u16, action_lists(), u64, u16, u16, flags, u16, u32)


def flow_stats() -> st.SearchStrategy[of10.FlowStats]:
    return st.builds(of10.FlowStats, matches(), u16, action_lists(), u64, u16, u16, u16, st.integers(0, 2**32 * of10.NS - 1), u64, u64)


def removed() -> st.SearchStrategy[of10.FlowRemoved]:
    durations = st.integers(0, 2**32 * of10.NS - 1)
    return st.builds(of10.FlowRemoved, matches(), u16, st.sampled_from(of10.Reason), u64, u16, durations, u64, u64)


def statuses() -> st.SearchStrategy[cvsw.Status]:
    return st.builds(cvsw.Status, u32, u32, u32, u64, u16, u16)


@st.composite
def stats_requests(draw: st.DrawFn) -> cvsw.FlowStatsRequest:
    bits = draw(st.integers(0, cvsw.BUCKET_BITS_MAX))
    request = of10.FlowStatsRequest(draw(matches()), draw(u16), draw(u32))
    return cvsw.FlowStatsRequest(request, bits, draw(st.integers(0, (1 << bits) - 1)))


def messages() -> st.SearchStrategy[cvsw.Message]:
    """Any message, as it comes back from the wire."""
    capabilities = st.integers(1, 0x3F).map(cvsw.Capability)
    window = st.integers(0, (1 << cvsw.WINDOW) - 1)
    sets = st.sampled_from((of10.Command.ADD, of10.Command.MODIFY, of10.Command.MODIFY_STRICT))
    deletes = st.sampled_from((of10.Command.DELETE, of10.Command.DELETE_STRICT))
    replies = st.builds(of10.FlowStatsReply, st.lists(flow_stats(), max_size=3).map(tuple), st.booleans(), u32)
    return st.one_of(
        st.builds(cvsw.Hello, capabilities),
        st.just(cvsw.Hello()),
        st.builds(cvsw.Register, capabilities, u32, u32, st.booleans()),
        st.just(cvsw.Register()),
        st.builds(cvsw.SetEntry, flow_mods(sets)),
        st.builds(cvsw.DeleteEntry, flow_mods(deletes)),
        st.builds(cvsw.ChangeMtu, u16),
        st.builds(cvsw.ChangeOffload, st.integers(0, 0x1F).map(cvsw.Offload)),
        st.builds(cvsw.BarrierRequest, u32, u32, u32),
        st.builds(cvsw.BarrierReply, u32, statuses(), u32, window, window),
        st.builds(cvsw.EchoRequest, u32),
        st.builds(cvsw.EchoReply, u32, statuses()),
        stats_requests(),
        st.builds(cvsw.FlowStatsReply, replies, u16),
        st.builds(cvsw.FlowRemoved, removed()),
        st.builds(cvsw.Error, st.builds(of10.Error, u16, u16, st.binary(max_size=140), u32)),
    )


def frames() -> st.SearchStrategy[bytes]:
    return messages().map(lambda message: cvsw.serialize(MAC, message))


def damaged_frames() -> st.SearchStrategy[bytes]:
    """Frames to this vNIC that were good once, and anything."""
    return damaged(frames()) | damaged(frames()).map(lambda data: MAC + data[6:]) | st.binary(max_size=200)


# Few values, so that matches and packets meet.
_vlans = st.sampled_from((VLAN_NONE, 0, 5))
_types = st.sampled_from((0x800, 0x800, 0x806, 0x86DD))
_protocols = st.sampled_from((1, 6, 17, 47))
_small_macs = st.sampled_from((bytes(6), MAC))
_small_networks = st.sampled_from([IPv4Network(text) for text in ("10.0.0.0/8", "10.0.0.0/31", "10.0.0.1/32", "128.0.0.0/1")])
_small_tunnels = st.builds(TunnelMatch, st.sampled_from((Tunnel.VXLAN, Tunnel.STT)), st.integers(0, 1), st.sampled_from((1, 24, 32)))


@st.composite
def small_matches(draw: st.DrawFn) -> Match:
    tunnel = draw(st.none() | _small_tunnels)
    tp = st.none() if tunnel else st.none() | st.integers(0, 1)
    small = st.integers(0, 1)
    dscp = st.sampled_from((0, 4))
    fields = (small, _small_macs, _small_macs, _vlans, small, _types, dscp, _protocols, _small_networks, _small_networks)
    return Match(*[draw(st.none() | field) for field in fields], draw(tp), draw(tp), tunnel)


@st.composite
def small_packets(draw: st.DrawFn) -> PacketKey:
    small = st.integers(0, 1)
    address = st.sampled_from((0x0A000000, 0x0A000001, 0x0A000002, 0x80000000))
    tos = st.sampled_from((0, 1, 4))
    fields = (small, _small_macs, _small_macs, _vlans, small, _types, tos, _protocols, address, address, small, small)
    tunnel = draw(st.none() | st.sampled_from((Tunnel.VXLAN, Tunnel.STT)))
    return PacketKey(*[draw(field) for field in fields], tunnel, draw(st.integers(0, 3)) if tunnel else 0)
