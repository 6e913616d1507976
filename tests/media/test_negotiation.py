"""Offer and answer (RFC 9429, RFC 3264)."""

import asyncio
import functools
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from media.capabilities import ABS_SEND_TIME_URI
from media.errors import NegotiationError, SdpError
from media.negotiation import (
    LocalParameters,
    LocalVideo,
    Section,
    apply_answer,
    create_answer,
    create_offer,
)
from media.parameters import DEFAULT_BITRATE_BPS
from media.rtp.extensions import MID_URI
from media.sdp import Codec, MediaDescription, SessionDescription, parse
from media.settlement import MIN_BITRATE_BPS

DIGEST = ":".join(["AB"] * 32)
ALICE = LocalParameters(1, "aaaa", "a" * 22, DIGEST, 0xA11CE, "alice")
BOB = LocalParameters(2, "bbbb", "b" * 22, DIGEST.replace("A", "C"), 0xB0B, "bob")

Change = Callable[[MediaDescription], None]


@functools.cache
def foreign_offer() -> str:
    async def make() -> str:
        connection = RTCPeerConnection()
        connection.createDataChannel("chat")
        connection.addTransceiver("video")
        connection.addTransceiver("audio")
        offer = await connection.createOffer()
        await connection.close()
        return str(offer.sdp)

    return asyncio.run(make())


def offer_with(change: Change) -> SessionDescription:
    offer = create_offer(ALICE)
    change(offer.media[0])
    return parse(str(offer))


def answer_with(change: Change) -> SessionDescription:
    answer, _ = create_answer(offer_with(setting()), BOB)
    change(answer.media[0])
    return parse(str(answer))


def setting(**values: object) -> Change:
    def change(media: MediaDescription) -> None:
        for name, value in values.items():
            setattr(media, name, value)

    return change


# -- both ends are ours


def test_our_answer_to_our_offer() -> None:
    offer = parse(str(create_offer(ALICE)))
    answer, bob = create_answer(offer, BOB)
    alice = apply_answer(offer, parse(str(answer)))
    for side, peer in ((alice, BOB), (bob, ALICE)):
        assert side.audio.mid == "0"
        assert side.audio.send_payload_type == 111
        assert side.audio.receive_payload_types == {111}
        assert side.audio.mid_extension == 1
        assert side.audio.use_inband_fec
        assert side.audio.bitrate_bps == DEFAULT_BITRATE_BPS
        assert side.audio.send and side.audio.receive
        assert side.transport.ice_ufrag == peer.ice_ufrag
        assert side.transport.ice_pwd == peer.ice_pwd
        assert side.transport.fingerprints == (("sha-256", peer.fingerprint),)
        assert not side.transport.ice_lite
    assert bob.transport.dtls_client and not alice.transport.dtls_client
    section = answer.media[0]
    assert section.rtcp_mux and section.rtcp_rsize
    assert section.ssrcs == {0xB0B: "bob"}
    assert section.ice_options == ["trickle"]
    assert answer.bundle == ["0"]


def test_an_offer_says_what_webrtc_demands() -> None:
    text = str(create_offer(ALICE, version=3, sections=[Section("voice", "audio")]))
    for line in (
        "o=- 1 3 IN IP4 127.0.0.1",
        "a=group:BUNDLE voice",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 112 9 0 8",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
        "a=rtcp-fb:111 ack ccfb",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        f"a=extmap:1 {MID_URI}",
        f"a=fingerprint:sha-256 {DIGEST}",
        "a=setup:actpass",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtcp-xr:voip-metrics rcvr-rtt=all",
        "a=mid:voice",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("described", "agreed"),
    [
        (["voip-metrics", "rcvr-rtt=all"], True),
        (["stat-summary=loss,dup", "rcvr-rtt=all", "voip-metrics"], True),
        ([], False),
        (["rcvr-rtt=all"], False),  # libwebrtc
        (["voip-metrics"], False),
    ],
)
def test_extended_reports_are_sent_where_both_sides_want_all_of_them(
    described: list[str], agreed: bool
) -> None:
    answer, bob = create_answer(offer_with(setting(rtcp_xr=described)), BOB)
    assert bob.audio.extended_reports is agreed
    assert answer.media[0].rtcp_xr == (["voip-metrics", "rcvr-rtt=all"] if agreed else [])
    alice = apply_answer(create_offer(ALICE), answer_with(setting(rtcp_xr=described)))
    assert alice.audio.extended_reports is agreed


@pytest.mark.parametrize(
    ("offered", "client"), [("actpass", True), ("", True), ("passive", True), ("active", False)]
)
def test_who_sends_the_client_hello(offered: str, client: bool) -> None:
    answer, agreed = create_answer(offer_with(setting(setup=offered)), BOB)
    assert agreed.transport.dtls_client is client
    assert answer.media[0].setup == ("active" if client else "passive")


@pytest.mark.parametrize(("said", "client"), [("active", False), ("passive", True)])
def test_the_answer_says_who_sends_the_client_hello(said: str, client: bool) -> None:
    agreed = apply_answer(create_offer(ALICE), answer_with(setting(setup=said)))
    assert agreed.transport.dtls_client is client


DIRECTIONS = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}


@pytest.mark.parametrize("a", list(DIRECTIONS))
@pytest.mark.parametrize("b", list(DIRECTIONS))
def test_directions_meet(a: tuple[bool, bool], b: tuple[bool, bool]) -> None:
    offer = create_offer(replace(ALICE, send=a[0], receive=a[1]))
    assert offer.media[0].direction == DIRECTIONS[a]
    answer, bob = create_answer(parse(str(offer)), replace(BOB, send=b[0], receive=b[1]))
    alice = apply_answer(offer, parse(str(answer)))
    assert alice.audio.send is bob.audio.receive is (a[0] and b[1])
    assert alice.audio.receive is bob.audio.send is (a[1] and b[0])
    assert answer.media[0].direction == DIRECTIONS[bob.audio.send, bob.audio.receive]


# -- payload types, parameters


@pytest.mark.parametrize("payload_type", [35, 63, 96, 109, 111, 127])
def test_the_answer_uses_the_offer_s_payload_type(payload_type: int) -> None:
    def change(media: MediaDescription) -> None:
        media.formats = [str(payload_type)]
        media.codecs[0].payload_type = payload_type

    answer, agreed = create_answer(offer_with(change), BOB)
    assert answer.media[0].codecs[0].payload_type == payload_type
    assert f"m=audio 9 UDP/TLS/RTP/SAVPF {payload_type}" in str(answer)
    assert agreed.audio.send_payload_type == payload_type
    assert agreed.audio.receive_payload_types == {payload_type}


def test_opus_without_its_two_channels_is_opus() -> None:
    """As GStreamer's webrtcbin offers it while its source is starting (OPUS/48000). Ours has two, as RFC 7587 has it."""
    offer = parse(str(create_offer(ALICE)).replace("opus/48000/2", "OPUS/48000"))
    answer, agreed = create_answer(offer, BOB)
    assert "a=rtpmap:111 opus/48000/2" in str(answer)
    assert agreed.audio is not None and agreed.audio.codec == "opus"
    theirs = parse(str(answer).replace("opus/48000/2", "OPUS/48000"))
    assert apply_answer(create_offer(ALICE), theirs).audio is not None


def test_opus_is_found_among_others_whatever_its_case() -> None:
    def change(media: MediaDescription) -> None:
        media.formats = ["0", "63", "101", "111"]
        opus = replace(media.codecs[0], name="OPUS")
        media.codecs = [
            Codec(0, "PCMU", 8000),
            Codec(63, "red", 48000, 2, {"111/111": ""}),
            Codec(101, "opus", 16000, 2),
            opus,
        ]

    answer, agreed = create_answer(offer_with(change), BOB)
    assert agreed.audio.send_payload_type == 111
    assert [c.name for c in answer.media[0].codecs] == ["opus", "red"]
    assert agreed.audio.red_payload_type == 63


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("20000", 20000),
        ("510000", DEFAULT_BITRATE_BPS),
        ("1", MIN_BITRATE_BPS),
        ("0", MIN_BITRATE_BPS),
        ("-5", DEFAULT_BITRATE_BPS),
        ("much", DEFAULT_BITRATE_BPS),
        ("²", DEFAULT_BITRATE_BPS),
        ("9" * 50, DEFAULT_BITRATE_BPS),
        ("", DEFAULT_BITRATE_BPS),
    ],
)
def test_maxaveragebitrate(asked: str, got: int) -> None:
    def change(media: MediaDescription) -> None:
        media.codecs[0].parameters["maxaveragebitrate"] = asked

    _, agreed = create_answer(offer_with(change), BOB)
    assert agreed.audio.bitrate_bps == got
    assert apply_answer(create_offer(ALICE), answer_with(change)).audio.bitrate_bps == got


@pytest.mark.parametrize(("parameters", "fec"), [({}, False), ({"useinbandfec": "0"}, False)])
def test_no_fec_for_a_peer_that_did_not_ask_for_it(parameters: dict[str, str], fec: bool) -> None:
    def change(media: MediaDescription) -> None:
        media.codecs[0].parameters = parameters

    _, agreed = create_answer(offer_with(change), BOB)
    assert agreed.audio.use_inband_fec is fec


def test_the_peer_s_extension_number_is_taken_over() -> None:
    extensions = {3: "urn:ietf:params:rtp-hdrext:ssrc-audio-level", 9: MID_URI}
    answer, agreed = create_answer(offer_with(setting(extensions=extensions)), BOB)
    assert answer.media[0].extensions == {9: MID_URI}
    assert agreed.audio.mid_extension == 9


# -- G.711, G.722, packet times


@pytest.mark.parametrize(("name", "payload_type"), [("PCMU", 0), ("PCMA", 8), ("G722", 9)])
@pytest.mark.parametrize("described", [True, False])
def test_a_peer_with_one_of_the_old_codecs(name: str, payload_type: int, described: bool) -> None:
    """Their payload types are static: a=rtpmap may be left out (RFC 3551 section 6)."""
    codecs = [Codec(payload_type, name.lower(), 8000)] if described else []
    answer, bob = create_answer(offer_with(setting(formats=[str(payload_type)], codecs=codecs)), BOB)
    assert f"m=audio 9 UDP/TLS/RTP/SAVPF {payload_type}\r\n" in str(answer)
    assert f"a=rtpmap:{payload_type} {name}/8000\r\n" in str(answer)
    alice = apply_answer(create_offer(ALICE), parse(str(answer)))
    for side in (alice, bob):
        assert (side.audio.codec, side.audio.send_payload_type) == (name, payload_type)
        assert side.audio.receive_payload_types == {payload_type}
        assert side.audio.clock_rate == 8000
        assert side.audio.red_payload_type is side.audio.rtx_payload_type is None
        assert not side.audio.nack and not side.audio.arrival_feedback


def test_a_static_number_may_be_given_to_another_codec() -> None:
    change = setting(formats=["0", "8"], codecs=[Codec(0, "speex", 8000)])
    assert create_answer(offer_with(change), BOB)[1].audio.codec == "PCMA"


def test_the_better_codec_is_taken_and_the_others_are_understood() -> None:
    offer = create_offer(ALICE)
    answer = parse(str(create_answer(parse(str(offer)), BOB)[0]))
    answer.media[0].formats += ["0", "9", "8"]
    answer.media[0].codecs += [Codec(0, "PCMU", 8000), Codec(9, "G722", 8000), Codec(8, "PCMA", 16000)]
    agreed = apply_answer(offer, parse(str(answer)))
    assert agreed.audio.codec == "opus"
    assert agreed.audio.other_codecs == ((9, "G722"), (0, "PCMU"))


def test_codecs_are_offered_as_preferred() -> None:
    offer = create_offer(replace(ALICE, audio_codecs=("PCMA", "G722")))
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 8 9" in str(offer)
    assert create_answer(parse(str(offer)), BOB)[1].audio.codec == "G722", "our own preference counts here"
    taken = create_answer(parse(str(create_offer(ALICE))), replace(BOB, audio_codecs=("PCMU", "opus")))[1]
    assert taken.audio.codec == "PCMU"


@pytest.mark.parametrize(
    ("ptime", "maxptime", "minptime", "opus", "g722"),
    [
        (None, None, "10", 20, 20),
        (10, None, "10", 10, 10),
        (40, None, "10", 40, 40),
        (60, None, "", 60, 60),
        (30, None, "much", 20, 30),
        (200, None, "10", 60, 60),
        (60, 40, "10", 40, 40),
        (None, 10, "10", 10, 10),
        (5, None, "3", 10, 10),
        (10, None, "20", 20, 20),
    ],
)
def test_packet_times(ptime: int | None, maxptime: int | None, minptime: str, opus: int, g722: int) -> None:
    """What the peer says about its own packets to come (RFC 8866 section 6.4, RFC 7587 section 6.1)."""
    for codecs, wanted in (
        ([Codec(111, "opus", 48000, 2, {"minptime": minptime})], opus),
        ([Codec(9, "G722", 8000, 1, {"minptime": minptime})], g722),
    ):
        change = setting(codecs=codecs, ptime_ms=ptime, max_ptime_ms=maxptime)
        assert create_answer(offer_with(change), BOB)[1].audio.packet_ms == wanted


def test_a_peer_that_wants_nothing_in_pauses() -> None:
    change = setting(codecs=[Codec(111, "opus", 48000, 2, {"usedtx": "1"})])
    assert create_answer(offer_with(change), BOB)[1].audio.use_dtx
    assert not create_answer(offer_with(setting()), BOB)[1].audio.use_dtx


def test_no_mid_extension_where_it_was_not_offered() -> None:
    answer, agreed = create_answer(offer_with(setting(extensions={})), BOB)
    assert answer.media[0].extensions == {}
    assert agreed.audio.mid_extension is None


def test_an_offer_without_mid() -> None:
    offer = create_offer(ALICE)
    offer.bundle = []
    offer.media[0].mid = ""
    answer, agreed = create_answer(parse(str(offer)), BOB)
    assert agreed.audio.mid == "" and agreed.audio.mid_extension is None
    assert "a=mid" not in str(answer) and "BUNDLE" not in str(answer)
    apply_answer(offer, parse(str(answer)))


# -- other sections


def test_a_foreign_offer_with_video_and_data_is_answered_with_voice() -> None:
    offer = parse(foreign_offer())
    kinds = [m.kind for m in offer.media]
    answer, agreed = create_answer(offer, BOB)
    back = parse(str(answer))
    assert [m.kind for m in back.media] == kinds
    audio = kinds.index("audio")
    assert [m.port == 0 for m in back.media] == [i != audio for i in range(len(kinds))]
    assert [m.mid for m in back.media] == [m.mid for m in offer.media]
    assert [m.protocol for m in back.media] == [m.protocol for m in offer.media]
    assert back.bundle == [offer.media[audio].mid]
    assert agreed.audio.send_payload_type == 96
    assert agreed.audio.mid == offer.media[audio].mid
    for rejected in (m for m in back.media if m.port == 0):
        assert rejected.direction == "inactive"
        assert not rejected.codecs
        assert rejected.ice_ufrag and rejected.fingerprints, "aiortc refuses a section without"


async def test_aiortc_takes_our_answer() -> None:
    connection = RTCPeerConnection()
    try:
        connection.addTransceiver("audio")
        await connection.setLocalDescription(await connection.createOffer())
        answer, _ = create_answer(parse(connection.localDescription.sdp), BOB)
        await connection.setRemoteDescription(RTCSessionDescription(str(answer), "answer"))
        assert connection.signalingState == "stable"
    finally:
        await connection.close()


def test_only_one_voice_section_is_taken() -> None:
    offer = create_offer(ALICE)
    offer.media.append(replace(offer.media[0], mid="1"))
    answer, _ = create_answer(parse(str(offer)), BOB)
    assert [m.port for m in answer.media] == [9, 0]


# -- rejections


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (setting(kind="video"), "no audio section with a codec of ours"),
        (setting(port=0), "no audio section with a codec of ours"),
        (setting(protocol="RTP/AVP"), "no audio section with a codec of ours"),
        (setting(protocol="UDP/DTLS/SCTP"), "no audio section with a codec of ours"),
        (setting(codecs=[Codec(111, "opus", 16000, 2)]), "no audio section with a codec of ours"),
        (setting(codecs=[Codec(111, "PCMU", 16000)]), "no audio section with a codec of ours"),
        (setting(formats=["3"]), "no audio section with a codec of ours"),
        (setting(setup="holdconn"), "setup:holdconn"),
        (setting(rtcp_mux=False), "does not multiplex"),
        (setting(fingerprints=[]), "no DTLS fingerprint"),
        (setting(fingerprints=[("sha-1", "AB:CD")]), "no DTLS fingerprint"),
        (setting(ice_ufrag="abc"), "ICE user name"),
        (setting(ice_ufrag="", ice_pwd=""), "ICE user name"),
        (setting(ice_pwd="short"), "ICE user name"),
    ],
)
def test_an_offer_that_does_not_fit_is_refused(change: Change, why: str) -> None:
    with pytest.raises(NegotiationError, match=why):
        create_answer(offer_with(change), BOB)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (setting(port=0), "rejected everything"),
        (setting(kind="video"), "video where the offer has audio"),
        (setting(codecs=[Codec(3, "GSM", 8000)]), "no audio codec"),
        (setting(codecs=[Codec(96, "opus", 48000, 2)]), "no audio codec"),
        (setting(formats=["111"], codecs=[]), "no audio codec"),
        (setting(setup="actpass"), "setup:active or passive"),
        (setting(setup=""), "setup:active or passive"),
        (setting(rtcp_mux=False), "does not multiplex"),
        (setting(fingerprints=[]), "no DTLS fingerprint"),
        (setting(ice_pwd="x" * 257), "ICE user name"),
        (setting(ice_ufrag="abc"), "ICE user name"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(change: Change, why: str) -> None:
    with pytest.raises(SdpError, match=why):
        apply_answer(create_offer(ALICE), answer_with(change))


def test_an_offer_without_sections_is_refused() -> None:
    with pytest.raises(NegotiationError):
        create_answer(SessionDescription(), BOB)


@pytest.mark.parametrize("sections", [0, 2])
def test_an_answer_with_another_number_of_sections_is_refused(sections: int) -> None:
    answer = answer_with(lambda media: None)
    answer.media = answer.media[:1] * sections
    with pytest.raises(NegotiationError, match="sections"):
        apply_answer(create_offer(ALICE), answer)


def test_ice_lite_is_passed_on() -> None:
    offer = create_offer(ALICE)
    offer.ice_lite = True
    _, agreed = create_answer(parse(str(offer)), BOB)
    assert agreed.transport.ice_lite


def test_candidates_of_the_description_are_passed_on() -> None:
    line = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
    _, agreed = create_answer(offer_with(setting(candidates=[line])), BOB)
    assert agreed.transport.candidates == (line,)


# -- BUNDLE (RFC 9143)

FULL = replace(ALICE, video=LocalVideo(2, 3), data=True)
THEIRS = replace(BOB, video=LocalVideo(8, 9), data=True)
TRANSPORT = r"a=(setup:|rtcp-mux|rtcp-rsize|ice-|fingerprint).*\r\n"


def tagged_only(description: SessionDescription) -> SessionDescription:
    """What belongs to the transport in the first section of the group only (section 7.1.3)."""
    head, first, *others = re.split(r"(?m)^(?=m=)", str(description))
    return parse(head + first + "".join(re.sub(TRANSPORT, "", other) for other in others))


def test_the_transport_stands_in_the_tagged_section_only() -> None:
    offer = create_offer(FULL)
    answer, there = create_answer(tagged_only(offer), THEIRS)
    whole, expected = create_answer(parse(str(offer)), THEIRS)
    assert there == expected and str(answer) == str(whole)
    assert apply_answer(offer, tagged_only(answer)) == apply_answer(offer, parse(str(answer)))


def test_the_tagged_section_is_the_first_of_the_group_not_of_the_description() -> None:
    offer = create_offer(FULL)
    offer.bundle = ["1", "0", "2"]
    for media in (offer.media[0], offer.media[2]):
        media.ice_ufrag = media.ice_pwd = media.setup = ""
        media.fingerprints = []
    answer, agreed = create_answer(parse(str(offer)), THEIRS)
    assert answer.bundle == ["1", "0", "2"] and agreed.transport.ice_ufrag == "aaaa"


def test_a_tagged_section_that_we_reject_still_has_the_transport() -> None:
    offer = tagged_only(create_offer(FULL))
    offer.media[0].codecs, offer.media[0].formats = [Codec(3, "GSM", 8000)], ["3"]
    answer, agreed = create_answer(parse(str(offer)), THEIRS)
    assert [m.port for m in answer.media] == [0, 9, 9] and answer.bundle == ["1", "2"]
    assert agreed.audio is None and agreed.video is not None and agreed.data is not None
    assert (agreed.transport.ice_ufrag, agreed.transport.dtls_client) == ("aaaa", True)


@pytest.mark.parametrize("bundled", [True, False])
def test_a_section_without_a_port_is_rejected_unless_it_is_bundle_only(bundled: bool) -> None:
    for marked in (True, False):
        offer = create_offer(FULL)
        for media in offer.media[1:]:
            media.port, media.bundle_only = 0, marked
        offer.bundle = ["0", "1", "2"] if bundled else ["0"]
        answer, agreed = create_answer(parse(str(offer)), THEIRS)
        taken = bundled and marked
        assert [m.port != 0 for m in answer.media] == [True, taken, taken]
        assert (agreed.video is not None) is (agreed.data is not None) is taken
        assert not any(m.bundle_only for m in answer.media)


def test_a_bundle_only_section_in_an_answer() -> None:
    offer = create_offer(FULL)
    answer = parse(str(create_answer(parse(str(offer)), THEIRS)[0]))
    for media in answer.media[1:]:
        media.port, media.bundle_only = 0, True
    agreed = apply_answer(offer, parse(str(answer)))
    assert agreed.video is not None and agreed.data is not None


def test_bundle_only_with_a_port_says_nothing() -> None:
    """GStreamer and old Chromium write it so."""
    offer = create_offer(FULL)
    offer.media[1].bundle_only = True
    assert create_answer(parse(str(offer)), THEIRS)[1].video is not None


@pytest.mark.parametrize(
    "change",
    [
        setting(codecs=[Codec(99, "AV1", 90000)], formats=["99"]),
        setting(codecs=[], formats=[]),
        setting(protocol="RTP/AVP"),
        setting(mid="of no group"),
        setting(mid="", rtcp_mux=False),
        setting(kind="text"),
    ],
)
def test_one_section_that_cannot_be_used_costs_the_others_nothing(change: Change) -> None:
    offer = create_offer(FULL)
    change(offer.media[1])
    answer, agreed = create_answer(parse(str(offer)), THEIRS)
    assert [m.port for m in answer.media] == [9, 0, 9]
    assert agreed.audio is not None and agreed.data is not None and agreed.video is None


def test_an_answer_with_a_codec_that_was_not_offered_costs_the_other_sections_nothing() -> None:
    offer = create_offer(FULL)
    answer = parse(str(create_answer(parse(str(offer)), THEIRS)[0]))
    answer.media[1].codecs, answer.media[1].formats = [Codec(35, "AV1", 90000)], ["35"]
    agreed = apply_answer(offer, parse(str(answer)))
    assert agreed.video is None and agreed.audio is not None and agreed.data is not None


@pytest.mark.parametrize(("said", "size"), [(0, 0), (None, 65536), (1 << 40, 1 << 40)])
def test_the_largest_message_that_the_peer_takes(said: int | None, size: int) -> None:
    offer = create_offer(FULL)
    offer.media[2].max_message_bytes = said
    agreed = create_answer(parse(str(offer)), THEIRS)[1]
    assert agreed.data is not None and agreed.data.max_message_bytes == size


# -- two-byte header extensions (RFC 8285)


@pytest.mark.parametrize(
    ("mid", "send_time", "mixed", "expected"),
    [
        (20, 200, True, (20, 200)),
        (20, 3, True, (20, 3)),
        (20, 200, False, (20, 200)),
        (20, 3, False, (None, 3)),  # a stream has one form of header
        (3, 200, False, (3, None)),
    ],
)
def test_extension_ids_above_14(
    mid: int, send_time: int, mixed: bool, expected: tuple[int | None, int | None]
) -> None:
    offer = create_offer(FULL)
    for media in offer.media[:2]:
        media.extensions, media.extmap_allow_mixed = {mid: MID_URI, send_time: ABS_SEND_TIME_URI}, mixed
    answer, bob = create_answer(parse(str(offer)), THEIRS)
    alice = apply_answer(offer, parse(str(answer)))
    for agreed in (alice.video, bob.video):
        assert agreed is not None
        assert (agreed.mid_extension, agreed.abs_send_time_extension) == expected
    assert answer.media[1].extmap_allow_mixed is mixed


def test_a_long_mid_needs_headers_of_two_bytes() -> None:
    for mixed in (True, False):
        offer = create_offer(FULL, sections=[Section("m" * 17, "video")])
        offer.media[0].extmap_allow_mixed = mixed
        agreed = create_answer(parse(str(offer)), THEIRS)[1].video
        assert agreed is not None and (agreed.mid_extension is not None) is mixed
