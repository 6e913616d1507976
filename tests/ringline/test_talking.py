"""Keys in a call, keys of a terminal, and what rings."""

import asyncio
import os
import pty
import termios
from typing import Any

import numpy as np
import pytest

from ringline import terminal
from ringline.ringing import RATE, RING, RINGBACK, Cadence
from ringline.talking import talk
from ringline.terminal import Keys


class Call:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.log: list[tuple[str, bool]] = []
        self.over = asyncio.Event()

    async def mute(self, on: bool) -> None:
        self.log.append(("mute", on))

    async def hold(self, on: bool) -> None:
        self.log.append(("hold", on))
        await self.over.wait()  # a server that is away

    async def ended(self) -> str:
        await self.over.wait()
        return "hung_up"


class Connection:
    camera: Any = object()
    microphone = speaker = None

    def __init__(self, log: list[tuple[str, bool]]) -> None:
        self._log = log

    def get_stats(self) -> dict[str, Any]:
        return {}

    def set_camera_on(self, on: bool) -> None:
        self._log.append(("camera", on))


class Pressed(Keys):
    """Keys that are pressed one after the other; then none any more."""

    def __init__(self, keys: str) -> None:
        super().__init__()
        for key in keys:
            self._keys.put_nowait(key)


async def test_the_keys_of_a_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ringline.talking.TELL_TIMEOUT", 0.01)
    call = Call()
    async with asyncio.timeout(5):
        await talk(call, Connection(call.log), Pressed("mxvmhvh?q"))  # type: ignore[arg-type]
    assert call.log == [
        ("mute", True), ("camera", False), ("mute", False), ("hold", True), ("camera", True), ("hold", False),
    ]  # fmt: skip
    assert "q hang up" in capsys.readouterr().out
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("ringline")]


async def test_a_call_without_a_camera_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    call = Call()
    connection = Connection(call.log)
    connection.camera = None
    async with asyncio.timeout(5):
        await talk(call, connection, Pressed("vq"))  # type: ignore[arg-type]
    assert call.log == [] and "there is no camera" in capsys.readouterr().out


async def test_a_call_ends_by_itself_or_when_its_time_is_up() -> None:
    call = Call()
    async with asyncio.timeout(5):
        await talk(call, Connection(call.log), Pressed(""), seconds=0.01)  # type: ignore[arg-type]
        call.over.set()
        await talk(call, Connection(call.log), Pressed(""))  # type: ignore[arg-type]


async def test_single_keys_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as file:
        monkeypatch.setattr("sys.stdin", file)
        monkeypatch.setattr(terminal, "is_there", lambda: True)
        before = termios.tcgetattr(theirs)
        with Keys() as keys:
            os.write(ours, b"Mq")
            async with asyncio.timeout(5):
                assert [await keys.get(), await keys.get()] == ["m", "q"]
            os.write(ours, b"z" * 100)  # nobody reads them: bounded
            os.write(ours, b"z" * 100)
            await asyncio.sleep(0)
            keys.drop()
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_a_drawn_line_is_never_longer_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    terminal.draw("0:06   quality: very good, 4.4   MUTED")
    assert capsys.readouterr().out == "\r\x1b[K0:06   quality: very good, 4."


def test_a_job_in_the_background_leaves_the_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as file:
        monkeypatch.setattr("sys.stdin", file)
        monkeypatch.setattr("sys.stdout", file)
        monkeypatch.setattr(os, "tcgetpgrp", lambda handle: os.getpgrp())
        assert terminal.is_there()
        monkeypatch.setattr(os, "tcgetpgrp", lambda handle: os.getpgrp() + 1)
        assert not terminal.is_there()
    os.close(ours)


@pytest.mark.parametrize("cadence", [RING, RINGBACK], ids=["ring", "ringback"])
def test_it_rings_and_pauses_without_clicks(cadence: Cadence) -> None:
    period = round((cadence.on + cadence.off) * RATE)
    whole = cadence.samples(0, 2 * period)
    pieces = np.concatenate([cadence.samples(at, 480) for at in range(0, 2 * period, 480)])
    assert np.array_equal(whole, pieces[: len(whole)]) and np.array_equal(whole[:period], whole[period:])
    on = round(cadence.on * RATE)
    assert np.abs(whole[:on]).max() > 2000 and not whole[on:period].any()
    assert np.abs(np.diff(whole.astype(int))).max() < 400
