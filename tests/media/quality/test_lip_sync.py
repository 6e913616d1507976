"""Flash and beep, found again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.codecs.opus import OpusDecoder, OpusEncoder
from media.quality.lip_sync import FlashFinder, compare, find_beeps
from media.simulation.picture import Pattern, beeps, is_flash
from media.simulation.voice import generate_voice
from media.video_frame import VideoFrame

RATE = 48_000
PATTERN = Pattern(320, 240)


def seen(
    fps: float, seconds: float, delay: float, lost: frozenset[int] = frozenset(), known: bool = True
) -> list[float]:
    finder = FlashFinder(fps if known else None)
    for number in range(round(seconds * fps)):
        if number not in lost:
            finder.add(VideoFrame(PATTERN.picture(number, is_flash(number, fps)), 0.0), number / fps + delay)
    return finder.onsets


@given(delay=st.floats(-0.3, 0.3), audio_delay=st.floats(0.0, 0.2))
@settings(max_examples=8, deadline=None)
def test_a_known_offset_is_measured(delay: float, audio_delay: float) -> None:
    video_delay = audio_delay + delay
    sound = np.concatenate([np.zeros(round(audio_delay * RATE), np.int16), beeps(0, 3 * RATE)])
    found = compare(seen(10, 3, video_delay), find_beeps(sound))
    assert found.pairs == 3
    assert found.median == pytest.approx(delay, abs=0.002), "positive: the sound is ahead"
    assert found.lowest is not None and found.highest is not None
    assert found.highest - found.lowest < 0.003


@pytest.mark.parametrize("fps", [25.0, 29.97, 30.0, 15.0])
def test_flashes_of_many_rates(fps: float) -> None:
    onsets = seen(fps, 4, 0.05)
    assert onsets == pytest.approx([0.05, 1.05, 2.05, 3.05], abs=0.001 if fps != 29.97 else 0.004)


def test_a_lost_first_picture_of_the_flash_is_no_offset() -> None:
    lost = frozenset({0, 30, 31})
    assert seen(30, 3, 0.0, lost) == pytest.approx([0, 1, 2])
    assert seen(30, 3, 0.0, lost, known=False) == pytest.approx([1 / 30, 1 + 2 / 30, 2])


def test_beeps_are_found_through_opus() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    sound = beeps(0, 5 * RATE)
    played = [decoder.decode(encoder.encode(sound[k : k + 960])).copy() for k in range(0, len(sound), 960)]
    encoder.close()
    decoder.close()
    found = find_beeps(np.concatenate(played))
    # The codec's own delay is 6.5 ms.
    assert np.diff(found) == pytest.approx([1.0] * 4, abs=0.002)
    assert found[0] == pytest.approx(0.0065, abs=0.005)


def test_beeps_in_noise_and_quiet_ones() -> None:
    sound = beeps(0, 4 * RATE, level=0.1)
    noise = np.random.default_rng(2).normal(0, 300, len(sound)).astype(np.int16)
    assert find_beeps(sound + noise) == pytest.approx([0, 1, 2, 3], abs=0.003)


def test_silence_and_short_sound_have_no_beeps() -> None:
    assert find_beeps(np.zeros(RATE, np.int16)) == []
    assert find_beeps(np.zeros(10, np.int16)) == []
    assert find_beeps(np.random.default_rng(2).normal(0, 300, RATE).astype(np.int16)) == []


def test_any_sound_is_survived() -> None:
    find_beeps(generate_voice(1, 5.0))
    find_beeps(np.full(RATE, 32767, np.int16))


def test_without_pairs_nothing_is_claimed() -> None:
    assert compare([], [1.0]).median is None
    assert compare([1.0], []).pairs == 0
    assert compare([1.0], [3.0]).pairs == 0


def test_dark_pictures_are_no_flash() -> None:
    finder = FlashFinder()
    assert not finder.add(VideoFrame(np.full((360, 320), 128, np.uint8), 0.0), 1.0)
    assert not finder.add(VideoFrame(np.full((3, 2), 255, np.uint8), 0.0), 1.0)
    assert finder.onsets == []
