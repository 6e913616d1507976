"""The table of limits on codes, a row a test (Limits.sms, reference/signaling.md section 5), in virtual time."""

from dataclasses import replace

import pytest

from signaling.policy.sms import Caller, Refusal, SentCode, SmsLimits, SmsPolicy
from signaling.rate_limit import Quota, Rate

VICTIM, HOUR, DAY = "+12025550100", 3600.0, 86400.0
WIDE = Rate(1e9, 1e-6)


def only(*names):
    """The standing limits, with every rate widened but these."""
    limits = SmsLimits()
    rates = [n for n in limits.__dataclass_fields__ if isinstance(getattr(limits, n), Rate | Quota)]
    return replace(limits, **{n: WIDE for n in rates if n not in names})


class Policy(SmsPolicy):
    """Asks as a server does whose gateway takes every code: None if it was sent, else the refusal."""

    def try_(self, to, caller, now, first=True, registration="r"):
        code = self.send(to, registration, caller, now, first=first)
        if isinstance(code, Refusal):
            return code
        self.sent(code)
        self.log = [*getattr(self, "log", []), code]
        return None


def policy(limits):
    return Policy(limits, b"secret", lambda to: "US" if to.startswith("+1") else "DE")


def net(n, host=1):
    return Caller(f"10.{n // 256}.{n % 256}.{host}")


def sends(rules, number, callers, times, first=True):
    """How many of these requests get a code."""
    count = 0
    for caller, now in zip(callers, times, strict=True):
        if rules.try_(number, caller, now, first=first) is None:
            count += 1
    return count


def number(n):
    """Of the victim's prefix below 10,000."""
    return f"+1{2025550000 + n}"


def test_per_number_5_and_one_more_per_288_minutes():
    rules = policy(only("number"))
    assert sends(rules, VICTIM, [net(n) for n in range(20)], [float(n) for n in range(20)]) == 5
    refusal = rules.try_(VICTIM, net(30), 20.0, first=True)
    assert refusal.limit == "number" and refusal.wait == pytest.approx(288 * 60 - 20, abs=1)
    assert rules.try_(VICTIM, net(30), 20.0 + refusal.wait, first=True) is None
    assert rules.try_("+12025550101", net(30), 20.0, first=True) is None


def test_a_minute_between_two_codes_to_one_number():
    rules = policy(only("number_gap"))
    assert sends(rules, VICTIM, [net(n) for n in range(121)], [float(n) for n in range(121)]) == 3


def test_an_entered_code_ends_the_gap_and_only_that():
    rules = policy(only("number_gap", "number"))
    for n in range(5):
        assert rules.try_(VICTIM, net(n), 0.0, first=True) is None
        rules.entered(VICTIM, "r", net(50 + n))
    assert rules.try_(VICTIM, net(6), 0.0, first=True).limit == "number"


def test_per_address_6_calls_and_one_more_per_30_s():
    rules = policy(SmsLimits())
    caller = Caller("192.0.2.7")
    assert [rules.call(caller, 0.0) for _ in range(6)] == [None] * 6
    assert rules.call(caller, 0.0).limit == "address_calls"
    assert rules.call(caller, 30.0) is None and rules.call(caller, 30.0) is not None
    # IPv6 is counted by /64: one site has 2^64 addresses.
    assert [rules.call(Caller(f"2001:db8::{n:x}"), 0.0) for n in range(6)] == [None] * 6
    assert rules.call(Caller("2001:db8::ffff"), 0.0) is not None
    assert rules.call(Caller("2001:db8:0:1::1"), 0.0) is None


@pytest.mark.parametrize("address", ["10.0.0.{}", "2001:db8::{}"])
def test_per_network_10_numbers_an_hour(address):
    rules = policy(only("network_numbers"))
    got = [
        rules.try_(number(n), Caller(address.format(n + 1)), n * 36.0, first=True) is None for n in range(100)
    ]
    assert sum(got) == 10 and got[:10] == [True] * 10
    # Another code to the same number is not another number.
    assert rules.try_(VICTIM, Caller(address.format(1)), HOUR, first=False) is None


def test_per_prefix_20_an_hour():
    rules = policy(only("prefix"))
    got = sum(rules.try_(number(n), net(n), float(n), first=True) is None for n in range(100))
    assert got == 20
    assert rules.try_(number(200), net(1), HOUR - 1, first=True).limit == "prefix"
    assert rules.try_(number(200), net(1), HOUR, first=True) is None
    assert rules.try_("+12035550100", net(1), 100.0, first=True) is None


def test_per_country_1000_a_day():
    rules = policy(only("country"))
    got = sum(rules.try_(number(n * 9973), net(n), 0.0, first=True) is None for n in range(1100))
    assert got == 1000
    assert rules.try_("+4915112345678", net(1), 0.0, first=True) is None


def test_one_network_cannot_lock_the_owner_out():
    """An attacker asks for codes to the victim's number as often as he is let, from one network."""
    rules = policy(SmsLimits())
    for minute in range(24 * 60):
        rules.try_(VICTIM, net(1, minute % 250), minute * 60.0, first=False)
    for n in range(2):  # the owner, from wherever he is
        assert rules.try_(VICTIM, net(2), DAY + n * 61, first=True) is None


def test_many_networks_cannot_lock_the_owner_out_at_home():
    rules = policy(SmsLimits())
    rules.at_home(VICTIM, net(7))
    sent = sum(rules.try_(VICTIM, net(9 + n % 50), n * 60.0, first=False) is None for n in range(24 * 60))
    assert sent == 9  # and this is all that can be done to bomb a number: 5, and one per 288 minutes
    assert rules.try_(VICTIM, net(8), DAY - 1, first=True).limit == "number"
    assert rules.try_(VICTIM, net(7, 99), DAY, first=True) is None


@pytest.mark.parametrize("how", ["prefix", "country", "suspicious_prefix", "suspicious_country"])
def test_nobody_uses_up_the_codes_of_who_is_at_home_by_asking_for_other_numbers(how):
    """What the prefix and the country have is shared with strangers; at home a number has a share that is not."""
    rules = policy(only(how))
    assert rules.try_(VICTIM, net(7), 0.0, registration="own") is None
    rules.entered(VICTIM, "own", net(7))
    far = 10_000 if "country" in how else 1
    refused = [
        rules.try_(number(far * (n + 200)), net(n), 1.0 + n / 10, registration=f"{n}") for n in range(1500)
    ]
    refused += [
        rules.try_(number(far * (n + 200)), net(n), 800.0 + n, registration=f"late {n}") for n in range(200)
    ]
    assert how in {refusal.limit for refusal in refused if refusal}
    assert rules.try_(VICTIM, net(8), 1000.0).limit == how, "elsewhere it is a stranger like others"
    assert rules.try_(VICTIM, net(7), 1000.0) is None
    again = policy(only(how))
    again.replay(rules.log)
    again.at_home(VICTIM, net(7))
    assert again.try_(VICTIM, net(7), 1000.0) is None, "nor after a restart"


def test_who_is_at_home_everywhere_pumps_no_more_than_strangers():
    """A fraud that has registered all numbers of a prefix, and asks at home."""
    rules = policy(only("prefix"))
    for n in range(100):
        rules.at_home(number(n), net(n))
    assert sum(rules.try_(number(n), net(n), 1.0) is None for n in range(100)) == 20


def pump(rules, count, *, entered, start=0.0, gap=1.0):
    """Codes to one prefix, from networks where none of the numbers is at home; a share is entered. How many were sent."""
    sent = 0
    for n in range(count):
        to, caller = number(n), net(n + int(start) % 50_000)
        now = start + n * gap
        if rules.try_(to, caller, now, first=True, registration=f"r{start}-{n}") is None:
            sent += 1
            if n % 100 < entered:
                rules.entered(to, f"r{start}-{n}", caller)
    return sent


def test_pumping_stops_below_30_of_100_entered():
    limits = only("suspicious_prefix")
    good, bad = policy(limits), policy(limits)
    assert pump(good, 100, entered=30) == pump(bad, 100, entered=29) == 100
    later = 100 + 600.0
    assert pump(good, 50, entered=15, start=later) == 50
    assert pump(bad, 50, entered=15, start=later) == 1
    refusal = bad.try_(number(60), net(1), later + 60, first=True)
    assert refusal.limit == "suspicious_prefix" and refusal.wait <= 600
    # Other prefixes are served, and a day after the attack so is this one.
    assert bad.try_("+12035550100", net(1), later, first=True) is None
    assert pump(bad, 50, entered=15, start=later + DAY) == 50


def test_a_suspicious_prefix_recovers_when_its_codes_are_entered():
    rules = policy(only("suspicious_prefix"))
    pump(rules, 72, entered=0)
    now, entered = 1000.0, 0
    while (
        rules.try_(VICTIM, net(entered), now, first=True, registration=f"good{now}") is None and entered < 50
    ):
        rules.entered(VICTIM, f"good{now}", net(entered))
        entered += 1
        refused = rules.try_(VICTIM, net(entered), now + 1, first=True)
        if refused is None:
            break
        assert refused.limit == "suspicious_prefix"
        now += 600
    assert entered == 30


def test_pumping_over_many_prefixes_slows_the_country():
    rules = policy(only("suspicious_country"))
    for n in range(100):
        assert rules.try_(number(n * 10_000), net(n), 0.0, first=True, registration=f"r{n}") is None
    got = sum(rules.try_(number(n * 10_000), net(n), 700.0 + n, first=True) is None for n in range(60))
    assert got == 10
    assert rules.try_("+4915112345678", net(1), 700.0, first=True) is None


def test_a_refusal_costs_nothing():
    rules = policy(only("prefix", "number"))
    for n in range(20):
        rules.try_(number(n), net(n), 0.0, first=True)
    for n in range(50):  # refused by the prefix
        assert rules.try_(VICTIM, net(n), float(n), first=True).limit == "prefix"
    assert sends(rules, VICTIM, [net(n) for n in range(9)], [HOUR] * 9) == 5
    assert rules.try_(VICTIM, net(9), HOUR, first=True).limit == "number"


def test_an_outage_of_the_gateway_costs_the_number_nothing():
    rules = policy(only("number", "number_gap", "number_of_network"))
    for n in range(20):
        code = SmsPolicy.send(rules, VICTIM, "r", net(1), float(n), first=True)
        assert isinstance(code, SentCode)
        rules.failed(code)


def test_local_callers_have_a_limit_of_their_own():
    rules = policy(SmsLimits())
    local = Caller("127.0.0.1", local=True)
    assert all(rules.call(local, 0.0) is None for _ in range(100))
    assert all(rules.try_(number(n), local, 0.0, first=True) is None for n in range(200, 400))
    assert sends(rules, VICTIM, [local] * 20, [0.0] * 20) == 10


def test_no_number_and_no_address_is_kept_in_clear():
    rules = policy(SmsLimits())
    rules.try_(VICTIM, Caller("192.0.2.77"), 0.0, first=True)
    rules.entered(VICTIM, "r", Caller("192.0.2.77"))
    kept = repr([list(b._buckets) for b in rules._buckets.values()] + [rules._homes])
    kept += repr([list(q._taken) for q in rules._quotas.values()]) + repr(rules.log)
    assert VICTIM not in kept and "192.0.2." not in kept


def test_a_restart_renews_nothing():
    """What a server wrote down of the last day brings back every limit, and what was entered."""
    limits = SmsLimits()
    before = policy(limits)
    for n in range(200):
        before.try_(number(n % 50 * 7000), net(n % 7), n * 61.0, registration=f"r{n}")
    before.entered(number(21_000), "r3", net(3))
    after = policy(limits)
    after.replay(replace(code, entered=code.registration == "r3") for code in before.log)
    seen = []
    for n in range(300):
        if n % 60 != 3:  # the networks where it is at home are learned anew
            to, now = number(n % 60 * 7000), 200 * 61.0 + n
            one, other = (rules.try_(to, net(n % 11), now, registration=f"x{n}") for rules in (before, after))
            assert one == other
            seen.append(one and one.limit)
    assert len(set(seen)) >= 3 and None in seen
