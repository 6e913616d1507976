"""Candidates: lines, XML, and which addresses are believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from signaling.jingle.syntax import MAX_CANDIDATES, JingleError
from signaling.jingle.transport import (
    Candidate,
    CandidatePolicy,
    Transport,
    add_transport,
    parse_candidate_line,
    parse_fingerprint,
    parse_transport,
)

HOST = "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host"


def candidate(ip: str) -> Candidate:
    return Candidate("1", 1, "udp", 1, ip, 5000, "host")


def through_xml(transport: Transport, policy: CandidatePolicy | None = None) -> Transport:
    root = etree.Element("root")
    add_transport(root, transport)
    return parse_transport(etree.fromstring(etree.tostring(root))[0], policy or CandidatePolicy())


@pytest.mark.parametrize(
    "line",
    [
        HOST,
        "candidate:842163049 1 udp 1677729535 203.0.113.9 46154 typ srflx raddr 192.0.2.7 rport 46154",
        "candidate:a+/ 2 udp 0 2001:db8::1 1 typ relay raddr 0.0.0.0 rport 0",
        "candidate:3 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active network-id 1",
    ],
)
def test_a_line_comes_back(line: str) -> None:
    parsed = parse_candidate_line(line)
    assert parsed.line() == line
    assert through_xml(Transport(candidates=(parsed,))).candidates[0].line() == line


def test_chromiums_extras_are_understood() -> None:
    parsed = parse_candidate_line("a=" + HOST + " generation 2 ufrag abcd network-id 1 network-cost 999")
    assert parsed.line() == HOST + " generation 2 network-id 1"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "candidate:1 1 udp 1 192.0.2.7 50000 host",
        HOST.replace("50000", "0"),
        HOST.replace("50000", "65536"),
        HOST.replace("udp", "sctp"),
        HOST.replace(" 1 udp", " 0 udp"),
        HOST.replace("2122260223", "4294967296"),
        HOST.replace("2122260223", "-1"),
        HOST.replace("typ host", "typ evil"),
        HOST.replace("candidate:1", "candidate:!"),
        HOST + "\r\na=evil generation x",
    ],
)
def test_malformed_lines(line: str) -> None:
    with pytest.raises(JingleError):
        parse_candidate_line(line)


ALWAYS_REFUSED = [
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "fe80::1%eth0",
    "x.local",
    "::ffff:0.0.0.0",
]
ONLY_LOCAL = ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("ip", ALWAYS_REFUSED)
def test_addresses_never_believed(ip: str) -> None:
    assert not CandidatePolicy(allow_loopback=True).accepts(candidate(ip))


@pytest.mark.parametrize("ip", ONLY_LOCAL)
def test_addresses_believed_on_this_host_only(ip: str) -> None:
    assert not CandidatePolicy().accepts(candidate(ip))
    assert CandidatePolicy(allow_loopback=True).accepts(candidate(ip))


def test_names_are_left_out_and_the_rest_stays() -> None:
    mixed = Transport(candidates=(candidate("x.local"), candidate("192.0.2.7"), candidate("127.0.0.1")))
    assert [c.ip for c in through_xml(mixed).candidates] == ["192.0.2.7"]


def test_a_session_has_a_budget_of_candidates() -> None:
    policy = CandidatePolicy()
    for _ in range(MAX_CANDIDATES):
        policy.take([candidate("192.0.2.7")])
    with pytest.raises(JingleError, match="64"):
        policy.take([candidate("192.0.2.7")])


def test_fingerprints() -> None:
    digest = ":".join(["ab"] * 32)
    assert parse_fingerprint("SHA-256", f" {digest} ").digest == digest.upper()
    for algorithm, text in (
        ("sha-256", digest[:-3]),
        ("sha-256", digest + "\r\na=x"),
        ("", digest),
        (None, None),
    ):
        with pytest.raises(JingleError):
            parse_fingerprint(algorithm, text)


@given(st.lists(st.text(max_size=20) | st.sampled_from(HOST.split(" ")), max_size=14))
def test_any_words(words: list[str]) -> None:
    try:
        parsed = parse_candidate_line(" ".join(words))
    except JingleError:
        return
    assert parse_candidate_line(parsed.line()) == parsed
    assert parsed.line().isprintable()
