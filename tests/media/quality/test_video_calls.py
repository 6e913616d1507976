"""Calls with video in virtual time, judged from outside: by the number in the picture, by flash and by beep."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest

from media.codecs.video import make_decoder, make_encoder
from media.engine import MediaEngine
from media.negotiation import AudioParameters, VideoParameters
from media.quality.lip_sync import FlashFinder, LipSync, compare, find_beeps
from media.quality.video import VideoScore, VideoScorer
from media.simulation.link import Link, LinkParameters
from media.simulation.picture import Pattern, beeps, is_flash
from media.transport.srtp import PROFILES, SrtpKeys
from media.video_frame import VideoFrame

RATE, FPS = 48_000, 15
PATTERN = Pattern(160, 120)
AUDIO = AudioParameters(mid="0", send_payload_type=111, receive_payload_types=frozenset({111}))
VIDEO = VideoParameters(
    mid="1", codec="VP8", send_payload_type=96, receive_payload_type=96,
    send_rtx_payload_type=97, receive_rtx_payload_type=97,
)  # fmt: skip


def sent_picture(number: int) -> np.ndarray:
    return PATTERN.picture(number, is_flash(number, FPS))


@dataclass
class Call:
    """What the callee saw and heard. `scorer` and `finder` are told of every picture shown."""

    scorer: VideoScorer
    finder: FlashFinder = field(default_factory=lambda: FlashFinder(FPS))
    captured: dict[int, float] = field(default_factory=dict)
    heard: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0
    stats: dict[str, dict[str, object]] = field(default_factory=dict)

    def score(self) -> VideoScore:
        return self.scorer.score(self.captured, end=self.seconds)

    def lip_sync(self, after: float = 0.0) -> LipSync:
        """The card played sample n at n / 48000 s."""
        onsets = [at for at in self.finder.onsets if at >= after]
        return compare(onsets, find_beeps(np.concatenate(self.heard)))


def call(
    seconds: float,
    link: LinkParameters,
    *,
    microphone_ppm: float = 0.0,
    show_late: Callable[[float], float] = lambda now: 0.0,
    camera_off: Callable[[float], bool] = lambda now: False,
) -> Call:
    """Flash and beep from a caller to a callee. The beep's second is real time, whatever the microphone counts.

    `show_late(now)`: a fault of the screen, seconds. `camera_off(now)`: no pictures are taken.
    """
    rng = Random(1)
    material = rng.randbytes(2 * (PROFILES[0].key_length + PROFILES[0].salt_length))
    keys = SrtpKeys(PROFILES[0], material[: len(material) // 2], material[len(material) // 2 :])
    engines = [MediaEngine(rng=Random(n), unix_time_offset=1.7e9) for n in (2, 3)]
    for engine, own in zip(engines, (keys, keys.swapped()), strict=True):
        engine.configure_audio(AUDIO)
        engine.configure_video(VIDEO)
        engine.set_keys(own, 0.0)
    caller, callee = engines
    links = [Link(link, Random(4)), Link(LinkParameters(delay_ms=20), Random(5))]
    encoder, decoder = make_encoder("VP8"), make_decoder("VP8")
    result = Call(VideoScorer(sent_picture, ssim_every=0), seconds=seconds)
    card = RATE * (1 + microphone_ppm * 1e-6)  # samples a real second
    agenda = [(960 / card, 0), (0.005, 1), (0.0, 2)]
    frames = pictures = played = 0
    while True:
        now = min([agenda[0][0]] + [t for part in (*links, *engines) if (t := part.get_timer()) is not None])
        if now > seconds:
            break
        for which, engine in ((0, callee), (1, caller)):
            for at, data in links[which].receive(now):
                engine.receive_packet(data, at)
        for engine in engines:
            if (due := engine.get_timer()) is not None and due <= now:
                engine.handle_timer(now)
        while agenda[0][0] <= now:
            _, what = heapq.heappop(agenda)
            if what == 0:  # the microphone
                first = round(frames * 960 * RATE / card)
                caller.push_audio(beeps(first, 960), now)
                frames += 1
                heapq.heappush(agenda, ((frames + 1) * 960 / card, 0))
            elif what == 1:  # the speaker
                result.heard.append(callee.pull_audio(now).copy())
                played += 1
                heapq.heappush(agenda, (0.005 + played / 100, 1))
            else:  # the camera
                taken = pictures / FPS
                if not camera_off(now):
                    result.captured[pictures] = taken
                    caller.push_video(VideoFrame(sent_picture(pictures), taken), now)
                pictures += 1
                heapq.heappush(agenda, (pictures / FPS, 2))
        while (encode := caller.next_encode_request()) is not None:
            made = encoder.encode(
                encode.frame.data,
                time=encode.time,
                key_frame=encode.key_frame,
                bitrate_bps=encode.bitrate_bps,
            )
            sender = caller.video_sender
            assert sender is not None
            sender.receive_encoded(
                encode, None if made is None else made.data, made is not None and made.key_frame, 0.004, now
            )
        while (decode := callee.next_decode_request()) is not None:
            receiver = callee.video_receiver
            assert receiver is not None
            receiver.receive_decoded(decode, decoder.decode(decode.frame.data), 0.002, now)
        for shown in callee.pictures_to_show(now):
            late = show_late(now)
            if late < 10:
                result.scorer.add(shown, now + late)
                result.finder.add(shown, now + late)
        for which, engine in ((0, caller), (1, callee)):
            for data in engine.packets_to_send(now):
                links[which].send(data, now)
    result.stats = {k: dict(v) for k, v in callee.get_stats(seconds).items()}
    for engine in engines:
        engine.close(seconds)
    encoder.close()
    decoder.close()
    return result


def inbound(done: Call) -> dict[str, object]:
    return next(s for s in done.stats.values() if s["type"] == "inbound-rtp" and s.get("kind") == "video")


@pytest.mark.long
def test_lips_and_voice_stay_together_for_a_minute_with_jitter_and_drift() -> None:
    done = call(60.0, LinkParameters(delay_ms=50, jitter_ms=100), microphone_ppm=200)
    found = done.lip_sync(after=3.0)
    assert found.pairs >= 55
    assert found.lowest is not None and found.highest is not None
    assert found.lowest >= -0.040 and found.highest <= 0.040
    assert abs(float(inbound(done)["avOffset"]) - found.offsets[-1]) < 0.02  # type: ignore[arg-type]


def test_on_a_clean_network_all_arrives() -> None:
    done = call(12.0, LinkParameters(delay_ms=30))
    result = done.score()
    assert result.delivered_share is not None and result.delivered_share > 0.98
    assert (result.freezes, result.unreadable, result.repeated) == (0, 0, 0)
    assert result.delay_median_ms is not None and 30 <= result.delay_median_ms < 80
    assert result.psnr_db is not None and result.psnr_db > 40
    assert inbound(done)["freezeCount"] == 0


@pytest.mark.long
def test_a_picture_that_is_shown_late_is_measured() -> None:
    """The engine cannot know what a screen does; flash and beep do."""
    good = call(10.0, LinkParameters(delay_ms=30)).lip_sync(after=3)
    late = call(10.0, LinkParameters(delay_ms=30), show_late=lambda now: 0.120).lip_sync(after=3)
    assert good.median is not None and late.median is not None
    assert late.median - good.median == pytest.approx(0.120, abs=0.005), "the sound is ahead: positive"


@pytest.mark.long
def test_freezes_of_a_screen_that_stops_are_reported_right() -> None:
    done = call(
        12.0,
        LinkParameters(delay_ms=30),
        show_late=lambda now: 99.0 if 4.0 < now < 4.8 or 8.0 < now < 9.5 else 0.0,
    )
    result = done.score()
    assert result.freezes == 2
    assert result.frozen_seconds == pytest.approx(2.3, abs=0.15)
    assert result.longest_gap_ms == pytest.approx(1500, abs=80)
    assert inbound(done)["freezeCount"] == 0, "the engine did show them"


@pytest.mark.long
def test_lost_packets_are_repaired_before_anybody_sees_it() -> None:
    done = call(20.0, LinkParameters(delay_ms=20, loss=0.02))
    result = done.score()
    assert result.delivered_share is not None and result.delivered_share > 0.97
    assert result.freezes == 0
    assert int(str(inbound(done)["nackCount"])) > 0


@pytest.mark.long
def test_a_camera_that_stalls_is_a_freeze_in_both_counts() -> None:
    done = call(12.0, LinkParameters(delay_ms=30), camera_off=lambda now: 5.0 <= now < 7.0)
    result = done.score()
    assert result.freezes == 1 == inbound(done)["freezeCount"]
    assert result.frozen_seconds == pytest.approx(2.0, abs=0.1)
    assert result.delivered_share is not None and result.delivered_share > 0.98
