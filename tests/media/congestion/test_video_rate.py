"""The sender's rate."""

from media.congestion.video_rate import MAX_BPS, MIN_BPS, REMB_LIFE, SILENCE, START_BPS, VideoRate


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
    rate.receive_remb(100_000, 0.0)
    assert rate.target_bps == MIN_BPS, "less than that is no video"
    rate.receive_remb(1_000_000, 0.1)
    assert rate.target_bps == MIN_BPS, "growth takes its time"
    for n in range(20):
        rate.receive_remb(1_000_000, n * 0.5)
        rate.receive_report(0.0, 0.05, n * 0.5)
    assert rate.target_bps == 1_000_000
    rate.receive_remb(400_000, 11.0)
    assert rate.target_bps == 400_000


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
    assert rate.target_bps == MIN_BPS


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
    assert MIN_BPS < rate.target_bps < MAX_BPS
    for n in range(90, 600):
        rate.check(now + n / 30)
    assert rate.target_bps == MIN_BPS
    assert reports(rate, 10, start=now + 20) and rate.target_bps > 600_000
