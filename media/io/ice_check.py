"""One connectivity check (RFC 8445 section 7.2.4) that does not wait for STUN's standard timer.

A lost check costs 500 ms with that (RFC 8489 section 6.2.1). libwebrtc pings a pair that is not proven every 48 ms,
each time in a new transaction. So do these: copies of a request have identifiers of their own, and an answer tells
the round-trip time, be the request sent ten times (Karn).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aioice import stun

# Seconds after the first request. Where 20 % of the packets are lost two thirds of all checks succeed: of the six in
# the first 200 ms all fail once in 460. Twenty packets of 100 bytes are all that a silent address gets.
RESENDS = (
    0.03,
    0.06,
    0.1,
    0.15,
    0.2,
    0.26,
    0.33,
    0.42,
    0.55,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    6.0,
    10.0,
    18.0,
    32.0,
)
GIVE_UP_AFTER = 48.0
# A check or data of the peer's is answered with a check of ours: the path works, so ours may have been lost before.
MIN_INTERVAL = 0.015
MAX_COPIES = 32

Answer = tuple[stun.Message, tuple[str, int]]


class Sender(Protocol):
    """What a check needs of its socket."""

    transactions: dict[bytes, Any]

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None: ...


class Check:
    """A request and its copies, until one is answered. `pace` stretches the intervals: where there are many checks."""

    def __init__(
        self, sender: Sender, request: stun.Message, addr: tuple[str, int], key: bytes, *, pace: float = 1.0
    ) -> None:
        self._sender = sender
        self._request = request
        self._addr = addr
        self._key = key
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Answer] = self._loop.create_future()
        self._started = self._last_sent = 0.0
        self._sent: dict[bytes, float] = {}  # when, by transaction id
        self._resends = iter(RESENDS)
        self._timer: asyncio.TimerHandle | None = None
        self.round_trip_time: float | None = None

    async def run(self) -> Answer:
        """The response and whom it came from. Raises TransactionTimeout or TransactionFailed."""
        self._started = self._loop.time()
        try:
            self._step()
            return await self._answer
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for transaction_id in self._sent:
                del self._sender.transactions[transaction_id]

    def hasten(self) -> None:
        """The peer was heard on this pair: try again now."""
        if self._sent and self._loop.time() - self._last_sent >= MIN_INTERVAL:
            self._send()

    def response_received(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """As aioice.stun.Transaction's; a response that is not authentic is none."""
        if self._answer.done() or not message.check_message_integrity(self._key):
            return
        self.round_trip_time = self._loop.time() - self._sent[message.transaction_id]
        if message.message_class == stun.Class.RESPONSE:
            self._answer.set_result((message, addr))
        else:
            self._answer.set_exception(stun.TransactionFailed(message))

    def _step(self) -> None:
        self._send()
        due = next(self._resends, None)
        if due is None:
            self._timer = self._loop.call_at(self._started + GIVE_UP_AFTER * self._pace, self._give_up)
        else:
            self._timer = self._loop.call_at(self._started + due * self._pace, self._step)

    def _send(self) -> None:
        if self._answer.done() or len(self._sent) >= MAX_COPIES:
            return
        request = self._request
        if self._sent:
            attributes = dict(request.attributes)
            request = stun.Message(request.message_method, request.message_class, attributes=attributes)
        request.add_message_integrity(self._key)
        self._last_sent = self._loop.time()
        self._sent[request.transaction_id] = self._last_sent
        self._sender.transactions[request.transaction_id] = self
        self._sender.send_stun(request, self._addr)

    def _give_up(self) -> None:
        if not self._answer.done():
            self._answer.set_exception(stun.TransactionTimeout())


class PathCheck:
    """A check of a path that worked once: sent once, by its owner; without a task.

    `on_answer` is told of a response that is authentic and comes from where the request went (RFC 8445 section
    7.2.5.2.1).
    """

    def __init__(self, addr: tuple[str, int], key: bytes, on_answer: Callable[[], None]) -> None:
        self._addr, self._key, self._on_answer = addr, key, on_answer

    def response_received(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """As aioice.stun.Transaction's."""
        is_response = addr == self._addr and message.message_class == stun.Class.RESPONSE
        if is_response and message.check_message_integrity(self._key):
            self._on_answer()
