"""XEP-0353 messages, there and back, and any nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.jid import Jid
from signaling.jingle.initiation import (
    NS_JMI,
    Initiation,
    Kind,
    build_initiation,
    is_delayed,
    parse_initiation,
    stored_at,
)
from signaling.jingle.syntax import JingleError
from signaling.xml import DELAY, HINTS, child, element, parse, serialise

BOB = Jid("+12025550101", "calls.example")
MESSAGES = [
    Initiation(Kind.PROPOSE, "sid", media=("audio", "video")),
    Initiation(Kind.RINGING, "sid"),
    Initiation(Kind.PROCEED, "sid"),
    Initiation(Kind.ACCEPT, "sid"),
    Initiation(Kind.REJECT, "sid", reason="busy", text="in a call"),
    Initiation(Kind.RETRACT, "sid", reason="expired", tie_break=True),
    Initiation(Kind.FINISH, "sid", reason="expired", migrated_to="sid2"),
]


@pytest.mark.parametrize("initiation", MESSAGES, ids=lambda i: str(i.kind))
def test_there_and_back(initiation: Initiation) -> None:
    message = parse(serialise(build_initiation(initiation, BOB, "m1")))
    assert parse_initiation(message) == initiation
    assert (message.get("type"), message.get("to"), message.get("id")) == ("chat", str(BOB), "m1")
    assert child(message, HINTS, "store") is not None
    assert not is_delayed(message)
    message.append(element(DELAY, "delay"))
    assert is_delayed(message)


def test_other_messages_are_none() -> None:
    assert parse_initiation(parse("<message xmlns='jabber:client'><body>hello</body></message>")) is None
    assert (
        parse_initiation(parse(f"<message xmlns='jabber:client'><other xmlns='{NS_JMI}'/></message>")) is None
    )


@pytest.mark.parametrize(
    "body",
    [
        "<propose xmlns='{ns}' id='s'/>",
        "<propose xmlns='{ns}'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>",
        "<propose xmlns='{ns}' id='s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='smell'/></propose>",
        "<ringing xmlns='{ns}' id='a b'/>",
        "<finish xmlns='{ns}' id='s'><reason xmlns='urn:xmpp:jingle:1'><BAD.NAME/></reason></finish>",
        "<finish xmlns='{ns}' id='s'><migrated/></finish>",
    ],
)
def test_malformed(body: str) -> None:
    with pytest.raises(JingleError):
        parse_initiation(parse(f"<message xmlns='jabber:client'>{body.format(ns=NS_JMI)}</message>"))


@given(
    st.sampled_from([str(k) for k in Kind]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=300),
)
def test_any_sid(kind: str, sid: str) -> None:
    message = element("jabber:client", "message", None, element(NS_JMI, kind, {"id": sid}))
    try:
        found = parse_initiation(parse(serialise(message)))
    except JingleError:
        return
    assert found is not None and found.sid == sid and sid.isascii() and " " not in sid


@pytest.mark.parametrize(
    ("sender", "stamp", "at"),
    [
        ("calls.example", "1970-01-01T00:01:40.500000Z", 100.5),
        ("calls.example", "1970-01-01T00:01:40", None),
        ("calls.example", "yesterday", None),
        ("calls.example", "9999-12-31T23:59:59-23:59", None),
        ("calls.example", "0001-01-01T00:00:00+23:59", None),
        ("evil.example", "1970-01-01T00:01:40Z", None),
    ],
)
def test_the_age_of_a_message_is_the_servers_to_say(sender: str, stamp: str, at: float | None) -> None:
    message = build_initiation(
        Initiation(Kind.PROPOSE, "sid", media=("audio",)), Jid("", "calls.example"), "m"
    )
    message.append(element("urn:xmpp:delay", "delay", {"from": sender, "stamp": stamp}))
    assert stored_at(message, "calls.example") == at
