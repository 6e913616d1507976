"""The sender's rate."""

import pytest

from media.congestion.path_report import PathReport
from media.congestion.video_rate import (
    FLOOR_BPS,
    MAX_BPS,
    MIN_BPS,
    PAUSE,
    PAUSE_MAX,
    REMB_LIFE,
    SILENCE,
    START_BPS,
    VideoRate,
)


def reports(
    rate: VideoRate, seconds: float, *, start: float = 0.0, loss: float = 0.0, rtt: float = 0.05
) -> float:
    now = start
    while now < start + seconds:
        now += 0.5
        rate.receive_report(loss, rtt, now)
    return now


def test_without_loss_it_grows_to_the_most() -> None:
    rate = VideoRate()
    reports(rate, 20)
    assert rate.target_bps == MAX_BPS


def test_remb_is_obeyed_at_once_and_followed_upwards() -> None:
    rate = VideoRate()
    rate.receive_remb(160_000, 0.0)
    assert rate.target_bps == 160_000
    rate.receive_remb(1_000_000, 0.1)
    assert rate.target_bps == 160_000, "growth takes its time"
    for n in range(24):
        rate.receive_remb(1_000_000, n * 0.5)
        rate.receive_report(0.0, 0.05, n * 0.5)
    assert rate.target_bps == 1_000_000
    rate.receive_remb(400_000, 13.0)
    assert rate.target_bps == 400_000


def test_a_small_remb_pauses_nothing_unless_the_path_is_full() -> None:
    """libwebrtc's follows what came: 12 kbit/s for a picture that stands still, on a path of any speed."""
    rate = VideoRate()
    reports(rate, 3.0)
    rate.receive_remb(12_000, 3.0)
    assert not rate.paused and rate.target_bps == FLOOR_BPS
    rate.receive_report(0.03, 0.02, 3.5)
    rate.receive_remb(12_000, 3.6)
    assert not rate.paused
    rate.receive_report(0.0, 0.5, 4.0)  # jitter: one round trip of many
    rate.receive_remb(12_000, 4.1)
    assert not rate.paused
    reports(rate, 1.5, start=4.0, rtt=0.5)  # but a queue
    rate.receive_remb(12_000, 5.6)
    assert rate.paused


def test_what_the_queue_holds_is_no_reason_to_pause() -> None:
    """Reports are as late as what they tell of: the queue grows in them after the decrease that ends it."""
    rate = VideoRate(beside_voice=True)
    rate.receive_path(PathReport(0.0, 0.0, 1.0, None, 700_000.0, 60_000), 0.0, 0.0)
    before = rate.target_bps
    for now, queue in ((1.0, 0.2), (1.3, 0.35), (1.6, 0.5), (1.9, 0.6), (2.2, 0.4), (2.5, 0.1), (2.8, 0.0)):
        rate.receive_path(PathReport(queue, 0.0, 0.7, None, 0.0, 60_000), 150_000, now)
        assert not rate.paused and rate.target_bps < before / 2


def test_a_remb_that_is_not_renewed_is_forgotten() -> None:
    rate = VideoRate()
    rate.receive_remb(300_000, 0.0)
    reports(rate, REMB_LIFE + 10)
    assert rate.target_bps > 600_000


def test_five_percent_of_loss_do_not_lower_it_and_half_does() -> None:
    rate = VideoRate()
    reports(rate, 10, loss=0.05)
    assert rate.target_bps == START_BPS
    reports(rate, 10, start=10, loss=0.5)
    assert rate.target_bps == FLOOR_BPS


def test_a_growing_round_trip_lowers_it_where_there_is_no_remb() -> None:
    rate = VideoRate()
    now = reports(rate, 10, rtt=0.05)
    before = rate.target_bps
    reports(rate, 3, start=now, rtt=0.25)
    assert rate.target_bps < 0.6 * before


def test_silence_of_the_far_end_lowers_it_step_by_step() -> None:
    rate = VideoRate()
    now = reports(rate, 20)
    for n in range(round(SILENCE * 30)):
        rate.check(now + n / 30)
    assert rate.target_bps == MAX_BPS
    for n in range(round(SILENCE * 30), 90):
        rate.check(now + n / 30)
    assert FLOOR_BPS < rate.target_bps < MAX_BPS
    for n in range(90, 600):
        rate.check(now + n / 30)
    assert rate.target_bps == FLOOR_BPS
    assert reports(rate, 10, start=now + 20) and rate.target_bps > 600_000


# -- beside the voice


class Link:
    """A link of `link_bps` and a queue on it; the voice takes 60 kbit/s and reports every 0.3 s."""

    VOICE_BPS = 60_000

    def __init__(self, link_bps: float, *, shown: bool = False) -> None:
        self.rate = VideoRate(beside_voice=True)
        self.link_bps, self.shown = link_bps, shown
        self.queue = self.now = 0.0
        self.longest = 0.0

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 0.3
            sent = self.rate.target_bps + self.VOICE_BPS
            share = min(1.0, self.link_bps / sent)
            self.queue = max(0.0, min(0.5, self.queue + 0.3 * (sent / self.link_bps - 1)))
            self.longest = max(self.longest, self.queue)
            link = self.link_bps if self.shown else None
            self.rate.receive_path(
                PathReport(self.queue, 0.0, share, link, 0.0, self.VOICE_BPS), self.rate.target_bps, self.now
            )
            self.rate.receive_report(0.0, 0.05 + self.queue, self.now)
            self.rate.check(self.now)


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("link_bps", [130_000, 200_000, 400_000, 1_000_000])
def test_video_takes_what_the_voice_leaves(link_bps: int, shown: bool) -> None:
    link = Link(link_bps, shown=shown)
    link.run(40.0)
    link.longest = 0.0
    link.run(20.0)
    assert link.longest < 0.15 and not link.rate.paused
    assert 0.4 * (link_bps - Link.VOICE_BPS) < link.rate.target_bps < link_bps - 0.7 * Link.VOICE_BPS


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("link_bps", [50_000, 64_000, 80_000])
def test_where_there_is_room_for_the_voice_only_video_pauses(link_bps: int, shown: bool) -> None:
    link = Link(link_bps, shown=shown)
    link.VOICE_BPS = 40_000 if link_bps < 60_000 else 55_000
    link.run(10.0)
    assert link.rate.paused and link.rate.target_bps == 0
    link.queue = 0.0
    link.run(300.0)
    assert link.rate.pauses <= 2 + 300 / PAUSE_MAX + 4, "each try in vain doubles the wait for the next one"


@pytest.mark.parametrize("shown", [False, True])
def test_video_comes_back_with_the_link(shown: bool) -> None:
    link = Link(60_000, shown=shown)
    link.VOICE_BPS = 50_000
    link.run(20.0)
    assert link.rate.paused
    link.link_bps, link.VOICE_BPS = 1_000_000, 60_000
    link.run(4 * PAUSE)
    assert not link.rate.paused
    link.run(20.0)
    assert link.rate.target_bps > 300_000


def test_a_queue_that_video_did_not_make_does_not_end_it() -> None:
    """Somebody else fills the link: to send less changes nothing, and all of it would go to them."""
    rate = VideoRate(beside_voice=True)
    rate.target_bps = 800_000
    for n in range(100):
        rate.receive_path(PathReport(0.2, 0.0, 1.0, None, 0.0, 60_000), rate.target_bps, n * 0.3)
    assert rate.target_bps > MIN_BPS and not rate.paused


def test_a_voice_that_is_silent_does_not_keep_video_small() -> None:
    rate = VideoRate(beside_voice=True)
    reports(rate, 20)
    assert rate.target_bps > 1_000_000
