"""Redundant audio (RFC 2198)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp import red

BLOCKS = st.tuples(
    st.integers(0, 127), st.integers(1, red.MAX_OFFSET), st.binary(max_size=red.MAX_BLOCK_BYTES)
)


def test_the_layout_of_section_3() -> None:
    packet = red.build([(111, 1920, b"old"), (111, 960, b"newer")], 111, b"new")
    # F=1, type 111, 14 bits of offset, 10 bits of length; the last header is one byte with F=0.
    headers = bytes((0xEF, 0x1E, 0x00, 0x03)) + bytes((0xEF, 0x0F, 0x00, 0x05)) + bytes((0x6F,))
    assert packet == headers + b"old" + b"newer" + b"new"


@given(st.lists(BLOCKS, max_size=5), st.integers(0, 127), st.binary(min_size=1, max_size=200))
def test_round_trip(blocks: list[red.Block], primary_type: int, primary: bytes) -> None:
    packet = red.build(blocks, primary_type, primary)
    assert red.parse(packet) == [*blocks, (primary_type, 0, primary)]


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        blocks = red.parse(data)
    except PacketError:
        return
    assert blocks[-1][1] == 0 and blocks[-1][2], "there is always a primary"
    assert sum(len(b) for _, _, b in blocks) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x6f",  # no primary
        b"\xef\x0f\x00",  # half a header
        b"\xef\x0f\x00\x05",  # no last header
        b"\xef\x0f\x00\x05\x6fabcd",  # a block of 5 bytes with 4 there
        b"\xef\x0f\x00\x05\x6fabcde",  # nothing left for the primary
    ],
)
def test_what_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(PacketError):
        red.parse(data)


@pytest.mark.parametrize("block", [(111, 0, b"x"), (111, red.MAX_OFFSET + 1, b"x"), (111, 960, bytes(1024))])
def test_what_does_not_fit_into_a_header(block: red.Block) -> None:
    with pytest.raises(ValueError, match="RED block"):
        red.build([block], 111, b"new")
