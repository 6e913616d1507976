"""Packets into frames."""

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.payload.frame_buffer import MAX_PACKETS, PADDING, AssembledFrame, Fragment, FrameBuffer
from media.rtp.sequence import Unwrapper


def packets(sizes: list[int], *, keys: tuple[int, ...] = (0,), first: int = 0) -> list[tuple[int, Fragment]]:
    """Frames of so many packets each; frame n has timestamp n * 3000, and the data of its packets count on."""
    made, number = [], first
    for n, size in enumerate(sizes):
        for i in range(size):
            data = f"{n}.{i} ".encode()
            made.append((number, Fragment(n * 3000, data, i == 0, i == 0 and n in keys, i == size - 1)))
            number += 1
    return made


def drain(buffer: FrameBuffer) -> list[AssembledFrame]:
    found = []
    while (frame := buffer.next_frame()) is not None:
        found.append(frame)
    return found


def feed(buffer: FrameBuffer, made: list[tuple[int, Fragment]]) -> list[int]:
    """The frames' numbers as they come out."""
    out = []
    for number, fragment in made:
        buffer.insert(number, fragment)
        out += [frame.timestamp // 3000 for frame in drain(buffer)]
    return out


def test_frames_come_out_whole_and_in_order() -> None:
    buffer = FrameBuffer()
    for number, fragment in packets([3, 1, 2]):
        buffer.insert(number, fragment)
    frames = drain(buffer)
    assert [f.data for f in frames] == [b"0.0 0.1 0.2 ", b"1.0 ", b"2.0 2.1 "]
    assert [(f.first, f.last, f.key_frame) for f in frames] == [(0, 2, True), (3, 3, False), (4, 5, False)]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=10),
    seed=st.integers(0, 999),
    first=st.integers(0, 65535),
)
def test_any_order_and_any_copies_give_the_same_frames(sizes: list[int], seed: int, first: int) -> None:
    """Through the wrap of 16-bit numbers, as a receiver sees them; the first packet comes first."""
    made = packets(sizes, first=first)
    rng, unwrapper, buffer = Random(seed), Unwrapper(16), FrameBuffer()
    rest = made[1:] + rng.sample(made, len(made) // 2)
    rng.shuffle(rest)
    arriving = [(unwrapper.unwrap(number & 0xFFFF), f) for number, f in [made[0], *rest]]
    assert feed(buffer, arriving) == list(range(len(sizes)))


def test_a_loss_holds_back_what_comes_after_until_it_is_repaired() -> None:
    made = packets([2, 2, 2, 2])
    buffer = FrameBuffer()
    assert feed(buffer, [m for m in made if m[0] != 3]) == [0]
    assert feed(buffer, [made[3]]) == [1, 2, 3]


def test_a_whole_key_frame_ends_a_wait() -> None:
    buffer = FrameBuffer()
    assert feed(buffer, [m for m in packets([2, 2, 2, 2, 1], keys=(0, 3)) if m[0] != 3]) == [0, 3, 4]


def test_delta_frames_without_a_key_frame_are_not_decoded() -> None:
    buffer = FrameBuffer()
    assert feed(buffer, packets([1, 2, 3], keys=())) == [] and buffer.needs_key_frame


def test_giving_up_keeps_a_key_frame_that_begins_after_the_lost_packet() -> None:
    made = packets([1, 2, 2, 1], keys=(0, 2))  # packets: 0 | 1 2 | 3 4 | 5
    buffer = FrameBuffer()
    assert feed(buffer, [made[0], made[1], made[3]]) == [0]
    buffer.give_up(2)
    assert buffer.needs_key_frame and buffer.awaited_key_frame == 3 and buffer.dropped_frames == 1
    assert feed(buffer, [made[4], made[5]]) == [2, 3]


def test_giving_up_a_packet_of_a_key_frame_gives_up_the_key_frame() -> None:
    made = packets([1, 3, 1], keys=(0, 1))
    buffer = FrameBuffer()
    feed(buffer, [made[0], made[1], made[3], made[4]])
    buffer.give_up(2)
    assert buffer.awaited_key_frame is None
    assert feed(buffer, [made[2]]) == []


def test_a_frame_without_marker_ends_where_the_next_begins() -> None:
    made = [
        (n, Fragment(f.timestamp, f.data, f.frame_start, f.key_frame, False)) for n, f in packets([2, 2, 1])
    ]
    assert feed(FrameBuffer(), made) == [0, 1]  # the last one may go on


def test_padding_between_frames_fills_its_number() -> None:
    made = packets([1, 1, 1])
    shifted = [made[0], (1, PADDING), (2, PADDING), (3, made[1][1]), (4, PADDING), (5, made[2][1])]
    assert feed(FrameBuffer(), shifted) == [0, 1, 2]


@pytest.mark.parametrize("key", [True, False])
def test_a_frame_that_never_ends_is_bounded_in_memory_and_time(key: bool) -> None:
    buffer = FrameBuffer()
    feed(buffer, packets([1]))
    began = time.process_time()
    most = 0
    for n in range(1, 5 * MAX_PACKETS):
        buffer.insert(n, Fragment(9, b"x", n == 1, key and n == 1, False))
        assert buffer.next_frame() is None
        most = max(most, len(buffer._fragments))
    assert most <= MAX_PACKETS and buffer.needs_key_frame
    assert time.process_time() - began < 2.0, "linear, not quadratic (measured: 0.02 s)"


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.integers(0, 30),
                st.builds(Fragment, st.integers(0, 3), st.binary(max_size=2), *[st.booleans()] * 3),
            ),
            st.integers(0, 30),
        ),
        max_size=60,
    )
)  # fmt: skip
def test_any_packets_in_any_order_and_any_giving_up(steps: list[tuple[int, Fragment] | int]) -> None:
    buffer, last = FrameBuffer(), -1
    for step in steps:
        if isinstance(step, int):
            buffer.give_up(step)
            last = -1  # what was given up may be sent again
        else:
            buffer.insert(*step)
        for frame in drain(buffer):
            assert frame.first > last and frame.last >= frame.first
            last = frame.last
