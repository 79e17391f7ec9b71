"""Values and bytes of STT for property tests."""

from dataclasses import replace

from hypothesis import strategies as st

from nvo3.wire import stt
from tests.property import damage
from tests.property.damage import damaged, u8, u16, u32

_addresses = st.binary(min_size=4, max_size=4)


@st.composite
def headers(draw: st.DrawFn) -> stt.SttHeader:
    """Any header that the wire carries."""
    tags = st.none() | st.integers(0, 0xFFFF).map(lambda tci: tci & 0xEFFF)
    header = stt.SttHeader(draw(st.integers(0, 2**64 - 1)), draw(st.sampled_from((0, stt.CSUM_VERIFIED))), vlan_tci=draw(tags))
    if draw(st.booleans()):
        return header
    kind = draw(st.sampled_from((0, stt.IPV4, stt.TCP, stt.IPV4 | stt.TCP)))
    mss = draw(st.just(0) | st.integers(stt.MSS_MIN, 0xFFFF)) if kind & stt.TCP else 0
    return replace(header, flags=stt.CSUM_PARTIAL | kind, l4_offset=draw(u8), mss=mss)


@st.composite
def packets(draw: st.DrawFn) -> stt.SttPacket:
    """Any packet with a segment, of up to 200 bytes of payload."""
    payload = draw(st.binary(min_size=1, max_size=200))
    total = draw(st.integers(max(stt.TOTAL_MIN, len(payload)), stt.TOTAL_MAX))
    offset = draw(st.integers(0, total - len(payload)))
    segment = stt.SttSegment(draw(u16), draw(u16), draw(u32), total, offset, payload)
    return stt.SttPacket(draw(_addresses), draw(_addresses), segment, draw(u8), draw(u8), draw(u16), draw(st.booleans()))


def damaged_packets() -> st.SearchStrategy[bytes]:
    return damaged(packets().map(stt.SttPacket.serialize)) | st.binary(max_size=100)


def damaged_headers() -> st.SearchStrategy[bytes]:
    return damaged(headers().map(lambda header: header.serialize() + bytes(14))) | st.binary(max_size=60)


frames = damage.frames(st.integers(stt.TOTAL_MIN, 3000) | st.sampled_from((9000, 65495, 65535)))
