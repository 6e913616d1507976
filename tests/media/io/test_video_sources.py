"""Sources of pictures in virtual time."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from media.errors import SourceError
from media.io.sources import AudioSource
from media.io.video_sources import (
    MAX_LOG,
    BlackFrames,
    CaptureLog,
    FlashAndBeep,
    Numbered,
    NumberedSource,
    NumpyFrames,
    PushedFrames,
    TestPattern,
    VideoSource,
)
from media.quality.frame_number import read_frame_number
from media.quality.lip_sync import FlashFinder, compare, find_beeps
from media.video_frame import VideoFrame


def number_of(frame: VideoFrame) -> int | None:
    return read_frame_number(frame.luma)


async def test_pictures_come_at_their_times_and_never_drift(fake_time: Any) -> None:
    source = TestPattern(160, 120, fps=25)
    assert isinstance(source, VideoSource) and isinstance(source, NumberedSource)
    for number in range(300):
        frame = await source.read()
        assert number_of(frame) == number
        assert fake_time.now == pytest.approx(100 + number / 25)
        assert frame.captured == pytest.approx(100 + number / 25) == source.captured[number]
        fake_time.now += 0.011  # what the caller does with it
    assert np.array_equal(frame.data, source.reference(299))


async def test_a_late_reader_misses_pictures_and_gets_no_burst(fake_time: Any) -> None:
    source = TestPattern(160, 120, fps=10)
    await source.read()
    fake_time.now += 1.23
    frame = await source.read()
    assert number_of(frame) == 12
    assert frame.captured == pytest.approx(101.2)
    assert number_of(await source.read()) == 13
    assert fake_time.now == pytest.approx(101.3)
    assert sorted(source.captured) == [0, 12, 13]


async def test_real_clock() -> None:
    source = TestPattern(160, 120, fps=60)
    before = time.monotonic()
    frames = [await source.read() for _ in range(7)]
    assert 0.095 < time.monotonic() - before < 1.0
    assert before <= frames[0].captured and frames[-1].captured <= time.monotonic()


@pytest.mark.parametrize("fps", [0.0, -1.0, 1000.0, float("nan")])
def test_impossible_rates(fps: float) -> None:
    with pytest.raises(ValueError, match="fps"):
        BlackFrames(fps=fps)


async def test_after_close_a_source_stalls(stalls: Any) -> None:
    for source in (TestPattern(160, 120), BlackFrames(), NumpyFrames([]), PushedFrames()):
        assert isinstance(source, VideoSource)
        source.close()
        source.close()
        assert await stalls(source)


async def test_black_is_black(fake_time: Any) -> None:
    frame = await BlackFrames(64, 48).read()
    assert (frame.luma == 16).all() and (frame.data[48:] == 128).all()


async def test_flash_and_beep_begin_together_whoever_is_read_first(fake_time: Any) -> None:
    for lead in (0.0, 0.37):
        pair = FlashAndBeep(160, 120, fps=25)
        assert isinstance(pair.audio, AudioSource) and isinstance(pair.video, NumberedSource)
        start = fake_time.now
        if lead:
            await pair.video.read()
            fake_time.now += lead
        pieces, sound_start = [], fake_time.now
        for _ in range(200):
            pieces.append(await pair.audio.read())
        finder, end = FlashFinder(25), fake_time.now
        fake_time.now = start + lead
        while fake_time.now < end:
            frame = await pair.video.read()
            finder.add(frame, frame.captured)
        heard = [sound_start + at for at in find_beeps(np.concatenate(pieces))]
        found = compare([t for t in finder.onsets if t > sound_start], heard)
        assert found.pairs >= 3
        assert found.lowest == pytest.approx(0, abs=0.002) and found.highest == pytest.approx(0, abs=0.002)
        pair.close()
        assert not (await pair.audio.read()).any()


async def test_beeps_after_a_machine_that_slept(fake_time: Any) -> None:
    pair = FlashAndBeep(160, 120, fps=25)
    await pair.audio.read()
    fake_time.now = 107.9
    piece = [await pair.audio.read() for _ in range(20)]
    (onset,) = find_beeps(np.concatenate(piece))
    assert onset == pytest.approx(0.1, abs=0.003)


async def test_numpy_pictures_of_both_kinds(fake_time: Any, stalls: Any) -> None:
    rgb, i420 = np.full((49, 65, 3), 255, np.uint8), np.full((72, 64), 99, np.uint8)
    source = NumpyFrames(iter([rgb, i420, i420[:, ::-1]]), fps=10)
    first, second, third = [await source.read() for _ in range(3)]
    assert (first.width, first.height, first.luma[0, 0]) == (64, 48, 235)
    assert np.array_equal(second.data, i420) and third.data.flags.c_contiguous
    assert third.captured == pytest.approx(100.2)
    assert not source.ended
    assert await stalls(source)
    assert source.ended


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((72, 63), np.uint8), np.zeros((70, 64), np.uint8), np.zeros((72, 64)), np.zeros((48, 64, 4), np.uint8),
     np.zeros(5, np.uint8), np.zeros((9000, 6000), np.uint8), "no picture"],
)  # fmt: skip
async def test_wrong_arrays_are_a_clear_error(wrong: np.ndarray, fake_time: Any) -> None:
    with pytest.raises(SourceError):
        await NumpyFrames([wrong]).read()
    with pytest.raises(SourceError):
        PushedFrames().push(wrong)


async def test_pushed_pictures_wake_the_reader_and_the_latest_wins(stalls: Any) -> None:
    source = PushedFrames()
    reading = asyncio.ensure_future(source.read())
    await asyncio.sleep(0)
    assert not reading.done()
    source.push(np.full((72, 64), 1, np.uint8), captured=5.0)
    frame = await asyncio.wait_for(reading, 5)
    assert (frame.data[0, 0], frame.captured) == (1, 5.0)
    for value in (2, 3, 4):
        source.push(np.full((72, 64), value, np.uint8))
    assert (await source.read()).data[0, 0] == 4
    assert source.replaced == 2
    source.close()
    source.push(np.full((72, 64), 9, np.uint8))
    assert await stalls(source)


async def test_numbered_writes_into_a_copy_and_remembers(fake_time: Any) -> None:
    picture = np.full((180, 160), 99, np.uint8)
    source = Numbered(NumpyFrames([picture] * 100, fps=10), keep=8)
    assert isinstance(source, NumberedSource)
    for number in range(20):
        frame = await source.read()
        assert number_of(frame) == number
        assert source.captured[number] == frame.captured
        assert source.reference(number) is frame.data
    assert source.reference(11) is None and source.reference(12) is not None
    assert (picture == 99).all()
    source.close()


async def test_numbered_refuses_small_pictures(fake_time: Any) -> None:
    with pytest.raises(SourceError, match="too small"):
        await Numbered(BlackFrames(64, 48)).read()


def test_capture_times_are_bounded() -> None:
    log = CaptureLog()
    for number in range(MAX_LOG + 10):
        log.add(number, number / 30)
    assert len(log) == MAX_LOG and 9 not in log and 10 in log
