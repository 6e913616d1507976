"""The receiver's estimate against a bottleneck, with a sender that obeys it."""

from random import Random

import pytest

from media.congestion.receive_estimator import ReceiveEstimator
from media.simulation.link import Link, LinkParameters

FPS = 30


def drive(
    link: LinkParameters, seconds: float, *, seed: int = 1, most_bps: float = 2e6
) -> tuple[list[float], list[float], Link]:
    """(estimate every 100 ms, queueing and jitter of each packet, the link). The sender follows after 100 ms."""
    path, estimator = Link(link, Random(seed)), ReceiveEstimator()
    flying: list[float] = []
    rates: list[float] = []
    delays: list[float] = []
    told = [(0.0, 250_000.0)]
    frame = 0
    step = 0.0
    while step < seconds:
        for at, data in path.receive(step):
            sent = flying[int.from_bytes(data[:4], "big")]
            delays.append(at - sent)
            estimator.receive(sent, len(data) + 28, at)
        if step * FPS >= frame:
            rate = min(most_bps, next(r for t, r in reversed(told) if t <= max(0.0, step - 0.1)))
            size = rate / FPS / 8
            count = max(1, round(size / 1000))
            for _ in range(count):
                number = len(flying)
                flying.append(step)
                path.send(number.to_bytes(4, "big") + bytes(max(0, round(size / count) - 32)), step)
            frame += 1
        told.append((step, estimator.estimate_bps))
        rates.append(estimator.estimate_bps)
        step += 1 / 240
    return rates[::24], delays, path


@pytest.mark.parametrize("rate_bps", [300_000, 1_000_000])
def test_a_bottleneck_is_filled_without_filling_its_queue(rate_bps: int) -> None:
    rates, delays, path = drive(LinkParameters(delay_ms=30, rate_bps=rate_bps, queue_ms=500), 30)
    late = rates[100:]
    assert 0.75 * rate_bps < sum(late) / len(late) < 1.05 * rate_bps
    assert max(late) < 1.2 * rate_bps
    waits = sorted(d - 0.03 for d in delays[len(delays) // 3 :])
    assert waits[len(waits) // 2] < 0.080 and waits[-1] < 0.250
    assert path.counters.queue_drops == 0


@pytest.mark.parametrize("most_bps", [150_000, 2_000_000])
@pytest.mark.parametrize(("jitter_ms", "reorder"), [(30, False), (30, True), (60, True), (100, True)])
def test_jitter_alone_does_not_lower_it(jitter_ms: float, reorder: bool, most_bps: float) -> None:
    """Nor for a picture with little in it: eight packets of it are a quarter of a second."""
    link = LinkParameters(delay_ms=jitter_ms, jitter_ms=jitter_ms, reorder=reorder)
    rates, _, _ = drive(link, 20, seed=int(jitter_ms), most_bps=most_bps)
    assert min(rates) >= 0.7 * min(250_000, most_bps)


def test_random_loss_does_not_collapse_it() -> None:
    rates, _, _ = drive(LinkParameters(delay_ms=30, loss=0.05), 15)
    assert rates[-1] > 1_500_000 and min(rates) >= 250_000


def test_on_a_clean_path_it_reaches_the_most_within_ten_seconds() -> None:
    rates, _, _ = drive(LinkParameters(delay_ms=10), 10)
    assert rates[-1] > 1_900_000


def test_a_sender_with_little_to_say_proves_little() -> None:
    rates, _, _ = drive(LinkParameters(delay_ms=10), 20, most_bps=200_000)
    assert rates[-1] < 400_000


def test_a_jump_of_the_senders_clock_passes() -> None:
    estimator = ReceiveEstimator()
    for n in range(1000):
        shift = 100.0 if n > 300 else 0.0
        estimator.receive(n * 0.01 - shift, 1000, n * 0.01)
    for n in range(1000, 4000):
        estimator.receive(n * 0.01 - 100.0, 1000, n * 0.01)
    assert estimator.queue < 0.001 and estimator.estimate_bps >= 100_000


def test_send_times_wrap_every_64_seconds() -> None:
    estimator = ReceiveEstimator()
    times = [estimator.unwrap_send_time(round(n * (1 << 18)) & 0xFFFFFF) for n in range(200)]
    assert times == [pytest.approx(times[0] + n) for n in range(200)]
