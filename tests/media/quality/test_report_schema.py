"""Real documents against the schema, and the schema against the code."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib.resources import files
from typing import Any

import pytest

from media.quality.report import SCHEMA, SETUP_STEPS, QualityReport, document
from media.quality.speech import SpeechScore
from media.quality.stats import ReceivedSecond, SentSecond
from media.quality.summary import Summary, Worst

FILE = json.loads((files("media.quality") / "report_schema.json").read_text())
TYPES = {
    "null": lambda v: v is None,
    "string": lambda v: isinstance(v, str),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}
KNOWN = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "required", "properties", "items", "const",
    "additionalProperties", "minimum", "maximum", "minItems", "anyOf",
}  # fmt: skip


def problems(value: Any, schema: dict[str, Any], where: str = "$") -> Iterator[str]:
    """What JSON Schema says against `value`; the keywords in KNOWN and no others."""
    assert schema.keys() <= KNOWN, f"{where}: this checker does not know {schema.keys() - KNOWN}"
    if "$ref" in schema:
        yield from problems(value, FILE["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
    if "anyOf" in schema and all(list(problems(value, each, where)) for each in schema["anyOf"]):
        yield f"{where}: none of anyOf"
    if "const" in schema and value != schema["const"]:
        yield f"{where}: not {schema['const']!r}"
    names = schema.get("type", list(TYPES))
    if not any(TYPES[name](value) for name in ([names] if isinstance(names, str) else names)):
        yield f"{where}: {value!r} is no {names}"
        return
    if TYPES["number"](value) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: {value} is out of range"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{where}: too short"
        for index, each in enumerate(value):
            yield from problems(each, schema.get("items", {}), f"{where}[{index}]")
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name in set(schema.get("required", ())) - value.keys():
            yield f"{where}: no {name}"
        for name, each in value.items():
            if name in properties:
                yield from problems(each, properties[name], f"{where}.{name}")
            elif isinstance(more, dict):
                yield from problems(each, more, f"{where}.{name}")
            elif not more:
                yield f"{where}: {name} is not described"


def valid_document(build: Callable[..., QualityReport]) -> Any:
    full = build({}, {"packets": 0, "concealed": 50, "silent": 50}, {"lost": 51, "concealed": 7, "events": 2})
    full = full.with_signaling({"asked": 0.0, "ringing": 0.2, "accepted": 1.0}, "hangup", trust="pinned")
    full = full.with_speech(SpeechScore(100.0, 120.5, 0.9, 20, 4.2, 4.0))
    return json.loads(document(full, QualityReport(), network="wifi"))


def test_documents_are_valid(build: Callable[..., QualityReport]) -> None:
    content = valid_document(build)
    assert list(problems(content, FILE)) == []
    content["clock"] = {"speaker_started": 12.5}  # what the samples add
    assert list(problems(content, FILE)) == []


def test_documents_of_odd_calls_are_valid(build: Callable[..., QualityReport]) -> None:
    rng = random.Random(1)
    seconds = []
    for _ in range(60):
        lost, concealed = rng.randrange(-3, 50), rng.randrange(51)
        seconds.append(
            {"packets": rng.randrange(60), "lost": lost, "concealed": concealed, "silent": rng.randrange(concealed + 1),
             "events": rng.randrange(5), "late": rng.randrange(60), "rtt": rng.random() * 3, "buffer": rng.random()}
        )  # fmt: skip
    assert list(problems(json.loads(document(build(*seconds))), FILE)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "ringline-report/2"), (("ends",), []), (("ends",), None), (("network",), 5),
        (("ends", 0, "surprise"), 1), (("ends", 0, "duration"), "long"), (("ends", 0, "duration"), -1),
        (("ends", 0, "setup", "ringing"), "soon"), (("ends", 0, "received", 0, "mos_lq"), 4.8),
        (("ends", 0, "received", 0, "lost_percent"), 101), (("ends", 0, "summary", "worst"), {"time": 1}),
        (("ends", 0, "speech", "windows"), 1.5), (("ends", 0, "versions", "av"), 18), (("ends", 0, "sent"), {}),
    ],
)  # fmt: skip
def test_the_schema_can_say_no(
    build: Callable[..., QualityReport], path: tuple[Any, ...], value: object
) -> None:
    content = valid_document(build)
    target = content
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert list(problems(content, FILE)) != []


def test_every_field_is_described_and_none_is_too_many() -> None:
    described = FILE["$defs"]
    for name, cls in (
        ("end", QualityReport), ("received", ReceivedSecond), ("sent", SentSecond), ("summary", Summary),
        ("worst", Worst), ("speech", SpeechScore),
    ):  # fmt: skip
        assert (
            list(described[name]["properties"])
            == [f.name for f in fields(cls)]
            == described[name]["required"]
        )
    assert list(described["end"]["properties"]["setup"]["properties"]) == list(SETUP_STEPS)
    assert FILE["properties"]["schema"]["const"] == SCHEMA
    assert FILE["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_member_says_what_it_is_and_in_which_unit() -> None:
    def members(schema: Any) -> Iterator[tuple[str, Any]]:
        for name, each in schema.get("properties", {}).items():
            yield name, each
            yield from members(each)

    units = {"_ms": "milliseconds", "_bps": "bits a second", "_percent": ("Percent", "Mean")}
    for schema in (FILE, *FILE["$defs"].values()):
        for name, each in members(schema):
            text = each.get("description", "")
            assert text or "$ref" in each, name
            for ending, unit in units.items():
                if name.endswith(ending):
                    wanted = (unit,) if isinstance(unit, str) else unit
                    assert any(word.lower() in text.lower() for word in wanted), f"{name}: no {unit}"
