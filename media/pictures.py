"""Between PyAV's pictures and ours: format, size, range. Blocking, a few milliseconds at 1280x720."""

import av
import numpy as np
from av.video.frame import VideoFrame as AvFrame
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from media.errors import SourceError
from media.video_frame import MAX_SIDE, VideoFrame

_BLACK_LUMA, _NO_CHROMA = 16, 128  # BT.601, limited range

I420 = NDArray[np.uint8]


def black(width: int, height: int) -> I420:
    """A black picture (height * 3 // 2, width). Raises ValueError for sides that are odd, below 2 or above 4096."""
    if width % 2 or height % 2 or not 2 <= width <= MAX_SIDE or not 2 <= height <= MAX_SIDE:
        raise ValueError(f"a picture has even sides from 2 to {MAX_SIDE}, not {width}x{height}")
    data = np.full((height * 3 // 2, width), _NO_CHROMA, np.uint8)
    data[:height] = _BLACK_LUMA
    return data


def allowed_size(width: int, height: int) -> tuple[int, int]:
    """The nearest size that a VideoFrame may have: sides made even, shrunk in proportion to 4096 at most."""
    shrink = min(1.0, MAX_SIDE / max(width, height, 1))
    return (
        min(MAX_SIDE, max(2, int(width * shrink) // 2 * 2)),
        min(MAX_SIDE, max(2, int(height * shrink) // 2 * 2)),
    )


def from_av(frame: AvFrame, captured: float, size: tuple[int, int] | None = None) -> VideoFrame:
    """Any picture of PyAV as a VideoFrame: yuv420p of limited range, scaled to `size` (width, height).

    Without a size it keeps its own, made even and no more than 4096. Raises SourceError for a format that
    FFmpeg cannot convert.
    """
    width, height = allowed_size(frame.width, frame.height) if size is None else size
    try:
        if frame.format.name != "yuv420p" or frame.color_range == ColorRange.JPEG:
            frame = frame.reformat(width, height, "yuv420p", dst_color_range=ColorRange.MPEG)
        elif (frame.width, frame.height) != (width, height):
            frame = frame.reformat(width, height)
        data = frame.to_ndarray()
    except (av.FFmpegError, ValueError, AttributeError) as error:
        raise SourceError(f"a picture cannot be converted: {error}") from None
    return VideoFrame(np.ascontiguousarray(data), captured)


def to_av(data: I420) -> AvFrame:
    """An I420 array as a picture of PyAV; copies."""
    return AvFrame.from_ndarray(data, format="yuv420p")


def scaled(data: I420, width: int, height: int) -> I420:
    """An I420 picture at another size; itself when it has that size."""
    if data.shape == (height * 3 // 2, width):
        return data
    return np.ascontiguousarray(to_av(data).reformat(width, height).to_ndarray())


def fitted(data: I420, width: int, height: int) -> I420:
    """An I420 picture inside one of another size, in proportion, with black bars where it does not reach."""
    rows, wide = data.shape
    high = rows * 2 // 3
    if (wide, high) == (width, height):
        return data
    factor = min(width / wide, height / high)
    w, h = max(2, int(wide * factor) // 2 * 2), max(2, int(high * factor) // 2 * 2)
    inner = scaled(data, w, h)
    if (w, h) == (width, height):
        return inner
    out = black(width, height)
    left, top = (width - w) // 4 * 2, (height - h) // 4 * 2
    for target, source in zip(planes(out), planes(inner), strict=True):
        divide = height // target.shape[0]
        y, x = top // divide, left // divide
        target[y : y + source.shape[0], x : x + source.shape[1]] = source
    return out


def rotated(data: I420, degrees: float) -> I420:
    """An I420 picture turned counter-clockwise by a multiple of 90 degrees (others count as the nearest)."""
    turns = round(degrees / 90) % 4
    if not turns:
        return data
    parts = [np.rot90(plane, turns) for plane in planes(data)]
    height, width = parts[0].shape
    return np.concatenate([part.reshape(-1) for part in parts]).reshape(height * 3 // 2, width)


def planes(data: I420) -> tuple[I420, I420, I420]:
    """Y (height, width), U and V (height // 2, width // 2) as views of an I420 array."""
    rows, width = data.shape
    height = rows * 2 // 3
    flat = data.reshape(-1)
    quarter = width * height // 4
    shape = (height // 2, width // 2)
    return (
        data[:height],
        flat[4 * quarter : 5 * quarter].reshape(shape),
        flat[5 * quarter :].reshape(shape),
    )


def from_rgb(picture: NDArray[np.uint8], captured: float) -> VideoFrame:
    """A picture (height, width, 3) of uint8 RGB as a VideoFrame; odd sides lose a pixel. Raises ValueError."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(f"not a uint8 RGB picture: shape {picture.shape}, {picture.dtype}")
    return from_av(AvFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"), captured)
