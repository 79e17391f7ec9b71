"""Bytes of any protocol that were good once, and bytes of frames."""

import random

from hypothesis import strategies as st

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)


@st.composite
def damaged(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes, with some bytes changed, cut off or appended; or any bytes."""
    data = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, min(len(data), 60) - 1))] = draw(u8)
    end = draw(st.just(len(data)) | st.integers(0, len(data)))
    return bytes(data[:end]) + draw(st.just(b"") | st.binary(max_size=20))


def frames(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    """Frames: their bytes need not be drawn one by one, a size and a seed are enough to find what depends on them."""
    return st.builds(lambda size, seed: random.Random(seed).randbytes(size), sizes, u32)
