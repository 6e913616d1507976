"""What a stranger can find out with stanzas: not who is online, nor who hides, blocks or is not registered.

Every kind of stanza is sent to numbers that differ in nothing but what must stay hidden; all that comes back, the
order, what the store is asked and what it costs must be the same.
"""

import pytest
from sqlalchemy import event

from signaling import stanza as st
from signaling.blocking import BLOCKING, build_blocking
from signaling.rate_limit import Rate
from signaling.server_limits import Limits
from signaling.xml import CLIENT, DISCO_INFO, HINTS, PING, element, serialise

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
HIDDEN, BLOCKING_HER, NOBODY = "+12025550103", "+12025550104", "+12025550199"
DEVICE = "d0123456789abcdef"
JINGLE = element("urn:xmpp:jingle:1", "jingle", {"action": "session-initiate", "sid": "s"})


def store():
    return element(HINTS, "store")


def x():
    return element("urn:example", "x")


def error():
    return element(CLIENT, "error", {"type": "cancel"})


# Makers of stanzas, by name. To whom an account has not shown itself, each must tell the same of it, online or not.
PROBES = {
    **{
        f"message {kind}{' kept' * kept}": lambda to, kind=kind, kept=kept: st.message(
            to, x(), *([store()] * kept), type=kind
        )
        for kind in (None, "chat", "normal", "headline", "groupchat", "error", "nonsense")
        for kept in (False, True)
    },
    "iq get": lambda to: st.iq("get", x(), id="", to=to),
    "iq set": lambda to: st.iq("set", x(), id="", to=to),
    "iq result": lambda to: st.iq("result", id="", to=to),
    "iq error": lambda to: st.iq("error", error(), id="", to=to),
    "iq of no type": lambda to: st.iq("nonsense", x(), id="", to=to),
    "iq of two": lambda to: st.iq("get", x(), x(), id="", to=to),
    "ping": lambda to: st.iq("get", element(PING, "ping"), id="", to=to),
    "disco": lambda to: st.iq("get", element(DISCO_INFO, "query"), id="", to=to),
    "blocking": lambda to: st.iq("get", element(BLOCKING, "blocklist"), id="", to=to),
    "jingle": lambda to: st.iq("set", JINGLE.__copy__(), id="", to=to),
    "propose": lambda to: st.message(
        to, element("urn:xmpp:jingle-message:0", "propose", {"id": "s"}), store()
    ),
    **{
        f"presence {kind}": lambda to, kind=kind: st.presence(to=to, type=kind)
        for kind in (None, "unavailable", "probe", "subscribe", "error")
    },
    "too large": lambda to: st.message(to, element("urn:example", "x", text="x" * 70_000), store()),
}


@pytest.fixture
def limits():
    """Who asks much is not made to wait for it here."""
    return Limits(stanzas=Rate(10_000, 1e-4))


@pytest.fixture
def statements(server):
    seen = []
    engine = server.server._context.store.database._sync
    event.listen(engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    return seen


@pytest.fixture
def budget(server):
    """Without limits: what a probe costs is asked apart."""
    taken = []
    found = server.server._context.budget
    for name in ("address", "keep", "ask"):
        setattr(found, name, lambda *a, name=name, **_: taken.append(name) or 0.0)
    return taken


class Spy:
    def __init__(self, wire, statements, taken):
        self.wire, self.statements, self.taken, self.count = wire, statements, taken, 0

    async def ask(self, make, number, resource=""):
        """What came back, in its order and without what it was sent with; what the store was asked; what it cost."""
        self.count += 1
        to = f"{number}@{self.wire.stream.domain}{resource}"
        stanza, sync = make(to), f"sync{self.count}"
        stanza.set("id", f"probe{self.count}")
        self.statements.clear()
        self.taken.clear()
        await self.wire.send(stanza)
        await self.wire.send(st.iq("get", element(PING, "ping"), id=sync))
        got = []
        while (answer := await self.wire.receive()).get("id") != sync:
            got.append(serialise(answer).replace(to, "TO").replace(f"probe{self.count}", "ID"))
        # What is done for the messages that are kept is done in batches, later, and for whoever is registered.
        return got, [s for s in self.statements if "messages" not in s], list(self.taken)


@pytest.fixture
async def spy(register, connect, statements, budget):
    return Spy(await connect(await register(ALICE)), statements, budget)


@pytest.mark.parametrize("resource", ["", f"/{DEVICE}", "/*"])
async def test_a_stranger_does_not_see_who_is_online(server, register, connect, spy, resource):
    """Bob is there, Carol is not. Bob's device answers nothing by itself here: it is not even asked."""
    phones = {number: await register(number) for number in (BOB, CAROL)}
    bob = await connect(phones[BOB])
    for name, make in PROBES.items():
        for _ in range(2):  # what is remembered of the first must not tell either
            on, off = [
                await spy.ask(make, number, resource.replace("*", phones[number].device))
                for number in (BOB, CAROL)
            ]
            assert on == off, name
    kept = [stanza.get("id") for stanza in bob.stanzas]
    assert all(stanza.tag.endswith("message") for stanza in bob.stanzas), kept


@pytest.mark.parametrize("resource", ["", f"/{DEVICE}", "/*"])
@pytest.mark.parametrize("online", [False, True])
async def test_who_hides_or_blocks_looks_like_nobody(server, http, register, connect, spy, resource, online):
    phones = {number: await register(number) for number in (HIDDEN, BLOCKING_HER)}
    headers = await phones[HIDDEN].bearer()
    async with http.patch(f"{server.url}/v1/account", json={"findable": "nobody"}, headers=headers) as answer:
        assert answer.status == 200
    wires = [await connect(phone) for phone in phones.values()]
    await wires[1].ask(st.iq("set", build_blocking("block", [ALICE], server.domain), id="b"))
    await wires[1].show(spy.wire)  # and whom it blocks does not see it even if she did before
    if not online:
        for wire in wires:
            await wire.ask(st.iq("get", element(PING, "ping"), id="p"))
            wire.stream.end(now=0)
            await wire.flush()
            await wire.ended()
    for blocked in (False, True):
        if blocked:  # her own block list holds whoever is on it
            numbers = [HIDDEN, BLOCKING_HER, NOBODY]
            block = st.iq("set", build_blocking("block", numbers, server.domain), id="block")
            await spy.wire.ask(block)
            await spy.wire.ask(st.iq("get", element(PING, "ping"), id="pushed"))
            spy.wire.stanzas.clear()
        for name, make in PROBES.items():
            seen = [
                await spy.ask(
                    make, number, resource.replace("*", phones[number].device if number in phones else DEVICE)
                )
                for number in (NOBODY, HIDDEN, BLOCKING_HER)
            ]
            assert seen[0] == seen[1] == seen[2], name
    if online:
        assert all(
            stanza.get("id") in ("shown", None) or "push" in stanza.get("id")
            for w in wires
            for stanza in w.stanzas
        )


async def test_asking_costs_whatever_is_asked(server, register, connect):
    """Everything that could be answered draws on the contact budget, of a blocked number, too."""
    alice = await connect(await register(ALICE))
    numbers = [f"+1202555{n:04d}" for n in range(1000, 1100)]
    await alice.ask(st.iq("set", build_blocking("block", numbers[:50], server.domain), id="b"))
    await alice.ask(st.iq("get", element(PING, "ping"), id="pushed"))
    alice.stanzas.clear()
    makers = [
        m
        for name, m in PROBES.items()
        if name in ("iq get", "iq set", "ping", "message chat", "jingle", "disco")
    ]
    conditions = []
    for n, number in enumerate(numbers[:40] + numbers[60:]):
        stanza = makers[n % len(makers)](f"{number}@{server.domain}")
        stanza.set("id", f"q{n}")
        await alice.send(stanza)
        conditions.append(st.error_of(await alice.receive()).condition)
    assert conditions[:10] == ["not-acceptable"] * 10
    assert set(conditions[10:]) == {"resource-constraint"}


async def test_whom_an_account_shows_itself_to_may_ask_its_devices(server, register, connect):
    """By presence, by a message, by a question; and no longer when it takes the presence back, or blocks."""
    alice, bob = await connect(await register(ALICE)), await connect(await register(BOB))
    question = st.iq("get", element("urn:example", "q"), id="q", to=bob.jid)

    async def arrives():
        await alice.send(st.iq("get", element("urn:example", "q"), id="q", to=bob.jid))
        await alice.ask(st.iq("get", element(PING, "ping"), id="sync"))
        await bob.ask(st.iq("get", element(PING, "ping"), id="sync"))
        came = [stanza.get("id") for stanza in bob.stanzas if stanza.get("type") == "get"]
        alice.stanzas.clear(), bob.stanzas.clear()
        return came == ["q"]

    assert question.get("to") == bob.jid and not await arrives()
    await bob.show(alice)
    assert await arrives()
    await bob.send(st.presence(to=alice.bare, type="unavailable"))
    await bob.ask(st.iq("get", element(PING, "ping"), id="sync"))
    assert not await arrives()
    await bob.send(st.message(alice.bare, store()))
    await bob.ask(st.iq("get", element(PING, "ping"), id="sync"))
    assert await arrives()
    await bob.ask(st.iq("set", build_blocking("block", [ALICE], server.domain), id="b"))
    bob.stanzas.clear()
    assert not await arrives()
