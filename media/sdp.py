"""SDP text <-> dataclasses (RFC 8866), as far as WebRTC uses it (RFC 9429 section 5).

Attributes that Ringline has no use for are skipped when parsing. parse() accepts any text and raises SdpError only.
"""

import re
from dataclasses import dataclass, field

from media.errors import SdpError

MAX_SIZE = 65536
MAX_MEDIA = 128  # a session keeps the sections that were stopped, and some peers never use one again
MAX_PAYLOAD_TYPES = 128
MAX_XR_FORMATS = 16
MAX_FEEDBACK = 32  # of one codec
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
    """One m= section. `port` 0 is a rejected one, unless it is `bundle_only` (RFC 9143 section 6)."""

    kind: str
    mid: str = ""
    port: int = 9
    protocol: str = "UDP/TLS/RTP/SAVPF"
    formats: list[str] = field(default_factory=list)
    bundle_only: bool = False
    direction: str = "sendrecv"
    codecs: list[Codec] = field(default_factory=list)
    extensions: dict[int, str] = field(default_factory=dict)
    extmap_allow_mixed: bool = False  # one-byte and two-byte headers in one stream (RFC 8285 section 6)
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
    max_message_bytes: int | None = None  # 0: any (RFC 8841 section 6)
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
    """Raises SdpError for text that is not a session description.

    That is said of the whole and of m= lines only: another line that makes no sense is as good as not there, and
    attributes may stand in any order (Firefox sorts them by name).
    """
    if len(text) > MAX_SIZE:
        raise SdpError(f"session description of {len(text)} characters")
    lines = [stripped for line in re.split(r"\r?\n", text) if (stripped := line.rstrip(" \t"))]
    if not lines or lines[0] != "v=0":
        raise SdpError("a session description begins with v=0")
    session = SessionDescription()
    defaults = _Section(MediaDescription("session"))
    sections: list[_Section] = []
    for line in lines[1:]:
        kind, _, value = line.partition("=")
        if kind == "m":
            if len(sections) >= MAX_MEDIA:
                raise SdpError(f"more than {MAX_MEDIA} media sections")
            sections.append(_Section(_parse_media_line(value)))
        elif kind == "o":
            _parse_origin(value, session)
        elif kind == "a":
            name, _, argument = value.partition(":")
            try:
                if sections or not _parse_session_attribute(session, name, argument):
                    _parse_attribute(sections[-1] if sections else defaults, name, argument)
            except SdpError:
                pass
    for section in sections:
        section.inherit(defaults.media)
        section.media.codecs = section.codecs()
    session.media = [section.media for section in sections]
    return session


@dataclass(slots=True)
class _Section:
    """A section while it is read: what its lines say of a codec is put together when all of them are known."""

    media: MediaDescription
    own_direction: bool = False
    maps: dict[str, Codec] = field(default_factory=dict)  # payload type -> a=rtpmap
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)  # payload type -> a=fmtp
    feedback: list[tuple[str, str]] = field(default_factory=list)  # payload type or *, a=rtcp-fb

    def inherit(self, session: MediaDescription) -> None:
        """What is said for the session holds for every section that does not say it itself (RFC 8866 section 5.13)."""
        media = self.media
        media.ice_ufrag = media.ice_ufrag or session.ice_ufrag
        media.ice_pwd = media.ice_pwd or session.ice_pwd
        media.setup = media.setup or session.setup
        media.ice_options = media.ice_options or list(session.ice_options)
        media.fingerprints = media.fingerprints or list(session.fingerprints)  # RFC 8122 section 5
        media.rtcp_xr = media.rtcp_xr or list(session.rtcp_xr)
        media.extensions = session.extensions | media.extensions  # RFC 8285 section 5
        media.extmap_allow_mixed = media.extmap_allow_mixed or session.extmap_allow_mixed
        if not self.own_direction:
            media.direction = session.direction

    def codecs(self) -> list[Codec]:
        """Those of the m= line, in its order, which is that of preference (RFC 8866 section 5.14)."""
        found = [self.maps[f] for f in dict.fromkeys(self.media.formats) if f in self.maps]
        for codec in found:
            number = str(codec.payload_type)
            codec.parameters = self.parameters.get(number, {})
            messages = dict.fromkeys(text for target, text in self.feedback if target in (number, "*"))
            codec.feedback = list(messages)[:MAX_FEEDBACK]
        return found


def _number(text: str, low: int, high: int, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not low <= int(text) <= high:
        raise SdpError(f"{what} is {text[:40]!r}, not a number from {low} to {high}")
    return int(text)


def _token(text: str, what: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise SdpError(f"{what} is not a token: {text[:40]!r}")
    return text


def _milliseconds(text: str, what: str) -> int:
    """Some write a fraction: "20.0"."""
    return _number(text.partition(".")[0], 1, 1000, what)


def _parse_origin(value: str, session: SessionDescription) -> None:
    """Nothing hangs on it: RFC 9429 section 5.8.2 has it checked and not used."""
    numbers = value.split()[1:3]
    try:
        session.session_id, session.version = (_number(n, 0, (1 << 64) - 1, "o=") for n in numbers)
    except ValueError:
        pass


def _parse_media_line(value: str) -> MediaDescription:
    kind, port, protocol, *formats = [*value.split(), "", "", ""][: MAX_PAYLOAD_TYPES + 3]
    return MediaDescription(
        kind=_token(kind, "media type"),
        port=_number(port.partition("/")[0], 0, 65535, "media port"),
        protocol=_token(protocol, "media protocol"),
        formats=[f for f in formats if f],
    )


def _parse_session_attribute(session: SessionDescription, name: str, value: str) -> bool:
    """Whether it is one of the session alone."""
    if name == "group":
        semantics, *mids = value.split()[: MAX_MEDIA + 1] or [""]
        if semantics == "BUNDLE" and not session.bundle:
            session.bundle = mids
    elif name == "ice-lite":
        session.ice_lite = True
    else:
        return False
    return True


def _parse_attribute(section: _Section, name: str, value: str) -> None:
    media = section.media
    match name:
        case "mid":
            media.mid = _token(value, "mid")
        case "sendrecv" | "sendonly" | "recvonly" | "inactive":
            media.direction, section.own_direction = name, True
        case "bundle-only":
            media.bundle_only = True
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
                _token(digest.strip(), "fingerprint").upper(),
            )
            if entry not in media.fingerprints:
                media.fingerprints.append(entry)
        case "setup":
            media.setup = value.lower()
        case "rtcp-mux":
            media.rtcp_mux = True
        case "rtcp-rsize":
            media.rtcp_rsize = True
        case "rtcp-xr":
            media.rtcp_xr += value.split()[: MAX_XR_FORMATS - len(media.rtcp_xr)]
        case "msid":
            media.msid = value
        case "ptime":
            media.ptime_ms = _milliseconds(value, "ptime")
        case "maxptime":
            media.max_ptime_ms = _milliseconds(value, "maxptime")
        case "sctp-port":
            media.sctp_port = _number(value, 1, 65535, "sctp-port")
        case "max-message-size":
            media.max_message_bytes = _number(value, 0, (1 << 64) - 1, "max-message-size")
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
            _parse_extension(media, value)
        case "extmap-allow-mixed":
            media.extmap_allow_mixed = True
        case "rtpmap":
            codec = _parse_rtpmap(value)
            section.maps.setdefault(str(codec.payload_type), codec)
        case "fmtp":
            head, _, rest = value.partition(" ")
            section.parameters.setdefault(head, {}).update(_parse_parameters(rest))
        case "rtcp-fb":
            head, _, rest = value.partition(" ")
            section.feedback.append((head, " ".join(rest.split())))
        case _:
            pass


def _parse_rtpmap(value: str) -> Codec:
    head, encoding, *_ = [*value.split(), "", ""]
    name, *numbers = encoding.split("/")
    if not 1 <= len(numbers) <= 2:
        raise SdpError(f"rtpmap {value[:60]!r} has no clock rate")
    payload_type = _number(head, 0, 127, "payload type")
    clock_rate = _number(numbers[0], 1, 1_000_000, "clock rate")
    channels = _number(numbers[1], 1, 255, "channels") if len(numbers) == 2 else 1
    return Codec(payload_type, _token(name, "codec name"), clock_rate, channels)


def _parse_extension(media: MediaDescription, value: str) -> None:
    """One that is not for both directions is as good as not there: nothing of ours needs such."""
    head, uri, *_ = [*value.split(), "", ""]
    number, _, direction = head.partition("/")
    # 4096 and above are proposals without an id (RFC 8285 section 6).
    identifier = _number(number, 1, 255, "extension id")
    if direction in ("", "sendrecv"):
        media.extensions[identifier] = _token(uri, "extension")


def _parse_ssrc(media: MediaDescription, value: str) -> None:
    head, _, rest = value.partition(" ")
    ssrc = _number(head, 0, 0xFFFFFFFF, "ssrc")
    if len(media.ssrcs) >= 64:
        return
    media.ssrcs.setdefault(ssrc, "")
    if rest.startswith("cname:"):
        media.ssrcs[ssrc] = rest[6:]


def _parse_parameters(text: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in text.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


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
    if media.bundle_only:
        attribute("a=bundle-only")
    if media.direction:
        attribute(f"a={media.direction}")
    for identifier, uri in media.extensions.items():
        attribute(f"a=extmap:{identifier} {uri}")
    if media.extmap_allow_mixed:
        attribute("a=extmap-allow-mixed")
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
    if media.max_message_bytes is not None:
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
