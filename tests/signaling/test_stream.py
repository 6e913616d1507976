"""Both roles of a stream, against each other and alone, in virtual time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling import stanza as st
from signaling.client_stream import ClientStream
from signaling.jid import Jid
from signaling.server_stream import ServerStream
from signaling.stream import CredentialsGiven, Ended, Online, ResourceAsked, StanzaReceived
from signaling.xml import PING, element, local_name, parse

DOMAIN, ALICE, DEVICE = "calls.example", "+12025550100", "d1"
STREAM = "http://etherx.jabber.org/streams"
FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"


class Pair:
    """A client and a server stream, wired. `password` is what the server lets in."""

    def __init__(self, password="token", now=0.0):
        rng = random.Random(1)
        self.now = now
        self.client = ClientStream(DOMAIN, ALICE, "token", DEVICE, now, rng)
        self.server = ServerStream(DOMAIN, now, rng)
        self.password = password
        self.client_events = []
        self.server_events = []

    def run(self):
        for _ in range(20):
            for frame in self.client.frames_to_send():
                self.server.receive_frame(frame, self.now)
            while event := self.server.next_event():
                self.server_events.append(event)
                match event:
                    case CredentialsGiven(credentials) if credentials.password == self.password:
                        self.server.accept(Jid(credentials.authcid, DOMAIN))
                    case CredentialsGiven():
                        self.server.refuse("not-authorized", "no", now=self.now)
                    case ResourceAsked(resource):
                        self.server.bind(self.server.jid.with_resource(resource))
                    case StanzaReceived(stanza) if local_name(stanza) == "presence":
                        stanza.set("from", str(self.server.jid))
                        self.server.send(stanza)
            for frame in self.server.frames_to_send():
                self.client.receive_frame(frame, self.now)
            while event := self.client.next_event():
                self.client_events.append(event)
        return self


def test_login_ends_online():
    pair = Pair().run()
    assert pair.client_events == [Online(Jid(ALICE, DOMAIN, DEVICE))]
    assert pair.server.jid == Jid(ALICE, DOMAIN, DEVICE)
    assert not pair.client.is_closed and not pair.server.is_closed


def test_wrong_password():
    pair = Pair(password="other").run()
    assert pair.client_events == [Ended("not-authorized", "no", in_login=True)]
    assert pair.client.is_closed and pair.server.is_closed


def test_stanzas_both_ways():
    pair = Pair().run()
    pair.client.send(st.message("x@calls.example", id="1"))
    pair.server.send(st.message("y@calls.example", id="2"))
    pair.run()
    assert pair.server_events[-1].stanza.get("id") == "1"
    assert pair.client_events[-1].stanza.get("id") == "2"


def test_a_message_before_the_own_presence_is_not_lost():
    pair = Pair()
    # The server's echo of the presence is overtaken by a message.
    echo, pair.server.send = pair.server.send, lambda stanza: echo(st.message("x@calls.example", id="early"))
    pair.run()
    assert [event.stanza.get("id") for event in pair.client_events] == ["early"]


def test_silence_is_pinged_every_30_s_and_over_after_75():
    pair = Pair().run()
    times = []
    while not pair.server.is_ending:
        pair.now = pair.server.get_timer()
        pair.server.handle_timer(pair.now)
        frames = pair.server.frames_to_send()
        assert frames
        times.append((pair.now, "ping" if "urn:xmpp:ping" in frames[0] else "error"))
    assert times == [(30, "ping"), (60, "ping"), (75, "error")]
    assert pair.server.next_event().condition == "connection-timeout"
    pair.server.handle_timer(pair.server.get_timer())
    assert pair.server.is_closed and pair.server.get_timer() is None


@pytest.mark.parametrize("who", ["client", "server"])
def test_pings_are_answered_and_keep_alive(who):
    pair = Pair().run()
    count = len(pair.client_events), len(pair.server_events)
    stream = getattr(pair, who)
    for _ in range(10):
        pair.now = stream.get_timer()
        stream.handle_timer(pair.now)
        if who == "client":
            # The server's router answers pings; here the test does.
            for frame in pair.client.frames_to_send():
                pair.server.receive_frame(frame, pair.now)
            question = pair.server.next_event().stanza
            question.set("from", str(pair.server.jid))
            pair.server.send(st.result(question))
        pair.run()
    assert pair.now >= 300 and not stream.is_ending
    assert (len(pair.client_events), len(pair.server_events)) == count


def test_a_strangers_ping_is_the_applications():
    pair = Pair().run()
    ping = st.iq("get", element(PING, "ping"), id="p", to=str(pair.server.jid))
    ping.set("from", "+12025550101@calls.example/d2")
    pair.server.send(ping)
    pair.run()
    assert isinstance(pair.client_events[-1], StanzaReceived)


@pytest.mark.parametrize("who", ["client", "server"])
def test_ten_seconds_to_log_in(who):
    stream = getattr(Pair(now=5.0), who)
    assert stream.get_timer() == 15.0
    stream.handle_timer(14.9)
    assert not stream.is_ending
    stream.handle_timer(15.0)
    assert stream.next_event().condition == "connection-timeout"
    stream.handle_timer(17.0)
    assert stream.is_closed


@pytest.mark.parametrize("who", ["client", "server"])
def test_an_orderly_close(who):
    pair = Pair().run()
    getattr(pair, who).end(now=1.0)
    pair.run()
    assert pair.client.is_closed and pair.server.is_closed
    assert isinstance(pair.client_events[-1], Ended) and pair.client_events[-1].condition is None
    assert isinstance(pair.server_events[-1], Ended) and pair.server_events[-1].condition is None


def test_a_close_that_nobody_answers_takes_two_seconds():
    pair = Pair().run()
    pair.client.end(now=1.0)
    assert pair.client.get_timer() == 3.0
    pair.client.handle_timer(3.0)
    assert pair.client.is_closed


def test_a_stream_error_is_told_with_its_text():
    pair = Pair().run()
    pair.server.end("conflict", "replaced", now=1.0)
    pair.run()
    assert pair.client_events[-1] == Ended("conflict", "replaced")
    assert pair.client.is_closed and pair.server.is_closed


def test_connection_lost_is_told_once():
    pair = Pair().run()
    pair.client.connection_lost()
    pair.client.connection_lost()
    assert pair.client.next_event().condition == "connection-timeout"
    assert pair.client.next_event() is None
    pair.client.receive_frame("<x/>", 2.0)
    assert pair.client.next_event() is None


def test_nothing_is_sent_before_binding_or_after_the_end():
    pair = Pair()
    pair.client.frames_to_send()
    pair.client.send(st.message("x@calls.example"))
    assert pair.client.frames_to_send() == []
    pair = Pair().run()
    pair.server.end("conflict", now=0.0)
    pair.server.frames_to_send()
    pair.server.send(st.message("x@calls.example"))
    assert pair.server.frames_to_send() == []


def features(inner):
    return f"<stream:features xmlns:stream='{STREAM}'>{inner}</stream:features>"


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([features(f"<mechanisms xmlns='{SASL}'><mechanism>X</mechanism></mechanisms>")], "PLAIN"),
        ([f"<success xmlns='{SASL}'/>"], "success"),
        (["<message xmlns='jabber:client'/>"], "stanza"),
        (["<html/>"], "unknown"),
    ],
)
def test_a_server_that_is_none(frames, text):
    client = Pair().client
    for frame in frames:
        client.receive_frame(frame, 0.0)
    event = client.next_event()
    assert isinstance(event, Ended) and text in event.text and not event.by_peer


def test_a_server_that_binds_something_else():
    client = Pair().client
    plain = f"<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
    for frame in (
        features(plain),
        f"<success xmlns='{SASL}'/>",
        features(f"<bind xmlns='{BIND}'/>"),
        "<iq xmlns='jabber:client' id='other' type='result'/>",
        f"<iq xmlns='jabber:client' id='bind' type='result'><bind xmlns='{BIND}'><jid>x@y/z</jid></bind></iq>",
    ):
        client.receive_frame(frame, 0.0)
    event = client.next_event()
    assert isinstance(event, Ended) and "another address" in event.text


def test_another_presence_is_not_the_own_one():
    pair = Pair()
    other = "<presence xmlns='jabber:client' from='x@calls.example/d1'/>"
    gone = f"<presence xmlns='jabber:client' type='unavailable' from='{ALICE}@{DOMAIN}/{DEVICE}'/>"
    # As run(), but the echo is held back.
    pair.server.send = lambda stanza: None
    pair.run()
    assert pair.client_events == []
    for frame in (other, gone):
        pair.client.receive_frame(frame, 0.0)
    events = [pair.client.next_event(), pair.client.next_event(), pair.client.next_event()]
    assert [type(e) for e in events] == [StanzaReceived, StanzaReceived, type(None)]
    pair.client.receive_frame(f"<presence xmlns='jabber:client' from='{ALICE}@{DOMAIN}/{DEVICE}'/>", 0.0)
    assert isinstance(pair.client.next_event(), Online)


FRAMES = some.sampled_from(
    [
        f"<open xmlns='{FRAMING}' to='{DOMAIN}' version='1.0'/>",
        f"<open xmlns='{FRAMING}'/>",
        f"<close xmlns='{FRAMING}'/>",
        f"<auth xmlns='{SASL}' mechanism='PLAIN'>AGEAYg==</auth>",
        f"<success xmlns='{SASL}'/>",
        f"<failure xmlns='{SASL}'/>",
        features(""),
        features(f"<bind xmlns='{BIND}'/>"),
        features(f"<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>"),
        f"<stream:error xmlns:stream='{STREAM}'/>",
        f"<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='{BIND}'/></iq>",
        f"<iq xmlns='jabber:client' type='result' id='bind'><bind xmlns='{BIND}'/></iq>",
        "<iq xmlns='jabber:client'/>",
        "<message xmlns='jabber:client'/>",
    ]
)


@given(some.lists(FRAMES | some.text(max_size=20) | some.binary(max_size=20), max_size=10), some.booleans())
def test_any_frames_in_any_order(frames, as_client):
    pair = Pair()
    stream = pair.client if as_client else pair.server
    for now, frame in enumerate(frames):
        stream.receive_frame(frame, float(now))
        while event := stream.next_event():
            if isinstance(event, CredentialsGiven):
                stream.accept(Jid("a", DOMAIN))
            elif isinstance(event, ResourceAsked):
                stream.bind(Jid("a", DOMAIN, "r"))
    for frame in stream.frames_to_send():
        parse(frame)
    for _ in range(10):
        if (timer := stream.get_timer()) is not None:
            stream.handle_timer(timer)
    assert stream.is_closed
