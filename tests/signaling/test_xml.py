"""The XML parser survives any bytes and lets nothing dangerous through."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling import xml
from signaling.errors import XmlError
from signaling.xml import (
    CLIENT,
    child,
    children,
    copy,
    element,
    is_named,
    local_name,
    namespace_of,
    parse,
    serialise,
)


@pytest.mark.parametrize(
    ("frame", "condition"),
    [
        ("", "not-well-formed"),
        ("<a", "not-well-formed"),
        ("<a></b>", "not-well-formed"),
        ("<a/><b/>", "not-well-formed"),
        ("<a>&b;</a>", "not-well-formed"),
        ("<a>\ud800</a>", "not-well-formed"),
        (b"<a>\xff</a>", "not-well-formed"),
        ("<a>\x00</a>", "not-well-formed"),
        ("<x:a/>", "not-well-formed"),
        ("<a b='1' b='2'/>", "not-well-formed"),
        ("<!DOCTYPE a><a/>", "policy-violation"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "policy-violation"),
        ("<!--x--><a/>", "policy-violation"),
        ("<a/><!--x-->", "policy-violation"),
        ("<a><!--x--></a>", "policy-violation"),
        ("<a><?x y?></a>", "policy-violation"),
        ("<?x y?><a/>", "policy-violation"),
        ("<a>" * 33 + "</a>" * 33, "policy-violation"),
        ("<a>" * 32 + "<a/>" + "</a>" * 32, "policy-violation"),
        ("<a>" * 32 + "<!--x-->" + "</a>" * 32, "policy-violation"),
        ("<a>" + "<b/>" * 2000 + "</a>", "policy-violation"),
        ("<a>" + "x" * 262_144 + "</a>", "policy-violation"),
    ],
)
def test_what_is_refused(frame, condition):
    with pytest.raises(XmlError) as error:
        parse(frame)
    assert error.value.condition == condition
    assert "\n" not in str(error.value)


def test_the_bounds_themselves_are_allowed():
    assert local_name(parse("<a>" * 32 + "</a>" * 32)) == "a"
    assert len(parse("<a>" + "<b></b>" * 40 + "</a>")) == 40
    assert len(parse("<a>" + "<b/>" * 1999 + "</a>")) == 1999
    assert parse("<a>" + "x" * (262_144 - 7) + "</a>").text is not None


def test_another_encoding_is_not_believed():
    declared = '<?xml version="1.0" encoding="UTF-16"?><a>é</a>'
    assert parse(declared).text == "é"
    with pytest.raises(XmlError):
        parse("<a/>".encode("utf-16"))


def test_no_file_is_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for frame in (
        f'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{secret}" parse="text"/></a>',
        f'<?xml-stylesheet href="{secret}"?><a/>',
        f'<!DOCTYPE a [<!ENTITY b SYSTEM "{secret}">]><a>&b;</a>',
    ):
        try:
            assert "secret" not in "".join(parse(frame).itertext())
        except XmlError:
            pass


def test_helpers():
    node = element(
        CLIENT, "message", {"to": "a", "id": None}, element("urn:x", "y", text="1"), element("urn:x", "z")
    )
    assert (
        serialise(node)
        == '<message xmlns="jabber:client" to="a"><y xmlns="urn:x">1</y><z xmlns="urn:x"/></message>'
    )
    assert is_named(node, CLIENT, "message") and not is_named(node, CLIENT, "iq")
    assert child(node, "urn:x", "y").text == "1" and child(node, "urn:x", "q") is None
    assert [local_name(n) for n in children(node, "urn:x")] == ["y", "z"]
    assert [local_name(n) for n in children(node, "urn:x", "z")] == ["z"]
    assert namespace_of(node) == CLIENT and namespace_of(parse("<a/>")) == ""
    twin = copy(node)
    twin[0].text = "2"
    assert node[0].text == "1"


@given(some.binary(max_size=200) | some.text(max_size=200))
def test_any_bytes(frame):
    try:
        parse(frame)
    except XmlError as error:
        assert error.condition in ("not-well-formed", "policy-violation")


@given(
    some.lists(
        some.sampled_from(["<a>", "</a>", "<!", "--", "[CDATA[", "]]>", "&lt;", "<?", "xmlns=''", "'", ">"]),
        max_size=12,
    )
)
def test_any_markup(parts):
    try:
        xml.parse("".join(parts))
    except XmlError:
        pass


NAMES = some.text(alphabet="abcXYZ-_1", min_size=1, max_size=5).filter(lambda t: t[0] not in "-1")
TEXTS = some.text(alphabet=some.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20)


@given(NAMES, some.dictionaries(NAMES, TEXTS, max_size=3), TEXTS)
def test_round_trip(name, attributes, text):
    node = element("urn:x", name, attributes, element("urn:y", name, text=text))
    back = parse(serialise(node))
    assert dict(back.attrib) == attributes and (back[0].text or "") == text
    assert serialise(back) == serialise(node)
