"""Mouth-to-ear delay found in recordings whose delay is known."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media.io.files import load_speech
from media.quality import speech
from media.quality.speech import score, to_16k
from media.simulation.voice import generate_voice

RATE = 48_000


def delayed(samples: np.ndarray, ms: float) -> np.ndarray:
    return np.concatenate([np.zeros(round(ms * RATE / 1000), np.int16), samples])


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return generate_voice(5, 12.0)


def test_to_16k_keeps_the_band_and_removes_the_rest() -> None:
    t = np.arange(RATE) / RATE
    for hz, gain in ((300, 1.0), (3000, 1.0), (6500, 1.0), (8800, 0.0), (15_000, 0.0)):
        low = to_16k(np.round(10_000 * np.sin(2 * np.pi * hz * t)).astype(np.int16))
        assert len(low) == 16_000
        amplitude = np.sqrt(2 * np.mean(low[500:-500] ** 2)) * 32768
        assert amplitude == pytest.approx(10_000 * gain, abs=300)
    assert len(to_16k(np.zeros(1000, np.int16))) == 334
    assert len(to_16k(np.zeros(0, np.int16))) == 0


@pytest.mark.parametrize("ms", [0.0, 46.5, 113.0, 692.0, 1900.0])
def test_a_known_delay_is_found(voice: np.ndarray, ms: float) -> None:
    result = score(voice, delayed(voice, ms), pesq=False)
    assert result.mouth_to_ear_median_ms == pytest.approx(ms, abs=0.1)
    assert result.mouth_to_ear_p95_ms == pytest.approx(ms, abs=0.1)
    assert result.matched_share == 1.0
    assert result.windows > 10


def test_noise_level_and_lost_frames_do_not_matter(voice: np.ndarray) -> None:
    rng = random.Random(1)
    heard = delayed(voice, 87.0).astype(float) * 0.4
    heard += np.random.default_rng(1).normal(0, 60, len(heard))
    for start in range(0, len(heard) - 960, 960):
        if rng.random() < 0.1:
            heard[start : start + 960] = 0
    result = score(voice, heard.astype(np.int16), pesq=False)
    assert result.mouth_to_ear_median_ms == pytest.approx(87, abs=0.5)
    assert result.matched_share is not None and result.matched_share > 0.9


def test_a_jump_shows_in_the_p95(voice: np.ndarray) -> None:
    cut = 9 * RATE
    heard = np.concatenate([delayed(voice[:cut], 60), np.zeros(RATE // 5, np.int16), voice[cut:]])
    result = score(voice, heard, pesq=False)
    assert result.mouth_to_ear_median_ms == pytest.approx(60, abs=0.5)
    assert result.mouth_to_ear_p95_ms == pytest.approx(260, abs=0.5)


def test_another_voice_silence_and_nothing_do_not_match(voice: np.ndarray) -> None:
    other = score(voice, generate_voice(6, 14.0), pesq=False)
    assert other.matched_share is not None and other.matched_share < 0.2
    silent = score(voice, np.zeros(len(voice), np.int16), pesq=False)
    assert (silent.mouth_to_ear_median_ms, silent.matched_share) == (None, 0.0)
    empty = np.zeros(0, np.int16)
    for reference, recording in ((empty, empty), (empty, voice), (np.zeros(RATE * 3, np.int16), voice)):
        nothing = score(reference, recording)
        assert (nothing.mouth_to_ear_median_ms, nothing.matched_share, nothing.windows) == (None, None, 0)
    assert score(voice, empty).matched_share == 0.0


def test_real_speech(media_file: Callable[[str], Path]) -> None:
    sound = load_speech(media_file("speech-it-male-64s.g722"), 10)
    result = score(sound, delayed(sound, 110), pesq=False)
    assert result.mouth_to_ear_median_ms == pytest.approx(110, abs=0.1)
    assert result.matched_share == 1.0


def test_metrics_are_none_without_their_packages(voice: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "_optional", lambda name: None)
    result = score(voice, delayed(voice, 50), pesq=True, visqol=True)
    assert (result.pesq_wb, result.visqol) == (None, None)


def test_metrics_see_aligned_pieces(voice: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    class Pesq:
        @staticmethod
        def pesq(rate: int, reference: np.ndarray, heard: np.ndarray, mode: str) -> float:
            assert (rate, mode) == (16_000, "wb") and len(reference) == len(heard)
            seen.append(float(np.corrcoef(reference, heard)[0, 1]))
            return 4.0

    monkeypatch.setattr(speech, "_optional", lambda name: Pesq if name == "pesq" else None)
    assert score(voice, delayed(voice, 50), pesq=False).pesq_wb is None and not seen
    long = np.concatenate([voice, generate_voice(9, 13.0)])
    assert score(long, delayed(long, 123)).pesq_wb == 4.0
    assert len(seen) == 2 and min(seen) > 0.98


def test_pesq_itself(voice: np.ndarray) -> None:
    pytest.importorskip("pesq")
    clean = score(voice, delayed(voice, 60)).pesq_wb
    assert clean is not None and clean > 4
