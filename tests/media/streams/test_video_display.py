"""When pictures are shown."""

import numpy as np
import pytest

from media.streams.video_display import MAX_JITTER_DELAY, MAX_WAITING, MIN_SPACING, VideoDisplay

PICTURE = np.zeros((6, 4), np.uint8)


def show(display: VideoDisplay, until: float) -> list[tuple[float, float]]:
    """(time, media time) of what is shown up to then, driven by the timer."""
    shown = []
    while (due := display.get_timer()) is not None and due <= until:
        for _ in display.pictures_to_show(due):
            assert display.shown_media_time is not None
            shown.append((due, display.shown_media_time))
    return shown


def run(
    lateness: dict[int, float], count: int = 60, fps: int = 30
) -> tuple[VideoDisplay, list[tuple[float, float]]]:
    """Picture n is ready at n / fps plus its lateness, and in order."""
    display, shown, ready = VideoDisplay(), [], 0.0
    for n in range(count):
        ready = max(ready, n / fps + lateness.get(n, 0.0))
        shown += show(display, ready)
        display.insert(PICTURE, n / fps, ready)
    return display, shown + show(display, 1e9)


def test_pictures_that_are_never_late_are_shown_at_once() -> None:
    display, shown = run({})
    assert [at for at, _ in shown] == pytest.approx([n / 30 for n in range(60)])
    assert display.delay == pytest.approx(0, abs=1e-9) and display.freeze_count == 0


def test_they_come_in_order_and_with_a_distance() -> None:
    _, shown = run({10: 0.4})
    assert [m for _, m in shown] == sorted(m for _, m in shown)
    gaps = np.diff([at for at, _ in shown])
    assert len(shown) == 60 and gaps.min() >= MIN_SPACING - 1e-9


def test_the_delay_follows_jitter_and_evens_it_out() -> None:
    late = {n: 0.040 * (n % 2) for n in range(200)}
    display, shown = run(late, 200)
    assert display.delay == pytest.approx(0.040, abs=0.002)
    assert np.diff([at for at, _ in shown[100:]]).std() < 0.002
    assert run(dict.fromkeys(range(20, 40), 1.0), 60)[0].delay <= MAX_JITTER_DELAY


def test_freezes_by_the_definition_of_the_w3c() -> None:
    """At 30 fps the mean is 33 ms: a gap of 183 ms is one, of 170 ms none."""
    for gap, expected in ((0.170, 0), (0.190, 1)):
        display = VideoDisplay()
        now = 0.0
        for n in range(40):
            now += gap if n == 35 else 1 / 30
            display.insert(PICTURE, now, now)
            display.pictures_to_show(now)
        assert display.freeze_count == expected == len(display.freezes)
        assert display.total_freezes_duration == pytest.approx(gap * expected)
        assert display.total_inter_frame_delay == pytest.approx(39 / 30 - 1 / 30 + gap)
    # At 2 fps the mean is 500 ms: three times that counts, the mean and 150 ms do not.
    display, now = VideoDisplay(), 0.0
    for n in range(20):
        now += 0.9 if n == 15 else 0.5
        display.insert(PICTURE, now, now)
        display.pictures_to_show(now)
    assert display.freeze_count == 0


def test_what_waits_is_bounded_and_the_oldest_goes() -> None:
    display = VideoDisplay()
    display.sync_delay = 0.5
    for n in range(100):
        display.insert(PICTURE, n / 1000, n / 1000)
    assert display.frames_dropped == 100 - MAX_WAITING
    assert [m for _, m in show(display, 1e9)] == pytest.approx(
        [n / 1000 for n in range(100 - MAX_WAITING, 100)]
    )


def test_a_jump_of_the_senders_clock_starts_anew() -> None:
    display, _ = run({})
    for n in range(30):
        display.insert(PICTURE, 5000 + n / 30, 3 + n / 30)
    shown = show(display, 1e9)
    assert len(shown) == 30 and shown[-1][0] < 4.2


def test_lag_is_what_the_synchronizer_needs() -> None:
    display, shown = run({})
    display.sync_delay = 0.1
    lag = display.lag()
    assert lag is not None and lag == pytest.approx(shown[-1][0] - shown[-1][1] + 0.1)
    assert VideoDisplay().lag() is None
