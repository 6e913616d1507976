"""Which codecs and header extensions this engine speaks, and how those of a peer are matched (RFC 3264, RFC 7742)."""

from base64 import b64decode
from collections.abc import Container
from dataclasses import dataclass

from media.parameters import PACKET_MS
from media.rtp.extensions import MID_URI
from media.sdp import Codec, MediaDescription

OPUS_PAYLOAD_TYPE = 111  # what every WebRTC endpoint uses; any dynamic one would do
RED_PAYLOAD_TYPE = 63  # Chrome's
AUDIO_RTX_PAYLOAD_TYPE = 112
STATIC_PAYLOAD_TYPES = {
    "PCMU": 0,
    "PCMA": 8,
    "G722": 9,
}  # RFC 3551 section 6; all of them have a clock of 8000
# What a packet may hold: Opus' frames but those below 10 ms (RFC 7587 section 4.2), any tens elsewhere.
PACKETS_MS = {"opus": (10, 20, 40, 60)}
PACKETS_MS_ELSEWHERE = (10, 20, 30, 40, 50, 60)
# Arrivals packet by packet (RFC 8888) and repair; foreign peers leave out what they do not know.
AUDIO_FEEDBACK = ["ack ccfb", "nack"]
# How the voice was heard, and the round trip of an end that only listens (RFC 3611 section 5); both or nothing.
AUDIO_EXTENDED_REPORTS = ["voip-metrics", "rcvr-rtt=all"]
VIDEO_PAYLOAD_TYPES = {"VP8": 96, "H264": 98}  # each followed by its RTX
ABS_SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
EXTENSIONS = {"audio": {1: MID_URI}, "video": {1: MID_URI, 2: ABS_SEND_TIME_URI}}
VIDEO_FEEDBACK = ["nack", "nack pli", "ccm fir", "goog-remb"]
# Constrained baseline, level 3.1: what every endpoint must accept (RFC 7742 section 6.2).
H264_PARAMETERS = {"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": "42e01f"}
MAX_ONE_BYTE_ID, MAX_ONE_BYTE_LENGTH = 14, 16  # of a header extension (RFC 8285 section 4.2)
MAX_PARAMETER_SETS = 64  # of a description
VIDEO_CLOCK_RATE = 90000


def opus(payload_type: int = OPUS_PAYLOAD_TYPE) -> Codec:
    """Opus as we receive it (RFC 7587 section 6.1). Two channels are part of the name, not of the stream."""
    parameters = {"minptime": "10", "useinbandfec": "1"}
    return Codec(payload_type, "opus", 48000, 2, parameters, list(AUDIO_FEEDBACK))


def red(payload_type: int, opus_payload_type: int) -> Codec:
    """Redundant audio (RFC 2198) of Opus in Opus."""
    return Codec(payload_type, "red", 48000, 2, {f"{opus_payload_type}/{opus_payload_type}": ""})


def audio_rtx(payload_type: int, opus_payload_type: int) -> Codec:
    """Retransmissions of Opus (RFC 4588)."""
    return Codec(payload_type, "rtx", 48000, 2, {"apt": str(opus_payload_type)})


def offered_audio(names: tuple[str, ...]) -> list[Codec]:
    """All of our codecs in this order of preference, Opus with what protects it."""
    codecs = []
    for name in names:
        if name == "opus":
            protection = (
                red(RED_PAYLOAD_TYPE, OPUS_PAYLOAD_TYPE),
                audio_rtx(AUDIO_RTX_PAYLOAD_TYPE, OPUS_PAYLOAD_TYPE),
            )
            codecs += [opus(), *protection]
        else:
            codecs.append(Codec(STATIC_PAYLOAD_TYPES[name], name, 8000))
    return codecs


def audio_codecs(media: MediaDescription, names: tuple[str, ...]) -> list[tuple[str, Codec]]:
    """(name, codec) of those of a section that are among `names`, in the order of these; static ones need no rtpmap."""
    described = {codec.payload_type for codec in media.codecs}
    formats = media.formats or [str(number) for number in described]
    static = [
        Codec(number, name, 8000) for name, number in STATIC_PAYLOAD_TYPES.items() if number not in described
    ]
    found = []
    for codec in (*media.codecs, *static):
        name = _audio_name(codec)
        if name in names and str(codec.payload_type) in formats:
            found.append((name, codec))
    return sorted(found, key=lambda pair: names.index(pair[0]))


def _audio_name(codec: Codec) -> str:
    if is_opus(codec):
        return "opus"
    name = codec.name.upper()
    return name if name in STATIC_PAYLOAD_TYPES and (codec.clock_rate, codec.channels) == (8000, 1) else ""


def packet_ms(media: MediaDescription, name: str, codec: Codec) -> int:
    """How much to put into a packet for whoever described this: its ptime, as far as it is possible."""
    least = codec.parameters.get("minptime", "")
    wanted = media.ptime_ms or PACKET_MS
    if least.isascii() and least.isdigit() and len(least) < 4:
        wanted = max(wanted, int(least))
    wanted = min(wanted, media.max_ptime_ms or wanted)
    possible = PACKETS_MS.get(name, PACKETS_MS_ELSEWHERE)
    return max((ms for ms in possible if ms <= wanted), default=possible[0])


def find_red(media: MediaDescription, opus_payload_type: int) -> int | None:
    """The payload type of RED of Opus in Opus."""
    for codec in media.codecs:
        if codec.name.lower() == "red" and codec.clock_rate == 48000:
            formats = "".join(codec.parameters).split("/")
            if formats and all(f == str(opus_payload_type) for f in formats):
                return codec.payload_type
    return None


def find_audio_rtx(media: MediaDescription, opus_payload_type: int) -> int | None:
    return _rtx(media, opus_payload_type)


def takes_extended_reports(media: MediaDescription) -> bool:
    """Whether those of ours are described: foreign peers that know one of them only are sent plain RTCP."""
    return set(AUDIO_EXTENDED_REPORTS) <= set(media.rtcp_xr)


def is_opus(codec: Codec) -> bool:
    """Its rtpmap has two channels (RFC 7587 section 7), but webrtcbin leaves them out while its source is starting."""
    return codec.name.lower() == "opus" and codec.clock_rate == 48000 and codec.channels in (1, 2)


def video(name: str, payload_type: int, rtx_payload_type: int | None) -> list[Codec]:
    """A video codec as we offer it, followed by its retransmission format (RFC 4588)."""
    parameters = dict(H264_PARAMETERS) if name == "H264" else {}
    codecs = [Codec(payload_type, name, VIDEO_CLOCK_RATE, 1, parameters, list(VIDEO_FEEDBACK))]
    if rtx_payload_type is not None:
        codecs.append(Codec(rtx_payload_type, "rtx", VIDEO_CLOCK_RATE, 1, {"apt": str(payload_type)}))
    return codecs


def offered_video(names: tuple[str, ...]) -> list[Codec]:
    """All of our video codecs in this order of preference."""
    return [
        codec
        for name in names
        for codec in video(name, VIDEO_PAYLOAD_TYPES[name], VIDEO_PAYLOAD_TYPES[name] + 1)
    ]


@dataclass(frozen=True, slots=True)
class VideoChoice:
    """A codec in common, with the payload types of the description that it was found in."""

    codec: Codec
    name: str  # VP8 or H264
    rtx_payload_type: int | None


def choose_video(
    theirs: MediaDescription, names: tuple[str, ...], offered: Container[int] | None = None
) -> VideoChoice | None:
    """The first of the peer's video codecs that is one of ours; in an answer, of the payload types that we offered."""
    for codec in theirs.codecs:
        name = codec.name.upper()
        if (
            name not in names
            or codec.clock_rate != VIDEO_CLOCK_RATE
            or str(codec.payload_type) not in theirs.formats
            or (offered is not None and codec.payload_type not in offered)
        ):
            continue
        if name == "H264" and not _is_baseline(codec):
            continue
        return VideoChoice(codec, name, _rtx(theirs, codec.payload_type))
    return None


def _is_baseline(codec: Codec) -> bool:
    """Baseline or constrained baseline in packetization mode 1 (RFC 6184 section 8.1)."""
    return (
        codec.parameters.get("packetization-mode") == "1"
        and codec.parameters.get("profile-level-id", "42").lower()[:2] == "42"
    )


def common_extensions(theirs: MediaDescription) -> dict[int, str]:
    """Those of a peer's section that are ours, by its ids.

    Above 14, or for a MID above 16 bytes, they need two-byte headers. A stream has one form of headers, unless the peer
    takes both in one (RFC 8285 section 4.1.1).
    """
    known = EXTENSIONS.get(theirs.kind, {}).values()
    found = {i: uri for i, uri in theirs.extensions.items() if uri in known}
    if theirs.extmap_allow_mixed:
        return found
    small = {
        i: uri
        for i, uri in found.items()
        if i <= MAX_ONE_BYTE_ID and not (uri == MID_URI and len(theirs.mid) > MAX_ONE_BYTE_LENGTH)
    }
    return small or found


def answered_h264(codec: Codec) -> dict[str, str]:
    """What names a configuration (RFC 6184 section 8.2.2); the rest of the peer's parameters is of its own stream."""
    return {name: value for name, value in codec.parameters.items() if name in H264_PARAMETERS}


def parameter_sets(codec: Codec) -> tuple[bytes, ...]:
    """H.264's, of what whoever described this sends (sprop-parameter-sets); what cannot be read is left out."""
    sets = []
    for text in codec.parameters.get("sprop-parameter-sets", "").split(",")[:MAX_PARAMETER_SETS]:
        try:
            sets.append(b64decode(text + "=" * (-len(text) % 4), validate=True))
        except ValueError:
            continue
    return tuple(filter(None, sets))


def _rtx(media: MediaDescription, payload_type: int) -> int | None:
    for codec in media.codecs:
        if codec.name.lower() == "rtx" and codec.parameters.get("apt") == str(payload_type):
            return codec.payload_type
    return None
