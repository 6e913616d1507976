"""STUN and TURN servers over XEP-0215: asked, answered and understood, without a network."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling import stanza as st
from signaling.contact_budget import ContactBudget, ContactLimits
from signaling.errors import RemoteProtocolError
from signaling.external_services import (
    CREDENTIAL_LIFE,
    EXTERNAL_SERVICES,
    MAX_SERVICES,
    ExternalServices,
    build_services,
    parse_services,
    parse_url,
    password_of,
)
from signaling.jid import Jid
from signaling.routing import Router, Sessions
from signaling.xml import DISCO_INFO, element, parse, serialise

ALICE, DOMAIN, NOW = "+12025550100", "calls.example", 1_800_000_000.0
URLS = ("stun:stun.example", "turn:turn.example?transport=udp", "turns:[2001:db8::1]:443")
SECRET = b"north"


def ask(payload, urls=URLS, to=DOMAIN):
    """The answer of a server's routing, over the wire."""

    class Phone:
        jid, available, got = Jid(ALICE, DOMAIN, "d1"), True, []

        def deliver(self, stanza, at=0.0, tag=0):
            self.got.append(parse(serialise(stanza)))

        def end(self, condition, text=""):
            raise AssertionError(condition)

    services = ExternalServices(urls, SECRET)
    router = Router(DOMAIN, Sessions(), ContactBudget(ContactLimits(), b"s"), services)
    phone = Phone()
    phone.got = []
    router.route(phone, st.iq("get", payload, id="q", to=to), 0.0, NOW)
    (answer,) = phone.got
    return answer


def test_what_the_server_tells_is_what_the_client_understands():
    found = parse_services(ask(build_services()))
    assert [s.url for s in found] == [
        "stun:stun.example:3478",
        "turn:turn.example:3478?transport=udp",
        "turns:[2001:db8::1]:443?transport=tcp",
    ]
    assert (found[0].username, found[0].expires) == (None, None)
    for relay in found[1:]:
        expiry, _, user = relay.username.partition(":")
        assert float(expiry) == relay.expires == NOW + CREDENTIAL_LIFE
        assert ALICE.strip("+") not in relay.username and len(user) == 16
        mac = hmac.new(SECRET, relay.username.encode(), hashlib.sha1).digest()
        assert relay.password == base64.b64encode(mac).decode()
        assert relay.password not in repr(relay)


def test_password_as_openssl_computes_it():
    # echo -n 1433895918:ninefingers | openssl dgst -binary -sha1 -hmac secret | base64
    assert password_of("1433895918:ninefingers", b"secret") == "RpErf0iO2JTtX61dhCPdPvb+EmA="


def test_one_kind_and_one_service():
    kinds = element(EXTERNAL_SERVICES, "services", {"type": "stun"})
    assert [s.type for s in parse_services(ask(kinds))] == ["stun"]
    wanted = element(EXTERNAL_SERVICES, "service", {"type": "turn", "host": "turn.example"})
    (credentials,) = ask(element(EXTERNAL_SERVICES, "credentials", None, wanted))
    (service,) = credentials
    assert service.get("username") and service.get("port") == "3478"


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (element(EXTERNAL_SERVICES, "credentials"), "bad-request"),
        (
            element(
                EXTERNAL_SERVICES, "credentials", None, element(EXTERNAL_SERVICES, "service", {"host": "x"})
            ),
            "item-not-found",
        ),
        (element(EXTERNAL_SERVICES, "other"), "bad-request"),
    ],
)
def test_questions_that_make_no_sense(payload, condition):
    assert st.error_of(ask(payload)).condition == condition
    with pytest.raises(RemoteProtocolError):
        ExternalServices(URLS, SECRET).answer(st.iq("get", payload, id="q"), ALICE, NOW)


def test_advertised_only_where_there_is_something():
    for urls, there in ((URLS, True), ((), False)):
        features = ask(element(DISCO_INFO, "query"), urls)[0]
        assert (EXTERNAL_SERVICES in {f.get("var") for f in features}) is there
    assert st.error_of(ask(build_services(), ())).condition == "service-unavailable"


@pytest.mark.parametrize(
    "attributes",
    [
        {"type": "turn", "host": "turn.example"},  # no credentials
        {"type": "stun", "host": "a b"},
        {"type": "stun", "host": "x:y"},
        {"type": "stun", "host": "stun.example?transport=tcp"},
        {"type": "stun", "host": ""},
        {"type": "stun", "host": "stun.example", "port": "65536"},
        {"type": "stun", "host": "stun.example", "port": "٣"},
        {"type": "stun", "host": "stun.example", "transport": "tcp"},
        {"type": "sip", "host": "sip.example"},
        {"type": "turn", "host": "turn.example", "username": "a\nb", "password": "x"},
    ],
)
def test_what_a_client_leaves_out(attributes):
    told = element(EXTERNAL_SERVICES, "services", None, element(EXTERNAL_SERVICES, "service", attributes))
    assert parse_services(st.result(st.iq("get", build_services(), id="q"), told)) == ()


def test_no_more_than_eight():
    many = [
        element(EXTERNAL_SERVICES, "service", {"type": "stun", "host": f"s{n}.example"}) for n in range(99)
    ]
    told = element(EXTERNAL_SERVICES, "services", None, *many)
    assert len(parse_services(st.result(st.iq("get", build_services(), id="q"), told))) == MAX_SERVICES


WORDS = some.text(alphabet=some.characters(codec="ascii", exclude_categories=("Cc",)), max_size=12)


@given(
    some.dictionaries(
        some.sampled_from(["type", "host", "port", "transport", "username", "password", "expires"]), WORDS
    )
)
def test_parser_survives_any_attributes(attributes):
    item = element(EXTERNAL_SERVICES, "service", {"type": "turn", "host": "h"} | attributes)
    root = element(EXTERNAL_SERVICES, "services", None, item)
    for service in parse_services(st.result(st.iq("get", build_services(), id="q"), root)):
        assert parse_url(service.url).url == service.url
