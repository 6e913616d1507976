"""`ringline answer` and `ringline call`, with the real engine: who is asked, who is answered, what is said."""

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ringline import answer_call, place_call, terminal
from ringline.endpoint import come_online
from ringline.terminal import Keys
from signaling import CallError, CallRejected, Client, ServerUnreachable

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """A person at a terminal, whose keys the test presses."""
    keys = Keys()
    monkeypatch.setattr(Keys, "__enter__", lambda self: keys)
    monkeypatch.setattr(Keys, "__exit__", lambda self, *error: None)
    monkeypatch.setattr(terminal, "is_there", lambda: True)
    return keys


def options(module: Any, town: Any, number: str, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(
        [*arguments, "--profile", str(town.profile(number)), "--address", "127.0.0.1", "--quiet"]
    )


DEVICES = ("--microphone", "--sound-system", "loopback", "--no-noise-suppression", "--no-auto-gain-control")


async def until_said(capsys: pytest.CaptureFixture[str], words: str, times: int = 1) -> str:
    said = ""
    async with asyncio.timeout(20):
        while said.count(words) < times:
            said += capsys.readouterr().out
            await asyncio.sleep(0.01)
    return said


@pytest.fixture
def answering(town: Any) -> Callable[..., "asyncio.Task[int]"]:
    def start(*arguments: str) -> "asyncio.Task[int]":
        return asyncio.create_task(answer_call.answer_calls(options(answer_call, town, BOB, *arguments)))

    return start


async def test_a_person_is_asked_and_takes_the_call(
    town: Any, connect: Any, pressed: Keys, answering: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bob = answering("--once", *DEVICES)
    await until_said(capsys, "waits for calls")
    async with town.online(ALICE) as alice:
        calling = asyncio.create_task(alice.call(BOB, connect()))
        said = await until_said(capsys, "a answer, d decline")
        assert f"{ALICE}, who is not among your contacts" in said and not calling.done()
        pressed._keys.put_nowait("a")
        call = await calling
        await until_said(capsys, "q hang up")
        pressed._keys.put_nowait("q")
        assert await call.ended() == "hung_up" and call.end_sentence == f"{BOB} hung up"
    assert await bob == 0
    assert "the call ended: you hung up" in capsys.readouterr().out


async def test_a_person_declines(town: Any, connect: Any, pressed: Keys, answering: Any, capsys: Any) -> None:
    bob = answering("--once", *DEVICES)
    await until_said(capsys, "waits for calls")
    async with town.online(ALICE) as alice:
        calling = asyncio.create_task(alice.call(BOB, connect()))
        await until_said(capsys, "a answer, d decline")
        pressed._keys.put_nowait("d")
        with pytest.raises(CallRejected):
            await calling
    assert await bob == 0


async def test_a_live_microphone_without_a_person_is_not_for_strangers(
    town: Any, connect: Any, answering: Any, capsys: Any
) -> None:
    bob = answering(*DEVICES)
    assert "--from-anyone" in await until_said(capsys, "waits for calls")
    async with town.online(ALICE) as alice:
        with pytest.raises(CallRejected):
            await alice.call(BOB, connect())
    bob.cancel()
    await asyncio.wait([bob])


async def test_a_robot_talks_to_several_at_a_time(
    town: Any, connect: Any, answering: Any, capsys: Any
) -> None:
    bob = answering("--calls", "2")
    assert "answers everybody" in await until_said(capsys, "waits for calls")
    async with town.online(ALICE) as alice, town.online(CAROL) as carol:
        calls = await asyncio.gather(alice.call(BOB, connect()), carol.call(BOB, connect()))
        assert [call.end_reason for call in calls] == [None, None]
        await until_said(capsys, "connected", times=2)
        bob.cancel()  # Ctrl-C
        await asyncio.wait([bob])
        assert [await call.ended() for call in calls] == ["hung_up", "hung_up"]


async def test_a_caller_is_told_what_happens(town: Any, connect: Any, capsys: Any) -> None:
    async with town.online(BOB) as bob:
        calling = asyncio.create_task(
            place_call.place_call(options(place_call, town, ALICE, BOB, "--seconds", "0.5"))
        )
        incoming = await bob.next_incoming()
        await until_said(capsys, "it rings")
        await incoming.accept(connect())
        assert await calling == 0
    assert "the call ended: you hung up" in capsys.readouterr().out


async def test_a_call_that_was_taken_back_while_it_rang(town: Any, pressed: Keys, capsys: Any) -> None:
    async with town.online(BOB) as bob:
        calling = asyncio.create_task(place_call.place_call(options(place_call, town, ALICE, BOB)))
        incoming = await bob.next_incoming()
        pressed._keys.put_nowait("q")
        with pytest.raises(CallError, match="took the call back"):
            await calling
        assert await incoming.ended() == "cancelled"


async def test_waiting_for_a_server_is_said(town: Any, capsys: Any) -> None:
    await town.stop()
    async with Client.open(town.profile(ALICE)) as client:
        with pytest.raises(ServerUnreachable, match="is it running"):
            await come_online(client, 0.2)
        assert "no server answers at" in capsys.readouterr().out
        waiting = asyncio.create_task(come_online(client))
        await until_said(capsys, "trying again")
        await town.start()
        await asyncio.wait_for(waiting, 20)
        assert "the server is there" in capsys.readouterr().out
