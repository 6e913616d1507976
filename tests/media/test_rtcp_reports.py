"""Extended reports between two engines, and what all RTCP of a call costs. In virtual time."""

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest

from media.engine import MediaEngine
from media.parameters import AudioParameters
from media.rtcp_reports import EXTENDED_INTERVAL
from media.rtp.extended_reports import (
    Block,
    DelaySinceLast,
    ReceiverReferenceTime,
    VoipMetrics,
    build,
    parse,
)
from media.rtp.rtcp import (
    ExtendedReport,
    Feedback,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)
from media.simulation.voice import generate_voice
from media.transport.srtp import PROFILES, SrtpKeys, SrtpSession

OURS = AudioParameters(
    "0", 111, frozenset({111}), red_payload_type=63, rtx_payload_type=112, arrival_feedback=True, nack=True,
    extended_reports=True,
)  # fmt: skip
KEYS = SrtpKeys(PROFILES[0], bytes(range(28)), bytes(range(50, 78)))
DELAY = 0.03
IP_UDP_BYTES = 28
VOICE = generate_voice(1, 10.0)


@dataclass
class Sent:
    """What one end sent, headers of IP and UDP in; SRTP's in any case."""

    media_bytes: int = 0
    rtcp_bytes: int = 0
    rtcp_sizes: list[int] = field(default_factory=list)
    kinds: set[type[RtcpPacket]] = field(default_factory=set)
    reports: list[tuple[float, ExtendedReport]] = field(default_factory=list)

    @property
    def blocks(self) -> list[Block]:
        return [block for _, report in self.reports for block in parse(report)]


class Call:
    """Two engines, the clocks of which are years apart. `lost(index)`: whether end `index`'s next datagram is lost."""

    def __init__(
        self,
        first: AudioParameters = OURS,
        second: AudioParameters = OURS,
        *,
        lost: Callable[[int], bool] = lambda index: False,
        rate_bps: float = math.inf,
    ) -> None:
        self.ends = tuple(MediaEngine(rng=Random(seed), unix_time_offset=1e9 * (seed + 1)) for seed in (0, 1))
        self.sent = (Sent(), Sent())
        self.now = 0.0
        self._lost = lost
        self._rate_bps, self._busy_until = rate_bps, [0.0, 0.0]
        self._open = (SrtpSession(KEYS.swapped()), SrtpSession(KEYS))
        self._flying: list[tuple[float, int, int, bytes]] = []
        self._tick = self._order = 0
        for end, audio, keys in zip(self.ends, (first, second), (KEYS, KEYS.swapped()), strict=True):
            end.configure_audio(audio)
            end.set_keys(keys, 0.0)

    def run(self, seconds: float, *, talk: tuple[bool, bool] = (True, True)) -> None:
        for _ in range(round(seconds * 100)):
            self._tick += 1
            self.now = self._tick / 100
            while self._flying and self._flying[0][0] <= self.now:
                at, _, to, data = heapq.heappop(self._flying)
                self.ends[to].receive_packet(data, at)
            for index, end in enumerate(self.ends):
                if talk[index] and self._tick % 2 == 0:
                    start = self._tick // 2 % 500 * 960
                    end.push_audio(VOICE[start : start + 960], self.now)
                end.pull_audio(self.now)
                if (due := end.get_timer()) is not None and due <= self.now:
                    end.handle_timer(self.now)
                for data in end.packets_to_send(self.now):
                    self._count(index, data)
                    self._order += 1
                    if not self._lost(index):
                        at = max(self.now, self._busy_until[index])
                        self._busy_until[index] = at + 8 * (len(data) + IP_UDP_BYTES) / self._rate_bps
                        heapq.heappush(
                            self._flying, (self._busy_until[index] + DELAY, self._order, 1 - index, data)
                        )

    def _count(self, index: int, data: bytes) -> None:
        sent = self.sent[index]
        if 192 <= data[1] <= 223:
            sent.rtcp_bytes += len(data) + IP_UDP_BYTES
            sent.rtcp_sizes.append(len(data) + IP_UDP_BYTES)
            packets = parse_compound(self._open[index].unprotect_rtcp(data))
            sent.kinds |= {type(p) for p in packets}
            sent.reports += [(self.now, p) for p in packets if isinstance(p, ExtendedReport)]
        else:
            sent.media_bytes += len(data) + IP_UDP_BYTES

    def inject(self, to: int, packet: RtcpPacket) -> None:
        session = SrtpSession(KEYS if to == 1 else KEYS.swapped())
        self.ends[to].receive_packet(session.protect_rtcp(serialize_compound([packet])), self.now)


def bursts(rng: Random) -> Callable[[int], bool]:
    """Towards the second end only: runs of losses that nothing can repair."""
    run = [0]

    def lost(index: int) -> bool:
        if index == 1:
            return False
        run[0] = run[0] - 1 if run[0] else 30 * (rng.random() < 0.005)
        return run[0] > 0

    return lost


def of_kind(blocks: list[Block], kind: type[Block]) -> Iterator[Block]:
    return (block for block in blocks if isinstance(block, kind))


@pytest.mark.long
def test_each_end_learns_how_it_is_heard() -> None:
    call = Call(lost=bursts(Random(3)))
    call.run(16.0)
    first, second = call.ends
    told = first.reports.remote_metrics
    receiver = second.receiver
    assert told is not None and receiver is not None and receiver.statistics is not None
    buffer = receiver.jitter_buffer
    assert told.ssrc == first.ssrc
    # Eight bits say it, and some seconds old it is.
    missing = buffer.bursts.missing / buffer.bursts.frames
    assert missing > 0.02 and told.loss_rate + told.discard_rate == pytest.approx(missing, rel=0.35)
    concealed = buffer.counters.concealed_samples / buffer.counters.total_samples_received
    assert missing == pytest.approx(concealed, rel=0.3)
    assert told.burst_density > 0.5 > 0.01 >= told.gap_density
    assert 200 < told.burst_duration_ms < 900 < told.gap_duration_ms
    assert told.round_trip_ms == pytest.approx(2000 * DELAY, abs=21)
    assert told.jitter_buffer_nominal_ms == pytest.approx(buffer.target_delay * 1000, abs=40)
    assert 27 < told.end_system_delay_ms < 250
    untroubled = second.reports.remote_metrics
    assert untroubled is not None and untroubled.loss_rate == untroubled.burst_density == 0.0
    assert told.mos_lq is not None and untroubled.mos_lq == 4.4
    assert 2.0 < told.mos_lq < 4.2 and told.r_factor is not None and told.r_factor < 85
    stats = first.get_stats(call.now)["remote-inbound-rtp-audio"]
    assert (stats["mosLq"], stats["lossRate"]) == (told.mos_lq, told.loss_rate)
    for sent in call.sent:
        times = [at for at, _ in sent.reports]
        assert len(times) >= 5
        assert min(later - at for at, later in pairwise(times)) >= EXTENDED_INTERVAL
        assert all(isinstance(block, VoipMetrics) for block in sent.blocks)  # the round trip is known without


def test_an_end_that_only_listens_measures_the_round_trip() -> None:
    call = Call(OURS, replace(OURS, send=False), lost=lambda index: False)
    call.run(6.0)
    talks, listens = call.ends
    assert any(of_kind(call.sent[1].blocks, ReceiverReferenceTime))
    assert any(of_kind(call.sent[0].blocks, DelaySinceLast))
    assert listens.round_trip_time == pytest.approx(2 * DELAY, abs=0.021)
    stats = listens.get_stats(call.now)["remote-outbound-rtp-audio"]
    assert stats["roundTripTime"] == listens.round_trip_time and stats["roundTripTimeMeasurements"] >= 2
    assert stats["ssrc"] == talks.ssrc
    assert "remote-outbound-rtp-audio" not in talks.get_stats(call.now)


@pytest.mark.long
def test_a_pause_is_no_outage() -> None:
    call = Call(lost=lambda index: False)
    call.run(6.0)
    call.run(5.0, talk=(False, True))
    call.run(6.0)
    told = call.ends[0].reports.remote_metrics
    assert told is not None and told.loss_rate == 0.0
    assert told.mos_lq is not None and told.mos_lq >= 3.6  # its first moments were concealed


@pytest.mark.long
def test_an_outage_counts() -> None:
    call = Call(lost=lambda index: index == 0 and 6.0 < call.now < 10.0)
    call.run(14.0)
    told = call.ends[0].reports.remote_metrics
    assert told is not None and told.mos_lq is not None
    assert told.loss_rate == pytest.approx(4 / 13, abs=0.07) and told.burst_duration_ms > 3000
    assert 2.3 < told.mos_lq < 4.41 - 3.41 * 4 / 14  # what it began and ended in was heard badly, too


def test_foreign_peers_are_sent_none_and_theirs_are_not_used() -> None:
    call = Call(replace(OURS, extended_reports=False), OURS, lost=lambda index: False)
    call.run(5.0)
    assert call.sent[0].reports == [] and call.sent[1].reports != []
    assert call.ends[0].reports.remote_metrics is None
    assert call.ends[0].transport.packets_refused == 0


def test_false_reports_do_nothing() -> None:
    call = Call(lost=lambda index: False)
    call.run(2.0)
    engine = call.ends[0]
    stranger = VoipMetrics(ssrc=engine.ssrc ^ 1, mos_lq=1.0)
    call.inject(0, build(5, [stranger, DelaySinceLast(engine.ssrc, 0, 0), DelaySinceLast(engine.ssrc, 1, 1)]))
    assert engine.reports.remote_metrics != stranger and engine.reports.round_trip_time is None
    for n in range(100):
        call.inject(0, build(n, [ReceiverReferenceTime(n << 16)]))
    refused = engine.transport.packets_refused
    call.inject(0, ExtendedReport(5, b"\x07\x00\x00\x08\x00\x00\x00\x00"))
    assert engine.transport.packets_refused == refused + 1
    call.run(3.0)
    assert len(list(of_kind(call.sent[0].blocks, DelaySinceLast))) <= 1  # the last of them is answered


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.long
def test_all_rtcp_of_a_minute_is_below_5_percent(loss: float) -> None:
    """RFC 3550 section 6.2: reports, arrivals, NACK, extended reports, of all that is sent; the start is in it."""
    rng = Random(11)
    call = Call(lost=lambda index: rng.random() < loss)
    call.run(60.0)
    for sent in call.sent:
        total = sent.rtcp_bytes + sent.media_bytes
        assert sent.reports
        assert total * 8 / 60 <= (110_000 if loss else 63_000)
        assert 0.02 * total < sent.rtcp_bytes <= 0.05 * total


@pytest.mark.long
def test_on_a_thin_path_reports_go_in_pieces() -> None:
    """A voice packet waits for what is in front of it."""
    small = replace(OURS, reduced_size_rtcp=True)
    call, wide = Call(small, small, rate_bps=48_000), Call(small, small)
    for each in (call, wide):
        each.run(12.0)
    for end, sent in zip(call.ends, call.sent, strict=True):
        assert max(sent.rtcp_sizes) <= 104 < 170 < max(wide.sent[0].rtcp_sizes)
        assert end.reports.remote_metrics is not None
        assert end.sender is not None and end.sender.rtp.round_trip_time_measurements > 3
        assert {SenderReport, SourceDescription, ExtendedReport, Feedback} <= sent.kinds
        assert sent.rtcp_bytes < 0.08 * sent.media_bytes  # the first two seconds in it
