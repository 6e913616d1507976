"""Queue, rates and what stands in front of a packet, from reports made by hand."""

from random import Random

import pytest

from media.congestion.arrival_record import ArrivalRecord
from media.rtp.congestion_feedback import ArrivalReport


def feed(
    record: ArrivalRecord,
    delays: list[float | None],
    *,
    begin: int = 0,
    front: int = 0,
    before: float = 0.002,
) -> None:
    """A packet of 100 bytes each 20 ms, told of at once; `front`: bytes sent `before` each fifth, seconds."""
    for n, _ in enumerate(delays, begin):
        if front and n % 5 == 4:
            record.sent_other(front, n / 50 - before)
        record.sent(n, 100, n / 50)
    stamp = (begin + len(delays)) / 50 + 1
    ages = tuple(None if d is None else stamp - (n / 50 + d) for n, d in enumerate(delays, begin))
    record.receive(ArrivalReport(1, begin, ages, stamp))


def test_a_queue_is_what_no_packet_escapes() -> None:
    record = ArrivalRecord()
    feed(record, [0.05] * 20)
    assert record.queue == pytest.approx(0.0, abs=1e-6)
    feed(record, [0.15, 0.05, 0.15, 0.15, 0.05] * 4, begin=20)
    assert record.queue == pytest.approx(0.0, abs=1e-6), "jitter"
    feed(record, [0.05 + 0.01 * n for n in range(20)], begin=40)
    assert record.queue > 0.1
    assert record.carried_bps()[0] == pytest.approx(8 * 100 / 0.03, rel=0.01) and record.carried_share < 0.9


def test_a_queue_that_grows_is_told_before_the_moment_is_over() -> None:
    record = ArrivalRecord()
    feed(record, [0.05] * 20)
    feed(record, [0.06, 0.07, 0.08, 0.09, 0.1], begin=20)
    assert record.queue == pytest.approx(0.04)
    jittered = ArrivalRecord()
    feed(jittered, [0.05] * 20)
    feed(jittered, [0.06, 0.07, 0.06, 0.09, 0.1], begin=20)
    assert jittered.queue == pytest.approx(0.0, abs=1e-6)


def test_what_was_held_and_comes_at_once_is_no_queue() -> None:
    record = ArrivalRecord()
    feed(record, [0.05] * 20)
    feed(record, [0.05 + 0.2 - 0.02 * n for n in range(8)], begin=20)  # all at the same moment
    assert record.queue < 0.04


def test_what_stands_in_front_shows_the_rate() -> None:
    thin = ArrivalRecord()
    feed(thin, [0.05 + (0.016 if n % 5 == 4 else 0.0) for n in range(60)], front=108)
    assert thin.link_bps == pytest.approx(48_000) and thin.at_least_bps == 0.0
    # 800 bits take 16.7 ms: what is sent 5 ms after a packet meets it, and waits.
    meets = ArrivalRecord()
    rise = (100 + 108) * 8 / 48_000 - 0.02
    feed(meets, [0.05 + (rise if n % 5 == 4 else 0.0) for n in range(60)], front=108, before=0.015)
    assert meets.link_bps == pytest.approx(48_000)
    wide = ArrivalRecord()
    feed(wide, [0.05] * 60, front=108)
    assert wide.link_bps is None and wide.at_least_bps == pytest.approx(432_000)


@pytest.mark.parametrize("wait", [0.008, 0.02, 0.1])
def test_behind_a_packet_that_waited_the_same_wait_shows_no_fast_link(wait: float) -> None:
    record = ArrivalRecord()
    feed(record, [0.05, *[0.05 + wait] * 59], front=108)
    assert record.at_least_bps == 0.0


def test_what_was_measured_in_a_queue_that_nobody_knew_of_is_forgotten() -> None:
    record = ArrivalRecord()
    feed(record, [0.1] * 30, front=108)
    assert record.at_least_bps > 400_000, "so it looks while all wait from the first packet on"
    feed(record, [0.05], begin=30)
    assert record.at_least_bps == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_jitter_shows_no_link(seed: int) -> None:
    record, rng = ArrivalRecord(), Random(seed)
    feed(record, [0.01 + rng.uniform(0, 0.06) for _ in range(200)], front=108)
    assert record.link_bps is None


def test_where_the_packet_before_was_still_waiting_the_link_was_busy() -> None:
    """48 kbit/s, and a queue: behind 108 bytes the next packet of 100 leaves 34.7 ms after the one before."""
    record, delays = ArrivalRecord(), [0.05]
    for n in range(1, 60):
        delays.append(max(0.05, delays[-1] + (208 if n % 5 == 4 else 100) * 8 / 48_000 - 0.02))
    feed(record, [d + 0.03 * (n > 0) for n, d in enumerate(delays)], front=108)
    assert record.link_bps == pytest.approx(48_000)


def test_what_does_not_last_is_carried_too() -> None:
    record = ArrivalRecord()
    feed(record, [0.05] * 20)
    record.sent_other(600, 20 / 50 + 0.001, lasting=False)
    feed(record, [0.05] + [0.15 - 0.003 * n for n in range(19)], begin=20)
    stream, once = record.carried_bps()
    assert once == 0.0, "it stood in front of the first packet that waited"
    record.sent_other(600, 40 / 50 + 0.001, lasting=False)
    feed(record, [0.1] * 20, begin=40)
    again, once = record.carried_bps()
    assert once > 0 and again == pytest.approx(40_000, rel=0.1) and stream > 40_000
    assert record.other_bps(1.0) == 0.0


def test_losses_and_what_was_not_told() -> None:
    record = ArrivalRecord()
    feed(record, [0.05, None, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
    assert record.loss == pytest.approx(1 / 8)
    for n in range(8, 50):
        record.sent(n, 100, n / 50)
    feed(record, [0.05] * 10, begin=50)
    assert record.loss == pytest.approx(1 / 18), "packets that no report told of are no losses"
    assert record.waiting_since is None


def test_packets_of_one_moment_do_not_divide_by_nothing() -> None:
    """Frames that were held up are sent together, with RTCP between them, and may arrive together."""
    record = ArrivalRecord()
    record.sent(0, 100, 1.0)
    record.sent_other(80, 1.0)
    record.sent(1, 100, 1.0)
    record.receive(ArrivalReport(1, 0, (0.1, 0.1), 2.0))
    assert record.queue == 0.0 and record.at_least_bps == 0.0


def test_jitter_is_uneven_and_a_queue_is_not() -> None:
    queue, jitter = ArrivalRecord(), ArrivalRecord()
    feed(queue, [0.05 + 0.004 * n for n in range(60)])
    feed(jitter, [0.05, 0.07, 0.06, 0.11, 0.09, 0.09] * 10)
    assert queue.unevenness == 0.0
    # From one to the next it falls by 0, 10, 0, 20, 0 and 40 ms.
    assert jitter.unevenness == pytest.approx(0.070 / 6, abs=0.001)
