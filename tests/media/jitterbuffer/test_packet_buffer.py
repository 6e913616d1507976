"""Packets waiting for their turn."""

from hypothesis import given
from hypothesis import strategies as st

from media.jitterbuffer.packet_buffer import PacketBuffer


def test_first_and_last_whatever_the_order() -> None:
    buffer = PacketBuffer()
    assert buffer.first is None and buffer.last is None and len(buffer) == 0
    for time in (960, 0, 2880, 1920):
        assert buffer.insert(time, str(time).encode())
    assert (buffer.first, buffer.last, len(buffer)) == (0, 2880, 4)
    assert buffer.get(1920) == b"1920" and buffer.get(5) is None
    assert buffer.pop(0) == b"0" and buffer.pop(0) is None
    assert buffer.first == 960 and 0 not in buffer and 960 in buffer


def test_a_duplicate_is_told_and_does_not_replace() -> None:
    buffer = PacketBuffer()
    assert buffer.insert(0, b"first")
    assert not buffer.insert(0, b"second")
    assert buffer.get(0) == b"first"


def test_what_is_before_a_time_is_dropped() -> None:
    buffer = PacketBuffer()
    for n in range(5):
        buffer.insert(n * 960, b"")
    assert buffer.drop_before(1920) == 2
    assert buffer.first == 1920
    assert buffer.drop_before(1920) == 0


def test_the_oldest_goes_when_it_is_full() -> None:
    buffer = PacketBuffer(capacity=3)
    for n in (3, 1, 2, 4):
        buffer.insert(n, b"")
    assert (buffer.first, buffer.last, len(buffer)) == (2, 4, 3)
    buffer.insert(0, b"")
    assert 0 not in buffer and len(buffer) == 3


@given(st.lists(st.tuples(st.sampled_from(("insert", "pop", "drop")), st.integers(-20, 20)), max_size=60))
def test_it_is_a_sorted_dict(steps: list[tuple[str, int]]) -> None:
    buffer, model = PacketBuffer(capacity=8), dict[int, bytes]()
    for action, time in steps:
        payload = str(time).encode()
        if action == "insert":
            assert buffer.insert(time, payload) is (time not in model)
            model[time] = payload
            if len(model) > 8:
                del model[min(model)]
        elif action == "pop":
            assert buffer.pop(time) == model.pop(time, None)
        else:
            old = [t for t in model if t < time]
            assert buffer.drop_before(time) == len(old)
            for t in old:
                del model[t]
        assert buffer.first == min(model, default=None)
        assert buffer.last == max(model, default=None)
        assert len(buffer) == len(model)
    buffer.clear()
    assert buffer.first is None and not len(buffer)
