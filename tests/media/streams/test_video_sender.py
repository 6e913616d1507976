"""The sending half of a video stream."""

from dataclasses import replace
from random import Random

import numpy as np

from media.congestion.video_rate import START_BPS
from media.negotiation import VideoParameters
from media.rtp.packet import RtpPacket
from media.streams.video_sender import MIN_KEY_FRAME_INTERVAL, EncodeRequest, VideoSender
from media.video_frame import VideoFrame

PARAMETERS = VideoParameters("1", "VP8", 96, 96, 97, 97)
PICTURE = np.zeros((180, 160), np.uint8)


def make(**changes: object) -> VideoSender:
    return VideoSender(replace(PARAMETERS, **changes), ssrc=1, rtx_ssrc=2, rng=Random(1))  # type: ignore[arg-type]


def encode(sender: VideoSender, now: float, size: int = 2000) -> EncodeRequest | None:
    """A picture through a codec that works at once."""
    sender.push(VideoFrame(PICTURE, now), now)
    request = sender.next_request()
    if request is not None:
        sender.receive_encoded(
            request, bytes((not request.key_frame,)) + bytes(size), request.key_frame, 0.004, now
        )
    return request


def sent(sender: VideoSender, until: float) -> list[RtpPacket]:
    out = []
    while (due := sender.get_timer()) is not None and due <= until:
        out += [RtpPacket.parse(p) for p in sender.packets_to_send(max(0.0, due), 1000 + due)]
    return out


def test_a_picture_becomes_packets() -> None:
    sender = make()
    request = encode(sender, 5.0)
    assert request is not None and request.key_frame and request.time == 0
    assert 0.8 * START_BPS < request.bitrate_bps < START_BPS, "the headers have their part of the rate"
    packets = sent(sender, 10)
    assert [p.marker for p in packets] == [False, True]
    assert packets[0].extensions[1] == b"1" and len(packets[0].extensions[2]) == 3
    assert len({p.timestamp for p in packets}) == 1
    second = encode(sender, 5.1)
    assert second is not None and second.time == 9000 and not second.key_frame


def test_one_picture_at_a_time_is_encoded() -> None:
    sender = make()
    for n in range(5):
        sender.push(VideoFrame(PICTURE, n / 30), n / 30)
    assert sender.next_request() is not None and sender.next_request() is None
    sender.push(VideoFrame(PICTURE, 0.2), 0.2)
    assert sender.next_request() is None and sender.frames_skipped == 5


def test_key_frames_on_demand_and_not_too_often() -> None:
    sender = make()
    encode(sender, 0.0)
    keys = 0
    for n in range(1, 301):
        sender.request_key_frame()
        request = encode(sender, n / 30, 100)
        assert request is not None
        keys += request.key_frame
        sent(sender, n / 30)
    assert 10 / MIN_KEY_FRAME_INTERVAL * 0.8 < keys <= 10 / MIN_KEY_FRAME_INTERVAL


def test_an_encoder_that_fails_is_asked_for_the_key_frame_again() -> None:
    sender = make()
    sender.push(VideoFrame(PICTURE, 0.0), 0.0)
    request = sender.next_request()
    assert request is not None
    sender.receive_encoded(request, None, False, 0.004, 0.0)
    again = encode(sender, 0.1)
    assert again is not None and again.key_frame and sender.frames_dropped_by_rate == 1


def test_pictures_are_skipped_while_the_pacer_is_behind() -> None:
    sender = make()
    for n in range(90):
        encode(sender, n / 30, 8000)
        sent(sender, n / 30)
    assert sender.frames_skipped > 60
    assert sender.pacer.queue_time < 1.0


def test_nacks_are_answered_by_rtx_or_by_the_packet_itself() -> None:
    for rtx, ssrc, payload_type in ((97, 2, 97), (None, 1, 96)):
        sender = make(send_rtx_payload_type=rtx)
        encode(sender, 0.0)
        first = sent(sender, 1.0)[0]
        sender.receive_nack([first.sequence_number, 60000], 1.0)
        (again,) = sent(sender, 2.0)
        assert (again.ssrc, again.payload_type) == (ssrc, payload_type)
        assert sender.packets_retransmitted == 1 and sender.nack_count == 1
        assert sender.packets_sent == 3, "with and without a stream of its own"


def test_retransmissions_say_which_section_they_belong_to() -> None:
    """However late the first one is: Firefox takes none of an SSRC that never said its MID."""
    sender = make()
    for n in range(200):
        encode(sender, n / 30, size=100)
    packets = sent(sender, 10.0)
    assert not any(1 in p.extensions for p in packets[100:]), "the peer knows by then"
    sender.receive_nack([packets[-1].sequence_number], 200 / 30)
    (copy,) = sent(sender, 10.0)
    assert (copy.ssrc, copy.extensions[1]) == (2, b"1")


def test_a_storm_of_nacks_does_not_grow_the_queue() -> None:
    sender = make()
    for n in range(60):
        encode(sender, n / 30, 1500)
        numbers = list(range(65536))
        sender.receive_nack(numbers, n / 30)
        sent(sender, n / 30)
    assert sender.bytes_retransmitted <= 0.25 * 60 * 1600 + 6000
    assert sender.pacer.queue_time < 1.0


def test_a_backlog_is_made_up_for_by_the_encoder() -> None:
    """A key frame of half a second: the encoder gets less until it is gone, and then all again."""
    sender = make()
    encode(sender, 0.0, START_BPS // 16)
    rates = []
    for n in range(1, 90):
        sent(sender, n / 30)
        sender.receive_remb(START_BPS, n / 30)  # else silence lowers the rate
        sender.push(VideoFrame(PICTURE, n / 30), n / 30)
        if (request := sender.next_request()) is not None:
            rates.append(request.bitrate_bps)
            size = request.bitrate_bps // 8 // 30
            sender.receive_encoded(request, b"\x01" + bytes(size), False, 0.004, n / 30)
    assert rates[0] < 0.9 * rates[-1] and rates[-1] > 0.8 * START_BPS and len(rates) > 70
