"""SDP text <-> dataclasses (RFC 8866), as far as WebRTC uses it (RFC 9429 section 5).

Attributes that Ringline has no use for are skipped when parsing. parse() accepts any text and raises SdpError only.
"""

import re
from dataclasses import dataclass, field

from media.errors import SdpError

MAX_SIZE = 65536
MAX_MEDIA = 8
MAX_PAYLOAD_TYPES = 128
MAX_XR_FORMATS = 16
_TOKEN = re.compile(r"[!-~]{1,256}")


@dataclass(slots=True)
class Codec:
    """An a=rtpmap with its a=fmtp and a=rtcp-fb lines."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: dict[str, str] = field(default_factory=dict)
    feedback: list[str] = field(default_factory=list)


@dataclass(slots=True)
class MediaDescription:
    """One m= section. `port` 0 is a rejected one."""

    kind: str
    mid: str = ""
    port: int = 9
    protocol: str = "UDP/TLS/RTP/SAVPF"
    formats: list[str] = field(default_factory=list)
    direction: str = "sendrecv"
    codecs: list[Codec] = field(default_factory=list)
    extensions: dict[int, str] = field(default_factory=dict)
    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_options: list[str] = field(default_factory=list)
    fingerprints: list[tuple[str, str]] = field(default_factory=list)
    setup: str = ""
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    rtcp_xr: list[str] = field(default_factory=list)  # formats (RFC 3611 section 5.1)
    ssrcs: dict[int, str] = field(default_factory=dict)  # SSRC -> CNAME
    msid: str = ""
    ssrc_groups: list[tuple[str, tuple[int, ...]]] = field(
        default_factory=list
    )  # semantics, SSRCs (RFC 5576)
    ptime_ms: int | None = None
    max_ptime_ms: int | None = None
    sctp_port: int | None = None
    max_message_bytes: int | None = None
    candidates: list[str] = field(default_factory=list)  # "candidate:..."


@dataclass(slots=True)
class SessionDescription:
    """A whole description."""

    session_id: int = 0
    version: int = 0
    bundle: list[str] = field(default_factory=list)  # the MIDs of the first BUNDLE group
    ice_lite: bool = False
    media: list[MediaDescription] = field(default_factory=list)

    def __str__(self) -> str:
        return _serialize(self)


def parse(text: str) -> SessionDescription:
    """Raises SdpError for text that is not a session description."""
    if len(text) > MAX_SIZE:
        raise SdpError(f"session description of {len(text)} characters")
    lines = [line for line in re.split(r"\r?\n", text) if line]
    if not lines or lines[0] != "v=0":
        raise SdpError("a session description begins with v=0")
    session = SessionDescription()
    defaults = MediaDescription("session")  # session-level ICE and DTLS attributes hold for every section
    current = defaults
    for line in lines[1:]:
        kind, separator, value = line.partition("=")
        if len(kind) != 1 or not separator:
            raise SdpError(f"not an SDP line: {line[:60]!r}")
        if kind == "m":
            if len(session.media) >= MAX_MEDIA:
                raise SdpError(f"more than {MAX_MEDIA} media sections")
            current = _parse_media_line(value, defaults)
            session.media.append(current)
        elif kind == "o":
            _parse_origin(value, session)
        elif kind == "a":
            name, _, argument = value.partition(":")
            if current is defaults and name == "group":
                semantics, *mids = argument.split()[: MAX_MEDIA + 1] or [""]
                if semantics == "BUNDLE" and not session.bundle:
                    session.bundle = mids
            elif current is defaults and name == "ice-lite":
                session.ice_lite = True
            else:
                _parse_attribute(current, name, argument)
    for media in session.media:  # a section's own lines replace those of the session (RFC 8122 section 5)
        media.ice_options = media.ice_options or list(defaults.ice_options)
        media.fingerprints = media.fingerprints or list(defaults.fingerprints)
        media.rtcp_xr = media.rtcp_xr or list(defaults.rtcp_xr)
    return session


def _number(text: str, low: int, high: int, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not low <= int(text) <= high:
        raise SdpError(f"{what} is {text[:40]!r}, not a number from {low} to {high}")
    return int(text)


def _token(text: str, what: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise SdpError(f"{what} is not a token: {text[:40]!r}")
    return text


def _parse_origin(value: str, session: SessionDescription) -> None:
    parts = value.split()
    if len(parts) != 6:
        raise SdpError("o= has six fields")
    session.session_id = _number(parts[1], 0, (1 << 64) - 1, "session id")
    session.version = _number(parts[2], 0, (1 << 64) - 1, "session version")


def _parse_media_line(value: str, defaults: MediaDescription) -> MediaDescription:
    parts = value.split()
    if len(parts) < 4:
        raise SdpError("m= has at least four fields")
    formats = parts[3:]
    if len(formats) > MAX_PAYLOAD_TYPES:
        raise SdpError(f"more than {MAX_PAYLOAD_TYPES} formats")
    return MediaDescription(
        kind=_token(parts[0], "media type"),
        port=_number(parts[1].partition("/")[0], 0, 65535, "media port"),
        protocol=_token(parts[2], "media protocol"),
        formats=formats,
        ice_ufrag=defaults.ice_ufrag,
        ice_pwd=defaults.ice_pwd,
        setup=defaults.setup,
        direction=defaults.direction,
    )


def _parse_attribute(media: MediaDescription, name: str, value: str) -> None:
    match name:
        case "mid":
            media.mid = _token(value, "mid")
        case "sendrecv" | "sendonly" | "recvonly" | "inactive":
            media.direction = name
        case "ice-ufrag":
            media.ice_ufrag = _token(value, "ice-ufrag")
        case "ice-pwd":
            media.ice_pwd = _token(value, "ice-pwd")
        case "ice-options":
            media.ice_options = value.split()
        case "fingerprint":
            algorithm, _, digest = value.partition(" ")
            entry = (
                _token(algorithm, "fingerprint algorithm").lower(),
                _token(digest, "fingerprint").upper(),
            )
            if entry not in media.fingerprints:
                media.fingerprints.append(entry)
        case "setup":
            media.setup = value
        case "rtcp-mux":
            media.rtcp_mux = True
        case "rtcp-rsize":
            media.rtcp_rsize = True
        case "rtcp-xr":
            media.rtcp_xr += value.split()[: MAX_XR_FORMATS - len(media.rtcp_xr)]
        case "msid":
            media.msid = value
        case "ptime":
            media.ptime_ms = _number(value, 1, 1000, "ptime")
        case "maxptime":
            media.max_ptime_ms = _number(value, 1, 1000, "maxptime")
        case "sctp-port":
            media.sctp_port = _number(value, 1, 65535, "sctp-port")
        case "max-message-size":
            media.max_message_bytes = _number(value, 0, 1 << 62, "max-message-size")
        case "ssrc-group":
            semantics, *numbers = value.split()[:9] or [""]
            if len(media.ssrc_groups) < 16:
                ssrcs = tuple(_number(n, 0, 0xFFFFFFFF, "ssrc") for n in numbers)
                media.ssrc_groups.append((_token(semantics, "ssrc-group"), ssrcs))
        case "candidate":
            if len(media.candidates) < 64:
                media.candidates.append(f"candidate:{value}")
        case "ssrc":
            _parse_ssrc(media, value)
        case "extmap":
            head, _, rest = value.partition(" ")
            identifier = _number(head.partition("/")[0], 1, 255, "extension id")
            media.extensions[identifier] = rest.split(" ")[0]
        case "rtpmap":
            _parse_rtpmap(media, value)
        case "fmtp":
            head, _, rest = value.partition(" ")
            for codec in _codecs(media, head):
                codec.parameters.update(_parse_parameters(rest))
        case "rtcp-fb":
            head, _, rest = value.partition(" ")
            for codec in media.codecs if head == "*" else _codecs(media, head):
                codec.feedback.append(rest)
        case _:
            pass


def _parse_rtpmap(media: MediaDescription, value: str) -> None:
    head, _, rest = value.partition(" ")
    payload_type = _number(head, 0, 127, "payload type")
    name, *numbers = rest.split("/")
    if not 1 <= len(numbers) <= 2:
        raise SdpError(f"rtpmap {value[:60]!r} has no clock rate")
    clock_rate = _number(numbers[0], 1, 1_000_000, "clock rate")
    channels = _number(numbers[1], 1, 255, "channels") if len(numbers) == 2 else 1
    if len(media.codecs) >= MAX_PAYLOAD_TYPES:
        raise SdpError(f"more than {MAX_PAYLOAD_TYPES} codecs")
    media.codecs.append(Codec(payload_type, _token(name, "codec name"), clock_rate, channels))


def _parse_ssrc(media: MediaDescription, value: str) -> None:
    head, _, rest = value.partition(" ")
    ssrc = _number(head, 0, 0xFFFFFFFF, "ssrc")
    if len(media.ssrcs) >= 64:
        return
    media.ssrcs.setdefault(ssrc, "")
    if rest.startswith("cname:"):
        media.ssrcs[ssrc] = rest[6:]


def _codecs(media: MediaDescription, payload_type: str) -> list[Codec]:
    return [codec for codec in media.codecs if str(codec.payload_type) == payload_type]


def _parse_parameters(text: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in text.split(";") if part.strip())
    return {name.lower(): value for name, _, value in pairs}


def _serialize(session: SessionDescription) -> str:
    lines = [
        "v=0",
        f"o=- {session.session_id} {session.version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
    ]
    if session.bundle:
        lines.append("a=group:BUNDLE " + " ".join(session.bundle))
    if session.ice_lite:
        lines.append("a=ice-lite")
    lines.append("a=msid-semantic:WMS *")
    for media in session.media:
        lines += _serialize_media(media)
    return "\r\n".join(lines) + "\r\n"


def _serialize_media(media: MediaDescription) -> list[str]:
    formats = media.formats or [str(c.payload_type) for c in media.codecs]
    lines = [f"m={media.kind} {media.port} {media.protocol} {' '.join(formats)}", "c=IN IP4 0.0.0.0"]
    attribute = lines.append
    if media.mid:
        attribute(f"a=mid:{media.mid}")
    if media.direction:
        attribute(f"a={media.direction}")
    for identifier, uri in media.extensions.items():
        attribute(f"a=extmap:{identifier} {uri}")
    if media.msid:
        attribute(f"a=msid:{media.msid}")
    if media.rtcp_mux:
        attribute("a=rtcp-mux")
    if media.rtcp_rsize:
        attribute("a=rtcp-rsize")
    if media.rtcp_xr:
        attribute("a=rtcp-xr:" + " ".join(media.rtcp_xr))
    for codec in media.codecs:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        attribute(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
        for feedback in codec.feedback:
            attribute(f"a=rtcp-fb:{codec.payload_type} {feedback}")
        if codec.parameters:
            parameters = ";".join(f"{n}={v}" if v else n for n, v in codec.parameters.items())
            attribute(f"a=fmtp:{codec.payload_type} {parameters}")
    if media.ptime_ms:
        attribute(f"a=ptime:{media.ptime_ms}")
    if media.max_ptime_ms:
        attribute(f"a=maxptime:{media.max_ptime_ms}")
    if media.sctp_port:
        attribute(f"a=sctp-port:{media.sctp_port}")
    if media.max_message_bytes:
        attribute(f"a=max-message-size:{media.max_message_bytes}")
    for semantics, ssrcs in media.ssrc_groups:
        attribute(f"a=ssrc-group:{semantics} {' '.join(map(str, ssrcs))}")
    for ssrc, cname in media.ssrcs.items():
        attribute(f"a=ssrc:{ssrc} cname:{cname}")
    for candidate in media.candidates:
        attribute(f"a={candidate}")
    if media.ice_ufrag:
        attribute(f"a=ice-ufrag:{media.ice_ufrag}")
    if media.ice_pwd:
        attribute(f"a=ice-pwd:{media.ice_pwd}")
    if media.ice_options:
        attribute("a=ice-options:" + " ".join(media.ice_options))
    for algorithm, value in media.fingerprints:
        attribute(f"a=fingerprint:{algorithm} {value}")
    if media.setup:
        attribute(f"a=setup:{media.setup}")
    return lines
