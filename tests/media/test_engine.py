"""Two engines and the path between them, in virtual time."""

import heapq
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from media.engine import MAX_EVENTS, FirstAudio, MediaEngine, PeerLeft
from media.negotiation import AudioParameters
from media.rtp.congestion_feedback import CCFB_FORMAT
from media.rtp.packet import RtpPacket
from media.rtp.rtcp import (
    PSFB,
    RTPFB,
    Bye,
    Feedback,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    Unknown,
    parse_compound,
    serialize_compound,
)
from media.simulation.voice import generate_voice, tone
from media.transport.srtp import PROFILES, SrtpKeys, SrtpSession

Samples = NDArray[np.int16]
AUDIO = AudioParameters("0", 111, frozenset({111}))
# What two of ours agree on.
PROTECTED = replace(AUDIO, red_payload_type=63, rtx_payload_type=112, arrival_feedback=True, nack=True)
KEYS = SrtpKeys(PROFILES[0], bytes(range(28)), bytes(range(50, 78)))


class Call:
    """`lost(index)` says whether end `index`'s next datagram is lost; `delay` is one way, in seconds."""

    def __init__(
        self,
        *,
        delay: float = 0.03,
        lost: Callable[[int], bool] = lambda index: False,
        parameters: tuple[AudioParameters, AudioParameters] = (AUDIO, AUDIO),
        sound: Callable[[int], Samples] = lambda n: tone(300, n * 960, 960, 0.3),
    ) -> None:
        self.ends = tuple(MediaEngine(rng=Random(seed), unix_time_offset=1e9 * (seed + 1)) for seed in (0, 1))
        self.alice, self.bob = self.ends
        self.now = 100.0
        self.delay, self.lost, self.sound = delay, lost, sound
        self.heard: tuple[list[Samples], list[Samples]] = ([], [])
        self.datagrams: tuple[list[bytes], list[bytes]] = ([], [])
        self._flying: list[tuple[float, int, int, bytes]] = []
        self._ticks = 0
        for end, audio, keys in zip(self.ends, parameters, (KEYS, KEYS.swapped()), strict=True):
            end.configure_audio(audio)
            end.set_keys(keys, self.now)

    def drain(self) -> None:
        for index, end in enumerate(self.ends):
            for data in end.packets_to_send(self.now):
                self.datagrams[index].append(data)
                if not self.lost(index):
                    order = len(self.datagrams[0]) + len(self.datagrams[1])
                    heapq.heappush(self._flying, (self.now + self.delay, order, 1 - index, data))

    def run(self, seconds: float, *, talk: bool = True) -> None:
        stop = self._ticks + round(seconds * 100)
        while self._ticks < stop:
            tick = 100.0 + self._ticks * 0.01
            while True:
                timers = [t for e in self.ends if (t := e.get_timer()) is not None]
                due = min([f[0] for f in self._flying[:1]] + timers, default=tick)
                if due >= tick:
                    break
                self.now = max(self.now, due)
                while self._flying and self._flying[0][0] <= self.now:
                    _, _, to, data = heapq.heappop(self._flying)
                    self.ends[to].receive_packet(data, self.now)
                for end in self.ends:
                    end.handle_timer(self.now)
                self.drain()
            self.now = tick
            for index, end in enumerate(self.ends):
                if talk and self._ticks % 2 == 0:
                    end.push_audio(self.sound(self._ticks // 2), self.now)
                self.heard[index].append(end.pull_audio(self.now).copy())
            self.drain()
            self._ticks += 1

    def events(self, index: int) -> list[object]:
        found = []
        while (event := self.ends[index].next_event()) is not None:
            found.append(event)
        return found

    def stats(self, index: int, of: str) -> dict[str, object]:
        return self.ends[index].get_stats(self.now)[of]

    def inject(self, to: int, *packets: RtcpPacket) -> None:
        """RTCP that is authentic, as the peer's own software could send it."""
        keys = KEYS if to == 1 else KEYS.swapped()
        session = SrtpSession(keys)
        self.ends[to].receive_packet(session.protect_rtcp(serialize_compound(packets)), self.now)


def rtcp_of(call: Call, index: int) -> list[RtcpPacket]:
    session = SrtpSession(KEYS.swapped() if index == 0 else KEYS)
    found: list[RtcpPacket] = []
    for data in call.datagrams[index]:
        if 192 <= data[1] <= 223:
            found += parse_compound(session.unprotect_rtcp(data))
    return found


def voice() -> Callable[[int], Samples]:
    speech = generate_voice(1, 10.0)
    count = len(speech) // 960
    return lambda n: speech[n % count * 960 :][:960]


# -- a call


@pytest.mark.parametrize("careful", [True, False])
def test_a_loop_that_stood_still_asks_for_nothing_that_waits_in_its_socket(careful: bool) -> None:
    """`careful`: as PeerConnection does it; else the feedback is asked for too early, and the test would show it."""
    call = Call(delay=0.01, parameters=(PROTECTED, PROTECTED))
    call.run(3.0)
    receiver = call.bob.receiver
    assert receiver is not None and receiver.statistics is not None and receiver.nack_count == 0
    stopped, waiting = call.now, [(at, data) for at, _, to, data in sorted(call._flying) if to == 1]
    for n in range(10):
        now = stopped + 0.02 * (n + 1)
        call.alice.push_audio(call.sound(150 + n), now)
        waiting += [(now + 0.01, data) for data in call.alice.packets_to_send(now)]
    late = stopped + 0.22
    call.bob.push_audio(call.sound(0), late)
    call.bob.packets_to_send(late, feedback=not careful)
    for at, data in waiting:
        call.bob.receive_packet(data, late, arrived=at)
    call.bob.packets_to_send(late)
    assert (receiver.nack_count == 0) is careful
    assert receiver.statistics.packets_lost == 0 and receiver.statistics.jitter < 0.01


def test_sound_both_ways() -> None:
    call = Call()
    call.run(3.0)
    for index in (0, 1):
        sound = np.concatenate(call.heard[index])[48000:]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        assert np.argmax(spectrum) * 48000 / len(sound) == pytest.approx(300, abs=2)
        assert sound.astype(float).std() == pytest.approx(32768 * 0.3 / np.sqrt(2), rel=0.15)
        (event,) = call.events(index)
        assert isinstance(event, FirstAudio) and 100.03 <= event.at <= 100.12
        stats = call.stats(index, "inbound-rtp-audio")
        assert stats["packetsLost"] == stats["concealedSamples"] == stats["latePackets"] == 0


def test_reports_and_the_round_trip_time() -> None:
    call = Call(delay=0.04)
    call.run(4.0)
    for index in (0, 1):
        stats = call.stats(index, "remote-inbound-rtp-audio")
        assert stats["roundTripTime"] == pytest.approx(0.08, abs=0.0001)
        assert stats["fractionLost"] == stats["packetsLost"] == 0
        assert stats["jitter"] == pytest.approx(0, abs=1e-4)
        assert int(str(stats["roundTripTimeMeasurements"])) >= 3
        reports = rtcp_of(call, index)
        assert {type(p) for p in reports} == {SenderReport, SourceDescription}
        cnames = {p.chunks for p in reports if isinstance(p, SourceDescription)}
        assert cnames == {((call.ends[index].ssrc, ((1, call.ends[index].cname.encode()),)),)}


@pytest.mark.long
def test_reports_come_twice_a_second_at_first_then_once_and_not_in_step() -> None:
    call = Call()
    call.run(2.5)
    at_first = [sum(isinstance(p, SenderReport) for p in rtcp_of(call, index)) for index in (0, 1)]
    assert all(4 <= count <= 8 for count in at_first)
    call.run(10.0)
    counts = [sum(isinstance(p, SenderReport) for p in rtcp_of(call, index)) for index in (0, 1)]
    assert all(7 <= after - before <= 14 for before, after in zip(at_first, counts, strict=True))


def test_a_sender_report_counts_what_was_sent() -> None:
    call = Call()
    call.run(3.0)
    last = [p for p in rtcp_of(call, 0) if isinstance(p, SenderReport)][-1]
    stats = call.stats(0, "outbound-rtp-audio")
    assert 0 <= int(str(stats["packetsSent"])) - last.packet_count <= 50
    assert last.ssrc == call.alice.ssrc


@pytest.mark.long
def test_loss_is_reported_and_switches_fec_on_and_off() -> None:
    rng = Random(3)
    losing = [True]
    call = Call(lost=lambda index: losing[0] and index == 0 and rng.random() < 0.1, sound=voice())
    call.run(10.0)
    sender = call.stats(0, "remote-inbound-rtp-audio")
    inbound = call.stats(1, "inbound-rtp-audio")
    assert 20 < int(str(sender["packetsLost"])) <= int(str(inbound["packetsLost"])) + 1
    assert call.alice.sender is not None and call.alice.sender.reported_loss > 0.03
    assert int(str(inbound["recoveredFrames"])) > 10
    assert call.bob.sender is not None and call.bob.sender.reported_loss == 0.0
    assert call.stats(0, "inbound-rtp-audio")["concealedSamples"] == 0
    losing[0] = False
    call.run(60.0, talk=False)
    assert call.alice.sender.reported_loss < 0.002
    encoder = call.alice.sender._encoder
    assert encoder.expected_loss_percent == 0  # type: ignore[attr-defined]


def test_no_fec_where_it_was_not_negotiated() -> None:
    rng = Random(3)
    plain = AudioParameters("0", 111, frozenset({111}), use_inband_fec=False)
    call = Call(lost=lambda index: rng.random() < 0.1, parameters=(plain, plain), sound=voice())
    call.run(5.0)
    assert call.stats(1, "inbound-rtp-audio")["recoveredFrames"] == 0


def payload_types(call: Call, index: int, after: int) -> dict[int, int]:
    """How many RTP packets of each payload type an end has sent, its first `after` datagrams apart."""
    return dict(Counter(d[1] & 0x7F for d in call.datagrams[index][after:] if not 192 <= d[1] <= 223))


def test_two_of_ours_use_copies_under_loss() -> None:
    rng = Random(3)
    call = Call(
        lost=lambda index: index == 0 and rng.random() < 0.1, parameters=(PROTECTED, PROTECTED), sound=voice()
    )
    call.run(5.0)
    known = len(call.datagrams[0]), len(call.datagrams[1])
    before = call.stats(1, "inbound-rtp-audio")
    call.run(5.0)
    there = payload_types(call, 0, known[0])
    assert there[63] > 0.95 * sum(there.values()), "RED"
    assert call.alice.sender is not None and call.alice.sender.scheme.distances
    assert call.alice.sender._encoder.expected_loss_percent == 0, "copies, not FEC besides"  # type: ignore[attr-defined]
    after = call.stats(1, "inbound-rtp-audio")
    recovered = int(str(after["recoveredFrames"])) - int(str(before["recoveredFrames"]))
    concealed = int(str(after["concealedSamples"])) - int(str(before["concealedSamples"]))
    lost = int(str(after["packetsLost"])) - int(str(before["packetsLost"]))
    assert lost > 10 and recovered > 0.8 * lost and concealed <= 0.2 * lost * 960
    assert call.bob.sender is not None and not call.bob.sender.scheme.distances, (
        "nothing was lost on the way back"
    )


def test_nothing_is_added_on_a_clean_path() -> None:
    call = Call(parameters=(PROTECTED, PROTECTED))
    call.run(3.0)
    known = len(call.datagrams[0])
    call.run(5.0)
    assert payload_types(call, 0, known) == {111: 250}
    assert call.stats(1, "inbound-rtp-audio")["concealedSamples"] == 0


def test_lost_packets_are_sent_again_where_that_pays() -> None:
    """Without RED, and with a short round trip."""
    rng = Random(3)
    plain = replace(AUDIO, rtx_payload_type=112, nack=True, use_inband_fec=False)
    call = Call(delay=0.01, lost=lambda index: rng.random() < 0.05, parameters=(plain, plain), sound=voice())
    call.run(8.0)
    assert call.bob.receiver is not None and call.bob.receiver.retransmitted_packets_received > 5
    stats = call.stats(1, "inbound-rtp-audio")
    assert int(str(stats["recoveredFrames"])) > 5


@pytest.mark.long
@pytest.mark.parametrize(
    "foreign",
    [AUDIO, replace(PROTECTED, red_payload_type=None)],
    ids=["nothing", "no RED"],
)
def test_a_peer_without_red_gets_fec(foreign: AudioParameters) -> None:
    rng = Random(3)
    call = Call(
        lost=lambda index: index == 0 and rng.random() < 0.1, parameters=(foreign, foreign), sound=voice()
    )
    call.run(6.0)
    assert set(payload_types(call, 0, 0)) <= {111, 112}, "no RED"
    assert call.alice.sender is not None and not call.alice.sender.scheme.distances
    assert call.alice.sender._encoder.expected_loss_percent > 0  # type: ignore[attr-defined]
    assert int(str(call.stats(1, "inbound-rtp-audio")["recoveredFrames"])) > 10


@pytest.mark.long
def test_a_peer_that_tells_its_loss_only_gets_near_copies() -> None:
    """As libwebrtc and Chromium."""
    rng = Random(3)
    foreign = replace(PROTECTED, arrival_feedback=False, rtx_payload_type=None, nack=False)
    call = Call(
        lost=lambda index: index == 0 and rng.random() < 0.1, parameters=(foreign, foreign), sound=voice()
    )
    call.run(14.0)
    assert call.alice.sender is not None and call.alice.sender.scheme.distances in ((1,), (1, 2))
    assert call.bob.sender is not None and not call.bob.sender.scheme.distances
    assert int(str(call.stats(1, "inbound-rtp-audio")["recoveredFrames"])) > 10


@pytest.mark.long
@pytest.mark.parametrize("loss", [0.2])  # a minute of the others: test_rtcp_reports.py
def test_rates_on_the_wire(loss: float) -> None:
    """Everything that an end sends, IP and UDP headers included; feedback is at most 5 % of it (RFC 3550, 6.2)."""
    rng = Random(5)
    call = Call(lost=lambda index: rng.random() < loss, parameters=(PROTECTED, PROTECTED), sound=voice())
    call.run(4.0)
    known = len(call.datagrams[0])
    call.run(16.0)
    sent = call.datagrams[0][known:]
    rates = {"total": 0.0, "arrivals": 0.0}
    session = SrtpSession(KEYS.swapped())
    for data in sent:
        rates["total"] += (len(data) + 28) * 8 / 16
        if 192 <= data[1] <= 223:
            packets = parse_compound(session.unprotect_rtcp(data))
            if any(isinstance(p, Feedback) and p.format == CCFB_FORMAT for p in packets):
                rates["arrivals"] += (len(data) + 28) * 8 / 16
    assert rates["total"] <= (110_000 if loss else 63_000)
    assert 0 < rates["arrivals"] <= 0.05 * rates["total"]


def test_arrival_feedback_of_any_bytes_does_nothing_worse_than_being_refused() -> None:
    call = Call(parameters=(PROTECTED, PROTECTED))
    call.run(1.0)
    for fci in (b"", bytes(4), bytes(8), b"\xff" * 40, b"\0\0\xff\xff" + bytes(8)):
        call.inject(0, Feedback(RTPFB, CCFB_FORMAT, 1, call.alice.ssrc, fci))
    call.run(1.0)
    assert call.stats(1, "inbound-rtp-audio")["concealedSamples"] == 0
    assert call.alice.transport.packets_refused >= 3


def test_directions_are_kept() -> None:
    silent = AudioParameters("0", 111, frozenset({111}), send=False)
    deaf = AudioParameters("0", 111, frozenset({111}), receive=False)
    call = Call(parameters=(silent, deaf))
    call.run(2.0)
    assert call.stats(0, "outbound-rtp-audio")["packetsSent"] == 0
    assert call.stats(1, "inbound-rtp-audio")["packetsReceived"] == 0
    assert int(str(call.stats(0, "inbound-rtp-audio")["packetsReceived"])) > 80
    assert any(isinstance(p, ReceiverReport) for p in rtcp_of(call, 0)), "who only listens reports, too"


def test_counters_only_rise() -> None:
    rng = Random(8)
    call = Call(lost=lambda index: rng.random() < 0.1)
    falling = {"audioLevel", "jitter", "roundTripTime", "fractionLost", "packetsLost", "targetBitrate"}
    before: dict[tuple[str, str], float] = {}
    for _ in range(8):
        call.run(0.5)
        for index in (0, 1):
            for name, members in call.ends[index].get_stats(call.now).items():
                for member, value in members.items():
                    key = (f"{index} {name}", member)
                    if member not in falling and isinstance(value, int | float):
                        assert value >= before.get(key, value), key
                        before[key] = value


def test_the_same_seeds_give_the_same_bytes() -> None:
    def once() -> tuple[list[bytes], list[bytes]]:
        rng = Random(4)
        call = Call(lost=lambda index: rng.random() < 0.05, sound=voice())
        call.run(2.0)
        return call.datagrams

    assert once() == once()


def test_virtual_time_is_much_faster_than_real_time() -> None:
    call = Call(sound=voice())
    began = time.process_time()
    call.run(10.0)
    assert time.process_time() - began < 2.5


# -- the end


def test_bye_is_said_and_heard() -> None:
    call = Call()
    call.run(1.0)
    call.events(1)
    call.alice.close(call.now)
    call.alice.close(call.now)
    call.drain()
    call.run(0.5)
    assert call.events(1) == [PeerLeft()]
    (bye,) = [p for p in rtcp_of(call, 0) if isinstance(p, Bye)]
    assert bye.sources == (call.alice.ssrc,)
    sent = len(call.datagrams[0])
    call.run(2.0)
    assert len(call.datagrams[0]) == sent, "nothing is sent after it"
    assert call.alice.get_timer() is None
    assert not call.alice.pull_audio(call.now).any()
    assert call.alice.get_stats(call.now)["transport"]["packetsSent"] == sent


def test_a_bye_of_somebody_else_is_not_the_peer_s() -> None:
    call = Call()
    call.run(1.0)
    call.events(1)
    call.inject(1, ReceiverReport(1), Bye((call.alice.ssrc ^ 1,)))
    assert call.events(1) == []
    call.run(1.0)
    assert call.stats(1, "inbound-rtp-audio")["packetsLost"] == 0


def test_close_before_anything() -> None:
    engine = MediaEngine(rng=Random(1))
    engine.close(0.0)
    assert engine.packets_to_send(0.0) == []
    assert engine.get_timer() is None
    assert not engine.pull_audio(0.0).any()


# -- before there are keys


def test_without_keys_nothing_is_sent_or_taken() -> None:
    engine = MediaEngine(rng=Random(1))
    engine.push_audio(np.zeros(960, np.int16), 0.0)
    engine.configure_audio(AUDIO)
    engine.push_audio(np.zeros(960, np.int16), 0.0)
    engine.receive_packet(b"\x80" * 100, 0.0)
    engine.handle_timer(100.0)
    assert engine.packets_to_send(0.0) == []
    assert engine.get_timer() is None
    assert engine.srtp_profile is None
    assert engine.get_stats(0.0)["transport"]["packetsReceived"] == 0


# -- hostile input


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda b: b"\x80" + b))
def test_any_bytes(data: bytes) -> None:
    engine = MediaEngine(rng=Random(1))
    engine.configure_audio(AUDIO)
    engine.set_keys(KEYS, 0.0)
    engine.receive_packet(data, 0.0)
    counters = engine.transport
    assert counters.packets_received == 0
    assert counters.packets_refused == (len(data) >= 2 and 128 <= data[0] <= 191)


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_of_the_peer_itself(bodies: list[bytes], as_rtcp: bool) -> None:
    """What is authentic may still be nonsense."""
    engine = MediaEngine(rng=Random(1))
    engine.configure_audio(AUDIO)
    engine.set_keys(KEYS, 0.0)
    peer = SrtpSession(KEYS.swapped())
    for n, body in enumerate(bodies):
        if as_rtcp:
            data = peer.protect_rtcp(
                bytes((0x81, 200 + n % 8)) + body[:2].rjust(2, b"\0") + b"\0\0\0\1" + body[2:]
            )
        else:
            data = peer.protect(RtpPacket(111, n, n * 960, 7, body).serialize())
        engine.receive_packet(data, n * 0.01)
        engine.pull_audio(n * 0.01)
        engine.handle_timer(n * 0.5)
    engine.get_stats(1.0)
    engine.close(1.0)


def test_feedback_that_was_not_negotiated_is_ignored() -> None:
    call = Call()
    call.run(0.5)
    call.inject(1, Feedback(PSFB, 1, 2, 3), Unknown(207, 0, b"\0\0\0\1"))
    assert call.stats(1, "transport")["packetsRefused"] == 0


def test_report_blocks_about_somebody_else_are_ignored() -> None:
    call = Call()
    call.run(0.1)
    call.inject(0, ReceiverReport(9, (ReportBlock(call.alice.ssrc ^ 1, 255, 9, 9, 9, 0, 0),)))
    assert call.alice.sender is not None and call.alice.sender.reported_loss == 0.0
    assert "remote-inbound-rtp-audio" not in call.alice.get_stats(call.now)


def test_events_are_bounded() -> None:
    call = Call()
    call.run(0.5)
    peer = SrtpSession(KEYS)
    for _ in range(3 * MAX_EVENTS):
        bye = serialize_compound([ReceiverReport(call.alice.ssrc), Bye((call.alice.ssrc,))])
        call.bob.receive_packet(peer.protect_rtcp(bye), call.now)
    assert len(call.events(1)) <= MAX_EVENTS


def test_replayed_datagrams_change_nothing() -> None:
    call = Call()
    call.run(1.0)
    before = call.stats(1, "inbound-rtp-audio")
    for data in call.datagrams[0][-20:-10]:
        call.bob.receive_packet(data, call.now)
    after = call.stats(1, "inbound-rtp-audio")
    assert before == after
    assert call.stats(1, "transport")["packetsRefused"] == 10


@pytest.mark.parametrize("parameters", [AUDIO, PROTECTED])
@pytest.mark.parametrize(
    "pause", [0.3, pytest.param(1.0, marks=pytest.mark.long), pytest.param(4.0, marks=pytest.mark.long)]
)
def test_a_direction_may_change_in_the_call(parameters: AudioParameters, pause: float) -> None:
    call = Call(parameters=(parameters, parameters))
    call.run(1.0)
    call.alice.configure_audio(replace(parameters, send=False))
    sent = call.stats(0, "outbound-rtp-audio")["packetsSent"]
    call.run(pause)
    assert call.stats(0, "outbound-rtp-audio")["packetsSent"] == sent
    call.alice.configure_audio(parameters)
    call.run(1.0)
    assert int(str(call.stats(0, "outbound-rtp-audio")["packetsSent"])) > int(str(sent)) + 40
    again = np.concatenate(call.heard[1][-85:]).astype(float)  # from 150 ms on, 80 of which it needs
    assert again.reshape(-1, 480).std(axis=1).min() > 5000, "at full level: the tone has 6950"
    receiver = call.bob.receiver
    assert receiver is not None and receiver.jitter_buffer.counters.removed_samples_for_acceleration == 0
