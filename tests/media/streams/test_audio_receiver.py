"""The receiving half: payload types, sources, levels, reports."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.codecs.opus import OpusDecoder, OpusEncoder
from media.negotiation import AudioParameters
from media.rtp.packet import RtpPacket
from media.simulation.voice import tone
from media.streams.audio_receiver import AudioReceiver


@pytest.fixture
def receiver() -> Iterator[AudioReceiver]:
    stream = AudioReceiver(OpusDecoder(), AudioParameters("0", 111, frozenset({111})), ssrc=1)
    yield stream
    stream.close()


def talk(
    receiver: AudioReceiver, *, ssrc: int, count: int, now: float, sequence: int = 0, start: int = 0
) -> float:
    """`count` packets of a tone, pulled meanwhile; returns the time after."""
    encoder = OpusEncoder()
    for n in range(count):
        payload = encoder.encode(tone(300, n * 960, 960, 0.3))
        timestamp = (start + n * 960) & 0xFFFFFFFF
        receiver.receive(RtpPacket(111, (sequence + n) & 0xFFFF, timestamp, ssrc, payload), now)
        for _ in range(2):
            receiver.pull(now)
            now += 0.01
    return now


def test_sound_and_its_level(receiver: AudioReceiver) -> None:
    assert receiver.pull(0.0).tolist() == [0] * 480
    assert receiver.audio_level == 0.0
    talk(receiver, ssrc=7, count=100, now=10.0)
    # a sine at 0.3 of full scale
    assert receiver.audio_level == pytest.approx(0.3 / np.sqrt(2), rel=0.15)
    assert receiver.total_audio_energy == pytest.approx(0.3**2 / 2 * 1.9, rel=0.2)


def test_a_payload_type_that_was_not_negotiated_is_discarded(receiver: AudioReceiver) -> None:
    receiver.receive(RtpPacket(112, 0, 0, 7, b"x"), 0.0)
    assert receiver.packets_discarded == 1
    assert receiver.statistics is None and receiver.report(1.0) is None


def test_what_waited_for_us_is_no_jitter_of_the_network_and_comes_late_all_the_same(
    receiver: AudioReceiver,
) -> None:
    encoder = OpusEncoder()
    for n in range(100):
        came = 5.0 + 0.02 * n
        waited = 0.015 if n % 2 else 0.0
        packet = RtpPacket(111, n, n * 960, 7, encoder.encode(tone(300, n * 960, 960, 0.3)))
        receiver.receive(packet, came + waited, arrived=came)
    assert receiver.statistics is not None and receiver.statistics.jitter == pytest.approx(0.0, abs=1e-4)
    assert receiver.last_packet_received == pytest.approx(came)
    assert receiver.jitter_buffer.delay_manager.receive(n * 0.02, came + waited) == pytest.approx(0.015)


def test_an_empty_payload_is_counted_and_not_played(receiver: AudioReceiver) -> None:
    receiver.receive(RtpPacket(111, 0, 0, 7, b""), 0.0)
    assert receiver.statistics is not None and receiver.statistics.packets_received == 1
    assert receiver.jitter_buffer.counters.broken_packets == 0


def test_another_source_takes_over(receiver: AudioReceiver) -> None:
    now = talk(receiver, ssrc=7, count=100, now=10.0, start=0)
    concealed = receiver.jitter_buffer.counters.concealed_samples
    talk(receiver, ssrc=8, count=100, now=now, sequence=999, start=1 << 31)
    assert receiver.statistics is not None and receiver.statistics.ssrc == 8
    assert receiver.statistics.packets_received == 100
    assert receiver.statistics.packets_lost == 0
    assert receiver.audio_level > 0.15, "the new one is heard"
    assert receiver.jitter_buffer.counters.concealed_samples - concealed <= 0.2 * 48000


def test_a_bye_ends_the_reports_of_its_source_only(receiver: AudioReceiver) -> None:
    talk(receiver, ssrc=7, count=3, now=10.0)
    receiver.receive_bye(8)
    assert receiver.report(11.0) is not None
    receiver.receive_bye(7)
    assert receiver.ended and receiver.report(12.0) is None
    talk(receiver, ssrc=7, count=1, now=13.0, sequence=3)
    assert not receiver.ended, "it goes on after all"


def test_sender_reports_of_other_sources_are_ignored(receiver: AudioReceiver) -> None:
    talk(receiver, ssrc=7, count=3, now=10.0)
    receiver.receive_sender_report(8, 0x1122334455667788, 10.1)
    block = receiver.report(11.0)
    assert block is not None and block.last_sr == 0
    receiver.receive_sender_report(7, 0x1122334455667788, 10.1)
    block = receiver.report(11.1)
    assert block is not None and block.last_sr == 0x33445566


@given(
    st.lists(
        st.tuples(
            st.sampled_from((111, 111, 0)),
            st.integers(0, 65535),
            st.integers(0, 0xFFFFFFFF),
            st.integers(1, 3),
            st.binary(max_size=20),
        ),
        max_size=20,
    )
)
def test_any_packets(packets: list[tuple[int, int, int, int, bytes]]) -> None:
    receiver = AudioReceiver(OpusDecoder(), AudioParameters("0", 111, frozenset({111})), ssrc=1)
    for n, (payload_type, sequence, timestamp, ssrc, payload) in enumerate(packets):
        receiver.receive(RtpPacket(payload_type, sequence, timestamp, ssrc, payload), n * 0.01)
        assert len(receiver.pull(n * 0.01)) == 480
        receiver.report(n * 0.01)
    receiver.close()
