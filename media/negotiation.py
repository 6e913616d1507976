"""Offer and answer (RFC 9429, RFC 3264): what one end proposes, what both then do.

One section of each kind (audio, video, application) is taken, all of them on one transport (BUNDLE). Further
sections of an offer, and kinds that this end has no use for, are rejected with port 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from media import capabilities
from media.capabilities import ABS_SEND_TIME_URI, EXTENSIONS, VideoChoice
from media.errors import NegotiationError
from media.parameters import (
    AUDIO_CODECS,
    DEFAULT_BITRATE_BPS,
    MAX_MESSAGE_BYTES,
    SCTP_PORT,
    AudioParameters,
    DataParameters,
    LocalParameters,
    LocalVideo,
    Negotiated,
    TransportParameters,
    VideoParameters,
)
from media.rtp.extensions import MID_URI
from media.sdp import Codec, MediaDescription, SessionDescription

__all__ = [
    "AudioParameters",
    "DataParameters",
    "LocalParameters",
    "LocalVideo",
    "Negotiated",
    "TransportParameters",
    "VideoParameters",
    "apply_answer",
    "create_answer",
    "create_offer",
]

MIN_BITRATE_BPS = 6000  # libopus and RFC 7587
DIGESTS = ("sha-256", "sha-384", "sha-512")
DATA_PROTOCOLS = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP")


@dataclass(frozen=True, slots=True)
class _Match:
    """A section of the peer's description that is taken, and ours beside it."""

    ours: MediaDescription
    theirs: MediaDescription
    codec: Codec | None = None
    video: VideoChoice | None = None


def create_offer(
    local: LocalParameters, *, version: int = 0, sections: Sequence[tuple[str, str]] | None = None
) -> SessionDescription:
    """An offer. `sections`: (mid, kind) in order, those of earlier descriptions first; by default all that we have."""
    if sections is None:
        kinds = ["audio"] + ["video"] * (local.video is not None) + ["application"] * local.data
        sections = [(str(index), kind) for index, kind in enumerate(kinds)]
    media = []
    for mid, kind in sections:
        ours = _section(local, kind, mid, setup="actpass")
        if kind == "audio":
            ours.codecs = capabilities.offered_audio(local.audio_codecs)
            ours.rtcp_xr = list(capabilities.AUDIO_EXTENDED_REPORTS)
        elif kind == "video" and local.video is not None:
            ours.codecs = capabilities.offered_video(local.video.codecs)
        ours.extensions = dict(EXTENSIONS.get(kind, {}))
        media.append(ours)
    return SessionDescription(local.session_id, version, bundle=[mid for mid, _ in sections], media=media)


def create_answer(
    offer: SessionDescription, local: LocalParameters, *, version: int = 0
) -> tuple[SessionDescription, Negotiated]:
    """The answer to an offer and what it settles. Raises NegotiationError when there is nothing in common."""
    taken: dict[int, _Match] = {}
    for index, theirs in enumerate(offer.media):
        if theirs.port == 0 or any(m.theirs.kind == theirs.kind for m in taken.values()):
            continue
        first = next(iter(taken.values()), None)
        if first is not None and not {first.theirs.mid, theirs.mid} <= set(offer.bundle):
            continue  # it would need a transport of its own
        if (match := _answer_section(theirs, local)) is not None:
            taken[index] = match
    if not taken:
        raise NegotiationError(
            "the offer has no audio section with a codec of ours, and nothing else in common"
        )
    media = [taken[i].ours if i in taken else _rejected(m, local) for i, m in enumerate(offer.media)]
    bundle = [m.theirs.mid for m in taken.values() if m.theirs.mid in offer.bundle]
    answer = SessionDescription(local.session_id, version, bundle=bundle, media=media)
    active = next(iter(taken.values())).ours.setup == "active"
    return answer, _settle(offer, list(taken.values()), dtls_client=active)


def apply_answer(offer: SessionDescription, answer: SessionDescription) -> Negotiated:
    """What our offer and the peer's answer settle. Raises NegotiationError."""
    if len(answer.media) != len(offer.media):
        raise NegotiationError(f"the answer has {len(answer.media)} sections, the offer {len(offer.media)}")
    matches = []
    for ours, theirs in zip(offer.media, answer.media, strict=True):
        if theirs.kind != ours.kind:
            raise NegotiationError(f"the answer has {theirs.kind} where the offer has {ours.kind}")
        if theirs.port == 0 or ours.port == 0:
            continue
        if theirs.setup not in ("active", "passive"):
            raise NegotiationError("the answer must say a=setup:active or passive")
        matches.append(_match_answer(ours, theirs))
    if not matches:
        raise NegotiationError("the peer rejected everything")
    return _settle(answer, matches, dtls_client=matches[0].theirs.setup == "passive")


# -- sections


def _section(local: LocalParameters, kind: str, mid: str, *, setup: str) -> MediaDescription:
    section = MediaDescription(
        kind,
        mid=mid,
        ice_ufrag=local.ice_ufrag,
        ice_pwd=local.ice_pwd,
        ice_options=["trickle"],
        fingerprints=[("sha-256", local.fingerprint)],
        setup=setup,
    )
    if kind == "application":
        section.protocol, section.formats = DATA_PROTOCOLS[0], ["webrtc-datachannel"]
        section.direction, section.sctp_port = "", SCTP_PORT
        section.max_message_bytes = MAX_MESSAGE_BYTES
        return section
    section.rtcp_mux = section.rtcp_rsize = True
    section.msid = f"{local.cname} {kind}"
    if kind == "audio":
        section.direction = _direction(local.send, local.receive)
        section.ssrcs = {local.ssrc: local.cname}
    elif local.video is not None:
        section.direction = _direction(local.video.send, local.video.receive)
        section.ssrcs = {local.video.ssrc: local.cname, local.video.rtx_ssrc: local.cname}
        section.ssrc_groups = [("FID", (local.video.ssrc, local.video.rtx_ssrc))]
    else:
        section.direction, section.port = "inactive", 0
    return section


def _answer_section(theirs: MediaDescription, local: LocalParameters) -> _Match | None:
    """Our section for one of the offer; None when it is to be rejected."""
    free = local.setup or "active"
    setup = {"": free, "actpass": free, "passive": "active", "active": "passive"}.get(theirs.setup)
    if setup is None:
        raise NegotiationError(f"the offer says a=setup:{theirs.setup[:20]}")
    if theirs.kind == "application" and local.data and theirs.protocol in DATA_PROTOCOLS:
        ours = _section(local, "application", theirs.mid, setup=setup)
        ours.protocol, ours.formats = theirs.protocol, list(theirs.formats)
        return _Match(ours, theirs)
    if "RTP/SAVPF" not in theirs.protocol or theirs.kind not in ("audio", "video"):
        return None
    if theirs.kind == "video" and local.video is None:
        return None
    ours = _section(local, theirs.kind, theirs.mid, setup=setup)
    ours.direction = _answer_direction(theirs.direction, ours.direction)
    known = EXTENSIONS[theirs.kind].values()
    ours.extensions = {i: uri for i, uri in theirs.extensions.items() if uri in known}
    ours.rtcp_rsize = theirs.rtcp_rsize
    if theirs.kind == "audio":
        common = capabilities.audio_codecs(theirs, local.audio_codecs)
        if not common:
            return None
        name, codec = common[0]
        ours.codecs = (
            _answer_audio(codec, theirs)
            if name == "opus"
            else [replace(codec, name=name, parameters={}, feedback=[])]
        )
        if capabilities.takes_extended_reports(theirs):
            ours.rtcp_xr = list(capabilities.AUDIO_EXTENDED_REPORTS)
        return _Match(ours, theirs, codec)
    assert local.video is not None
    choice = capabilities.choose_video(theirs, local.video.codecs)
    if choice is None:
        return None
    ours.codecs = capabilities.video(choice.name, choice.codec.payload_type, choice.rtx_payload_type)
    if choice.name == "H264":
        ours.codecs[0].parameters = capabilities.answered_h264(choice.codec)
    ours.codecs[0].feedback = [f for f in choice.codec.feedback if f in capabilities.VIDEO_FEEDBACK]
    return _Match(ours, theirs, video=choice)


def _answer_audio(codec: Codec, theirs: MediaDescription) -> list[Codec]:
    """Opus, with the protections that the offer has, under its payload types."""
    codecs = [capabilities.opus(codec.payload_type)]
    codecs[0].feedback = [f for f in codec.feedback if f in capabilities.AUDIO_FEEDBACK]
    if (red := capabilities.find_red(theirs, codec.payload_type)) is not None:
        codecs.append(capabilities.red(red, codec.payload_type))
    if (rtx := capabilities.find_audio_rtx(theirs, codec.payload_type)) is not None:
        codecs.append(capabilities.audio_rtx(rtx, codec.payload_type))
    return codecs


def _match_answer(ours: MediaDescription, theirs: MediaDescription) -> _Match:
    if ours.kind == "application":
        return _Match(ours, theirs)
    offered = {c.payload_type for c in ours.codecs}
    if ours.kind == "audio":
        common = [c for _, c in capabilities.audio_codecs(theirs, AUDIO_CODECS) if c.payload_type in offered]
        if not common:
            raise NegotiationError("the answer has no audio codec of the offer")
        return _Match(ours, theirs, common[0])
    choice = capabilities.choose_video(theirs, tuple(capabilities.VIDEO_PAYLOAD_TYPES))
    if choice is None or choice.codec.payload_type not in offered:
        raise NegotiationError("the answer has no video codec of the offer")
    return _Match(ours, theirs, video=choice)


def _rejected(theirs: MediaDescription, local: LocalParameters) -> MediaDescription:
    """Port 0; with credentials all the same, since aiortc refuses a section without them."""
    return MediaDescription(
        theirs.kind,
        mid=theirs.mid,
        port=0,
        protocol=theirs.protocol,
        formats=theirs.formats[:1],
        direction="inactive",
        ice_ufrag=local.ice_ufrag,
        ice_pwd=local.ice_pwd,
        fingerprints=[("sha-256", local.fingerprint)],
        setup="active",
    )


def _direction(send: bool, receive: bool) -> str:
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
        (send, receive), "inactive"
    )


def _answer_direction(offered: str, ours: str) -> str:
    send = ours in ("sendrecv", "sendonly") and offered in ("sendrecv", "recvonly")
    receive = ours in ("sendrecv", "recvonly") and offered in ("sendrecv", "sendonly")
    return _direction(send, receive)


# -- what is settled


def _settle(remote: SessionDescription, matches: list[_Match], *, dtls_client: bool) -> Negotiated:
    first = matches[0].theirs
    if not first.fingerprints or not any(a in DIGESTS for a, _ in first.fingerprints):
        raise NegotiationError("the description has no DTLS fingerprint that can be checked")
    if not 4 <= len(first.ice_ufrag) <= 256 or not 22 <= len(first.ice_pwd) <= 256:
        raise NegotiationError("the description has no valid ICE user name and password (RFC 8839)")
    candidates = tuple(c for m in matches for c in m.theirs.candidates)
    transport = TransportParameters(
        first.ice_ufrag, first.ice_pwd, remote.ice_lite, tuple(first.fingerprints), dtls_client, candidates
    )
    agreed = Negotiated(transport)
    for match in matches:
        if match.ours.kind == "application":
            theirs = match.theirs
            agreed = replace(
                agreed,
                data=DataParameters(
                    theirs.mid, theirs.sctp_port or SCTP_PORT, theirs.max_message_bytes or 65536
                ),
            )
            continue
        if not match.theirs.rtcp_mux:
            raise NegotiationError("the peer does not multiplex RTCP (RFC 5761)")
        if match.codec is not None:
            agreed = replace(agreed, audio=_audio(match, match.codec))
        elif match.video is not None:
            agreed = replace(agreed, video=_video(match, match.video))
    return agreed


def _directions(match: _Match) -> tuple[bool, bool]:
    ours, theirs = match.ours.direction, match.theirs.direction
    send = ours in ("sendrecv", "sendonly") and theirs in ("sendrecv", "recvonly")
    receive = ours in ("sendrecv", "recvonly") and theirs in ("sendrecv", "sendonly")
    return send, receive


def _extension(match: _Match, uri: str) -> int | None:
    return next((i for i, u in match.theirs.extensions.items() if u == uri and 1 <= i <= 14), None)


def _audio(match: _Match, codec: Codec) -> AudioParameters:
    send, receive = _directions(match)
    ours = {c.payload_type: name for name, c in capabilities.audio_codecs(match.ours, AUDIO_CODECS)}
    common = {c.payload_type: name for name, c in capabilities.audio_codecs(match.theirs, AUDIO_CODECS)}
    name = common[codec.payload_type]
    return AudioParameters(
        mid=match.ours.mid,
        send_payload_type=codec.payload_type,
        receive_payload_types=frozenset((codec.payload_type,)),
        mid_extension=_extension(match, MID_URI) if match.ours.mid else None,
        use_inband_fec=codec.parameters.get("useinbandfec") == "1",
        bitrate_bps=_bitrate(codec),
        send=send,
        receive=receive,
        red_payload_type=capabilities.find_red(match.theirs, codec.payload_type),
        rtx_payload_type=capabilities.find_audio_rtx(match.theirs, codec.payload_type),
        arrival_feedback="ack ccfb" in codec.feedback,
        nack="nack" in codec.feedback,
        reduced_size_rtcp=match.ours.rtcp_rsize and match.theirs.rtcp_rsize,
        extended_reports=all(map(capabilities.takes_extended_reports, (match.ours, match.theirs))),
        codec=name,
        packet_ms=capabilities.packet_ms(match.theirs, name, codec),
        use_dtx=codec.parameters.get("usedtx") == "1",
        other_codecs=tuple((n, c) for n, c in common.items() if n != codec.payload_type and ours.get(n) == c),
    )


def _video(match: _Match, choice: VideoChoice) -> VideoParameters:
    send, receive = _directions(match)
    feedback = choice.codec.feedback
    return VideoParameters(
        mid=match.ours.mid,
        codec=choice.name,
        send_payload_type=choice.codec.payload_type,
        receive_payload_type=choice.codec.payload_type,
        send_rtx_payload_type=choice.rtx_payload_type,
        receive_rtx_payload_type=choice.rtx_payload_type,
        mid_extension=_extension(match, MID_URI) if match.ours.mid else None,
        abs_send_time_extension=_extension(match, ABS_SEND_TIME_URI),
        nack="nack" in feedback,
        pli="nack pli" in feedback,
        remb="goog-remb" in feedback,
        send=send,
        receive=receive,
        parameter_sets=capabilities.parameter_sets(choice.codec),
    )


def _bitrate(codec: Codec) -> int:
    """Our rate, lowered to the peer's maxaveragebitrate (RFC 7587 section 6.1)."""
    asked = codec.parameters.get("maxaveragebitrate", "")
    if not asked.isascii() or not asked.isdigit() or len(asked) > 9:
        return DEFAULT_BITRATE_BPS
    return max(MIN_BITRATE_BPS, min(DEFAULT_BITRATE_BPS, int(asked)))
