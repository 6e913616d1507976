"""What an attack costs under given limits: found by attacking the policies that the server runs, in virtual time."""

import math
from dataclasses import dataclass

from signaling.contact_budget import ContactBudget
from signaling.policy.sms import Caller, SentCode, SmsPolicy
from signaling.server_limits import Limits

DAY = 86400.0
STEP = 60.0
VICTIM = "+12025550100"
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """One line: `value` of `unit`."""

    attack: str
    value: float
    unit: str

    def __str__(self) -> str:
        value = f"{self.value:,.0f}" if self.value >= 1 else f"{self.value:.1e}"
        return f"{value} {self.unit}"


def costs(limits: Limits) -> list[Cost]:
    """The table of `ringline limits`."""
    first = numbers_a_day(limits, days=1)
    daily = numbers_a_day(limits, days=2) - first
    young, old = strangers_a_day(limits, age=0.0), strangers_a_day(limits, age=limits.contacts.young + 1)
    bombed, bombed_twice = sms_to_one(limits, 1000, days=1), sms_to_one(limits, 1000, days=2)
    networks = _network_numbers(limits)
    accounts = math.ceil(MILLION / first)
    rows = [
        ("numbers that one account learns about on its first day", first, "numbers"),
        ("... and on every later day", daily, "numbers"),
        ("accounts that learn about 1,000,000 numbers in a day", accounts, "registered mobile numbers"),
        (
            "... networks (/24, /56) that register so many in a day",
            math.ceil(accounts / networks),
            "networks",
        ),
        ("days in which one account does", 1 + math.ceil((MILLION - first) / daily), "days"),
        ("strangers that an account of less than a week can ring or write to in a day", young, "people"),
        ("... that an older account can", old, "people"),
        ("SMS to one number in a day, from one network", sms_to_one(limits, 1, days=1), "SMS"),
        ("SMS to one number in its first day, from 1,000 networks", bombed, "SMS"),
        ("... in every later day", bombed_twice - bombed, "SMS"),
        (
            "... in its first day, if one of the networks is its own",
            sms_to_one(limits, 10, days=1, home=True),
            "SMS",
        ),
        ("chance to guess a code of one number in a day", bombed * limits.codes.tries / MILLION, "of 1"),
        ("SMS to one prefix (10,000 numbers) in a day, of which none is entered", pumped(limits, 1), "SMS"),
        ("SMS to one country in a day, of which none is entered", pumped(limits, 10_000), "SMS"),
    ]
    return [Cost(*row) for row in rows]


def numbers_a_day(limits: Limits, days: int) -> int:
    """How many numbers one account can look up, asking all the time for as many as one request takes, or fewer."""
    budget, learned, size = ContactBudget(limits.contacts, b"cost"), 0, limits.lookup_numbers
    for step in range(int(days * DAY / STEP)):
        while not budget.ask(VICTIM, {f"+1{learned + n:010d}" for n in range(size)}, step * STEP):
            learned += size
        size = max(1, size // 2)
    return learned


def strangers_a_day(limits: Limits, age: float) -> int:
    """How many strangers an account can send to on the day after it reached this age."""
    budget, reached = ContactBudget(limits.contacts, b"cost"), 0
    budget.opened(VICTIM, -age)
    for step in range(int(DAY / STEP)):
        while not budget.address(VICTIM, f"+1{reached:010d}", step * STEP):
            reached += 1
    return reached


def _policy(limits: Limits) -> SmsPolicy:
    return SmsPolicy(limits.sms, b"cost", lambda number: "one")


def _network(n: int) -> Caller:
    return Caller(f"10.{n // 256 % 256}.{n % 256}.1")


def sms_to_one(limits: Limits, networks: int, days: int, *, home: bool = False) -> int:
    """How many codes one number can be sent from so many networks that take turns; `home`: it uses one of them."""
    policy, sent = _policy(limits), 0
    if home:
        policy.at_home(VICTIM, _network(0))
    for step in range(int(days * DAY / STEP)):
        now = step * STEP
        code = policy.send(VICTIM, f"{step}", _network(step % networks), now, first=True)
        if isinstance(code, SentCode):
            policy.sent(code)
            sent += 1
    return sent


def pumped(limits: Limits, prefixes: int) -> int:
    """How many codes to numbers of these prefixes go out in a day, each to another number and from another network."""
    policy, sent = _policy(limits), 0
    for step in range(int(DAY / STEP)):
        now, number = step * STEP, f"+1{step % prefixes:06d}{step // prefixes % 10_000:04d}"
        code = policy.send(number, f"{step}", _network(step), now, first=True)
        if isinstance(code, SentCode):
            policy.sent(code)
            sent += 1
    return sent


def _network_numbers(limits: Limits) -> int:
    policy = _policy(limits)
    asked = (
        policy.send(f"+1{n:06d}0000", f"{n}", _network(1), n * STEP, first=True)
        for n in range(int(DAY / STEP))
    )
    return sum(isinstance(code, SentCode) for code in asked)
