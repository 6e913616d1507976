import asyncio
import functools

import pytest

from signaling.network_address import address_path
from signaling.server import turns
from signaling.server.turns import AT_ONCE, UNDER_WAY, Turns

FLOOD, NEIGHBOUR, OTHER = (address_path(a) for a in ("192.0.2.1", "192.0.2.2", "198.51.100.1"))


async def laps(number):
    for _ in range(number):
        await asyncio.sleep(0)


async def test_others_have_their_turn_beside_any_number_of_who_always_want_one():
    made, served = Turns(), []

    def again(n):
        served.append("flood")
        made.ask(calls[n], FLOOD)

    calls = [functools.partial(again, n) for n in range(200)]
    for call in calls:
        made.ask(call, FLOOD)
    await laps(50)
    assert served
    for path, name in ((NEIGHBOUR, "neighbour"), (OTHER, "other")):
        served.clear()
        made.ask(lambda name=name: served.append(name), path)
        while name not in served:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert served.index(name) <= 4  # sites take turns, and in a site its addresses
    for call in calls:
        made.discard(call)


async def test_the_loop_goes_round_between_the_turns_of_strangers():
    """What is ready for somebody else waits for one helping, however much is asked for."""
    made, served = Turns(), []
    for n in range(100):
        made.ask(lambda n=n: served.append(n), FLOOD)
    most = 0
    while len(served) < 100:
        before = len(served)
        await asyncio.sleep(0)
        most = max(most, len(served) - before)
    assert most <= AT_ONCE


async def test_an_error_in_one_turn_stops_no_other():
    made, served, errors = Turns(), [], []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    made.ask(lambda: 1 / 0, FLOOD)
    made.ask(lambda: served.append(1), FLOOD)
    await laps(20)
    assert served == [1] and len(errors) == 1


async def test_only_so_many_requests_are_under_way(monkeypatch):
    monkeypatch.setattr(turns, "COUNTS_FOR", 1000)
    made, inside, over = Turns(), [], asyncio.Event()

    async def one(n):
        async with made.request(FLOOD):
            inside.append(n)
            await over.wait()

    tasks = [asyncio.create_task(one(n)) for n in range(20)]
    await laps(100)
    assert len(inside) == UNDER_WAY
    # Of those that are cancelled, waiting or under way, nothing is left behind.
    for task in (*tasks[:2], *tasks[-2:]):
        task.cancel()
    await laps(100)
    assert len(inside) == UNDER_WAY + 2
    over.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5), made.request(OTHER):
        pass
    assert made._under_way == 0 and not len(made._requests)


async def test_who_is_under_way_for_long_keeps_nobody_waiting(monkeypatch):
    """An SMS gateway may take ten seconds."""
    monkeypatch.setattr(turns, "COUNTS_FOR", 0.01)
    made, never = Turns(), asyncio.Event()

    async def slow():
        async with made.request(FLOOD):
            await never.wait()

    tasks = [asyncio.create_task(slow()) for _ in range(3 * UNDER_WAY)]
    async with asyncio.timeout(5), made.request(OTHER):
        pass
    never.set()
    await asyncio.gather(*tasks)
    assert made._under_way == 0


async def test_a_request_that_is_cancelled_as_its_turn_comes_gives_it_back():
    made = Turns()

    async def one():
        async with made.request(FLOOD):
            pytest.fail("it was cancelled")

    task = asyncio.create_task(one())
    while not made._under_way:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert made._under_way == 0
