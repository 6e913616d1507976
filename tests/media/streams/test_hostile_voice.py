"""A peer that sends nonsense, authentic as it is: nothing raises, nothing grows, and after it speech is heard as before."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.parameters import AudioParameters
from media.rtp.packet import RtpPacket
from media.simulation.voice import tone

RATE = 48000
ALL = AudioParameters(
    "0",
    111,
    frozenset({111}),
    red_payload_type=63,
    rtx_payload_type=112,
    nack=True,
    arrival_feedback=True,
    other_codecs=((0, "PCMU"), (9, "G722")),
)
Line = Any  # conftest's; a conftest cannot be imported
MakeLine = Callable[..., Line]
Delivery = list[tuple[float, RtpPacket]]


def copy_of(packet: RtpPacket, **changes: Any) -> RtpPacket:
    fields = {
        n: getattr(packet, n) for n in ("payload_type", "sequence_number", "timestamp", "ssrc", "payload")
    }
    return RtpPacket(**(fields | changes))


def wild_time_stamps(packet: RtpPacket, rng: Random) -> RtpPacket:
    return copy_of(packet, timestamp=rng.getrandbits(32))


def near_time_stamps(packet: RtpPacket, rng: Random) -> RtpPacket:
    """Within what is still taken for the same time line: up to 2 s away."""
    return copy_of(packet, timestamp=(packet.timestamp + rng.randint(-96000, 96000)) & 0xFFFFFFFF)


def jumping_numbers(packet: RtpPacket, rng: Random) -> RtpPacket:
    step = rng.choice((65535, 32768, 32767, rng.getrandbits(16)))
    return copy_of(packet, sequence_number=(packet.sequence_number + step) & 0xFFFF)


def other_sources(packet: RtpPacket, rng: Random) -> RtpPacket:
    return copy_of(packet, ssrc=rng.getrandbits(32))


def any_red(packet: RtpPacket, rng: Random) -> RtpPacket:
    body = rng.randbytes(rng.randrange(60))
    if rng.random() < 0.5:  # headers that hold, with frames of this codec
        offset, length = rng.randrange(1 << 14), len(packet.payload)
        head = (1 << 31 | 111 << 24 | offset << 10 | length).to_bytes(4, "big") + b"\x6f"
        body = head + packet.payload + packet.payload
    return copy_of(packet, payload_type=63, payload=body)


def any_rtx(packet: RtpPacket, rng: Random) -> RtpPacket:
    body = rng.randbytes(rng.randrange(60))
    if rng.random() < 0.5:
        body = rng.randbytes(2) + packet.payload
    timestamp = rng.choice(
        (packet.timestamp, packet.timestamp + 960 * rng.randrange(100), rng.getrandbits(32))
    )
    return copy_of(packet, payload_type=112, payload=body, timestamp=timestamp & 0xFFFFFFFF)


def any_payload(packet: RtpPacket, rng: Random) -> RtpPacket:
    return copy_of(packet, payload=rng.randbytes(rng.randrange(1300)))


def other_codecs(packet: RtpPacket, rng: Random) -> RtpPacket:
    return copy_of(packet, payload_type=rng.choice((0, 9, 8, 111)), payload=rng.randbytes(rng.randrange(200)))


ATTACKS = (
    wild_time_stamps,
    near_time_stamps,
    jumping_numbers,
    other_sources,
    any_red,
    any_rtx,
    any_payload,
    other_codecs,
)


def everything(packet: RtpPacket, rng: Random) -> RtpPacket:
    for attack in rng.sample(ATTACKS, rng.randint(1, 3)):
        packet = attack(packet, rng)
    return packet


@pytest.mark.parametrize(
    ("attack", "beside_speech"),
    [
        pytest.param(attack, True, marks=[pytest.mark.long] * (attack.__name__ == "jumping_numbers"))
        for attack in (*ATTACKS, everything)
    ]
    + [(attack, False) for attack in (wild_time_stamps, near_time_stamps, everything)],
)
def test_after_an_attack_speech_is_heard_within_a_second(
    make_line: MakeLine, attack: Callable[[RtpPacket, Random], RtpPacket], beside_speech: bool
) -> None:
    line, rng = make_line(ALL), Random(6)

    def network(packet: RtpPacket, at: float) -> Delivery:
        hostile = [(at + rng.uniform(0, 0.02), attack(packet, rng)) for _ in range(3)]
        return hostile + [(at + 0.02, packet)] * beside_speech

    line.run(tone(400, 0, RATE, 0.3))
    line.run(tone(400, 0, RATE * 3 // 2, 0.3), network)
    # What came up to 2 s early or late on the same time line is jitter, as far as anybody can tell: one second to be
    # heard again, another one until the delay is as usual.
    line.run(tone(400, 0, (2 if attack is near_time_stamps else 1) * RATE, 0.3))
    counters = line.counters
    waited, count = counters.jitter_buffer_delay, counters.jitter_buffer_emitted_count
    heard = line.run(tone(400, 0, RATE, 0.3)).astype(float)
    pieces = heard.reshape(-1, 4800) * np.hanning(4800)
    pitch = np.argmax(np.abs(np.fft.rfft(pieces, axis=1)), axis=1) * RATE / 4800
    assert np.abs(pitch - 400).max() <= 10
    assert heard.reshape(-1, 480).std(axis=1).min() > 3000, "no hole"
    assert (counters.jitter_buffer_delay - waited) / (counters.jitter_buffer_emitted_count - count) < 0.090
    assert line.receiver.statistics.packets_lost < 1 << 23


@pytest.mark.long
def test_no_packet_makes_anything_grow(make_line: MakeLine) -> None:
    """2,400 packets of every kind: what is held after them is what was held after the first 600.

    But for the records of the last seconds, which were not full yet, and what histograms keep between two packets.
    """
    line, rng = make_line(ALL), Random(7)

    def network(packet: RtpPacket, at: float) -> Delivery:
        return [(at + rng.uniform(0, 0.02), everything(packet, rng)) for _ in range(12)]

    sound = tone(400, 0, RATE, 0.3)
    line.run(sound, network)
    tracemalloc.start()
    line.run(sound, network)
    before, _ = tracemalloc.get_traced_memory()
    line.run(sound, network)
    line.run(sound, network)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after < before + 250_000 and peak < before + 600_000


packets = st.builds(
    RtpPacket,
    st.sampled_from((111, 63, 112, 0, 9, 8)),
    st.integers(0, 65535),
    st.integers(0, 0xFFFFFFFF) | st.integers(0, 200).map(lambda n: n * 480),
    st.sampled_from((7, 7, 7, 8)),
    st.binary(max_size=40),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(packets, st.floats(0, 0.05)), max_size=25))
def test_any_packets_of_any_kind(make_line: MakeLine, sequence: list[tuple[RtpPacket, float]]) -> None:
    line = make_line(ALL)
    receiver, now = line.receiver, 100.0
    for packet, pause in sequence:
        receiver.receive(packet, now)
        assert len(receiver.pull(now)) == 480
        receiver.feedback_to_send(now)
        receiver.report(now)
        now += pause
    due = receiver.get_timer()
    assert due is None or due < now + 1
    line.close()


def test_libwebrtc_s_fuzz_seeds_as_packets_of_the_stream(make_line: MakeLine) -> None:
    folder = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "rtp"
    seeds = [p.read_bytes() for p in sorted(folder.glob("*"))]
    if not seeds:
        pytest.skip("no vectors/rtp: the corpora are not beside this checkout")
    line = make_line(ALL)
    line.run(tone(400, 0, RATE // 2, 0.3))
    for n, seed in enumerate(seeds):
        for payload_type in (111, 63, 112, 0, 9):
            packet = RtpPacket(payload_type, n, n * 960, 7, seed)
            line.receiver.receive(packet, line.now)
            line.receiver.pull(line.now)
    heard = line.run(tone(400, 0, 2 * RATE, 0.3)).astype(float)
    assert heard[RATE:].reshape(-1, 480).std(axis=1).min() > 3000
