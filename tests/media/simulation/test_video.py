"""Calls with video in virtual time: networks, and what goes wrong at an end."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from media.codecs.video import EncodedFrame, make_encoder
from media.errors import CodecError
from media.quality.frame_number import read_frame_number, write_frame_number
from media.quality.report import document
from media.simulation.call import SimulatedCall, simulate
from media.simulation.picture import Pattern
from media.simulation.profiles import get_profile
from media.simulation.video import SimulatedVideo
from media.simulation.voice import generate_voice

SPEECH = generate_voice(1, 5.0), generate_voice(2, 5.0)
PATTERN = Pattern(160, 120)
NO_CAMERA = SimulatedVideo()
GREY = np.full((180, 160), 128, np.uint8)


def numbered(number: int) -> np.ndarray:
    picture = GREY.copy()
    write_frame_number(picture[:120], number)
    return picture


class ExactEncoder:
    """Frames of exactly the rate that is asked for, key frames of 4.5 times that; the number is all there is in them."""

    def __init__(self, codec: str) -> None:
        self.last = -6000
        self.first = True

    def encode(self, picture: np.ndarray, *, time: int, key_frame: bool, bitrate_bps: int) -> EncodedFrame:
        elapsed, self.last = min(18_000, time - self.last) / 90_000, time
        key, self.first = key_frame or self.first, False
        size = int(bitrate_bps * elapsed / 8 * (4.5 if key else 1))
        number = read_frame_number(picture[:120])
        assert number is not None
        return EncodedFrame(bytes((not key,)) + number.to_bytes(4, "big") + bytes(max(0, size - 5)), key)

    def close(self) -> None: ...


class NumberDecoder:
    def __init__(self, codec: str) -> None: ...

    def decode(self, data: bytes) -> list[np.ndarray]:
        return [numbered(int.from_bytes(data[1:5], "big"))]

    def close(self) -> None: ...


VIEWER = SimulatedVideo(encoder=ExactEncoder, decoder=NumberDecoder)
EXACT = SimulatedVideo(numbered, 30, encoder=ExactEncoder, decoder=NumberDecoder)


def run(
    profile: str, seconds: float, video: tuple[SimulatedVideo, SimulatedVideo], seed: int = 1
) -> SimulatedCall:
    return simulate(get_profile(profile), seed, SPEECH, seconds=seconds, metrics=False, video=video)


def score(call: SimulatedCall) -> dict[str, Any]:
    """Of what the callee saw."""
    assert isinstance(call.callee.video, dict)
    found = call.callee.video["score"]
    assert isinstance(found, dict)
    return found


def outbound(call: SimulatedCall) -> dict[str, Any]:
    return call.stats[0]["outbound-rtp-video"]


def inbound(call: SimulatedCall) -> dict[str, Any]:
    return call.stats[1]["inbound-rtp-video"]


def voice_is_untouched(call: SimulatedCall) -> bool:
    """Nothing of it is made up. That it is stretched to be in step with the pictures counts much in so short a call."""
    heard = call.callee.summary
    assert heard.delay_ms is not None and heard.mos_lq is not None
    return heard.concealed_percent == 0 and heard.delay_ms < 120 and heard.mos_lq > 3.5


def is_calm(call: SimulatedCall, seconds: float) -> bool:
    """Both engines' timers fire a bounded number of times: a picture, a packet and a report each have one at most."""
    return max(call.timer_calls) < 400 * seconds


@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes() -> None:
    video = SimulatedVideo(PATTERN.picture)
    first, again, other = (run("video_loss5", 2, (video, video), seed) for seed in (1, 1, 2))
    assert document(first.caller, first.callee) == document(again.caller, again.callee)
    assert document(first.caller, first.callee) != document(other.caller, other.callee)


def test_real_codecs_on_a_clean_path_both_ways() -> None:
    video = SimulatedVideo(PATTERN.picture, 15)
    call = run("video_clean", 6, (video, video))
    for report in (call.caller, call.callee):
        assert isinstance(report.video, dict)
        found = report.video["score"]
        assert found["freezes"] == 0 and found["delivered_share"] > 0.98 and found["psnr_db"] > 38
        assert found["delay_median_ms"] < 60 and found["fps"] == pytest.approx(15, abs=0.3)
    assert inbound(call)["pliCount"] == 0 == inbound(call)["nackCount"]
    assert inbound(call)["keyFramesDecoded"] == 1
    assert voice_is_untouched(call)


@pytest.mark.long
def test_300_kbit_do_not_collapse() -> None:
    """Voice of 80 kbit/s with its headers is on the same path. aiortc: 2.8 fps, 9 Mbit/s sent."""
    call = run("video_300k", 12, (EXACT, EXACT))
    found = score(call)
    assert found["fps"] > 27 and found["longest_gap_ms"] < 400 and found["freezes"] <= 1
    assert found["delay_p95_ms"] < 350
    assert outbound(call)["retransmittedPacketsSent"] < 0.05 * outbound(call)["packetsSent"]
    assert outbound(call)["bytesSent"] * 8 / 12 < 300_000
    assert (call.callee.summary.mos_lq or 0) > 4.0


@pytest.mark.long
def test_1_mbit_is_used_and_not_overfilled() -> None:
    call = run("video_1mbit", 9, (EXACT, VIEWER))
    found = score(call)
    assert found["freezes"] == 0 and found["fps"] > 29 and found["delivered_share"] > 0.98
    assert found["delay_p95_ms"] < 300
    assert 700_000 < outbound(call)["targetBitrate"] < 1_100_000
    assert inbound(call)["nackCount"] <= 2


@pytest.mark.parametrize(("profile", "share"), [("video_loss2", 0.06), ("video_loss5", 0.12)])
@pytest.mark.long
def test_random_loss_is_repaired_without_a_storm(profile: str, share: float) -> None:
    call = run(profile, 7, (EXACT, VIEWER))
    found = score(call)
    assert found["freezes"] == 0 and found["longest_gap_ms"] < 300 and found["delivered_share"] > 0.97
    assert outbound(call)["retransmittedPacketsSent"] < share * outbound(call)["packetsSent"]
    assert outbound(call)["targetBitrate"] > 600_000, "loss alone is no congestion"
    assert inbound(call)["pliCount"] <= 1


@pytest.mark.long
def test_jitter_alone_does_not_lower_the_rate() -> None:
    call = run("delay=40 jitter=30", 6, (EXACT, VIEWER))
    assert outbound(call)["targetBitrate"] > 300_000
    assert score(call)["freezes"] == 0 and score(call)["delivered_share"] > 0.97


# -- bad inputs


def raising(error: Exception, every: int, make: Callable[[str], Any] = ExactEncoder) -> Callable[[str], Any]:
    """A codec that fails every so many times."""

    class Codec:
        def __init__(self, codec: str) -> None:
            self.inner = make(codec)
            self.calls = 0

        def _fail(self) -> None:
            self.calls += 1
            if self.calls % every == 0:
                raise error

        def encode(self, picture: np.ndarray, **more: Any) -> EncodedFrame | None:
            self._fail()
            return self.inner.encode(picture, **more)  # type: ignore[no-any-return]

        def decode(self, data: bytes) -> list[np.ndarray]:
            self._fail()
            return self.inner.decode(data)  # type: ignore[no-any-return]

        def close(self) -> None:
            self.inner.close()

    return Codec


@pytest.mark.long
def test_an_encoder_that_fails_now_and_then_costs_these_pictures() -> None:
    video = SimulatedVideo(numbered, 30, encoder=raising(CodecError("no"), 10), decoder=NumberDecoder)
    call = run("video_clean", 5, (video, EXACT))
    assert score(call)["delivered_share"] == pytest.approx(0.9, abs=0.03)
    assert voice_is_untouched(call) and is_calm(call, 5)


@pytest.mark.long
def test_an_encoder_that_always_fails_costs_the_picture_only() -> None:
    video = SimulatedVideo(numbered, 30, encoder=raising(CodecError("no"), 1), decoder=NumberDecoder)
    call = run("video_clean", 5, (video, EXACT))
    assert score(call)["shown"] == 0 and outbound(call)["framesEncoded"] == 0
    assert voice_is_untouched(call) and is_calm(call, 5)


@pytest.mark.long
@pytest.mark.parametrize("every", [1, 30])
def test_a_decoder_that_fails(every: int) -> None:
    viewer = SimulatedVideo(
        numbered, 30, encoder=ExactEncoder, decoder=raising(CodecError("no"), every, NumberDecoder)
    )
    call = run("video_clean", 4, (EXACT, viewer))
    assert inbound(call)["decodeErrors"] > 0
    assert inbound(call)["pliCount"] <= 4 / 0.3 + 1
    assert (score(call)["shown"] == 0) == (every == 1)
    assert every == 1 or score(call)["delivered_share"] > 0.7, "a key frame mends it within a round trip"
    assert voice_is_untouched(call) and is_calm(call, 4)


class NoKeyFrames(ExactEncoder):
    def encode(self, picture: np.ndarray, **more: Any) -> EncodedFrame:
        frame = super().encode(picture, **more)
        return EncodedFrame(b"\x01" + frame.data[1:], False)


@pytest.mark.long
def test_a_peer_that_never_sends_a_key_frame() -> None:
    video = SimulatedVideo(numbered, 30, encoder=NoKeyFrames, decoder=NumberDecoder)
    call = run("video_clean", 6, (video, EXACT))
    assert score(call)["shown"] == 0 and 10 < inbound(call)["pliCount"] <= 6 / 0.3 + 1
    assert voice_is_untouched(call) and is_calm(call, 6)


@pytest.mark.long
def test_a_source_that_stalls_and_comes_back() -> None:
    video = SimulatedVideo(
        lambda n: None if 60 <= n < 120 else numbered(n), 30, encoder=ExactEncoder, decoder=NumberDecoder
    )
    call = run("video_clean", 6, (video, VIEWER))
    found = score(call)
    assert found["freezes"] == 1 and found["frozen_seconds"] == pytest.approx(2.0, abs=0.15)
    assert inbound(call)["pliCount"] == 0 and found["delivered_share"] > 0.97
    assert voice_is_untouched(call) and is_calm(call, 6)


@pytest.mark.long
def test_sizes_that_change_with_every_second() -> None:
    patterns = [Pattern(*size) for size in ((160, 120), (322, 242), (160, 120), (642, 362))]
    video = SimulatedVideo(lambda n: patterns[n // 10 % 4].picture(n), 10, encoder=make_encoder)
    sizes: list[tuple[int, int]] = []
    viewer = SimulatedVideo(screen=lambda frame, now: sizes.append((frame.width, frame.height)))
    call = run("video_clean", 4, (video, viewer))
    assert set(sizes) == {(160, 120), (322, 242), (642, 362)}
    assert inbound(call)["decodeErrors"] == 0 and score(call)["delivered_share"] > 0.75
    assert voice_is_untouched(call) and is_calm(call, 4)


@pytest.mark.long
def test_pictures_of_4k_at_a_path_for_a_tenth_of_them() -> None:
    big = np.zeros((2160 * 3 // 2, 3840), np.uint8)
    big[:, ::97] = 200
    video = SimulatedVideo(lambda n: big, 1)
    call = run("video_1mbit", 3, (video, NO_CAMERA))
    assert inbound(call)["frameWidth"] == 3840 and inbound(call)["framesRendered"] >= 1
    assert (call.callee.summary.mos_lq or 0) > 4.0 and is_calm(call, 3)


@pytest.mark.long
def test_a_backlog_at_the_least_rate_goes_away() -> None:
    """Weak 3G, key frames after bursts of loss: the pacer must not stay behind and skip most pictures for ever."""
    call = run("poor_3g", 8, (EXACT, VIEWER))
    assert outbound(call)["framesSkipped"] < 0.1 * outbound(call)["framesCaptured"]
    assert outbound(call)["bytesSent"] * 8 / 8 < 200_000
