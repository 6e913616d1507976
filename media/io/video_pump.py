"""Moves pictures: camera -> engine -> encoder, decoder -> engine -> screen. One per connection with video."""

import asyncio
import logging
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from media.engine import MediaEngine
from media.io.sound_pump import close_quietly
from media.io.video_sources import VideoSink, VideoSource
from media.io.video_workers import VideoWorkers
from media.streams.video_receiver import DecodeRequest
from media.streams.video_sender import EncodeRequest
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0
MIN_PERIOD = 1 / 240  # seconds between pictures: a camera that does not pace itself must not take the loop


class VideoPump:
    """`lock` guards the engine; `drain` is the connection's, called after every input to the engine."""

    def __init__(
        self, engine: MediaEngine, lock: threading.Lock, screen: VideoSink | None, drain: Callable[[], None]
    ) -> None:
        self._engine, self._lock, self._drain = engine, lock, drain
        self._screen = self._given_screen = screen  # the first becomes None when it fails
        self._loop = asyncio.get_running_loop()
        self._workers: VideoWorkers | None = None
        self._reading: asyncio.Task[None] | None = None
        self._camera: VideoSource | None = None  # that is read

    def start(self) -> None:
        """Video was negotiated: the workers stand by."""
        if self._workers is None:
            self._workers = VideoWorkers(encoded=self._encoded, decoded=self._decoded)

    def read(self, camera: VideoSource) -> None:
        """Take pictures from this camera, instead of the one before."""
        if self._reading is not None and self._camera is camera:
            return
        self.stop_reading()
        self._camera = camera
        self._reading = asyncio.ensure_future(self._read(camera))

    def set_screen(self, screen: VideoSink | None) -> None:
        """Show pictures here, instead of on the screen before, which is closed."""
        if self._given_screen is not None:
            close_quietly(self._given_screen)
        self._screen = self._given_screen = screen

    def stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def turn(self, now: float) -> None:
        """Hand out the codecs' work, show what is to be shown. Part of every drain."""
        if self._workers is None:
            return
        with self._lock:
            encode = self._engine.next_encode_request()
            decode = []
            while (request := self._engine.next_decode_request()) is not None:
                decode.append(request)
            pictures = self._engine.pictures_to_show(now)
        if encode is not None:
            self._workers.encode(encode)
        for request in decode:
            self._workers.decode(request)
        for picture in pictures:
            self._show(picture)

    async def close(self, camera: VideoSource | None) -> None:
        """Stop reading, let the work in hand end, close the devices."""
        reading = self._reading
        self.stop_reading()
        if reading is not None:
            await asyncio.wait([reading], timeout=CLOSE_TIMEOUT)
        if self._workers is not None:
            try:
                await asyncio.wait_for(self._workers.close(), CLOSE_TIMEOUT)
            except TimeoutError:
                logger.warning("a video codec did not end within %s s", CLOSE_TIMEOUT)
        for device in (self._given_screen, camera):
            if device is not None:
                close_quietly(device)

    # -- inside

    async def _read(self, camera: VideoSource) -> None:
        try:
            while True:
                earliest = self._loop.time() + MIN_PERIOD
                frame = await camera.read()
                await asyncio.sleep(max(0.0, earliest - self._loop.time()))
                with self._lock:
                    self._engine.push_video(frame, self._loop.time())
                self._drain()
        except Exception as error:  # a source is the caller's code
            logger.error("the camera failed, the call goes on without it: %s", error)

    def _show(self, picture: VideoFrame) -> None:
        if self._screen is None:
            return
        try:
            self._screen.write(picture)
        except Exception as error:
            logger.error("the screen failed, the call goes on without it: %s", error)
            self._screen = None

    def _encoded(self, request: EncodeRequest, data: bytes | None, key_frame: bool, seconds: float) -> None:
        with self._lock:
            sender = self._engine.video_sender
            if sender is not None:
                sender.receive_encoded(request, data, key_frame, seconds, self._loop.time())
        self._drain()

    def _decoded(
        self, request: DecodeRequest, pictures: list[NDArray[np.uint8]] | None, seconds: float
    ) -> None:
        with self._lock:
            receiver = self._engine.video_receiver
            if receiver is not None:
                receiver.receive_decoded(request, pictures, seconds, self._loop.time())
        self._drain()
