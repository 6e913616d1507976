"""One interval's figures from two snapshots."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.quality import emodel
from media.quality.stats import ReceivedSecond, SentSecond, received, rtt_ms, sent
from media.quality.summary import summarize


def test_figures_of_a_good_second(counters: Any) -> None:
    before, after = counters.snapshot(), counters.second()
    second = received(before, after, 1.0, 1.0)
    assert second.mos_lq == pytest.approx(emodel.mos(0))
    assert second.delay_ms == pytest.approx(30 + 60 + 20 + 6.5)
    assert second.mos_cq == pytest.approx(emodel.mos(0, 116.5))
    assert (second.lost_percent, second.late_percent, second.concealed_percent) == (0.0, 0.0, 0.0)
    assert second.bitrate_bps == 50 * 92 * 8
    assert second.jitter_buffer_ms == pytest.approx(60) and second.jitter_buffer_target_ms == pytest.approx(
        30
    )
    assert second.jitter_ms == pytest.approx(2)
    mine = sent(before, after, 1.0, 1.0)
    assert mine.bitrate_bps == 50 * 92 * 8 and mine.target_bitrate_bps == 32000
    assert (mine.remote_lost_percent, mine.remote_jitter_ms) == (pytest.approx(2), pytest.approx(3))
    assert mine.rtt_ms == pytest.approx(60)
    assert mine.remote_mos_lq is mine.remote_missing_percent is mine.remote_jitter_buffer_ms is None


def test_what_the_other_side_heard(counters: Any) -> None:
    """The last that it told (RFC 3611), of the whole call up to then."""
    before = counters.snapshot()
    counters.remote |= {"mosLq": 4.1, "mosCq": 3.9, "lossRate": 0.02, "discardRate": 0.01}
    counters.remote["jitterBufferNominalDelay"] = 0.08
    told = sent(before, counters.second(), 1.0, 1.0)
    assert (told.remote_mos_lq, told.remote_mos_cq) == (4.1, 3.9)
    assert told.remote_missing_percent == pytest.approx(3) and told.remote_late_percent == pytest.approx(1)
    assert told.remote_jitter_buffer_ms == pytest.approx(80)
    whole = summarize([], [told, SentSecond(2.0)])
    assert whole.remote_mos_lq == 4.1 and whole.remote_missing_percent == pytest.approx(3)


def test_an_end_that_only_listens_has_a_round_trip() -> None:
    stats = {"r": {"type": "remote-outbound-rtp", "kind": "audio", "roundTripTime": 0.05}}
    assert rtt_ms(stats | {"p": {"type": "candidate-pair", "currentRoundTripTime": 0.9}}) == pytest.approx(50)


def test_intervals_not_cumulative(counters: Any) -> None:
    counters.second(lost=25, packets=25, concealed=25, events=1, buffer=0.5, rtt=0.9)
    before = counters.snapshot()
    second = received(before, counters.second(rtt=0.04), 2.0, 1.0)
    assert second.concealed_percent == 0.0 and second.lost_percent == 0.0
    assert second.jitter_buffer_ms == pytest.approx(60)
    assert second.delay_ms == pytest.approx(20 + 60 + 26.5)


def test_loss_concealment_and_burst_ratio(counters: Any) -> None:
    before = counters.snapshot()
    after = counters.second(packets=45, lost=5, concealed=4, events=2, recovered=1, late=1)
    second = received(before, after, 1.0, 1.0)
    assert second.lost_percent == pytest.approx(10)
    assert second.late_percent == pytest.approx(2) and second.recovered_percent == pytest.approx(2)
    assert second.concealed_percent == pytest.approx(8)
    assert second.burst_ratio == pytest.approx(2 * 0.92)  # runs of 2 frames; random loss: 1 / 0.92
    assert second.mos_lq == pytest.approx(emodel.mos(8, burst_ratio=1.84))


def test_an_event_that_began_in_the_interval_before_counts(counters: Any) -> None:
    before = counters.snapshot()
    second = received(before, counters.second(packets=40, lost=10, concealed=10, events=0), 1.0, 1.0)
    assert second.burst_ratio == pytest.approx(8.0)  # 10 * 0.8, and no more than G.107 knows


def test_nothing_before_the_first_packet(counters: Any) -> None:
    before = counters.snapshot()
    assert received(before, before, 1.0, 1.0) == ReceivedSecond(1.0)
    assert sent(before, before, 1.0, 1.0) == SentSecond(1.0)
    assert received({}, {}, 1.0, 1.0) == ReceivedSecond(1.0)
    assert received(before, counters.second(), 1.0, 0.0) == ReceivedSecond(1.0)


def test_no_delay_without_a_round_trip(counters: Any) -> None:
    before, after = counters.snapshot(), counters.second()
    del before["r"], after["r"]
    second = received(before, after, 1.0, 1.0)
    assert second.mos_lq is not None
    assert (second.mos_cq, second.delay_ms) == (None, None)
    assert sent(before, after, 1.0, 1.0).rtt_ms is None


def test_round_trip_of_ice_where_rtcp_has_none(counters: Any) -> None:
    stats = {"pair": {"type": "candidate-pair", "currentRoundTripTime": 0.033}}
    assert rtt_ms(stats) == pytest.approx(33)
    stats["r"] = {"type": "remote-inbound-rtp", "kind": "audio", "roundTripTime": None}
    assert rtt_ms(stats) == pytest.approx(33)
    stats["r"]["roundTripTime"] = 0.05
    assert rtt_ms(stats) == pytest.approx(50)


def test_nothing_played_is_no_quality(counters: Any) -> None:
    """No speaker: packets are counted, nothing is pulled."""
    before, after = counters.snapshot(), counters.second()
    after["i"]["totalSamplesReceived"] = before["i"]["totalSamplesReceived"]
    second = received(before, after, 1.0, 1.0)
    assert second.lost_percent == 0.0
    assert (second.mos_lq, second.concealed_percent) == (None, None)


def test_pauses_of_the_sender_are_not_missed(counters: Any) -> None:
    """DTX: a few packets, none lost; what the decoder fills up is a pause."""
    before = counters.snapshot()
    second = received(before, counters.second(packets=3, concealed=40, silent=40, events=2), 1.0, 1.0)
    assert second.concealed_percent == 0.0 and second.mos_lq == pytest.approx(emodel.mos(0))
    before = counters.snapshot()
    outage = received(
        before, counters.second(packets=10, lost=40, concealed=40, silent=30, events=1), 2.0, 1.0
    )
    assert outage.concealed_percent == pytest.approx(80) and outage.mos_lq == 1.0


def test_a_new_stream_counts_from_zero(counters: Any) -> None:
    counters.second(packets=100, lost=30)
    before = counters.snapshot()
    counters.inbound |= {
        "ssrc": 2,
        "packetsReceived": 0,
        "packetsLost": 0,
        "packetsMissing": 0,
        "bytesReceived": 0,
    }
    counters.inbound["headerBytesReceived"] = 0
    second = received(before, counters.second(packets=45, lost=5), 2.0, 1.0)
    assert (second.packets, second.packets_lost) == (45, 5)
    assert second.lost_percent == pytest.approx(10)
    # And when the new one has got further than the old one had.
    before = counters.snapshot()
    counters.inbound |= {"ssrc": 3, "packetsReceived": 0, "packetsLost": 0, "packetsMissing": 0}
    assert received(before, counters.second(packets=50), 3.0, 1.0).packets == 50


def test_packets_found_after_all_are_no_negative_loss(counters: Any) -> None:
    counters.second(packets=45, lost=5)
    before = counters.snapshot()
    second = received(before, counters.second(packets=55, lost=-5), 2.0, 1.0)
    assert second.lost_percent == 0.0 and second.packets_lost == -5


KEYS = [
    "packetsReceived", "packetsLost", "bytesReceived", "headerBytesReceived", "jitter", "latePackets",
    "recoveredFrames", "totalSamplesReceived", "concealedSamples", "silentConcealedSamples",
    "concealmentEvents", "jitterBufferDelay", "jitterBufferTargetDelay", "jitterBufferEmittedCount", "ssrc",
    "packetsSent", "bytesSent", "fractionLost", "roundTripTime", "totalRoundTripTime",
    "roundTripTimeMeasurements", "targetBitrate", "audioLevel",
]  # fmt: skip
entry = st.dictionaries(
    st.sampled_from(KEYS), st.none() | st.integers(-1000, 10**6) | st.floats(0, 1e6), max_size=len(KEYS)
)
snapshots = st.fixed_dictionaries({"i": entry, "o": entry, "r": entry, "p": entry}).map(
    lambda s: {
        id_: {**e, "type": type_}
        for (id_, e), type_ in zip(
            s.items(), ("inbound-rtp", "outbound-rtp", "remote-inbound-rtp", "candidate-pair"), strict=True
        )
    }
)


@given(snapshots, snapshots)
def test_any_counters_and_missing_ones(before: Any, after: Any) -> None:
    """An odd peer's statistics are figures or None, in their ranges; never an exception."""
    second = received(before, after, 1.0, 1.0)
    for name in ("lost_percent", "late_percent", "recovered_percent", "concealed_percent"):
        value = getattr(second, name)
        assert value is None or 0 <= value <= 100
    for value in (second.mos_lq, second.mos_cq):
        assert value is None or 1 <= value <= 4.5
    mine = sent(before, after, 1.0, 1.0)
    assert mine.bitrate_bps is None or math.isfinite(mine.bitrate_bps)
