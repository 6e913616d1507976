"""Offers as other engines write them (offers/*.sdp, shortened): what we make of each, however its lines are ordered.

What is odd in them: Firefox sorts attributes by name, and offers sections without a port; Safari has its own extension
ids; GStreamer has parameter sets in the description, webrtcbin's order, and an RSA certificate; Pion writes spaces where a
parameter is empty and its digest in small letters; libdatachannel takes messages of any size, data comes first; werift (a
doorbell) has the transport in the first section only, and a fraction of a millisecond; Janus has spaces at the end of
lines and an extension 0; Asterisk and FreeSWITCH know no BUNDLE and no mid, and say ptime 0.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.negotiation import (
    LocalParameters,
    LocalVideo,
    Negotiated,
    apply_answer,
    create_answer,
    create_offer,
)
from media.sdp import SessionDescription, parse

OFFERS = {
    path.stem: path.read_text().replace("\n", "\r\n") for path in Path(__file__).parent.glob("offers/*.sdp")
}
DIGEST = ":".join(["AB"] * 32)
US = LocalParameters(1, "abcd", "a" * 22, DIGEST, 1, "us", video=LocalVideo(2, 3), data=True)


@dataclass(frozen=True)
class Expected:
    audio: tuple[str, int] | None
    video: tuple[str, int] | None = None
    rtx: int | None = None
    mid_extension: int | None = None
    data: int | None = None  # the largest message, 0: any
    fec: bool = False
    red: int | None = None


EXPECTED = {
    "firefox": Expected(("opus", 109), ("VP8", 120), 124, 3, 1073741823, fec=True),
    "firefox-max-bundle": Expected(("opus", 109), ("VP8", 120), 124, 3, 1073741823, fec=True),
    "firefox-many-dead-sections": Expected(("opus", 109), ("VP8", 120), 124, 3, 1073741823, fec=True),
    "chromium": Expected(("opus", 111), ("VP8", 96), 97, 4, 262144, fec=True, red=63),
    "safari": Expected(("opus", 111), ("VP8", 96), 97, 9, 262144, fec=True),
    "gstreamer": Expected(("opus", 97), ("H264", 96)),
    "pion": Expected(("opus", 111), ("VP8", 96), 97, 1, fec=True),
    "libdatachannel": Expected(("opus", 111), data=0, fec=True),
    "werift": Expected(("opus", 96), ("VP8", 97), 98, 1),
    "janus": Expected(("opus", 111), ("H264", 107), None, 1),
    "asterisk": Expected(("opus", 107)),
    "freeswitch": Expected(("opus", 102), fec=True),
}


def shuffled(text: str, random: Random) -> str:
    """Another order of the attributes of the session, and of each section."""
    head, *sections = text.split("m=")
    out = []
    for part in (head, *("m=" + section for section in sections)):
        lines = part.splitlines()
        attributes = [line for line in lines if line.startswith("a=")]
        random.shuffle(attributes)
        out += [line for line in lines if not line.startswith("a=")] + attributes
    return "".join(line + "\r\n" for line in out)


def answered(text: str) -> tuple[SessionDescription, Negotiated]:
    return create_answer(parse(text), US)


def test_what_is_expected_of_each() -> None:
    assert OFFERS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("peer", EXPECTED)
def test_what_is_agreed_with(peer: str) -> None:
    expected, (answer, agreed) = EXPECTED[peer], answered(OFFERS[peer])
    audio, video, data = agreed.audio, agreed.video, agreed.data
    assert (audio and (audio.codec, audio.send_payload_type)) == expected.audio
    assert (video and (video.codec, video.send_payload_type)) == expected.video
    assert (data and data.max_message_bytes) == expected.data
    assert audio is not None and audio.use_inband_fec is expected.fec and audio.packet_ms == 20
    assert (audio.mid_extension, audio.red_payload_type) == (expected.mid_extension, expected.red)
    assert audio.send and audio.receive
    if video is not None:
        assert (
            video.nack
            and video.pli
            and (video.send_rtx_payload_type, video.mid_extension)
            == (
                expected.rtx,
                expected.mid_extension,
            )
        )
    assert agreed.transport.dtls_client
    assert agreed.transport.ice_ufrag == "F7gI"
    # every section that the peer uses is taken, each answered in its place
    offer = parse(OFFERS[peer])
    assert [m.mid for m in answer.media] == [m.mid for m in offer.media]
    assert [m.port != 0 for m in answer.media] == [
        "m=" in OFFERS[peer] and not m.mid.startswith("d") for m in offer.media
    ]
    assert answer.bundle == [mid for mid in offer.bundle if mid in [m.mid for m in answer.media if m.port]]


@pytest.mark.parametrize("peer", EXPECTED)
def test_the_answer_says_nothing_that_was_not_offered(peer: str) -> None:
    answer, _ = answered(OFFERS[peer])
    for ours, theirs in zip(parse(str(answer)).media, parse(OFFERS[peer]).media, strict=True):
        offered = {c.payload_type: c for c in theirs.codecs}
        assert ours.extensions.items() <= theirs.extensions.items()
        for codec in ours.codecs:
            assert codec.name.lower() == offered[codec.payload_type].name.lower()
            assert set(codec.feedback) <= set(offered[codec.payload_type].feedback)
            assert "sprop-parameter-sets" not in codec.parameters


@given(st.sampled_from(sorted(EXPECTED)), st.randoms(use_true_random=False))
def test_the_order_of_attributes_changes_nothing(peer: str, random: Random) -> None:
    assert answered(shuffled(OFFERS[peer], random))[1] == answered(OFFERS[peer])[1]


@given(st.randoms(use_true_random=False))
def test_an_answer_of_ours_to_ourselves_in_any_order(random: Random) -> None:
    offer = create_offer(US)
    answer = str(create_answer(parse(shuffled(str(offer), random)), US)[0])
    assert apply_answer(offer, parse(shuffled(answer, random))) == apply_answer(offer, parse(answer))


@pytest.mark.parametrize(
    "line", ["a=extmap:4096 urn:x", "a=ptime:0", "a=ptime:20.0", "a=rtpmap:35 AV1/90000", "hello", "a=mid"]
)
@pytest.mark.parametrize("peer", EXPECTED)
def test_a_harmless_line_refuses_nothing(peer: str, line: str) -> None:
    for place in ("m=audio", "m=video", "m=application"):
        assert answered(OFFERS[peer].replace(place, f"{line}\r\n{place}", 1))[1] == answered(OFFERS[peer])[1]
    assert answered(OFFERS[peer] + line + "\r\n")[1] == answered(OFFERS[peer])[1]
    assert answered(OFFERS[peer].replace("\r\n", " \r\n"))[1] == answered(OFFERS[peer])[1]
