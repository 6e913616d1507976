"""What a call writes, against disks and names of every kind: a clear error, before the call where that is possible."""

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from media.errors import SourceError
from media.io import outputs
from media.io.files import AudioFile, AudioRecorder, check_recording, load_speech, open_recorder
from media.io.outputs import OutputFile, check_output, free_path, write_text
from media.io.video_files import VideoFile
from media.io.video_recorder import VideoRecorder
from media.simulation.picture import Pattern
from media.video_frame import VideoFrame

SUFFIXES = (".wav", ".mp4", ".webm")
PICTURE = VideoFrame(Pattern(160, 120).picture(1), 0.0)


class Disk:
    """A disk that holds `left` bytes more."""

    def __init__(self, file: Any, left: int) -> None:
        self._file, self.left = file, left

    def write(self, data: memoryview) -> int:
        if self.left <= 0:
            raise OSError(28, "No space left on device")
        taken = data[: self.left]
        self.left -= len(taken)
        return int(self._file.write(taken))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """`disk[0]`: bytes that fit on it."""
    size = [0]
    opened = OutputFile.__init__

    def __init__(self: OutputFile, path: Path) -> None:
        opened(self, path)
        self._file = Disk(self._file, size[0])  # type: ignore[assignment]

    monkeypatch.setattr(OutputFile, "__init__", __init__)
    yield size


def record(path: Path, seconds: float = 1.2) -> AudioRecorder | VideoRecorder:
    """Record sound, and pictures where the format has them, to the end."""
    recorder = open_recorder(path)
    sound = recorder.audio if isinstance(recorder, VideoRecorder) else recorder
    rng = np.random.default_rng(1)
    for tick in range(round(seconds * 100)):
        sound.write(rng.integers(-9000, 9000, 480).astype(np.int16))
        if isinstance(recorder, VideoRecorder) and tick % 10 == 0:
            recorder.video.write(PICTURE)
    recorder.close()
    return recorder


@pytest.mark.long
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_is_full_sooner_or_later_ends_the_recording_and_nothing_else(
    tmp_path: Path, disk: list[int], suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    disk[0] = 10**9
    whole = record(tmp_path / f"whole{suffix}")
    size = whole.path.stat().st_size
    assert whole.error is None
    rng = random.Random(1)
    for number, left in enumerate(
        [0, 1, 20, 43, 44, 45, size // 2, *(rng.randrange(size) for _ in range(4))]
    ):
        disk[0] = left
        path = tmp_path / f"{number}{suffix}"
        try:
            recorder = record(path)
        except SourceError as error:
            assert "No space left" in str(error)
        else:
            assert recorder.error is not None and "No space left" in recorder.error
            recorder.close()  # again


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_vanishes_while_it_is_recorded(tmp_path: Path, suffix: str) -> None:
    recorder = open_recorder(tmp_path / f"call{suffix}")
    recorder.path.unlink()
    recorder.close()
    assert recorder.error is not None and "removed" in recorder.error


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_recording_stays_and_the_next_is_numbered(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"heard{suffix}"
    path.write_bytes(b"the last call" * 9)
    (tmp_path / f"heard-3{suffix}").mkdir()
    paths = [record(path, 0.1).path.name for _ in range(3)]
    assert paths == [f"heard-2{suffix}", f"heard-4{suffix}", f"heard-5{suffix}"]
    assert path.read_bytes() == b"the last call" * 9


def test_a_recording_of_nothing_is_none(tmp_path: Path) -> None:
    for _ in range(2):
        recorder = open_recorder(tmp_path / "heard.wav")  # nobody answers
        recorder.close()
        assert recorder.path.name == "heard.wav"


@pytest.mark.parametrize("name", ["call.WAV", "call.Mp4", "call.WEBM"])
def test_a_suffix_may_be_in_capitals(tmp_path: Path, name: str) -> None:
    with av.open(str(record(tmp_path / name).path)) as container:
        assert bool(container.streams.video) == (not name.endswith("WAV"))
        assert container.format.name.split(",")[0] == {"call.WAV": "wav", "call.Mp4": "mov"}.get(
            name, "matroska"
        )


@pytest.mark.parametrize("name", ["call.xyz", "call.mp3", "call.ogg", "call", "call.wav.txt", ".wav"])
def test_a_name_that_says_another_format_is_refused(tmp_path: Path, name: str) -> None:
    for make in (check_recording, open_recorder):
        with pytest.raises(SourceError, match=r"has to end in \.wav or \.mp4 or \.webm"):
            make(tmp_path / name)
    with pytest.raises(SourceError, match=r"\.wav"):
        AudioRecorder(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".json", ".html"])
def test_what_cannot_be_written_is_known_before(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / f"pipe{suffix}")
    cases = [
        (tmp_path / f"folder{suffix}", "directory"),
        (tmp_path / "absent" / f"a{suffix}", "No such file"),
        (tmp_path / "file" / f"a{suffix}", "[Nn]ot a directory"),
        (tmp_path / f"pipe{suffix}", "no ordinary file"),
        (tmp_path / f"{'x' * 300}{suffix}", "too long"),
        (tmp_path / f"nul\0{suffix}", "null"),
        (Path("/proc") / f"a{suffix}", "cannot be written"),
    ]
    for path, why in cases:
        with pytest.raises(SourceError, match=why):
            check_output(path, (suffix,))
        if suffix in SUFFIXES:
            with pytest.raises(SourceError, match=why):
                open_recorder(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SourceError, match="Permission denied"):
            check_output(tmp_path / "a.json")
    finally:
        tmp_path.chmod(0o700)


def test_a_check_leaves_nothing_behind_and_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    check_output(path, (".json",))
    assert list(tmp_path.iterdir()) == []
    path.write_text("the last call")
    check_output(path)
    assert path.read_text() == "the last call"
    check_output(Path(os.devnull), (".json",))


def test_text_is_written_beside_what_exists(tmp_path: Path, disk: list[int]) -> None:
    disk[0] = 3
    assert write_text(tmp_path / "a.json", "one") == tmp_path / "a.json"
    assert write_text(tmp_path / "a.json", "two") == tmp_path / "a-2.json"
    with pytest.raises(SourceError, match="No space left"):
        write_text(tmp_path / "a.json", "three")
    assert (tmp_path / "a.json").read_text() == "one"
    assert not (tmp_path / "a-3.json").exists(), "half a report is none"
    disk[0] = 9
    assert write_text(Path(os.devnull), "four") == Path(os.devnull)


def test_names_are_not_tried_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MAX_NUMBER", 3)
    for name in ("a.wav", "a-2.wav"):
        (tmp_path / name).write_text(name)
    with pytest.raises(SourceError, match="exist"):
        free_path(tmp_path / "a.wav")


@pytest.mark.parametrize("source", [AudioFile, VideoFile, load_speech])
def test_sources_that_are_no_files_to_be_read(tmp_path: Path, source: Any) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "text.xyz").write_text("not a film")
    for name in ("folder.wav", "absent.wav", "absent/a.wav", "text.xyz", "nul\0.wav"):
        with pytest.raises(SourceError):
            source(tmp_path / name)
