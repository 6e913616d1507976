"""Group commit: in order, together, and for everybody, whoever goes away."""

import asyncio

import pytest

from signaling.storage.batch import Batch


class Slow:
    """Commits when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let = asyncio.Event()

    async def commit(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await self.let.wait()
        if items[0] < 0:
            raise ValueError("no")
        return [10 * item for item in items]


async def begun(batch: Batch[int, int], *items: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(batch.add(item)) for item in items]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_what_comes_meanwhile_is_committed_together() -> None:
    slow = Slow()
    batch = Batch(slow.commit)
    tasks = await begun(batch, 1, 2) + await begun(batch, 3) + await begun(batch, 4)
    assert slow.batches == [[1, 2]]
    slow.let.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert slow.batches == [[1, 2], [3, 4]]
    assert await batch.add(5) == 50
    await batch.close()


async def test_more_is_waited_for_where_two_came_during_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    paused, go_on, sleep = asyncio.Event(), asyncio.Event(), asyncio.sleep

    async def pause(seconds: float) -> None:
        if not seconds:
            return await sleep(0)
        paused.set()
        await go_on.wait()

    monkeypatch.setattr("signaling.storage.batch.asyncio.sleep", pause)
    slow = Slow()
    batch = Batch(slow.commit)
    tasks = await begun(batch, 1) + await begun(batch, 2, 3)
    slow.let.set()
    await asyncio.wait_for(paused.wait(), 5)
    tasks += await begun(batch, 4)
    go_on.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert slow.batches == [[1], [2, 3, 4]]


async def test_at_most_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.storage.batch.MOST", 2)
    slow = Slow()
    slow.let.set()
    batch = Batch(slow.commit)
    assert await asyncio.gather(*(batch.add(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert slow.batches == [[0, 1], [2, 3], [4]]


async def test_a_failure_is_told_to_those_it_concerns() -> None:
    slow = Slow()
    batch = Batch(slow.commit)
    failing, fine = await begun(batch, -1, 1), await begun(batch, 2)
    slow.let.set()
    for task in failing:
        with pytest.raises(ValueError):
            await task
    assert await fine[0] == 20


async def test_who_goes_away_is_committed_and_close_waits_for_it() -> None:
    slow = Slow()
    batch = Batch(slow.commit)
    gone, _, stays = await begun(batch, 1) + await begun(batch, 2, 3)
    gone.cancel()
    await asyncio.wait([gone])
    closing = asyncio.create_task(batch.close())
    await asyncio.sleep(0)
    assert not closing.done()
    slow.let.set()
    await closing
    assert slow.batches == [[1], [2, 3]] and await stays == 30
    await batch.close()


async def test_nobody_waits_for_ever_when_the_commit_is_cancelled() -> None:
    slow = Slow()
    batch = Batch(slow.commit)
    first, second = await begun(batch, 1) + await begun(batch, 2)
    assert batch._task is not None
    batch._task.cancel()
    with pytest.raises(ConnectionError):
        await first
    with pytest.raises(asyncio.CancelledError):
        await second
    slow.let.set()
    assert await batch.add(3) == 30
