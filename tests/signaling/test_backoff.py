"""Thousands of clients lose the server at the same moment: they do not come back at the same moment."""

import heapq
import random
from collections import Counter

from signaling.backoff import SETTLED_AFTER, STEPS, URGENT_STEPS, Attempts, reconnect_delay

CLIENTS = 5000
DOWN = 20.0  # how long the server is away
PATIENCE = 10.0  # a client's request timeout
SERVICE = 1 / 200  # seconds of server time for a sign-in


def come_back(delay):
    """When each client is signed in, and how many knocked in each second. A server with one queue: who has lost
    patience has cost his service time nevertheless."""
    rng = random.Random(7)
    knocks = [(delay(0, rng), n, 0) for n in range(CLIENTS)]
    heapq.heapify(knocks)
    free, done, load = DOWN, [], Counter()
    while knocks:
        now, n, failures = heapq.heappop(knocks)
        load[int(now)] += 1
        if now < DOWN:
            heapq.heappush(knocks, (now + delay(failures + 1, rng), n, failures + 1))
            continue
        free = max(free, now) + SERVICE
        if free - now <= PATIENCE:
            done.append(free)
        else:
            heapq.heappush(knocks, (now + PATIENCE + delay(failures + 1, rng), n, failures + 1))
    return done, load


def test_thousands_come_back_one_after_the_other():
    done, load = come_back(lambda failures, rng: reconnect_delay(failures, False, rng))
    assert len(done) == CLIENTS
    ideal = DOWN + CLIENTS * SERVICE
    assert max(done) < DOWN + 3 * (ideal - DOWN), "little of the server's time is wasted on those who left"
    assert max(count for second, count in load.items() if second >= DOWN) < 500, "not all at once"
    # Without jitter the same clients come in waves, and most of them lose patience.
    _, waves = come_back(lambda failures, rng: STEPS[min(failures, len(STEPS) - 1)])
    assert max(count for second, count in waves.items() if second >= DOWN) == CLIENTS


def test_a_running_call_does_not_wait():
    rng = random.Random(1)
    assert reconnect_delay(0, True, rng) == 0.0
    for failures in range(20):
        assert reconnect_delay(failures, True, rng) <= URGENT_STEPS[-1]
        assert 0.0 <= reconnect_delay(failures, False, rng) <= STEPS[min(failures, len(STEPS) - 1)]


def streams(attempts, *lives, condition=None):
    """The failures in a row after streams that lived so long; None: one that never came about."""
    found, now = [], 0.0
    for life in lives:
        if life is not None:
            attempts.online(now)
            now += life
            attempts.ended(condition)
        found.append(attempts.over(now))
    return found


def test_two_with_one_profile_do_not_fight_at_full_speed():
    attempts = Attempts()
    assert streams(attempts, 60, 60, 60, condition="conflict") == [1, 2, 3]
    assert streams(attempts, 60) == [0]


def test_streams_that_end_at_once_are_failures():
    assert streams(Attempts(), 1, 1, 1, 1, 1) == [0, 0, 1, 2, 3]
    assert streams(Attempts(), 1, 1, 1, SETTLED_AFTER, 1) == [0, 0, 1, 0, 0]


def test_attempts_that_fail_count_until_one_lasts():
    assert streams(Attempts(), None, None, 60, None, None) == [1, 2, 0, 1, 2]
