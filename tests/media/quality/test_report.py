"""Reports of calls made of hand-made seconds."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.quality import emodel, report
from media.quality.report import SETUP_STEPS, QualityReport, ReportBuilder, Summary, document
from media.quality.speech import SpeechScore

Build = Callable[..., QualityReport]
SPEECH = SpeechScore(121.23456, 140.0, 1.0, 12, 4.1, None)


def test_none_until_measured(counters: Any) -> None:
    builder = ReportBuilder({})
    empty = builder.build()
    assert empty == QualityReport() and empty.summary == Summary()
    for _ in range(3):
        counters.now += 1
        builder.sample(counters.snapshot(), counters.now)
    ringing = builder.build()
    assert len(ringing.received) == 2
    assert ringing.received[0].mos_lq is None and ringing.received[0].lost_percent is None
    assert all(getattr(ringing.summary, f.name) is None for f in fields(Summary) if f.name not in ("rtt_ms",))
    assert ringing.setup == dict.fromkeys(SETUP_STEPS)


def test_means_and_the_worst_second(build: Build) -> None:
    bad = {"packets": 40, "lost": 10, "concealed": 10, "events": 5}
    made = build({}, {}, bad, {}, bad)
    assert [s.time for s in made.received] == [1, 2, 3, 4, 5]
    assert made.duration == 5
    assert made.summary.lost_percent == pytest.approx(2 * 20 / 5)
    assert made.summary.worst is not None
    assert made.summary.worst.time == 3  # the first of equal ones
    assert made.summary.worst.mos_lq == made.received[2].mos_lq == pytest.approx(emodel.mos(20, 0, 1.6))
    good = emodel.mos(0)
    assert made.summary.mos_lq == pytest.approx((3 * good + 2 * emodel.mos(20, 0, 1.6)) / 5)
    assert made.setup["first_sound"] == 0.25 and made.setup["ringing"] is None


def test_a_bad_start_does_not_weigh_on_the_rest(build: Build) -> None:
    made = build({"packets": 5, "lost": 45, "concealed": 45, "events": 1}, {}, {})
    assert [s.concealed_percent for s in made.received] == [90, 0, 0]


MUTED = {"packets": 0, "concealed": 50, "silent": 50}


def test_seconds_of_a_silent_sender_have_no_quality(build: Build) -> None:
    start = {"packets": 25, "concealed": 25, "silent": 15, "events": 1}
    made = build({}, start, MUTED, MUTED, {}, {})
    assert [s.mos_lq is None for s in made.received] == [False, False, True, True, False, False]
    assert made.received[2].concealed_percent is None and made.received[2].packets == 0
    assert made.summary.worst is not None and made.summary.worst.time == 2


def test_seconds_of_an_outage_are_the_worst_there_are(build: Build) -> None:
    back = {"packets": 50, "lost": 100}
    made = build({}, MUTED, MUTED, back, {})
    assert [s.mos_lq == 1.0 for s in made.received] == [False, True, True, False, False]
    assert made.summary.worst is not None and (made.summary.worst.time, made.summary.worst.mos_lq) == (2, 1.0)


def test_the_last_second_of_a_peer_that_hung_up_is_not_the_worst(build: Build) -> None:
    made = build({}, {}, MUTED)
    assert made.received[-1].mos_lq is None
    assert made.summary.worst is not None and made.summary.worst.mos_lq == pytest.approx(emodel.mos(0))


def test_what_is_made_up_behind_the_last_packet_of_a_call_was_not_missed(build: Build) -> None:
    """The word that the peer has hung up comes behind its last packet: a few frames later, or in the next second."""
    good = emodel.mos(0)
    stopped = {"packets": 40, "concealed": 10, "at_end": 10, "events": 1}
    for seconds in (({}, {}, stopped), ({}, {}, stopped, MUTED)):
        made = build(*seconds)
        assert made.received[2].concealed_percent == made.summary.concealed_empty_percent == 0
        assert made.received[2].mos_lq == pytest.approx(good) == made.summary.mos_lq
    gap_before = build({}, stopped | {"packets": 35, "lost": 5, "concealed": 15, "events": 2})
    assert gap_before.received[1].concealed_percent == pytest.approx(100 * 5 / 40)
    assert gap_before.summary.worst is not None and gap_before.summary.worst.mos_lq < 2
    went_on = build({}, stopped, {}, {})
    assert went_on.received[1].concealed_percent == 20
    vanished = build({}, stopped, MUTED, MUTED, MUTED)
    assert vanished.received[1].concealed_percent == 20


def test_a_peer_that_vanished_is_an_outage(build: Build) -> None:
    made = build({}, MUTED, MUTED, MUTED)
    assert [s.mos_lq for s in made.received[1:]] == [1.0, 1.0, 1.0]


def test_a_short_rest_joins_the_second_before_it(build: Build) -> None:
    made = build({}, {}, {"packets": 2, "concealed": 1, "lost": 1, "seconds": 0.06, "events": 1})
    assert [s.time for s in made.received] == [pytest.approx(1), pytest.approx(2.06)]
    assert made.received[-1].packets == 52
    assert made.received[-1].concealed_percent == pytest.approx(100 * 960 / (1.06 * 48_000))
    assert len(made.sent) == 2


def test_quick_samples_make_seconds_all_the_same(counters: Any) -> None:
    builder = ReportBuilder({})
    builder.sample(counters.snapshot(), counters.now)
    for _ in range(100):
        builder.sample(counters.second(packets=5, seconds=0.1), counters.now)
    made = builder.build()
    assert 6 <= len(made.received) <= 11
    assert sum(s.packets or 0 for s in made.received) == 500


def test_time_does_not_run_back(counters: Any) -> None:
    builder = ReportBuilder({})
    builder.sample(counters.snapshot(), 5.0)
    builder.sample(counters.second(), 5.0)
    builder.sample(counters.second(), 4.0)
    assert builder.build().received == ()


def test_the_series_is_bounded(counters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_SECONDS", 10)
    builder = ReportBuilder({})
    for number in range(30):
        muted = MUTED if 12 < number < 26 else {}
        builder.sample(counters.second(**muted), counters.now)
    made = builder.build()
    assert len(made.received) == len(made.sent) == 10
    assert made.received[-1].time == 29
    assert [s.mos_lq is None for s in made.received] == [True] * 6 + [False] * 4


def test_signaling_and_speech_are_joined(build: Build) -> None:
    timings = {"asked": 0.0, "ringing": 0.3, "accepted": 2.5, "hung_up": 9.0}
    joined = build({}).with_signaling(timings, "hangup", trust="known", end="caller", offset=-0.5)
    known = {"asked": 0.0, "ringing": 0.3, "accepted": 2.5, "first_sound": 0.75}
    assert joined.setup == dict.fromkeys(SETUP_STEPS) | known
    assert (joined.end, joined.end_reason, joined.trust) == ("caller", "hangup", "known")
    assert joined.with_speech(SPEECH).to_dict()["speech"]["mouth_to_ear_median_ms"] == 121.2346


def test_json_is_the_same_every_time_and_can_be_read_back(build: Build) -> None:
    made = build({}, {"lost": 3, "packets": 47, "concealed": 2, "events": 1}).with_speech(SPEECH)
    text = document(made, made, network="wifi")
    assert text == document(made, made, network="wifi")
    content = json.loads(text)
    assert content["schema"] == "ringline-report/1" and content["network"] == "wifi"
    again = QualityReport.from_dict(content["ends"][0])
    assert again.to_dict() == made.to_dict()
    assert document(again, again, network="wifi") == text
    assert QualityReport.from_dict({}) == QualityReport()
    assert json.loads(made.to_json())["network"] is None


def test_what_is_no_number_does_not_reach_the_json(build: Build) -> None:
    odd = build({}).with_speech(SpeechScore(float("nan"), float("inf"), -0.0, 1))
    speech = json.loads(odd.to_json(), parse_constant=pytest.fail)["ends"][0]["speech"]
    assert (speech["mouth_to_ear_median_ms"], speech["mouth_to_ear_p95_ms"]) == (None, None)
    assert "-0.0" not in odd.to_json()


@pytest.mark.parametrize(
    "wrong",
    [[], {"duration": "long"}, {"duration": True}, {"received": {}}, {"received": [3]}, {"sent": [{}]},
     {"summary": {"worst": {"time": 1}}}, {"end": 5}, {"setup": []}, {"versions": 1}, {"speech": "good"},
     {"received": [{"time": float("nan")}]}],
)  # fmt: skip
def test_what_is_no_report_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        QualityReport.from_dict(wrong)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([f.name for f in fields(QualityReport)]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(json_values)
def test_any_json_is_a_report_or_a_value_error(value: Any) -> None:
    try:
        document(QualityReport.from_dict(value))
    except ValueError:
        pass
