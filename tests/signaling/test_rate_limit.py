from hypothesis import given
from hypothesis import strategies as some

from signaling.rate_limit import KeyedBuckets, Rate, TokenBucket


def test_burst_then_one_at_a_time():
    bucket = TokenBucket(Rate(10, 30), 0.0)
    assert [bucket.take(0.0) for _ in range(10)] == [0] * 10
    assert bucket.take(0.0) == 30 and round(bucket.take(10.0), 6) == 20
    assert bucket.take(30.0) == 0 and round(bucket.take(30.0), 6) == 30
    assert bucket.take(1e6, 10) == 0 and bucket.take(1e6) == 30


def test_all_or_nothing():
    bucket = TokenBucket(Rate(10, 30), 0.0)
    assert bucket.take(0.0, 11) > 0
    assert bucket.take(0.0, 8) == 0 and round(bucket.take(0.0, 5), 6) == 90
    assert bucket.take(0.0, 2) == 0


def test_time_running_backwards_gives_nothing():
    bucket = TokenBucket(Rate(1, 10), 100.0)
    assert (
        bucket.take(100.0) == 0
        and bucket.take(50.0) > 0
        and bucket.take(105.0) > 0
        and bucket.take(110.0) == 0
    )


@given(some.floats(0.1, 1e4), some.lists(some.floats(0, 100), max_size=50))
def test_who_waits_as_told_gets_in(seconds, pauses):
    bucket = TokenBucket(Rate(3, seconds), 0.0)
    now = 0.0
    for pause in pauses:
        now += pause
        if wait := bucket.take(now):
            now += wait
            assert bucket.take(now) == 0


def test_keys_are_apart_and_bounded():
    buckets = KeyedBuckets(Rate(1, 10), max_keys=3)
    assert buckets.wait("a", 0.0) == 0 == buckets.take("a", 0.0) == buckets.take("b", 0.0)
    assert buckets.take("a", 0.0) == buckets.wait("a", 0.0) == 10
    for key in "cdefg":
        buckets.take(key, 0.0)
    assert len(buckets) == 3
