"""Sinks of pictures that need no file."""

import io
import re
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from media.errors import SourceError
from media.io import video_sinks
from media.io.video_sinks import DiscardVideo, NumpyScreen, TerminalPreview, draw
from media.io.video_sources import VideoSink
from media.pictures import black, from_rgb
from media.video_frame import VideoFrame


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Terminal(io.StringIO):
    """A terminal that says when so many pictures have been drawn."""

    def __init__(self, pictures: int = 1) -> None:
        super().__init__()
        self.drawn = threading.Event()
        self._left = pictures

    def flush(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.drawn.set()


def red(width: int = 64, height: int = 48) -> VideoFrame:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = 255
    return from_rgb(picture, 0.0)


def test_numpy_screen_keeps_the_last_and_hands_on() -> None:
    got: list[tuple[VideoFrame, float]] = []
    screen = NumpyScreen(lambda frame, now: got.append((frame, now)))
    assert isinstance(screen, VideoSink)
    first, second = red(), red()
    screen.write(first)
    screen.write(second)
    assert screen.last is second and screen.frames == 2
    assert [frame for frame, _ in got] == [first, second]
    assert got[0][1] <= got[1][1] == screen.last_at
    screen.close()
    screen.close()
    screen.write(first)
    assert screen.last is second and len(got) == 2


def test_discard_counts() -> None:
    sink = DiscardVideo()
    assert isinstance(sink, VideoSink)
    sink.write(red())
    sink.close()
    assert sink.frames == 1


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (10, 50), (2, 1), (1, 1), (200, 3)])
@pytest.mark.parametrize("size", [(64, 48), (48, 64), (1280, 720), (2, 2), (4096, 2)])
def test_a_drawing_fits_and_has_its_colours(columns: int, lines: int, size: tuple[int, int]) -> None:
    text = draw(red(*size), columns, lines)
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in text.split("\r\n")]
    assert all(set(row) == {"▀"} for row in rows)
    assert len(rows) <= max(lines, 1) and len({len(row) for row in rows}) == 1
    assert len(rows[0]) <= max(columns, 2)
    r, g, b = map(int, re.search(r"38;2;(\d+);(\d+);(\d+)", text).groups())  # type: ignore[union-attr]
    assert r > 240 and g < 15 and b < 15


def test_upper_and_lower_half_have_their_own_colours() -> None:
    data = black(2, 2)
    data[0] = 235
    text = draw(VideoFrame(data, 0.0), 2, 1)
    assert text.startswith("\x1b[38;2;255;255;255;48;2;0;0;0m▀▀")


def test_preview_draws_and_restores_the_terminal() -> None:
    terminal = Terminal()
    preview = TerminalPreview(terminal)
    assert isinstance(preview, VideoSink)
    preview.write(red())
    assert terminal.drawn.wait(10)
    preview.close()
    preview.close()
    preview.write(red())
    text = terminal.getvalue()
    assert text.startswith("\x1b[?1049h") and text.endswith("\x1b[0m\x1b[?25h\x1b[?1049l")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert "▀" in text


def test_preview_is_never_faster_than_its_rate() -> None:
    """Pictures written while one is on are replaced by the latest."""
    terminal = Terminal()
    preview = TerminalPreview(terminal, fps=0.01)
    preview.write(red())
    assert terminal.drawn.wait(10)
    for _ in range(100):
        preview.write(red())
    preview.close()
    assert terminal.getvalue().count("\x1b[H") == 1


def test_preview_that_drew_nothing_restores_too() -> None:
    terminal = Terminal()
    TerminalPreview(terminal).close()
    assert terminal.getvalue().endswith("\x1b[?1049l")


def test_a_terminal_that_goes_away_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("gone")

    preview = TerminalPreview(Gone())
    preview.write(red())
    preview.close()


def test_a_terminal_that_takes_nothing_does_not_hold_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_sinks, "_CLOSE_TIMEOUT", 0.05)
    release = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            release.wait(10)
            return len(text)

    preview = TerminalPreview(Stuck())
    preview.write(red())
    preview.close()
    release.set()
    preview._thread.join(5)
    assert not preview._thread.is_alive()


def test_preview_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="terminal"):
        TerminalPreview()
    with pytest.raises(ValueError, match="fps"):
        TerminalPreview(io.StringIO(), fps=60)
