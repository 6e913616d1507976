"""Sound files: real ones where they are at hand, odd ones, and the recorder's WAV."""

import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.errors import MediaError, SourceError
from media.io import files, sources
from media.io.files import AudioFile, AudioRecorder, load_speech
from media.io.sources import AudioSink, AudioSource
from media.simulation.voice import generate_voice, tone


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources give their frames at once: the pace is tested in test_sources."""

    async def at_once(self: sources.Pace) -> None:
        return None

    monkeypatch.setattr(sources.Pace, "wait", at_once)


async def read(source: AudioSource, frames: int) -> np.ndarray:
    return np.concatenate([await source.read() for _ in range(frames)])


async def test_wav_at_48_khz_is_given_bit_for_bit_then_silence(write_wav: Callable[..., Path]) -> None:
    sound = generate_voice(1, 1.01)
    source = AudioFile(write_wav(sound))
    assert isinstance(source, AudioSource)
    given = await read(source, 60)
    assert np.array_equal(given[: len(sound)], sound)
    assert not given[len(sound) :].any()
    assert source.ended
    source.close()


@pytest.mark.parametrize(
    ("rate", "channels"), [(8000, 1), (16_000, 2), (44_100, 1), (44_100, 2), (96_000, 2)]
)
async def test_other_rates_and_channels(write_wav: Callable[..., Path], rate: int, channels: int) -> None:
    sine = np.round(9000 * np.sin(2 * np.pi * 500 * np.arange(rate) / rate)).astype(np.int16)
    given = (await read(AudioFile(write_wav(sine, rate, channels)), 50)).astype(float)
    assert np.argmax(np.abs(np.fft.rfft(given))) == 500
    assert np.abs(given[4800:-4800]).max() == pytest.approx(9000, rel=0.03)


async def test_loop_and_seconds(write_wav: Callable[..., Path]) -> None:
    sound = generate_voice(2, 0.5)
    path = write_wav(sound)
    looped = AudioFile(path, loop=True)
    assert np.array_equal(await read(looped, 100), np.tile(sound, 4))
    assert not looped.ended
    looped.close()
    assert not (await looped.read()).any()
    short = await read(AudioFile(path, seconds=0.1), 10)
    assert np.array_equal(short[:4800], sound[:4800]) and not short[4800:].any()
    both = AudioFile(path, loop=True, seconds=0.1)
    assert np.array_equal(await read(both, 15), np.tile(sound[:4800], 3))
    both.close()
    with pytest.raises(ValueError):
        AudioFile(path, seconds=0)


async def test_a_file_that_goes_while_it_loops_ends_in_silence(write_wav: Callable[..., Path]) -> None:
    sound = generate_voice(2, 0.5)
    source = AudioFile(write_wav(sound), loop=True)
    source.path.unlink()
    given = await read(source, 100)
    assert np.array_equal(given[: len(sound)], sound) and not given[len(sound) :].any()


@pytest.mark.parametrize(
    "name", ["speech-en-female-73s.g722", "speech-it-male-64s.g722", "video-person-720p30-8s.mp4"]
)
async def test_real_files(media_file: Callable[[str], Path], name: str) -> None:
    path = media_file(name)
    whole = load_speech(path, 5)
    assert whole.shape == (5 * 48_000,) and whole.dtype == np.int16
    assert np.sqrt(np.mean(whole.astype(float) ** 2)) > 100
    source = AudioFile(path)
    assert np.array_equal(await read(source, 250), whole)
    source.close()


async def test_compressed_files(tmp_path: Path) -> None:
    path = tmp_path / "voice.ogg"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(700, 0, 48_000)[None, :], format="s16", layout="mono")
        frame.sample_rate = 48_000
        out.mux([*stream.encode(frame), *stream.encode(None)])
    given = load_speech(path).astype(float)
    assert len(given) == pytest.approx(48_000, abs=2000)
    assert np.argmax(np.abs(np.fft.rfft(given[:48_000]))) == pytest.approx(700, abs=5)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all\n" * 20, bytes(5000), b"\xff" * 3000])
def test_files_that_hold_no_sound(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(content)
    for attempt in (AudioFile, load_speech):
        with pytest.raises(SourceError) as caught:
            attempt(path)
        assert "odd.wav" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_directory_and_no_audio_stream(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        AudioFile(tmp_path / "absent.wav")
    with pytest.raises(SourceError, match="directory"):
        AudioFile(tmp_path)
    picture = tmp_path / "picture.mp4"
    with av.open(str(picture), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        out.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(SourceError, match="no audio stream"):
        AudioFile(picture)
    assert issubclass(SourceError, MediaError)


def test_a_wav_without_samples(write_wav: Callable[..., Path]) -> None:
    with pytest.raises(SourceError):
        AudioFile(write_wav(np.zeros(0, np.int16)))


async def test_a_truncated_file_gives_what_is_there(write_wav: Callable[..., Path]) -> None:
    sound = generate_voice(1, 1.0)
    path = write_wav(sound)
    path.write_bytes(path.read_bytes()[: 44 + 48_000])
    given = await read(AudioFile(path), 50)
    assert np.array_equal(given[:24_000], sound[:24_000]) and not given[24_000:].any()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"RIFF\x24\x10\x00\x00WAVEfmt ", b"OggS", b"fLaC", b"ID3"])
)
def test_any_bytes_are_sound_or_a_source_error(tmp_path: Path, content: bytes, head: bytes) -> None:
    path = tmp_path / "bytes.wav"
    path.write_bytes(head + content)
    try:
        load_speech(path, 1.0)
    except SourceError:
        pass


def wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_recorder_writes_what_it_was_given(tmp_path: Path) -> None:
    sound = generate_voice(3, 2.5)
    recorder = AudioRecorder(tmp_path / "out.wav")
    assert isinstance(recorder, AudioSink)
    assert recorder.started_at is None
    for start in range(0, len(sound), 480):
        recorder.write(sound[start : start + 480])
    assert recorder.started_at is not None
    recorder.close()
    recorder.close()
    recorder.write(sound[:480])
    assert np.array_equal(wav(tmp_path / "out.wav"), sound)
    assert np.array_equal(load_speech(tmp_path / "out.wav"), sound)
    assert recorder.samples == len(sound)


def test_an_unclosed_recording_can_be_read(tmp_path: Path) -> None:
    sound = generate_voice(3, 2.5)
    recorder = AudioRecorder(tmp_path / "out.wav")
    assert len(wav(tmp_path / "out.wav")) == 0
    for start in range(0, len(sound), 480):
        recorder.write(sound[start : start + 480])
    assert np.array_equal(wav(tmp_path / "out.wav"), sound[: 2 * 48_000])
    recorder.close()


def test_recorder_without_a_place(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be written"):
        AudioRecorder(tmp_path / "absent" / "out.wav")


def test_recording_ends_before_the_header_overflows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MAX_DATA_BYTES", 3000)
    recorder = AudioRecorder(tmp_path / "out.wav")
    for _ in range(4):
        recorder.write(np.ones(480, np.int16))
    recorder.close()
    assert recorder.error is not None and "4 GiB" in recorder.error
    assert len(wav(tmp_path / "out.wav")) == 1440
