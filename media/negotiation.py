"""Offer and answer (RFC 9429, RFC 3264): what one end proposes, what both then do.

One audio section is taken; further sections of an offer are rejected with port 0, so that an offer with video is
answered with voice.
"""

from dataclasses import dataclass

from media.errors import NegotiationError
from media.rtp.extensions import MID_URI
from media.sdp import Codec, MediaDescription, SessionDescription

OPUS_PAYLOAD_TYPE = 111  # what every WebRTC endpoint uses; any dynamic one would do
MID_EXTENSION = 1
DEFAULT_BITRATE_BPS = 32000  # libwebrtc's default for mono voice
MIN_BITRATE_BPS = 6000  # libopus and RFC 7587
DIGESTS = ("sha-256", "sha-384", "sha-512")


@dataclass(frozen=True, slots=True)
class LocalParameters:
    """What this end puts into its descriptions."""

    session_id: int
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str  # sha-256
    ssrc: int
    cname: str
    send: bool = True
    receive: bool = True


@dataclass(frozen=True, slots=True)
class AudioParameters:
    """What both ends agreed on for the voice stream."""

    mid: str
    send_payload_type: int
    receive_payload_types: frozenset[int]
    mid_extension: int | None = MID_EXTENSION
    use_inband_fec: bool = True
    bitrate_bps: int = DEFAULT_BITRATE_BPS
    send: bool = True
    receive: bool = True


@dataclass(frozen=True, slots=True)
class TransportParameters:
    """What ICE and DTLS need to know of the peer."""

    ice_ufrag: str
    ice_pwd: str
    ice_lite: bool
    fingerprints: tuple[tuple[str, str], ...]
    dtls_client: bool  # whether this end sends the ClientHello
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Negotiated:
    audio: AudioParameters
    transport: TransportParameters


def create_offer(local: LocalParameters, *, version: int = 0, mid: str = "0") -> SessionDescription:
    """An offer of one voice section."""
    media = _local_media(local, mid, setup="actpass")
    media.codecs = [_opus(OPUS_PAYLOAD_TYPE)]
    media.extensions = {MID_EXTENSION: MID_URI}
    return SessionDescription(local.session_id, version, bundle=[mid], media=[media])


def create_answer(
    offer: SessionDescription, local: LocalParameters, *, version: int = 0
) -> tuple[SessionDescription, Negotiated]:
    """The answer to an offer and what it settles. Raises NegotiationError when there is no voice in common."""
    chosen = _first_usable(offer)
    if chosen is None:
        raise NegotiationError("the offer has no audio section with Opus")
    index, codec = chosen
    theirs = offer.media[index]
    setup = {"": "active", "actpass": "active", "passive": "active", "active": "passive"}.get(theirs.setup)
    if setup is None:
        raise NegotiationError(f"the offer says a=setup:{theirs.setup[:20]}")
    ours = _local_media(local, theirs.mid, setup=setup)
    ours.direction = _answer_direction(theirs.direction, local)
    ours.codecs = [_opus(codec.payload_type)]
    ours.extensions = {i: uri for i, uri in theirs.extensions.items() if uri == MID_URI}
    ours.rtcp_rsize = theirs.rtcp_rsize
    media = [ours if i == index else _rejected(m) for i, m in enumerate(offer.media)]
    bundle = [theirs.mid] if theirs.mid in offer.bundle else []
    answer = SessionDescription(local.session_id, version, bundle=bundle, media=media)
    return answer, _settle(offer, theirs, ours, codec, dtls_client=setup == "active")


def apply_answer(offer: SessionDescription, answer: SessionDescription) -> Negotiated:
    """What our offer and the peer's answer settle. Raises NegotiationError."""
    if len(answer.media) != len(offer.media):
        raise NegotiationError(f"the answer has {len(answer.media)} sections, the offer {len(offer.media)}")
    ours, theirs = offer.media[0], answer.media[0]
    if theirs.port == 0 or theirs.kind != ours.kind:
        raise NegotiationError("the peer rejected the audio section")
    offered = {c.payload_type for c in ours.codecs}
    codec = next((c for c in theirs.codecs if _is_opus(c) and c.payload_type in offered), None)
    if codec is None:
        raise NegotiationError("the answer has no Opus")
    if theirs.setup not in ("active", "passive"):
        raise NegotiationError("the answer must say a=setup:active or passive")
    return _settle(answer, theirs, ours, codec, dtls_client=theirs.setup == "passive")


# -- parts


def _opus(payload_type: int) -> Codec:
    """Opus as we receive it (RFC 7587 section 6.1). Two channels are part of the name, not of the stream."""
    return Codec(payload_type, "opus", 48000, 2, {"minptime": "10", "useinbandfec": "1"})


def _is_opus(codec: Codec) -> bool:
    return codec.name.lower() == "opus" and codec.clock_rate == 48000 and codec.channels == 2


def _local_media(local: LocalParameters, mid: str, *, setup: str) -> MediaDescription:
    return MediaDescription(
        "audio",
        mid=mid,
        direction=_direction(local.send, local.receive),
        ice_ufrag=local.ice_ufrag,
        ice_pwd=local.ice_pwd,
        ice_options=["trickle"],
        fingerprints=[("sha-256", local.fingerprint)],
        setup=setup,
        rtcp_mux=True,
        rtcp_rsize=True,
        ssrcs={local.ssrc: local.cname},
        msid=f"{local.cname} audio",
    )


def _rejected(theirs: MediaDescription) -> MediaDescription:
    return MediaDescription(
        theirs.kind,
        mid=theirs.mid,
        port=0,
        protocol=theirs.protocol,
        formats=theirs.formats[:1],
        direction="inactive",
    )


def _first_usable(offer: SessionDescription) -> tuple[int, Codec] | None:
    for index, media in enumerate(offer.media):
        if media.kind != "audio" or media.port == 0 or "RTP/SAVPF" not in media.protocol:
            continue
        for codec in media.codecs:
            if _is_opus(codec) and str(codec.payload_type) in media.formats:
                return index, codec
    return None


def _direction(send: bool, receive: bool) -> str:
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
        (send, receive), "inactive"
    )


def _answer_direction(offered: str, local: LocalParameters) -> str:
    send = local.send and offered in ("sendrecv", "recvonly")
    receive = local.receive and offered in ("sendrecv", "sendonly")
    return _direction(send, receive)


def _settle(
    remote: SessionDescription,
    theirs: MediaDescription,
    ours: MediaDescription,
    codec: Codec,
    *,
    dtls_client: bool,
) -> Negotiated:
    if not theirs.rtcp_mux:
        raise NegotiationError("the peer does not multiplex RTCP (RFC 5761)")
    if not theirs.fingerprints or not any(a in DIGESTS for a, _ in theirs.fingerprints):
        raise NegotiationError("the description has no DTLS fingerprint that can be checked")
    if not 4 <= len(theirs.ice_ufrag) <= 256 or not 22 <= len(theirs.ice_pwd) <= 256:
        raise NegotiationError("the description has no valid ICE user name and password (RFC 8839)")
    send = ours.direction in ("sendrecv", "sendonly") and theirs.direction in ("sendrecv", "recvonly")
    receive = ours.direction in ("sendrecv", "recvonly") and theirs.direction in ("sendrecv", "sendonly")
    mid_extension = next((i for i, uri in theirs.extensions.items() if uri == MID_URI and 1 <= i <= 14), None)
    audio = AudioParameters(
        mid=ours.mid,
        send_payload_type=codec.payload_type,
        receive_payload_types=frozenset(c.payload_type for c in ours.codecs),
        mid_extension=mid_extension if ours.mid else None,
        use_inband_fec=codec.parameters.get("useinbandfec") == "1",
        bitrate_bps=_bitrate(codec),
        send=send,
        receive=receive,
    )
    transport = TransportParameters(
        theirs.ice_ufrag,
        theirs.ice_pwd,
        remote.ice_lite,
        tuple(theirs.fingerprints),
        dtls_client,
        tuple(theirs.candidates),
    )
    return Negotiated(audio, transport)


def _bitrate(codec: Codec) -> int:
    """Our rate, lowered to the peer's maxaveragebitrate (RFC 7587 section 6.1)."""
    asked = codec.parameters.get("maxaveragebitrate", "")
    if not asked.isascii() or not asked.isdigit() or len(asked) > 9:
        return DEFAULT_BITRATE_BPS
    return max(MIN_BITRATE_BPS, min(DEFAULT_BITRATE_BPS, int(asked)))
