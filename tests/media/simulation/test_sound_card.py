"""The room and its sound card: delays, levels and clocks are those that were asked for."""

from random import Random

import numpy as np
import pytest

from media.audio_processing.settings import Direction
from media.simulation.room import Room, RoomSettings
from media.simulation.sound_card import CardSettings, LoopbackCard
from media.simulation.voice import generate_voice

SILENCE = np.zeros(480, np.int16)


def test_delay_and_gain_of_the_echo() -> None:
    voice = generate_voice(1, 2.0)
    room = Room(RoomSettings(delay=0.080, echo_gain_db=-12, tail=0.0, noise_dbfs=-120, distortion=0.0), 1)
    heard = []
    for first in range(0, len(voice), 480):
        room.play(voice[first : first + 480])
        heard.append(room.capture(SILENCE))
    echo = np.concatenate(heard).astype(float)
    expected = np.concatenate((np.zeros(3840), voice))[: len(echo)] * 10 ** (-12 / 20)
    assert np.abs(np.abs(echo) - np.abs(expected)).max() < 3


def test_the_talker_and_the_noise_are_heard() -> None:
    room = Room(RoomSettings(noise_dbfs=-40), 1)
    noise = np.concatenate([room.capture(SILENCE) for _ in range(50)]).astype(float)
    assert 20 * np.log10(noise.std() / 32768) == pytest.approx(-40, abs=0.5)
    assert room.capture(np.full(480, 12_000, np.int16)).mean() == pytest.approx(12_000, abs=100)


def test_two_clocks_and_late_threads() -> None:
    card = LoopbackCard(CardSettings(playback_ppm=1000, capture_ppm=-1000, lateness=0.002), 7.0, Random(1))
    times: dict[str, list[float]] = {d: [] for d in Direction}
    now = 7.0
    while now < 27.0:
        now = card.get_timer()
        for at, direction in card.due(now):
            times[direction].append(at)
    for direction, ppm in ((Direction.PLAYBACK, 1000), (Direction.CAPTURE, -1000)):
        assert len(times[direction]) == pytest.approx(2000 * (1 + ppm * 1e-6), abs=2)
        assert times[direction] == sorted(times[direction])


def test_a_machine_that_slept_does_not_catch_up() -> None:
    card = LoopbackCard(CardSettings(), 0.0, Random(1))
    assert sum(1 for _ in card.due(0.1)) == 21
    assert sum(1 for _ in card.due(1000.0)) == 2
