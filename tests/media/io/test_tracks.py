"""aiortc's tracks in and out."""

import asyncio
import random
import threading
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiortc.contrib.media import MediaPlayer, MediaRecorder, MediaRelay
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack, VideoStreamTrack

from media.io import sources, tracks
from media.io.files import load_speech
from media.io.peer_connection import PeerConnection
from media.io.sources import AudioSink, AudioSource
from media.io.tracks import (
    MAX_PICTURES,
    MAX_SAMPLES,
    AudioOutputTrack,
    TrackAudioSource,
    TrackVideoSource,
    VideoOutputTrack,
)
from media.io.video_recorder import VideoRecorder
from media.io.video_sources import VideoSink, VideoSource
from media.quality.frame_number import read_frame_number
from media.simulation.picture import Pattern, beeps
from media.video_frame import VideoFrame


class Scripted(MediaStreamTrack):
    """Gives these frames, then ends; an exception among them is raised."""

    def __init__(self, kind: str, frames: Iterable[Any]) -> None:
        super().__init__()
        self.kind = kind
        self._frames = iter(frames)

    async def recv(self) -> Any:
        frame = next(self._frames, None)
        if frame is None or self.readyState != "live":
            raise MediaStreamError
        if isinstance(frame, Exception):
            raise frame
        return frame


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(self: sources.Pace) -> None:
        return None

    monkeypatch.setattr(sources.Pace, "wait", at_once)


def sine(rate: int, count: int, hz: float = 500.0) -> np.ndarray:
    return np.round(9000 * np.sin(2 * np.pi * hz * np.arange(count) / rate)).astype(np.int16)


def frames_of(samples: np.ndarray, rate: int, channels: int = 1, size: int = 441) -> list[av.AudioFrame]:
    made = []
    for start in range(0, len(samples) - size + 1, size):
        piece = np.repeat(samples[start : start + size], channels)[None]
        frame = av.AudioFrame.from_ndarray(piece, "s16", "stereo" if channels == 2 else "mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
        made.append(frame)
    return made


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2), (48_000, 1), (48_000, 2)])
async def test_any_sound_becomes_48_khz_mono_then_silence(rate: int, channels: int, no_waiting: None) -> None:
    frames = frames_of(sine(rate, rate), rate, channels, size=rate // 100)
    source = TrackAudioSource(Scripted("audio", frames))
    assert isinstance(source, AudioSource)
    pieces = [await source.read() for _ in range(60)]
    assert all(p.shape == (960,) and p.dtype == np.int16 for p in pieces)
    sound = np.concatenate(pieces[:49]).astype(float)
    assert np.argmax(np.abs(np.fft.rfft(sound[:48_000]))) == pytest.approx(
        500 * len(sound[:48_000]) / 48_000, abs=1
    )
    assert np.abs(sound[2000:-2000]).max() == pytest.approx(9000, rel=0.05)
    assert not np.concatenate(pieces[51:]).any()
    assert source.ended and source.error is None
    assert [f.pts for f in frames[:3]] == [0, rate // 100, rate // 50], "the frames are not ours to change"
    source.close()


async def test_sound_that_changes_its_shape(no_waiting: None) -> None:
    frames = frames_of(sine(48_000, 24_000), 48_000) + frames_of(sine(16_000, 8000), 16_000, 2, size=160)
    source = TrackAudioSource(Scripted("audio", frames))
    sound = np.concatenate([await source.read() for _ in range(45)]).astype(float)
    for part in (sound[2000:20_000], sound[27_000:42_000]):
        assert np.argmax(np.abs(np.fft.rfft(part))) * 48_000 / len(part) == pytest.approx(500, abs=5)


async def test_aiortcs_own_tracks(stalls: Any) -> None:
    audio, video = TrackAudioSource(AudioStreamTrack()), TrackVideoSource(VideoStreamTrack())
    assert isinstance(video, VideoSource)
    assert not (await asyncio.wait_for(audio.read(), 5)).any()
    frame = await asyncio.wait_for(video.read(), 5)
    assert (frame.width, frame.height) == (640, 480)
    for source in (audio, video):
        source.close()
        source.close()
        assert source._track.readyState == "ended"
    assert await stalls(video)
    assert not (await audio.read()).any()


@pytest.mark.parametrize("format", ["yuv420p", "rgb24", "nv12"])
async def test_any_picture_becomes_i420_then_stalls(format: str, stalls: Any) -> None:
    white = av.VideoFrame.from_ndarray(np.full((49, 65, 3), 255, np.uint8), format="rgb24").reformat(
        format=format
    )
    source = TrackVideoSource(Scripted("video", [white, av.VideoFrame(5000, 20, format)]))
    first, second = await source.read(), await source.read()
    assert (first.width, first.height) == (64, 48) and abs(int(first.luma[9, 9]) - 235) < 3
    assert (second.width, second.height) == (4096, 16)
    assert first.captured <= second.captured
    assert await stalls(source)
    assert source.ended and source.error is None


@pytest.mark.parametrize(
    "wrong", [RuntimeError("bug of the caller's"), "no frame", av.Packet(5), av.VideoFrame(64, 48, "y210be")]
)
async def test_a_track_that_fails_ends(wrong: object, no_waiting: None, stalls: Any) -> None:
    audio = TrackAudioSource(Scripted("audio", [wrong]))
    assert not (await audio.read()).any() and audio.error
    video = TrackVideoSource(Scripted("video", [wrong]))
    assert await stalls(video) and video.error


async def test_kinds_are_checked() -> None:
    for make, track in (
        (TrackAudioSource, VideoStreamTrack()),
        (TrackVideoSource, AudioStreamTrack()),
        (TrackVideoSource, None),
    ):
        with pytest.raises(ValueError, match="kind"):
            make(track)


async def test_audio_output_gives_what_is_played() -> None:
    track = AudioOutputTrack()
    assert isinstance(track, AudioSink) and track.kind == "audio"
    sound = sine(48_000, 9600)
    got = []
    reading = asyncio.ensure_future(track.recv())
    for start in range(0, 9600, 480):
        track.write(sound[start : start + 480])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if reading.done():
            got.append(reading.result())
            reading = asyncio.ensure_future(track.recv())
    assert [f.pts for f in got] == list(range(0, 9600, 960))
    assert {(f.sample_rate, f.format.name, f.layout.name, f.time_base) for f in got} == {
        (48_000, "s16", "mono", Fraction(1, 48_000))
    }
    assert np.array_equal(np.concatenate([f.to_ndarray()[0] for f in got]), sound)
    track.close()
    with pytest.raises(MediaStreamError):
        await asyncio.wait_for(reading, 5)
    track.write(sound)
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_audio_output_is_bounded_and_counts_what_was_missed() -> None:
    track = AudioOutputTrack()
    for number in range(300):
        track.write(np.full(480, number, np.int16))
    frame = await track.recv()
    assert track.missed_samples == 300 * 480 - MAX_SAMPLES
    assert frame.pts == track.missed_samples and frame.to_ndarray()[0, 0] == 200
    track.close()


async def test_video_output_gives_what_is_shown() -> None:
    track = VideoOutputTrack()
    assert isinstance(track, VideoSink) and track.kind == "video"
    reading = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    data = np.random.default_rng(1).integers(0, 256, (72, 64), np.uint8)
    track.write(VideoFrame(data, 1.0))
    frame = await asyncio.wait_for(reading, 5)
    assert np.array_equal(frame.to_ndarray(), data)
    assert (frame.pts, frame.time_base, frame.format.name) == (0, Fraction(1, 90_000), "yuv420p")
    for value in range(10):
        track.write(VideoFrame(np.full((72, 64), value, np.uint8), 1.0))
    later = [await track.recv() for _ in range(MAX_PICTURES)]
    assert track.missed_pictures == 10 - MAX_PICTURES
    assert [f.to_ndarray()[0, 0] for f in later] == [6, 7, 8, 9]
    assert sorted(f.pts for f in later) == [f.pts for f in later]
    waiting = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    track.close()
    track.close()
    with pytest.raises(MediaStreamError):
        await asyncio.wait_for(waiting, 5)
    track.write(VideoFrame(data, 1.0))


async def test_outputs_through_aiortcs_relay_and_back(stalls: Any) -> None:
    """Our output is a source for aiortc, aiortc's relay a source for us: the sample comes out as it went in."""
    out = VideoOutputTrack()
    relay = MediaRelay()
    first, second = TrackVideoSource(relay.subscribe(out)), TrackVideoSource(relay.subscribe(out))
    reading = [asyncio.ensure_future(s.read()) for s in (first, second)]
    await asyncio.sleep(0)
    data = np.random.default_rng(1).integers(0, 256, (72, 64), np.uint8)
    out.write(VideoFrame(data, 1.0))
    for frame in await asyncio.wait_for(asyncio.gather(*reading), 5):
        assert np.array_equal(frame.data, data)
    out.close()
    for source in (first, second):
        assert await stalls(source)
        assert source.ended
        source.close()


@pytest.mark.parametrize("size", [1, 480, 961, 48_000])
async def test_frames_of_any_length(size: int, no_waiting: None) -> None:
    sound = sine(48_000, size * (9600 // size) if size < 9600 else size)
    source = TrackAudioSource(Scripted("audio", frames_of(sound, 48_000, size=size)))
    count = -(-len(sound) // 960)
    given = np.concatenate([await source.read() for _ in range(count)])
    assert np.array_equal(given[: len(sound)], sound) and not given[len(sound) :].any()


async def test_an_endless_frame_is_refused(no_waiting: None) -> None:
    frame = av.AudioFrame(format="s16", layout="mono", samples=500_000)
    frame.sample_rate = 48_000
    source = TrackAudioSource(Scripted("audio", [frame]))
    await source.read()
    assert source.error is not None and "500000 samples" in source.error


async def test_aiortcs_player_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    recorder = VideoRecorder(path)
    pattern = Pattern(160, 120)
    for number in range(10):
        recorder.video.write(VideoFrame(pattern.picture(number), 0.0))
        for _ in range(8):
            recorder.audio.write(beeps(0, 480))
    recorder.close()
    before = set(threading.enumerate())
    player = MediaPlayer(str(path))
    audio, video = TrackAudioSource(player.audio), TrackVideoSource(player.video)
    numbers = [read_frame_number((await asyncio.wait_for(video.read(), 10)).luma) for _ in range(3)]
    assert numbers == [0, 1, 2]
    sound = np.concatenate([await asyncio.wait_for(audio.read(), 10) for _ in range(3)])
    assert np.abs(sound).max() > 8000
    audio.close()
    video.close()
    assert set(threading.enumerate()) <= before


async def test_aiortcs_recorder_takes_our_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures shown at uneven times, too: it counts in 1/30 s."""
    rng = random.Random(5)
    now = [100.0]
    monkeypatch.setattr(tracks, "time", SimpleNamespace(monotonic=lambda: now[0]))
    path = tmp_path / "film.mp4"
    audio, video = AudioOutputTrack(), VideoOutputTrack()
    recorder = MediaRecorder(str(path))
    recorder.addTrack(audio)
    recorder.addTrack(video)
    await recorder.start()
    pattern = Pattern(160, 120)
    for number in range(30):
        now[0] = 100.0 + number / 30 + rng.uniform(0, 0.04)
        video.write(VideoFrame(pattern.picture(number), 0.0))
        for piece in range(4):
            audio.write(beeps((number * 4 + piece) * 480, 480))
        for _ in range(10):  # turns of the loop, in which the recorder takes them
            await asyncio.sleep(0)
    audio.close()
    video.close()
    await recorder.stop()
    with av.open(str(path)) as container:
        found = [read_frame_number(f.to_ndarray(format="yuv420p")[:120]) for f in container.decode(video=0)]
    assert found == list(range(30))
    assert np.abs(load_speech(path)).max() > 8000


async def test_times_of_a_fast_camera_do_not_run_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(tracks, "time", SimpleNamespace(monotonic=lambda: now[0]))
    track = VideoOutputTrack()
    picture = VideoFrame(np.zeros((72, 64), np.uint8), 0.0)
    before = -1
    for number in range(600):
        now[0] = 100.0 + number / 60
        track.write(picture)
        frame = await track.recv()
        assert before < frame.pts and 0 <= frame.pts - number * 1500 <= 9000
        before = frame.pts
    track.close()


async def test_a_track_is_a_camera_or_a_microphone_as_it_is() -> None:
    connection = PeerConnection(microphone=AudioStreamTrack(), camera=VideoStreamTrack())
    assert isinstance(connection.microphone, TrackAudioSource) and isinstance(
        connection.camera, TrackVideoSource
    )
    connection.set_camera(VideoStreamTrack())
    assert isinstance(connection.camera, TrackVideoSource)
    camera = connection.camera
    for wrong in (AudioStreamTrack(), "camera", 0, object()):
        with pytest.raises((TypeError, ValueError)):
            connection.set_camera(wrong)  # type: ignore[arg-type]
        assert connection.camera is camera and not camera.ended
    await connection.close()
    for arguments in (
        {"camera": AudioStreamTrack()},
        {"microphone": VideoStreamTrack()},
        {"microphone": "default"},
    ):
        with pytest.raises((TypeError, ValueError)):
            PeerConnection(**arguments)  # type: ignore[arg-type]
