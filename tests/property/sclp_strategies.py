"""Values and bytes of SCLP, VXLAN and Geneve for property tests."""

from hypothesis import strategies as st

from nvo3.wire import geneve, sclp, stt, vxlan
from tests.property import damage
from tests.property.damage import damaged, u8, u16, u32

_addresses = st.binary(min_size=4, max_size=4)
_vnis = st.integers(0, vxlan.VNI_MAX)
udp = st.builds(sclp.Udp, u16, u16, st.booleans())


@st.composite
def segments(draw: st.DrawFn, size: int | None = None) -> sclp.SclpSegment:
    """Any segment, of up to 200 bytes of payload."""
    payload = draw(st.binary(min_size=size or 1, max_size=size or 200))
    first = draw(st.booleans())
    least = max(0, sclp.TOTAL_MIN - len(payload)) if first else 0
    remaining = draw(st.integers(least, sclp.TOTAL_MAX - len(payload)))
    return sclp.SclpSegment(draw(u16), draw(u16), draw(u32) & sclp.ID_MASK, first, remaining, payload)


@st.composite
def packets(draw: st.DrawFn) -> sclp.SclpPacket:
    """Any packet with one record."""
    around = draw(st.none() | udp)
    covered = around is not None and around.has_checksum and draw(st.booleans())
    record = draw(segments()).serialize(covered=covered)
    return sclp.SclpPacket(draw(_addresses), draw(_addresses), (record,), around, draw(u8), draw(u8), draw(u16), draw(st.booleans()))


@st.composite
def super_packets(draw: st.DrawFn) -> tuple[sclp.SclpPacket, int]:
    """A UDP super-packet of up to eight datagrams, the last one perhaps shorter, and their size."""
    size = draw(st.integers(1, 60))
    parts = draw(st.lists(segments(size), max_size=7)) + [draw(segments(draw(st.integers(1, size))))]
    records = tuple(part.serialize(covered=draw(st.booleans())) for part in parts)
    return sclp.SclpPacket(draw(_addresses), draw(_addresses), records, sclp.Udp(draw(u16))), sclp.HEADER_LEN + size


def damaged_packets() -> st.SearchStrategy[bytes]:
    return damaged(packets().map(sclp.SclpPacket.serialize)) | st.binary(max_size=100)


offloads = st.builds(
    lambda version, l4_offset, mss: sclp.Offload(stt.CSUM_PARTIAL | version | (stt.TCP if mss is not None else 0), l4_offset, mss or 0),
    st.sampled_from((0, stt.IPV4)),
    u8,
    st.none() | st.just(0) | st.integers(stt.MSS_MIN, 65535),
)
vxlan_headers = st.builds(vxlan.VxlanHeader, _vnis, st.integers(0, 2**24 - 1), u8) | st.builds(
    lambda offload, vni: offload.in_vxlan(vni), offloads, _vnis
)
_options = st.builds(
    lambda class_, type_, words: geneve.GeneveOption(class_, type_, b"".join(words)),
    u16 | st.just(sclp.OPTION_CLASS),
    u8 | st.just(sclp.OPTION_TYPE),
    st.lists(st.binary(min_size=4, max_size=4), max_size=4),
)
plain_geneve_headers = st.builds(geneve.GeneveHeader, _vnis, st.lists(_options, max_size=4).map(tuple), st.booleans())
geneve_headers = plain_geneve_headers | st.builds(lambda offload, header: offload.in_geneve(header), offloads, plain_geneve_headers)


def damaged_frames() -> st.SearchStrategy[bytes]:
    """What a frame begins with, VXLAN or Geneve, with an Ethernet header."""
    return damaged((vxlan_headers | geneve_headers).map(lambda header: header.serialize() + bytes(14))) | st.binary(max_size=60)


frames = damage.frames(st.integers(sclp.TOTAL_MIN, 3000) | st.sampled_from((9000, 65491, 65535)))
