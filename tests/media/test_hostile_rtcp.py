"""Authentic RTCP of any content during a call: nothing raises, the voice goes on, and what is sent stays little."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from media.codecs.opus import OpusEncoder
from media.engine import MediaEngine
from media.parameters import AudioParameters, VideoParameters
from media.rtp.rtcp import ReceiverReport, SenderReport, parse_compound, serialize_compound
from media.simulation.voice import tone
from media.streams.audio_sender import AudioSender
from media.transport.srtp import PROFILES, SrtpKeys, SrtpSession

KEYS = SrtpKeys(PROFILES[0], bytes(range(28)), bytes(range(50, 78)))
AUDIO = AudioParameters(
    "0", 111, frozenset({111}), red_payload_type=63, rtx_payload_type=112, arrival_feedback=True, nack=True
)
VIDEO = VideoParameters("1", "VP8", 96, 96, 97, 97)
SEEDS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "rtcp"


def any_packet(rng: Random, ssrcs: list[int]) -> bytes:
    """One with a header that holds; in half of them our SSRCs stand where a source may stand."""
    body = bytearray(rng.randbytes(4 * rng.randrange(2, 20)))
    if rng.random() < 0.5:
        for place in (0, 4, 8, 24):
            body[place : place + 4] = rng.choice(ssrcs).to_bytes(4, "big")
    count = rng.choice((0, 1, 2, 4, 11, 15, 31))
    return bytes((0x80 | count, rng.randrange(200, 208))) + (len(body) // 4).to_bytes(2, "big") + bytes(body)


def call(hostile: Callable[[int], bytes | None]) -> tuple[MediaEngine, np.ndarray, int]:
    """Three seconds of a tone, beside what `hostile(tick)` gives -> (the engine, what it played, bytes that it sent)."""
    engine = MediaEngine(rng=Random(1), unix_time_offset=1e9)
    engine.configure_audio(AUDIO)
    engine.configure_video(VIDEO)
    engine.set_keys(KEYS, 100.0)
    peer = SrtpSession(KEYS.swapped())
    sender = AudioSender(OpusEncoder(), AUDIO, ssrc=7, rtx_ssrc=8, rng=Random(2))
    heard, sent, turns = [], 0, 0
    for tick in range(300):
        now = 100.0 + tick * 0.01
        if tick % 2 == 0:
            sound = tone(400, tick * 480, 960, 0.3)
            for data in sender.push(sound, now):
                engine.receive_packet(peer.protect(data), now)
            engine.push_audio(sound, now)
        if (data := hostile(tick)) is not None:
            engine.receive_packet(peer.protect_rtcp(data), now)
        while (due := engine.get_timer()) is not None and due <= now and turns < 5000:
            turns += 1
            engine.handle_timer(now)
            sent += sum(map(len, engine.packets_to_send(now)))
        sent += sum(map(len, engine.packets_to_send(now)))
        heard.append(engine.pull_audio(now).copy())
        while engine.next_event() is not None:
            pass
    engine.close(103.0)
    sender.close()
    assert turns < 5000, "a timer does not advance"
    return engine, np.concatenate(heard), sent


def check(heard: np.ndarray, sent: int) -> None:
    assert heard[24000:].astype(float).reshape(-1, 480).std(axis=1).min() > 3000
    assert sent < 3 * 110_000 / 8 + 20_000, "voice, feedback and what was sent again"


@pytest.mark.parametrize("seed", [1, 2])
def test_any_rtcp_of_the_peer(seed: int) -> None:
    rng = Random(seed)
    ours = MediaEngine(rng=Random(1))  # of the same seed: its SSRCs are those of the engine that is called
    ssrcs = [ours.ssrc, ours.video_ssrc, 7, 8, 0]
    _, heard, sent = call(lambda tick: b"".join(any_packet(rng, ssrcs) for _ in range(rng.randint(1, 3))))
    check(heard, sent)


def test_libwebrtc_s_fuzz_seeds_in_a_call() -> None:
    seeds = [p.read_bytes() for p in sorted(SEEDS.glob("*"))]
    if not seeds:
        pytest.skip("no vectors/rtcp: the corpora are not beside this checkout")
    _, heard, sent = call(
        lambda tick: seeds[tick % len(seeds)] if len(seeds[tick % len(seeds)]) >= 8 else None
    )
    check(heard, sent)


@pytest.mark.parametrize(
    "bad",
    [
        "81ca0003 00000007 0106 6162636465 66",  # a description without its null
        "81cd0003 00000007 00000000 000000",  # a NACK of half an entry, then what no length tells of
        "80cf0002 00000007 04000009",  # an extended report that runs over its end
        "81ce0001 00000007",  # feedback that is too short
        "8fce0005 00000007 00000000 52454d42 09000000 00000000",  # a REMB of more sources than it has
        "85c80002 00000007 00000000",  # a sender report that is too short
        "a0cb0001 00000009",  # padding that is longer than the packet
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_what_cannot_be_read_never_costs_what_stands_beside_it(bad: str, first: bool) -> None:
    engine = MediaEngine(rng=Random(1), unix_time_offset=1e9)
    engine.configure_audio(AUDIO)
    engine.configure_video(VIDEO)
    engine.set_keys(KEYS, 100.0)
    peer = SrtpSession(KEYS.swapped())
    sender = AudioSender(OpusEncoder(), AUDIO, ssrc=7, rtx_ssrc=8, rng=Random(2))
    for data in sender.push(tone(400, 0, 960, 0.3), 100.0):
        engine.receive_packet(peer.protect(data), 100.0)
    report = serialize_compound([SenderReport(7, 0x1111_2222_3333_4444, 0, 1, 100)])
    broken = bytes.fromhex(bad)
    broken += bytes(-len(broken) % 4)
    if first and 4 + 4 * int.from_bytes(broken[2:4], "big") != len(broken):
        pytest.skip("where it ends cannot be known")
    engine.receive_packet(peer.protect_rtcp(broken + report if first else report + broken), 100.1)
    engine.handle_timer(100.5)
    told = [
        block.last_sr
        for data in engine.packets_to_send(100.5)
        if data[1] in (200, 201)
        for packet in parse_compound(peer.unprotect_rtcp(data))
        if isinstance(packet, SenderReport | ReceiverReport)
        for block in packet.reports
    ]
    engine.close(101.0)
    sender.close()
    assert told == [0x2222_3333]
