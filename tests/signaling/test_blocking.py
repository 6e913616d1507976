from hypothesis import given
from hypothesis import strategies as some

from signaling import stanza as st
from signaling.blocking import BLOCKING, build_blocking, parse_blocking
from signaling.errors import RemoteProtocolError
from signaling.xml import element, parse, serialise

DOMAIN = "calls.example"
NUMBERS = some.sets(some.integers(2025550100, 2025550199).map(lambda n: f"+1{n}"), max_size=5)
ITEMS = some.lists(
    some.none() | some.text(some.characters(codec="ascii", min_codepoint=32), max_size=30), max_size=3
)


@given(some.sampled_from(["block", "unblock"]), NUMBERS.filter(bool))
def test_round_trip(name, numbers):
    iq = parse(serialise(st.iq("set", build_blocking(name, numbers, DOMAIN), id="x")))
    request = parse_blocking(iq, DOMAIN)
    assert (request.name, request.numbers) == (name, numbers)


@given(
    some.sampled_from(["get", "set"]),
    some.sampled_from(["block", "unblock", "blocklist", "item", "x"]),
    ITEMS,
)
def test_any_command_is_read_or_refused(kind, name, jids):
    items = (element(BLOCKING, "item", {"jid": jid}) for jid in jids)
    try:
        request = parse_blocking(st.iq(kind, element(BLOCKING, name, None, *items), id="x"), DOMAIN)
    except RemoteProtocolError as error:
        assert error.condition in st.ERROR_TYPES
    else:
        assert all(number.startswith("+") for number in request.numbers)
