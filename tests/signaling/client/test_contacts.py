"""Lookups, their cache, and a token that ran out."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling.client import Client
from signaling.errors import ServerUnreachable
from signaling.jid import Jid

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
Open = Callable[..., Awaitable[Client]]


async def test_lookup_and_its_cache(open_client: Open, make_profile: Any, server: Any) -> None:
    alice = await open_client(ALICE)
    assert await alice.contacts.find(BOB) is None
    await make_profile(BOB)
    found = await alice.contacts.find(BOB)
    assert found is not None and found.jid == Jid(BOB, server.domain) and len(found.devices) == 1
    await server.stop()
    assert await alice.contacts.find(BOB) == found
    assert alice.contacts.cached(BOB) == found
    alice.contacts.forget(BOB)
    with pytest.raises(ServerUnreachable):
        await alice.contacts.find(BOB)


async def test_an_expired_access_token_is_renewed(open_client: Open, make_profile: Any, server: Any) -> None:
    alice = await open_client(ALICE)
    await make_profile(BOB)
    server.advance(3600)  # for the server only: our token has run out without our knowing
    tokens = alice.contacts._tokens
    tokens._wall_clock = server.clock
    tokens._expires = float("inf")
    assert await alice.contacts.find(BOB) is not None
