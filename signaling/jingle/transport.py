"""The ICE-UDP transport of Jingle (XEP-0176) with its DTLS fingerprints (XEP-0320)."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lxml import etree

from signaling.jingle.syntax import (
    MAX_CANDIDATES,
    JingleError,
    add,
    integer,
    limited,
    matching,
    optional_integer,
    optional_token,
    q,
    token,
)

NS_ICE_UDP = "urn:xmpp:jingle:transports:ice-udp:1"
NS_DTLS = "urn:xmpp:jingle:apps:dtls:0"

_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839 section 5.4
_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")
_HASH = re.compile(r"[a-z0-9-]{1,16}")
_DIGEST = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){15,63}")
_SETUP = re.compile(r"actpass|active|passive")
_TYPE = re.compile(r"host|srflx|prflx|relay")
_PROTOCOL = re.compile(r"udp|tcp")
_TCP_TYPE = re.compile(r"active|passive|so")
_SHA256_LENGTH = 32 * 3 - 1
_LITERAL = re.compile(r"[0-9A-Fa-f.:]{2,45}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An ICE candidate (RFC 8839 section 5.1). `ip` is an IP literal."""

    foundation: str
    component: int
    protocol: str
    priority: int
    ip: str
    port: int
    type: str
    related_ip: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None
    generation: int = 0
    network: int | None = None

    def line(self) -> str:
        """`candidate:...`, without `a=`."""
        words = [f"candidate:{self.foundation}", str(self.component), self.protocol, str(self.priority)]
        words += [self.ip, str(self.port), "typ", self.type]
        if self.related_ip is not None:
            words += ["raddr", self.related_ip, "rport", str(self.related_port or 0)]
        for name, value in (
            ("tcptype", self.tcp_type),
            ("generation", self.generation or None),
            ("network-id", self.network),
        ):
            if value is not None:
                words += [name, str(value)]
        return " ".join(words)


@dataclass(frozen=True, slots=True, order=True)
class Fingerprint:
    """A digest of a DTLS certificate: `algorithm` in lower case, `digest` in upper-case hex with colons."""

    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True)
class Transport:
    """ICE credentials, fingerprints and candidates of one content. None: not said in this stanza."""

    ufrag: str | None = None
    pwd: str | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str | None = None
    candidates: tuple[Candidate, ...] = ()


@dataclass(slots=True)
class CandidatePolicy:
    """Which addresses of a peer we are willing to send packets to, and how many of them.

    Loopback and link-local addresses make sense only from a peer on this host or link; anywhere else they
    would let a stranger point us at services of our own machine.
    """

    allow_loopback: bool = False
    budget: int = field(default=MAX_CANDIDATES)
    refused: int = 0  # so many candidates pointed where nobody may send us

    def accepts(self, candidate: Candidate) -> bool:
        address = _address(candidate.ip)
        if (
            address is None
            or address.is_unspecified
            or address.is_multicast
            or str(address) == "255.255.255.255"
        ):
            return False
        return self.allow_loopback or not (address.is_loopback or address.is_link_local)

    def take(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """Those that are accepted.

        Raises:
            JingleError: the session has used up its candidates.
        """
        offered = tuple(candidates)
        taken = tuple(c for c in offered if self.accepts(c))
        self.refused += len(offered) - len(taken)
        if len(taken) > self.budget:
            raise JingleError(f"more than {MAX_CANDIDATES} candidates")
        self.budget -= len(taken)
        return taken


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not _LITERAL.fullmatch(text):  # no scope (%eth0), no name
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def is_address(text: str) -> bool:
    """Whether the text is an IP literal without scope."""
    return _address(text) is not None


def parse_candidate_line(line: str) -> Candidate:
    """`candidate:...` or `a=candidate:...` as engines give it. The address may still be a name (mDNS).

    Raises:
        JingleError: not a candidate.
    """
    words = line.strip().removeprefix("a=").removeprefix("candidate:").split(" ")
    if len(words) < 8 or words[6] != "typ":
        raise JingleError("the candidate line is malformed")
    more = dict(zip(words[8::2], words[9::2], strict=False))
    return _candidate(
        foundation=words[0],
        component=words[1],
        protocol=words[2].lower(),
        priority=words[3],
        ip=words[4],
        port=words[5],
        type=words[7],
        related_ip=more.get("raddr"),
        related_port=more.get("rport"),
        tcp_type=more.get("tcptype"),
        generation=more.get("generation"),
        network=more.get("network-id"),
    )


def _candidate(**values: str | None) -> Candidate:
    related = values["related_ip"]
    tcp_type = values["tcp_type"]
    known_related = related is not None and is_address(related)
    return Candidate(
        foundation=matching(values["foundation"], _FOUNDATION, "a candidate's foundation"),
        component=integer(values["component"], "a candidate's component", 1, 256),
        protocol=matching(values["protocol"], _PROTOCOL, "a candidate's protocol"),
        priority=integer(values["priority"], "a candidate's priority", 0, 2**32 - 1),
        ip=token(values["ip"], "a candidate's address"),
        port=integer(values["port"], "a candidate's port", 1, 65535),
        type=matching(values["type"], _TYPE, "a candidate's type"),
        related_ip=related if known_related else None,
        related_port=optional_integer(values["related_port"], "a related port", 0, 65535)
        if known_related
        else None,
        tcp_type=None if tcp_type is None else matching(tcp_type, _TCP_TYPE, "a candidate's tcptype"),
        generation=integer(values["generation"] or "0", "a candidate's generation", 0, 255),
        network=optional_integer(values["network"], "a candidate's network", 0, 255),
    )


def parse_ufrag(ufrag: str | None) -> str:
    return matching(ufrag, _UFRAG, "ufrag")


def parse_credentials(ufrag: str | None, pwd: str | None) -> tuple[str, str]:
    return parse_ufrag(ufrag), matching(pwd, _PWD, "pwd")


def parse_fingerprint(algorithm: str | None, digest: str | None) -> Fingerprint:
    """Raises JingleError for anything that is not hash and digest of fitting length."""
    algorithm = matching((algorithm or "").lower(), _HASH, "a fingerprint's hash")
    digest = matching((digest or "").strip().upper(), _DIGEST, "a fingerprint")
    if algorithm == "sha-256" and len(digest) != _SHA256_LENGTH:
        raise JingleError("a sha-256 fingerprint has 32 octets")
    return Fingerprint(algorithm, digest)


def parse_setup(value: str | None) -> str:
    return matching(value, _SETUP, "setup")


def parse_transport(element: etree._Element, policy: CandidatePolicy) -> Transport:
    """`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>`; candidates that `policy` refuses are left out.

    Raises:
        JingleError: malformed, or too many candidates.
    """
    if element.tag != q(NS_ICE_UDP, "transport"):
        raise JingleError("only the transport ice-udp:1 is understood")
    ufrag: str | None = None
    pwd: str | None = None
    if element.get("ufrag") is not None or element.get("pwd") is not None:
        ufrag, pwd = parse_credentials(element.get("ufrag"), element.get("pwd"))
    prints = limited(element.findall(q(NS_DTLS, "fingerprint")), 4, "fingerprints in a content")
    setups = {parse_setup(f.get("setup")) for f in prints}
    if len(setups) > 1:
        raise JingleError("the fingerprints disagree on setup")
    children = limited(element.findall(q(NS_ICE_UDP, "candidate")), MAX_CANDIDATES, "candidates")
    return Transport(
        ufrag=ufrag,
        pwd=pwd,
        fingerprints=tuple(parse_fingerprint(f.get("hash"), f.text) for f in prints),
        setup=setups.pop() if setups else None,
        candidates=policy.take(map(_candidate_from_xml, children)),
    )


def _candidate_from_xml(element: etree._Element) -> Candidate:
    return _candidate(
        foundation=element.get("foundation"),
        component=element.get("component"),
        protocol=(element.get("protocol") or "").lower(),
        priority=element.get("priority"),
        ip=element.get("ip"),
        port=element.get("port"),
        type=element.get("type"),
        related_ip=element.get("rel-addr"),
        related_port=element.get("rel-port"),
        tcp_type=optional_token(element.get("tcptype"), "tcptype"),
        generation=element.get("generation"),
        network=element.get("network"),
    )


def add_transport(parent: etree._Element, transport: Transport) -> None:
    element = add(parent, NS_ICE_UDP, "transport", ufrag=transport.ufrag, pwd=transport.pwd)
    for fingerprint in transport.fingerprints:
        child = add(element, NS_DTLS, "fingerprint", hash=fingerprint.algorithm, setup=transport.setup)
        child.text = fingerprint.digest
    for c in transport.candidates:
        add(
            element,
            NS_ICE_UDP,
            "candidate",
            id=f"{c.foundation}.{c.component}.{c.port}",
            foundation=c.foundation,
            component=str(c.component),
            protocol=c.protocol,
            priority=str(c.priority),
            ip=c.ip,
            port=str(c.port),
            type=c.type,
            rel_addr=c.related_ip,
            rel_port=None if c.related_port is None else str(c.related_port),
            tcptype=c.tcp_type,
            generation=str(c.generation),
            network=None if c.network is None else str(c.network),
        )
