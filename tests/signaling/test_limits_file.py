import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling.errors import ServerStartError
from signaling.limits_file import parse_limits
from signaling.rate_limit import Quota, Rate
from signaling.server_limits import Limits

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def test_what_is_named_is_replaced_and_nothing_else():
    default = Limits()
    assert parse_limits("") == default
    text = "connections = 5\n[sms]\ncountry = [7, 60]\nprefix = [1, 2.5]\n[codes]\ncheck_delays = [0, 1.5]"
    assert parse_limits(text) == replace(
        default,
        connections=5,
        sms=replace(default.sms, country=Quota(7, 60), prefix=Quota(1, 2.5)),
        codes=replace(default.codes, check_delays=(0, 1.5)),
    )
    assert parse_limits("[sms.conversion]\nleast = 0.1").sms.conversion.least == 0.1


def test_the_example_on_the_page():
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    limits = parse_limits(example)
    assert limits.sms.address_calls == Rate(60, 3) and limits.contacts.strangers == Rate(20, 15)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "no limit x"),
        ("[sms]\nx = 1", "no limit sms.x"),
        ("sms = 1", "sms must be a table"),
        ("[sms]\ncountry = 5", "sms.country must be two numbers"),
        ("[sms]\ncountry = [1, 0]", "sms.country"),
        ("[sms]\ncountry = [1.5, 60]", "whole number"),
        ("[sms]\nnumber = [1, nan]", "sms.number"),
        ("[sms]\nnumber = [true, 1]", "sms.number"),
        ("connections = 1.5", "connections"),
        ("connections = -1", "connections"),
        ("[codes]\ncheck_delays = [-1]", "check_delays"),
        ("nonsense", "no TOML"),
    ],
)
def test_what_is_wrong_is_named(text, words):
    with pytest.raises(ServerStartError, match=re.escape(words)):
        parse_limits(text)


@given(some.text())
def test_any_text(text):
    try:
        parse_limits(text)
    except ServerStartError:
        pass
