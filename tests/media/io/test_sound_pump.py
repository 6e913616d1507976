"""When a speaker begins to pull."""

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from media.io.sound_pump import AT_ONCE, STALE, SoundPump


class Card:
    """A sound card that is only noticed to have been started."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.closed = False

    def start(self, pull: Callable[[int], Any]) -> None:
        self.started.set()

    def close(self) -> None:
        self.closed = True


class SlowCard(Card):
    opens_slowly = True


def pump_with(packets: int) -> tuple[SoundPump, SimpleNamespace]:
    statistics = SimpleNamespace(packets_received=packets)
    engine: Any = SimpleNamespace(
        receiver=SimpleNamespace(statistics=statistics), pull_audio=lambda now: np.zeros(480, np.int16)
    )
    return SoundPump(engine, threading.Lock(), lambda: None), statistics


async def test_a_speaker_begins_behind_the_second_packet() -> None:
    pump, statistics = pump_with(0)
    card = Card()
    pump.open(None, card)
    pump.start(None, card)
    for packets in (0, 1):
        statistics.packets_received = packets
        pump.received(card)
    await asyncio.sleep(0)
    assert not card.started.is_set()
    statistics.packets_received = 2
    pump.received(card)
    pump.received(card)  # RTCP, meanwhile
    await asyncio.wait_for(card.started.wait(), 0.5)  # far less than its patience
    await pump.close(None, card)
    assert card.closed


async def test_packets_that_came_before_the_start_are_no_reason_to_wait() -> None:
    pump, statistics = pump_with(2)
    card = Card()
    pump.received(card)
    pump.start(None, card)
    statistics.packets_received = 3
    pump.received(card)
    await asyncio.wait_for(card.started.wait(), 0.5)
    await pump.close(None, card)


async def test_a_speaker_begins_without_packets_in_the_end() -> None:
    pump, _ = pump_with(0)
    card = Card()
    pump.start(None, card)
    await asyncio.wait_for(card.started.wait(), 5)
    await pump.close(None, card)


async def test_a_card_that_opens_slowly_is_opened_at_once() -> None:
    pump, _ = pump_with(0)
    card = SlowCard()
    pump.open(None, card)
    assert card.started.is_set()
    await pump.close(None, card)


async def test_closing_before_the_first_packet_opens_nothing() -> None:
    pump, statistics = pump_with(1)
    card = Card()
    pump.start(None, card)
    await pump.close(None, card)
    statistics.packets_received = 2
    pump.received(card)
    assert not card.started.is_set() and card.closed


async def test_a_microphone_that_is_late_leaves_others_their_turn() -> None:
    class Late:
        """Has seconds of sound waiting: read() never suspends."""

        frames = 0

        async def read(self) -> Any:
            self.frames += 1
            assert self.frames < 100, "the loop belongs to the microphone"
            return np.zeros(960, np.int16)

        def close(self) -> None:
            pass

    pump, _ = pump_with(0)
    microphone: Any = Late()
    pump.open(microphone, None)
    for turn in range(STALE // AT_ONCE):
        await asyncio.sleep(0)
        assert microphone.frames <= AT_ONCE * (turn + 1) + 1
    assert microphone.frames > AT_ONCE
    await pump.close(microphone, None)


async def test_what_a_microphone_has_waiting_for_long_is_left_out() -> None:
    class Held:
        """After a stall: two seconds are waiting, then it is in time again."""

        frames, in_time = 0, asyncio.Event()

        async def read(self) -> Any:
            self.frames += 1
            if self.frames > 102:
                self.in_time.set()
            if self.frames > 100:
                clock.now += 0.02
                await asyncio.sleep(0)
            return np.zeros(960, np.int16)

        def close(self) -> None:
            pass

    clock = SimpleNamespace(now=5.0)
    pump, _ = pump_with(0)
    taken: list[str] = []
    pump._engine.push_audio = lambda samples, now: taken.append("said")
    pump._engine.skip_audio = lambda samples: taken.append("left out")
    microphone: Any = Held()
    pump.start(microphone, None)
    pump._loop = SimpleNamespace(time=lambda: clock.now)
    await asyncio.wait_for(microphone.in_time.wait(), 5)
    said = STALE - 1  # after the first that was there at once
    assert taken[:said] == ["said"] * said
    assert taken[said:100] == ["left out"] * (100 - said)
    assert taken[100:102] == ["said"] * 2
    await pump.close(microphone, None)


async def test_time_goes_on_while_the_call_is_held() -> None:
    pump, _ = pump_with(0)
    taken: list[tuple[str, int]] = []
    pump._engine.push_audio = lambda samples, now: taken.append(("said", len(samples)))
    pump._engine.skip_audio = lambda samples: taken.append(("left out", samples))
    for pump.held in (False, True, True, False):
        pump._push(np.ones(960, np.int16), 5.0)
    assert taken == [("said", 960), ("left out", 960), ("left out", 960), ("said", 960)]


async def test_a_loop_that_is_late_all_the_time_makes_the_encoder_hurry() -> None:
    pump, _ = pump_with(0)
    hurried: list[bool] = []
    pump._engine.sender = SimpleNamespace(set_hurried=hurried.append)
    for second, late in enumerate((0.001, 0.5, 0.5, 0.5, 0.001)):
        pump.loop_was_late(late, float(second))
    assert hurried == [False, False, False, True, True]
