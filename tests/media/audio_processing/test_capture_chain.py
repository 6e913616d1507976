"""Echo cancellation in the loopback room: what is left of the echo, and of the one who talks."""

from random import Random

import numpy as np
import pytest

from media.audio_processing.capture_chain import CaptureChain
from media.audio_processing.far_end import FarEnd
from media.audio_processing.settings import AudioProcessingSettings, Direction, make_processor
from media.errors import SourceError
from media.simulation.sound_card import CardSettings, LoopbackCard
from media.simulation.voice import generate_voice

RATE = 48_000
ONLY_ECHO = AudioProcessingSettings(noise_suppression=False, auto_gain_control=False)


def talk(
    chain: CaptureChain, card: CardSettings, far: np.ndarray, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(what the microphone heard, what is sent)."""
    loopback, heard, sent = LoopbackCard(card, 50.0, Random(1)), [], []
    played = 0
    while len(heard) < len(near) // 480:
        for at, direction in loopback.due(loopback.get_timer()):
            if direction == Direction.PLAYBACK:
                piece = np.resize(far[played : played + 480], 480)
                loopback.play(piece)
                chain.played(at, played, piece)
                played += 480
            else:
                heard.append(loopback.capture(near[len(heard) * 480 :][:480]))
                sent.extend(chain.captured(at, heard[-1]))
    return np.concatenate(heard).astype(float), np.concatenate(sent).astype(float)


def power_db(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(sound**2) + 1e-9))


@pytest.fixture
def far() -> np.ndarray:
    return generate_voice(5, 4.5)


@pytest.mark.parametrize(
    "card",
    [CardSettings(), CardSettings(capture_ppm=200, playback_ppm=-200, lateness=0.001)],
    ids=["one clock", "400 ppm apart"],
)
def test_echo_goes(card: CardSettings, far: np.ndarray) -> None:
    pytest.importorskip("pywebrtc_audio")
    chain = CaptureChain(make_processor(ONLY_ECHO, RATE, 45), 960)
    heard, sent = talk(chain, card, far, np.zeros(4 * RATE, np.int16))
    late = slice(2 * RATE, None)
    assert power_db(heard[late]) - power_db(sent[late]) > 25  # 40 and more are measured, see docs/devices.md
    assert power_db(heard[late]) > 40  # there was an echo
    assert chain.far_end.short == 0
    assert chain.level.rms_dbfs < -50


def test_the_talker_stays(far: np.ndarray) -> None:
    pytest.importorskip("pywebrtc_audio")
    near = generate_voice(8, 2.5)
    chain = CaptureChain(make_processor(ONLY_ECHO, RATE, 45), 960)
    _, sent = talk(chain, CardSettings(), np.zeros_like(far), near)
    assert power_db(sent) == pytest.approx(power_db(near.astype(float)), abs=1.0)


def test_without_processing_the_sound_is_what_it_was() -> None:
    near = generate_voice(8, 2.0)
    heard, sent = talk(CaptureChain(None, 960), CardSettings(), np.zeros(48_000, np.int16), near)
    assert np.abs(sent[96 + 960 : 80_000] - heard[960 : 80_000 - 96]).max() <= 40  # 2 ms later, and rounded


def test_pieces_of_any_length() -> None:
    chain, rng, given = CaptureChain(None, 960), Random(3), 0
    for _ in range(200):
        count = rng.choice((1, 64, 441, 480, 1024, 4800))
        given += count
        for frame in chain.captured(100 + given / RATE, np.zeros(count, np.int16)):
            assert len(frame) == 960
    assert 100 + given / RATE - chain.until < 0.05


def test_the_reference_waits_when_the_thread_is_late_again_and_again() -> None:
    far_end = FarEnd()
    voice = generate_voice(1, 3.0)
    for number in range(250):
        now = 10 + number * 0.01
        if number % 10 < 7:  # three of ten pieces come with the one after them, up to 30 ms late
            for late in range(number - 3 if number % 10 == 0 and number else number, number + 1):
                far_end.played(now, late * 480, voice[late * 480 :][:480])
        far_end.reference(now + 0.001, 480)
    assert far_end.short >= 3 and far_end.margin > 0.02
    before = far_end.short
    for number in range(250, 280):
        far_end.played(10 + number * 0.01, number * 480, voice[number * 480 :][:480])
        far_end.reference(10 + number * 0.01 + 0.001, 480)
    assert far_end.short == before


def test_nothing_was_played() -> None:
    assert not FarEnd().reference(5.0, 480).any()


def test_everything_off_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pywebrtc_audio", None)
    assert make_processor(AudioProcessingSettings(False, False, False), RATE, 0) is None
    with pytest.raises(SourceError, match="is not installed"):
        make_processor(AudioProcessingSettings(), RATE, 0)
