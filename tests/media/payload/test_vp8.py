"""VP8 in RTP (RFC 7741)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.payload.vp8 import MAX_PAYLOAD_BYTES, PICTURE_ID_MODULO, packetize, parse


@given(frame=st.binary(min_size=1, max_size=6000), picture_id=st.integers(0, PICTURE_ID_MODULO - 1))
def test_a_frame_comes_back_from_its_payloads(frame: bytes, picture_id: int) -> None:
    parsed = [parse(p) for p in packetize(frame, picture_id)]
    assert b"".join(p.data for p in parsed) == frame
    assert [p.start for p in parsed] == [True] + [False] * (len(parsed) - 1)
    assert parsed[0].key_frame == (frame[0] & 1 == 0)
    assert {p.picture_id for p in parsed} == {picture_id}
    sizes = [len(p.data) for p in parsed]
    assert max(sizes) - min(sizes) <= 1 and max(sizes) <= MAX_PAYLOAD_BYTES


@given(st.binary(max_size=40))
def test_any_bytes_give_a_payload_or_one_error(data: bytes) -> None:
    try:
        parsed = parse(data)
    except PacketError:
        return
    assert parsed.data and data.endswith(parsed.data)
    assert not parsed.key_frame or parsed.start


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        # RFC 7741 section 4.2: S and partition 0, no extension; the first bit of the frame is P
        (b"\x10\x00frame", (True, True, None, None, None)),
        (b"\x10\x01frame", (True, False, None, None, None)),
        (b"\x00\x00frame", (False, False, None, None, None)),
        (b"\x11\x00frame", (False, False, None, None, None)),  # partition 1 begins no frame
        (b"\x90\x80\x2a\x00frame", (True, True, 42, None, None)),  # 7-bit picture identifier
        (b"\x90\x80\x92\x34\x00frame", (True, True, 0x1234, None, None)),  # 15-bit
        (b"\x90\xe0\x92\x34\x07\xa0\x01frame", (True, False, 0x1234, 7, 2)),  # with TL0PICIDX and TID
        (b"\x90\x10\x1f\x00frame", (True, True, None, None, None)),  # KEYIDX alone
    ],
)
def test_descriptors_made_by_hand(payload: bytes, expected: tuple[object, ...]) -> None:
    parsed = parse(payload)
    assert (
        parsed.start, parsed.key_frame, parsed.picture_id, parsed.tl0_picture_index, parsed.temporal_layer
    ) == expected  # fmt: skip
    assert parsed.data.endswith(b"frame")


@pytest.mark.parametrize(
    "payload", [b"", b"\x10", b"\x90\x80", b"\x90\x80\x92\x34", b"\x90\xf0\x80\x01\x02\x03"]
)
def test_payloads_that_end_too_early(payload: bytes) -> None:
    with pytest.raises(PacketError):
        parse(payload)
