import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling.errors import InvalidJid
from signaling.jid import Jid


def test_parts():
    jid = Jid.parse("+12025550100@Calls.Example/D1/x@y")
    assert jid == Jid("+12025550100", "calls.example", "D1/x@y")
    assert jid.bare == Jid("+12025550100", "calls.example") == jid.bare.bare
    assert jid.number == "+12025550100" and jid.is_full and not jid.bare.is_full
    assert str(jid) == "+12025550100@calls.example/D1/x@y"
    assert jid.bare.with_resource("d2") == Jid("+12025550100", "calls.example", "d2")
    assert Jid.parse("calls.example.") == Jid("", "calls.example")
    assert Jid.parse("info@calls.example").number is None
    assert Jid.parse("+02025550100@calls.example").number is None


@pytest.mark.parametrize(
    "text",
    ["", "@", "/", "a@.b", "a@b..", "a@b..c", "a@.", "a@", "@b", "a@b/", "a b@c", "a@b c", "a@b/\n", "a\x00@b", "a@@b", "a<@b", "a:b@c", "é\ud800@b",
     "x" * 1024 + "@b", "a@" + "x" * 1024, "a@b/" + "x" * 1024, "x" * 10_000],
)  # fmt: skip
def test_refused(text):
    with pytest.raises(InvalidJid):
        Jid.parse(text)


@given(some.text(max_size=60) | some.text(alphabet="aA+1@/. é", max_size=12))
def test_any_text_round_trips_or_is_refused(text):
    try:
        jid = Jid.parse(text)
    except InvalidJid:
        return
    assert Jid.parse(str(jid)) == jid
    assert Jid.parse(str(jid.bare)) == jid.bare
