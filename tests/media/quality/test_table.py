"""The table at a terminal of 80 columns."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from media.quality import emodel
from media.quality.in_use import CodecInUse
from media.quality.packets import Packets
from media.quality.report import QualityReport
from media.quality.speech import SpeechScore
from media.quality.summary import Summary, Worst
from media.quality.table import WIDTH, make_table, render

WORST_CASE = QualityReport(
    end="+12025550100",
    duration=3599.6,
    versions={"ringline": "0.1.0", "aiortc": "1.16.0", "PyAV": "18.1.0", "libopus": "1.6.1"},
    setup={"ringing": 12.3456, "accepted": 29.9999, "ice_connected": 31.2, "dtls_connected": 32.1, "first_sound": 33.3},
    number="+12025550100",
    peer="+12025550101",
    started_at="2026-11-30T23:59:59.123456+05:30",
    summary=Summary(
        mos_lq=4.408, mos_cq=1.0, worst=Worst(3599.0, 1.234), packets=Packets.of(180000, 0, 179999, 0, 0),
        packets_sent=4320000, concealed_percent=100.0, concealed_missing_percent=100.0, concealed_empty_percent=100.0,
        heard_dbfs=-96.0, said_dbfs=-96.0, jitter_ms=1999.9, jitter_buffer_ms=1999.9, delay_ms=4321.0, rtt_ms=8765.4,
        received_bps=1234567.8, sent_bps=1234567.8, media_bps=128000.0, redundant_bps=128000.0,
        retransmitted_bps=128000.0, wire_bps=12345678.9, target_bitrate_bps=128000.0, remote_mos_lq=4.4,
        remote_mos_cq=1.0, remote_missing_percent=100.0, remote_late_percent=100.0, remote_jitter_buffer_ms=65535.0,
    ),
    codecs=(
        CodecInUse("audio", "sent", "opus", 48000, 2, "useinbandfec=1", ("red", "rtx")),
        CodecInUse("audio", "received", "PCMU", 8000), CodecInUse("video", "sent", "H264", 90000, helpers=("rtx",)),
    ),
    end_reason="hung_up",
    ended="+12025550101 hung up",
    trust="first use, pinned",
    speech=SpeechScore(1987.6, 1999.9, 1.0, 10, 4.64, 4.5),
)  # fmt: skip


def lines(text: str) -> list[str]:
    assert all(line == line.rstrip() for line in text.splitlines())
    return text.splitlines()


def test_nothing_wraps_at_80_columns_with_two_ends() -> None:
    text = render([WORST_CASE, replace(WORST_CASE, end="+12025550101")])
    assert max(map(len, lines(text))) <= WIDTH
    rows = [line for line in lines(text) if line.startswith("│")]
    assert len(rows) == make_table([WORST_CASE]).row_count
    assert all(row.split("│")[1].strip() for row in rows)  # a wrapped row has no label
    assert "1988 ms (95 %: 2000)" in text and "+12025550101 hung up" in text and "3600 s" in text


def test_figures_of_a_call(build: Callable[..., QualityReport]) -> None:
    text = render([build({}, {"packets": 45, "lost": 5, "concealed": 5, "events": 5})])
    bad = emodel.mos(10, burst_ratio=0.9)
    figures = {}
    for row in lines(text):
        if row.startswith("│"):
            label, value = (cell.strip() for cell in row.strip("│").split("│"))
            figures[label] = value
    assert figures["MOS, listening"] == f"poor, {(emodel.mos(0) + bad) / 2:.2f}"
    assert figures["worst second"] == f"{bad:.2f}, 1 to 2 s"
    assert figures["packets sent"] == "100" and figures["packets received"] == "95"
    assert figures["packets lost"] == figures["lost for good"] == "5 (5.00 %)"
    assert figures["loudness, heard / said"] == "-20 / -30 dBFS"
    assert figures["voice: target, sent"] == "32.0 / 24.0 kbit/s"
    assert figures["copies, sent again"] == "8.0 / 0.8 kbit/s"
    assert figures["sent in all, on the wire"] == "54.3 kbit/s"
    assert figures["round trip"] == "60.0 ms"
    assert figures["received / sent"] == "35.0 / 36.8 kbit/s"
    assert figures["first sound"] == "250 ms"
    assert figures["mouth to ear, estimated"] == "116 ms"
    assert not {"PESQ-WB", "ViSQOL", "ringing", "peer's identity", "mouth to ear, measured"} & figures.keys()


def test_what_the_other_side_heard_is_shown() -> None:
    text = render([QualityReport(summary=Summary(remote_mos_lq=3.7, remote_missing_percent=4.3))])
    shown = lines(text)
    start = next(i for i, line in enumerate(shown) if "what the other side heard" in line)
    assert (
        "fair, 3.7" in shown[start + 1]
        and "packets missing" in shown[start + 2]
        and "4.3 %" in shown[start + 2]
    )


def test_rows_without_any_value_are_left_out_and_a_half_known_row_has_a_dash() -> None:
    empty = render([QualityReport(), QualityReport()])
    assert "MOS" not in empty and "the network" not in empty and "measured" in empty
    half = render([WORST_CASE, QualityReport()])
    (row,) = (line for line in half.splitlines() if "PESQ" in line)
    assert [cell.strip() for cell in row.split("│")[1:4]] == ["PESQ-WB", "4.64", "-"]


@pytest.mark.parametrize("title", [None, "wifi", "word " * 40])
def test_title_and_versions_fit(title: str | None) -> None:
    text = render([WORST_CASE], title)
    assert max(map(len, lines(text))) <= WIDTH
    assert text.splitlines()[-1].endswith("libopus 1.6.1")
    assert title is None or text.startswith(title[:60].strip())


def test_brackets_are_text() -> None:
    assert "[bold]gone[/x]" in render([replace(WORST_CASE, ended="[bold]gone[/x]", end="[red]a")])


def test_str_is_the_table() -> None:
    assert str(WORST_CASE) == render([WORST_CASE])
