"""What is sent in one content: RTP (XEP-0167, with feedback 0293, header extensions 0294, sources 0339) or data.

Values that no XEP has a place for are carried as attributes in our own namespace; only the attributes
named in `EXTRA_ATTRIBUTES` exist there, each with its own syntax.
"""

import re
from dataclasses import dataclass

from lxml import etree

from signaling.jingle.syntax import (
    MAX_ATTRIBUTES,
    MAX_EXTENSIONS,
    MAX_PARAMETERS,
    MAX_PAYLOAD_TYPES,
    MAX_SOURCES,
    NS_RINGLINE,
    JingleError,
    add,
    integer,
    limited,
    matching,
    optional_integer,
    optional_token,
    q,
    token,
    tokens,
    unique,
)

NS_RTP = "urn:xmpp:jingle:apps:rtp:1"
NS_FEEDBACK = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"
NS_EXTENSION = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"
NS_SOURCE = "urn:xmpp:jingle:apps:rtp:ssma:0"

_FLAG = re.compile("")
_NUMBER = re.compile(r"[0-9]{1,10}")
_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
_MSID = re.compile(r"[!-~]{1,128}(?: [!-~]{1,127})?")

# SDP attributes without a place in Jingle, and what their value looks like.
EXTRA_ATTRIBUTES: dict[str, re.Pattern[str]] = {
    "rtcp-rsize": _FLAG,  # RFC 5506
    "bundle-only": _FLAG,  # RFC 9143
    "end-of-candidates": _FLAG,  # RFC 8838
    "ice-lite": _FLAG,  # RFC 8839
    "cryptex": _FLAG,  # RFC 9335
    "ice-options": _WORDS,  # RFC 8839
    "msid": _MSID,  # RFC 8830
    "msid-semantic": _WORDS,
    "rtcp-xr": _WORDS,  # RFC 3611
    "rid": _WORDS,  # RFC 8851
    "simulcast": _WORDS,  # RFC 8853
    "tls-id": _WORDS,  # RFC 8842
    "sctp-port": _NUMBER,  # RFC 8841
    "max-message-size": _NUMBER,  # RFC 8841
}
_KIND = re.compile(r"audio|video")
_SEMANTICS = re.compile(r"[A-Z][A-Z0-9-]{0,15}")
_BANDWIDTH = re.compile(r"AS|TIAS|CT|RS|RR")
_SENDERS = re.compile(r"both|initiator|responder|none")


@dataclass(frozen=True, slots=True)
class Attribute:
    """An SDP attribute of `EXTRA_ATTRIBUTES`; the value of a flag is empty."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    """RTCP feedback (RFC 4585), e.g. `nack pli`."""

    type: str
    subtype: str | None = None


@dataclass(frozen=True, slots=True)
class PayloadType:
    """A codec under its RTP payload type. `parameters` are fmtp's, a bare value under the name ""."""

    id: int
    name: str | None = None
    clock_rate: int | None = None
    channels: int = 1
    parameters: tuple[tuple[str, str], ...] = ()
    feedback: tuple[Feedback, ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """RFC 8285. `senders` as in Jingle: both, initiator, responder, none."""

    id: int
    uri: str
    senders: str = "both"


@dataclass(frozen=True, slots=True)
class Source:
    """An SSRC and its attributes (RFC 5576); the value of a flag is None."""

    ssrc: int
    parameters: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class SourceGroup:
    semantics: str
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RtpDescription:
    """An audio or video content."""

    kind: str
    payload_types: tuple[PayloadType, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    extensions: tuple[HeaderExtension, ...] = ()
    sources: tuple[Source, ...] = ()
    source_groups: tuple[SourceGroup, ...] = ()
    rtcp_mux: bool = False
    extmap_allow_mixed: bool = False
    ptime_ms: int | None = None
    maxptime_ms: int | None = None
    bandwidth: tuple[tuple[str, int], ...] = ()
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class DataDescription:
    """A WebRTC data channel content (`m=application ... UDP/DTLS/SCTP webrtc-datachannel`, RFC 8841)."""

    attributes: tuple[Attribute, ...] = ()


Description = RtpDescription | DataDescription


def checked_attribute(name: str | None, value: str | None) -> Attribute:
    """Raises JingleError when the name is not one of `EXTRA_ATTRIBUTES` or the value does not fit it."""
    pattern = EXTRA_ATTRIBUTES.get(name or "")
    if name is None or pattern is None:
        raise JingleError("an attribute is not one of those that are understood")
    value = value or ""
    if pattern is _WORDS:
        tokens(value, name)
    return Attribute(name, matching(value, pattern, name))


def parse_attributes(parent: etree._Element) -> tuple[Attribute, ...]:
    """Our own `<attribute name= value=/>` children. Unknown names are ignored: a later version may send them."""
    found = limited(parent.findall(q(NS_RINGLINE, "attribute")), MAX_ATTRIBUTES, "attributes")
    return tuple(
        checked_attribute(a.get("name"), a.get("value")) for a in found if a.get("name") in EXTRA_ATTRIBUTES
    )


def add_attributes(parent: etree._Element, attributes: tuple[Attribute, ...]) -> None:
    for attribute in attributes:
        add(parent, NS_RINGLINE, "attribute", name=attribute.name, value=attribute.value or None)


def parse_description(element: etree._Element) -> Description:
    """`<description/>` of a content.

    Raises:
        JingleError: malformed, outside the limits or of a kind that is not understood.
    """
    if element.tag == q(NS_RINGLINE, "description") and element.get("media") == "application":
        return DataDescription(parse_attributes(element))
    if element.tag != q(NS_RTP, "description"):
        raise JingleError("only the description rtp:1 is understood")
    payloads = limited(element.findall(q(NS_RTP, "payload-type")), MAX_PAYLOAD_TYPES, "payload types")
    extensions = limited(element.findall(q(NS_EXTENSION, "rtp-hdrext")), MAX_EXTENSIONS, "header extensions")
    sources = limited(element.findall(q(NS_SOURCE, "source")), MAX_SOURCES, "sources")
    groups = limited(element.findall(q(NS_SOURCE, "ssrc-group")), MAX_SOURCES, "source groups")
    bandwidth = limited(element.findall(q(NS_RTP, "bandwidth")), 4, "bandwidths")
    unique([p.get("id") or "" for p in payloads], "a payload type")
    return RtpDescription(
        kind=matching(element.get("media"), _KIND, "media"),
        payload_types=tuple(map(_payload_type, payloads)),
        feedback=_feedback(element),
        extensions=tuple(map(_extension, extensions)),
        sources=tuple(map(_source, sources)),
        source_groups=tuple(map(_source_group, groups)),
        rtcp_mux=element.find(q(NS_RTP, "rtcp-mux")) is not None,
        extmap_allow_mixed=element.find(q(NS_EXTENSION, "extmap-allow-mixed")) is not None,
        ptime_ms=_first_time(payloads, "ptime"),
        maxptime_ms=_first_time(payloads, "maxptime"),
        bandwidth=tuple(map(_bandwidth, bandwidth)),
        attributes=parse_attributes(element),
    )


def _first_time(payloads: list[etree._Element], name: str) -> int | None:
    values = (optional_integer(p.get(name), name, 1, 1000) for p in payloads)
    return next((v for v in values if v is not None), None)


def _payload_type(element: etree._Element) -> PayloadType:
    name = optional_token(element.get("name"), "a codec's name")
    rate = optional_integer(element.get("clockrate"), "a clock rate", 1, 1_000_000)
    identifier = integer(element.get("id"), "a payload type", 0, 127)
    if (name is None or rate is None) and identifier >= 96:  # RFC 3551: those below may be static
        raise JingleError("a dynamic payload type has no name or clock rate")
    parameters = limited(element.findall(q(NS_RTP, "parameter")), MAX_PARAMETERS, "codec parameters")
    return PayloadType(
        id=identifier,
        name=name if rate is not None else None,
        clock_rate=rate if name is not None else None,
        channels=integer(element.get("channels") or "1", "channels", 1, 255),
        parameters=tuple(checked_parameter(p.get("name"), p.get("value")) for p in parameters),
        feedback=_feedback(element),
    )


def checked_parameter(name: str | None, value: str | None) -> tuple[str, str]:
    """One parameter of fmtp: the words around `=`, without `;`. A bare value has the name ""."""
    if value is None:  # stanza.js writes RED's bare 111/111 as a name
        name, value = None, name
    name, value = name or "", token(value, "a codec parameter")
    if ";" in value or (name and ({";", "="} & set(token(name, "a codec parameter's name")))):
        raise JingleError("a codec parameter has characters that are not allowed")
    return name, value


def _feedback(parent: etree._Element) -> tuple[Feedback, ...]:
    found = limited(parent.findall(q(NS_FEEDBACK, "rtcp-fb")), MAX_PARAMETERS, "feedback messages")
    interval = parent.find(q(NS_FEEDBACK, "rtcp-fb-trr-int"))
    feedback = tuple(Feedback(token(f.get("type"), "feedback"), _subtype(f.get("subtype"))) for f in found)
    if interval is not None:
        feedback += (Feedback("trr-int", str(integer(interval.get("value"), "trr-int", 0, 100_000))),)
    return feedback


def _subtype(value: str | None) -> str | None:
    return None if value is None else tokens(value, "feedback")


def _extension(element: etree._Element) -> HeaderExtension:
    return HeaderExtension(
        id=integer(element.get("id"), "a header extension", 1, 255),
        uri=token(element.get("uri"), "a header extension's uri"),
        senders=matching(element.get("senders") or "both", _SENDERS, "a header extension's senders"),
    )


def _source(element: etree._Element) -> Source:
    parameters = limited(element.findall(q(NS_SOURCE, "parameter")), MAX_PARAMETERS, "source parameters")
    return Source(
        ssrc=integer(element.get("ssrc"), "an ssrc", 0, 2**32 - 1),
        parameters=tuple(checked_source_parameter(p.get("name"), p.get("value")) for p in parameters),
    )


def checked_source_parameter(name: str | None, value: str | None) -> tuple[str, str | None]:
    name = token(name, "a source parameter's name")
    if ":" in name:
        raise JingleError("a source parameter's name has characters that are not allowed")
    return name, None if value is None else tokens(value, "a source parameter")


def _source_group(element: etree._Element) -> SourceGroup:
    children = limited(element.findall(q(NS_SOURCE, "source")), MAX_SOURCES, "sources")
    if not children:
        raise JingleError("a source group is empty")
    return SourceGroup(
        semantics=matching(element.get("semantics"), _SEMANTICS, "a source group's semantics"),
        ssrcs=tuple(integer(s.get("ssrc"), "an ssrc", 0, 2**32 - 1) for s in children),
    )


def _bandwidth(element: etree._Element) -> tuple[str, int]:
    kind = matching(element.get("type"), _BANDWIDTH, "a bandwidth's type")
    return kind, integer((element.text or "").strip(), "a bandwidth", 0, 2**31)


def add_description(parent: etree._Element, description: Description) -> None:
    """Append `<description/>` to a content."""
    if isinstance(description, DataDescription):
        add_attributes(add(parent, NS_RINGLINE, "description", media="application"), description.attributes)
        return
    element = add(parent, NS_RTP, "description", media=description.kind)
    for payload in description.payload_types:
        child = add(
            element,
            NS_RTP,
            "payload-type",
            id=str(payload.id),
            name=payload.name,
            clockrate=None if payload.clock_rate is None else str(payload.clock_rate),
            channels=None if payload.channels == 1 else str(payload.channels),
            ptime=None if description.ptime_ms is None else str(description.ptime_ms),
            maxptime=None if description.maxptime_ms is None else str(description.maxptime_ms),
        )
        for name, value in payload.parameters:
            add(child, NS_RTP, "parameter", name=name, value=value)
        _add_feedback(child, payload.feedback)
    _add_feedback(element, description.feedback)
    for extension in description.extensions:
        senders = None if extension.senders == "both" else extension.senders
        add(element, NS_EXTENSION, "rtp-hdrext", id=str(extension.id), uri=extension.uri, senders=senders)
    if description.extmap_allow_mixed:
        add(element, NS_EXTENSION, "extmap-allow-mixed")
    for source in description.sources:
        child = add(element, NS_SOURCE, "source", ssrc=str(source.ssrc))
        for key, text in source.parameters:
            add(child, NS_SOURCE, "parameter", name=key, value=text)
    for group in description.source_groups:
        child = add(element, NS_SOURCE, "ssrc-group", semantics=group.semantics)
        for ssrc in group.ssrcs:
            add(child, NS_SOURCE, "source", ssrc=str(ssrc))
    if description.rtcp_mux:
        add(element, NS_RTP, "rtcp-mux")
    for kind, value_bps in description.bandwidth:
        add(element, NS_RTP, "bandwidth", type=kind).text = str(value_bps)
    add_attributes(element, description.attributes)


def _add_feedback(parent: etree._Element, feedback: tuple[Feedback, ...]) -> None:
    for item in feedback:
        if item.type == "trr-int":
            add(parent, NS_FEEDBACK, "rtcp-fb-trr-int", value=item.subtype)
        else:
            add(parent, NS_FEEDBACK, "rtcp-fb", type=item.type, subtype=item.subtype)
