"""XEP-0198: what is counted, what is kept, what is resumed; both roles, in virtual time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling import stanza as st
from signaling.bound_session import BoundSession, again, lost_for_good
from signaling.client_stream import ClientStream
from signaling.errors import RemoteProtocolError
from signaling.jid import Jid
from signaling.server_stream import ServerStream
from signaling.store_clock import StoreClock
from signaling.stream import (
    Acknowledged,
    CredentialsGiven,
    Ended,
    Online,
    ResourceAsked,
    ResumeAsked,
    StanzaReceived,
)
from signaling.stream_management import WRAP, SeenMessages, StreamManagement
from signaling.xml import DELAY, SM, child, element, local_name, parse, serialise

DOMAIN, ALICE, DEVICE = "calls.example", "+12025550100", "d1"
JID = Jid(ALICE, DOMAIN, DEVICE)


def message(n):
    return st.message(f"+12025550101@{DOMAIN}", id=f"m{n}")


class Line:
    """A client and a server stream; `known` is the session that the server can resume."""

    def __init__(self, broken=None, known=None, resumable=300.0):
        self.client = ClientStream(DOMAIN, ALICE, "token", DEVICE, 0.0, random.Random(2), broken=broken)
        self.server = ServerStream(DOMAIN, 0.0, random.Random(3), resumable=resumable)
        self.known = known
        self.got_by_client, self.got_by_server, self.events = [], [], []

    def run(self, to_client=True):
        for _ in range(12):
            for frame in self.client.frames_to_send():
                self.server.receive_frame(frame, 0.0)
                while event := self.server.next_event():
                    self._serve(event)
            for frame in self.server.frames_to_send() if to_client else ():
                self.client.receive_frame(frame, 0.0)
                while event := self.client.next_event():
                    if isinstance(event, StanzaReceived):
                        self.got_by_client.append(event.stanza.get("id"))
                    else:
                        self.events.append(event)
        return self

    def _serve(self, event):
        match event:
            case CredentialsGiven(credentials):
                self.server.accept(Jid(credentials.authcid, DOMAIN))
            case ResourceAsked(resource):
                self.server.bind(self.server.jid.with_resource(resource))
            case ResumeAsked(id, h) if self.known is not None and self.known.is_named(id):
                if self.server.resume(self.known, h, JID, 0.0):
                    for entry in self.known.unacknowledged:
                        self.server.resend(entry.frame)
            case ResumeAsked():
                self.server.refuse_resumption()
            case StanzaReceived(stanza) if local_name(stanza) == "presence":
                stanza.set("from", str(JID))
                self.server.send(stanza)
            case StanzaReceived(stanza):
                self.got_by_server.append(stanza.get("id"))
            case _:
                self.events.append(event)


def test_what_is_acknowledged_is_kept_no_more():
    line = Line().run()
    line.client.send(message(1))
    line.server.send(message(2), at=5.0, tag=77)
    line.run()
    assert line.got_by_server == ["m1"] and line.got_by_client == ["m2"]
    assert not line.client.management.unacknowledged and not line.server.management.unacknowledged
    assert Acknowledged((77,)) in line.events
    assert line.client.management.size == line.server.management.size == 0


def test_a_stanza_counts_only_when_it_has_been_dealt_with():
    line = Line().run()
    line.client.send(message(1))
    for frame in line.client.frames_to_send():
        line.server.receive_frame(frame, 0.0)
    before = line.server.management.handled
    assert isinstance(line.server.next_event(), StanzaReceived)  # the application is at it
    assert line.server.management.handled == before
    assert line.server.next_event() is None
    assert line.server.management.handled == before + 1


def test_a_broken_stream_goes_on_where_it_was():
    first = Line().run()
    first.client.send(message(1))
    first.run(to_client=False)  # arrives; its acknowledgement does not
    first.client.send(message(2))  # lost on the way
    first.server.send(message(3), tag=3)
    first.client.frames_to_send(), first.server.frames_to_send()
    held = first.client.management
    held.hold(message(4))  # while there is no connection at all
    assert [parse(e.frame).get("id") for e in held.unacknowledged][-3:] == ["m1", "m2", "m4"]
    second = Line(held, first.server.management).run()
    assert Online(JID, resumed=True) in second.events and Online(JID) not in second.events
    assert second.got_by_server == ["m2", "m4"] and second.got_by_client == ["m3"]
    assert not held.unacknowledged and not second.server.management.unacknowledged
    third = Line(held, second.server.management).run()
    assert Online(JID, resumed=True) in third.events and not third.got_by_server and not third.got_by_client


def test_messages_are_sent_again_when_the_session_is_forgotten():
    first = Line().run()
    first.client.send(message(1))
    first.client.send(st.iq("get", element("urn:example", "x"), id="q"))
    first.client.frames_to_send()
    second = Line(first.client.management).run()
    assert Online(JID) in second.events
    assert second.got_by_server == ["m1"], "an iq's asker hears of the loss"
    assert second.client.management is not first.client.management


def test_a_server_that_does_not_resume_says_so():
    line = Line(resumable=0.0).run()
    assert line.client.management.id is None and line.server.management.id is None
    assert Online(JID) in Line(line.client.management).run().events


@pytest.mark.parametrize("h", ["-1", "x", "", None, "99", "4294967296", "99999999999", "１"])
def test_an_impossible_count_ends_the_stream(h):
    line = Line().run()
    line.server.receive_frame(serialise(element(SM, "a", {"h": h})), 0.0)
    assert isinstance(line.server.next_event(), Ended) and line.server.is_ending
    other = Line().run()
    resumed = Line(known=other.server.management)
    resumed.client._broken = StreamManagement(other.server.management.id)
    resumed.client._broken.handled = h
    resumed.run()
    assert resumed.client.is_closed or resumed.client.is_ending


def test_counters_wrap():
    management = StreamManagement("x")
    management._acknowledged = WRAP - 1
    management.hold(message(1), tag=1)
    management.hold(message(2), tag=2)
    assert management.acknowledge("1") == [1, 2]


@given(some.lists(some.booleans() | some.text(alphabet="0123456789x-", max_size=11), max_size=30))
def test_any_acknowledgements(steps):
    """What is unacknowledged is exactly what was sent and not acknowledged."""
    management, sent, done = StreamManagement("x"), 0, 0
    for step in steps:
        if isinstance(step, bool):
            sent += 1
            management.hold(message(sent), tag=sent)
            continue
        try:
            tags = management.acknowledge(step)
        except RemoteProtocolError:
            continue
        assert tags == list(range(done + 1, int(step) + 1))
        done = int(step)
    assert [entry.tag for entry in management.unacknowledged] == list(range(done + 1, sent + 1))
    assert management.size == sum(len(entry.frame) for entry in management.unacknowledged)


def test_the_same_message_twice_is_seen_and_memory_is_bounded():
    seen = SeenMessages(limit=3)
    first, late = message(1), message(1)
    late.append(element(DELAY, "delay", {"from": DOMAIN, "stamp": "2026-01-01T00:00:00Z"}))
    assert seen.is_new(first) and not seen.is_new(late)
    other = message(1)
    other.append(element("urn:example", "body", text="another text under the same id"))
    assert seen.is_new(other)
    no_id = st.message(JID)
    assert seen.is_new(no_id) and seen.is_new(no_id)
    assert all(seen.is_new(message(n)) for n in range(2, 6))
    assert seen.is_new(first), "forgotten"


class Cable:
    def __init__(self):
        self.sent, self.ended = [], None

    def send(self, stanza, at, tag):
        self.sent.append((stanza.get("id"), tag))

    def end(self, condition, text=""):
        self.ended = condition


def bound(max_stanzas=3):
    cable = Cable()
    session = BoundSession(JID, 1, cable, max_stanzas, 10_000)
    session.available = True
    return session, cable


def test_a_session_outlives_its_connection_only_if_it_can_be_resumed():
    session, cable = bound()
    assert not session.lost(cable) and session.is_over and not session.available
    session, cable = bound()
    session.management = StreamManagement("id")
    assert session.lost(cable) and session.available
    session.deliver(message(1), 5.0, 9)
    assert session.in_flight() == {9} and not cable.sent
    session.settle([9])
    assert session.in_flight() == set()
    assert lost_for_good(session.management.unacknowledged[0]) is None, "another device has it"


def test_what_waits_for_a_lost_client_is_bounded():
    session, cable = bound(max_stanzas=3)
    session.management = StreamManagement("id")
    session.lost(cable)
    for n in range(5):
        session.deliver(message(n), 5.0)
    assert session.is_over and not session.available and len(session.management.unacknowledged) == 4


def clock(now):
    return StoreClock(lambda: now, lambda: 0.0)


def test_an_old_message_says_how_old_it_is_when_it_comes_again():
    management = StreamManagement("id")
    management.hold(message(1), at=100.0)
    management.hold(st.iq("result", id="q"), at=0.0)
    entry, iq = management.unacknowledged
    assert child(parse(again(entry, DOMAIN, clock(104.0))), DELAY, "delay") is None
    delay = child(parse(again(entry, DOMAIN, clock(104.5))), DELAY, "delay")
    assert delay.get("stamp").startswith("1970-01-01T00:01:40") and delay.get("from") == DOMAIN
    assert again(iq, DOMAIN, clock(1e9)) == iq.frame
