import random

import pytest

from signaling import stanza as st
from signaling.errors import SignalingError
from signaling.iq import MAX_OUTSTANDING, IqTracker
from signaling.jid import Jid

OWN = Jid("+12025550100", "calls.example", "d1")
PEER = Jid("+12025550101", "calls.example", "d2")


def answer(id_, sender, kind="result"):
    stanza = st.iq(kind, id=id_, to=OWN)
    if sender is not None:
        stanza.set("from", str(sender))
    return stanza


def test_an_answer_counts_only_from_whom_was_asked():
    tracker = IqTracker(OWN, random.Random(1))
    id_ = tracker.ask(PEER, 0.0)
    for other in (None, OWN.bare, PEER.bare, PEER.with_resource("d3"), Jid("", "calls.example")):
        assert tracker.receive(answer(id_, other)) is None
    for kind in ("get", "set"):
        assert tracker.receive(answer(id_, PEER, kind)) is None
    broken = answer(id_, PEER)
    broken.set("from", "@@")
    assert tracker.receive(broken) is None
    assert tracker.receive(answer("x" + id_, PEER)) is None
    assert tracker.receive(st.message(OWN, id=id_)) is None
    assert tracker.receive(answer(id_, PEER, "error")) == id_
    assert tracker.receive(answer(id_, PEER)) is None


def test_no_from_is_the_own_account():
    for asked in (None, OWN.bare):
        tracker = IqTracker(OWN, random.Random(1))
        assert tracker.receive(answer(id_ := tracker.ask(asked, 0.0), None)) == id_
        assert tracker.receive(answer(id_ := tracker.ask(asked, 0.0), OWN.bare)) == id_


def test_deadlines():
    tracker = IqTracker(OWN, random.Random(1))
    assert tracker.get_timer() is None
    first, second = tracker.ask(PEER, 0.0), tracker.ask(PEER, 1.0, timeout=3.0)
    assert first != second and tracker.get_timer() == 4.0
    assert tracker.handle_timer(3.9) == []
    assert tracker.handle_timer(4.0) == [second]
    tracker.forget(first)
    assert len(tracker) == 0 and tracker.handle_timer(100.0) == []


def test_bounded():
    tracker = IqTracker(OWN, random.Random(1))
    for _ in range(MAX_OUTSTANDING):
        tracker.ask(PEER, 0.0)
    with pytest.raises(SignalingError):
        tracker.ask(PEER, 0.0)
