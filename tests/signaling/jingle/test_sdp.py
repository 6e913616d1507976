"""SDP -> Jingle -> XML text -> Jingle -> SDP loses nothing that matters, on what real engines wrote.

The fixtures are unedited local descriptions of our engine, aiortc 1.16 and libwebrtc (PyPI wrtc 0.1.0).
"""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.jingle.content import Action, Jingle, Role, build_jingle, parse_jingle
from signaling.jingle.sdp import parse_sdp, render_sdp
from signaling.jingle.syntax import JingleError
from signaling.jingle.transport import CandidatePolicy
from signaling.xml import parse, serialise

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.sdp"))
# What ICE and JSEP make meaningless, and hashes that the passport does not vouch for.
MEANINGLESS = re.compile(r"c=|a=rtcp:|a=fingerprint:sha-(384|512) |[vost]=|$")
SESSION_LEVEL = ("a=extmap-allow-mixed", "a=cryptex")


def role_of(path: Path) -> Role:
    return Role.INITIATOR if "offer" in path.name else Role.RESPONDER


def normal_form(sdp: str) -> dict[str, list[str]]:
    """Lines by mid, sorted; ports gone; session-level media attributes at media level; ", " of fmtp closed up."""
    session, *media = re.split(r"(?m)^(?=m=)", sdp.replace("\r\n", "\n"))
    inherited = [line for line in session.split("\n") if line in SESSION_LEVEL]
    forms = {"": sorted(x for x in session.split("\n") if x not in inherited and not MEANINGLESS.match(x))}
    forms[""] = [re.sub(r":\s+", ":", line) for line in forms[""]]
    for section in media:
        mid = re.search(r"(?m)^a=mid:(.*)$", section)
        assert mid
        if "m=application" not in section:
            section += "\n".join(["", *inherited])
        lines = []
        for line in section.split("\n"):
            line = re.sub(r"^m=(\w+) \d+ ", r"m=\1 ", line)
            if line.startswith("a=candidate:"):
                line = line.replace(" generation 0", "")
            if not MEANINGLESS.match(line):
                lines.append(line)
        forms[mid[1]] = sorted(lines)
    return forms


def over_the_wire(sdp: str, role: Role) -> str:
    description = parse_sdp(sdp, role)
    jingle = Jingle(Action.SESSION_INITIATE, "sid", description)
    received = parse_jingle(parse(serialise(build_jingle(jingle))), CandidatePolicy())
    assert received == jingle
    return render_sdp(received.description, role)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_real_descriptions_survive(path: Path) -> None:
    sdp = path.read_bytes().decode()
    assert normal_form(over_the_wire(sdp, role_of(path))) == normal_form(sdp)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_second_trip_changes_nothing(path: Path) -> None:
    once = over_the_wire(path.read_bytes().decode(), role_of(path))
    assert over_the_wire(once, role_of(path)) == once


# Shortened offers of more engines; those that know mids, which are the names of Jingle's contents.
OTHERS = sorted((Path(__file__).parents[2] / "media" / "offers").glob("*.sdp"))
NAMED = [path for path in OTHERS if "a=mid:" in path.read_text()]


@pytest.mark.parametrize("path", NAMED, ids=lambda p: p.stem)
def test_what_other_engines_write_survives(path: Path) -> None:
    """bundle-only, parameter sets, messages of any size, many dead sections, the order of attributes, and odd lines."""
    sdp = path.read_text().replace("\n", "\r\n")
    once = over_the_wire(sdp, Role.INITIATOR)
    assert over_the_wire(once, Role.INITIATOR) == once
    for attribute in (
        "bundle-only",
        "sprop-parameter-sets=",
        "max-message-size:",
        "sctp-port:",
        "m=",
        "a=rtpmap:",
        "a=fmtp:",
    ):
        assert once.count(attribute) == sdp.count(attribute), attribute
    feedback = re.findall(r"a=rtcp-fb:(.*?) *\r", sdp)
    assert sorted(re.findall(r"a=rtcp-fb:(.*?)\r", once)) == sorted(feedback)
    # every section that is used has a transport, wherever it was said
    used = len(re.findall(r"m=\w+ (?!0 )", once))
    assert once.count("a=ice-ufrag:") == used and once.count("a=setup:") == used


@pytest.mark.parametrize(
    "line",
    [
        "a=ptime:0",
        "a=ptime:20.0",
        "a=maxptime:",
        "a=extmap:0 urn:x",
        "a=extmap:4096 urn:x",
        "hello",
        "a=rtpmap:35 AV1",
    ],
)
def test_an_odd_line_refuses_nothing(line: str) -> None:
    for place in ("m=audio", "a=rtcp-mux"):
        changed = OFFER.replace(place, f"{line}\r\n{place}", 1)
        parsed = parse_sdp(changed, Role.INITIATOR)
        assert [c.name for c in parsed.contents] == [
            c.name for c in parse_sdp(OFFER, Role.INITIATOR).contents
        ]
    assert parse_sdp(OFFER.replace("\r\n", " \r\n"), Role.INITIATOR) == parse_sdp(OFFER, Role.INITIATOR)


OFFER = (Path(__file__).parent / "fixtures" / "wrtc-audio-offer.sdp").read_bytes().decode()


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly", "inactive"])
@pytest.mark.parametrize("role", list(Role))
def test_directions(direction: str, role: Role) -> None:
    sdp = OFFER.replace("a=sendrecv", f"a={direction}")
    sdp = sdp.replace("a=extmap:1 ", f"a=extmap:1/{direction} ")
    through = over_the_wire(sdp, role)
    assert f"\r\na={direction}\r\n" in through
    assert f"a=extmap:1{'' if direction == 'sendrecv' else '/' + direction} urn" in through


def test_rejected_and_bundle_only_media() -> None:
    section = "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:9\r\na=inactive\r\na=rtpmap:96 VP8/90000\r\n"
    through = over_the_wire(OFFER + section, Role.RESPONDER)
    assert "m=video 0 UDP/TLS/RTP/SAVPF 96" in through
    bare = section.replace("a=rtpmap:96 VP8/90000\r\n", "")
    assert "m=video 0 UDP/TLS/RTP/SAVPF 0" in over_the_wire(OFFER + bare, Role.RESPONDER)
    credentials = "a=ice-ufrag:abcd\r\na=ice-pwd:" + "x" * 22 + "\r\na=setup:actpass\r\n"
    credentials += "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=bundle-only\r\n"
    through = over_the_wire(OFFER + section + credentials, Role.INITIATOR)
    assert "m=video 9 " in through and "a=bundle-only" in through


def test_lines_that_no_xep_carries() -> None:
    extra = "a=ptime:20\r\na=maxptime:60\r\na=rtcp-fb:* ccm tmmbr smaxpr=120\r\na=rtcp-fb:111 trr-int 100\r\n"
    extra += "a=rid:h send\r\na=simulcast:send h;m\r\na=tls-id:0123456789abcdef0123\r\n"
    sdp = OFFER.replace("a=sendrecv\r\n", "a=sendrecv\r\n" + extra)
    sdp = sdp.replace("c=IN IP4 192.0.2.2\r\n", "c=IN IP4 192.0.2.2\r\nb=AS:128\r\nb=TIAS:96000\r\n")
    assert normal_form(over_the_wire(sdp, Role.INITIATOR)) == normal_form(sdp)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("v=0", "v=1"),
        ("a=mid:0\r\n", ""),
        ("a=setup:actpass", "a=setup:none"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "),
        ("a=ice-ufrag:", "a=ice-ufrag:x "),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        ("m=audio", "m=text"),
        (" 111 63", " 111 111"),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus"),
        ("a=extmap:1 ", "a=extmap:one "),
        ("a=ssrc:3729285203 cname", "a=ssrc:99999999999 cname"),
        ("m=audio", "m=audio " + " ".join(map(str, range(90)))),
    ],
)
def test_unusable_descriptions_are_refused(old: str, new: str) -> None:
    sdp = (Path(__file__).parent / "fixtures" / "wrtc-audio-offer.sdp").read_bytes().decode()
    sdp = re.sub(r"a=ssrc:\d+ cname", "a=ssrc:3729285203 cname", sdp)
    assert old in sdp
    with pytest.raises(JingleError):
        parse_sdp(sdp.replace(old, new), Role.INITIATOR)


@given(st.data())
def test_any_sdp_is_refused_or_comes_through_unbroken(data: st.DataObject) -> None:
    lines = OFFER.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        junk = data.draw(st.text(max_size=30))
        cut = data.draw(st.integers(0, len(lines[index])))
        lines[index] = lines[index][:cut] + junk + data.draw(st.sampled_from(["", lines[index][cut:]]))
    try:
        description = parse_sdp("\r\n".join(lines), Role.INITIATOR)
    except JingleError:
        return
    jingle = Jingle(Action.SESSION_INITIATE, "sid", description)
    try:
        received = parse_jingle(parse(serialise(build_jingle(jingle))), CandidatePolicy(allow_loopback=True))
    except JingleError:
        return  # e.g. a group that names nobody
    for line in render_sdp(received.description, Role.INITIATOR).split("\r\n")[:-1]:
        assert re.fullmatch(r"[a-z]=[ -~]*", line)
