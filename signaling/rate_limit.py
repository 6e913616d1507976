"""Limits, told the time: token buckets and quotas, one and many by key in bounded memory."""

from collections import OrderedDict, deque
from dataclasses import dataclass

# A time that is so much earlier than one of before is not just late: the clock was set back.
SET_BACK = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then one per `seconds_per_token`."""

    burst: float
    seconds_per_token: float


class TokenBucket:
    """A bucket that begins full."""

    __slots__ = ("_rate", "_tokens", "_updated")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._updated = now

    def _refill(self, now: float) -> None:
        if now < self._updated - SET_BACK:  # how long ago that was nobody knows: begun anew
            self._tokens, self._updated = self._rate.burst, now
        # Otherwise time never runs backwards here, whatever the caller's clock does.
        elapsed = max(0.0, now - self._updated)
        self._tokens = min(self._rate.burst, self._tokens + elapsed / self._rate.seconds_per_token)
        self._updated = max(now, self._updated)

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Seconds until `amount` can be taken, 0 if at once. Above the burst: until the bucket is full."""
        self._refill(now)
        # Rounding must not make a caller wait again who waited as long as he was told.
        if amount <= self._tokens + 1e-9:
            return 0.0
        missing = min(amount, self._rate.burst) - self._tokens
        return max(missing, 1e-3) * self._rate.seconds_per_token

    def take(self, now: float, amount: float = 1.0) -> float:
        """Takes `amount` and returns 0, or takes nothing and returns wait()."""
        wait = self.wait(now, amount)
        if not wait:
            self._tokens -= amount
        return wait

    def spend(self, now: float, amount: float = 1.0) -> float:
        """Takes `amount` in any case; seconds until it would have been there, 0 if it was."""
        self._refill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens * self._rate.seconds_per_token)

    def give_back(self, amount: float = 1.0) -> None:
        """What was taken did not happen after all."""
        self._tokens = min(self._rate.burst, self._tokens + amount)


class KeyedBuckets:
    """A bucket for each key. At `max_keys` the least recently used is forgotten."""

    def __init__(self, rate: Rate, max_keys: int = 10_000) -> None:
        self._rate = rate
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float, amount: float = 1.0) -> float:
        """As TokenBucket.take, for this key."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, now)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now, amount)

    def wait(self, key: str, now: float, amount: float = 1.0) -> float:
        """What take(key, now, amount) would return; takes nothing."""
        bucket = self._buckets.get(key) or TokenBucket(self._rate, now)
        return bucket.wait(now, amount)

    def give_back(self, key: str, amount: float = 1.0) -> None:
        """As TokenBucket.give_back, for this key."""
        if key in self._buckets:
            self._buckets[key].give_back(amount)

    def forget(self, key: str) -> None:
        """The bucket of this key is full again."""
        self._buckets.pop(key, None)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `most` in any `seconds`: stricter than a bucket, which lets its burst and its refill pass."""

    most: int
    seconds: float


class KeyedQuotas:
    """A quota for each key: its last `most` times. At `max_keys` the least recently used is forgotten."""

    def __init__(self, quota: Quota, max_keys: int = 10_000) -> None:
        self._quota = quota
        self._max_keys = max_keys
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        """Seconds until one more is allowed, 0 if at once."""
        taken = self._taken.get(key)
        if taken is None or len(taken) < self._quota.most:
            return 0.0
        if taken[-1] > now + SET_BACK:  # what was taken while the clock was ahead was taken now at the latest
            taken = self._taken[key] = deque((min(at, now) for at in taken), maxlen=self._quota.most)
        return max(0.0, taken[0] + self._quota.seconds - now)

    def take(self, key: str, now: float) -> float:
        """Takes one and returns 0, or takes nothing and returns wait()."""
        wait = self.wait(key, now)
        if not wait:
            self._taken.setdefault(key, deque(maxlen=self._quota.most)).append(now)
            self._taken.move_to_end(key)
            if len(self._taken) > self._max_keys:
                self._taken.popitem(last=False)
        return wait
