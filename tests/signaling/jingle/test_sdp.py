"""SDP -> Jingle -> XML text -> Jingle -> SDP loses nothing that matters, on what real engines wrote.

The fixtures are unedited local descriptions of aiortc 1.16 and libwebrtc (PyPI wrtc 0.1.0).
"""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
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
