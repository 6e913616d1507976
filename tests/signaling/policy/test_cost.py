"""What attacks cost, from the running limits; and that the page that says so says the same."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from signaling.policy.cost import costs, numbers_a_day, pumped, sms_to_one, strangers_a_day
from signaling.policy.sms import SmsLimits
from signaling.rate_limit import Quota, Rate
from signaling.server_limits import Limits

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "security.md"
WIDE = Rate(1e9, 1e-6)


@pytest.mark.long
def test_the_page_says_what_the_limits_say():
    text = PAGE.read_text()
    for cost in costs(Limits()):
        assert f"| {cost.attack} | {cost} |" in text


def test_the_cost_follows_the_limits():
    limits = Limits()
    assert numbers_a_day(limits, days=1) == 5499 and strangers_a_day(limits, age=0.0) == 30
    assert sms_to_one(limits, 1000, days=1) == 9 and pumped(limits, 1) < 20 * 24
    open_contacts = replace(limits.contacts, numbers=Rate(50_000, 172.8), young_strangers=Quota(77, 86400))
    assert numbers_a_day(replace(limits, contacts=open_contacts), days=1) == 50_499
    assert strangers_a_day(replace(limits, contacts=open_contacts), age=0.0) == 77
    loose = replace(limits, sms=SmsLimits(number=WIDE, number_of_network=WIDE))
    assert sms_to_one(loose, 1000, days=1) > 100


def test_every_limit_on_the_page_has_its_test():
    named = set(re.findall(r"\btest_\w+", PAGE.read_text()))
    folders = (ROOT / "tests" / "signaling", ROOT / "tests" / "interop")
    sources = "\n".join(path.read_text() for folder in folders for path in folder.rglob("test_*.py"))
    assert len(named) > 30
    assert named - set(re.findall(r"def (test_\w+)", sources)) == set()
