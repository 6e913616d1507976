"""An engine that misbehaves: the call ends all the same, and the rest of the call goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from signaling.client import Client
from signaling.client.media import Media
from signaling.errors import CallFailed
from signaling.jingle.content import Content
from signaling.jingle.transport import Transport, parse_candidate_line

ALICE, BOB = "+12025550100", "+12025550101"
LINE = "candidate:1 1 udp 1 192.0.2.7 5000 typ host"

Open = Callable[..., Awaitable[Client]]
Engine = Callable[..., Any]


async def test_candidates_wait_for_the_description(engine: Engine) -> None:
    one, offerer = engine(), engine()
    media = Media(one, lambda state, reason: None)
    media.start(())
    offerer.configure(())
    candidates = Content("0", Transport(candidates=(parse_candidate_line(LINE),)))
    await media.add_remote([candidates])
    assert one.candidates == []
    await one.create_answer(await offerer.create_offer())
    await media.remote_applied()
    await media.add_remote([candidates])
    assert one.candidates == [LINE, LINE]
    # One that the engine does not take is counted, and no more.
    await media.add_remote([Content("9", candidates.transport)])
    assert media.refused_candidates == 1
    await media.close()
    assert one.log[-1] == "close"


async def test_only_what_a_peer_believes_is_sent(engine: Engine) -> None:
    one = engine()
    media = Media(one, lambda state, reason: None)
    sent: list[list[tuple[str, Any]]] = []
    done = asyncio.Event()

    async def send(batch: list[tuple[str, Any]]) -> None:
        sent.append(batch)
        done.set()

    media.start(())
    for line in ("", "nonsense", LINE.replace("192.0.2.7", "abc.local"), LINE):
        one._queue.put_nowait(("candidate", "0", line))
    media.start_trickle(send)
    async with asyncio.timeout(5):
        await done.wait()
    assert [(mid, c.line()) for batch in sent for mid, c in batch] == [("0", LINE)]
    await media.close()


async def test_a_call_ends_though_its_engine_does_not_close(
    open_client: Open, connected: Any, ether: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.client.media.CLOSE_TIMEOUT", 0.1)
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)

    async def hang() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise OSError("the sound card is gone")

    for end, close in zip(ether.values(), (hang, fail), strict=True):
        end.close = close
    async with asyncio.timeout(5):
        await ours.hang_up()
        assert await theirs.ended() == "hung_up"


async def test_an_engine_that_fails_is_said_in_one_line(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one = engine()

    async def no_offer(*, ice_restart: bool = False) -> str:
        raise OSError("no microphone\nand more")

    one.create_offer = no_offer
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        incoming = await bob.next_incoming()
        with pytest.raises(CallFailed, match="no microphone") as failed:
            await calling  # at once, not after 45 s of ringing
        assert "\n" not in str(failed.value)
        assert await incoming.ended() == "cancelled"
    assert one.log[-1] == "close"


async def test_an_engine_whose_events_fail_ends_the_call(
    open_client: Open, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one = engine()

    async def events() -> AsyncIterator[tuple[str, ...]]:
        raise OSError("broken")
        yield ()

    one.events = events
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        await bob.next_incoming()
        with pytest.raises(CallFailed, match="media engine failed"):
            await calling
    assert "the media engine failed" in caplog.text
