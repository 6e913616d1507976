"""One connectivity check: its copies, and what it makes of answers. In virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aioice import stun

from media.io.ice_check import GIVE_UP_AFTER, MAX_COPIES, RESENDS, Check

KEY = b"the password"
ADDRESS = ("192.0.2.1", 5000)

RunVirtually = Callable[[Coroutine[Any, Any, Any]], Any]


class Asking:
    """A check on its way, and the socket that it uses."""

    def __init__(self, *, pace: float = 1.0) -> None:
        self.transactions: dict[bytes, Any] = {}
        self.sent: list[tuple[float, stun.Message]] = []
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": "a:b"})
        self.check = Check(self, request, ADDRESS, KEY, pace=pace)
        self.task = asyncio.create_task(self.check.run())

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        assert addr == ADDRESS and message.check_message_integrity(KEY)
        self.sent.append((self._loop.time() - self._begun, message))

    async def until(self, seconds: float) -> None:
        """To this time after the beginning, and what is due then."""
        later = self._loop.create_future()
        self._loop.call_at(self._begun + seconds, later.set_result, None)
        await later

    def answer(self, index: int, key: bytes = KEY, kind: stun.Class = stun.Class.RESPONSE) -> None:
        response = stun.Message(stun.Method.BINDING, kind, self.sent[index][1].transaction_id)
        if kind is stun.Class.ERROR:
            response.attributes["ERROR-CODE"] = (487, "Role Conflict")
        response.add_message_integrity(key)
        parsed = stun.parse_message(bytes(response))
        self.transactions[parsed.transaction_id].response_received(parsed, ADDRESS)


def test_a_silent_address_gets_few_copies_each_a_transaction_of_its_own(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        asking = Asking()
        with pytest.raises(stun.TransactionTimeout):
            await asking.task
        assert [at for at, _ in asking.sent] == pytest.approx([0.0, *RESENDS], abs=1e-3)
        assert max(RESENDS) < GIVE_UP_AFTER
        assert len({m.transaction_id for _, m in asking.sent}) == len(RESENDS) + 1
        assert not asking.transactions

    run_virtually(main())


def test_the_round_trip_is_that_of_the_copy_that_was_answered(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        asking = Asking()
        await asking.until(0.125)
        asking.answer(2)  # sent after 60 ms
        assert asking.check.round_trip_time == pytest.approx(0.065, abs=1e-3)
        await asking.task
        sent = len(asking.sent)
        await asking.until(10)
        assert len(asking.sent) == sent and not asking.transactions

    run_virtually(main())


def test_an_answer_that_is_not_authentic_is_none(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        asking = Asking()
        await asking.until(0.01)
        asking.answer(0, key=b"another")
        await asking.until(0.02)
        assert not asking.task.done() and asking.check.round_trip_time is None
        asking.answer(0, kind=stun.Class.ERROR)
        with pytest.raises(stun.TransactionFailed):
            await asking.task

    run_virtually(main())


def test_who_is_heard_is_asked_again_at_once_but_not_for_ever(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        asking = Asking()
        await asking.until(0.001)
        asking.check.hasten()
        assert len(asking.sent) == 1, "just asked"
        for step in range(1, 200):
            await asking.until(0.02 * step)
            asking.check.hasten()
        assert len(asking.sent) == MAX_COPIES
        asking.answer(-1)
        await asking.task
        asking.check.hasten()
        assert len(asking.sent) == MAX_COPIES

    run_virtually(main())


def test_many_checks_are_slower(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        asking = Asking(pace=10.0)
        await asking.until(0.35)
        assert len(asking.sent) == 2
        asking.task.cancel()
        await asyncio.wait([asking.task])
        assert not asking.transactions

    run_virtually(main())
