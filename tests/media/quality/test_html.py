"""The page's content, without a browser (that one: tests/interop/test_report_page.py)."""

import base64
import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from media.io.files import AudioRecorder
from media.quality import html_sounds
from media.quality.figures import FIGURES, clock, describe
from media.quality.html import render_html
from media.quality.html_charts import Chart, charts
from media.quality.html_data import MAX_STEPS, leaves, tables
from media.quality.html_events import moments, why
from media.quality.report import QualityReport, document

Document = dict[str, Any]


@pytest.fixture
def report(build: Callable[..., QualityReport]) -> Document:
    """Two ends; the callee's third second is the worst."""
    good = build({}, {"lost": 1, "recovered": 1}, {}, {})
    bad = build(
        {}, {"lost": 2, "concealed": 1, "events": 1}, {"packets": 40, "lost": 10, "concealed": 9, "events": 2}
    )
    ends = [
        each.with_signaling(
            {"asked": 0.0, "ringing": 0.1, "accepted": 0.2}, "hung_up", trust="verified", end=name
        )
        for each, name in ((good, "caller"), (bad, "callee"))
    ]
    content: Document = json.loads(document(*ends, network="loss5"))
    return content


@pytest.fixture
def video() -> Document:
    """The proposed members of an end with video."""
    seconds = [
        {
            "time": float(t),
            "frames_per_second": 30.0 - t,
            "bitrate_bps": 6e5,
            "lost_percent": 2.0,
            "av_offset_ms": -12.0,
        }
        for t in (1, 2, 3)
    ]
    frames = [
        {"number": n, "time": n / 10, "psnr_db": 39.0, "ssim": None if n % 10 else 0.97, "delay_ms": 60.0}
        for n in range(30)
    ]
    return {
        "received": seconds,
        "sent": [{"time": 1.0, "frames_per_second": 30.0, "bitrate_bps": 7e5, "target_bitrate_bps": 8e5}],
        "freezes": [{"start": 1.5, "duration": 0.5}],
        "loss_runs": {"1": 7},
        "lip_sync": {"av_offset_median_ms": 7.0, "by_flash": [{"time": 1.4, "av_offset_ms": 7.0}]},
        "summary": {
            "frames_per_second": 28.0,
            "freezes": 1,
            "frozen_seconds": 0.5,
            "longest_freeze_ms": 500.0,
        },
        "score": {"psnr_db": 39.0, "ssim": 0.97, "delivered_share": 0.99, "by_frame": frames},
    }


def parse(page: str) -> Any:
    return lxml_html.document_fromstring(page)


def text_of(page: str, xpath: str) -> str:
    return " ".join(" ".join(e.text_content() for e in parse(page).xpath(xpath)).split())


def find(drawn: list[Chart], key: str, end: int) -> Chart:
    return next(chart for chart in drawn if chart.key == key and chart.end == end)


# -- the head


def test_the_summary_names_the_worse_end_and_the_worst_second(report: Document) -> None:
    said = text_of(render_html(report), "//section[starts-with(@class, 'verdict')]")
    mos = report["ends"][1]["summary"]["mos_cq"]
    assert f"The worse side was heard at the callee: MOS {mos:.2f}" in said
    worst = report["ends"][1]["summary"]["worst"]["mos_lq"]
    assert f"Worst second: 0:02 to 0:03 at the callee, MOS {worst:.2f}" in said
    assert "18 % of the sound concealed, 20 % of the packets lost" in said


def test_equal_ends_and_a_single_end(report: Document) -> None:
    both = copy.deepcopy(report)
    both["ends"][0] = {**both["ends"][1], "end": "caller"}
    assert "Both ends heard about the same" in render_html(both)
    one = {**report, "ends": report["ends"][:1]}
    page = render_html(one)
    said = text_of(page, "//section[starts-with(@class, 'verdict')]")
    assert "of 4.5 at the caller" in said and "MOS 4.41, still good" in said
    assert len(parse(page).xpath("//article")) == 1


def test_what_the_other_side_heard_is_on_the_card(report: Document) -> None:
    one = copy.deepcopy({**report, "ends": report["ends"][:1]})
    assert "Heard at the other side" not in render_html(one)
    one["ends"][0]["summary"] |= {"remote_mos_lq": 3.7, "remote_jitter_buffer_ms": 81.0}
    said = text_of(render_html(one), "//article")
    assert "Heard at the other side" in said and "MOS, listening, there" in said
    assert "3.7" in said and "81" in said


def test_names_of_ends_in_a_sentence(report: Document) -> None:
    for name, said in (
        ("this end", "at this end"),
        ("+12025550100", "at +12025550100"),
        ("callee", "at the callee"),
    ):
        page = render_html({**report, "ends": [{**report["ends"][1], "end": name}]})
        assert f"of 4.5 {said}." in page and f"0:03 {said}, MOS" in page


def test_a_call_without_sound_is_not_judged() -> None:
    page = render_html({"ends": [{"end": "caller"}]})
    assert "Nothing was heard that could be judged" in page
    assert "–" in text_of(page, "//article//span[@class='big']")


def test_the_delay_is_told_where_it_costs(report: Document) -> None:
    for end in report["ends"]:
        end["summary"].update(mos_lq=4.4, mos_cq=3.1, delay_ms=450.0)
    page = render_html(report)
    assert "the delay costs 1.3" in page and "Poor call" in page
    assert "450 ms" in text_of(page, "//dd[@class='bad']").replace("\xa0", " ")


def test_video_is_told(report: Document, video: Document) -> None:
    assert "Picture" not in text_of(render_html(report), "//article")
    report["ends"][0]["video"] = video
    page = render_html(report)
    assert "ran at 28 frames a second on average, and froze once, 0.5 s at the longest" in page
    card = text_of(page, "//article[@data-end='0']").replace("\xa0", " ")
    for shown in ("PSNR39.0 dB", "Frames a second28.0 fps", "Freezes1", "Frozen0.5 s", "99.0 %"):
        assert shown in card


# -- charts


def test_charts_have_the_report_s_figures(report: Document) -> None:
    drawn = charts(report)
    for index, end in enumerate(report["ends"]):
        loss = find(drawn, "loss", index)
        by_name = {trace.name: trace for trace in loss.traces}
        heard = by_name["concealed: what was heard"]
        assert heard.y == [second["concealed_percent"] for second in end["received"]]
        assert heard.x == [0.5, *(t + 0.5 for t in range(1, len(heard.x)))]
        assert heard.edges == (0.0, float(len(heard.x)))
        rate = next(t for t in find(drawn, "rate", index).traces if t.name == "received")
        assert rate.y == [second["bitrate_bps"] / 1000 for second in end["received"]]


def test_a_row_has_one_scale_and_one_chart_an_end(report: Document) -> None:
    drawn = charts(report)
    keys = list(dict.fromkeys(chart.key for chart in drawn))
    assert keys == ["mos", "loss", "delay", "rate", "level"]
    for key in keys:
        row = [chart for chart in drawn if chart.key == key]
        assert [chart.end for chart in row] == [0, 1]
        assert len({chart.limits for chart in row}) == 1
    limits = find(drawn, "loss", 0).limits
    assert limits is not None and limits[1] > 20.0  # the callee's, too


def test_rows_of_video_only_where_there_is_some(report: Document, video: Document) -> None:
    report["ends"][0]["video"] = video
    drawn = charts(report)
    assert {"fps", "video_rate", "video_loss", "video_delay", "av", "psnr", "ssim"} <= {c.key for c in drawn}
    assert find(drawn, "fps", 1).traces == ()
    assert [(s.start, s.end) for s in find(drawn, "fps", 0).spans] == [(1.5, 2.0)]
    assert find(drawn, "ssim", 0).traces[0].y == [0.97] * 3  # of every tenth frame, and no gap between
    estimated, measured = find(drawn, "av", 0).traces
    assert (estimated.y, measured.y, measured.style) == ([-12.0] * 3, [7.0], "dots")
    low, high = find(drawn, "av", 0).limits or (0, 0)
    assert -low == high > 40


def test_what_is_not_known_is_a_gap(report: Document) -> None:
    report["ends"][0]["received"][1].update(mos_lq=None, mos_cq="no number")
    quality = find(charts(report), "mos", 0)
    assert [trace.y[1] for trace in quality.traces] == [None, None]


@pytest.mark.long
def test_a_long_call_keeps_its_worst_second() -> None:
    received = [
        {"time": float(t), "mos_lq": 1.5 if t == 7000 else 4.4, "lost_percent": t % 2}
        for t in range(1, 10_001)
    ]
    drawn = charts({"ends": [{"received": received}]})
    quality, loss = find(drawn, "mos", 0).traces[0], find(drawn, "loss", 0).traces[0]
    assert len(quality.y) <= MAX_STEPS and min(v for v in quality.y if v is not None) == 1.5
    assert loss.y[0] == pytest.approx(9 / 17, abs=1e-4)  # of seconds 1 to 17
    assert quality.edges[1] == 10_000
    assert "A step is 17 seconds" in render_html({"ends": [{"received": received}]})


def test_a_single_end_shows_what_the_other_reports(report: Document) -> None:
    assert "remote" not in {chart.key for chart in charts(report)}
    report["ends"].pop()
    assert find(charts(report), "remote", 0).traces[0].y == [2.0] * 4


# -- events


def test_events_outages_and_silence(report: Document) -> None:
    end = report["ends"][0]
    for index, heard in ((1, 100.0), (2, 100.0), (3, None)):
        end["received"][index].update(packets=0, concealed_percent=heard)
    end["events"] = [{"time": 0.5, "kind": "network_change", "text": "a new address"}, {"kind": "no time"}, 3]
    found = [(s.kind, s.start, s.end, s.name) for s in moments(end) if s.kind != "worst"]
    assert found == [
        ("event", 0.5, 0.5, "network change"),
        ("outage", 1.0, 3.0, "no packet came"),
        ("silence", 3.0, 4.0, "the other end was silent"),
    ]
    assert why(end, 2.0) == "no packet came"


def test_why_names_the_delay_where_nothing_was_lost(report: Document) -> None:
    assert why(report["ends"][0], 1.0).endswith("mouth to ear")
    assert why(report["ends"][0], 99.0) == ""


# -- set-up and loss runs


def test_the_waterfall_goes_by_time(report: Document) -> None:
    report["ends"][0]["setup"] = {
        "asked": 0.0,
        "first_sound": 0.8,
        "ringing": 0.1,
        "accepted": None,
        "ice": 0.4,
    }
    page = parse(render_html({**report, "ends": report["ends"][:1]}))
    rows = page.xpath("//table[@class='waterfall']//tr")
    assert [r.xpath("string(th)") for r in rows] == ["Ringing", "Ice", "First sound"]
    assert [r.xpath("string(td[2])") for r in rows] == ["100\xa0ms", "400\xa0ms", "800\xa0ms"]
    assert "left:50.00%" in rows[2].xpath("td/i/@style")[0]


def test_loss_runs(report: Document) -> None:
    assert "in a row" not in render_html(report)
    report["ends"][0]["loss_runs"] = {"1": 10, "3": 2, "40": 1, "0": 5, "x": 1, "2": "two"}
    page = parse(render_html(report))
    bars = page.xpath("//ol[@class='histogram']/li")
    assert [b.xpath("string(b)") for b in bars] == ["10", "", "2", *[""] * 21, "1"]
    assert bars[-1].xpath("string(span)") == "25+"


# -- one file, safe


def test_nothing_is_loaded_from_elsewhere(report: Document) -> None:
    page = render_html(report)
    tree = parse(page)
    assert not tree.xpath("//script/@src | //img | //iframe | //object")
    assert tree.xpath("//link/@href") == ["data:,"]
    assert "@import" not in page.split("</style>")[0] and "url(" not in page.split("</style>")[0]
    policy = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy


def test_words_of_others_stay_words(report: Document, video: Document) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028'\""
    end = report["ends"][0]
    end.update(
        end=evil, end_reason=evil, trust=evil, versions={evil: evil}, video=video, **{evil: [{evil: evil}]}
    )
    end["setup"][evil] = 0.3
    end["events"] = [{"time": 1.0, "kind": evil, "text": evil}]
    report["network"] = evil
    page = render_html(report, title=evil, sounds={evil: Path("none.wav")})
    tree = parse(page)
    assert len(tree.xpath("//script")) == 2
    assert not tree.xpath("//img") and not tree.xpath("//@onerror")
    assert json.loads(tree.xpath("//script[@id='content']")[0].text)["document"] == report


def test_all_figures(report: Document, video: Document) -> None:
    report["ends"][1]["video"] = video
    report["clock"] = {"speaker_started": 12.5, "extra": [1, 2]}
    tree = parse(render_html(report))
    shown = {cell.get("data-path"): cell.text_content() for cell in tree.xpath("//td[@data-path]")}
    ends = {f"ends.{i}.{path}": value for i, end in enumerate(report["ends"]) for path, value in leaves(end)}
    others = dict(leaves({k: v for k, v in report.items() if k != "ends"}))
    expected = {path: "null" if v is None else str(v) for path, v in (ends | others).items()}
    assert shown == expected
    lists = [json.loads(path) for path in tree.xpath("//details/@data-list")]
    assert ["ends", 1, "video", "score", "by_frame"] in lists and ["clock", "extra"] in lists
    assert len(lists) == 1 + sum(1 for end in report["ends"] for _ in tables(end))


def test_the_same_report_gives_the_same_page(report: Document) -> None:
    assert render_html(report) == render_html(copy.deepcopy(report))


# -- any document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(content=st.dictionaries(st.sampled_from(["ends", "network", "schema"]), JSON, max_size=3))
def test_any_document(content: Document) -> None:
    try:
        page = render_html(content)
    except ValueError as error:
        assert "ends" in str(error)
    else:
        json.loads(parse(page).xpath("//script[@id='content']")[0].text)


@QUICK
@given(draw=st.data())
def test_any_member_may_be_of_any_type(report: Document, video: Document, draw: st.DataObject) -> None:
    content = copy.deepcopy(report)
    content["ends"][0].update(video=copy.deepcopy(video), events=[{"time": 1.0}], loss_runs={"1": 2})
    for _ in range(draw.draw(st.integers(1, 3))):
        place: Any = content["ends"][0]
        while True:
            key = draw.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            inner = place[key]
            if not inner or not isinstance(inner, dict | list) or draw.draw(st.booleans()):
                break
            place = inner
        place[key] = draw.draw(JSON)
    render_html(content)


# -- sounds


def tone(path: Path, seconds: float) -> Path:
    recorder = AudioRecorder(path)
    time = np.arange(round(48_000 * seconds)) / 48_000
    recorder.write((8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16))
    recorder.close()
    return path


def test_a_short_sound_is_in_the_page(report: Document, tmp_path: Path) -> None:
    page = parse(render_html(report, sounds={"callee heard": tone(tmp_path / "a.wav", 2.0)}))
    source = page.xpath("//audio/@src")[0]
    kind, content = source.split(",", 1)
    assert kind == "data:audio/webm;base64" and len(content) < 40_000
    with av.open(io.BytesIO(base64.b64decode(content))) as opened:
        assert opened.streams.audio[0].codec_context.name in ("opus", "libopus")
        heard = np.concatenate([f.to_ndarray().ravel() for f in opened.decode(audio=0)])
    assert len(heard) / 48_000 == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard[:48_000]))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert page.xpath("//button[@data-seek]/@data-seek") == ["0.50"]  # worst second from 2 s
    assert str(tmp_path) not in lxml_html.tostring(page).decode()


def test_a_long_sound_is_a_link(report: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_sounds, "MAX_EMBEDDED", 1.0)
    (tmp_path / "sounds").mkdir()
    path = tone(tmp_path / "sounds" / "a b.wav", 1.5)
    page = parse(render_html(report, sounds={"x": path}, folder=tmp_path))
    assert page.xpath("//audio/@src") == page.xpath("//figure//a/@href") == ["sounds/a%20b.wav"]
    assert parse(render_html(report, sounds={"x": path})).xpath("//audio/@src") == ["a%20b.wav"]


@pytest.mark.long
def test_the_page_is_small_however_long_the_call(report: Document) -> None:
    """Two hours, with all that two ends said and heard: under 2 MB, and every figure is told where it is."""
    seconds = [report["ends"][0]["received"][0] | {"time": float(t)} for t in range(1, 7201)]
    for end in report["ends"]:
        end.update(
            received=seconds, sent=[report["ends"][0]["sent"][0] | {"time": s["time"]} for s in seconds]
        )
    noise = np.random.default_rng(1).integers(-9000, 9000, 48_000 * 120).astype(np.int16)
    page = render_html(
        report, sounds={f"{end} {what}": noise for end in ("caller", "callee") for what in ("said", "heard")}
    )
    assert len(page) < 2_000_000
    assert "caller said, the first 83 s" in page and "they are in report.json" in page


def test_what_was_said_and_heard_is_as_long_in_the_page(report: Document) -> None:
    sounds = {name: np.ones(48_000 * 3, np.int16) for name in ("caller said", "callee heard")}
    lengths = []
    for source in parse(render_html(report, sounds=sounds)).xpath("//audio/@src"):
        with av.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as opened:
            lengths.append(sum(frame.samples for frame in opened.decode(audio=0)))
    assert len(lengths) == 2 and lengths[0] == lengths[1] == pytest.approx(48_000 * 3, abs=2000)


def test_what_happened_is_listed_and_what_always_happens_is_not(report: Document) -> None:
    assert "What happened" not in render_html(report)
    report["ends"][1]["events"] = [
        {"time": 0.1, "kind": "connected"}, {"time": 2.0, "kind": "muted", "text": "by the peer"}, {"time": 4.0, "kind": "closed"},
    ]  # fmt: skip
    assert text_of(render_html(report), "//ul[@class='events']") == "0:02muted: by the peer, callee"


def test_who_called_whom_when_and_with_what(report: Document) -> None:
    caller, callee = report["ends"]
    caller.update(
        number="+12025550100",
        peer="+12025550101",
        started_at="2026-11-30T10:49:26+01:00",
        ended="you hung up",
    )
    callee.update(number="+12025550101", peer="+12025550100", ended="+12025550100 hung up")
    codec = {
        "kind": "audio",
        "direction": "sent",
        "name": "opus",
        "clock_rate": 48000,
        "parameters": "useinbandfec=1",
    }
    caller["codecs"] = [codec | {"helpers": ["red", "rtx"]}]
    told = text_of(render_html(report), "//p[@class='facts']")
    assert "+12025550100 called +12025550101 · 2026-11-30, 10:49 UTC+0100" in told
    assert "Opus, FEC, RED, RTX" in told and "ended: +12025550100 hung up" in told
    assert "+12025550100 called +12025550101" in render_html({"ends": [callee]}).replace("<b>", "").replace(
        "</b>", ""
    )


def test_the_account_of_packets_and_of_the_rate_is_whole(report: Document) -> None:
    card = text_of(render_html(report), "//article[@data-end='1']")
    assert "Packets: 203. 190 in time 13 lost for good" in card or "Packets:" in card
    assert "kbit/s (the codec's target: 32)." in card and "8.0 copies of it" in card and "24.0 voice" in card


def test_a_sound_that_cannot_be_read_is_told(report: Document, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + bytes(40))
    for name in ("none.wav", "broken.wav"):
        page = render_html(report, sounds={"x": tmp_path / name})
        assert "cannot be read" in text_of(page, "//section[@id='sounds']")
        assert not parse(page).xpath("//audio")


# -- figures


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("mos_lq", 3.684, "3.68"),
        ("delay_ms", None, "–"),
        ("bitrate_bps", 1_234_567.0, "1\u202f234.6 kbit/s"),
        ("ringing", 0.0321, "32 ms"),
        ("jitter_ms", -0.04, "0.0 ms"),
        ("av_offset_ms", -12.4, "−12 ms"),
        ("something_new_ms", 1.5, "1.50 ms"),
        ("another", 2.0, "2.00"),
    ],
)
def test_figures_are_written_with_their_units(name: str, value: float | None, shown: str) -> None:
    assert describe(name).text(value).replace("\xa0", " ") == shown


def test_every_figure_of_the_schema_has_a_label(report: Document) -> None:
    names = {
        name
        for end in report["ends"]
        for name in (*end["summary"], *end["received"][0], *end["sent"][0], *end["setup"])
    }
    assert names - set(FIGURES) == {"worst"}


def test_clock() -> None:
    assert [clock(s) for s in (0, 9.6, 75, 3725)] == ["0:00", "0:10", "1:15", "1:02:05"]
