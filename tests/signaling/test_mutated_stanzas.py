"""Real stanzas with some of their bytes or their tree changed, given to everything that reads stanzas: each reader
raises what it says that it raises, and nothing else; what is let through can be written and read again."""

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from signaling import stanza as st
from signaling.blocking import build_blocking, parse_blocking
from signaling.errors import InvalidJid, RemoteProtocolError, XmlError
from signaling.external_services import ExternalServices, build_services, parse_services
from signaling.jid import Jid
from signaling.jingle.content import Action, Jingle, Role, build_jingle, parse_jingle, parse_reason
from signaling.jingle.info import parse_infos
from signaling.jingle.initiation import Initiation, Kind, build_initiation, parse_initiation
from signaling.jingle.sdp import parse_sdp, render_sdp
from signaling.jingle.syntax import JingleError
from signaling.jingle.transport import CandidatePolicy
from signaling.xml import CLIENT, PING, Element, element, parse, serialise

FIXTURES = Path(__file__).parent / "jingle" / "fixtures"
DOMAIN, BOB = "calls.example", Jid("+12025550101", "calls.example", "d1")
SERVICES = ExternalServices(("turn:turn.example:3478?transport=udp", "stun:stun.example"), b"secret")
JUNK = (
    "",
    " ",
    "\t",
    "é",
    "\u202e",
    "0",
    "-1",
    "99999999999999999999",
    "1e999",
    "nan",
    "a b",
    "@",
    "/",
    "::1",
    "<",
)
EACH = 25  # changed stanzas of a kind


def originals() -> Iterator[Element]:
    for path in sorted(FIXTURES.glob("*-offer.sdp")):
        offer = parse_sdp(path.read_bytes().decode(), Role.INITIATOR)
        made = Jingle(Action.SESSION_INITIATE, "s1", offer, initiator=str(BOB), passport="p" * 40)
        yield st.iq("set", build_jingle(made), id="i", to=BOB)
    yield st.iq("set", build_jingle(Jingle(Action.SESSION_TERMINATE, "s1", reason="success")), id="i", to=BOB)
    for kind in Kind:
        yield build_initiation(Initiation(kind, "s1", media=("audio", "video"), reason="busy"), BOB, "i")
    yield st.iq("set", build_blocking("block", [BOB.local], DOMAIN), id="i")
    question = st.iq("get", build_services(), id="i", to=DOMAIN)
    yield st.result(question, SERVICES.answer(question, BOB.local, 1e9))
    yield st.error(
        st.iq("get", element(PING, "ping"), id="i", to=BOB), "conflict", "why", element("urn:x", "y")
    )


def changed(root: Element, rng: random.Random) -> str | bytes:
    if rng.random() < 0.3:
        data = bytearray(serialise(root).encode())
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.choice((b"", b"\0", b"\xff", b"<", b">", b"&", b"'", b"x"))
        return bytes(data)
    root = copy.deepcopy(root)
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(list(root.iter()))
        parent = node.getparent()
        match rng.randrange(5):
            case 0 if parent is not None:
                parent.remove(node)
            case 1 if node.attrib:
                node.set(rng.choice(sorted(node.attrib)), rng.choice(JUNK))
            case 2:
                node.text = rng.choice(JUNK)
            case 3:
                node.append(copy.deepcopy(rng.choice(list(root.iter()))))
            case _:
                name = etree.QName(rng.choice(list(root.iter()))).localname
                node.tag = f"{{{etree.QName(node).namespace or CLIENT}}}{name}"
    return serialise(root)


def jingle(stanza: Element) -> None:
    for node in stanza:
        made = parse_jingle(node, CandidatePolicy())
        if made.description is not None:
            render_sdp(made.description, Role.INITIATOR)


def questions(stanza: Element) -> None:
    if len(stanza) != 1:
        return  # answered by the router, before anybody looks into it
    for ask in (lambda: parse_blocking(stanza, DOMAIN), lambda: SERVICES.answer(stanza, BOB.local, 1e9)):
        try:
            ask()
        except RemoteProtocolError as error:
            assert error.condition in st.ERROR_TYPES


def answers(stanza: Element) -> None:
    for answer in (st.result(stanza), st.error(stanza, "bad-request")):
        parse(serialise(answer))
        st.error_of(answer)
    st.error_of(stanza)
    st.sender_of(stanza)
    parse_services(stanza)
    parse_reason(stanza)


READERS: list[tuple[Callable[[Element], object], type[Exception] | tuple[type[Exception], ...]]] = [
    (jingle, JingleError),
    (lambda stanza: [parse_infos(node) for node in stanza], JingleError),
    (parse_initiation, JingleError),
    (questions, ()),
    (lambda stanza: st.address(stanza, "to"), InvalidJid),
    (answers, ()),
]


@pytest.mark.parametrize("number", range(len(list(originals()))))
def test_every_reader_survives_every_stanza(number: int) -> None:
    rng, original = random.Random(number), list(originals())[number]
    read = 0
    for _ in range(EACH):
        frame = changed(original, rng)
        try:
            stanza = parse(frame)
        except XmlError as error:
            assert error.condition in ("not-well-formed", "policy-violation")
            continue
        read += 1
        assert serialise(parse(serialise(stanza))) == serialise(stanza)
        for reader, refusals in READERS:
            try:
                reader(copy.deepcopy(stanza))
            except refusals:
                pass
    assert read > EACH // 3
