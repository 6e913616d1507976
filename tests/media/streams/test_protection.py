"""The choice of a scheme on synthetic loss processes."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media.rtp.congestion_feedback import ArrivalReport
from media.streams.protection import (
    MAX_WIRE_BPS,
    NO_PROTECTION,
    SCHEMES,
    START,
    WINDOW,
    ProtectionController,
    Scheme,
)

PACKETS_PER_S = 50
EVERY, OVERLAP = 10, 5  # packets between reports (5 a second), and what a report repeats
Process = Callable[[], bool]  # whether the next packet is lost
FEEDBACK_BPS = 5_500  # the most that arrivals of the other direction may cost: 5 % of the rate


def random_loss(share: float, seed: int) -> Process:
    rng = Random(seed)
    return lambda: rng.random() < share


def gilbert(share: float, mean_run: float, seed: int) -> Process:
    """Runs of `mean_run` packets; as a burst in time of mean_run * 20 ms does when packets keep their pace."""

    def states() -> Iterator[bool]:
        rng, bad = Random(seed), False
        leave, enter = 1 / mean_run, share / (mean_run * (1 - share))
        while True:
            bad = rng.random() >= leave if bad else rng.random() < enter
            yield bad

    outcomes = states()
    return lambda: next(outcomes)


class Session:
    def __init__(self) -> None:
        self.controller = ProtectionController()
        self.sent: list[bool] = []  # lost?
        self.schemes: list[Scheme] = []

    def run(self, seconds: float, lost: Process, *, reports_lost: Process = lambda: False) -> None:
        for _ in range(round(seconds * PACKETS_PER_S)):
            self.sent.append(lost())
            if len(self.sent) % EVERY == 0 and not self.sent[-1] and not reports_lost():
                begin = max(0, len(self.sent) - EVERY - OVERLAP)
                arrivals = tuple(None if gone else 0.01 for gone in self.sent[begin:])
                self.controller.receive(ArrivalReport(1, begin & 0xFFFF, arrivals))
            self.schemes.append(self.controller.scheme)

    @property
    def scheme(self) -> Scheme:
        return self.controller.scheme


def remaining(lost: list[bool], distances: tuple[int, ...]) -> float:
    reach = max(distances, default=0)
    count = len(lost) - reach
    return sum(all(lost[i + d] for d in (0, *distances)) for i in range(count)) / count


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_on_a_clean_path(seed: int) -> None:
    session = Session()
    session.run(60, lambda: False)
    assert session.schemes[0] == START, "before anything is known"
    assert set(session.schemes[150:]) == {NO_PROTECTION}, "after 3 s"
    session = Session()
    session.run(60, random_loss(0.001, seed))
    assert session.schemes[150:].count(NO_PROTECTION) > 0.9 * len(session.schemes[150:])


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("share", "left"), [(0.05, 0.01), (0.10, 0.02), (0.20, 0.03)])
def test_random_loss_is_covered_within_3_s(share: float, left: float, seed: int) -> None:
    session = Session()
    session.run(3, random_loss(share, seed))
    session.run(20, random_loss(share, seed + 100))
    assert session.schemes[150].distances, "after 3 s"
    assert remaining(session.sent, session.scheme.distances) < left
    assert max(session.scheme.distances) <= 3, "near copies do against single losses, and are there sooner"
    assert session.controller.loss == pytest.approx(share, rel=0.5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_two_in_five_are_lost_there_are_more_copies_of_less(seed: int) -> None:
    session = Session()
    session.run(20, random_loss(0.4, seed))
    assert len(session.scheme.distances) == 4
    assert remaining(session.sent, session.scheme.distances) < 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("run", [2.0, 3.5])
def test_bursts_are_covered_by_distant_copies(run: float, seed: int) -> None:
    session = Session()
    session.run(30, gilbert(0.10, run, seed))
    assert max(session.scheme.distances) >= 3
    assert remaining(session.sent, session.scheme.distances) < 0.75 * remaining(session.sent, (1,))


def test_retransmissions_count_where_their_time_suffices() -> None:
    """A retransmission that comes before the last copy does the work of a copy."""
    left = {}
    for round_trip_time in (None, 0.05, 0.3):
        session = Session()
        session.controller.round_trip_time = round_trip_time
        session.run(30, random_loss(0.20, 1))
        left[round_trip_time] = session.controller.residual(Scheme(32_000, (4,)))
    assert left[0.05] < 0.8 * left[None], "50 ms are less than four packets"
    assert left[0.3] == left[None]


@pytest.mark.parametrize("seed", [1, 2])
def test_loss_that_ends(seed: int) -> None:
    session = Session()
    session.run(20, random_loss(0.10, seed))
    assert session.scheme.distances
    session.run(20, lambda: False)
    assert session.scheme == NO_PROTECTION, "20 s later"


def test_schemes_do_not_flutter() -> None:
    session = Session()
    session.run(60, random_loss(0.10, 5))
    changes = sum(a != b for a, b in zip(session.schemes[250:], session.schemes[251:], strict=False))
    assert changes <= 6, "in 55 s of a steady process"


def test_lost_reports_slow_it_and_no_more() -> None:
    session = Session()
    session.run(15, random_loss(0.15, 3), reports_lost=random_loss(0.5, 4))
    assert len(session.scheme.distances) >= 1
    assert session.controller.residual(session.scheme) < 0.03


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_every_scheme_keeps_the_wire_budget(scheme: Scheme) -> None:
    assert scheme.wire_bps <= MAX_WIRE_BPS
    assert scheme.wire_bps + FEEDBACK_BPS <= 110_000


def test_a_better_bitrate_is_taken_however_little_it_brings() -> None:
    session = Session()
    session.controller.scheme = Scheme(32_000)
    session.run(1, random_loss(0.0, 1))
    assert session.controller.scheme == NO_PROTECTION


def test_a_smaller_budget_is_kept() -> None:
    session = Session()
    for begin in range(0, 3000, EVERY):
        rng = Random(begin)
        arrivals = tuple(None if rng.random() < 0.2 else 0.01 for _ in range(EVERY))
        session.controller.receive(ArrivalReport(1, begin, arrivals), budget_bps=70_000)
        assert session.scheme == NO_PROTECTION or session.scheme.wire_bps <= 70_000


def test_a_packet_that_came_late_was_not_lost() -> None:
    controller = ProtectionController()
    for begin in range(0, 600, EVERY):
        arrivals = tuple(0.01 if n % 5 else None for n in range(begin, begin + EVERY))
        controller.receive(ArrivalReport(1, begin, arrivals))
        controller.receive(ArrivalReport(1, begin, (0.05,) * EVERY))
    assert controller.loss == pytest.approx(0, abs=0.02)


def test_numbers_wrap() -> None:
    controller = ProtectionController()
    for begin in range(65_000, 67_000, EVERY):
        arrivals = tuple(0.01 if n % 5 else None for n in range(begin, begin + EVERY))
        controller.receive(ArrivalReport(1, begin & 0xFFFF, arrivals))
    assert controller.loss == pytest.approx(0.2, abs=0.02)


@given(
    st.lists(
        st.tuples(st.integers(0, 65535), st.lists(st.none() | st.floats(0, 8), max_size=30)), max_size=20
    )
)
@example([(0, [None] * 5), (141, [None])])  # the weighted sum of the losses is more than that of the weights
def test_any_reports_are_bounded(reports: list[tuple[int, list[float | None]]]) -> None:
    controller = ProtectionController()
    for begin, arrivals in reports:
        controller.receive(ArrivalReport(1, begin, tuple(arrivals)))
        assert controller.scheme in SCHEMES and 0 <= controller.loss <= 1
        numbers = controller._outcomes
        assert len(numbers) <= WINDOW and (not numbers or max(numbers) - min(numbers) < 2 * WINDOW)
