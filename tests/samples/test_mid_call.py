"""Cameras that come and go, mute, hold and ICE restarts in a running call: the real engine at both ends."""

import asyncio
from typing import Any

import numpy as np

from media.io.video_sources import TestPattern
from signaling import Call, Client

ALICE, BOB = "+12025550100", "+12025550101"
PATIENCE = 15.0


class Ear:
    """Tells when something was heard, or silence only."""

    def __init__(self) -> None:
        self.loud, self.quiet = asyncio.Event(), asyncio.Event()
        self._silent = 0

    def again(self) -> None:
        self._silent = 0
        self.loud.clear()
        self.quiet.clear()

    def write(self, samples: np.ndarray) -> None:
        if np.abs(samples.astype(np.int32)).max(initial=0) > 300:
            self._silent = 0
            self.loud.set()
        else:
            self._silent += len(samples)
        if self._silent > 9600:
            self.quiet.set()

    def close(self) -> None:
        pass


class Screen:
    """Tells when pictures came."""

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def write(self, *picture: Any, **more: Any) -> None:
        self.seen.set()

    def close(self) -> None:
        pass


async def join(alice: Client, bob: Client, ours: Any, theirs: Any) -> tuple[Call, Call]:
    async def answer() -> Call:
        return await (await bob.next_incoming()).accept(theirs)

    return tuple(await asyncio.gather(alice.call(BOB, ours), answer()))  # type: ignore[return-value]


async def until(call: Call, name: str) -> Any:
    async for event in call.events():
        if event.name == name:
            return event
    raise AssertionError(f"the call ended without {name}")


async def test_a_camera_joins_and_leaves_a_voice_call(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob, asyncio.timeout(PATIENCE):
        ear, screen = Ear(), Screen()
        ours, theirs = connect(), connect(speaker=ear)
        call, other = await join(alice, bob, ours, theirs)
        await ear.loud.wait()
        theirs.set_screen(screen)
        ours.set_camera(TestPattern())
        await call.renegotiate()
        assert (await until(other, "content-added")).media == ("video",)
        assert call.media == other.media == ("audio", "video")
        await screen.seen.wait()
        ear.again()
        ours.set_camera(None)
        await call.renegotiate()
        assert (await until(other, "content-changed")).media == ("video",)
        assert [c.senders for c in other.local.contents] == ["both", "none"]
        # And from the other side, who is the responder: his camera, on the section that is there.
        mine = Screen()
        ours.set_screen(mine)
        theirs.set_camera(TestPattern())
        await other.renegotiate()
        await mine.seen.wait()
        await ear.loud.wait()
        await call.hang_up()
        assert await other.ended() == "hung_up"
    for one in (call, other):
        names = [(event.name, event.media) for event in one.history]
        assert names.count(("content-added", ("video",))) == 1
        assert ("content-changed", ("video",)) in names


async def test_video_is_refused_where_nobody_looks(town, connect) -> None:
    import pytest

    from signaling import ChangeRefused

    async with town.online(ALICE) as alice, town.online(BOB) as bob, asyncio.timeout(PATIENCE):
        ear = Ear()
        ours, theirs = connect(speaker=ear), connect()
        call, other = await join(alice, bob, ours, theirs)
        theirs.set_camera(None)
        ours.set_camera(TestPattern())
        with pytest.raises(ChangeRefused) as refused:
            await call.renegotiate()
        assert refused.value.media == ("video",)
        assert call.media == other.media == ("audio",)
        ear.again()
        await ear.loud.wait()
        # Later he looks, and is asked again.
        screen = Screen()
        theirs.set_screen(screen)
        await call.renegotiate()
        await screen.seen.wait()
        await call.hang_up()


async def test_mute_and_hold_are_heard_and_told(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob, asyncio.timeout(PATIENCE):
        ear = Ear()
        call, other = await join(alice, bob, connect(), connect(speaker=ear))
        await ear.loud.wait()
        for change, name, sign in (
            (call.mute(True), "muted", "quiet"),
            (call.mute(False), "unmuted", "loud"),
            (call.hold(True), "held", "quiet"),
            (call.hold(False), "resumed", "loud"),
        ):
            await change
            event = await until(other, name)
            assert event.by_peer
            ear.again()
            await getattr(ear, sign).wait()
        await call.hang_up()
        assert await other.ended() == "hung_up"
    said = [event.name for event in other.history if event.by_peer]
    assert said == ["muted", "unmuted", "held", "resumed"]


async def test_either_end_restarts_ice(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob, asyncio.timeout(PATIENCE):
        ear, mine = Ear(), Ear()
        ours, theirs = connect(speaker=mine), connect(speaker=ear)
        call, other = await join(alice, bob, ours, theirs)
        await ear.loud.wait()
        for one, two in ((call, other), (other, call)):
            before = {c.transport.ufrag for c in one.remote.contents}
            await one.restart_ice()
            assert (await until(two, "ice-restarted")).by_peer
            assert not (await until(one, "ice-restarted")).by_peer
            assert before.isdisjoint(c.transport.ufrag for c in one.remote.contents)
            ear.again()
            mine.again()
            await asyncio.gather(ear.loud.wait(), mine.loud.wait())
        assert call.state == other.state == "connected"
        await call.hang_up()


async def test_both_switch_their_cameras_on_at_once(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob, asyncio.timeout(PATIENCE):
        ours, theirs = connect(), connect()
        call, other = await join(alice, bob, ours, theirs)
        screens = Screen(), Screen()
        for connection, screen in zip((ours, theirs), screens, strict=True):
            connection.set_screen(screen)
            connection.set_camera(TestPattern())
        await asyncio.gather(call.renegotiate(), other.renegotiate())
        await asyncio.gather(*(screen.seen.wait() for screen in screens))
        assert call.media == other.media == ("audio", "video")
        await call.hang_up()
