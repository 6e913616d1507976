"""What strangers send leaves no memory behind, and nothing that is still in use is lost with it."""

import random

import pytest

from signaling import xml_parser
from signaling.server_stream import ServerStream
from signaling.xml import MAX_FRAME_BYTES, child, element, local_name, parse, serialise
from signaling.xml_parser import ForgettingParser


def names(rng, count):
    """Names that nobody has seen before, as good as surely."""
    return [f"n{rng.getrandbits(40):x}" for _ in range(count)]


def spaces(rng, count):
    """The same of white space; a text node itself would hold less than 16 characters of it."""
    return ["".join(rng.choices(" \t\n", k=40)) for _ in range(count)]


# Frames of about 200 KB that libxml2 remembers most of: what stands around the parts, a part, how many, of what.
FRAMES = {
    "elements": ("<a>{}</a>", "<{}/>", 13_000, names),
    "attributes": ("<a{}/>", " {}=''", 13_000, names),
    "namespaces": ("<a>{}</a>", "<b xmlns='{}'/>", 8_000, names),
    "white space": ("<a>{}</a>", "<b>{}</b>", 4_500, spaces),
    "not well-formed": ("<a{} <", " {}=''", 13_000, names),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_new_names_without_end_before_the_login_leave_nothing(kind, allocated_bytes):
    rng = random.Random(kind)
    around, part, count, make = FRAMES[kind]
    parser = ForgettingParser()

    def attack():
        frame = around.format("".join(part.format(text) for text in make(rng, count)))
        assert MAX_FRAME_BYTES / 2 < len(frame) < MAX_FRAME_BYTES
        stream = ServerStream("calls.example", 0.0, rng, parser=parser)
        stream.receive_frame(frame, 0.0)
        assert stream.is_ending

    attack()
    attack()
    before = allocated_bytes()
    for _ in range(8):
        attack()
    # One of these frames alone would leave 0.3 to 1.1 MB.
    assert allocated_bytes() - before < 100_000


def test_trees_from_before_stay_whole(monkeypatch):
    """Trees of many dictionaries at once: read, searched, changed, moved into each other, dropped in any order."""
    monkeypatch.setattr(xml_parser, "FORGET_AFTER_BYTES", 0)
    rng = random.Random(5)
    parser = ForgettingParser()
    trees = []
    for n in range(600):
        text = (
            f'<m{n} xmlns="urn:{n}" xmlns:p="urn:p{n}" a{n}="v" p:b="12" xml:lang="en"><x>ok</x>'
            f"<p:y>                    \n  </p:y>t</m{n}>"
        )
        tree = parse(text, parser=parser)
        assert serialise(tree) == text
        trees.append((tree, text))
        if len(trees) > 8:
            old, was = trees.pop(rng.randrange(8))
            assert serialise(old) == was
            assert child(old, "urn:none", "x") is None
            first = old[0]
            around = element("urn:w", "w", {f"b{n}": "1"}, first)  # takes it out of the old tree
            del old
            assert local_name(around[0]) in ("x", "w") and child(around, f"urn:{n}", "none") is None
            assert serialise(parse(serialise(around), parser=parser)) == serialise(around)
            assert around[0] is first
            trees.append((around, serialise(around)))


def test_names_that_nobody_knows_are_welcome():
    extensions = "".join(f'<e{n} xmlns="urn:example:{n}" of{n}="them"/>' for n in range(500))
    message = f'<message xmlns="jabber:client" to="x@calls.example">{extensions}</message>'
    parser = ForgettingParser()
    for _ in range(20):
        assert serialise(parse(message, parser=parser)) == message
