"""The receiving half of a video stream: repair, key frames, and every way in which a peer or a decoder may fail."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.negotiation import VideoParameters
from media.payload import vp8
from media.rtp import feedback
from media.rtp.packet import RtpPacket
from media.rtp.retransmission import to_rtx
from media.rtp.rtcp import PSFB, RTPFB
from media.streams.video_receiver import (
    MAX_DECODING,
    PLI_GIVES_UP,
    PLI_INTERVAL,
    REPAIR_DEADLINE,
    DecodeRequest,
    VideoReceiver,
)

PARAMETERS = VideoParameters("1", "VP8", 96, 96, 97, 97)
PICTURE = np.zeros((180, 160), np.uint8)
KEY, DELTA = b"\x00", b"\x01"


class Stream:
    """A sender of frames of `size` bytes and the receiver, with its feedback counted."""

    def __init__(self, **changes: object) -> None:
        parameters = replace(PARAMETERS, **changes)  # type: ignore[arg-type]
        self.receiver = VideoReceiver(parameters, ssrc=1)
        self.number = self.frames = 0
        self.now = 0.0
        self.plis: list[float] = []
        self.nacks: list[int] = []
        self.timer_calls = 0
        self.waiting: list[DecodeRequest] = []

    def packets(self, key: bool = False, size: int = 2000, ssrc: int = 7) -> list[RtpPacket]:
        payloads = vp8.packetize((KEY if key else DELTA) + bytes(size), self.frames)
        made = [
            RtpPacket(
                96, (self.number + i) & 0xFFFF, self.frames * 3000, ssrc, p, marker=i == len(payloads) - 1
            )
            for i, p in enumerate(payloads)
        ]
        self.number += len(made)
        self.frames += 1
        return made

    def receive(self, packets: list[RtpPacket]) -> None:
        for packet in packets:
            self.receiver.receive(packet, self.now)
        self.drain()

    def drain(self) -> None:
        for message in self.receiver.feedback_to_send(self.now):
            if message.packet_type == PSFB and message.format == feedback.PLI_FORMAT:
                self.plis.append(self.now)
            elif message.packet_type == RTPFB:
                self.nacks += feedback.nacked(message)
        while (request := self.receiver.next_request()) is not None:
            self.waiting.append(request)
        self.receiver.display.pictures_to_show(self.now)

    def decode(self, *, fails: bool = False) -> None:
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.receiver.receive_decoded(request, None if fails else [PICTURE], 0.002, self.now)
        self.drain()

    def wait(self, seconds: float) -> None:
        """Driven by the timer alone."""
        until = self.now + seconds
        while (due := self.receiver.get_timer()) is not None and due < until:
            self.now = max(self.now, due)
            self.receiver.handle_timer(self.now)
            self.drain()
            self.timer_calls += 1
            assert self.timer_calls < 10_000, f"a timer does not advance at {self.now}"
        self.now = until

    def play(self, count: int, *, key: bool = False, decode: bool = True) -> None:
        """Frames at 30 fps."""
        for _ in range(count):
            self.receive(self.packets(key))
            if decode:
                self.decode()
            self.wait(1 / 30)

    @property
    def shown(self) -> int:
        return self.receiver.display.frames_rendered


def test_frames_are_decoded_and_shown() -> None:
    stream = Stream()
    stream.play(1, key=True)
    stream.play(30)
    assert stream.shown == 31 and stream.plis == [] == stream.nacks
    counters = stream.receiver.counters
    assert (counters.frames_received, counters.frames_decoded, counters.key_frames_decoded) == (31, 31, 1)
    assert counters.frame_size == (160, 120) and counters.total_decode_time == pytest.approx(31 * 0.002)


@pytest.mark.parametrize("rtx", [True, False])
def test_a_lost_packet_is_asked_for_and_repaired(rtx: bool) -> None:
    stream = Stream()
    stream.play(1, key=True)
    lost, *rest = stream.packets()
    stream.receive(rest)
    assert stream.nacks == [lost.sequence_number] and stream.waiting == []
    stream.now += 0.06
    stream.receive([to_rtx(lost, payload_type=97, ssrc=8, sequence_number=5) if rtx else lost])
    assert len(stream.waiting) == 1 and stream.plis == []
    assert stream.receiver.counters.retransmitted_packets_received == int(rtx)


def test_what_is_not_repaired_in_time_is_given_up_for_a_key_frame() -> None:
    stream = Stream()
    stream.play(3, key=True)
    lost_at = stream.now
    stream.receive(stream.packets()[1:])
    stream.play(30)
    assert stream.plis[0] == pytest.approx(lost_at + REPAIR_DEADLINE, abs=0.001)
    assert all(b - a >= PLI_INTERVAL - 1e-9 for a, b in zip(stream.plis, stream.plis[1:], strict=False))
    before = stream.shown
    stream.play(1, key=True)
    stream.play(10)
    assert stream.shown == before + 11 and len(stream.plis) <= 4


def test_waiting_with_progress_is_no_stall() -> None:
    """5 % loss, repaired after 60 ms: something waits almost always, and nothing is given up."""
    stream = Stream()
    stream.play(1, key=True)
    late: list[tuple[float, RtpPacket]] = []
    for n in range(300):
        arriving = stream.packets()
        if n % 2 == 0:
            late.append((stream.now + 0.06, arriving.pop(0)))
        while late and late[0][0] <= stream.now:
            stream.receive([late.pop(0)[1]])
        stream.receive(arriving)
        stream.decode()
        stream.wait(1 / 30)
    assert stream.plis == [] and stream.receiver.display.freeze_count == 0 and stream.shown > 290


def test_a_peer_that_never_sends_a_key_frame_is_asked_at_a_bounded_rate() -> None:
    stream = Stream()
    stream.play(300)
    assert 10 / PLI_INTERVAL * 0.6 < len(stream.plis) <= 10 / PLI_INTERVAL + 1
    assert stream.shown == 0 and stream.timer_calls < 600
    stream.wait(600)
    assert stream.plis[-1] < 10 + PLI_GIVES_UP + 1.5, "and left alone when it has stopped"
    assert stream.timer_calls < 620


def test_the_first_key_frame_is_not_asked_for_while_it_arrives() -> None:
    stream = Stream()
    packets = stream.packets(True, 100_000)
    for packet in packets:  # 4k: takes its time
        stream.receive([packet])
        stream.wait(0.02)
    stream.decode()
    stream.wait(0.1)
    assert stream.plis == [] and stream.shown == 1


def test_a_key_frame_that_stops_half_way_is_asked_for_again() -> None:
    stream = Stream()
    stream.receive(stream.packets(True)[:1])
    stream.wait(3.0)
    assert 1 <= len(stream.plis) <= 3


def test_a_decoder_error_asks_for_a_key_frame_once_and_keeps_the_last_good_picture() -> None:
    stream = Stream()
    stream.play(10, key=True)
    before = stream.shown
    for _ in range(3):
        stream.receive(stream.packets())
    stream.decode(fails=True)
    assert len(stream.plis) == 1 and stream.receiver.counters.decode_errors == 3
    stream.play(3)
    assert stream.shown == before
    stream.play(1, key=True)
    stream.play(5)
    stream.wait(0.5)
    assert stream.shown == before + 6 and len(stream.plis) <= 2


def test_an_error_of_old_frames_does_not_lose_the_key_frame_behind_them() -> None:
    stream = Stream()
    stream.play(1, key=True)
    stream.receive(stream.packets())
    stream.receive(stream.packets(True))
    old, new = stream.waiting
    stream.receiver.receive_decoded(old, None, 0.0, stream.now)
    stream.receiver.receive_decoded(new, [PICTURE], 0.0, stream.now)
    stream.play(5)
    assert stream.plis == [] and stream.shown == 7


def test_a_decoder_that_always_fails_costs_a_bounded_number_of_requests() -> None:
    stream = Stream()
    for _ in range(300):
        stream.receive(stream.packets(key=True))
        stream.decode(fails=True)
        stream.wait(1 / 30)
    assert len(stream.plis) <= 10 / PLI_INTERVAL + 1 and stream.timer_calls < 600


@pytest.mark.parametrize("keys_only", [True, False])
def test_a_decoder_that_never_answers_bounds_what_waits(keys_only: bool) -> None:
    stream = Stream()
    stream.play(1, key=True, decode=False)
    stream.play(300, key=keys_only, decode=False)
    assert len(stream.waiting) <= MAX_DECODING
    assert stream.receiver.counters.frames_dropped > 0
    stream.decode()
    stream.play(1, key=True)
    stream.play(5)
    assert stream.receiver.counters.frames_decoded == MAX_DECODING + 6


def test_payloads_that_make_no_sense_are_losses() -> None:
    stream = Stream()
    stream.play(2, key=True)
    broken = stream.packets()
    stream.receive(
        [RtpPacket(96, p.sequence_number, p.timestamp, 7, b"\x90", marker=p.marker) for p in broken]
    )
    assert stream.receiver.counters.broken_packets == len(broken) and len(stream.plis) == 1
    stream.play(1, key=True)
    stream.play(5)
    stream.wait(0.5)
    assert stream.shown == 8


def test_a_source_that_stalls_costs_no_timer() -> None:
    stream = Stream()
    stream.play(30, key=True)
    calls = stream.timer_calls
    stream.wait(3600)
    assert stream.timer_calls <= calls + 1 and stream.plis == []


def test_another_source_begins_anew() -> None:
    stream = Stream()
    stream.play(5, key=True)
    stream.receive(stream.packets())
    old = stream.waiting
    stream.waiting = []
    stream.number, stream.frames = 40_000, 900_000
    for _ in range(3):
        stream.receive(stream.packets(True, ssrc=9))
        stream.decode()
        stream.wait(1 / 30)
    assert stream.shown == 8
    for request in old:
        stream.receiver.receive_decoded(request, [PICTURE], 0.0, stream.now)
    assert stream.receiver.display.get_timer() is None


def test_without_nack_and_pli_nothing_is_sent_and_nothing_spins() -> None:
    stream = Stream(nack=False, pli=False, remb=False)
    stream.play(1, key=True)
    stream.receive(stream.packets()[1:])
    stream.play(300)
    assert stream.plis == [] == stream.nacks and stream.timer_calls < 700
    stream.play(1, key=True)
    stream.play(1)
    assert stream.shown == 3


def test_numbers_that_jump_ask_for_a_key_frame_and_nothing_else() -> None:
    stream = Stream()
    stream.play(3, key=True)
    stream.number += 5000
    stream.play(10)
    assert stream.nacks == [] and 1 <= len(stream.plis) <= 2


@given(
    codec=st.sampled_from(["VP8", "H264"]),
    steps=st.lists(
        st.tuples(
            st.sampled_from([96, 97]), st.integers(0, 65535), st.integers(0, (1 << 32) - 1), st.binary(max_size=12),
            st.booleans(), st.floats(0, 0.2),
        ),
        max_size=40,
    ),
)  # fmt: skip
def test_any_packets_are_survived_and_the_timer_advances(
    codec: str, steps: list[tuple[int, int, int, bytes, bool, float]]
) -> None:
    stream = Stream(codec=codec)
    for payload_type, number, timestamp, payload, marker, elapsed in steps:
        stream.receive([RtpPacket(payload_type, number, timestamp, 7, payload, marker=marker)])
        stream.decode(fails=marker)
        stream.wait(elapsed)
    assert len(stream.plis) <= sum(s[-1] for s in steps) / PLI_INTERVAL + 2
