"""The head of the page: what somebody decides from. Plain HTML; needs no script."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from media.quality import html_data as data
from media.quality.emodel import verdict
from media.quality.figures import FIGURES, clock, describe
from media.quality.html_events import why, worst_interval
from media.quality.in_use import CodecInUse

End = Mapping[str, Any]

# What a card shows, where the report has it; (path, limits) colour a figure from which on it is felt and bad.
_SYNC = (40.0, 90.0)  # our aim; BT.1359: acceptable while the sound is no more than 90 ms ahead
_Shown = tuple[tuple[tuple[str, ...], tuple[float, float] | None], ...]
_CARD: tuple[tuple[str, _Shown], ...] = (
    (
        "Sound",
        (
            (("summary", "mos_lq"), None),
            (("summary", "concealed_percent"), None),
            (("summary", "concealed_empty_percent"), None),
            (("summary", "stretched_percent"), None),
            (("summary", "codec_bps"), None),
            (("summary", "heard_dbfs"), None),
            (("summary", "said_dbfs"), None),
            (("speech", "pesq_wb"), None),
            (("speech", "visqol"), None),
            # G.114: up to 150 ms most do not notice, above 400 ms is not acceptable.
            (("speech", "mouth_to_ear_median_ms"), (150.0, 400.0)),
            (("summary", "delay_ms"), (150.0, 400.0)),
            (("setup", "first_sound"), None),
        ),
    ),
    (
        "Network",
        (
            (("summary", "rtt_ms"), None),
            (("summary", "jitter_ms"), None),
            (("summary", "jitter_buffer_ms"), None),
            (("summary", "received_bps"), None),
            (("summary", "wire_bps"), None),
        ),
    ),
    (
        "Heard at the other side, as it told last",
        (
            (("summary", "remote_mos_lq"), None),
            (("summary", "remote_mos_cq"), None),
            (("summary", "remote_missing_percent"), None),
            (("summary", "remote_late_percent"), None),
            (("summary", "remote_jitter_buffer_ms"), None),
        ),
    ),
    (
        "Picture",
        (
            (("video", "summary", "frames_per_second"), None),
            (("video", "summary", "freezes"), (0.5, 5.0)),
            (("video", "summary", "frozen_seconds"), None),
            (("video", "score", "psnr_db"), None),
            (("video", "score", "ssim"), None),
            (("video", "score", "delivered_share"), None),
            (("video", "score", "delay_median_ms"), (150.0, 400.0)),
            (("video", "lip_sync", "av_offset_median_ms"), _SYNC),
            (("video", "summary", "av_offset_ms"), _SYNC),
            (("video", "summary", "received_bps"), None),
        ),
    ),
)
_ALWAYS = ("Sound", "Network")
# Under which heading the account of a stream's packets stands.
_ACCOUNTS = {"Network": ("summary",), "Picture": ("video", "summary")}
# A delay that costs less than this in MOS is not worth a sentence.
_FELT = 0.1
_STILL_GOOD = 4.03  # emodel.verdict


def score(end: End) -> float | None:
    """The MOS by which this end is judged: with the delay where that is known."""
    mos = data.figure(end, "summary", "mos_cq")
    return data.figure(end, "summary", "mos_lq") if mos is None else mos


def level(mos: float | None) -> str:
    """The class of a MOS for the style sheet."""
    return "none" if mos is None else verdict(mos).replace(" ", "-")


def verdict_html(ends: Sequence[End]) -> str:
    """The first thing on the page: how good the call was, for whom worse, and its worst second."""
    judged = [(mos, end) for end in ends if (mos := score(end)) is not None]
    if not judged:
        return (
            '<section class="verdict none"><h2>Nothing was heard that could be judged</h2>'
            "<p>No end received sound for a second.</p></section>"
        )
    mos, worse = min(judged, key=lambda each: each[0])
    word = verdict(mos)
    sentences = []
    if len(judged) > 1:
        best = max(judged, key=lambda each: each[0])[0]
        if best - mos < _FELT:
            sentences.append(f"Both ends heard about the same, MOS {mos:.2f} at the lower.")
        else:
            sentences.append(
                f"The worse side was heard at {data.place(worse)}: MOS {mos:.2f} against {best:.2f}."
            )
    else:
        sentences.append(f"MOS {mos:.2f} of 4.5 at {data.place(worse)}.")
    listening = data.figure(worse, "summary", "mos_lq")
    if listening is not None and listening - mos >= _FELT:
        sentences.append(f"Of that, the delay costs {listening - mos:.1f}.")
    paragraphs = [" ".join(sentences), *_picture(ends)]
    body = "".join(f"<p>{escape(p)}</p>" for p in paragraphs)
    return (
        f'<section class="verdict {level(mos)}"><h2>{escape(word.capitalize())} call</h2>'
        f"{body}{_worst(ends)}</section>"
    )


def _worst(ends: Sequence[End]) -> str:
    """The worst second of all ends, with its reason."""
    found = []
    for end in ends:
        mos, interval = data.figure(end, "summary", "worst", "mos_lq"), worst_interval(end)
        if mos is not None and interval is not None:
            found.append((mos, interval, end))
    if not found:
        return ""
    mos, (start, stop), end = min(found, key=lambda each: each[0])
    reason = why(end, stop)
    still = ", still good" if mos >= _STILL_GOOD else ""
    text = f"{clock(start)} to {clock(stop)} at {data.place(end)}, MOS {mos:.2f}{still}"
    return (
        f'<p class="worst"><strong>Worst second:</strong> {escape(text)}'
        f"{escape(f' ({reason})' if reason else '')}.</p>"
    )


def _picture(ends: Sequence[End]) -> list[str]:
    """A sentence about the video, where there is some."""
    rates = [
        v for end in ends if (v := data.figure(end, "video", "summary", "frames_per_second")) is not None
    ]
    if not rates:
        return []
    freezes = sum(data.figure(end, "video", "summary", "freezes") or 0 for end in ends)
    longest = max((data.figure(end, "video", "summary", "longest_freeze_ms") or 0 for end in ends), default=0)
    each = sorted({f"{rate:.0f}" for rate in (min(rates), max(rates))}, key=float)
    told = f"The picture ran at {' to '.join(each)} frames a second on average"
    if not freezes:
        return [f"{told}, without a freeze."]
    times = "once" if freezes == 1 else f"{freezes:.0f} times"
    length = f", {longest / 1000:.1f} s at the longest" if longest else ""
    return [f"{told}, and froze {times}{length}."]


def card_html(end: End, index: int) -> str:
    """What one end heard and saw: its MOS, large, and its figures."""
    mos = score(end)
    figures = ""
    for title, shown in _CARD:
        account = _account_html(end, *_ACCOUNTS[title]) if title in _ACCOUNTS else ""
        if part := "".join(_figure(end, *each) for each in shown):
            figures += _group(title, f"{account}<dl>{part}</dl>", always=title in _ALWAYS)
    big = "–" if mos is None else f"{mos:.2f}"
    word = "not judged" if mos is None else verdict(mos)
    share = 0 if mos is None else max(0.0, min(1.0, (mos - 1) / 3.5)) * 100
    kind = "mos_cq" if data.figure(end, "summary", "mos_cq") is not None else "mos_lq"
    label = FIGURES[kind].label
    return (
        f'<article class="card" data-end="{index}"><h3>At {escape(data.place(end))}</h3>'
        f'<p class="score {level(mos)}"><span class="big">{big}</span>'
        f'<span class="word"><b>{escape(word)}</b><br><small>{escape(label)}, 1 to 4.5</small></span></p>'
        f'<div class="scale" role="img" aria-label="{escape(label)} {big} of 4.5">'
        f'<i style="left:{share:.1f}%"></i></div>'
        f"{figures}{_sent_html(end)}{_path_line(end)}</article>"
    )


# What became of packets, and what a sender's rate is made of: member, words.
_FATES = (
    ("in_time", "in time"),
    ("late", "too late"),
    ("recovered", "lost, recovered"),
    ("missing", "lost for good"),
)
_RATES = (
    ("voice", "media_bps", "voice"),
    ("copies", "redundant_bps", "copies of it"),
    ("again", "retransmitted_bps", "sent again"),
    ("headers", None, "RTP headers"),
    ("rtcp", "rtcp_bps", "RTCP"),
)


def _account_html(end: End, *where: str) -> str:
    """What became of every packet, as a bar whose parts make up the whole."""
    counts = [(key, words, data.figure(end, *where, "packets", key)) for key, words in _FATES]
    whole = data.figure(end, *where, "packets", "expected")
    parts = [(key, words, count) for key, words, count in counts if count]
    if not whole or not parts:
        return ""
    return _bar(f"Packets: {whole:.0f}", [(k, w, c, f"{c:.0f}") for k, w, c in parts])


def _sent_html(end: End) -> str:
    """What the rate that this end sent was made of."""
    total, parts = data.figure(end, "summary", "sent_bps"), []
    told = {key: data.figure(end, "summary", member) for key, member, _ in _RATES if member}
    if not total or told["voice"] is None:
        return ""
    told["headers"] = max(0.0, total - told["voice"] - (told["copies"] or 0.0))
    for key, _, words in _RATES:
        if rate := told[key]:
            parts.append((key, words, rate, f"{rate / 1000:.1f}"))
    target = data.figure(end, "summary", "target_bitrate_bps")
    aim = f" (the codec's target: {target / 1000:.0f})" if target else ""
    sound = sum(rate for _, _, rate, _ in parts)
    return _group("Sent, for the sound", _bar(f"{sound / 1000:.1f} kbit/s{aim}", parts), always=False)


def _group(title: str, content: str, *, always: bool) -> str:
    """Figures under a heading; on a phone, which has little room, some are opened by who wants them."""
    if always:
        return f"<h4>{title}</h4>{content}"
    return f'<details class="part" open><summary><h4>{title}</h4></summary>{content}</details>'


def _bar(title: str, parts: Sequence[tuple[str, str, float, str]]) -> str:
    bars = "".join(f'<i class="k-{key}" style="flex:{size:.4g}"></i>' for key, _, size, _ in parts)
    words = "".join(
        f'<span><i class="k-{key}"></i>{escape(shown)} {escape(name)}</span>' for key, name, _, shown in parts
    )
    return f'<div class="fates">{bars}</div><p><b>{escape(title)}.</b> {words}</p>'


def _path_line(end: End) -> str:
    """Which way the packets went: types of candidates, and how this end's relay is reached."""
    local, remote = data.text(end, "path", "local"), data.text(end, "path", "remote")
    if local is None or remote is None:
        return ""
    by = data.text(end, "path", "relay_protocol")
    way = f"{local} (by {by.upper()})" if by else local
    protocol = (data.text(end, "path", "protocol") or "").upper()
    return f'<p class="note">Path: {escape(way)} here, {escape(remote)} there, {escape(protocol)}</p>'


def _figure(end: End, path: tuple[str, ...], limits: tuple[float, float] | None) -> str:
    value = data.figure(end, *path)
    if value is None:
        return ""
    known = describe(path[-1])
    label = "First sound after" if path[-1] == "first_sound" else known.label
    shown = known.text(value)
    if path[-1] == "mouth_to_ear_median_ms" and (p95 := data.figure(end, "speech", "mouth_to_ear_p95_ms")):
        shown += f" <small>(95 %: {p95:.0f})</small>"
    state = ""
    if limits is not None:
        felt, bad = limits
        size = abs(value * known.factor)
        state = ' class="bad"' if size >= bad else ' class="felt"' if size >= felt else ' class="fine"'
    return f'<div title="{escape(known.note)}"><dt>{escape(label)}</dt><dd{state}>{shown}</dd></div>'


def facts_html(document: Mapping[str, Any], ends: Sequence[End]) -> str:
    """The line under the title: network, length, how it ended."""
    parts = [*_who_and_when(ends)]
    if network := data.text(document, "network"):
        parts.append(f"emulated network <b>{escape(network)}</b>")
    lengths = [v for end in ends if (v := data.figure(end, "duration"))]
    if lengths:
        parts.append(f"measured for <b>{escape(describe('duration').text(max(lengths)))}</b>")
    if codecs := dict.fromkeys(words for end in ends for words in _codecs(end)):
        parts.append(" and ".join(f"<b>{escape(words)}</b>" for words in codecs))
    ended = [
        data.text(end, "ended") or (data.text(end, "end_reason") or "").replace("_", " ") for end in ends
    ]
    # The end that heard of it knows who it was; the other one says "you".
    told = next(
        (words for words in ended if words and not words.startswith("you ")), next(filter(None, ended), "")
    )
    if told:
        parts.append(f"ended: <b>{escape(told)}</b>")
    trust = sorted({t for end in ends if (t := data.text(end, "trust"))})
    if trust:
        parts.append(f"identity of the peer: <b>{escape(', '.join(trust))}</b>")
    return " · ".join(parts)


def _who_and_when(ends: Sequence[End]) -> Iterator[str]:
    """Who called whom, and when it was there."""
    end = next((end for end in ends if data.text(end, "number") and data.text(end, "peer")), None)
    if end is not None:
        number, peer = escape(data.text(end, "number") or ""), escape(data.text(end, "peer") or "")
        called = (number, peer) if data.end_name(end) != "callee" else (peer, number)
        yield f"<b>{called[0]}</b> called <b>{called[1]}</b>"
    started = next((t for end in ends if (t := data.text(end, "started_at"))), None)
    if started is not None:
        try:
            at = datetime.fromisoformat(started)
            # A zone by its distance alone says little to a reader, but its name is not in the document.
            started = f"{at:%Y-%m-%d, %H:%M} UTC{at:%z}" if at.utcoffset() else f"{at:%Y-%m-%d, %H:%M} UTC"
        except ValueError:
            pass
        yield f"<b>{escape(started)}</b>"


def _codecs(end: End) -> Iterator[str]:
    """What the streams were coded with, as words."""
    for each in data.objects(end, "codecs"):
        try:
            yield str(CodecInUse.from_dict(each))
        except ValueError:
            continue
