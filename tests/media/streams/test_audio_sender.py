"""The sending half: numbering, MID, and what protects the voice where the far end reports its loss only."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from media.codecs.audio import create_encoder
from media.negotiation import AudioParameters
from media.rtp.packet import RtpPacket
from media.rtp.red import parse
from media.rtp.rtcp import ReportBlock
from media.rtp.sender import ntp_time
from media.streams.audio_sender import MAX_EXPECTED_LOSS_PERCENT, MID_PACKETS, AudioSender

FRAME = np.zeros(960, np.int16)
RED = 63


class FakeEncoder:
    def __init__(self) -> None:
        self.bitrate_bps = 32000
        self.expected_loss: list[int] = []
        self.closed = False

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        return b"frame of " + str(len(samples)).encode()

    def set_expected_loss(self, percent: int) -> None:
        self.expected_loss.append(percent)

    def set_bitrate(self, bitrate_bps: int) -> None:
        self.bitrate_bps = bitrate_bps

    def set_hurried(self, hurried: bool) -> None:
        self.hurried = hurried

    def close(self) -> None:
        self.closed = True


def sender(
    *, fec: bool = True, mid_extension: int | None = 4, red: int | None = None
) -> tuple[AudioSender, FakeEncoder]:
    encoder = FakeEncoder()
    parameters = AudioParameters(
        "0", 111, frozenset({111}), mid_extension=mid_extension, use_inband_fec=fec, red_payload_type=red
    )
    stream = AudioSender(encoder, parameters, ssrc=7, rtx_ssrc=8, rng=Random(1))
    return stream, encoder


def report(stream: AudioSender, lost: float) -> None:
    stream.receive_report(ReportBlock(7, round(lost * 256), 0, 0, 0, 0, 0), 1000.0)


def test_packets() -> None:
    stream, _ = sender()
    packets = [RtpPacket.parse(*stream.push(FRAME, n * 0.02)) for n in range(3)]
    assert [p.marker for p in packets] == [True, False, False], "the first of a talkspurt (RFC 3551, 4.1)"
    assert {p.payload for p in packets} == {b"frame of 960"}
    assert [(p.timestamp - packets[0].timestamp) & 0xFFFFFFFF for p in packets] == [0, 960, 1920]
    assert {(p.ssrc, p.payload_type) for p in packets} == {(7, 111)}
    assert stream.total_samples_captured == 3 * 960


def test_retransmissions_say_which_section_they_belong_to() -> None:
    """However late the first one is: Firefox takes none of an SSRC that never said its MID."""
    parameters = AudioParameters("0", 111, frozenset({111}), mid_extension=4, nack=True, rtx_payload_type=112)
    stream = AudioSender(FakeEncoder(), parameters, ssrc=7, rtx_ssrc=8, rng=Random(1))
    packets = [RtpPacket.parse(*stream.push(FRAME, n * 0.02)) for n in range(200)]
    assert not packets[-1].extensions, "the peer knows by then"
    copy = RtpPacket.parse(*stream.receive_nack([packets[-1].sequence_number], 4.0))
    assert (copy.ssrc, copy.extensions) == (8, {4: b"0"})


def test_what_is_left_out_is_a_gap_of_time_and_not_of_numbers() -> None:
    stream, _ = sender()
    packets = [RtpPacket.parse(*stream.push(FRAME, 0.0))]
    stream.push(FRAME[:480], 0.02)
    stream.skip(960)
    packets.append(RtpPacket.parse(*stream.push(FRAME, 0.05)))
    first, second = packets
    assert (second.sequence_number - first.sequence_number) & 0xFFFF == 1
    assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 960 + 480 + 960


@pytest.mark.parametrize("piece", [480, 960])
@pytest.mark.parametrize(("codec", "payload_type", "rate"), [("opus", 111, 48000), ("PCMU", 0, 8000)])
def test_time_goes_on_while_the_direction_is_stopped(
    piece: int, codec: str, payload_type: int, rate: int
) -> None:
    """So that what comes after is no later than its time stamp says, and sender reports stay true."""
    parameters = AudioParameters("0", payload_type, frozenset({payload_type}), codec=codec)
    stream = AudioSender(create_encoder(parameters), parameters, ssrc=7, rtx_ssrc=8, rng=Random(1))

    def say(begin: float, end: float) -> list[RtpPacket]:
        pieces = np.arange(begin, end - 1e-6, piece / 48000)
        return [RtpPacket.parse(p) for at in pieces for p in stream.push(FRAME[:piece], float(at))]

    stopped = replace(parameters, send=False)
    stream.configure(stopped)
    stream.configure(parameters)
    packets = say(3.0, 3.11)  # half a packet may be left over; it is never said
    before = stream.rtp.sender_report((), 4.0, 4.0).rtp_time
    stream.configure(stopped)
    stream.configure(stopped)
    stream.configure(parameters)
    packets += say(5.0, 5.1)
    stamps = [(p.timestamp - packets[0].timestamp) & 0xFFFFFFFF for p in packets]
    wanted = [n * 0.02 for n in range(len(packets) - 5)] + [2.0 + n * 0.02 for n in range(5)]
    assert stamps == [round(at * rate) for at in wanted]
    assert [p.marker for p in packets] == [n in (0, len(packets) - 5) for n in range(len(packets))]
    after = stream.rtp.sender_report((), 6.0, 6.0).rtp_time
    assert (after - before) & 0xFFFFFFFF == 2 * rate
    stream.close()


def test_the_mid_travels_in_the_first_packets_only() -> None:
    stream, _ = sender()
    packets = [RtpPacket.parse(*stream.push(FRAME, n * 0.02)) for n in range(MID_PACKETS + 5)]
    assert [p.extensions for p in packets] == [{4: b"0"}] * MID_PACKETS + [{}] * 5


def test_no_mid_where_it_was_not_negotiated() -> None:
    stream, _ = sender(mid_extension=None)
    assert RtpPacket.parse(*stream.push(FRAME, 0.0)).extensions == {}


def test_fec_goes_on_with_loss_and_off_without() -> None:
    stream, encoder = sender()
    report(stream, 0.0)
    assert encoder.expected_loss[-1] == 0
    report(stream, 0.1)
    assert encoder.expected_loss[-1] > 0
    for _ in range(10):
        report(stream, 0.1)
    assert encoder.expected_loss[-1] == 10
    reports = 0
    while encoder.expected_loss[-1]:
        report(stream, 0.0)
        reports += 1
        assert reports < 200
    assert reports > 10, "one good report says little"
    assert stream.reported_loss < 0.005


def test_one_report_of_heavy_loss_is_enough() -> None:
    stream, encoder = sender()
    report(stream, 0.3)
    assert encoder.expected_loss[-1] >= 15
    for _ in range(20):
        report(stream, 0.9)
    assert encoder.expected_loss[-1] == MAX_EXPECTED_LOSS_PERCENT


def test_no_fec_where_it_was_not_negotiated() -> None:
    stream, encoder = sender(fec=False)
    report(stream, 0.5)
    assert encoder.expected_loss == []
    assert stream.reported_loss > 0.2


def copies(stream: AudioSender) -> int:
    packet = RtpPacket.parse(*stream.push(FRAME, 0.0))
    return len(parse(packet.payload)) - 1 if packet.payload_type == RED else 0


def test_copies_follow_the_reported_loss_where_red_is_understood() -> None:
    stream, encoder = sender(red=RED)
    found = []
    for lost in (0.0, 0.03, 0.2):
        for _ in range(4):
            report(stream, lost)
            stream.push(FRAME, 0.0)
        found.append(copies(stream))
    assert found == [0, 1, 2]
    assert set(encoder.expected_loss) == {0}, "in-band FEC would be a copy of what is there already"
    for _ in range(60):
        report(stream, 0.0)
    assert copies(stream) == 0


def test_no_copies_while_the_path_is_full() -> None:
    stream, encoder = sender(red=RED)
    stream.set_path_round_trip_time(0.05)
    for now, round_trip in ((1005.0, 0.4), (1010.0, 0.4)):
        told = ntp_time(now - round_trip) >> 16 & 0xFFFFFFFF
        stream.receive_report(ReportBlock(7, 51, 0, 0, 0, told, 0), now)
        stream.push(FRAME, 0.0)
    assert copies(stream) == 0
    assert encoder.bitrate_bps < 32000


def test_close_frees_the_encoder() -> None:
    stream, encoder = sender()
    stream.close()
    assert encoder.closed
