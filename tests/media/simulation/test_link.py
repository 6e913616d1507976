"""The link against its own parameters: shares, bursts, delays, queue, order."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.simulation.link import (
    HEADER_BYTES,
    MAX_IN_FLIGHT,
    Distribution,
    Link,
    LinkParameters,
    Schedule,
    Step,
)

PACKET = b"x" * 100


def send_through(
    link: Link, count: int, interval: float = 0.02, size: int = 100, first: float = 0.0
) -> tuple[list[float | None], list[int]]:
    """Delay of each of `count` numbered packets (None: lost; copies ignored), and the order of arrival."""
    order: list[int] = []
    delays: list[float | None] = [None] * count

    def take(now: float) -> None:
        for arrival, data in link.receive(now):
            number = int.from_bytes(data[:4], "big")
            order.append(number)
            if delays[number] is None:
                delays[number] = arrival - (first + number * interval)

    for number in range(count):
        now = first + number * interval
        take(now)
        link.send(number.to_bytes(4, "big").ljust(size, b"x"), now)
    take(first + count * interval + 3600)
    assert link.get_timer() is None
    return delays, order


def link(seed: int = 1, **parameters: object) -> Link:
    return Link(LinkParameters(**parameters), random.Random(seed))  # type: ignore[arg-type]


def bursts(delays: list[float | None]) -> list[int]:
    runs: list[int] = []
    last = 0.0
    for delay in (*delays, 0.0):
        if delay is None:
            runs[-1:] = [*runs[-1:], 1] if last is not None else [runs[-1] + 1]
        last = delay  # type: ignore[assignment]
    return runs


def test_plain_link_delivers_everything_after_its_delay_in_order() -> None:
    delays, order = send_through(link(delay_ms=30), 1000)
    assert order == list(range(1000))
    assert all(delay == pytest.approx(0.03) for delay in delays)


def test_nothing_arrives_early() -> None:
    one = link(delay_ms=30)
    one.send(PACKET, 5.0)
    assert one.get_timer() == pytest.approx(5.03)
    assert one.receive(5.0299) == []
    assert one.receive(5.0301) == [(pytest.approx(5.03), PACKET)]
    assert one.get_timer() is None


def test_random_loss_share_and_run_length() -> None:
    delays, _ = send_through(link(loss=0.10), 20_000)
    assert delays.count(None) / 20_000 == pytest.approx(0.10, abs=0.01)
    runs = bursts(delays)
    assert sum(runs) / len(runs) == pytest.approx(1 / 0.9, rel=0.05)


def test_burst_loss_per_packet_share_and_run_length() -> None:
    one = link(ge_p=0.03175, ge_r=0.2857)
    delays, _ = send_through(one, 40_000)
    assert delays.count(None) / 40_000 == pytest.approx(0.10, abs=0.015)
    runs = bursts(delays)
    assert sum(runs) / len(runs) == pytest.approx(3.5, rel=0.1)
    assert one.counters.burst_lost == delays.count(None)


@pytest.mark.long
@pytest.mark.parametrize("interval", [0.02, 0.005])
def test_burst_loss_in_time_does_not_depend_on_the_packet_rate(interval: float) -> None:
    count = int(600 / interval)
    delays, _ = send_through(link(ge_bad_ms=70, ge_good_ms=630), count, interval)
    assert delays.count(None) / count == pytest.approx(0.10, abs=0.02)
    runs = bursts(delays)
    # A gap of n packets lasted n * interval, give or take an interval; runs shorter than one are not seen.
    assert sum(runs) / len(runs) * interval == pytest.approx(0.07 + interval / 2, rel=0.2)


def test_jitter_in_order_never_overtakes_and_reordering_does() -> None:
    in_order, order = send_through(link(delay_ms=40, jitter_ms=30), 5000)
    assert order == sorted(order)
    reordered, order = send_through(link(delay_ms=40, jitter_ms=30, reorder=True), 5000)
    assert order != sorted(order)
    plain = [delay for delay in reordered if delay is not None]
    assert min(plain) == pytest.approx(0.010, abs=0.001)
    assert max(plain) == pytest.approx(0.070, abs=0.001)
    assert sum(plain) / len(plain) == pytest.approx(0.040, abs=0.001)
    # Held packets arrive later, never earlier, than free ones.
    assert all(a >= b - 1e-9 for a, b in zip(in_order, reordered, strict=True))  # type: ignore[operator]


def test_jitter_distributions() -> None:
    for distribution, low, mean in ((Distribution.EXP, 0.02, 0.03), (Distribution.NORMAL, 0.0, 0.02)):
        delays, _ = send_through(
            link(delay_ms=20, jitter_ms=10, distribution=distribution, reorder=True), 20_000
        )
        seen = [delay for delay in delays if delay is not None]
        assert min(seen) >= low - 1e-9
        assert sum(seen) / len(seen) == pytest.approx(mean, abs=0.001)


def test_rate_limits_and_queue_drops() -> None:
    # 128 bytes on the wire at 8 kbit/s take 128 ms; a queue of 300 ms holds two more and a part.
    one = link(rate_bps=8000, queue_ms=300)
    for _ in range(10):
        one.send(PACKET, 0.0)
    arrivals = [at for at, _ in one.receive(10.0)]
    assert arrivals == pytest.approx([0.128, 0.256, 0.384])
    assert one.counters.queue_drops == 7
    assert one.counters.queue_max_ms == pytest.approx(256)
    assert one.counters.bytes_out == 3 * (100 + HEADER_BYTES)


def test_throughput_is_the_rate() -> None:
    one = link(rate_bps=1_000_000, queue_ms=200)
    send_through(one, 20_000, interval=0.0005, size=100)
    assert one.counters.bytes_out * 8 / 10.0 == pytest.approx(1_000_000, rel=0.03)
    assert one.counters.queue_drops > 0


def test_queue_in_bytes() -> None:
    one = link(rate_bps=8000, queue_bytes=256)
    for _ in range(10):
        one.send(PACKET, 0.0)
    assert len(one.receive(10.0)) == 2


def test_duplicates() -> None:
    one = link(duplicate=0.05, delay_ms=5)
    _, order = send_through(one, 20_000)
    assert len(order) - 20_000 == one.counters.duplicates
    assert one.counters.duplicates / 20_000 == pytest.approx(0.05, abs=0.005)


def test_outage_and_change() -> None:
    one = link(delay_ms=5)
    one.change({"outage": True})
    one.send(PACKET, 0.0)
    one.change({"outage": False})
    one.send(PACKET, 0.1)
    assert len(one.receive(1.0)) == 1
    assert one.counters.outage_drops == 1


def test_one_parameter_does_not_shift_the_others() -> None:
    def lost(**parameters: object) -> set[int]:
        delays, _ = send_through(link(seed=3, **parameters), 2000)
        return {number for number, delay in enumerate(delays) if delay is None}

    base = lost(loss=0.1)
    assert base == lost(loss=0.1, jitter_ms=10, delay_ms=50, duplicate=0.3)
    assert base < lost(loss=0.1, ge_p=0.05, ge_r=0.5)
    assert base < lost(loss=0.2)


def test_spike_schedule_holds_and_releases() -> None:
    schedule = Schedule(
        (Step(0.0, {"delay_ms": 20}), Step(2.0, {"delay_ms": 220}), Step(2.03, {"delay_ms": 20})), 3.0
    )
    delays, order = send_through(Link(LinkParameters(), random.Random(1), schedule), 900)
    assert order == sorted(order)
    for turn in range(6):
        held = [delays[i] for i in range(turn * 150 + 100, turn * 150 + 112)]
        assert held[0] == pytest.approx(0.220)
        assert held[1] == pytest.approx(0.220)
        assert held[5] == pytest.approx(0.140)  # waits for the one before it
        assert delays[turn * 150 + 120] == pytest.approx(0.020)


def test_schedule_keeps_its_place_after_a_long_silence() -> None:
    steps = (Step(0.0, {"delay_ms": 1}), Step(0.5, {"delay_ms": 2}))
    one = Link(LinkParameters(), random.Random(1), Schedule(steps, 1.0), start=0.0)
    one.send(PACKET, 0.0)
    one.send(PACKET, 1_000_000.25)
    one.send(PACKET, 1_000_000.75)
    delays = [
        at - sent for (at, _), sent in zip(one.receive(2e6), (0.0, 1_000_000.25, 1_000_000.75), strict=True)
    ]
    assert delays == pytest.approx([0.001, 0.001, 0.002])


def test_in_flight_is_bounded() -> None:
    one = link(delay_ms=1000)
    for _ in range(MAX_IN_FLIGHT + 10):
        one.send(b"", 0.0)
    assert one.counters.overflow_drops == 10
    assert len(one.receive(2.0)) == MAX_IN_FLIGHT


@pytest.mark.parametrize(
    "wrong",
    [{"loss": 1.5}, {"loss": float("nan")}, {"delay_ms": -1}, {"rate_bps": float("inf")}, {"ge_bad_ms": 1e-9},
     {"distribution": "cauchy"}],
)  # fmt: skip
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        replace(LinkParameters(), **wrong)


def test_wrong_schedules_are_refused() -> None:
    with pytest.raises(ValueError):
        Schedule((Step(2.0, {}), Step(1.0, {})))
    with pytest.raises(ValueError):
        Schedule((), 3.0)
    with pytest.raises(ValueError, match="has no los"):
        link().change({"los": 1})


parameters = st.builds(
    LinkParameters,
    delay_ms=st.floats(0, 1000),
    jitter_ms=st.floats(0, 200),
    distribution=st.sampled_from(Distribution),
    reorder=st.booleans(),
    loss=st.floats(0, 1),
    ge_p=st.floats(0, 1),
    ge_r=st.floats(0, 1),
    ge_good_ms=st.just(0.0) | st.floats(1, 1000),
    ge_bad_ms=st.just(0.0) | st.floats(1, 1000),
    duplicate=st.floats(0, 1),
    rate_bps=st.just(0.0) | st.floats(1000, 1e7),
    queue_ms=st.floats(0, 500),
    queue_bytes=st.floats(0, 5000),
    outage=st.booleans(),
)


@given(
    parameters, st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1500)), max_size=40)
)
def test_every_packet_is_accounted_for_and_repeatable(
    chosen: LinkParameters, seed: int, packets: list[tuple[float, int]]
) -> None:
    def run() -> tuple[list[tuple[float, bytes]], dict[str, float]]:
        one, now = Link(chosen, random.Random(seed)), 0.0
        for gap, size in packets:
            now += gap
            one.send(b"y" * size, now)
        return one.receive(1e9), one.counters.to_dict()

    arrived, count = run()
    assert (arrived, count) == run()
    assert [at for at, _ in arrived] == sorted(at for at, _ in arrived)
    gone = (
        count["lost"]
        + count["burst_lost"]
        + count["queue_drops"]
        + count["outage_drops"]
        + count["overflow_drops"]
    )
    assert count["packets_in"] == len(packets)
    assert count["packets_out"] == len(arrived) == len(packets) - gone + count["duplicates"]
