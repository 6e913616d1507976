"""SDP text (RFC 8866, RFC 9429 section 5)."""

import asyncio
import functools
from random import Random

import pytest
from aiortc import RTCPeerConnection
from hypothesis import given
from hypothesis import strategies as st

from media.errors import SdpError
from media.sdp import Codec, MediaDescription, SessionDescription, parse

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
DIGEST = ":".join(["AB"] * 32)


@functools.cache
def foreign_offer() -> str:
    """What aiortc offers: voice, video and a data channel."""

    async def make() -> str:
        connection = RTCPeerConnection()
        connection.addTransceiver("audio")
        connection.addTransceiver("video")
        connection.createDataChannel("chat")
        offer = await connection.createOffer()
        await connection.close()
        return str(offer.sdp)

    return asyncio.run(make())


def parsed_or_refused(text: str) -> SessionDescription | None:
    try:
        return parse(text)
    except SdpError:
        return None


# -- real descriptions


def test_a_foreign_offer() -> None:
    session = parse(foreign_offer())
    audio, video, data = session.media
    assert [m.kind for m in session.media] == ["audio", "video", "application"]
    assert session.bundle == [audio.mid, video.mid, data.mid]
    assert [c.payload_type for c in audio.codecs if c.name == "opus"] == [96]
    opus = audio.codecs[0]
    assert (opus.clock_rate, opus.channels) == (48000, 2)
    assert len(audio.fingerprints) == 3, "aiortc gives three digests"
    assert audio.fingerprints[0][0] == "sha-256"
    assert audio.setup == "actpass"
    assert audio.rtcp_mux
    assert "urn:ietf:params:rtp-hdrext:sdes:mid" in audio.extensions.values()
    assert len(audio.ice_pwd) >= 22
    vp8 = next(c for c in video.codecs if c.name == "VP8")
    assert "nack pli" in vp8.feedback
    assert data.protocol == "UDP/DTLS/SCTP"
    assert data.formats == ["webrtc-datachannel"]


def test_a_foreign_offer_survives_being_written_out() -> None:
    session = parse(foreign_offer())
    assert parse(str(session)) == session


def test_lines_may_end_in_lf_only() -> None:
    assert parse(foreign_offer().replace("\r\n", "\n")) == parse(foreign_offer())


# -- the round trip

tokens = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789+-", min_size=1, max_size=12)
codecs = st.builds(
    Codec,
    st.integers(0, 127),
    tokens,
    st.integers(1, 1_000_000),
    st.integers(1, 8),
    st.dictionaries(tokens.map(str.lower), tokens, max_size=3),
    st.lists(tokens, max_size=3, unique=True),
)


def named_in_the_m_line(media: MediaDescription) -> MediaDescription:
    media.formats = list(dict.fromkeys([*(str(c.payload_type) for c in media.codecs), *media.formats]))
    return media


sections = st.builds(
    MediaDescription,
    kind=st.sampled_from(("audio", "video", "application")),
    mid=tokens | st.just(""),
    port=st.integers(0, 65535),
    formats=st.lists(tokens, min_size=1, max_size=4),
    direction=st.sampled_from(("sendrecv", "sendonly", "recvonly", "inactive")),
    codecs=st.lists(codecs, max_size=4, unique_by=lambda c: c.payload_type),
    extensions=st.dictionaries(st.integers(1, 255), tokens, max_size=4),
    ice_ufrag=tokens,
    ice_pwd=tokens,
    ice_options=st.lists(tokens, max_size=2),
    fingerprints=st.lists(st.tuples(tokens.map(str.lower), tokens.map(str.upper)), max_size=3, unique=True),
    setup=st.sampled_from(("", "active", "passive", "actpass")),
    rtcp_mux=st.booleans(),
    rtcp_rsize=st.booleans(),
    rtcp_xr=st.lists(tokens, max_size=3),
    ssrcs=st.dictionaries(st.integers(0, 0xFFFFFFFF), tokens, max_size=3),
    msid=tokens | st.just(""),
    ptime_ms=st.none() | st.integers(1, 1000),
    candidates=st.lists(tokens.map("candidate:{}".format), max_size=3),
    bundle_only=st.booleans(),
    extmap_allow_mixed=st.booleans(),
    sctp_port=st.none() | st.integers(1, 65535),
    max_message_bytes=st.none() | st.integers(0, 1 << 32),
).map(named_in_the_m_line)
sessions = st.builds(
    SessionDescription,
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
    st.lists(tokens, max_size=3),
    st.booleans(),
    st.lists(sections, max_size=3),
)


@given(sessions)
def test_what_is_written_is_parsed_back(session: SessionDescription) -> None:
    assert parse(str(session)) == session


# -- any text


@given(st.text(max_size=200) | st.text("vosmatice=:;/ \r\n0123456789-fngrpu", max_size=200).map(HEAD.__add__))
def test_any_text(text: str) -> None:
    parsed_or_refused(text)
    parsed_or_refused(HEAD + AUDIO + text)


ATTRIBUTES = [
    "mid",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "fingerprint",
    "setup",
    "rtcp-mux",
    "msid",
    "ptime",
    "candidate",
    "ssrc",
    "extmap",
    "extmap-allow-mixed",
    "bundle-only",
    "max-message-size",
    "rtpmap",
    "fmtp",
    "rtcp-fb",
    "group",
    "ice-lite",
    "sendrecv",
]


@given(st.sampled_from(ATTRIBUTES), st.text(max_size=40), st.booleans())
def test_any_value_of_any_attribute(name: str, value: str, in_session: bool) -> None:
    line = f"a={name}:{value}\r\n"
    session = parsed_or_refused(HEAD + (line + AUDIO if in_session else AUDIO + line))
    if session is not None:
        parsed_or_refused(str(session))


@given(st.data())
def test_a_damaged_foreign_offer(data: st.DataObject) -> None:
    lines = foreign_offer().split("\r\n")
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(lines) - 1))
        line = lines[index]
        at = data.draw(st.integers(0, len(line)))
        junk = data.draw(st.text(max_size=4))
        action = data.draw(st.sampled_from(("drop", "cut", "insert", "double", "overwrite")))
        match action:
            case "drop":
                lines[index] = ""
            case "cut":
                lines[index] = line[:at]
            case "insert":
                lines[index] = line[:at] + junk + line[at:]
            case "double":
                lines.insert(index, line)
            case _:
                lines[index] = line[:at] + junk + line[at + len(junk) :]
    session = parsed_or_refused("\r\n".join(lines))
    if session is not None:
        str(session)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begins with v=0"),
        ("v=1\r\n", "begins with v=0"),
        (HEAD + "m=\r\n", "media type"),
        (HEAD + "m=audio 9\r\n", "media protocol"),
        (HEAD + "m=audio 65536 UDP/TLS/RTP/SAVPF 111\r\n", "media port"),
        (HEAD + "m=audio -1 UDP/TLS/RTP/SAVPF 111\r\n", "media port"),
        (HEAD + "m=audio ٣ UDP/TLS/RTP/SAVPF 111\r\n", "media port"),
        (HEAD + AUDIO * 129, "media sections"),
        ("v=0\r\n" + "a=x\r\n" * 20000, "characters"),
    ],
)
def test_each_defect_is_named(text: str, why: str) -> None:
    with pytest.raises(SdpError, match=why):
        parse(text)


ODD = [
    "hello",
    " a=mid:x",
    "a=",
    "a=rtpmap:111 opus",
    "a=rtpmap:128 opus/48000/2",
    "a=rtpmap:111 opus/0",
    "a=rtpmap:111 opus/48000/0",
    "a=rtpmap:webrtc-datachannel",
    "a=rtpmap:35 H265/90000",  # of no format of the section
    "a=fmtp:35 x=1",
    "a=rtcp-fb:35 nack",
    "a=extmap:0 urn:x",
    "a=extmap:256 urn:x",
    "a=extmap:4096 urn:x",
    "a=extmap:5",
    "a=extmap:5/sendonly urn:x",
    "a=extmap:5/inactive urn:x",
    "a=ptime:0",
    "a=ptime:-20",
    "a=ptime:",
    "a=maxptime:5000",
    "a=ssrc:4294967296 cname:x",
    "a=mid:a b",
    "a=ice-ufrag:",
    "a=fingerprint:sha-256",
    "a=max-message-size:-1",
    "a=max-message-size:" + "9" * 30,
    "a=sctp-port:0",
    "a=ssrc-group:FID x y",
    "b=AS:much",
    "c=IN IP6",
    "i=",
]


def test_an_odd_line_is_as_good_as_not_there() -> None:
    """In a section, before the first one, and all of them together."""
    expected = parse(foreign_offer())
    for text in [line + "\r\n" for line in ODD] + ["".join(line + "\r\n" for line in ODD)]:
        for place in ("m=audio", "m=video", "m=application"):
            assert parse(foreign_offer().replace(place, text + place, 1)) == expected, text
        assert parse(foreign_offer() + text) == expected, text


@pytest.mark.parametrize(
    "origin", ["o=- 1 2 IN IP4", "o=- one 2 IN IP4 ::1", "o=- 18446744073709551616 2 IN IP4 ::1"]
)
def test_nothing_hangs_on_the_origin(origin: str) -> None:
    assert len(parse(f"v=0\r\n{origin}\r\ns=-\r\nt=0 0\r\n{AUDIO}").media) == 1


def test_space_at_the_end_of_a_line_says_nothing() -> None:
    assert parse(foreign_offer().replace("\r\n", " \t\r\n")) == parse(foreign_offer())


@pytest.mark.parametrize(("text", "value"), [("20", 20), ("20.0", 20), ("2.5", 2), ("0", None), ("", None)])
def test_packet_times(text: str, value: int | None) -> None:
    (media,) = parse(f"{HEAD}{AUDIO}a=ptime:{text}\r\na=maxptime:{text}\r\n").media
    assert (media.ptime_ms, media.max_ptime_ms) == (value, value)


def test_a_message_of_any_size_is_not_one_of_the_default_size() -> None:
    """RFC 8841 section 6: 0 is no limit, no attribute is 64 KiB."""
    data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    assert parse(f"{HEAD}{data}a=max-message-size:0\r\n").media[0].max_message_bytes == 0
    assert parse(HEAD + data).media[0].max_message_bytes is None


# -- the order of lines


def shuffled(text: str, random: Random) -> str:
    """The attributes of the session, and those of each section, in another order; the m= lines where they are."""
    out: list[str] = []
    attributes: list[str] = []
    for line in [*text.split("\r\n")[:-1], "m="]:
        if line.startswith("m="):
            random.shuffle(attributes)
            out += attributes
            attributes = []
        (attributes if line.startswith("a=") else out).append(line)
    return "\r\n".join(out[:-1]) + "\r\n"


def without_order(session: SessionDescription) -> SessionDescription:
    """Where an order has a meaning (formats, codecs, candidates) it stays; where it has none it goes."""
    for media in session.media:
        media.fingerprints.sort()
        media.candidates.sort()
        media.ssrc_groups.sort()
        for codec in media.codecs:
            codec.feedback.sort()
    return session


@given(st.randoms(use_true_random=False))
def test_attributes_may_stand_in_any_order(random: Random) -> None:
    text = foreign_offer()
    assert without_order(parse(shuffled(text, random))) == without_order(parse(text))


def test_the_order_of_the_m_line_is_that_of_preference() -> None:
    """Not that of the a=rtpmap lines; and what the m= line does not name is not offered."""
    text = (
        HEAD
        + "m=video 9 UDP/TLS/RTP/SAVPF 126 96\r\n"
        + "".join(f"a=rtpmap:{n} {name}/90000\r\n" for n, name in ((96, "VP8"), (97, "AV1"), (126, "H264")))
    )
    assert [c.name for c in parse(text).media[0].codecs] == ["H264", "VP8"]


# -- what holds for the session


def test_session_level_attributes_hold_for_every_section() -> None:
    text = (
        HEAD
        + f"a=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 22}\r\na=ice-options:trickle\r\na=setup:active\r\n"
        + f"a=fingerprint:SHA-256 {DIGEST.lower()}\r\na=sendonly\r\na=ice-lite\r\n"
        + AUDIO
        + AUDIO
        + "a=ice-ufrag:efgh\r\na=setup:passive\r\na=recvonly\r\n"
    )
    first, second = parse(text).media
    assert parse(text).ice_lite
    assert (first.ice_ufrag, second.ice_ufrag) == ("abcd", "efgh")
    assert first.ice_pwd == second.ice_pwd == "p" * 22
    assert first.fingerprints == second.fingerprints == [("sha-256", DIGEST)]
    assert (first.setup, second.setup) == ("active", "passive")
    assert (first.direction, second.direction) == ("sendonly", "recvonly")
    assert first.ice_options == ["trickle"]


def test_a_section_s_own_fingerprints_replace_those_of_the_session() -> None:
    other = ":".join(["CD"] * 32)
    text = (
        f"{HEAD}a=fingerprint:sha-256 {DIGEST}\r\n{AUDIO}a=fingerprint:sha-256 {other}\r\n"
        f"a=fingerprint:sha-384 {other}\r\n{AUDIO}"
    )
    first, second = parse(text).media
    assert first.fingerprints == [("sha-256", other), ("sha-384", other)]
    assert second.fingerprints == [("sha-256", DIGEST)]


def test_unknown_lines_and_attributes_are_skipped() -> None:
    text = (
        HEAD
        + "b=AS:100\r\na=extmap-allow-mixed\r\n"
        + AUDIO
        + "i=x\r\na=silly\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
    )
    assert len(parse(text).media) == 1


def test_format_parameters() -> None:
    text = (
        HEAD
        + AUDIO
        + "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10; UseInbandFEC=1;flag ;;\r\na=fmtp:9 x=1\r\n"
    )
    (codec,) = parse(text).media[0].codecs
    assert codec.parameters == {"minptime": "10", "useinbandfec": "1", "flag": ""}


def test_feedback_for_all_formats() -> None:
    text = (
        HEAD
        + AUDIO.replace("111", "111 0")
        + "a=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtcp-fb:* nack\r\n"
    )
    assert [c.feedback for c in parse(text).media[0].codecs] == [["nack"], ["nack"]]


def test_candidates_and_ssrcs_are_bounded() -> None:
    lines = "".join(
        f"a=candidate:{n} 1 udp 1 192.0.2.1 {n} typ host\r\na=ssrc:{n} cname:x\r\n" for n in range(200)
    )
    media = parse(HEAD + AUDIO + lines).media[0]
    assert (len(media.candidates), len(media.ssrcs)) == (64, 64)


def test_extensions_of_the_session_hold_for_every_section() -> None:
    text = (
        HEAD + "a=extmap:3 urn:mid\r\na=extmap-allow-mixed\r\n" + AUDIO + "a=extmap:4 urn:other\r\n" + AUDIO
    )
    first, second = parse(text).media
    assert (first.extensions, second.extensions) == ({3: "urn:mid", 4: "urn:other"}, {3: "urn:mid"})
    assert first.extmap_allow_mixed and second.extmap_allow_mixed


def test_what_one_peer_may_make_us_keep_of_a_codec_is_bounded() -> None:
    lines = "".join(f"a=rtcp-fb:* x{n}\r\na=rtpmap:111 opus/48000/2\r\n" for n in range(900))
    (codec,) = parse(HEAD + AUDIO + lines).media[0].codecs
    assert len(codec.feedback) == 32


def test_the_first_bundle_group_counts() -> None:
    text = HEAD + "a=group:LS x\r\na=group:BUNDLE 0 1\r\na=group:BUNDLE 2\r\na=group:\r\n" + AUDIO
    assert parse(text).bundle == ["0", "1"]
