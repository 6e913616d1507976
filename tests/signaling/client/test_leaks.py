"""Fifty calls one after the other leave nothing behind."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from signaling.client import Client

ALICE, BOB = "+12025550100", "+12025550101"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.long
async def test_fifty_calls_leave_no_task_and_no_file(
    open_client: Callable[..., Awaitable[Client]], connected: Any, ether: dict[str, Any]
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    tasks = files = 0
    for count in range(50):
        caller, callee = (alice, bob) if count % 2 else (bob, alice)
        ours, theirs = await connected(caller, callee)
        await (theirs if count % 3 else ours).hang_up()
        async with asyncio.timeout(5):
            assert await ours.ended() == await theirs.ended() == "hung_up"
        if count == 4:
            gc.collect()
            tasks, files = len(asyncio.all_tasks()), open_files()
    for _ in range(3):  # the tasks that just ended are taken off the loop
        await asyncio.sleep(0)
    gc.collect()
    assert len(asyncio.all_tasks()) <= tasks
    assert open_files() <= files
    assert not alice._dispatch.calls and not bob._dispatch.calls
    assert len(ether) == 100 and all(engine.log[-1] == "close" for engine in ether.values())


async def test_closing_leaves_no_task(open_client: Callable[..., Awaitable[Client]], server: Any) -> None:
    before = len(asyncio.all_tasks())
    alice = await open_client(ALICE)
    await alice.close()
    await alice.close()
    await asyncio.sleep(0)
    names = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("ringline-")]
    assert not names and len(asyncio.all_tasks()) <= before + 2
