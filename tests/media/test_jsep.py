"""Offers and answers over a whole session."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from media.errors import NegotiationError, SdpError
from media.jsep import Jsep
from media.negotiation import LocalParameters, LocalVideo, Negotiated, create_answer
from media.sdp import SessionDescription, parse

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


# -- numbers keep their meaning (RFC 3264 section 8.3.2, RFC 8285 section 6)

ALL = replace(BOTH, data=True)
OFFERS = {
    path.stem: path.read_text().replace("\n", "\r\n")
    for path in (Path(__file__).parent / "offers").glob("*.sdp")
}
BUNDLED = sorted(name for name, text in OFFERS.items() if "BUNDLE" in text)


def meanings(*descriptions: SessionDescription) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
    """What was ever said of each payload type, and of each extension id."""
    types: dict[int, set[str]] = {}
    extensions: dict[int, set[str]] = {}
    for media in (media for description in descriptions for media in description.media):
        names = {str(c.payload_type): c.name.lower() for c in media.codecs}
        for codec in media.codecs:
            name = codec.name.lower()
            if name == "rtx":
                name += " of " + names[codec.parameters["apt"]]
            if name == "h264":
                name += codec.parameters.get("profile-level-id", "")[:4] + codec.parameters.get(
                    "packetization-mode", "0"
                )
            types.setdefault(codec.payload_type, set()).add(name)
        for identifier, uri in media.extensions.items():
            extensions.setdefault(identifier, set()).add(uri)
    return types, extensions


@pytest.mark.parametrize("local", [VOICE, BOTH, ALL])
@pytest.mark.parametrize("peer", sorted(OFFERS))
def test_our_next_offer_keeps_the_numbers_of_the_peers_offer(peer: str, local: LocalParameters) -> None:
    """Also where a camera joins (VOICE, then ALL), and two-sided: no number changes its meaning."""
    jsep = Jsep()
    theirs = parse(OFFERS[peer])
    answer, first = jsep.answer(OFFERS[peer], local)
    offer = parse(str(jsep.offer(ALL)))
    types, extensions = meanings(theirs, answer, offer)
    assert all(len(names) == 1 for names in types.values()), types
    assert all(len(uris) == 1 for uris in extensions.values()), extensions
    numbers = [c.payload_type for m in offer.media for c in m.codecs]
    assert len(numbers) == len(set(numbers)), "each number once in a BUNDLE"
    assert all(0 <= n < 64 or 96 <= n < 128 for n in numbers)
    # and the peer, which plays by the rules, agrees to the same
    second = jsep.set_answer(
        str(create_answer(offer, replace(ALL, setup="passive", audio_codecs=("opus",)))[0])
    )
    assert second.audio.send_payload_type == first.audio.send_payload_type
    assert second.audio.mid_extension == first.audio.mid_extension or first.audio.mid_extension is None
    if first.video is not None and peer in BUNDLED:
        assert (second.video.codec, second.video.send_payload_type) == (
            first.video.codec,
            first.video.send_payload_type,
        )


def test_a_camera_that_joins_a_call_which_firefox_offered() -> None:
    """Its voice-only offer has no video codec: ours must not take a number that stands for voice."""
    offer = OFFERS["firefox"]
    offer = offer[: offer.index("m=video")].replace("BUNDLE 0 1 2", "BUNDLE 0").replace("109", "96")
    jsep = Jsep()
    jsep.answer(offer, VOICE)
    video = jsep.offer(BOTH).media[1]
    assert [c.name for c in video.codecs] == ["VP8", "rtx", "H264", "rtx"]
    assert 96 not in [c.payload_type for c in video.codecs]
    assert video.codecs[1].parameters == {"apt": str(video.codecs[0].payload_type)}
    assert video.extensions[3].endswith("mid"), "the MID has its id already"


def test_copies_and_retransmissions_follow_their_codec_to_its_number() -> None:
    offer = str(Jsep().offer(VOICE))
    for old, new in (("111", "77x"), ("112", "111"), ("63", "35"), ("77x", "119")):
        offer = offer.replace(old, new)
    jsep = Jsep()
    jsep.answer(offer, VOICE)
    opus, red, rtx, *_ = jsep.offer(VOICE).media[0].codecs
    assert (opus.payload_type, red.payload_type, rtx.payload_type) == (119, 35, 111)
    assert red.parameters == {"119/119": ""} and rtx.parameters == {"apt": "119"}


def test_an_offer_whose_numbers_are_all_taken_leaves_out_what_has_none() -> None:
    numbers = " ".join(str(n) for n in (*range(35, 64), *range(96, 128)))
    offer = OFFERS["asterisk"].replace("8 107 101", "107 101 " + numbers)
    jsep = Jsep()
    jsep.answer(offer, VOICE)
    names = [c.name for c in jsep.offer(ALL).media[0].codecs]
    assert names == ["opus", "G722", "PCMU", "PCMA"], "RED and RTX find no number"
    assert not jsep.offer(ALL).media[1].codecs


# -- sections that are stopped


def stopped(text: str, kind: str) -> str:
    """The offer after transceiver.stop(): port 0, out of the BUNDLE, without a transport."""
    head, *sections = re.split(r"(?m)^(?=m=)", text)
    for index, section in enumerate(sections):
        if section.startswith(f"m={kind} "):
            mid = re.search(r"a=mid:(\S+)", section)[1]
            head = re.sub(rf"(a=group:BUNDLE.*?) {mid}\b", r"\1", head)
            section = re.sub(
                r"a=(ice|finger|setup|rtcp-mux|rtcp-rsize|ssrc|msid|candidate).*\r\n", "", section
            )
            sections[index] = re.sub(rf"m={kind} \d+", f"m={kind} 0", section).replace("sendrecv", "inactive")
    return head + "".join(sections)


def silent(agreed: Negotiated, kind: str) -> bool:
    parameters = getattr(agreed, kind)
    return not parameters.send and not parameters.receive


@pytest.mark.parametrize("peer", ["firefox", "chromium", "safari", "pion"])
@pytest.mark.parametrize(("kind", "other"), [("audio", "video"), ("video", "audio")])
def test_a_section_that_the_peer_stops(peer: str, kind: str, other: str) -> None:
    """Whether or not it carries the BUNDLE: it is silent, the others and the transport go on."""
    jsep = Jsep()
    _, before = jsep.answer(OFFERS[peer], BOTH)
    answer, agreed = jsep.answer(stopped(OFFERS[peer], kind), replace(BOTH, setup="active"))
    assert silent(agreed, kind) and not silent(agreed, other)
    assert agreed.transport.ice_ufrag == before.transport.ice_ufrag
    assert agreed.transport.fingerprints == before.transport.fingerprints
    live = [m for m in answer.media if m.port]
    assert [m.kind for m in live] == [other] and answer.bundle == [live[0].mid]
    assert jsep.mid == live[0].mid, "candidates belong to a section that is there"
    # our own next offer leaves it stopped, until the user has something new
    again = jsep.offer(BOTH)
    assert [m.kind for m in again.media if m.port] == [other] and again.bundle == [live[0].mid]
    assert len(again.media) == len(answer.media)
    jsep.offer_again(kind)
    renewed = jsep.offer(BOTH)
    assert len(renewed.media) == len(answer.media)
    (new,) = (m for m in renewed.media if m.kind == kind)
    assert new.port and new.mid not in [m.mid for m in answer.media], "another mid (RFC 9429 section 5.2.2)"
    # and the peer may begin anew by itself
    _, back = jsep.answer(OFFERS[peer], replace(BOTH, setup="active"))
    assert not silent(back, kind) and not silent(back, other)


def test_everything_stopped_is_no_error_in_a_session_that_stands() -> None:
    text = stopped(stopped(OFFERS["firefox"], "audio"), "video")
    text = stopped(text, "application")
    with pytest.raises(NegotiationError):
        Jsep().answer(text, BOTH)
    jsep = Jsep()
    _, before = jsep.answer(OFFERS["firefox"], BOTH)
    answer, agreed = jsep.answer(text, BOTH)
    assert silent(agreed, "audio") and silent(agreed, "video") and agreed.data is None
    assert agreed.transport == before.transport and answer.bundle == []
    _, back = jsep.answer(OFFERS["firefox"], BOTH)
    assert back.audio.send and back.video.send


def test_an_answer_that_rejects_what_was_agreed_on() -> None:
    alice, bob = Jsep(), Jsep()
    settle(alice, bob, BOTH, BOTH)
    here, there = settle(alice, bob, BOTH, VOICE)
    assert silent(here, "video") and silent(there, "video") and here.audio.send
    assert [m.port for m in alice.offer(BOTH).media] == [9, 0], (
        "what the peer does not want is not offered again"
    )
    assert bob.offer(BOTH).media[1].port, "who rejected it may want it now"


def test_a_codec_that_changes() -> None:
    alice, bob = Jsep(), Jsep()
    settle(alice, bob, BOTH, BOTH)
    h264 = replace(BOTH, video=LocalVideo(1, 2, ("H264",)), audio_codecs=("PCMU",))
    here, there = settle(alice, bob, BOTH, h264)
    assert here.video.codec == there.video.codec == "H264"
    assert here.audio.codec == there.audio.codec == "PCMU"


# -- glare


def test_the_peer_s_offer_takes_the_place_of_our_own() -> None:
    """Rollback (RFC 9429 section 4.1.10.2): what was only offered is not agreed on."""
    alice, bob = Jsep(), Jsep()
    alice.offer(ALL)
    answer, there = alice.answer(str(bob.offer(VOICE)), BOTH)
    here = bob.set_answer(str(answer))
    assert here.audio.send and there.audio.send and there.video is None
    with pytest.raises(NegotiationError):
        alice.set_answer(str(answer))
    assert [m.kind for m in alice.offer(BOTH).media] == ["audio", "video"]


def test_glare_in_the_middle_of_a_session() -> None:
    alice, bob = Jsep(), Jsep()
    settle(alice, bob, VOICE, VOICE)
    alice.offer(BOTH)
    answer, there = alice.answer(str(bob.offer(ALL)), ALL)
    assert bob.set_answer(str(answer)).video.send and there.video.send
    assert [m.kind for m in alice.offer(ALL).media] == ["audio", "video", "application"]
