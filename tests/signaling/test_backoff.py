"""Thousands of clients lose the server at the same moment: they do not come back at the same moment."""

import heapq
import random
from collections import Counter

from signaling.backoff import STEPS, URGENT_STEPS, reconnect_delay

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
