"""Which way the packets went: in the table, in JSON and on the page."""

import json
from typing import Any

import pytest

from media.quality.html import render_html
from media.quality.in_use import Path
from media.quality.report import QualityReport, ReportBuilder, document


def stats(local: str, remote: str, relay_protocol: str | None) -> dict[str, Any]:
    pair = {"type": "candidate-pair", "localCandidateType": local, "remoteCandidateType": remote}
    return {"candidate-pair": pair | {"protocol": "udp", "relayProtocol": relay_protocol}}


def test_the_last_path_and_when_it_changed() -> None:
    builder = ReportBuilder({})
    for now, way in enumerate([("host", "host", None), ("host", "host", None), ("relay", "prflx", "tls")]):
        builder.sample(stats(*way), float(now))
    made = builder.build()
    assert made.path == Path("relay", "prflx", "udp", "tls")
    assert [(e["time"], e["kind"], e["text"]) for e in made.events] == [(2.0, "path", "relay (tls) - prflx")]
    assert "path, here - there" in str(made) and "relay (tls) - prflx" in str(made)
    text = document(made)
    assert json.loads(text)["ends"][0]["path"]["relay_protocol"] == "tls"
    assert "Path: relay (by TLS) here, prflx there, UDP" in render_html(json.loads(text))
    assert QualityReport.from_dict(json.loads(text)["ends"][0]).path == made.path


def test_no_path() -> None:
    made = QualityReport()
    assert made.path is None and Path.of({"candidate-pair": {"type": "candidate-pair"}}) is None
    assert "path" not in str(made)
    assert 'class="note">Path' not in render_html(json.loads(document(made)))
    assert QualityReport.from_dict(made.to_dict()).path is None


@pytest.mark.parametrize("content", ["relay", {"local": 1}, {"relay_protocol": []}])
def test_a_path_that_is_none(content: object) -> None:
    with pytest.raises(ValueError):
        QualityReport.from_dict({"path": content})
