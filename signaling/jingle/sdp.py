"""SDP (RFC 8866, as JSEP writes it) <-> Jingle, both ways without loss of anything that a call needs.

Not carried over: the origin line, ports and connection addresses (ICE replaces them), fingerprints with
another hash than sha-256 (the passport vouches for sha-256 only), and attributes that nothing here knows.
Session-level attributes of media come out at media level, which means the same; so do those that a BUNDLE has in its
tagged section only (RFC 9143 section 7.1.3). A line that makes no sense where nothing hangs on it is left out: engines
write `ptime:0` and `extmap:0`.
"""

from dataclasses import dataclass, field

from signaling.jingle.content import Content, Group, Role, SessionDescription
from signaling.jingle.description import (
    EXTRA_ATTRIBUTES,
    Attribute,
    DataDescription,
    Feedback,
    HeaderExtension,
    PayloadType,
    RtpDescription,
    Source,
    SourceGroup,
    checked_attribute,
    checked_parameter,
    checked_source_parameter,
)
from signaling.jingle.syntax import (
    MAX_CONTENTS,
    MAX_EXTENSIONS,
    MAX_PAYLOAD_TYPES,
    MAX_SOURCES,
    JingleError,
    integer,
    token,
    tokens,
    unique,
)
from signaling.jingle.transport import (
    Transport,
    is_address,
    parse_candidate_line,
    parse_credentials,
    parse_fingerprint,
    parse_setup,
)

MAX_SDP_BYTES = 128 * 1024

RTP_PROTOCOL = "UDP/TLS/RTP/SAVPF"
DATA_PROTOCOL = "UDP/DTLS/SCTP"

_DIRECTION_OF = {  # (senders, who describes) -> SDP direction
    ("both", Role.INITIATOR): "sendrecv",
    ("both", Role.RESPONDER): "sendrecv",
    ("initiator", Role.INITIATOR): "sendonly",
    ("initiator", Role.RESPONDER): "recvonly",
    ("responder", Role.INITIATOR): "recvonly",
    ("responder", Role.RESPONDER): "sendonly",
    ("none", Role.INITIATOR): "inactive",
    ("none", Role.RESPONDER): "inactive",
}
_SENDERS_OF = {(direction, role): senders for (senders, role), direction in _DIRECTION_OF.items()}
_DIRECTIONS = frozenset(_DIRECTION_OF.values())
# Said once for the session, meant for each of its media.
_INHERITED = ("ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup")
_INHERITED_BY_RTP = ("extmap-allow-mixed", "cryptex")
# Said once for a BUNDLE, in its tagged section, meant for each.
_BUNDLED = ("ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup")
_BUNDLED_BY_RTP = ("rtcp-mux", "rtcp-rsize")
_SESSION_ONLY = ("msid-semantic", "ice-lite")


@dataclass(slots=True)
class _Section:
    """The lines under one m= line, or those before the first."""

    media: str = ""
    attributes: list[tuple[str, str]] = field(default_factory=list)
    bandwidth: list[tuple[str, int]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.attributes)


def parse_sdp(sdp: str, role: Role) -> SessionDescription:
    """An offer or answer of the party `role` as Jingle's data.

    Raises:
        JingleError: not SDP, not WebRTC's kind of it, or outside the limits.
    """
    session, *media = _sections(sdp)
    if not 1 <= len(media) <= MAX_CONTENTS:
        raise JingleError(f"a description has 1 to {MAX_CONTENTS} media sections")
    for section in media:
        _inherit(section, session)
    _spread_bundle(media, session)
    contents = tuple(_content(section, session, role) for section in media)
    unique([c.name for c in contents], "a mid")
    groups = []
    for value in session.all("group"):
        semantics, *names = value.split(" ")
        groups.append(Group(token(semantics, "a group"), tuple(token(n, "a group's mid") for n in names)))
    extra = tuple(
        checked_attribute(name, " ".join(value.split()))
        for name, value in session.attributes
        if name in _SESSION_ONLY
    )
    return SessionDescription(contents, tuple(groups), extra)


def _sections(sdp: str) -> list[_Section]:
    if len(sdp) > MAX_SDP_BYTES or not sdp.startswith("v=0"):
        raise JingleError("not a session description")
    sections = [_Section()]
    for line in sdp.replace("\r\n", "\n").split("\n"):
        line = line.rstrip(" \t")
        kind, _, value = line.partition("=")
        if kind == "m":
            sections.append(_Section(value))
        elif kind == "a":
            name, _, text = value.partition(":")
            sections[-1].attributes.append((name, text))
        elif kind == "b":
            name, _, text = value.partition(":")
            sections[-1].bandwidth.append((token(name, "b="), integer(text, "b=", 0, 2**31)))
    return sections


def _inherit(section: _Section, session: _Section) -> None:
    inherited = _INHERITED if section.media.startswith("application") else _INHERITED + _INHERITED_BY_RTP
    for name in inherited:
        if not section.has(name):
            section.attributes += [(name, value) for value in session.all(name)]


def _spread_bundle(media: list[_Section], session: _Section) -> None:
    """What stands in the tagged section of the first BUNDLE only holds for the others of it, too."""
    group = next((v.split() for v in session.all("group") if v.split()[:1] == ["BUNDLE"]), [])[1:]
    members = [m for mid in group for m in media if m.first("mid") == mid]
    for member in members[1:]:
        if not member.has("fingerprint"):
            rtp = not member.media.startswith("application")
            for name in _BUNDLED + (_BUNDLED_BY_RTP if rtp else ()):
                if not member.has(name):
                    member.attributes += [(name, value) for value in members[0].all(name)]


def _content(section: _Section, session: _Section, role: Role) -> Content:
    words = section.media.split(" ")
    if len(words) < 4:
        raise JingleError("an m= line is malformed")
    kind, port, protocol, *formats = words
    rejected = integer(port, "a port", 0, 65535) == 0 and not section.has("bundle-only")
    own_direction = next((key for key, _ in section.attributes if key in _DIRECTIONS), None)
    session_direction = next((key for key, _ in session.attributes if key in _DIRECTIONS), "sendrecv")
    description: RtpDescription | DataDescription
    if kind == "application" and protocol == DATA_PROTOCOL:
        description = DataDescription(_extra_attributes(section))
    elif kind in ("audio", "video") and protocol == RTP_PROTOCOL:
        description = _rtp(section, kind, formats, role)
    else:
        raise JingleError(f"a media section is not {RTP_PROTOCOL} or {DATA_PROTOCOL}")
    return Content(
        name=token(section.first("mid"), "a mid"),
        transport=_transport(section, rejected),
        description=description,
        senders=_SENDERS_OF[own_direction or session_direction, role],
        rejected=rejected,
    )


def _extra_attributes(section: _Section) -> tuple[Attribute, ...]:
    found = ((name, value) for name, value in section.attributes if name in EXTRA_ATTRIBUTES)
    return tuple(checked_attribute(name, " ".join(value.split())) for name, value in found)


def _transport(section: _Section, rejected: bool) -> Transport:
    prints = [
        parse_fingerprint(algorithm, digest)
        for algorithm, _, digest in (value.partition(" ") for value in section.all("fingerprint"))
        if algorithm.lower() == "sha-256"
    ]
    if rejected and not (prints and section.has("ice-ufrag")):
        return Transport()
    if not prints:
        raise JingleError("a media section has no sha-256 fingerprint")
    ufrag, pwd = parse_credentials(section.first("ice-ufrag"), section.first("ice-pwd"))
    candidates = [parse_candidate_line(value) for value in section.all("candidate")]
    return Transport(
        ufrag=ufrag,
        pwd=pwd,
        fingerprints=tuple(prints),
        setup=parse_setup(section.first("setup")),
        candidates=tuple(c for c in candidates if is_address(c.ip)),
    )


def _rtp(section: _Section, kind: str, formats: list[str], role: Role) -> RtpDescription:
    if len(formats) > MAX_PAYLOAD_TYPES:
        raise JingleError(f"more than {MAX_PAYLOAD_TYPES} payload types")
    unique(formats, "a payload type")
    feedback: dict[str, list[Feedback]] = {}
    for value in section.all("rtcp-fb"):
        target, *words = value.split(" ")
        if not words:
            raise JingleError("an rtcp-fb line is malformed")
        subtype = tokens(" ".join(words[1:]), "feedback") if words[1:] else None
        feedback.setdefault(target, []).append(Feedback(token(words[0], "feedback"), subtype))
    for group in feedback.values():
        group.sort(key=lambda f: f.type == "trr-int")  # an element of its own in XEP-0293, after the others
    found = (_extension(value, role) for value in section.all("extmap") if len(value.split(" ")) == 2)
    extensions = [extension for extension in found if extension is not None]
    if len(extensions) > MAX_EXTENSIONS:
        raise JingleError(f"more than {MAX_EXTENSIONS} header extensions")
    maps = {value.partition(" ")[0]: value.partition(" ")[2] for value in section.all("rtpmap")}
    parameters = {value.partition(" ")[0]: value.partition(" ")[2] for value in section.all("fmtp")}
    return RtpDescription(
        kind=kind,
        payload_types=tuple(
            _payload_type(f, maps.get(f), parameters.get(f), tuple(feedback.get(f, ())))
            for f in formats
            # A dynamic type that nobody explains cannot be used; rejected media often list such.
            if f in maps or integer(f, "a payload type", 0, 127) < 96
        ),
        feedback=tuple(feedback.get("*", ())),
        extensions=tuple(extensions),
        sources=_sources(section.all("ssrc")),
        source_groups=tuple(map(_source_group, section.all("ssrc-group"))),
        rtcp_mux=section.has("rtcp-mux"),
        extmap_allow_mixed=section.has("extmap-allow-mixed"),
        ptime_ms=_milliseconds(section.first("ptime")),
        maxptime_ms=_milliseconds(section.first("maxptime")),
        bandwidth=tuple(section.bandwidth),
        attributes=_extra_attributes(section),
    )


def _milliseconds(value: str | None) -> int | None:
    """Whole ones, of what some write with a fraction; 0 is no packet time."""
    whole = (value or "").partition(".")[0]
    known = whole.isascii() and whole.isdigit() and len(whole) <= 4 and 1 <= int(whole) <= 1000
    return int(whole) if known else None


def _payload_type(
    identifier: str, rtpmap: str | None, fmtp: str | None, feedback: tuple[Feedback, ...]
) -> PayloadType:
    name, rate, channels = None, None, 1
    if rtpmap is not None:
        parts = rtpmap.split("/")
        if not 2 <= len(parts) <= 3:
            raise JingleError("an rtpmap line is malformed")
        name, rate = token(parts[0], "a codec's name"), integer(parts[1], "a clock rate", 1, 1_000_000)
        channels = integer(parts[2], "channels", 1, 255) if len(parts) == 3 else 1
    parameters = []
    for item in (fmtp or "").split(";"):
        if item := item.strip():
            key, equals, value = item.partition("=")
            parameters.append(
                checked_parameter(key, value) if equals and value else checked_parameter("", item)
            )
    number = integer(identifier, "a payload type", 0, 127)
    return PayloadType(number, name, rate, channels, tuple(parameters), feedback)


def _extension(value: str, role: Role) -> HeaderExtension | None:
    """None for one without an id that could be used: 0, or a proposal (RFC 8285 section 6)."""
    number, _, uri = value.partition(" ")
    number, slash, direction = number.partition("/")
    if slash and direction not in _DIRECTIONS:
        raise JingleError("an extmap line is malformed")
    if number.isascii() and number.isdigit() and not 1 <= int(number[:6]) <= 255:
        return None
    senders = _SENDERS_OF[direction, role] if slash else "both"
    return HeaderExtension(
        integer(number, "a header extension", 1, 255), token(uri, "an extension's uri"), senders
    )


def _sources(lines: list[str]) -> tuple[Source, ...]:
    found: dict[int, list[tuple[str, str | None]]] = {}
    for line in lines:
        ssrc, _, attribute = line.partition(" ")
        name, colon, value = attribute.partition(":")
        parameters = found.setdefault(integer(ssrc, "an ssrc", 0, 2**32 - 1), [])
        parameters.append(checked_source_parameter(name, " ".join(value.split()) if colon else None))
    if len(found) > MAX_SOURCES:
        raise JingleError(f"more than {MAX_SOURCES} sources")
    return tuple(Source(ssrc, tuple(parameters)) for ssrc, parameters in found.items())


def _source_group(value: str) -> SourceGroup:
    semantics, *ssrcs = value.split(" ")
    if not ssrcs:
        raise JingleError("an ssrc-group line is malformed")
    return SourceGroup(
        token(semantics, "ssrc-group"), tuple(integer(s, "an ssrc", 0, 2**32 - 1) for s in ssrcs)
    )


def render_sdp(description: SessionDescription, role: Role, *, session_id: int = 1, version: int = 1) -> str:
    """The SDP of the party `role`. Every value was checked when the description was made."""
    lines = ["v=0", f"o=- {session_id} {version} IN IP4 0.0.0.0", "s=-", "t=0 0"]
    lines += [f"a=group:{g.semantics} {' '.join(g.names)}".rstrip() for g in description.groups]
    lines += map(_attribute_line, description.attributes)
    for content in description.contents:
        lines += _media_lines(content, role)
    return "\r\n".join(lines) + "\r\n"


def _attribute_line(attribute: Attribute) -> str:
    return f"a={attribute.name}:{attribute.value}" if attribute.value else f"a={attribute.name}"


def _media_lines(content: Content, role: Role) -> list[str]:
    description = content.description
    if description is None:
        raise JingleError("a content has no description")
    port = 0 if content.rejected else 9  # RFC 8840 section 4.1.1: 9 while there are no candidates
    if isinstance(description, DataDescription):
        lines = [f"m=application {port} {DATA_PROTOCOL} webrtc-datachannel", "c=IN IP4 0.0.0.0"]
    else:
        formats = " ".join(str(p.id) for p in description.payload_types) or "0"
        lines = [f"m={description.kind} {port} {RTP_PROTOCOL} {formats}", "c=IN IP4 0.0.0.0"]
        lines += [f"b={kind}:{value}" for kind, value in description.bandwidth]
    lines.append(f"a=mid:{content.name}")
    lines += _transport_lines(content.transport)
    if isinstance(description, RtpDescription):
        lines += ["a=rtcp:9 IN IP4 0.0.0.0", f"a={_DIRECTION_OF[content.senders, role]}"]
        lines += _rtp_lines(description, role)
    lines += map(_attribute_line, description.attributes)
    return lines


def _transport_lines(transport: Transport) -> list[str]:
    lines = []
    if transport.ufrag is not None:
        lines += [f"a=ice-ufrag:{transport.ufrag}", f"a=ice-pwd:{transport.pwd}"]
    lines += [f"a=fingerprint:{f.algorithm} {f.digest}" for f in transport.fingerprints]
    if transport.setup is not None:
        lines.append(f"a=setup:{transport.setup}")
    return lines + [f"a={c.line()}" for c in transport.candidates]


def _rtp_lines(description: RtpDescription, role: Role) -> list[str]:
    lines = []
    for extension in description.extensions:
        direction = "" if extension.senders == "both" else f"/{_DIRECTION_OF[extension.senders, role]}"
        lines.append(f"a=extmap:{extension.id}{direction} {extension.uri}")
    if description.extmap_allow_mixed:
        lines.append("a=extmap-allow-mixed")
    if description.rtcp_mux:
        lines.append("a=rtcp-mux")
    for payload in description.payload_types:
        if payload.name is not None:
            channels = "" if payload.channels == 1 else f"/{payload.channels}"
            lines.append(f"a=rtpmap:{payload.id} {payload.name}/{payload.clock_rate}{channels}")
        lines += [_feedback_line(str(payload.id), f) for f in payload.feedback]
        if payload.parameters:
            text = ";".join(f"{key}={value}" if key else value for key, value in payload.parameters)
            lines.append(f"a=fmtp:{payload.id} {text}")
    lines += [_feedback_line("*", f) for f in description.feedback]
    if description.ptime_ms is not None:
        lines.append(f"a=ptime:{description.ptime_ms}")
    if description.maxptime_ms is not None:
        lines.append(f"a=maxptime:{description.maxptime_ms}")
    lines += [f"a=ssrc-group:{g.semantics} {' '.join(map(str, g.ssrcs))}" for g in description.source_groups]
    for source in description.sources:
        for name, value in source.parameters:
            lines.append(f"a=ssrc:{source.ssrc} {name}" + ("" if value is None else f":{value}"))
    return lines


def _feedback_line(target: str, feedback: Feedback) -> str:
    subtype = "" if feedback.subtype is None else f" {feedback.subtype}"
    return f"a=rtcp-fb:{target} {feedback.type}{subtype}"
