"""The generated voice: the same every time, and like speech where a codec looks."""

import numpy as np
import pytest

from media.simulation.voice import generate_voice, tone


def test_the_same_seed_gives_the_same_samples() -> None:
    assert np.array_equal(generate_voice(1, 3.0), generate_voice(1, 3.0))
    assert not np.array_equal(generate_voice(1, 3.0), generate_voice(2, 3.0))
    assert np.array_equal(generate_voice(1, 3.0), generate_voice(1, 6.0)[: 3 * 48_000])


def test_length_and_type() -> None:
    assert generate_voice(1, 0.0).shape == (0,)
    voice = generate_voice(1, 1.2345)
    assert voice.dtype == np.int16
    assert len(voice) == round(1.2345 * 48_000)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_has_pauses_syllables_and_the_band_of_a_voice(seed: int) -> None:
    voice = generate_voice(seed, 20.0).astype(float)
    frames = np.sqrt(np.mean(voice[: len(voice) // 960 * 960].reshape(-1, 960) ** 2, axis=1))
    assert 0.15 < np.mean(frames < 20) < 0.6  # pauses
    assert 1000 < frames.max() < 20_000
    assert np.abs(voice).max() < 32_000  # nothing clips
    power = np.abs(np.fft.rfft(voice)) ** 2
    hz = np.fft.rfftfreq(len(voice), 1 / 48_000)
    assert power[(hz > 80) & (hz < 4000)].sum() / power.sum() > 0.8
    assert power[hz > 8500].sum() / power.sum() < 0.001


def test_no_second_of_it_comes_again() -> None:
    voice = generate_voice(4, 12.0).astype(float)
    piece = voice[4 * 48_000 : 5 * 48_000]
    size = 1 << (len(voice) * 2 - 1).bit_length()
    match = np.fft.irfft(np.fft.rfft(voice, size) * np.conj(np.fft.rfft(piece, size)), size)[
        : len(voice) - 48_000
    ]
    match /= np.sqrt(np.sum(piece**2))
    best = int(np.argmax(match))
    assert best == 4 * 48_000
    away = np.abs(np.arange(len(match)) - best) > 4800
    assert match[away].max() < 0.6 * match[best]


def test_tone_is_continuous() -> None:
    whole = tone(440, 0, 4800)
    assert np.array_equal(whole, np.concatenate([tone(440, 0, 960), tone(440, 960, 3840)]))
    assert np.abs(whole).max() == pytest.approx(0.3 * 32767, abs=2)
