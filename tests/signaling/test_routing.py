"""The routing core alone: sessions, and stanzas of any shape. The table itself is tested over real WebSockets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from signaling import stanza as st
from signaling.bound_session import with_delay
from signaling.contact_budget import ContactBudget, ContactLimits
from signaling.errors import XmlError
from signaling.external_services import ExternalServices
from signaling.jid import Jid
from signaling.routing import Announced, Keep, Router, Sessions, receivers
from signaling.xml import HINTS, element, parse, serialise

ALICE, BOB = "+12025550100", "+12025550101"
DOMAIN = "calls.example"


class Phone:
    by_key = True

    def __init__(self, number, device="d1", available=True):
        self.jid = Jid(number, DOMAIN, device)
        self.available = available
        self.got = []
        self.ended = None

    def takes(self, sender, size):
        return True

    def deliver(self, stanza, at=0.0, tag=0):
        self.got.append(parse(serialise(stanza)))

    def end(self, condition, text=""):
        self.ended = condition


@pytest.fixture
def world():
    sessions = Sessions()
    phones = [Phone(ALICE), Phone(BOB, "d2"), Phone(BOB, "d3"), Phone(BOB, "d4", available=False)]
    for phone in phones:
        sessions.add(phone)
    return (
        Router(DOMAIN, sessions, ContactBudget(ContactLimits(), b"s"), ExternalServices((), b"")),
        sessions,
        *phones,
    )


def test_every_available_device(world):
    router, _, alice, second, third, fourth = world
    assert router.route(alice, st.message(f"{BOB}@{DOMAIN}", id="1"), 0.0) is None
    assert [len(phone.got) for phone in (alice, second, third, fourth)] == [0, 1, 1, 0]


def test_what_is_to_be_stored_is_delivered_only_afterwards(world):
    router, sessions, alice, second, third, fourth = world
    message = st.message(f"{BOB}@{DOMAIN}", element(HINTS, "store"))
    assert router.accept(alice, message)
    kept = router.route(alice, message, 0.0)
    assert isinstance(kept, Keep) and kept.to == Jid(BOB, DOMAIN)
    assert kept.stanza.get("from") == str(alice.jid)
    assert not second.got and not third.got
    assert receivers(sessions, kept.to) == [second, third]
    assert receivers(sessions, third.jid) == [third]
    assert receivers(sessions, fourth.jid) == [second, third], "not online: as to the bare JID"


def test_announced_once(world):
    router, *_, fourth = world
    assert isinstance(router.route(fourth, st.presence(), 0.0), Announced)
    assert router.route(fourth, st.presence(), 0.0) is None
    assert fourth.available and len(fourth.got) == 2


def test_sessions_replace_remove_and_revoke(world):
    _, sessions, alice, second, third, fourth = world
    again = Phone(BOB, "d2")
    sessions.add(again)
    assert second.ended == "conflict" and not second.available
    # The old one leaves late: it takes nobody with it.
    sessions.remove(second)
    assert sessions.find(again.jid) is again and set(sessions.online(BOB)) == {again, third}
    sessions.revoke(BOB, "d3")
    assert (third.ended, again.ended) == ("not-authorized", None)
    sessions.revoke(BOB)
    assert again.ended == fourth.ended == "not-authorized" and sessions.online(BOB) == []
    for phone in (alice, again, third, fourth):
        sessions.remove(phone)
        sessions.remove(phone)
    assert sessions._by_number == {}


TEXT = some.sampled_from(
    [None, "", "x", "chat", "get", "set", "result", "error", "normal", "groupchat", "unavailable"]
)
ADDRESS = some.sampled_from(
    [None, "", "@", "/", DOMAIN, f"{ALICE}@{DOMAIN}", f"{BOB}@{DOMAIN}", f"{BOB}@{DOMAIN}/d2", f"{BOB}@{DOMAIN}/gone",
     f"{BOB}@other.example", f"{ALICE}@{DOMAIN}/d1", "a@b/c", f"x@{DOMAIN}"],
) | some.text(max_size=20, alphabet=some.characters(codec="utf-8", categories=("L", "N", "P")))  # fmt: skip
CHILD = some.sampled_from(["urn:xmpp:hints store", "urn:xmpp:ping ping", "urn:xmpp:delay delay", "urn:x y"])


@given(
    some.sampled_from(["message", "iq", "presence"]),
    ADDRESS,
    ADDRESS,
    TEXT,
    TEXT,
    some.lists(CHILD, max_size=3),
)
def test_any_stanza_has_the_senders_from_or_ends_the_sender(name, to, sender, kind, id_, inner):
    sessions = Sessions()
    alice, bob = Phone(ALICE), Phone(BOB, "d2")
    sessions.add(alice)
    sessions.add(bob)
    router = Router(DOMAIN, sessions, ContactBudget(ContactLimits(), b"s"), ExternalServices((), b""))
    attributes = {"to": to, "from": sender, "type": kind, "id": id_}
    stanza = element("jabber:client", name, attributes, *(element(*child.split()) for child in inner))
    if router.accept(alice, stanza):
        router.route(alice, stanza, 0.0)
    assert bob.ended is None
    if alice.ended:
        assert alice.ended == "invalid-from" and bob.got == []
    for got in bob.got:
        assert got.get("from") == str(alice.jid) and name != "presence"
    # At most one answer, and never to an error.
    if kind in ("error", "result") and name == "iq":
        assert all(got.get("from") == str(alice.jid) for got in alice.got)


RAW = some.sampled_from(
    ["<", ">", '"', "'", "&amp;", "&#10;", "&#13;", "&#9;", "\u00e9", "\U0001f600", " ", "<![CDATA[<]]>"]
)


@settings(deadline=None)
@given(RAW, RAW, some.integers(0, 40_000), some.integers(0, 40_000), some.integers(0, 1999), some.booleans())
def test_what_a_router_hands_on_can_be_read_with_a_delay_added(text, value, texts, values, elements, kept):
    """Whatever it is made of: Phone.deliver() reads it as a client does."""
    sessions = Sessions()
    alice, bob = Phone(ALICE), Phone(BOB, "d2")
    sessions.add(alice)
    sessions.add(bob)
    router = Router(DOMAIN, sessions, ContactBudget(ContactLimits(), b"s"), ExternalServices((), b""), 65_536)
    content = (text if text != "<" else "&lt;") * texts + "<a/>" * elements
    attribute = (value if "<" not in value and value != "'" else "x") * values
    hint = "<store xmlns='urn:xmpp:hints'/>" if kept else ""
    try:
        stanza = parse(
            f"<message xmlns='jabber:client' to='{BOB}@{DOMAIN}' id='1' a='{attribute}'>{hint}{content}</message>"
        )
    except XmlError:
        return
    if not router.accept(alice, stanza):
        assert st.error_of(alice.got[0]).condition == "policy-violation"
        return
    match router.route(alice, stanza, 0.0):
        case Keep(stanza=stanza):
            assert len(serialise(stanza).encode()) <= 65_536
            bob.deliver(with_delay(stanza, "x" * 1023, 1e9))
    assert len(bob.got) == 1
