"""Video files: a real one where it is at hand, made ones, odd ones, broken ones."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.errors import SourceError
from media.io.video_files import VideoFile
from media.io.video_sources import Numbered, VideoSource
from media.quality.frame_number import read_frame_number
from media.simulation.picture import Pattern
from media.video_frame import VideoFrame


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def film(path: Path, times_ms: list[int], size: tuple[int, int] = (160, 120)) -> Path:
    """Numbered pictures at these times."""
    pattern = Pattern(*size)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, at in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(pattern.picture(number), format="yuv420p")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """25 pictures, one second."""
    return film(tmp_path / "short.mp4", [40 * k for k in range(25)])


def number_of(frame: VideoFrame) -> int | None:
    return read_frame_number(frame.luma)


async def test_pictures_at_the_times_of_the_file(tmp_path: Path, fake_time: Any, stalls: Any) -> None:
    times = [0, 40, 80, 300, 310, 900, 1500]
    source = VideoFile(film(tmp_path / "a.mp4", times), clock=fake_time)
    assert isinstance(source, VideoSource)
    for number, at in enumerate(times):
        frame = await source.read()
        assert number_of(frame) == number
        assert frame.captured == pytest.approx(100 + at / 1000, abs=0.002)
        assert fake_time.now == pytest.approx(frame.captured)
        fake_time.now += 0.003
    assert not source.ended
    assert await stalls(source)
    assert source.ended and source.skipped == 0
    source.close()
    source.close()


async def test_loop(short: Path, fake_time: Any, stalls: Any) -> None:
    source = VideoFile(short, loop=True, clock=fake_time)
    for k in range(60):
        frame = await source.read()
        assert number_of(frame) == k % 25
        assert frame.captured == pytest.approx(100 + k * 0.04, abs=0.002)
    source.close()
    assert await stalls(source)


async def test_seconds_cut_and_set_the_length_of_the_loop(short: Path, fake_time: Any, stalls: Any) -> None:
    once = VideoFile(short, seconds=0.4, clock=fake_time)
    assert [number_of(await once.read()) for _ in range(10)] == list(range(10))
    assert await stalls(once)
    fake_time.now = 200.0
    looped = VideoFile(short, loop=True, seconds=0.5, clock=fake_time)
    frames = [await looped.read() for _ in range(30)]
    assert [number_of(f) for f in frames] == [*range(13), *range(13), *range(4)]
    assert frames[13].captured == pytest.approx(200.5)
    for source in (once, looped):
        source.close()


async def test_size_fits_every_picture(short: Path, fake_time: Any) -> None:
    source = VideoFile(short, size=(320, 240), clock=fake_time)
    frame = await source.read()
    assert (frame.width, frame.height, number_of(frame)) == (320, 240, 0)
    source.close()
    tall = VideoFile(short, size=(64, 480), clock=fake_time)
    assert (await tall.read()).luma[0].max() == 16, "black above"
    tall.close()


@pytest.mark.parametrize("size", [(321, 240), (320, 0), (5000, 240)])
def test_impossible_sizes_and_lengths(short: Path, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="even sides"):
        VideoFile(short, size=size)
    with pytest.raises(ValueError, match="seconds"):
        VideoFile(short, seconds=0)


async def test_a_late_reader_misses_pictures(short: Path, fake_time: Any) -> None:
    source = VideoFile(short, clock=fake_time)
    await source.read()
    fake_time.now += 0.2
    frame = await source.read()
    assert number_of(frame) == 4 and source.skipped == 3
    assert number_of(await source.read()) == 5
    source.close()


async def test_a_machine_that_is_always_late_still_shows_something(short: Path, fake_time: Any) -> None:
    source = VideoFile(short, clock=fake_time)
    shown = []
    for _ in range(5):
        shown.append(number_of(await source.read()))
        fake_time.now += 0.3
    assert shown == [0, 5, 10, 15, 20]
    source.close()


async def test_after_a_suspended_machine_no_burst(short: Path, fake_time: Any) -> None:
    source = VideoFile(short, clock=fake_time)
    await source.read()
    fake_time.now += 3600
    assert number_of(await source.read()) == 1
    before = fake_time.now
    assert number_of(await source.read()) == 2
    assert fake_time.now == pytest.approx(before + 0.04, abs=0.002)
    source.close()


async def test_a_cancelled_reading_loses_no_picture(short: Path) -> None:
    source = VideoFile(short)
    await source.read()
    task = asyncio.ensure_future(source.read())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert number_of(await source.read()) == 1
    source.close()


async def test_odd_sides_are_made_even(tmp_path: Path, fake_time: Any) -> None:
    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 163, 121, "yuv444p"
        container.mux(stream.encode(av.VideoFrame(163, 121, "yuv444p")))
        container.mux(stream.encode(None))
    source = VideoFile(path, clock=fake_time)
    frame = await source.read()
    assert (frame.width, frame.height) == (162, 120)
    source.close()


async def test_over_4k_is_scaled_down(tmp_path: Path, fake_time: Any) -> None:
    path = tmp_path / "huge.png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8000, 200, "rgb24"
        container.mux(stream.encode(av.VideoFrame(8000, 200, "rgb24")))
        container.mux(stream.encode(None))
    source = VideoFile(path, loop=True, clock=fake_time)
    first, second = await source.read(), await source.read()
    assert (first.width, first.height) == (4096, 102)
    assert second.captured > first.captured, "a single picture, again and again"
    source.close()


async def test_a_file_whose_size_changes(tmp_path: Path, fake_time: Any) -> None:
    """Two H.264 streams one behind the other: the second begins with parameter sets of its own."""
    path = tmp_path / "changing.h264"
    with path.open("wb") as out:
        for size in ((160, 120), (320, 240)):
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
            encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
            encoder.options = {"tune": "zerolatency", "preset": "ultrafast"}
            pattern = Pattern(*size)
            for number in range(5):
                frame = av.VideoFrame.from_ndarray(pattern.picture(number), format="yuv420p")
                frame.pts = number
                for packet in encoder.encode(frame):
                    out.write(bytes(packet))
    source = VideoFile(path, clock=fake_time)
    frames = [await source.read() for _ in range(10)]
    assert [(f.width, f.height) for f in frames] == [(160, 120)] * 5 + [(320, 240)] * 5
    assert all(a.captured < b.captured for a, b in pairwise(frames))
    source.close()


def test_what_is_no_video_is_a_clear_error(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    (tmp_path / "empty.webm").touch()
    wav = write_wav(np.zeros(4800, np.int16))
    for path, why in [
        (tmp_path / "missing.mp4", "No such file"),
        (tmp_path, "a directory"),
        (text, "cannot be opened"),
        (tmp_path / "empty.webm", "cannot be opened"),
        (wav, "no video stream"),
    ]:
        with pytest.raises(SourceError, match=why):
            VideoFile(path)


async def test_a_file_that_goes_away_stops_the_picture(short: Path, fake_time: Any, stalls: Any) -> None:
    source = VideoFile(short, loop=True, clock=fake_time)
    for _ in range(5):
        await source.read()
    short.unlink()
    for _ in range(20):
        await source.read()
    assert await stalls(source)
    assert source.ended
    source.close()


@given(seed=st.integers(0, 2**32 - 1), cut=st.floats(0.1, 1.0), flips=st.integers(0, 60))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_give_what_is_left_or_a_source_error(
    short: Path, seed: int, cut: float, flips: int
) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(short.read_bytes())
    for at in rng.integers(0, len(data), flips):
        data[at] ^= int(rng.integers(1, 256))
    broken = short.with_name("broken.mp4")
    broken.write_bytes(data[: int(len(data) * cut)])
    try:
        source = VideoFile(broken)
    except SourceError:
        return
    assert len(list(source._pictures)) < 200
    source.close()


async def test_real_film_and_its_numbers(media_file: Callable[[str], Path], fake_time: Any) -> None:
    source = Numbered(VideoFile(media_file("video-person-720p30-8s.mp4"), size=(640, 360), clock=fake_time))
    for number in range(40):
        frame = await source.read()
        assert (frame.width, frame.height, number_of(frame)) == (640, 360, number)
        assert frame.captured == pytest.approx(100 + number / 30, abs=0.02)
    assert frame.luma.std() > 20
    source.close()
