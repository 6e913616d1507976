"""While a call lasts: its keys, and a line with the time, the quality and how loud it is."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

from media import PeerConnection
from media.quality import stats
from media.quality.emodel import verdict
from ringline import terminal
from ringline.sound import levels
from signaling import Call, CallError

DRAW_INTERVAL = 0.2
QUALITY_INTERVAL = 1.0
# Pressing keys goes on although the other side was not told yet.
TELL_TIMEOUT = 1.0
HELP = "keys: m mute, h hold, v camera, q hang up"


async def talk(
    call: Call, connection: PeerConnection, keys: terminal.Keys, seconds: float | None = None
) -> None:
    """Until the call is over, `q` is pressed, or the time is up. The call is not hung up here."""
    watcher = asyncio.create_task(_Talk(call, connection).run(keys), name="ringline-talk")
    ended = asyncio.create_task(call.ended(), name="ringline-ended")
    try:
        await asyncio.wait((ended, watcher), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if watcher.done():
            watcher.result()
    finally:
        for task in (ended, watcher):
            task.cancel()
        await asyncio.wait((ended, watcher))


class _Talk:
    def __init__(self, call: Call, connection: PeerConnection) -> None:
        self._call = call
        self._connection = connection
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._stats = connection.get_stats()
        self._stats_at = self._began
        self._quality = "quality: ..."
        self._late: set[asyncio.Task[None]] = set()
        self._muted = self._held = self._camera_off = False

    async def run(self, keys: terminal.Keys) -> None:
        """Until `q`."""
        if terminal.is_there() and keys.wanted:
            terminal.say(HELP)
        seen = sys.stdout.isatty() and keys.wanted
        drawing = asyncio.create_task(self._draw(), name="ringline-line") if seen else None
        try:
            while (key := await keys.get()) != "q":
                await self._press(key)
        finally:
            for task in self._late:
                task.cancel()
            if drawing is not None:
                drawing.cancel()
                await asyncio.wait([drawing])
                terminal.draw("")

    async def _press(self, key: str) -> None:
        try:
            match key:
                case "m":
                    self._muted = not self._muted
                    await self._tell(self._call.mute(self._muted))
                case "h":
                    self._held = not self._held
                    await self._tell(self._call.hold(self._held))
                case "v" if self._connection.camera is None:
                    terminal.say("there is no camera in this call: call with --video camera")
                case "v":
                    self._camera_off = not self._camera_off
                    self._connection.set_camera_on(not self._camera_off)
                case "?" | "\n" | " ":
                    terminal.say(HELP)
                case _:
                    pass
        except CallError as error:
            terminal.say(str(error))

    async def _tell(self, change: Coroutine[Any, Any, None]) -> None:
        """Done here at once; that the other side is told may take as long as its server is away."""
        task = asyncio.create_task(change, name="ringline-status")
        _, late = await asyncio.wait([task], timeout=TELL_TIMEOUT)
        if late:
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            task.result()

    async def _draw(self) -> None:
        while True:
            now = self._clock()
            if now - self._stats_at >= QUALITY_INTERVAL:
                self._judge(now)
            terminal.draw("   ".join(self._parts(now)))
            await asyncio.sleep(DRAW_INTERVAL)

    def _judge(self, now: float) -> None:
        before, self._stats = self._stats, self._connection.get_stats()
        heard = stats.received(before, self._stats, now, now - self._stats_at)
        self._stats_at = now
        mos = heard.mos_lq
        self._quality = "quality: nothing heard" if mos is None else f"quality: {verdict(mos)}, {mos:.1f}"

    def _parts(self, now: float) -> list[str]:
        minutes, seconds = divmod(int(now - self._began), 60)
        marks = [
            text
            for text, on in (
                ("MUTED", self._muted),
                ("ON HOLD", self._held),
                ("CAMERA OFF", self._camera_off),
            )
            if on
        ]
        return [f"{minutes}:{seconds:02d}", self._quality, *levels(self._connection), *marks]
