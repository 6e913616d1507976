from hypothesis import given
from hypothesis import strategies as some

from signaling.rate_limit import KeyedBuckets, KeyedQuotas, Quota, Rate, TokenBucket


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


def test_what_is_spent_is_waited_for():
    bucket = TokenBucket(Rate(2, 30), 0.0)
    assert bucket.spend(0.0) == bucket.spend(0.0) == 0 and bucket.spend(0.0, 3) == 90
    assert bucket.spend(60.0) == 60, "who does not wait waits longer the next time"
    assert bucket.spend(120.0, 0) == 0 and bucket.wait(120.0) == 30


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


def test_what_did_not_happen_is_given_back():
    buckets = KeyedBuckets(Rate(2, 30))
    assert buckets.take("a", 0.0) == 0 == buckets.take("a", 0.0) < buckets.wait("a", 0.0)
    buckets.give_back("a")
    assert buckets.take("a", 0.0) == 0 < buckets.take("a", 0.0)
    buckets.forget("a")
    for _ in range(5):  # never above its burst
        buckets.give_back("a")
        buckets.give_back("b")
    assert buckets.take("a", 0.0, 2) == 0 < buckets.take("a", 0.0)


@given(some.lists(some.floats(0, 50), max_size=60), some.integers(1, 5))
def test_a_quota_holds_in_any_window(gaps, most):
    quotas, now, taken = KeyedQuotas(Quota(most, 100)), 0.0, []
    for gap in gaps:
        now += gap
        wait = quotas.take("a", now)
        if not wait:
            taken.append(now)
        else:
            assert quotas.wait("a", now + wait + 1e-6) == 0
        assert sum(now - at < 100 for at in taken) <= most


def test_quotas_are_bounded():
    quotas = KeyedQuotas(Quota(1, 100), max_keys=3)
    for n in range(10):
        assert quotas.take(f"{n}", 0.0) == 0
    assert quotas.wait("9", 0.0) > 0 == quotas.wait("0", 0.0) and len(quotas._taken) == 3


def test_limits_recover_from_a_clock_that_was_ahead():
    """By a year: what was taken meanwhile is not owed until that day comes."""
    year = 365 * 86400.0
    buckets, quotas = KeyedBuckets(Rate(2, 60)), KeyedQuotas(Quota(2, 3600))
    for limit in (buckets, quotas):
        assert [limit.take("a", year + n) > 0 for n in range(3)] == [False, False, True]
    assert buckets.take("a", 0.0) == 0
    assert 0 < quotas.take("a", 0.0) <= 3600 and quotas.take("a", 3600.0) == 0


def test_a_time_that_is_a_little_late_refills_nothing():
    buckets = KeyedBuckets(Rate(1, 60))
    assert buckets.take("a", 100.0) == 0
    assert buckets.take("a", 99.0) > 0 and buckets.take("a", 41.0) > 0
