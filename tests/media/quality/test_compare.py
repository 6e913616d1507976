import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html

from media.quality.compare import Difference, Rule, RuleError, compare, pair_ends, render
from media.quality.figures import describe
from media.quality.html_compare import render_comparison
from media.quality.report import QualityReport, document

ROOT = Path(__file__).resolve().parents[3]
Document = dict[str, Any]


@pytest.fixture
def before(build: Callable[..., QualityReport]) -> Document:
    good = build({}, {"lost": 1, "recovered": 1}, {})
    timings = {"asked": 0.0, "ringing": 0.1, "accepted": 0.2}
    ends = [good.with_signaling(timings, "hung_up", end=name) for name in ("caller", "callee")]
    content: Document = json.loads(document(*ends, network="wifi"))
    return content


@pytest.fixture
def after(before: Document) -> Document:
    """The callee hears worse, the caller is quicker, and there is video now."""
    content = copy.deepcopy(before)
    content["ends"][1]["summary"].update(mos_lq=3.9, concealed_percent=4.0)
    content["ends"][0]["setup"]["ringing"] = 0.02
    content["ends"][0]["video"] = {"summary": {"frames_per_second": 29.0, "freezes": 2}}
    return content


# -- the comparison


def test_differences_are_judged(before: Document, after: Document) -> None:
    caller, callee = compare(before, after).ends
    assert (caller.name, callee.name) == ("caller", "callee")
    mos = callee.find("mos_lq")
    assert mos is not None and mos.b == 3.9 and mos.judgement == "worse"
    judged = {row.name: row.judgement for part in callee.parts for row in part.rows}
    assert judged["concealed_percent"] == "worse" and judged["delay_ms"] == "same"
    ringing = caller.find("ringing")
    assert ringing is not None and ringing.judgement == "better" and ringing.change == pytest.approx(-0.08)
    assert caller.find("asked") is None
    frames = caller.find("video.frames_per_second")
    assert frames is not None and (frames.a, frames.b, frames.change, frames.judgement) == (
        None,
        29.0,
        None,
        "",
    )
    worst = callee.find("worst")
    assert worst is not None and worst.a == before["ends"][1]["summary"]["worst"]["mos_lq"]


@pytest.mark.parametrize(
    ("name", "a", "b", "judgement"),
    [
        ("mos_lq", 3.0, 3.1, "better"),
        ("mos_lq", 3.0, 3.09, "same"),
        ("delay_ms", 100.0, 110.0, "worse"),
        ("delay_ms", 110.0, 100.0, "better"),
        ("ringing", 0.1, 0.16, "worse"),  # 60 ms: the figure is shown in ms
        ("matched_share", 1.0, 0.97, "worse"),  # 3 %
        ("windows", 10, 90, ""),
        ("mos_lq", None, 3.0, ""),
        ("mos_lq", 3.0, 3.0, "same"),
    ],
)
def test_judgement(name: str, a: float | None, b: float | None, judgement: str) -> None:
    assert Difference(name, a, b, describe(name)).judgement == judgement


def test_ends_go_by_their_names_or_by_their_order(before: Document) -> None:
    turned = {**before, "ends": before["ends"][::-1]}
    assert [(a["end"], b["end"]) for a, b in pair_ends(before, turned)] == [("caller",) * 2, ("callee",) * 2]
    only = {"ends": [{"end": "callee"}]}
    assert [(a.get("end"), b.get("end")) for a, b in pair_ends(before, only)] == [
        ("caller", None),
        ("callee", "callee"),
    ]
    others = {"ends": [{"end": "x"}]}
    assert [(a["end"], b.get("end")) for a, b in pair_ends(before, others)] == [
        ("caller", "x"),
        ("callee", None),
    ]


def test_what_is_no_report(before: Document) -> None:
    for wrong in ({}, {"ends": []}, {"ends": "x"}, [1], None):
        with pytest.raises(ValueError, match="ends"):
            compare(before, wrong)  # type: ignore[arg-type]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
END = st.dictionaries(st.sampled_from(["end", "summary", "speech", "setup", "video", "received"]), JSON)
DOCUMENT = st.fixed_dictionaries({"ends": st.lists(END, min_size=1, max_size=3)})


@given(a=DOCUMENT, b=DOCUMENT)
def test_any_two_documents(a: Document, b: Document) -> None:
    comparison = compare(a, b)
    render(comparison)
    for name in comparison.names():
        if name.isascii() and name.isidentifier():
            Rule(name, "<", 0.0, True).broken(comparison)


# -- the table


def test_the_table_fits_a_terminal(before: Document, after: Document) -> None:
    text = render(compare(before, after))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80 and not any(line.endswith(" ") for line in lines)
    row = next(line for line in lines if "Ringing" in line)
    for cell in ("100\xa0ms", "20\xa0ms", "−80\xa0ms", "better"):
        assert cell in row
    assert "\x1b[" in render(compare(before, after), color=True)


# -- the gate


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("mos_lq<-0.2", True),
        ("mos_lq < -0.6", False),
        ("mos_lq>0", False),
        ("concealed_percent>3", True),
        ("concealed_percent>+4.0", False),  # by 4.0, not by more
        ("delay_ms>+10%", False),
        ("ringing<-70%", True),
        ("ringing<-90%", False),
        ("video.freezes>0", True),  # not measured in A
    ],
)
def test_rules(before: Document, after: Document, rule: str, broken: bool) -> None:
    why = Rule.parse(rule).broken(compare(before, after))
    assert (why is not None) == broken
    assert why is None or str(Rule.parse(rule)) in why


def test_a_rule_says_where_and_how_much(before: Document, after: Document) -> None:
    why = Rule.parse("mos_lq<-0.2").broken(compare(before, after))
    change = 3.9 - before["ends"][1]["summary"]["mos_lq"]
    assert why == f"mos_lq<-0.2: {3.9 - change:.4g} and 3.9 at the callee, {change:+.4g}"
    why = Rule.parse("video.freezes>0").broken(compare(before, after))
    assert why == "video.freezes>+0: not measured at the caller in A"


def test_a_share_of_nothing(before: Document) -> None:
    after = copy.deepcopy(before)
    after["ends"][0]["summary"]["late_percent"] = 0.1
    assert Rule.parse("late_percent>+50%").broken(compare(before, after))
    assert not Rule.parse("late_percent>+50%").broken(compare(before, before))


@pytest.mark.parametrize(
    "text", ["", "mos_lq", "mos_lq=1", "<1", "mos_lq<", "mos_lq<x", "mos_lq<1e5", "a<1<2"]
)
def test_rules_that_are_none(text: str) -> None:
    with pytest.raises(RuleError, match="is no rule"):
        Rule.parse(text)


def test_a_rule_of_a_figure_that_nobody_has(before: Document) -> None:
    with pytest.raises(RuleError, match="mos_xy"):
        Rule.parse("mos_xy<0").broken(compare(before, before))


# -- the page


def test_the_page(before: Document, after: Document) -> None:
    evil = "<script>alert(1)</script>"
    page = render_comparison(before, after, (evil, "after"))
    tree = lxml_html.document_fromstring(page)
    assert len(tree.xpath("//script")) == 2
    verdict = tree.xpath("//section[starts-with(@class, 'verdict')]")[0].text_content()
    assert "Better and worse" in verdict
    assert "2 worse: MOS, listening (callee); Concealed (callee)" in verdict
    assert "1 better: Ringing (caller)" in verdict
    content = json.loads(tree.xpath("//script[@id='content']")[0].text)
    lines = next(c for c in content["charts"] if c["key"] == "mos-mos_lq" and c["end"] == 0)["traces"]
    assert [line["name"] for line in lines] == [evil, "after"]
    assert lines[0]["y"] == [second["mos_lq"] for second in before["ends"][0]["received"]]
    assert "No notable difference" in render_comparison(before, before)


# -- the sample


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "samples" / "compare_reports.py", *arguments]
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=50)


@pytest.mark.long
def test_the_sample(before: Document, after: Document, tmp_path: Path) -> None:
    for name, content in (("one", before), ("two", after)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(content))
    a, b = tmp_path / "one", tmp_path / "two" / "report.json"
    done = run(a, b, "--fail-if", "mos_lq<-0.6")
    assert (done.returncode, done.stderr) == (0, "")
    assert "MOS, listening" in done.stdout
    assert "Two calls compared" in (tmp_path / "two" / "compare.html").read_text()
    done = run(a, b, "--no-html", "--fail-if", "mos_lq<-0.2", "--fail-if", "ringing<-70%")
    assert done.returncode == 1
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [
        "mos_lq<-0.2",
        "ringing<-70%",
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("{good}", "{broken}"), 1, "error: "),
        (("{good}", "{good}", "--no-html", "--fail-if", "mos_xy<0"), 2, "mos_xy"),
        (("{good}", "{good}", "--html", "{tmp}/no/such/folder.html"), 1, "folder.html"),
    ],
)
def test_the_sample_s_errors(
    before: Document, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    good, broken = tmp_path / "good.json", tmp_path / "broken.json"
    good.write_text(json.dumps(before))
    broken.write_text("{")
    done = run(*(each.format(good=good, broken=broken, tmp=tmp_path) for each in arguments))
    assert done.returncode == code and words in done.stderr
    assert "Traceback" not in done.stderr
