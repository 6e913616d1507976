"""Cameras and screens of a call, and what a screen saw, so that it can be compared with what was filmed."""

import argparse
import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

from media import PeerConnection
from media.io.camera import Camera
from media.io.video_files import VideoFile
from media.io.video_sinks import TerminalPreview
from media.io.video_sources import Numbered, TestPattern, VideoSink, VideoSource
from media.quality.video import ShownPicture, VideoScorer, score
from media.video_frame import VideoFrame
from ringline.arguments import video

SIZE = (640, 480)


def add_video_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--video",
        type=video,
        default="none",
        metavar="WHAT",
        help="send and show video: pattern, camera, or a film file (default none)",
    )
    parser.add_argument(
        "--preview", action="store_true", help="draw the other side's picture in this terminal"
    )


def make_camera(options: argparse.Namespace) -> VideoSource | None:
    """What --video names. The test pattern and films carry a number in each picture."""
    if options.video == "none":
        return None
    if options.video == "pattern":
        return TestPattern(*SIZE)
    if options.video == "camera":
        return Camera()
    return Numbered(VideoFile(Path(options.video), loop=True, size=SIZE))


def make_screen(options: argparse.Namespace, recorder: VideoSink | None) -> "Screen":
    """Where the other side's picture goes."""
    return Screen(TerminalPreview() if options.preview else recorder)


class Screen:
    """Notes every picture, and hands it on to a recorder where there is one."""

    def __init__(self, inner: VideoSink | None = None) -> None:
        self._inner = inner
        # The pattern can be drawn again here from a picture's number, so what was seen is compared with it.
        self.scorer = VideoScorer(TestPattern(*SIZE).reference)

    def write(self, frame: VideoFrame) -> None:
        self.scorer.add(frame, asyncio.get_running_loop().time())
        if self._inner is not None:
            self._inner.write(frame)

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()


def pictures(connection: PeerConnection) -> dict[str, Any]:
    """What this end filmed and saw, as JSON values."""
    captured = getattr(connection.camera, "captured", {})
    shown = connection.screen.scorer.shown if isinstance(connection.screen, Screen) else []
    return {"captured": sorted(captured.items()), "shown": [asdict(picture) for picture in shown]}


def compare(filmed: dict[str, Any], seen: dict[str, Any], *, pattern: bool) -> Any:
    """The score of what one end saw of what the other filmed; None when there was nothing to see."""
    if not seen["shown"] or not filmed["captured"]:
        return None
    shown = [ShownPicture(**picture) for picture in seen["shown"]]
    if not pattern:  # another film than the pattern: nothing to compare the pictures with
        shown = [ShownPicture(p.at, p.number, p.width, p.height) for p in shown]
    return score({int(number): at for number, at in filmed["captured"]}, shown)
