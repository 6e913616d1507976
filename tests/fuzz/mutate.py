"""Seeded mutation of bytes, JSON and XML: what is nearly right gets further into a server than noise does.

Hypothesis, which the unit tests use, makes values for a function and shrinks them. Here sessions of a live server are
changed as they go, in an order that only a seed tells; that is what these few functions are for.
"""

import copy
import itertools
import json
import random
from typing import Any

from lxml import etree

WORDS = (
    "",
    " ",
    "\0",
    "\ud800",
    "\u202e",
    "\ufffe",
    "\U0001f600",
    "é",
    "A" * 300,
    "a" * 5000,
    "' OR 1=1 --",
    "../../etc/passwd",
    "%00",
    "%s%n",
    "${x}",
    "-1",
    "0",
    "1e999",
    "9" * 30,
    "18446744073709551616",
    "NaN",
    "true",
    "null",
    "+12025550100",
    "tel:+1 (202) 555-0101",
    "\r\nX: y",
    "<a/>",
    "&lt;",
    "]]>",
    "@",
    "/",
    "::",
    "a.b.c",
    "=" * 44,
)
NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -0.0, 1e-320)
NESTED = 3000
LARGEST = 500_000  # above what a frame may be, below what a WebSocket message may
BYTES = (
    b"\0",
    b"\xff",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"<",
    b">",
    b"&",
    b'"',
    b":",
    b"%",
)
NAMESPACES = (
    "",
    "jabber:client",
    "jabber:server",
    "urn:xmpp:sm:3",
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle-message:0",
    "urn:xmpp:blocking",
    "urn:xmpp:hints",
    "urn:xmpp:delay",
    "urn:xmpp:ping",
    "urn:xmpp:extdisco:2",
    "urn:xmpp:mam:2",
    "urn:ringline:0",
    "urn:ietf:params:xml:ns:xmpp-bind",
    "urn:ietf:params:xml:ns:xmpp-framing",
    "urn:ietf:params:xml:ns:xmpp-sasl",
    "urn:ietf:params:xml:ns:xmpp-stanzas",
    "http://etherx.jabber.org/streams",
    "http://jabber.org/protocol/disco#info",
    "http://www.w3.org/XML/1998/namespace",
    "urn:example:none",
)
NAMES = (
    "iq",
    "message",
    "presence",
    "open",
    "close",
    "error",
    "auth",
    "r",
    "a",
    "enable",
    "resume",
    "query",
    "item",
)
TYPES = (
    "get",
    "set",
    "result",
    "error",
    "chat",
    "groupchat",
    "headline",
    "normal",
    "unavailable",
    "subscribe",
    "",
)


def mutate_bytes(rng: random.Random, data: bytes, most: int = 4) -> bytes:
    """`data` after one to `most` small changes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.choice((1, 1, 2, 8, 64)))
        match rng.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at:at] = rng.choice(BYTES)
            case 2:
                del changed[at:end]
            case 3:
                changed[at:at] = changed[at:end] * rng.choice((1, 2, 50))
            case 4:
                del changed[at:]
            case 5:
                changed[at:end] = rng.randbytes(end - at)
            case _:
                other = rng.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + 32]
    return bytes(changed)


def mutate_json(rng: random.Random, value: Any) -> bytes:
    """The value as JSON text with some of it changed; now and then not JSON at all."""
    for _ in range(rng.randint(0, 2)):
        value = _change(rng, value)
    data = json.dumps(value, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")
    match rng.randrange(20):
        case 0:
            return mutate_bytes(rng, data)
        case 1:
            return data[:-1] + b"," + data[1:]  # every name twice
        case 2:
            return rng.choice((b"[", b'{"a":', b'[{"a":')) * NESTED
        case 3:
            return b"[" * NESTED + data + b"]" * NESTED
        case 4:
            return rng.choice(
                (b"\xef\xbb\xbf" + data, data.decode("utf-8", "replace").encode("utf-16"), b"", b"null")
            )
        case 5:
            return data.replace(b"1", b"1" * 5000, 1)
    return data


def json_value(rng: random.Random) -> Any:
    match rng.randrange(8):
        case 0:
            return None
        case 1:
            return rng.choice((True, False))
        case 2 | 3:
            return rng.choice(NUMBERS)
        case 4:
            return [rng.choice(WORDS) for _ in range(rng.choice((0, 1, 3, 1001)))]
        case 5:
            return {rng.choice(WORDS): rng.choice(WORDS)}
        case _:
            return rng.choice(WORDS)


def _change(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        match rng.randrange(6):
            case 0:
                return {key: value[key] for key in value if key != name}
            case 1:
                return value | {rng.choice(WORDS): json_value(rng)}
            case _:
                return value | {name: _change(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], _change(rng, value[at]), *value[at + rng.randrange(2) :]]
    if isinstance(value, str) and value and rng.random() < 0.4:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice(WORDS) + value[at + rng.randrange(3) :]
    return json_value(rng)


def mutate_xml(rng: random.Random, frame: str, rough: float = 0.2) -> str:
    """A frame with some of its tree changed; `rough`: how often it is its text instead, and so no frame any more."""
    if rng.random() < rough:
        return (
            mutate_bytes(rng, frame.encode()).decode("utf-8", "replace")
            if rng.randrange(2)
            else _bomb(rng, frame)
        )
    root = etree.fromstring(frame.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        root = _change_tree(rng, root, rough)
    text = etree.tostring(root, encoding="unicode")
    return text if len(text) < LARGEST else frame


def _text(rng: random.Random) -> str:
    """Something that lxml takes."""
    return (
        "".join(c for c in rng.choice(WORDS) if c.isprintable() or c in "\n\t ")
        .encode("utf-8", "ignore")
        .decode()
    )


def _change_tree(rng: random.Random, root: etree._Element, rough: float) -> etree._Element:
    nodes = list(itertools.islice(root.iter(), 2000))
    # What is wrong with the root ends a stream, and with it the session.
    node = root if rng.random() < rough else rng.choice(nodes[1:] or nodes)
    parent = node.getparent()
    match rng.randrange(9):
        case 0 if parent is not None:
            parent.remove(node)
        case 1 if parent is not None:
            for _ in range(rng.choice((1, 1, 3, 40, 1500))):
                parent.append(copy.deepcopy(node))
        case 2:
            node.tag = f"{{{rng.choice(NAMESPACES)}}}{etree.QName(node).localname}".replace("{}", "")
        case 3:
            name = etree.QName(node).namespace
            node.tag = f"{{{name}}}{rng.choice(NAMES)}" if name else rng.choice(NAMES)
        case 4 if node.attrib:
            name = rng.choice(sorted(node.attrib))
            if rng.randrange(3):
                node.set(name, rng.choice(TYPES) if name == "type" else _text(rng))
            else:
                del node.attrib[name]
        case 5:
            for n in range(rng.choice((1, 1, 300))):
                node.set(
                    rng.choice(("type", "to", "from", "id", "xmlns", "lang")) if not n else f"a{n}",
                    _text(rng),
                )
        case 6:
            node.text = _text(rng)
        case 7:
            node.append(etree.Element(f"{{{rng.choice(NAMESPACES[1:])}}}{rng.choice(NAMES)}"))
        case _:
            other = rng.choice(nodes)
            node.append(copy.deepcopy(other))
    return root


def _bomb(rng: random.Random, frame: str) -> str:
    """What XML parsers have died of."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    depth, many = rng.choice((31, 32, 33, 1000, 20_000)), rng.choice((64, 1999, 2000, 15_000))
    inside = rng.choice(
        (
            "<a>" * depth + "</a>" * depth,
            "<b/>" * many,
            "<a " + " ".join(f'a{n}="{n}"' for n in range(many)) + "/>",
            "<a " + " ".join(f'xmlns:n{n}="urn:{n}"' for n in range(many)) + "/>",
            '<a xmlns:p="urn:x"/><q:b/>',
            "<" + "n" * many + "/>",
            '<a b="' + "v" * rng.choice((60_000, 240_000, 262_144)) + '"/>',
            "t" * rng.choice((100_000, 262_000, 300_000, 1_000_000)),
            "&#x0;",
            "&#xD800;",
            "&nothing;",
            "<![CDATA[" + "]" * 1000 + "]]>",
            "<!-- a -->",
            "<?php ?>",
            '<a xml:id="1" xml:lang="\u202e" xmlns:xml="urn:x"/>',
            '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd" parse="text"/></a>',
        )
    )
    around = rng.choice(
        (
            "",
            "",
            "",
            f"<!DOCTYPE a [{entities}]>",
            '<!DOCTYPE a SYSTEM "http://192.0.2.1/x">',
            '<?xml version="1.0" encoding="UTF-16"?>',
            "\ufeff",
            "<!-- a -->",
        )
    )
    at = frame.find(">") + 1
    if frame[at - 2] == "/":
        at = 0
    use = "&e8;" if around.startswith("<!DOCTYPE a [") else inside
    return around + frame[:at] + use + frame[at:]
