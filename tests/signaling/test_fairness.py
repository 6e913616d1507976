import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling.fairness import FairPlaces, FairQueue
from signaling.network_address import address_path


def places(most, of_address=1000):
    return FairPlaces(most, of_address)


def test_who_holds_most_gives_way_its_oldest_first():
    pool = places(4)
    for name, address in (
        ("a1", "192.0.2.1"),
        ("b1", "198.51.100.1"),
        ("a2", "192.0.2.1"),
        ("a3", "192.0.2.1"),
    ):
        assert pool.add(name, address_path(address)) is None
    assert pool.add("c1", address_path("203.0.113.1")) == "a1"
    assert pool.add("d1", address_path("203.0.113.9")) == "a2" and len(pool) == 4
    assert "a1" not in pool and "b1" in pool


def test_who_is_touched_goes_later_than_the_rest_of_its_address():
    pool = places(2)
    for name in ("old", "new"):
        pool.add(name, address_path("192.0.2.1"))
    pool.touch("old")
    assert pool.add("c", address_path("198.51.100.1")) == "new"


def test_an_address_has_a_bound_of_its_own():
    pool = places(100, of_address=3)
    assert [pool.add(n, address_path("192.0.2.1")) for n in range(5)] == [None, None, None, 0, 1]
    assert pool.add("other", address_path("192.0.2.2")) is None
    assert pool.of_address(address_path("192.0.2.1")) == 3 and pool.of_address(address_path("192.0.2.9")) == 0


@pytest.mark.parametrize(
    "spread", ["2001:db8::{:x}", "2001:db8:0:{:x}::1", "2001:db8:0:{:x}00::1", "192.0.2.{:d}"]
)
def test_nobody_is_crowded_out_by_the_many_addresses_of_one_site(spread):
    """A /64, a /56, a /48, a /24."""
    pool = places(64)
    honest = [address_path(f"198.51.{n}.7") for n in range(3)]
    for path in honest:
        pool.add(path, path)
    for n in range(1, 256):
        path = address_path(spread.format(n))
        pool.add((n, path), path)
    assert all(path in pool for path in honest) and len(pool) == 64


@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 3), some.booleans()), max_size=200))
def test_places_never_lose_count(steps):
    pool, held = places(10, of_address=4), []
    for n, (site, host, leaves) in enumerate(steps):
        path = address_path(f"192.0.{site}.{host}")
        if leaves and held:
            pool.remove(held.pop(0)[0])
        held.append((n, path))
        gone = pool.add(n, path)
        held = [entry for entry in held if entry[0] != gone]
        assert len(pool) == len(held) <= 10 and all(entry[0] in pool for entry in held)
        assert pool.of_address(path) == sum(entry[1] == path for entry in held) <= 4
    for entry in held:
        pool.remove(entry[0])
    pool.remove("never there")
    assert len(pool) == 0 and not pool._root.groups


def test_sites_networks_and_addresses_take_turns():
    queue = FairQueue()
    for n in range(300):
        queue.push(("flood", n), address_path(f"2001:db8:0:{n % 256:x}::1"))
    queue.push("neighbour", address_path("2001:db8:0:ff00::1"))  # the same /48, another /56
    queue.push("other", address_path("192.0.2.1"))
    first = [queue.pop() for _ in range(4)]
    assert "other" in first[:2] and "neighbour" in first


def test_an_item_waits_once_and_may_go_away():
    queue = FairQueue()
    path = address_path("192.0.2.1")
    for item in ("a", "b", "a"):
        queue.push(item, path)
    assert len(queue) == 2
    queue.discard("a")
    queue.discard("a")
    assert queue.pop() == "b" and len(queue) == 0
    with pytest.raises(IndexError):
        queue.pop()


def test_in_any_order_everybody_has_a_turn():
    rng, queue = random.Random(1), FairQueue()
    items = {
        (n, address_path(f"10.{rng.randrange(4)}.{rng.randrange(4)}.{rng.randrange(4)}")) for n in range(500)
    }
    for item in items:
        queue.push(item, item[1])
    assert {queue.pop() for _ in range(500)} == items
