"""What goes into an offer or answer, and what comes out of a pair of them."""

from dataclasses import dataclass

DEFAULT_BITRATE_BPS = 36000  # with our headers as many bytes as libwebrtc's voice has at its 32000
SCTP_PORT = 5000  # RFC 8841; any
MAX_MESSAGE_BYTES = 262144
AUDIO_CODECS = ("opus", "G722", "PCMU", "PCMA")  # in the order of our preference
PACKET_MS = 20


@dataclass(frozen=True, slots=True)
class LocalVideo:
    """The video that this end has to offer."""

    ssrc: int
    rtx_ssrc: int
    codecs: tuple[str, ...] = ("VP8", "H264")  # in the order of preference
    send: bool = True
    receive: bool = True


@dataclass(frozen=True, slots=True)
class LocalParameters:
    """What this end puts into its descriptions. `ssrc`, `send` and `receive` are those of the voice."""

    session_id: int
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str  # sha-256
    ssrc: int
    cname: str
    send: bool = True
    receive: bool = True
    setup: str = ""  # active or passive: the role of the DTLS association that stands already
    video: LocalVideo | None = None
    data: bool = False
    audio_codecs: tuple[str, ...] = AUDIO_CODECS  # in the order of preference


@dataclass(frozen=True, slots=True)
class AudioParameters:
    """What both ends agreed on for the voice stream."""

    mid: str
    send_payload_type: int
    receive_payload_types: frozenset[int]
    mid_extension: int | None = 1
    use_inband_fec: bool = True
    bitrate_bps: int = DEFAULT_BITRATE_BPS
    send: bool = True
    receive: bool = True
    red_payload_type: int | None = None  # RFC 2198
    rtx_payload_type: int | None = None  # RFC 4588
    arrival_feedback: bool = False  # RFC 8888, both ways
    nack: bool = False
    reduced_size_rtcp: bool = False  # RFC 5506
    extended_reports: bool = False  # RFC 3611, both ways: VoIP metrics and the receiver's round trip
    codec: str = "opus"  # one of AUDIO_CODECS
    packet_ms: int = PACKET_MS  # how much the peer wants in a packet (a=ptime, RFC 8866 section 6.4)
    use_dtx: bool = False  # the peer asks to be sent nothing in pauses (usedtx, RFC 7587 section 6.1)
    other_codecs: tuple[tuple[int, str], ...] = ()  # (payload type, codec) that the peer may change to

    @property
    def clock_rate(self) -> int:
        """Of the stream's RTP timestamps."""
        return audio_clock_rate(self.codec)


def audio_clock_rate(codec: str) -> int:
    """Opus 48000 (RFC 7587 section 4.1), the others 8000: G.722, too (RFC 3551 section 4.5.2)."""
    return 48000 if codec == "opus" else 8000


@dataclass(frozen=True, slots=True)
class VideoParameters:
    """What both ends agreed on for the video stream."""

    mid: str
    codec: str  # VP8 or H264
    send_payload_type: int
    receive_payload_type: int
    send_rtx_payload_type: int | None = None
    receive_rtx_payload_type: int | None = None
    mid_extension: int | None = 1
    abs_send_time_extension: int | None = 2
    nack: bool = True
    pli: bool = True
    remb: bool = True
    send: bool = True
    receive: bool = True
    parameter_sets: tuple[bytes, ...] = ()  # H264's, as far as the peer's description has them

    @property
    def receive_payload_types(self) -> tuple[int | None, ...]:
        """Of pictures, and of retransmissions."""
        return self.receive_payload_type, self.receive_rtx_payload_type


@dataclass(frozen=True, slots=True)
class DataParameters:
    """What both ends agreed on for data channels (RFC 8841)."""

    mid: str
    port: int = SCTP_PORT  # the peer's
    max_message_bytes: int = MAX_MESSAGE_BYTES  # that the peer takes


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
    """What a pair of descriptions settles; None for a kind that is not used."""

    transport: TransportParameters
    audio: AudioParameters | None = None
    video: VideoParameters | None = None
    data: DataParameters | None = None
    carrier_stopped: bool = (
        False  # the section that carried the transport was: some make that anew, and DTLS with it
    )
