"""Every failure of the database is counted, whoever it hits; and what it hits goes on."""

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from signaling import stanza as st
from signaling.xml import HINTS, PING, element

ALICE, BOB = "+12025550100", "+12025550101"


@pytest.fixture
def broken(server, monkeypatch):
    """broken(True) and every transaction fails; it returns how many have."""
    database, failed, state = server.server._context.store.database, [], [False]
    run = database.run

    async def maybe(work):
        if state[0]:
            failed.append(work)
            raise OperationalError("x", {}, Exception("disk full"))
        return await run(work)

    monkeypatch.setattr(database, "run", maybe)

    def switch(on):
        state[0] = on
        return len(failed)

    return switch


async def test_every_failure_is_counted(server, http, register, connect, broken):
    counted = lambda: server.server._context.counters.of("store_failures").get("", 0)  # noqa: E731
    phones = [await register(n) for n in (ALICE, BOB)]
    alice, headers = await connect(phones[0]), await phones[0].bearer()
    to = f"{BOB}@{server.domain}"

    async def keep():
        await alice.send(st.message(to, element(HINTS, "store"), id="m"))
        await alice.ask(st.iq("get", element(PING, "ping"), id="sync"))

    async def read_kept():
        await alice.send(st.presence(type="unavailable"))
        await alice.send(st.presence())
        await alice.ask(st.iq("get", element(PING, "ping"), id="sync"))

    async def received():
        server.server._router._received.add([1, 2])
        await server.server._router._received.delete()

    async def lookup():
        async with http.post(
            f"{server.url}/v1/contacts/lookup", json={"numbers": [BOB]}, headers=headers
        ) as answer:
            assert answer.status == 503

    async def sweep():
        (server.server._sweeper).cancel()
        from signaling.server import app

        interval, app.SWEEP_INTERVAL = app.SWEEP_INTERVAL, 0.0
        task = asyncio.create_task(server.server._sweep())
        while counted() == before:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        app.SWEEP_INTERVAL = interval

    for what in (keep, read_kept, received, lookup, sweep):
        before = counted()
        began = broken(True)
        await asyncio.wait_for(what(), 5)
        failures = broken(False) - began
        assert counted() - before == failures > 0 or (what is sweep and counted() > before), what.__name__
    await alice.ask(st.iq("get", element(PING, "ping"), id="alive"))
