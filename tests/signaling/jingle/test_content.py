"""`<jingle/>`: limits, injection, and any bytes."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from signaling.errors import XmlError
from signaling.jingle.content import NS_JINGLE, Action, Jingle, Role, build_jingle, parse_jingle, parse_reason
from signaling.jingle.description import EXTRA_ATTRIBUTES, NS_EXTENSION, NS_RTP
from signaling.jingle.sdp import parse_sdp, render_sdp
from signaling.jingle.syntax import JingleError
from signaling.jingle.transport import NS_ICE_UDP, CandidatePolicy
from signaling.xml import Element, parse, serialise

OFFER = (Path(__file__).parent / "fixtures" / "wrtc-video-offer.sdp").read_bytes().decode()
GOOD = serialise(build_jingle(Jingle(Action.SESSION_INITIATE, "sid", parse_sdp(OFFER, Role.INITIATOR))))


def first(root: Element, namespace: str, name: str) -> Element:
    return next(root.iter(f"{{{namespace}}}{name}"))


def repeat(namespace: str, name: str, times: int, attribute: str) -> Callable[[Element], None]:
    def change(root: Element) -> None:
        node = first(root, namespace, name)
        for number in range(times):
            more = copy.deepcopy(node)
            more.set(attribute, str(number + 1))
            node.addnext(more)

    return change


def put(namespace: str, name: str, attribute: str, value: str | None) -> Callable[[Element], None]:
    def change(root: Element) -> None:
        node = first(root, namespace, name)
        if value is None:
            del node.attrib[attribute]
        else:
            node.set(attribute, value)

    return change


CHANGES = {
    "payload types": repeat(NS_RTP, "payload-type", 33, "id"),
    "extensions": repeat(NS_EXTENSION, "rtp-hdrext", 17, "id"),
    "contents": repeat(NS_JINGLE, "content", 9, "name"),
    "candidates": repeat(NS_ICE_UDP, "candidate", 65, "foundation"),
    "payload type twice": repeat(NS_RTP, "payload-type", 1, "id"),
    "content twice": put(NS_JINGLE, "content", "name", "1"),
    "line in a mid": put(NS_JINGLE, "content", "name", "0\r\na=evil"),
    "space in a mid": put(NS_JINGLE, "content", "name", "0 1"),
    "line in a codec": put(NS_RTP, "payload-type", "name", "opus\na=evil"),
    "line in a uri": put(NS_EXTENSION, "rtp-hdrext", "uri", "urn:x\r\na=evil"),
    "line in a ufrag": put(NS_ICE_UDP, "transport", "ufrag", "abcd\r\na=evil"),
    "semicolon in fmtp": put(NS_RTP, "parameter", "value", "1;x=2"),
    "equals in fmtp": put(NS_RTP, "parameter", "name", "a=b"),
    "payload type 128": put(NS_RTP, "payload-type", "id", "128"),
    "payload type of Arabic digits": put(NS_RTP, "payload-type", "id", "\u0661"),
    "no clock rate": put(NS_RTP, "payload-type", "clockrate", None),
    "port 0": put(NS_ICE_UDP, "candidate", "port", "0"),
    "no ufrag": put(NS_ICE_UDP, "transport", "ufrag", None),
    "senders": put(NS_JINGLE, "content", "senders", "all"),
    "sid": lambda root: root.set("sid", "a b"),
    "no contents": lambda root: [root.remove(c) for c in root.findall(f"{{{NS_JINGLE}}}content")] and None,
    "action": lambda root: root.set("action", "transport-replace"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_outside_the_limits(change: Callable[[Element], None]) -> None:
    root = parse(GOOD)
    parse_jingle(root, CandidatePolicy())
    if change is CHANGES["payload type twice"]:
        root.set("x", "")
        first(root, NS_RTP, "payload-type").set("id", "1")
    change(root)
    with pytest.raises(JingleError):
        parse_jingle(root, CandidatePolicy())


def test_unknown_actions_are_said_to_be_unknown() -> None:
    with pytest.raises(JingleError) as unknown:
        parse_jingle(
            parse(f"<jingle xmlns='{NS_JINGLE}' action='security-info' sid='s'/>"), CandidatePolicy()
        )
    assert unknown.value.condition == "feature-not-implemented"


def test_a_reason_and_its_text() -> None:
    root = parse(
        f"<reason xmlns='{NS_JINGLE}'><text>bad\n\x1b key</text><busy/></reason>".replace("\x1b", "")
    )
    assert parse_reason(root) == ("busy", "bad  key")
    assert parse_reason(None) == (None, None)


def test_a_rejected_contents_fingerprints_count_too() -> None:
    root = parse(GOOD)
    etree.SubElement(first(root, NS_JINGLE, "content"), "{urn:ringline:0}rejected")
    jingle = parse_jingle(root, CandidatePolicy())
    assert jingle.description.contents[0].rejected and jingle.description.fingerprints()


@given(st.data())
def test_any_values_are_refused_or_stay_on_their_line(data: st.DataObject) -> None:
    root = parse(GOOD)
    nodes = list(root.iter())
    for _ in range(data.draw(st.integers(1, 5))):
        node = data.draw(st.sampled_from(nodes))
        # What XML can hold (section 2.2): the rest cannot be written.
        characters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
        text = st.text(characters | st.sampled_from("\r\n\t "), max_size=20)
        if node.attrib and data.draw(st.booleans()):
            node.set(data.draw(st.sampled_from(sorted(node.attrib))), data.draw(text))
        else:
            node.text = data.draw(text)
    try:
        frame = serialise(root)
        sdp = render_sdp(parse_jingle(parse(frame), CandidatePolicy()).description, Role.INITIATOR)
    except (JingleError, XmlError):
        return
    names = {re.match(r"[a-z]=[a-z-]*", line)[0] for line in sdp.split("\r\n")[:-1]}  # type: ignore[index]
    assert all(line.isprintable() and line.isascii() for line in sdp.split("\r\n"))
    assert names <= {re.match(r"[a-z]=[a-z-]*|", line)[0] for line in OFFER.split("\r\n")} | ALSO  # type: ignore[index]


ALSO = {"m=audio", "m=video", "a=inactive", "a=sendonly", "a=recvonly", "a=ptime", "a=maxptime"} | {
    f"a={name}" for name in EXTRA_ATTRIBUTES
}


@given(
    st.recursive(
        st.sampled_from(
            [
                "content",
                "description",
                "transport",
                "candidate",
                "payload-type",
                "fingerprint",
                "group",
                "reason",
            ]
        ),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_tree_is_refused_or_parsed(tree: object) -> None:
    root = parse(f"<jingle xmlns='{NS_JINGLE}' action='transport-info' sid='s'/>")

    def grow(parent: Element, node: object) -> None:
        if isinstance(node, str):
            etree.SubElement(parent, f"{{{NS_JINGLE}}}{node}")
        elif isinstance(node, list):
            child = etree.SubElement(parent, f"{{{NS_JINGLE}}}content", name=str(len(node)))
            for item in node:
                grow(child, item)

    grow(root, tree)
    try:
        parse_jingle(root, CandidatePolicy())
    except JingleError:
        pass
