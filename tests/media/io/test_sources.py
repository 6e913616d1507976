"""Sources without a file, and the pace."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from media.io.sources import (
    FRAME,
    AudioSink,
    AudioSource,
    Discard,
    GeneratedVoice,
    Reframer,
    Silence,
    Tone,
)
from media.simulation.voice import generate_voice


async def test_frames_come_every_20_ms_and_never_drift(fake_time: Any) -> None:
    source = Silence()
    for number in range(1, 501):
        await source.read()
        assert fake_time.now == pytest.approx(100.0 + number * FRAME)
        fake_time.now += 0.004  # what the caller does with it
    assert source.started_at == 100.0


async def test_a_late_reader_catches_up(fake_time: Any) -> None:
    source = Silence()
    await source.read()
    fake_time.now += 0.5
    for _ in range(25):
        await source.read()
        assert fake_time.now == pytest.approx(100.52)
    await source.read()
    assert fake_time.now == pytest.approx(100.54)


async def test_after_a_suspended_machine_no_burst(fake_time: Any) -> None:
    source = Silence()
    await source.read()
    fake_time.now += 3600
    await source.read()
    back = fake_time.now
    await source.read()
    assert fake_time.now == pytest.approx(back + FRAME)


async def test_real_clock() -> None:
    source = Tone(440)
    before = time.monotonic()
    for _ in range(5):
        await source.read()
    assert 0.095 < time.monotonic() - before < 1.0


@pytest.mark.parametrize("make", [Silence, lambda: Tone(1000), lambda: GeneratedVoice(1)])
async def test_every_source_gives_frames_and_silence_after_close(
    make: Callable[[], AudioSource], fake_time: Any
) -> None:
    source = make()
    assert isinstance(source, AudioSource)
    for _ in range(10):
        frame = await source.read()
        assert frame.shape == (960,) and frame.dtype == np.int16
    source.close()
    source.close()
    assert not (await source.read()).any()


async def test_tone_has_its_frequency(fake_time: Any) -> None:
    source = Tone(1000, level=0.5)
    sound = np.concatenate([await source.read() for _ in range(50)]).astype(float)
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum) == 1000
    assert np.abs(sound).max() == pytest.approx(0.5 * 32767, rel=0.001)
    with pytest.raises(ValueError):
        Tone(30_000)


async def test_generated_voice_is_the_one_of_its_seed(fake_time: Any) -> None:
    source = GeneratedVoice(7)
    sound = np.concatenate([await source.read() for _ in range(100)])
    assert np.array_equal(sound, generate_voice(7, 2.0))


async def test_reading_can_be_cancelled() -> None:
    task = asyncio.create_task(Silence().read())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_discard_counts() -> None:
    sink = Discard()
    assert isinstance(sink, AudioSink)
    sink.write(np.zeros(480, np.int16))
    sink.close()
    assert sink.samples == 480


def test_reframer_fills_up_with_silence() -> None:
    reader = Reframer(iter([np.arange(5, dtype=np.int16), np.arange(2, dtype=np.int16)]))
    assert reader.take(4).tolist() == [0, 1, 2, 3]
    assert not reader.ended
    assert reader.take(4).tolist() == [4, 0, 1, 0]
    assert reader.ended
    assert reader.take(2).tolist() == [0, 0]
