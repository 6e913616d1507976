"""Who finds and reaches whom: findability, the address book, blocking (XEP-0191), strangers."""

import asyncio
import json

import pytest

from signaling import stanza as st
from signaling.blocking import BLOCKING
from signaling.server_limits import Limits
from signaling.xml import HINTS, PING, child, element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
JMI = "urn:xmpp:jingle-message:0"


def jmi(to, name="propose", sid="s1"):
    return st.message(to, element(JMI, name, {"id": sid}), element(HINTS, "store"), id=f"m-{sid}")


@pytest.fixture
def ask(server, http):
    async def run(method, path, phone, body=None):
        async with http.request(
            method, f"{server.url}/v1{path}", json=body, headers=await phone.bearer()
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    return run


@pytest.fixture
def find(ask):
    """The numbers that `phone` finds among these."""

    async def run(phone, *numbers, **more):
        status, body = await ask("POST", "/contacts/lookup", phone, {"numbers": list(numbers)} | more)
        assert status == 200, body
        return [entry["number"] for entry in body["registered"]]

    return run


async def condition(wire, to, **options):
    """What the server says to a propose; None if it goes through."""
    await wire.send(jmi(to, **options))
    answer = await wire.ask(st.iq("get", element(PING, "ping"), id="sync", to=wire.stream.domain))
    assert answer.get("type") == "result"
    errors = [st.error_of(stanza) for stanza in wire.stanzas if stanza.get("type") == "error"]
    wire.stanzas = [stanza for stanza in wire.stanzas if stanza.get("type") != "error"]
    return errors[0].condition if errors else None


async def blocking(wire, name, *numbers, type="set", id="b"):
    items = (element(BLOCKING, "item", {"jid": f"{n}@{wire.stream.domain}"}) for n in numbers)
    return await wire.ask(st.iq(type, element(BLOCKING, name, None, *items), id=id))


async def blocklist(wire):
    answer = await blocking(wire, "blocklist", type="get", id="list")
    return [item.get("jid").partition("@")[0] for item in child(answer, BLOCKING, "blocklist")]


async def test_an_address_book_in_any_spelling(ask, find, register):
    alice = await register(ALICE)
    await register(BOB)
    spellings = ["+1 202-555-0101", "(202) 555-0101", "001 202 555 0101", "202.555.0101", "2025550101 "]
    status, body = await ask(
        "POST", "/contacts/lookup", alice, {"numbers": [*spellings[:2], spellings[3], "mum"], "region": "us"}
    )
    assert status == 200 and [e["asked"] for e in body["registered"]] == [*spellings[:2], spellings[3]]
    assert {e["number"] for e in body["registered"]} == {BOB} and body["unreadable"] == ["mum"]
    # As from abroad, in the spelling of the country that it is dialled from.
    status, body = await ask("POST", "/contacts/lookup", alice, {"numbers": [spellings[2]], "region": "DE"})
    assert [e["number"] for e in body["registered"]] == [BOB]
    # A thousand at once, by an account of a minute's age, and once more for nothing.
    book = [f"+1202{n:07d}" for n in range(2000000, 2000999)] + [BOB]
    for _ in range(2):
        assert await find(alice, *book) == [BOB]
    assert (await ask("POST", "/contacts/lookup", alice, {"numbers": [*book, CAROL]}))[0] == 400


async def test_nobody_finds_who_does_not_want_to_be_found(server, ask, find, register, connect):
    phones = [await register(n) for n in (ALICE, BOB)]
    alice, bob = [await connect(phone) for phone in phones]
    assert await find(phones[0], BOB) == [BOB] and await condition(alice, bob.bare) is None
    status, body = await ask("PATCH", "/account", phones[1], {"findable": "nobody"})
    assert status == 200 and body["findable"] == "nobody"
    assert (await ask("GET", "/account", phones[1]))[1]["findable"] == "nobody"
    # As if he were not registered: in the lookup, to messages, and to questions to his device.
    assert await find(phones[0], BOB, CAROL) == []
    for to in (bob.bare, bob.jid, f"{CAROL}@{server.domain}"):
        assert await condition(alice, to) == "service-unavailable"
        error = st.error_of(await alice.ask(st.iq("get", element(PING, "ping"), id="q", to=to)))
        assert error.condition == "service-unavailable"
    assert await find(phones[1], BOB) == [BOB]  # oneself
    # Whom he calls can answer him, call back and find him.
    assert await condition(bob, alice.bare, sid="s2") is None
    assert await condition(alice, bob.bare, name="ringing", sid="s2") is None
    assert await find(phones[0], BOB) == [BOB]
    assert (await ask("PATCH", "/account", phones[1], {"findable": "everybody"}))[0] == 200
    for wrong in ({"findable": "friends"}, {"findable": None}, {}):
        assert (await ask("PATCH", "/account", phones[1], wrong))[1]["code"] == "bad_request"


async def test_mutual_is_found_by_his_address_book_only(server, ask, find, register, connect):
    phones = {n: await register(n) for n in (ALICE, BOB, CAROL)}
    store = server.server._context.store
    from signaling.storage.store import listings

    # Before he chose it, the book is not kept; nor is who is in it without being registered.
    await find(phones[BOB], ALICE, book=True)
    assert await store.pairs(listings, BOB) == []
    await ask("PATCH", "/account", phones[BOB], {"findable": "mutual"})
    assert await find(phones[ALICE], BOB) == []
    await find(phones[BOB], ALICE, "+12025550177", book=True)
    assert await store.pairs(listings, BOB) == [ALICE]
    assert await find(phones[ALICE], BOB) == [BOB] and await find(phones[CAROL], BOB) == []
    alice, bob = await connect(phones[ALICE]), await connect(phones[BOB])
    assert await condition(alice, bob.bare) is None
    # A lookup for a call is no entry in the book; entries go as they came.
    await find(phones[BOB], CAROL)
    assert await store.pairs(listings, BOB) == [ALICE]
    await find(phones[BOB], CAROL, book=True, removed=["(202) 555-0100"])
    assert await store.pairs(listings, BOB) == [CAROL]
    assert await find(phones[CAROL], BOB) == [BOB]
    # A new owner of the number does not inherit the book, but its protection.
    again = await register(BOB)
    assert await store.pairs(listings, BOB) == []
    assert (await ask("GET", "/account", again))[1]["findable"] == "mutual"
    assert await find(phones[CAROL], BOB) == []
    await find(again, CAROL, book=True)
    await ask("PATCH", "/account", again, {"findable": "nobody"})
    assert await store.pairs(listings, BOB) == []


async def test_blocking(server, find, register, connect):
    phones = [await register(n) for n in (ALICE, BOB)]
    alice, bob = [await connect(phone) for phone in phones]
    assert await blocklist(alice) == []
    assert (await blocking(alice, "block", BOB)).get("type") == "result"
    # Every device of the account is told (XEP-0191 section 3.3).
    await alice.ask(st.iq("get", element(PING, "ping"), id="sync", to=server.domain))
    (push,) = alice.stanzas
    assert push.get("type") == "set" and push[0][0].get("jid") == bob.bare
    alice.stanzas.clear()
    assert await blocklist(alice) == [BOB]
    # To Bob she looks as if she were not registered; he may not even ask her device.
    assert await condition(bob, alice.bare) == await condition(bob, f"{CAROL}@{server.domain}")
    assert await condition(bob, alice.jid) == "service-unavailable"
    error = st.error_of(await bob.ask(st.iq("get", element(PING, "ping"), id="q", to=alice.jid)))
    assert error.condition == "service-unavailable"
    assert await find(phones[1], ALICE) == [] and alice.stanzas == []
    # She is told why she cannot call him.
    error = st.error_of(await alice.ask(st.iq("get", element(PING, "ping"), id="q", to=bob.jid)))
    assert (error.condition, error.application) == ("not-acceptable", "{urn:xmpp:blocking:errors}blocked")
    assert await condition(alice, bob.bare) == "not-acceptable"
    # It survives a restart of the server, and a new registration.
    await alice.socket.close()
    await bob.socket.close()
    await server.restart()
    alice, bob = await connect(await register(ALICE)), await connect(phones[1])
    assert await blocklist(alice) == [BOB] and await condition(bob, alice.bare) == "service-unavailable"
    assert (await blocking(alice, "unblock")).get("type") == "result" and await blocklist(alice) == []
    assert await condition(bob, alice.bare) is None


BAD_BLOCKING = [
    ("set", element(BLOCKING, "block"), "bad-request"),
    ("get", element(BLOCKING, "block"), "bad-request"),
    ("set", element(BLOCKING, "blocklist"), "bad-request"),
    ("set", element(BLOCKING, "block", None, element(BLOCKING, "item")), "jid-malformed"),
    ("set", element(BLOCKING, "block", None, element(BLOCKING, "item", {"jid": "@"})), "jid-malformed"),
    (
        "set",
        element(BLOCKING, "block", None, element(BLOCKING, "item", {"jid": "other.example"})),
        "not-acceptable",
    ),
    (
        "set",
        element(BLOCKING, "unblock", None, element(BLOCKING, "item", {"jid": f"{BOB}@calls.example/d1"})),
        "not-acceptable",
    ),
]


async def test_bad_blocking_commands(server, register, connect):
    alice = await connect(await register(ALICE))
    for kind, body, wanted in BAD_BLOCKING:
        answer = await alice.ask(st.iq(kind, body, id="x"))
        assert st.error_of(answer).condition == wanted, body.tag
    numbers = [f"+1202{n:07d}" for n in range(2000000, 2001001)]
    assert st.error_of(await blocking(alice, "block", *numbers)).condition == "resource-constraint"
    assert await blocklist(alice) == []


async def test_what_is_hidden_and_what_does_not_exist_cost_the_same(server, ask, find, register, connect):
    """The same statements reach the database: neither answers nor times can tell them apart."""
    from sqlalchemy import event

    phones = [await register(n) for n in (ALICE, BOB)]
    alice, bob = [await connect(phone) for phone in phones]
    await blocking(bob, "block", ALICE)
    statements = []
    engine = server.server._context.store.database._sync
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))

    async def seen(number, sid):
        statements.clear()
        answer = await condition(alice, f"{number}@{server.domain}", sid=sid)
        messages, statements[:] = list(statements), []
        body = await ask("POST", "/contacts/lookup", phones[0], {"numbers": [number]})
        return answer, messages, json.dumps(body), len(statements)

    unknown = await seen(CAROL, "s1")
    assert unknown[1], "the store was asked"
    assert await seen(BOB, "s2") == unknown == await seen(BOB, "s3")


async def test_registration_of_known_and_unknown_numbers_asks_the_store_the_same(server, http, register):
    from sqlalchemy import event

    await register(ALICE)
    statements = []
    engine = server.server._context.store.database._sync
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    seen = []
    for number in (ALICE, BOB):
        statements.clear()
        async with http.post(f"{server.url}/v1/registrations", json={"number": number}) as answer:
            body = await answer.json()
            seen.append((answer.status, sorted(body), body["tries_left"], list(statements)))
    assert seen[0] == seen[1] and seen[0][3]


@pytest.mark.parametrize("limits", [Limits(messages_kept=8, messages_kept_of_one=3)])
async def test_strangers_leave_room_for_those_whom_an_account_knows(server, register, connect):
    """Accounts enough to fill all that is kept for somebody who is away: whom he has turned to still reaches him."""
    alice, bob = await register(ALICE), await register(BOB)
    own, friend = await connect(alice), await connect(bob)
    await own.show(friend)
    own.stream.end(now=asyncio.get_running_loop().time())
    await own.flush()
    await own.ended()
    to, taken = f"{ALICE}@{server.domain}", 0
    for n in range(4):
        server.advance(3600)
        stranger = await connect(await register(f"+120255501{n + 10}"))
        for k in range(3):
            taken += await condition(stranger, to, sid=f"s{n}{k}") is None
    assert taken == 6, "three quarters"
    assert [await condition(friend, to, sid=f"f{n}") for n in range(3)] == [None, None, "service-unavailable"]
    assert await condition(stranger, to, sid="full") == "service-unavailable"
    own = await connect(alice)
    got = [(await own.receive()).get("id") for _ in range(8)]
    assert got[-2:] == ["m-f0", "m-f1"]
