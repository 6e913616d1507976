"""Recordings read back: both formats, times, sizes, gaps, faults."""

import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from media.errors import SourceError
from media.io import video_recorder
from media.io.files import load_speech
from media.io.film import Film
from media.io.sources import AudioSink
from media.io.video_recorder import MAX_PICTURES, MAX_PIECES, VideoRecorder
from media.io.video_sources import VideoSink
from media.quality.frame_number import read_frame_number
from media.quality.lip_sync import FlashFinder, compare, find_beeps
from media.simulation.picture import Pattern, beeps, is_flash
from media.video_frame import VideoFrame

FPS = 25
FORMATS = [".mp4", ".webm"]
CODECS = {".mp4": ("h264", "aac"), ".webm": ("vp8", "opus")}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests write a call in no time: its pictures may wait."""
    monkeypatch.setattr(video_recorder, "MAX_PICTURES", 1000)
    monkeypatch.setattr(video_recorder, "MAX_PIECES", 10_000)


def record(
    recorder: VideoRecorder, clock: Clock, seconds: float, sizes: list[tuple[int, int]], start: float = 0.0,
    sound: bool = True, picture: bool = True,
) -> None:  # fmt: skip
    """A call of flash and beep; the sizes follow each other in equal parts."""
    patterns = [Pattern(*size) for size in sizes]
    for tick in range(round(seconds * 100)):
        clock.now = 100.0 + start + tick / 100
        if sound:
            recorder.audio.write(beeps(tick * 480, 480))
        if picture and tick % (100 // FPS) == 0:
            number = tick * FPS // 100
            pattern = patterns[tick * len(sizes) // round(seconds * 100)]
            recorder.video.write(VideoFrame(pattern.picture(number, is_flash(number, FPS)), clock.now))


def pictures(path: Path) -> list[tuple[float, av.VideoFrame]]:
    with av.open(str(path)) as container:
        return [(frame.time, frame) for frame in container.decode(video=0)]


def numbers(path: Path) -> list[int | None]:
    return [read_frame_number(f.to_ndarray(format="yuv420p")[: f.height]) for _, f in pictures(path)]


def lip_sync(path: Path) -> list[float]:
    finder = FlashFinder()
    for at, frame in pictures(path):
        finder.add(VideoFrame(frame.to_ndarray(format="yuv420p"), at), at)
    with av.open(str(path)) as container:
        start = next(container.decode(audio=0)).time
    heard = [start + at for at in find_beeps(load_speech(path))]
    return list(compare(finder.onsets, heard).offsets)


@pytest.mark.long
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_call_is_recorded_with_its_times(tmp_path: Path, clock: Clock, suffix: str) -> None:
    path = tmp_path / f"call{suffix}"
    recorder = VideoRecorder(path, clock=clock)
    assert isinstance(recorder.audio, AudioSink) and isinstance(recorder.video, VideoSink)
    record(recorder, clock, 2.0, [(320, 240)])
    recorder.audio.close()
    recorder.video.close()
    assert (recorder.error, recorder.dropped, recorder.pictures) == (None, 0, 50)
    with av.open(str(path)) as container:
        assert (
            container.streams.video[0].codec_context.name,
            container.streams.audio[0].codec_context.name,
        ) == CODECS[suffix]
        assert container.duration == pytest.approx(2.0e6, abs=0.1e6)
    assert numbers(path) == list(range(50))
    times = np.array([at for at, _ in pictures(path)])
    assert times == pytest.approx(np.arange(50) * 0.04, abs=0.0015)
    assert lip_sync(path) == pytest.approx([0.0, 0.0], abs=0.012)


@pytest.mark.long
@pytest.mark.parametrize("suffix", FORMATS)
def test_sizes_that_change_are_fitted_into_the_first(tmp_path: Path, clock: Clock, suffix: str) -> None:
    path = tmp_path / f"call{suffix}"
    recorder = VideoRecorder(path, clock=clock)
    record(recorder, clock, 2.0, [(320, 240), (640, 480), (160, 120), (240, 320)])
    recorder.close()
    assert recorder.error is None
    assert {(f.width, f.height) for _, f in pictures(path)} == {(320, 240)}
    found = numbers(path)
    assert found[:37] == list(range(37)), "also after scaling up and down"
    upright = pictures(path)[45][1].to_ndarray(format="yuv420p")[:240]
    assert upright[:, :60].max() < 40 < upright[:, 100:200].mean()


@pytest.mark.parametrize("suffix", FORMATS)
def test_sound_and_pictures_that_begin_later(tmp_path: Path, clock: Clock, suffix: str) -> None:
    path = tmp_path / f"late{suffix}"
    recorder = VideoRecorder(path, size=(160, 120), clock=clock)
    record(recorder, clock, 1.0, [(160, 120)], sound=False)
    record(
        recorder, clock, 2.0, [(160, 120)], start=2.0
    )  # the sound comes at 2 s, the picture was off for a second
    recorder.close()
    assert recorder.error is None
    assert lip_sync(path)[-1] == pytest.approx(0.0, abs=0.012)
    times = [at for at, _ in pictures(path)]
    assert max(np.diff(times)) == pytest.approx(1.04, abs=0.03)
    assert find_beeps(load_speech(path)) == pytest.approx([2.0, 3.0], abs=0.03)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_call_without_pictures_is_black(tmp_path: Path, clock: Clock, suffix: str) -> None:
    path = tmp_path / f"voice{suffix}"
    recorder = VideoRecorder(path, clock=clock)
    record(recorder, clock, 6.5, [(160, 120)], picture=False)
    recorder.close()
    assert recorder.error is None
    ((_, frame),) = pictures(path)
    assert (frame.width, frame.height) == (640, 480) and frame.to_ndarray(format="yuv420p")[:480].max() < 20
    assert find_beeps(load_speech(path)) == pytest.approx([0, 1, 2, 3, 4, 5, 6], abs=0.03)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_call_without_sound_is_silent(tmp_path: Path, clock: Clock, suffix: str) -> None:
    path = tmp_path / f"mute{suffix}"
    recorder = VideoRecorder(path, clock=clock)
    record(recorder, clock, 1.0, [(160, 120)], sound=False)
    recorder.video.close()
    assert recorder.error is None
    assert numbers(path) == list(range(25))
    sound = load_speech(path)
    assert len(sound) / 48_000 == pytest.approx(1.0, abs=0.1) and abs(sound).max() < 10


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_recorded_is_a_film_all_the_same(tmp_path: Path, suffix: str) -> None:
    recorder = VideoRecorder(tmp_path / f"empty{suffix}")
    recorder.close()
    recorder.close()
    assert recorder.error is None
    assert len(pictures(tmp_path / f"empty{suffix}")) == 1
    recorder.video.write(VideoFrame(np.zeros((72, 64), np.uint8), 0.0))
    recorder.audio.write(np.zeros(480, np.int16))
    assert recorder.pictures == 0


def test_a_screen_that_comes_back(tmp_path: Path, clock: Clock) -> None:
    """The other end's camera goes off and on: the film goes on as long as the sound does."""
    path = tmp_path / "again.mp4"
    recorder = VideoRecorder(path, clock=clock)
    record(recorder, clock, 0.4, [(160, 120)])
    before = recorder.video
    before.close()
    before.write(VideoFrame(Pattern(160, 120).picture(9), 0.0))
    record(recorder, clock, 0.4, [(160, 120)], start=0.4)
    assert recorder.video is not before
    recorder.video.close()
    recorder.audio.close()
    assert recorder.error is None
    assert numbers(path) == [*range(10), *range(10)]


def test_a_late_loop_makes_no_gap(tmp_path: Path, clock: Clock) -> None:
    """The ticker makes up for 0.5 s: sound that comes in a burst is joined, not moved."""
    path = tmp_path / "burst.webm"
    recorder = VideoRecorder(path, size=(160, 120), clock=clock)
    for tick in range(300):
        clock.now = 100.0 + max(tick, 145 if 100 <= tick < 145 else 0) / 100
        recorder.audio.write(beeps(tick * 480, 480))
    clock.now = 108.0
    recorder.audio.write(beeps(0, 480))
    recorder.close()
    sound = load_speech(path)
    assert find_beeps(sound) == pytest.approx([0, 1, 2, 8], abs=0.03)


def test_pictures_at_one_time_or_earlier_stay_in_order(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "times.mp4"
    recorder = VideoRecorder(path, clock=clock)
    pattern = Pattern(160, 120)
    for number in range(10):
        clock.now = 100.0 + (0.5 if number < 8 else 0.1)
        recorder.video.write(VideoFrame(pattern.picture(number), 0.0))
    recorder.close()
    assert recorder.error is None
    assert numbers(path) == list(range(10))


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(video_recorder, "MAX_PICTURES", MAX_PICTURES)
    monkeypatch.setattr(video_recorder, "MAX_PIECES", MAX_PIECES)
    go = threading.Event()
    slow = Film.picture

    def picture(self: Film, frame: VideoFrame, at_ms: int) -> None:
        go.wait(10)
        slow(self, frame, at_ms)

    monkeypatch.setattr(Film, "picture", picture)
    recorder = VideoRecorder(tmp_path / "slow.mp4", clock=clock)
    frame = VideoFrame(Pattern(160, 120).picture(1), 0.0)
    for _ in range(100):
        recorder.video.write(frame)
    for _ in range(700):
        recorder.audio.write(np.zeros(480, np.int16))
        assert len(recorder._waiting) <= MAX_PICTURES + MAX_PIECES
    assert recorder.dropped >= 100 - MAX_PICTURES - 1 + 700 - MAX_PIECES
    go.set()
    recorder.close()
    assert MAX_PICTURES <= recorder.pictures <= MAX_PICTURES + 1


def test_an_encoder_that_hangs_does_not_hold_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(video_recorder, "_CLOSE_TIMEOUT", 0.05)
    go = threading.Event()
    monkeypatch.setattr(Film, "picture", lambda self, frame, at_ms: go.wait(10))
    recorder = VideoRecorder(tmp_path / "hang.mp4", clock=clock)
    recorder.video.write(VideoFrame(Pattern(160, 120).picture(1), 0.0))
    recorder.close()
    assert recorder.error is not None and "too long" in recorder.error
    go.set()
    recorder._thread.join(10)


def test_files_that_cannot_be_made(tmp_path: Path) -> None:
    for path, why in [
        (tmp_path / "call.avi", "suffix"),
        (tmp_path / "call", "suffix"),
        (tmp_path / "no" / "call.mp4", "No such file"),
    ]:
        with pytest.raises(SourceError, match=why):
            VideoRecorder(path)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.long
def test_a_process_that_dies_leaves_a_film_to_its_last_key_frame(
    tmp_path: Path, clock: Clock, suffix: str
) -> None:
    path = tmp_path / f"dies{suffix}"
    film = Film(path)
    pattern = Pattern(160, 120)
    for number in range(400):
        film.picture(VideoFrame(pattern.picture(number), 0.0), number * 40)
        film.sound(beeps(number * 1920, 1920), number * 1920)
    left = tmp_path / f"left{suffix}"
    left.write_bytes(path.read_bytes())  # what the disk has, before the film is finished
    film.close()
    assert len(pictures(left)) > 300
