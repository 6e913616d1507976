"""What came of the pictures: each one shown, against the one that was sent under its number.

Numbers are those of media/quality/frame_number.py. Times are seconds on one clock.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.pictures import scaled
from media.quality.frame_number import band_height, read_frame_number
from media.quality.freezes import find_freezes
from media.video_frame import VideoFrame

# A picture that equals its reference has no PSNR; FFmpeg's filters, too, give up there.
MAX_PSNR_DB = 100.0
# SSIM constants for 8 bits (Wang et al. 2004, K1 0.01, K2 0.03).
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_MIN_SIDE = 8  # pixels, one window of SSIM

I420 = NDArray[np.uint8]
Reference = Callable[[int], I420 | None]


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """One picture as it was shown. `number` None: it could not be read. PSNR and SSIM None: not measured."""

    at: float
    number: int | None
    width: int
    height: int
    psnr_db: float | None = None
    ssim: float | None = None


@dataclass(frozen=True, slots=True)
class VideoScore:
    """What a viewer got of `sent` pictures. None: not known (nothing was shown, no reference).

    `delivered`: different pictures that were shown; `delivered_share` of those sent (0..1). `repeated`: shown again;
    `unreadable`: shown without a number that can be read, and in no other figure but `fps` and the freezes.
    Delays are from being taken to being shown. PSNR and SSIM are of the luma without the number's band, at the size
    that was sent; `psnr_db` is the mean of the pictures' values, as FFmpeg's psnr_avg is not. Freezes: freezes.py.
    """

    sent: int
    shown: int
    delivered: int
    repeated: int
    unreadable: int
    delivered_share: float | None
    fps: float | None
    psnr_db: float | None
    psnr_p5_db: float | None
    ssim: float | None
    delay_median_ms: float | None
    delay_p95_ms: float | None
    freezes: int
    frozen_seconds: float
    longest_gap_ms: float | None


class VideoScorer:
    """Told of every picture at the moment it is shown; `score()` at the end.

    `reference(number)` gives the picture that was sent (I420), or None. A comparison at 640x480 takes 0.3 ms for PSNR
    and 5 ms for SSIM, so SSIM is taken of every `ssim_every`th picture only (0: none).
    """

    def __init__(self, reference: Reference | None = None, *, ssim_every: int = 10) -> None:
        self.shown: list[ShownPicture] = []
        self._reference = reference
        self._ssim_every = ssim_every
        self._compared = 0

    def add(self, frame: VideoFrame, at: float) -> ShownPicture:
        """A picture shown at this time."""
        number = read_frame_number(frame.luma)
        psnr_db, ssim_index = None, None
        reference = None if number is None or self._reference is None else self._reference(number)
        if reference is not None:
            picture = scaled(frame.data, reference.shape[1], reference.shape[0] * 2 // 3)
            psnr_db = psnr(picture, reference)
            if self._ssim_every and self._compared % self._ssim_every == 0:
                ssim_index = ssim(picture, reference)
            self._compared += 1
        entry = ShownPicture(at, number, frame.width, frame.height, psnr_db, ssim_index)
        self.shown.append(entry)
        return entry

    def score(self, captured: Mapping[int, float], end: float | None = None) -> VideoScore:
        """`captured`: number -> when it was taken, of every picture sent; `end`: of the call, or None."""
        return score(captured, self.shown, end)


def score(captured: Mapping[int, float], shown: list[ShownPicture], end: float | None = None) -> VideoScore:
    """The figures of a call; see VideoScore."""
    first: dict[int, float] = {}
    repeated = unreadable = 0
    for picture in shown:
        if picture.number is None:
            unreadable += 1
        elif picture.number in first:
            repeated += 1
        else:
            first[picture.number] = picture.at
    delays_ms = [1000 * (at - captured[number]) for number, at in first.items() if number in captured]
    psnrs = [p.psnr_db for p in shown if p.psnr_db is not None]
    ssims = [p.ssim for p in shown if p.ssim is not None]
    # A picture shown twice is no movement: freezes are between different ones.
    times = [p.at for p in shown if p.number is None or first.get(p.number) == p.at]
    frozen = find_freezes(times, end)
    gaps = np.diff([*times, end] if end is not None else times)
    span = (end if end is not None else shown[-1].at) - shown[0].at if shown else 0.0
    delivered = sum(number in captured for number in first)
    return VideoScore(
        sent=len(captured),
        shown=len(shown),
        delivered=delivered,
        repeated=repeated,
        unreadable=unreadable,
        delivered_share=delivered / len(captured) if captured else None,
        fps=(len(times) - (end is None)) / span if span > 0 else None,
        psnr_db=float(np.mean(psnrs)) if psnrs else None,
        psnr_p5_db=float(np.percentile(psnrs, 5)) if psnrs else None,
        ssim=float(np.mean(ssims)) if ssims else None,
        delay_median_ms=float(np.median(delays_ms)) if delays_ms else None,
        delay_p95_ms=float(np.percentile(delays_ms, 95)) if delays_ms else None,
        freezes=len(frozen),
        frozen_seconds=sum(freeze.duration for freeze in frozen),
        longest_gap_ms=float(gaps.max()) * 1000 if len(gaps) else None,
    )


def psnr(picture: I420, reference: I420) -> float:
    """PSNR in dB of the luma of two I420 pictures of one size, without the number's band; at most 100.

    Raises ValueError when the sizes differ.
    """
    a, b = _compared_luma(picture, reference)
    difference = a.astype(np.int16)
    difference -= b
    error = float(np.einsum("ij,ij->", difference, difference, dtype=np.int64)) / difference.size
    return MAX_PSNR_DB if error == 0 else min(MAX_PSNR_DB, 10 * math.log10(255**2 / error))


def ssim(picture: I420, reference: I420) -> float:
    """Mean SSIM (Wang et al. 2004) of the luma of two I420 pictures of one size, without the number's band.

    Windows of 8x8 every 4 pixels, unweighted, as x264 and FFmpeg take it. Raises ValueError when the sizes differ, or
    when fewer than 8 rows are left.
    """
    a, b = _compared_luma(picture, reference)
    if min(a.shape) < _MIN_SIDE:
        raise ValueError(f"too small for SSIM: {a.shape}")
    x, y = (_cut(part).astype(np.int32) for part in (a, b))
    sum_x, sum_y = _windows(x), _windows(y)
    squares, product = _windows(x * x + y * y), _windows(x * y)
    n = _MIN_SIDE**2
    covariance = (product * n - sum_x * sum_y) / (n * (n - 1))
    variances = (squares * n - sum_x**2 - sum_y**2) / (n * (n - 1))
    means = sum_x * sum_y / n**2
    index = (2 * means + _C1) * (2 * covariance + _C2)
    index /= ((sum_x**2 + sum_y**2) / n**2 + _C1) * (variances + _C2)
    return float(index.mean())


def _compared_luma(picture: I420, reference: I420) -> tuple[I420, I420]:
    if picture.shape != reference.shape:
        raise ValueError(f"pictures of different sizes: {picture.shape} and {reference.shape}")
    height = picture.shape[0] * 2 // 3
    top = band_height(height)
    return picture[top:height], reference[top:height]


def _cut(luma: I420) -> I420:
    return luma[: luma.shape[0] // 4 * 4, : luma.shape[1] // 4 * 4]


def _windows(values: NDArray[np.int32]) -> NDArray[np.float64]:
    """Sums over windows of 8x8, every 4 pixels in both directions."""
    rows, columns = values.shape
    blocks = values.reshape(rows // 4, 4, columns // 4, 4).sum(axis=(1, 3), dtype=np.int64).astype(np.float64)
    pairs = blocks[:-1] + blocks[1:]
    sums: NDArray[np.float64] = pairs[:, :-1] + pairs[:, 1:]
    return sums
