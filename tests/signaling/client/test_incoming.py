"""Calls from foreign clients: a session-initiate without a proposal, and without a passport."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling import stanza as st
from signaling.client import Client
from signaling.client.websocket import StanzaError
from signaling.errors import CallUntrusted
from signaling.jingle.content import (
    NS_JINGLE,
    Action,
    Content,
    Jingle,
    Role,
    SessionDescription,
    build_jingle,
    parse_jingle,
)
from signaling.jingle.sdp import parse_sdp, render_sdp
from signaling.jingle.transport import CandidatePolicy, Transport, parse_candidate_line
from signaling.xml import PING, child, element

ALICE, BOB = "+12025550100", "+12025550101"

Open = Callable[..., Awaitable[Client]]
Engine = Callable[..., Any]


class Foreign:
    """A caller that knows Jingle, but neither XEP-0353 nor passports; it speaks over another client's stream."""

    def __init__(self, client: Client, engine: Any) -> None:
        self.client, self.engine = client, engine
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        client._connection._on_stanza = self._stanza

    def _stanza(self, stanza: Any) -> None:
        body = child(stanza, NS_JINGLE, "jingle")
        if body is not None and stanza.get("type") == "set":
            self.client._connection.send(st.result(stanza))
            if body.get("action") != "session-info":
                self.heard.put_nowait(parse_jingle(body, CandidatePolicy(allow_loopback=True)))

    async def say(self, action: Action, to: Any, *contents: Any, **more: Any) -> None:
        body = build_jingle(Jingle(action, "foreign-sid", SessionDescription(contents), **more))
        await self.client._connection.ask("set", body, to)

    async def initiate(self, bob: Client, shown: bool = True) -> None:
        if shown:  # Bob has had to do with her before
            bob._connection.send(st.presence(to=self.client._profile.jid.bare))
            await bob._connection.ask("get", element(PING, "ping"), None)
        self.engine.configure(())
        offer = parse_sdp(await self.engine.create_offer(), Role.INITIATOR)
        await self.say(Action.SESSION_INITIATE, bob._profile.jid, *offer.contents)


async def test_a_foreign_client_without_proposal_or_passport(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB, allow_unsigned=True)
    foreign, two = Foreign(alice, engine()), engine()
    async with asyncio.timeout(5):
        await foreign.initiate(bob)
        incoming = await bob.next_incoming()
        assert (incoming.number, incoming.media) == (ALICE, ("audio",))
        accepting = asyncio.create_task(incoming.accept(two))
        answer = await foreign.heard.get()
        assert answer.action is Action.SESSION_ACCEPT and answer.passport is not None
        await foreign.engine.set_answer(render_sdp(answer.description, Role.RESPONDER))
        info = await foreign.heard.get()
        for content in info.description.contents:
            for candidate in content.transport.candidates:
                await foreign.engine.add_ice_candidate(content.name, candidate.line())
        mine = parse_candidate_line("candidate:1 1 udp 1 127.0.0.1 5000 typ host")
        await foreign.say(
            Action.TRANSPORT_INFO, bob._profile.jid, Content("0", Transport(candidates=(mine,)))
        )
        call = await accepting
        assert call.trust == "unsigned" and call.state == "connected"
        await foreign.say(Action.SESSION_TERMINATE, bob._profile.jid, reason="success")
        assert await call.ended() == "hung_up"
    await foreign.engine.close()


async def test_an_unsigned_foreign_client_is_refused_by_default(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    foreign, two = Foreign(alice, engine()), engine()
    async with asyncio.timeout(5):
        await foreign.initiate(bob)
        with pytest.raises(CallUntrusted, match="passport is missing"):
            await (await bob.next_incoming()).accept(two)
        assert (await foreign.heard.get()).reason == "security-error"
    assert two.log == ["close"]
    await foreign.engine.close()


@pytest.mark.parametrize("shown", [True, False])
async def test_a_foreign_stranger_does_not_ring_and_learns_nothing(
    open_client: Open, engine: Engine, shown: bool
) -> None:
    """Whom Bob has never had to do with, his server does not even let ask him."""
    alice, bob = await open_client(ALICE), await open_client(BOB, ring_unknown=False)
    foreign = Foreign(alice, engine())
    with pytest.raises(StanzaError) as refused:
        await foreign.initiate(bob, shown)
    assert refused.value.info.condition == "service-unavailable"
    assert bob._waiting.empty() and [m.why for m in bob.missed] == ["unknown caller"] * shown
    await foreign.engine.close()
