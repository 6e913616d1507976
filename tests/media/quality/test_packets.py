"""One account of every packet, whatever the network does: the identities that the figures of a report obey."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.quality.html_events import why
from media.quality.packets import Packets, settle
from media.quality.report import QualityReport, document
from media.quality.stats import ReceivedSecond
from media.quality.table import render
from media.simulation.call import DeviceClock, SimulatedCall, simulate
from media.simulation.picture import Pattern
from media.simulation.profiles import PROFILES, get_profile
from media.simulation.video import SimulatedVideo
from media.simulation.voice import generate_voice

FRAME_MS = 20
ODD = (
    "dup=0.1 delay=20",
    "delay=60 jitter=50 reorder=1 loss=0.1 dup=0.05",
    "delay=30 loss=0.6",
    "rate=40 qms=2000 delay=20",
    "delay=20 jitter=120 dist=exp reorder=1 loss=0.05",
)
SHORT = ("wifi", ODD[1])
EVERY = (*PROFILES, *ODD)


def talk(
    network: str, seed: int, *, video: bool = False, seconds: float = 8.0, skew: float = 0.0
) -> SimulatedCall:
    voices = generate_voice(2 * seed, seconds), generate_voice(2 * seed + 1, seconds)
    film = SimulatedVideo(Pattern(160, 120).picture, 15) if video else None
    return simulate(
        get_profile(network), seed, voices, seconds=seconds, metrics=False,
        clocks=(DeviceClock(skew, 5.0, 5.0), DeviceClock(-skew, 5.0, 5.0)), video=(film, film) if film else None,
    )  # fmt: skip


def check_account(packets: Packets, seconds: list[dict[str, Any]]) -> None:
    assert packets.expected == packets.received + packets.lost
    assert packets.received == packets.in_time + packets.late
    assert packets.lost == packets.recovered + packets.missing
    assert min(packets.recovered, packets.missing, packets.late, packets.in_time) >= 0
    for second in seconds:
        lost, recovered = second["packets_lost"], second["packets_recovered"]
        if lost is not None:
            assert 0 <= (recovered or 0) <= lost
            assert (second["recovered_percent"] or 0) <= (second["lost_percent"] or 0) + 1e-9
            expected = second["packets"] + lost
            if expected:
                assert second["lost_percent"] == pytest.approx(100 * lost / expected, abs=1e-3)
    # What the seconds have is what the whole call has, but for what came before the first of them.
    assert sum(s["packets_lost"] or 0 for s in seconds) == packets.lost
    assert sum(s["packets"] or 0 for s in seconds) == pytest.approx(packets.received, abs=2)
    assert sum(s["packets_recovered"] or 0 for s in seconds) <= packets.recovered


def check_sound(end: dict[str, Any]) -> None:
    summary, seconds = end["summary"], end["received"]
    for second in (summary, *seconds):
        concealed = second["concealed_percent"]
        causes = [second[f"concealed_{cause}_percent"] for cause in ("missing", "empty", "broken")]
        assert (concealed is None) == (None in causes)
        if concealed is not None:
            assert sum(causes) == pytest.approx(concealed, abs=0.01), "no concealment without a cause"
        if summary["delay_ms"] is not None:
            assert (second["mos_cq"] is None) == (second["mos_lq"] is None), "of the same seconds"
        if second["mos_cq"] is not None:
            assert second["mos_cq"] <= second["mos_lq"] + 1e-9, (
                "a conversation is never better than its sound"
            )
    worst = summary["worst"]
    if worst is not None and worst["mos_lq"] < max(s["mos_lq"] or 0 for s in seconds):
        (second,) = (s for s in seconds if s["time"] == worst["time"])
        assert second["mos_lq"] == worst["mos_lq"]
        others = [s["codec_bps"] for s in seconds if s["codec_bps"] is not None]
        coded_worse = second["codec_bps"] is None or second["codec_bps"] <= max(others)
        assert second["concealed_percent"] > 0 or (second["stretched_percent"] or 0) > 0 or coded_worse
        assert why(end, second["time"]), "the worst second has what made it so, and the page says it"


def check_concealment_is_explained(report: QualityReport) -> None:
    """What was concealed for missing packets is no more than what was missing and late."""
    packets = report.summary.packets
    assert packets is not None
    played_ms = 1000 * sum(1 for s in report.received if s.concealed_percent is not None)
    concealed_ms = played_ms * (report.summary.concealed_missing_percent or 0.0) / 100
    assert concealed_ms <= (packets.missing + packets.late) * 3 * FRAME_MS + 1  # packets have up to 60 ms


def check_call(network: str, call: SimulatedCall, *, video: bool) -> None:
    reports = (call.caller, call.callee)
    content = json.loads(document(*reports))
    for report, other, end, stats in zip(reports, reports[::-1], content["ends"], call.stats, strict=True):
        packets, sent = report.summary.packets, other.summary.packets_sent
        assert packets is not None and sent is not None
        check_account(packets, end["received"])
        check_sound(end)
        check_concealment_is_explained(report)
        assert end["summary"]["packets"]["lost"] == packets.lost, "the JSON has the same account"
        assert f"{packets.lost} (" in render([report]), "and so has the table"
        # Those before the first that came and those under way at the end are all that nobody knows of.
        unknown = sent - packets.expected
        assert 0 <= unknown <= (130 if "qms=2000" in network else 25)
        if video:
            seen = Packets(**end["video"]["summary"]["packets"])
            check_account(seen, end["video"]["received"])
            assert seen.recovered <= stats["inbound-rtp-video"]["retransmittedPacketsReceived"]


@pytest.mark.parametrize("network", SHORT)
def test_the_account_of_a_call_is_whole(network: str) -> None:
    check_call(network, talk(network, 1, seconds=6.0), video=False)


@pytest.mark.long
def test_the_account_of_a_video_call_is_whole() -> None:
    network = "delay=30 loss=0.08 jitter=10 reorder=1"
    check_call(network, talk(network, 2, video=True, seconds=5.0), video=True)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 6))
@pytest.mark.parametrize("network", EVERY)
def test_the_account_is_whole_on_every_network(network: str, seed: int) -> None:
    check_call(network, talk(network, seed, seconds=20.0, skew=(seed - 4) * 300.0), video=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", (3, 4))
@pytest.mark.parametrize("network", EVERY)
def test_the_account_of_video_is_whole_on_every_network(network: str, seed: int) -> None:
    check_call(network, talk(network, seed, seconds=12.0, video=True), video=True)


COUNT = st.integers(-20, 60)


@given(st.lists(st.tuples(st.integers(0, 60), COUNT, COUNT), min_size=1, max_size=12))
def test_what_turns_out_later_is_put_where_it_was_missed(counts: list[tuple[int, int, int]]) -> None:
    seconds = [
        ReceivedSecond(float(n), packets=p, packets_lost=lost, packets_recovered=won, packets_late=0)
        for n, (p, lost, won) in enumerate(counts, 1)
    ]
    settled = settle(seconds)
    for second in settled:
        assert second.packets_lost is not None and second.packets_recovered is not None
        assert 0 <= second.packets_recovered <= second.packets_lost
    lost = sum(s.packets_lost or 0 for s in settled)
    sums = [sum(c[1] for c in counts[: n + 1]) for n in range(len(counts))]
    if min(sums) >= 0:  # nothing comes that was not missed before
        assert lost == sums[-1], "none is counted twice, none is forgotten"
        assert sum(s.packets_recovered or 0 for s in settled) <= lost


def test_counters_of_a_confused_peer_make_a_whole_account() -> None:
    packets = Packets.of(received=10, lost=-3, late=50, recovered=7, duplicated=-1)
    assert packets == Packets(expected=10, received=10, in_time=0, late=10, lost=0, recovered=0, missing=0)
