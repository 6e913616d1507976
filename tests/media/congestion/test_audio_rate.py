"""Voice senders, without sound, on links that are thin, step, lose or are shared; in virtual time."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.congestion.audio_rate import MAX_BPS, MIN_BPS, AudioRateController
from media.congestion.round_trip_rate import RoundTripRate
from media.rtp.congestion_feedback import ArrivalLog, ArrivalReport
from media.simulation.link import HEADER_BYTES, Link, LinkParameters, Schedule, Step
from media.streams.protection import ProtectionController, Scheme

RTCP_BYTES = 110  # on the wire


class Voice:
    """What a sender does by its schemes; its packets and reports are a tag and a number in a link's datagrams."""

    def __init__(self, tag: int, rng: Random, back: float) -> None:
        self.tag, self._rng, self._back = tag, rng, back
        self.rate, self.protection = AudioRateController(), ProtectionController()
        self.log = ArrivalLog(1)
        self.number = 0
        self.next_frame = rng.random() * 0.02
        self.next_report, self.next_rtcp = 0.2, rng.random() * 0.2
        self.reports: list[tuple[float, ArrivalReport]] = []
        self.sent: list[tuple[float, int]] = []
        self.delays: list[tuple[float, float]] = []
        self.times: dict[int, float] = {}

    @property
    def scheme(self) -> Scheme:
        return self.protection.scheme

    def step(self, link: Link, now: float) -> None:
        if now >= self.next_report:
            lossy = self.protection.loss > 0.0 or self.rate.queue > 0.03 or now < 2
            self.next_report = now + (0.2 if lossy else 1.0)
            if (report := self.log.report(now, overlap=5)) is not None:
                self.reports.append((now + self._back, report_at(report, now)))
        while self.reports and self.reports[0][0] <= now:
            report = self.reports.pop(0)[1]
            self.rate.receive(report, now)
            self.protection.receive(report, budget_bps=self.rate.steady_bps)
        if now >= self.next_rtcp:
            self.next_rtcp = now + (0.2 if now < 2 else 0.7)
            self.rate.sent_other(RTCP_BYTES, now)
            link.send(bytes(RTCP_BYTES - HEADER_BYTES), now)
        if now >= self.next_frame:
            scheme = self.scheme
            self.next_frame += scheme.packet_ms / 1000
            bits = (
                scheme.fitting(self.rate.budget_bps) * (1 + len(scheme.distances)) * scheme.packet_ms / 1000
            )
            payload = round(bits / 8 * self._rng.uniform(0.85, 1.15))
            size = payload + 57 + 4 * len(scheme.distances)
            self.rate.sent(self.number & 0xFFFF, size, now)
            self.sent.append((now, size))
            self.times[self.number] = now
            link.send(
                bytes([self.tag]) + self.number.to_bytes(4, "big") + bytes(size - 5 - HEADER_BYTES), now
            )
            self.number += 1

    def receive(self, data: bytes, at: float) -> None:
        number = int.from_bytes(data[1:5], "big")
        self.log.receive(number & 0xFFFF, at)
        self.delays.append((at, at - self.times[number]))

    def sent_bps(self, begin: float, end: float) -> float:
        return 8 * sum(size for at, size in self.sent if begin <= at < end) / (end - begin)

    def delay(self, begin: float, end: float) -> float:
        """The median, seconds."""
        delays = sorted(delay for at, delay in self.delays if begin <= at < end)
        return delays[len(delays) // 2]


def report_at(report: ArrivalReport, now: float) -> ArrivalReport:
    return ArrivalReport(report.ssrc, report.begin, report.arrivals, now % 65536)


class Download:
    """TCP Reno with a sender that never runs dry: slow start, one packet more a round trip, half on a loss."""

    BYTES = 1000

    def __init__(self, tag: int, back: float, begin: float) -> None:
        self.tag, self._back, self.begin = tag, back, begin
        self.window, self._threshold, self.flying, self.number = 2.0, math.inf, 0, 0
        self._acks: list[tuple[float, int]] = []
        self._expected, self._recovered, self.bytes = 0, -1, 0
        self._last = begin

    def step(self, link: Link, now: float) -> None:
        while self._acks and self._acks[0][0] <= now:
            number = self._acks.pop(0)[1]
            lost = number - self._expected  # the link keeps the order
            self._expected, self._last = number + 1, now
            self.flying = max(0, self.flying - 1 - lost)
            if lost and number > self._recovered:
                self.window = self._threshold = max(2.0, self.window / 2)
                self._recovered = self.number
            else:
                self.window += 1.0 if self.window < self._threshold else 1 / self.window
        if self.flying and now - self._last > 2.0:
            self.flying, self.window, self._last = 0, 2.0, now
        while now >= self.begin and self.flying < int(self.window):
            link.send(bytes([self.tag]) + self.number.to_bytes(4, "big") + bytes(self.BYTES - 33), now)
            self.number += 1
            self.flying += 1

    def receive(self, data: bytes, at: float) -> None:
        self.bytes += self.BYTES
        self._acks.append((at + self._back, int.from_bytes(data[1:5], "big")))


def run(flows: list[Voice | Download], link: Link, seconds: float) -> None:
    by_tag = {flow.tag: flow for flow in flows}
    for turn in range(round(seconds * 500)):
        now = turn / 500
        for at, data in link.receive(now):
            if data[0] in by_tag:
                by_tag[data[0]].receive(data, at)
        for flow in flows:
            flow.step(link, now)


def voice_on(
    seed: int, seconds: float, steps: tuple[Step, ...] = (), **parameters: float
) -> tuple[Voice, Link]:
    link = Link(LinkParameters(**parameters), Random(seed), Schedule(steps), 0.0)  # type: ignore[arg-type]
    voice = Voice(1, Random(seed), parameters["delay_ms"] / 1000)
    run([voice], link, seconds)
    return voice, link


@pytest.mark.parametrize(("kbit", "least"), [(64, 42), (48, 36), (32, 21), (24, 14)])
def test_a_thin_link_is_used_and_not_filled(kbit: int, least: int) -> None:
    voice, link = voice_on(kbit, 30, delay_ms=50, rate_bps=kbit * 1000, queue_ms=300)
    assert least * 1000 < voice.sent_bps(10, 30) < kbit * 1000
    assert voice.delay(10, 30) < 0.050 + 0.050 + 8 * 200 / (kbit * 1000)
    assert link.counters.queue_drops < 30


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
    first, second = Voice(1, Random(1), 0.04), Voice(2, Random(2), 0.04)
    second.next_frame = second.next_rtcp = second.next_report = 8.0
    run([first, second], link, 40)
    shares = first.sent_bps(20, 40), second.sent_bps(20, 40)
    assert sum(shares) < 100_000 and min(shares) > 0.3 * sum(shares)
    assert first.delay(20, 40) < 0.12


def test_beside_a_download_the_voice_goes_on() -> None:
    """Its queue is not ours: to send less would not shorten it."""
    link = Link(LinkParameters(delay_ms=30, rate_bps=1_000_000, queue_ms=200), Random(4))
    voice, download = Voice(1, Random(1), 0.03), Download(2, 0.03, 5.0)
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


@settings(max_examples=50, deadline=None)
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
