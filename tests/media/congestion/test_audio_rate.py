"""Voice senders, without sound, on links that are thin, step, lose or are shared; in virtual time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.congestion.audio_rate import MAX_BPS, MIN_BPS, AudioRateController
from media.congestion.round_trip_rate import RoundTripRate
from media.rtp.congestion_feedback import ArrivalReport
from media.simulation.link import HEADER_BYTES, Link, LinkParameters, Schedule, Step
from media.simulation.shared_link import ConstantFlow, Download, VoiceFlow, run


def voice_on(
    seed: int, seconds: float, steps: tuple[Step, ...] = (), **parameters: float
) -> tuple[VoiceFlow, Link]:
    link = Link(LinkParameters(**parameters), Random(seed), Schedule(steps), 0.0)  # type: ignore[arg-type]
    voice = VoiceFlow(1, Random(seed), parameters["delay_ms"] / 1000)
    run([voice], link, seconds)
    return voice, link


@pytest.mark.parametrize(("kbit", "least"), [(64, 42), (48, 36), (32, 21), (24, 14)])
def test_a_thin_link_is_used_and_not_filled(kbit: int, least: int) -> None:
    voice, link = voice_on(kbit, 30, delay_ms=50, rate_bps=kbit * 1000, queue_ms=300)
    assert least * 1000 < voice.sent_bps(10, 30) < kbit * 1000
    assert voice.delay(10, 30) < 0.050 + 0.050 + 8 * 200 / (kbit * 1000)
    assert link.counters.queue_drops < 30


class VoiceAfterHandshake(VoiceFlow):
    """With what DTLS sends beside the first packets: a flight twice, and again when no answer has come."""

    FLIGHTS = (0.02, 0.03, 0.3, 0.31)  # seconds after the start
    BYTES = 617  # measured: certificate and key exchange of a client

    def step(self, link: Link, now: float) -> None:
        while self.flights and self.flights[0] <= now:
            self.flights.pop(0)
            self.rate.sent_other(self.BYTES, now, lasting=False)
            link.send(bytes(self.BYTES - HEADER_BYTES), now)
        super().step(link, now)

    def __init__(self, tag: int, rng: Random, back: float) -> None:
        super().__init__(tag, rng, back)
        self.flights = list(self.FLIGHTS)


@pytest.mark.parametrize("kbit", [48, 64, 80])
def test_the_handshake_s_queue_is_not_the_link_s_limit(kbit: int) -> None:
    link = Link(LinkParameters(delay_ms=50, rate_bps=kbit * 1000, queue_ms=300), Random(kbit), start=0.0)
    voice = VoiceAfterHandshake(1, Random(kbit), 0.05)
    run([voice], link, 10)
    assert voice.sent_bps(4, 10) > 0.8 * min(60, kbit) * 1000
    assert voice.rate.budget_bps < kbit * 1000


@pytest.mark.parametrize("kbit", [40, 44, 48])
def test_more_is_not_tried_than_the_link_shows_to_carry(kbit: int) -> None:
    """A try makes a queue for a second, and who hears it waits for the next one half a minute and more."""
    link = Link(LinkParameters(delay_ms=50, rate_bps=kbit * 1000, queue_ms=300), Random(1), start=0.0)
    voice = VoiceAfterHandshake(1, Random(1), 0.05)
    run([voice], link, 60)
    seconds = [voice.delay(second, second + 1) for second in range(6, 59)]
    assert max(seconds) - min(seconds) < 0.015
    assert voice.sent_bps(6, 60) > 0.8 * kbit * 1000


@pytest.mark.parametrize("seed", [1, 3, 9])
def test_a_link_that_others_were_on_from_the_start_is_not_taken_for_ours(seed: int) -> None:
    link = Link(
        LinkParameters(delay_ms=50, jitter_ms=2, rate_bps=100_000, queue_ms=300), Random(seed), start=0.0
    )
    voice, other = VoiceAfterHandshake(1, Random(seed), 0.05), ConstantFlow(2, Random(seed + 50), 0.05)
    run([voice, other], link, 57)
    assert voice.delay(5, 57) < 0.1 and voice.sent_bps(5, 57) > 28_000


def test_a_link_that_becomes_thin_and_wide_again() -> None:
    steps = (Step(10.0, {"rate_bps": 32_000.0}), Step(20.0, {"rate_bps": 100_000.0}))
    voice, _ = voice_on(5, 60, steps, delay_ms=50, rate_bps=100_000, queue_ms=300)
    assert voice.sent_bps(5, 10) > 50_000
    assert voice.sent_bps(13, 20) < 30_000 and voice.delay(15, 20) < 0.15
    assert voice.sent_bps(50, 60) > 50_000 and voice.delay(50, 60) < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_random_loss_is_no_congestion(seed: int) -> None:
    voice, _ = voice_on(seed, 12, delay_ms=30, loss=(0.1, 0.2, 0.3)[seed % 3])
    assert voice.rate.capacity_bps is None, "no limit was met"
    assert len(voice.scheme.distances) >= 2 and voice.sent_bps(4, 12) > 75_000


@pytest.mark.parametrize(("delay_ms", "jitter_ms"), [(40, 30), (60, 50)])
def test_jitter_is_no_queue(delay_ms: float, jitter_ms: float) -> None:
    """Kept in order, so that moments in which all packets are late are frequent."""
    met = 0
    for seed in range(10):
        voice, _ = voice_on(seed, 20, delay_ms=delay_ms, jitter_ms=jitter_ms)
        met += voice.rate.capacity_bps is not None
    assert met <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_thin_link_with_jitter_is_used_and_not_filled(seed: int) -> None:
    voice, link = voice_on(seed, 30, delay_ms=50, jitter_ms=30, rate_bps=48_000, queue_ms=300)
    assert 36_000 < voice.sent_bps(10, 30) < 48_000
    assert voice.delay(10, 30) < 0.050 + 0.050 + 8 * 200 / 48_000
    assert link.counters.queue_drops < 30


def test_a_full_queue_is_not_met_with_copies() -> None:
    voice, link = voice_on(9, 30, delay_ms=30, rate_bps=64_000, queue_ms=200, loss=0.05)
    assert voice.sent_bps(5, 30) < 64_000 and voice.delay(8, 30) < 0.1
    assert link.counters.queue_drops < 30


def test_a_limit_without_a_queue_is_found_by_loss() -> None:
    """A policer: what is above its rate is lost and nothing waits."""
    voice, link = voice_on(3, 30, delay_ms=30, rate_bps=60_000, queue_ms=25)
    assert voice.sent_bps(10, 30) < 66_000
    assert link.counters.queue_drops < 0.15 * link.counters.packets_in


def test_two_calls_on_a_link_share_it() -> None:
    link = Link(LinkParameters(delay_ms=40, rate_bps=100_000, queue_ms=300), Random(4))
    first, second = VoiceFlow(1, Random(1), 0.04), VoiceFlow(2, Random(2), 0.04)
    second.next_frame = second.next_rtcp = second.next_report = 8.0
    run([first, second], link, 40)
    shares = first.sent_bps(20, 40), second.sent_bps(20, 40)
    assert sum(shares) < 100_000 and min(shares) > 0.3 * sum(shares)
    assert first.delay(20, 40) < 0.12


def test_beside_a_download_the_voice_goes_on() -> None:
    """Its queue is not ours: to send less would not shorten it."""
    link = Link(LinkParameters(delay_ms=30, rate_bps=1_000_000, queue_ms=200), Random(4))
    voice, download = VoiceFlow(1, Random(1), 0.03), Download(2, 0.03, 5.0)
    run([voice, download], link, 40)
    assert 8 * download.bytes / 35 > 600_000
    assert voice.sent_bps(15, 40) > 30_000


def test_silence_of_the_reports() -> None:
    rate = AudioRateController()
    for n in range(500):
        rate.sent(n, 150, n / 50)
    assert rate.budget_bps < 23_000
    rate = AudioRateController()
    rate.sent(0, 150, 0.0)
    rate.receive(ArrivalReport(1, 0, (0.0,), 0.05), 0.1)
    before = rate.budget_bps
    rate.sent(1, 150, 60.0)  # after a pause of our own
    assert rate.budget_bps == before


@given(
    st.lists(
        st.tuples(
            st.integers(0, 65535),
            st.lists(st.none() | st.floats(0, 8), max_size=20),
            st.floats(0, 65535),
        ),
        max_size=20,
    )
)
def test_any_report(reports: list[tuple[int, list[float | None], float]]) -> None:
    rate = AudioRateController()
    for n in range(60):
        rate.sent(n, 100, n / 50)
    for index, (begin, arrivals, stamp) in enumerate(reports):
        rate.receive(ArrivalReport(1, begin, tuple(arrivals), stamp), 2 + index / 10)
        assert MIN_BPS <= rate.budget_bps <= MAX_BPS
        rate.sent(60 + index, 100, 2 + index / 10)


def test_a_foreign_peer() -> None:
    rate = RoundTripRate(32_000)
    for _ in range(5):
        rate.receive(0.1)
    assert rate.limit_bps == 32_000
    for _ in range(10):
        rate.receive(0.3)
    assert rate.limit_bps == 12_000
    for _ in range(30):
        rate.receive(0.11)
    assert rate.limit_bps == 32_000
