"""Video encoders and decoders: VP8 (RFC 6386) by libvpx, H.264 by PyAV. Blocking; they run in worker threads.

An encoder follows the pictures' size and the bitrate that each picture is to be coded at. libvpx changes the rate
in place; PyAV's encoders have to be made anew, which costs a key frame, so for them small changes wait.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from media.codecs import libvpx
from media.errors import CodecError

CLOCK_RATE = 90000
REOPEN_RATIO = 1.25  # PyAV's encoders follow changes larger than this
REOPEN_PAUSE_TICKS = 3 * CLOCK_RATE
MAX_PIXELS = 4096 * 2304


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    data: bytes
    key_frame: bool


class VideoEncoder(Protocol):
    def encode(
        self, picture: NDArray[np.uint8], *, time: int, key_frame: bool, bitrate_bps: int
    ) -> EncodedFrame | None:
        """An I420 picture, time at 90 kHz. None when the rate control dropped it. Raises CodecError."""

    def close(self) -> None: ...


class VideoDecoder(Protocol):
    def decode(self, data: bytes) -> list[NDArray[np.uint8]]:
        """The pictures (I420) that a frame gives, mostly one. Raises CodecError."""

    def close(self) -> None: ...


def make_encoder(name: str) -> VideoEncoder:
    """`VP8` or `H264`."""
    if name == "VP8" and libvpx.available():
        return Vp8Encoder()
    return PyAvEncoder({"VP8": "libvpx", "H264": "libx264"}[name])


def make_decoder(name: str) -> VideoDecoder:
    return PyAvDecoder({"VP8": "vp8", "H264": "h264"}[name])


class Vp8Encoder:
    """libvpx without FFmpeg; another picture size begins with a key frame."""

    def __init__(self) -> None:
        self._encoder: libvpx.LibvpxEncoder | None = None
        self._shape: tuple[int, ...] = ()
        self._last_time = 0

    def encode(
        self, picture: NDArray[np.uint8], *, time: int, key_frame: bool, bitrate_bps: int
    ) -> EncodedFrame | None:
        if picture.shape != self._shape or self._encoder is None:
            self.close()
            height, width = picture.shape[0] * 2 // 3, picture.shape[1]
            threads = 1 if width * height <= 640 * 480 else 2
            self._encoder = libvpx.LibvpxEncoder(width, height, bitrate_bps=bitrate_bps, threads=threads)
            self._shape = picture.shape
            self._last_time = time - CLOCK_RATE // 30
        self._encoder.set_bitrate(bitrate_bps)
        duration, self._last_time = time - self._last_time, time
        try:
            frame = self._encoder.encode(picture, time=time, duration=duration, key_frame=key_frame)
        except CodecError:
            self.close()  # the next picture gets a new one
            raise
        return None if frame is None else EncodedFrame(*frame)

    def close(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None


_OPTIONS = {
    # Real time, no look-ahead, constant rate with a buffer of a second.
    "libvpx": {
        "deadline": "realtime", "cpu-used": "-6", "lag-in-frames": "0", "undershoot-pct": "100",
        "overshoot-pct": "15", "max-intra-rate": "450", "qmin": "2", "qmax": "56", "auto-alt-ref": "0",
    },
    "libx264": {
        "preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "forced-idr": "1", "sc_threshold": "0",
        "keyint": "infinite", "level": "3.1",
    },
}  # fmt: skip


class PyAvEncoder:
    """FFmpeg's wrappers. The bitrate of a running encoder is fixed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._context: Any = None
        self._shape: tuple[int, ...] = ()
        self._bitrate_bps = 0
        self._opened = 0

    def encode(
        self, picture: NDArray[np.uint8], *, time: int, key_frame: bool, bitrate_bps: int
    ) -> EncodedFrame | None:
        if self._context is None or picture.shape != self._shape or self._should_reopen(bitrate_bps, time):
            self._open(picture, bitrate_bps, time)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = time, Fraction(1, CLOCK_RATE)
        frame.pict_type = PictureType.I if key_frame else PictureType.NONE
        try:
            packets = self._context.encode(frame)
        except (av.error.FFmpegError, ValueError) as error:
            self.close()  # the next picture gets a new one
            raise CodecError(f"{self._name}: {error}") from None
        if not packets:
            return None
        return EncodedFrame(b"".join(bytes(p) for p in packets), any(p.is_keyframe for p in packets))

    def _should_reopen(self, bitrate_bps: int, time: int) -> bool:
        ratio = bitrate_bps / max(1, self._bitrate_bps)
        changed = ratio > REOPEN_RATIO or ratio < 1 / REOPEN_RATIO
        return changed and time - self._opened >= REOPEN_PAUSE_TICKS

    def _open(self, picture: NDArray[np.uint8], bitrate_bps: int, time: int) -> None:
        context: Any = av.CodecContext.create(self._name, "w")
        context.width, context.height = picture.shape[1], picture.shape[0] * 2 // 3
        context.pix_fmt = "yuv420p"
        context.bit_rate = bitrate_bps
        context.time_base, context.framerate = Fraction(1, CLOCK_RATE), Fraction(30)
        context.gop_size = 1 << 20
        context.thread_count = 1
        rate = str(bitrate_bps)
        context.options = _OPTIONS[self._name] | {"maxrate": rate, "bufsize": rate}
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise CodecError(f"{self._name} for {context.width}x{context.height}: {error}") from None
        self._context, self._shape = context, picture.shape
        self._bitrate_bps, self._opened = bitrate_bps, time

    def close(self) -> None:
        self._context = None


class PyAvDecoder:
    """VP8 and H.264 by FFmpeg, one thread: frames come out as they go in."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._context: Any = self._open()

    def _open(self) -> Any:
        context: Any = av.CodecContext.create(self._name, "r")
        context.thread_count = 1
        context.thread_type = "NONE"
        context.options = {"max_pixels": str(MAX_PIXELS)}  # before any memory is taken for a picture
        return context

    def decode(self, data: bytes) -> list[NDArray[np.uint8]]:
        if self._context is None:
            raise CodecError("the decoder is closed")
        if not data:
            # To FFmpeg this is the end of the stream, after which it takes nothing any more.
            raise CodecError(f"{self._name}: an empty frame")
        try:
            frames = self._context.decode(av.Packet(data))
        except (av.error.FFmpegError, ValueError) as error:
            raise CodecError(f"{self._name}: {error}") from None
        pictures = []
        for frame in frames:
            if frame.width * frame.height > MAX_PIXELS:
                raise CodecError(f"{self._name}: a picture of {frame.width}x{frame.height}")
            pictures.append(_to_i420(frame))
        return pictures

    def close(self) -> None:
        self._context = None


def _to_i420(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """As one array with even sides; another pixel format is converted, an odd side loses its last line."""
    width, height = frame.width & ~1, frame.height & ~1
    if width < 2 or height < 2:
        raise CodecError(f"a picture of {frame.width}x{frame.height}")
    if frame.format.name != "yuv420p" or (width, height) != (frame.width, frame.height):
        frame = frame.reformat(width, height, "yuv420p")
    return np.ascontiguousarray(frame.to_ndarray(), np.uint8)
