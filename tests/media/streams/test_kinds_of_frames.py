"""From microphone to speaker, sender and receiver of one stream with the real codecs, in virtual time.

Every codec and packet time; wraps, another source, outages, duplicates, pauses, DTX. A click is energy above 12 kHz,
where the sounds here have none, in a window of 2.5 ms: a step that is not in the sound.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media.codecs.audio import create_encoder
from media.parameters import AudioParameters
from media.rtp.packet import RtpPacket
from media.simulation.voice import generate_voice, tone
from media.streams.audio_sender import AudioSender

Samples = NDArray[np.int16]
RATE = 48000
OPUS = AudioParameters("0", 111, frozenset({111}), nack=True, rtx_payload_type=112)
PCMU = AudioParameters("0", 0, frozenset({0}), codec="PCMU")
PCMA = AudioParameters("0", 8, frozenset({8}), codec="PCMA")
G722 = AudioParameters("0", 9, frozenset({9}), codec="G722")


def straight(packet: RtpPacket, at: float) -> list[tuple[float, RtpPacket]]:
    return [(at + 0.02, packet)]


Line = Any  # conftest's; a conftest cannot be imported
MakeLine = Callable[..., Line]


def pitch(sound: Samples) -> NDArray[np.float64]:
    """The dominant frequency of every 100 ms."""
    pieces = sound[: len(sound) // 4800 * 4800].reshape(-1, 4800) * np.hanning(4800)
    return np.argmax(np.abs(np.fft.rfft(pieces, axis=1)), axis=1) * RATE / 4800


def levels(sound: Samples, window: int = 480) -> NDArray[np.float64]:
    return sound[: len(sound) // window * window].reshape(-1, window).astype(float).std(axis=1)


def clicks(sound: Samples) -> float:
    """The loudest 2.5 ms above 12 kHz, RMS."""
    fade = np.minimum(1.0, np.arange(len(sound)) / 480)  # a cut through a wave is no click of ours
    spectrum = np.fft.rfft(sound * fade * fade[::-1])
    spectrum[: int(12000 / RATE * len(sound))] = 0
    return float(levels(np.fft.irfft(spectrum, len(sound)), 120).max())


# -- codecs and packet times


@pytest.mark.parametrize(
    ("parameters", "packet_ms"),
    [(OPUS, ms) for ms in (10, 20, 40, 60)]
    + [(PCMU, ms) for ms in (10, 20, 30, 60)]
    + [(PCMA, 20), (G722, 10), (G722, 20), (G722, 50)],
)
def test_every_codec_and_packet_time(
    make_line: MakeLine, parameters: AudioParameters, packet_ms: int
) -> None:
    line = make_line(replace(parameters, packet_ms=packet_ms))
    heard = line.run(tone(400, 0, 3 * RATE, 0.3))
    assert line.sent == 3000 // packet_ms
    assert np.abs(pitch(heard[RATE // 2 :]) - 400).max() <= 10
    assert levels(heard[RATE // 2 :]).min() > 5000, "no hole: the tone has 6950"
    assert line.counters.concealed_samples <= packet_ms * 48
    assert line.counters.broken_packets == line.counters.late_packets == 0
    statistics = line.receiver.statistics
    assert statistics is not None
    # Packets come with the 20 ms of the microphone, so those of 10, 30 and 50 ms are not evenly spaced.
    assert statistics.jitter < (0.011 if packet_ms % 20 else 0.001), "in the clock of the codec"
    assert max(line.delays[-100:]) < 0.045
    assert line.asked == 0


@pytest.mark.parametrize("parameters", [PCMU, PCMA, G722, replace(OPUS, packet_ms=60, nack=False)])
def test_ten_percent_of_loss(make_line: MakeLine, parameters: AudioParameters) -> None:
    line, rng = make_line(parameters), Random(4)
    heard = line.run(tone(200, 0, 5 * RATE, 0.3), lambda p, at: straight(p, at) if rng.random() > 0.1 else [])
    assert np.mean(np.abs(pitch(heard[RATE // 2 :]) - 200) <= 20) > 0.9
    assert np.mean(levels(heard[RATE // 2 :]) > 2000) > 0.9, "one loss is filled, a run of them may fade"
    statistics = line.receiver.statistics
    assert statistics is not None
    lost = statistics.packets_lost * parameters.packet_ms * 48
    assert 0 < line.counters.concealed_samples <= lost + 2 * parameters.packet_ms * 48
    # With FEC the next packet is waited for.
    assert max(line.delays[-100:]) < (0.130 if parameters.codec == "opus" else 0.045)


def test_the_sender_changes_the_codec_in_the_middle(make_line: MakeLine) -> None:
    line = make_line(replace(OPUS, other_codecs=((0, "PCMU"), (9, "G722"))))
    for n, parameters in enumerate((OPUS, PCMU, G722, OPUS)):
        line.sender.close()
        line.sender = AudioSender(create_encoder(parameters), parameters, ssrc=7, rtx_ssrc=8, rng=Random(n))
        heard = line.run(tone(400, 0, 2 * RATE, 0.3))
        assert line.receiver.codec == parameters.codec
        assert np.abs(pitch(heard[RATE // 4 :]) - 400).max() <= 10, "after 250 ms at the latest"
    assert line.counters.concealed_samples <= 4 * 0.1 * RATE
    assert line.delays[-1] < 0.045


# -- numbers that wrap, sources that change


@pytest.mark.parametrize("parameters", [OPUS, PCMU])
@pytest.mark.parametrize("near", [1 << 16, 1 << 15])
def test_sequence_numbers_and_time_stamps_wrap(
    make_line: MakeLine, parameters: AudioParameters, near: int
) -> None:
    line = make_line(parameters)
    begin = line.sender.rtp.timestamp_offset
    offset = (near << 16) - 2 * parameters.clock_rate - begin

    def network(packet: RtpPacket, at: float) -> list[tuple[float, RtpPacket]]:
        packet.sequence_number = (near - 100 + line.sent - 1) & 0xFFFF
        packet.timestamp = (packet.timestamp + offset) & 0xFFFFFFFF
        return straight(packet, at)

    heard = line.run(tone(400, 0, 4 * RATE, 0.3), network)
    assert np.abs(pitch(heard[RATE // 2 :]) - 400).max() <= 10
    assert levels(heard[RATE // 2 :]).min() > 5000
    assert line.counters.concealed_samples <= 480
    statistics = line.receiver.statistics
    assert statistics is not None and statistics.packets_lost == line.asked == 0


@pytest.mark.parametrize("shift", [0, -RATE // 2, RATE, -(1 << 31)])
def test_another_source_in_the_middle_wherever_its_time_is(make_line: MakeLine, shift: int) -> None:
    line = make_line()
    line.run(tone(400, 0, 2 * RATE, 0.3))
    old = line.sender
    stray = RtpPacket.parse(old.push(tone(400, 0, 960, 0.3), line.now)[0])
    line.sender = line.another_sender(9)
    line.sender.rtp.timestamp_offset = (old.rtp.timestamp_offset + 2 * RATE + shift) & 0xFFFFFFFF

    def with_straggler(packet: RtpPacket, at: float) -> list[tuple[float, RtpPacket]]:
        late = [(at + 0.025, stray)] if line.sent == 101 else []
        return straight(packet, at) + late

    before = line.counters.concealed_samples
    heard = line.run(tone(700, 0, 2 * RATE, 0.3), with_straggler)
    old.close()
    assert np.abs(pitch(heard[RATE // 5 :]) - 700).max() <= 10, "heard after 200 ms at the latest"
    assert line.counters.concealed_samples - before <= 0.1 * RATE
    assert line.receiver.packets_discarded == 1, "what was still on its way does not bring the old one back"
    assert line.receiver.statistics is not None and line.receiver.statistics.packets_received == 99
    assert line.delays[-1] < 0.045


# -- the network and the sender come and go


def test_an_outage_of_two_seconds(make_line: MakeLine) -> None:
    line = make_line()
    line.run(tone(400, 0, 3 * RATE, 0.3))
    usual = clicks(line.run(tone(400, 0, RATE, 0.3)))
    gone = line.now + 2.0
    heard = line.run(tone(400, 0, 5 * RATE, 0.3), lambda p, at: straight(p, at) if at > gone else [])
    again = int(np.flatnonzero(levels(heard[2 * RATE :]) > 5000)[0])
    assert again <= 10, "loud again after 100 ms"
    assert levels(heard[2 * RATE + again * 480 :]).min() > 5000
    assert clicks(heard[2 * RATE - 4800 :]) < 10 * usual
    assert max(line.delays[-280:]) < 0.060 and line.delays[-1] < 0.045
    assert line.counters.concealment_events == 1
    assert line.counters.concealed_samples <= 2.06 * RATE


def test_everything_comes_three_times(make_line: MakeLine) -> None:
    line = make_line()
    heard = line.run(tone(400, 0, 3 * RATE, 0.3), lambda p, at: [(at + d, p) for d in (0.02, 0.02, 0.05)])
    assert levels(heard[RATE // 2 :]).min() > 5000
    assert line.counters.concealed_samples <= 480
    assert line.counters.duplicate_packets + line.counters.late_packets >= 290
    assert max(line.delays[50:]) < 0.045


@pytest.mark.parametrize(
    ("pause", "time_goes_on", "seconds"),
    [(0.3, True, 2), (5.0, True, 2)] + [(pause, False, 3) for pause in (0.3, 0.6, 1.0, 1.5, 2.5)],
)
def test_a_sender_that_stops_and_goes_on(
    make_line: MakeLine, pause: float, time_goes_on: bool, seconds: int
) -> None:
    """With time stamps that went on meanwhile, or stood still: as if everything came later from now on."""
    line = make_line()
    line.run(tone(400, 0, 3 * RATE, 0.3))
    sender, line.sender = line.sender, line.another_sender(99)
    line.run(np.zeros(int(pause * RATE), np.int16), lambda p, at: [])
    line.sender.close()
    line.sender = sender
    if time_goes_on:
        sender._media_time += int(pause * RATE)
    concealed = line.counters.concealed_samples
    heard = line.run(tone(400, 0, seconds * RATE, 0.3))
    assert np.abs(pitch(heard[4800:]) - 400).max() <= 10, "heard after 100 ms"
    assert levels(heard[4800:]).min() > 5000, "and with no hole: the tone has 6950"
    assert line.counters.concealed_samples - concealed <= 0.06 * RATE, "what has to be bridged anyway"
    assert line.counters.removed_samples_for_acceleration == 0, "there is nothing to be caught up with"
    assert line.receiver.statistics is not None and line.receiver.statistics.packets_lost == 0
    assert line.delays[-1] < 0.045, "the base is that of the packets after the pause"
    assert line.counters.jitter_buffer_delay / line.counters.jitter_buffer_emitted_count < 0.045
    assert line.counters.late_packets == 0


@pytest.mark.parametrize("pause", [0.02, 1.0])
@pytest.mark.parametrize(
    "back", [0.5, 2.5, *(pytest.param(back, marks=pytest.mark.long) for back in (1.5, 4.0))]
)
def test_a_sender_whose_time_goes_back(make_line: MakeLine, pause: float, back: float) -> None:
    """As of one that restarts with the same numbers, or sets its clock: soon heard again, not when it has caught up."""
    line = make_line()
    line.run(tone(400, 0, 3 * RATE, 0.3))
    sender, line.sender = line.sender, line.another_sender(99)
    line.run(np.zeros(int(pause * RATE), np.int16), lambda p, at: [])
    line.sender.close()
    line.sender = sender
    sender._media_time -= int(back * RATE)
    heard = line.run(tone(400, 0, 2 * RATE, 0.3))
    assert np.abs(pitch(heard[RATE // 2 :]) - 400).max() <= 10, "heard after 500 ms"
    assert levels(heard[RATE // 2 :]).min() > 5000, "and with no hole: the tone has 6950"
    assert line.delays[-1] < 0.100, "no more than the first of them make it, until they are forgotten"


# -- discontinuous transmission


def test_pauses_of_which_nothing_is_sent(make_line: MakeLine) -> None:
    rng = np.random.default_rng(2)
    voice = np.concatenate(
        [np.concatenate((generate_voice(n, 1.5), np.zeros(2 * RATE, np.int16))) for n in (1, 2)]
    )
    sound = (voice + rng.normal(0, 30, len(voice))).astype(np.int16)
    plain, line = make_line(), make_line(replace(OPUS, use_dtx=True))
    reference, heard = plain.run(sound), line.run(sound)
    assert line.sent < 0.72 * plain.sent
    assert line.counters.concealed_samples <= plain.counters.concealed_samples + 480, (
        "what was not sent is not lost"
    )
    assert line.asked == 0, "nor asked for"
    statistics = line.receiver.statistics
    assert statistics is not None and statistics.packets_lost == 0
    pauses = slice(int(2.2 * RATE), int(3.4 * RATE))
    assert 8 < levels(heard[pauses], 4800).min() <= levels(heard[pauses], 4800).max() < 60, "comfort noise"
    assert max(line.targets[100:]) <= max(plain.targets[100:]) + 0.005
    waits = [c.jitter_buffer_delay / c.jitter_buffer_emitted_count for c in (line.counters, plain.counters)]
    assert waits[0] < waits[1] + 0.010
    begin = slice(7 * RATE // 2, 4 * RATE)  # the next words begin where they were said
    ours, theirs = levels(heard[begin], 960), levels(reference[begin], 960)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
