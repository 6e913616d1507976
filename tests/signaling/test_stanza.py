import pytest

from signaling import stanza as st
from signaling.errors import InvalidJid
from signaling.jid import Jid
from signaling.xml import element, parse, serialise

PEER = Jid("+12025550101", "calls.example", "d2")


def test_builders():
    assert serialise(st.message("a@b", element("urn:x", "y"), id="1")) == (
        '<message xmlns="jabber:client" to="a@b" id="1" type="chat"><y xmlns="urn:x"/></message>'
    )
    assert serialise(st.presence()) == '<presence xmlns="jabber:client"/>'
    assert st.is_stanza(st.iq("get", id="1")) and not st.is_stanza(parse("<iq/>"))


def test_result_and_error_go_back():
    question = st.iq("get", element("urn:x", "y"), id="1", to="a@b/c")
    question.set("from", str(PEER))
    for answer in (
        st.result(question),
        st.error(question, "item-not-found", "no", element("urn:z", "unknown-session")),
    ):
        assert (answer.get("to"), answer.get("from"), answer.get("id")) == (str(PEER), "a@b/c", "1")
    assert st.error_of(answer) == st.ErrorInfo("item-not-found", "cancel", "no", "{urn:z}unknown-session")
    assert st.error_of(question) is None
    # Through the wire and back.
    assert st.error_of(parse(serialise(answer))) == st.error_of(answer)


@pytest.mark.parametrize("condition", st.ERROR_TYPES)
def test_every_condition(condition):
    error = st.error_of(st.error(st.message(PEER), condition))
    assert error == st.ErrorInfo(condition, st.ERROR_TYPES[condition])


@pytest.mark.parametrize(
    "body", ["", "<error/>", "<error><x xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"]
)
def test_an_error_that_says_nothing(body):
    info = st.error_of(parse(f"<iq xmlns='jabber:client' type='error'>{body}</iq>"))
    assert (info.condition, info.type) == ("undefined-condition", "cancel")


def test_addresses():
    message = st.message(PEER)
    assert st.address(message, "to") == PEER and st.address(message, "from") is None
    message.set("from", "@")
    assert st.sender_of(message) is None
    with pytest.raises(InvalidJid):
        st.address(message, "from")
