"""Values and bytes of STT for property tests."""

import random
from dataclasses import replace

from hypothesis import strategies as st

from nvo3.wire import stt

_u8, _u16, _u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
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
    return replace(header, flags=stt.CSUM_PARTIAL | kind, l4_offset=draw(_u8), mss=mss)


@st.composite
def packets(draw: st.DrawFn) -> stt.SttPacket:
    """Any packet with a segment, of up to 200 bytes of payload."""
    payload = draw(st.binary(min_size=1, max_size=200))
    total = draw(st.integers(max(stt.TOTAL_MIN, len(payload)), stt.TOTAL_MAX))
    offset = draw(st.integers(0, total - len(payload)))
    segment = stt.SttSegment(draw(_u16), draw(_u16), draw(_u32), total, offset, payload)
    return stt.SttPacket(draw(_addresses), draw(_addresses), segment, draw(_u8), draw(_u8), draw(_u16), draw(st.booleans()))


@st.composite
def _damaged(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes, with some bytes changed, cut off or appended; or any bytes."""
    data = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, min(len(data), 60) - 1))] = draw(_u8)
    end = draw(st.just(len(data)) | st.integers(0, len(data)))
    return bytes(data[:end]) + draw(st.just(b"") | st.binary(max_size=20))


def damaged_packets() -> st.SearchStrategy[bytes]:
    return _damaged(packets().map(stt.SttPacket.serialize)) | st.binary(max_size=100)


def damaged_headers() -> st.SearchStrategy[bytes]:
    return _damaged(headers().map(lambda header: header.serialize() + bytes(14))) | st.binary(max_size=60)


# A frame's bytes need not be drawn one by one: its size and a seed are enough to find what depends on them.
frames = st.builds(
    lambda size, seed: random.Random(seed).randbytes(size),
    st.integers(stt.TOTAL_MIN, 3000) | st.sampled_from((9000, 65495, 65535)),
    _u32,
)
