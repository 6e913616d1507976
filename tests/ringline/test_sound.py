"""The samples' options for microphone and speaker, and their line with the levels."""

import argparse

import numpy as np
import pytest

from media import MediaError, Speaker
from media.io.loopback import LoopbackSystem
from ringline import sound


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--play")
    parser.add_argument("--record")
    sound.add_sound_options(parser)
    return parser.parse_args(arguments)


def test_nothing_asked_for_opens_nothing() -> None:
    assert sound.make_devices(parse()) == (None, None)


def test_both_in_one_room() -> None:
    pytest.importorskip("pywebrtc_audio")
    options = parse("--devices", "--sound-system", "loopback", "--no-auto-gain-control")
    microphone, speaker = sound.make_devices(options)
    assert isinstance(microphone.system, LoopbackSystem) and microphone.system is speaker.system
    assert microphone.processing.echo_cancellation and not microphone.processing.auto_gain_control
    alone, _ = sound.make_devices(parse("--microphone", "--sound-system", "loopback"))
    assert not alone.processing.echo_cancellation and alone.processing.noise_suppression


@pytest.mark.parametrize(
    "arguments",
    [
        ("--microphone", "--play", "a.wav"),
        ("--speaker", "--record", "a.wav"),
        ("--microphone", "no such device", "--sound-system", "loopback"),
    ],
)
def test_what_does_not_go_together(arguments: tuple[str, ...]) -> None:
    with pytest.raises(MediaError):
        sound.make_devices(parse(*arguments))


def test_the_line_with_the_levels() -> None:
    speaker = Speaker(system=LoopbackSystem())
    assert "no device" in sound.level_line(speaker)
    speaker._keeper.is_open = True
    speaker.level.push(np.full(48_000, 3277, np.int16))
    assert sound.level_line(speaker) == "speaker [#######|    ]  -20 dBFS"
