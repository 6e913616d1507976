"""What a pair of descriptions settles, for whoever runs the streams: the sections that were taken, as parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from media import capabilities
from media.bundle import SharedTransport
from media.capabilities import ABS_SEND_TIME_URI, VideoChoice
from media.errors import NegotiationError
from media.parameters import (
    AUDIO_CODECS,
    DEFAULT_BITRATE_BPS,
    SCTP_PORT,
    AudioParameters,
    DataParameters,
    Negotiated,
    TransportParameters,
    VideoParameters,
)
from media.rtp.extensions import MID_URI
from media.sdp import Codec, MediaDescription, SessionDescription

MIN_BITRATE_BPS = 6000  # libopus and RFC 7587
DEFAULT_MAX_MESSAGE_BYTES = 65536  # RFC 8841 section 6
DIGESTS = ("sha-256", "sha-384", "sha-512")


@dataclass(frozen=True, slots=True)
class Match:
    """A section of the peer's description that is taken, and ours beside it."""

    ours: MediaDescription
    theirs: MediaDescription
    codec: Codec | None = None
    video: VideoChoice | None = None


def settle(
    remote: SessionDescription, matches: Sequence[Match], shared: SharedTransport, *, dtls_client: bool
) -> Negotiated:
    """Raises NegotiationError for a transport that cannot be used."""
    if not any(a in DIGESTS for a, _ in shared.fingerprints):
        raise NegotiationError("the description has no DTLS fingerprint that can be checked")
    if not 4 <= len(shared.ice_ufrag) <= 256 or not 22 <= len(shared.ice_pwd) <= 256:
        raise NegotiationError("the description has no valid ICE user name and password (RFC 8839)")
    candidates = tuple(c for m in matches for c in m.theirs.candidates)
    transport = TransportParameters(
        shared.ice_ufrag, shared.ice_pwd, remote.ice_lite, shared.fingerprints, dtls_client, candidates
    )
    agreed = Negotiated(transport)
    for match in matches:
        if match.codec is not None:
            agreed = replace(agreed, audio=_audio(match, match.codec, shared))
        elif match.video is not None:
            agreed = replace(agreed, video=_video(match, match.video))
        else:
            agreed = replace(agreed, data=_data(match.ours.mid, match.theirs))
    return agreed


def _data(mid: str, theirs: MediaDescription) -> DataParameters:
    size = DEFAULT_MAX_MESSAGE_BYTES if theirs.max_message_bytes is None else theirs.max_message_bytes
    return DataParameters(mid, theirs.sctp_port or SCTP_PORT, size)


def _directions(match: Match) -> tuple[bool, bool]:
    ours, theirs = match.ours.direction, match.theirs.direction
    send = ours in ("sendrecv", "sendonly") and theirs in ("sendrecv", "recvonly")
    receive = ours in ("sendrecv", "recvonly") and theirs in ("sendrecv", "sendonly")
    return send, receive


def _extension(match: Match, uri: str) -> int | None:
    """Its id, where both ends have it."""
    common = capabilities.common_extensions(match.theirs).items()
    return next((i for i, u in common if u == uri and uri in match.ours.extensions.values()), None)


def _audio(match: Match, codec: Codec, shared: SharedTransport) -> AudioParameters:
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
        reduced_size_rtcp=match.ours.rtcp_rsize and (match.theirs.rtcp_rsize or shared.rtcp_rsize),
        extended_reports=all(map(capabilities.takes_extended_reports, (match.ours, match.theirs))),
        codec=name,
        packet_ms=capabilities.packet_ms(match.theirs, name, codec),
        use_dtx=codec.parameters.get("usedtx") == "1",
        other_codecs=tuple((n, c) for n, c in common.items() if n != codec.payload_type and ours.get(n) == c),
    )


def _video(match: Match, choice: VideoChoice) -> VideoParameters:
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
