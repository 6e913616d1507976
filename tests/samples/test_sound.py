"""The samples' options for microphone and speaker, and their line with the levels."""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from media import MediaError, Speaker
from media.io.loopback import LoopbackSystem

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("_sound", SAMPLES / "_sound.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "_sound", module)
    spec.loader.exec_module(module)
    return module


def parse(sound: ModuleType, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--play")
    parser.add_argument("--record")
    sound.add_sound_options(parser)
    return parser.parse_args(arguments)


def test_nothing_asked_for_opens_nothing(sound: ModuleType) -> None:
    assert sound.make_devices(parse(sound)) == (None, None)


def test_both_in_one_room(sound: ModuleType) -> None:
    pytest.importorskip("pywebrtc_audio")
    options = parse(sound, "--devices", "--sound-system", "loopback", "--no-auto-gain-control")
    microphone, speaker = sound.make_devices(options)
    assert isinstance(microphone.system, LoopbackSystem) and microphone.system is speaker.system
    assert microphone.processing.echo_cancellation and not microphone.processing.auto_gain_control
    alone, _ = sound.make_devices(parse(sound, "--microphone", "--sound-system", "loopback"))
    assert not alone.processing.echo_cancellation and alone.processing.noise_suppression


@pytest.mark.parametrize(
    "arguments",
    [
        ("--microphone", "--play", "a.wav"),
        ("--speaker", "--record", "a.wav"),
        ("--microphone", "no such device", "--sound-system", "loopback"),
    ],
)
def test_what_does_not_go_together(sound: ModuleType, arguments: tuple[str, ...]) -> None:
    with pytest.raises(MediaError):
        sound.make_devices(parse(sound, *arguments))


def test_the_line_with_the_levels(sound: ModuleType) -> None:
    speaker = Speaker(system=LoopbackSystem())
    assert "no device" in sound.level_line(speaker)
    speaker._keeper.is_open = True
    speaker.level.push(np.full(48_000, 3277, np.int16))
    assert sound.level_line(speaker) == "speaker [#######|    ]  -20 dBFS"
