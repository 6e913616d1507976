"""PSNR and SSIM against FFmpeg's, and a synthetic call with known faults."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from media.pictures import scaled
from media.quality.frame_number import band_height
from media.quality.video import VideoScorer, psnr, score, ssim
from media.simulation.picture import Pattern
from media.video_frame import VideoFrame

FPS = 30


def noisy(picture: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def by_ffmpeg(name: str, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The luma's value of FFmpeg's psnr or ssim filter for two gray planes."""
    graph = av.filter.Graph()
    sources = [
        graph.add_buffer(width=p.shape[1], height=p.shape[0], format="gray", time_base=Fraction(1, 30))
        for p in (a, b)
    ]
    metric, sink = graph.add(name), graph.add("buffersink")
    for number, source in enumerate(sources):
        source.link_to(metric, 0, number)
    metric.link_to(sink)
    graph.configure()
    for source, plane in zip(sources, (a, b), strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format="gray")
        frame.pts, frame.time_base = 0, Fraction(1, 30)
        source.push(frame)
        source.push(None)
    metadata = sink.pull().metadata
    return float(metadata["lavfi.psnr.psnr.y" if name == "psnr" else "lavfi.ssim.Y"])


@pytest.mark.parametrize("sigma", [0.7, 3.0, 12.0])
@pytest.mark.parametrize("size", [(640, 480), (320, 240), (426, 238)])
def test_psnr_and_ssim_are_ffmpegs(sigma: float, size: tuple[int, int]) -> None:
    picture = Pattern(*size).picture(5)
    other = noisy(picture, sigma)
    top, height = band_height(size[1]), size[1]
    a, b = picture[top:height], other[top:height]
    assert psnr(other, picture) == pytest.approx(by_ffmpeg("psnr", b, a), abs=0.01)
    assert ssim(other, picture) == pytest.approx(by_ffmpeg("ssim", b, a), abs=0.002)


def test_equal_pictures() -> None:
    picture = Pattern(320, 240).picture(5)
    assert psnr(picture, picture) == 100.0
    assert ssim(picture, picture) == pytest.approx(1.0)


def test_the_number_is_no_part_of_it() -> None:
    picture = Pattern(320, 240).picture(0)
    other = picture.copy()
    other[: band_height(240) - 4] = 0
    assert psnr(other, picture) == 100.0


def test_worst_case_and_sizes_that_differ() -> None:
    black, white = np.zeros((360, 320), np.uint8), np.full((360, 320), 255, np.uint8)
    assert psnr(black, white) == pytest.approx(0.0)
    assert ssim(black, white) < 0.01
    with pytest.raises(ValueError, match="different sizes"):
        psnr(black, black[:240])
    with pytest.raises(ValueError, match="too small"):
        ssim(np.zeros((9, 6), np.uint8), np.zeros((9, 6), np.uint8))


def call_with_faults() -> tuple[VideoScorer, dict[int, float]]:
    """20 s at 30 a second, 80 ms late: 5.0-5.5 s lost, 10-12 s one size down, one shown twice, one unreadable."""
    pattern = Pattern(320, 240)
    captured = {n: 100.0 + n / FPS for n in range(20 * FPS)}
    scorer = VideoScorer(pattern.picture, ssim_every=30)
    noise = np.random.default_rng(1).normal(0, 4.0, (360, 320))
    for number, taken in captured.items():
        media_time, at = number / FPS, taken + 0.080
        if 5.0 < media_time < 5.5:
            continue
        data = np.clip(pattern.picture(number) + noise, 0, 255).astype(np.uint8)
        if 10 <= media_time < 12:
            data = scaled(data, 214, 160)
        if number == 450:
            data[:40] = 128
        scorer.add(VideoFrame(data, taken), at)
        if number == 300:
            scorer.add(VideoFrame(data, taken), at + 0.01)
    return scorer, captured


@pytest.mark.long
def test_known_faults_are_reported_right() -> None:
    scorer, captured = call_with_faults()
    result = scorer.score(captured, end=120.1)
    assert result.sent == 600
    assert result.shown == 600 - 14 + 1
    assert result.delivered == 600 - 14 - 1
    assert (result.repeated, result.unreadable) == (1, 1)
    assert result.delivered_share == pytest.approx(585 / 600)
    assert (result.freezes, result.frozen_seconds) == (1, pytest.approx(0.5))
    assert result.longest_gap_ms == pytest.approx(500)
    assert result.delay_median_ms == pytest.approx(80)
    assert result.delay_p95_ms == pytest.approx(80)
    assert result.fps == pytest.approx(586 / 20.02, rel=0.002)
    assert result.psnr_db is not None and 34 < result.psnr_db < 37  # 20 log10(255 / 4) = 36.1 dB
    assert result.psnr_p5_db is not None and result.psnr_p5_db < result.psnr_db
    assert result.ssim is not None and 0.7 < result.ssim < 0.99
    assert {(p.width, p.height) for p in scorer.shown} == {(320, 240), (214, 160)}


def test_of_nothing_nothing_is_claimed() -> None:
    nothing = score({}, [])
    assert (nothing.sent, nothing.shown, nothing.freezes, nothing.frozen_seconds) == (0, 0, 0, 0.0)
    assert nothing.delivered_share is nothing.fps is nothing.psnr_db is nothing.ssim is None
    assert nothing.delay_median_ms is nothing.longest_gap_ms is None
    dark = score({1: 0.0, 2: 0.1}, [])
    assert dark.delivered_share == 0.0


def test_pictures_that_were_never_sent_are_not_delivered() -> None:
    pattern = Pattern(320, 240)
    scorer = VideoScorer()
    scorer.add(VideoFrame(pattern.picture(99), 0.0), 1.0)
    result = scorer.score({1: 0.5})
    assert (result.delivered, result.delivered_share, result.delay_median_ms) == (0, 0.0, None)
    assert result.psnr_db is None


def test_a_reference_that_is_gone_is_no_error() -> None:
    scorer = VideoScorer(lambda number: None)
    scorer.add(VideoFrame(Pattern(320, 240).picture(1), 0.0), 1.0)
    assert scorer.score({1: 0.9}).psnr_db is None


@pytest.mark.long
def test_real_video_through_real_vp8(media_file: Callable[[str], Path]) -> None:
    """PSNR grows with the bitrate and lies where webcam video at these rates does."""
    with av.open(str(media_file("video-person-720p30-8s.mp4"))) as container:
        raw = [
            f.reformat(640, 360, "yuv420p")
            for _, f in zip(range(30), container.decode(video=0), strict=False)
        ]
    values = []
    for rate in (150_000, 1_000_000):
        encoder = av.CodecContext.create("libvpx", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 640, 360, "yuv420p"
        encoder.bit_rate, encoder.time_base, encoder.framerate = rate, Fraction(1, 30), Fraction(30)
        encoder.options = {"deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0"}
        decoder = av.CodecContext.create("vp8", "r")
        found = []
        for pts, source in enumerate(raw):
            frame = av.VideoFrame.from_ndarray(source.to_ndarray(), format="yuv420p")
            frame.pts = pts
            for packet in encoder.encode(frame):
                for out in decoder.decode(packet):
                    picture, reference = out.to_ndarray(), raw[packet.pts].to_ndarray()
                    found.append((psnr(picture, reference), ssim(picture, reference)))
        values.append(np.mean(found, axis=0))
    low, high = values
    assert 30 < low[0] < high[0] - 3 < 57
    assert 0.8 < low[1] < high[1] < 1.0
