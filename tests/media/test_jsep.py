"""Offers and answers over a whole session."""

import pytest

from media.errors import NegotiationError, SdpError
from media.jsep import Jsep
from media.negotiation import LocalParameters, LocalVideo

DIGEST = ":".join(["AB"] * 32)
VOICE = LocalParameters(1, "aaaa", "a" * 22, DIGEST, 0xA11CE, "alice")
BOTH = LocalParameters(1, "aaaa", "a" * 22, DIGEST, 0xA11CE, "alice", video=LocalVideo(1, 2))
OFF = LocalParameters(
    1, "aaaa", "a" * 22, DIGEST, 0xA11CE, "alice", video=LocalVideo(1, 2, send=False, receive=False)
)


def settle(alice: Jsep, bob: Jsep, ours: LocalParameters, theirs: LocalParameters):
    answer, there = bob.answer(str(alice.offer(ours)), theirs)
    return alice.set_answer(str(answer)), there


def test_video_comes_and_goes() -> None:
    alice, bob = Jsep(), Jsep()
    here, there = settle(alice, bob, VOICE, VOICE)
    assert here.video is None and there.video is None
    here, there = settle(alice, bob, BOTH, BOTH)
    assert here.video.send and there.video.receive
    assert (here.audio.mid, here.video.mid) == ("0", "1")
    # the other end offers next, over the same sections
    there, here = settle(bob, alice, OFF, BOTH)
    assert not here.video.send and not there.video.receive


def test_versions_count_up() -> None:
    alice = Jsep()
    assert [alice.offer(VOICE).version for _ in range(3)] == [1, 2, 3]


def test_video_that_the_peer_does_not_want() -> None:
    here, there = settle(Jsep(), Jsep(), BOTH, VOICE)
    assert here.video is None and there.video is None and here.audio.send


def test_an_answer_without_an_offer() -> None:
    alice, bob = Jsep(), Jsep()
    answer, _ = bob.answer(str(alice.offer(VOICE)), VOICE)
    alice.set_answer(str(answer))
    with pytest.raises(NegotiationError):
        alice.set_answer(str(answer))
    with pytest.raises(SdpError):
        bob.answer("nonsense", VOICE)
