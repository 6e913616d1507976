"""Offer and answer (RFC 9429, RFC 3264): what one end proposes, what both then do.

One section of each kind (audio, video, application) is taken, all of them on one transport (BUNDLE). Further
sections of an offer, and what this end has no use for or cannot use, are rejected with port 0: that costs the others
nothing.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from media import capabilities
from media.bundle import is_used, share, transport_of
from media.capabilities import EXTENSIONS
from media.errors import NegotiationError
from media.numbering import Numbering
from media.parameters import (
    AUDIO_CODECS,
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
from media.sdp import Codec, MediaDescription, SessionDescription
from media.settlement import Match, settle

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

RTP_KINDS = ("audio", "video")
NO_RTCP_MUX = "the peer does not multiplex RTCP (RFC 5761)"
DATA_PROTOCOLS = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP")


@dataclass(slots=True)
class Section:
    """A section of a session; `ours`: how our side of it was agreed last."""

    mid: str
    kind: str
    ours: MediaDescription | None = None
    stopped: bool = False  # rejected, by whom ever; its place is kept (RFC 9429 section 5.2.2)


def create_offer(
    local: LocalParameters,
    *,
    version: int = 0,
    sections: Sequence[Section] | None = None,
    numbering: Numbering | None = None,
) -> SessionDescription:
    """An offer. `sections`: in order, those of earlier descriptions first; by default all that we have."""
    if sections is None:
        kinds = ["audio"] + ["video"] * (local.video is not None) + ["application"] * local.data
        sections = [Section(str(index), kind) for index, kind in enumerate(kinds)]
    numbering = numbering or Numbering()
    media = [
        _stopped(section, local) if section.stopped else _offered(section, local, numbering)
        for section in sections
    ]
    bundle = [m.mid for m in media if m.port]
    return SessionDescription(local.session_id, version, bundle=bundle, media=media)


def create_answer(
    offer: SessionDescription,
    local: LocalParameters,
    *,
    version: int = 0,
    current: TransportParameters | None = None,
) -> tuple[SessionDescription, Negotiated]:
    """The answer to an offer and what it settles.

    Args:
        current: the transport of the session that goes on. Without one, an offer in which there is nothing for us
            is an error; with one, it stops everything.

    Raises:
        NegotiationError: there is nothing in common, or a transport that we cannot use.
    """
    taken: dict[int, Match] = {}
    refusals: list[str] = []
    for index, theirs in enumerate(offer.media):
        if not is_used(offer, theirs) or any(m.theirs.kind == theirs.kind for m in taken.values()):
            continue
        first = next(iter(taken.values()), None)
        if first is not None and not share(offer, first.theirs, theirs):
            continue  # it would need a transport of its own
        if theirs.kind in RTP_KINDS and not transport_of(offer, [theirs]).rtcp_mux:
            refusals.append(NO_RTCP_MUX)
        elif (match := _answer_section(theirs, local)) is not None:
            taken[index] = match
    matches = list(taken.values())
    if not matches and current is None:
        refusals.append("the offer has no audio section with a codec of ours, and nothing else in common")
        raise NegotiationError(refusals[0])
    media = [taken[i].ours if i in taken else _rejected(m, local) for i, m in enumerate(offer.media)]
    ours = {m.theirs.mid for m in matches}
    answer = SessionDescription(
        local.session_id, version, bundle=[mid for mid in offer.bundle if mid in ours], media=media
    )
    if not matches:
        assert current is not None
        return answer, Negotiated(current)
    transport = transport_of(offer, [m.theirs for m in matches])
    free = local.setup or "active"
    setup = {"": free, "actpass": free, "passive": "active", "active": "passive"}.get(transport.setup)
    if setup is None:
        raise NegotiationError(f"the offer says a=setup:{transport.setup[:20]}")
    for match in matches:
        match.ours.setup = setup
        if match.ours.kind in RTP_KINDS:
            match.ours.rtcp_rsize = match.theirs.rtcp_rsize or transport.rtcp_rsize
    return answer, settle(offer, matches, transport, dtls_client=setup == "active")


def apply_answer(
    offer: SessionDescription, answer: SessionDescription, *, current: TransportParameters | None = None
) -> Negotiated:
    """What our offer and the peer's answer settle. `current`: as of create_answer(). Raises NegotiationError."""
    if len(answer.media) != len(offer.media):
        raise NegotiationError(f"the answer has {len(answer.media)} sections, the offer {len(offer.media)}")
    matches: list[Match] = []
    refusals: list[str] = []
    for ours, theirs in zip(offer.media, answer.media, strict=True):
        if not is_used(answer, theirs) or not is_used(offer, ours):
            continue
        if theirs.kind != ours.kind:
            raise NegotiationError(f"the answer has {theirs.kind} where the offer has {ours.kind}")
        if matches and answer.bundle and not share(answer, matches[0].theirs, theirs):
            continue
        if theirs.kind in RTP_KINDS and not transport_of(answer, [theirs]).rtcp_mux:
            refusals.append(NO_RTCP_MUX)
        elif (match := _match_answer(ours, theirs)) is not None:
            matches.append(match)
        else:
            refusals.append(f"the answer has no {ours.kind} codec of the offer")
    if not matches:
        if current is not None:
            return Negotiated(current)
        raise NegotiationError([*refusals, "the peer rejected everything"][0])
    transport = transport_of(answer, [m.theirs for m in matches])
    if transport.setup not in ("active", "passive"):
        raise NegotiationError("the answer must say a=setup:active or passive")
    return settle(answer, matches, transport, dtls_client=transport.setup == "passive")


# -- sections


def _section(local: LocalParameters, kind: str, mid: str, *, setup: str = "") -> MediaDescription:
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


def _offered(section: Section, local: LocalParameters, numbering: Numbering) -> MediaDescription:
    """What was agreed on before, as it was said then, and what else we have."""
    media = _section(local, section.kind, section.mid, setup="actpass")
    if section.kind not in RTP_KINDS:
        return media
    before = section.ours or MediaDescription(section.kind)
    media.codecs = deepcopy(before.codecs)
    agreed = {codec.name.upper() for codec in before.codecs}
    if section.kind == "audio":
        names = tuple(name for name in local.audio_codecs if name.upper() not in agreed)
        wanted = capabilities.offered_audio(names)
        media.rtcp_xr = list(capabilities.AUDIO_EXTENDED_REPORTS)
    else:
        names = () if local.video is None else local.video.codecs
        wanted = capabilities.offered_video(tuple(name for name in names if name not in agreed))
    media.codecs += numbering.codecs(media, wanted)
    media.extensions = dict(before.extensions)
    missing = {i: uri for i, uri in EXTENSIONS[section.kind].items() if uri not in before.extensions.values()}
    media.extensions |= numbering.extensions(media, missing)
    media.extmap_allow_mixed = True  # each packet is read by the form that it has
    return media


def _answer_section(theirs: MediaDescription, local: LocalParameters) -> Match | None:
    """Our section for one of the offer; None when it is to be rejected."""
    if theirs.kind == "application" and local.data and theirs.protocol in DATA_PROTOCOLS:
        ours = _section(local, "application", theirs.mid)
        ours.protocol, ours.formats = theirs.protocol, list(theirs.formats)
        return Match(ours, theirs)
    if "RTP/SAVPF" not in theirs.protocol or theirs.kind not in RTP_KINDS:
        return None
    if theirs.kind == "video" and local.video is None:
        return None
    ours = _section(local, theirs.kind, theirs.mid)
    ours.direction = _answer_direction(theirs.direction, ours.direction)
    ours.extmap_allow_mixed = theirs.extmap_allow_mixed
    ours.extensions = capabilities.common_extensions(theirs)
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
        return Match(ours, theirs, codec)
    assert local.video is not None
    choice = capabilities.choose_video(theirs, local.video.codecs)
    if choice is None:
        return None
    ours.codecs = capabilities.video(choice.name, choice.codec.payload_type, choice.rtx_payload_type)
    if choice.name == "H264":
        ours.codecs[0].parameters = capabilities.answered_h264(choice.codec)
    ours.codecs[0].feedback = [f for f in choice.codec.feedback if f in capabilities.VIDEO_FEEDBACK]
    return Match(ours, theirs, video=choice)


def _answer_audio(codec: Codec, theirs: MediaDescription) -> list[Codec]:
    """Opus, with the protections that the offer has, under its payload types."""
    codecs = [capabilities.opus(codec.payload_type)]
    codecs[0].feedback = [f for f in codec.feedback if f in capabilities.AUDIO_FEEDBACK]
    if (red := capabilities.find_red(theirs, codec.payload_type)) is not None:
        codecs.append(capabilities.red(red, codec.payload_type))
    if (rtx := capabilities.find_audio_rtx(theirs, codec.payload_type)) is not None:
        codecs.append(capabilities.audio_rtx(rtx, codec.payload_type))
    return codecs


def _match_answer(ours: MediaDescription, theirs: MediaDescription) -> Match | None:
    """None where the answer has no codec of the offer."""
    if ours.kind not in RTP_KINDS:
        return Match(ours, theirs)
    offered = {c.payload_type for c in ours.codecs}
    if ours.kind == "audio":
        found = capabilities.audio_codecs(theirs, AUDIO_CODECS)
        codec = next((c for _, c in found if c.payload_type in offered), None)
        return None if codec is None else Match(ours, theirs, codec)
    choice = capabilities.choose_video(theirs, tuple(capabilities.VIDEO_PAYLOAD_TYPES), offered)
    return None if choice is None else Match(ours, theirs, video=choice)


def _stopped(section: Section, local: LocalParameters) -> MediaDescription:
    """The place of a section that is not used any more."""
    if section.kind in RTP_KINDS:
        return _rejected(MediaDescription(section.kind, section.mid, formats=["0"]), local)
    return _rejected(
        MediaDescription(
            section.kind, section.mid, protocol=DATA_PROTOCOLS[0], formats=["webrtc-datachannel"]
        ),
        local,
    )


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
