from dataclasses import replace

from signaling.contact_budget import MAX_PEERS, ContactBudget, ContactLimits
from signaling.rate_limit import Rate

ALICE, BOB = "+12025550100", "+12025550101"
DAY = 86400.0


def number(n):
    return f"+1{2025550110 + n}"


def make(**rates):
    return ContactBudget(replace(ContactLimits(), **rates), b"secret")


def test_an_address_book_is_asked_for_at_once_and_500_more_a_day():
    budget = make()
    for start in range(0, 5000, 1000):
        assert budget.ask(ALICE, {number(n) for n in range(start, start + 1000)}, 0.0) == 0
    assert budget.ask(ALICE, {BOB}, 0.0) > 0
    # Again and again, in any part: free.
    assert budget.ask(ALICE, {number(n) for n in range(300, 900)}, 0.0) == 0
    assert budget.ask(ALICE, {ALICE}, 0.0) == 0
    assert budget.ask(ALICE, {number(n) for n in range(6000, 6500)}, DAY) == 0
    assert budget.ask(ALICE, {BOB}, DAY) > 0
    # Somebody else has his own.
    assert budget.ask(BOB, {number(n) for n in range(1000)}, 0.0) == 0


def test_calling_is_no_free_way_to_enumerate():
    budget = make(numbers=Rate(20, 30), strangers=Rate(1e9, 1))
    assert budget.ask(ALICE, {number(n) for n in range(18)}, 0.0) == 0
    assert [budget.address(ALICE, number(n), 0.0) for n in range(18, 21)] == [0, 0, 30]
    assert budget.ask(ALICE, {number(20)}, 0.0) == 30
    # Whom it has asked for, it may still call.
    assert budget.address(ALICE, number(3), 0.0) == 0


def test_10_strangers_at_once_and_one_more_per_30_s():
    budget = make()
    assert budget.ask(ALICE, {number(n) for n in range(50)}, 0.0) == 0
    assert [budget.address(ALICE, number(n), 0.0) for n in range(10)] == [0] * 10
    assert budget.address(ALICE, number(10), 0.0) == 30
    assert budget.address(ALICE, number(10), 30.0) == 0 < budget.address(ALICE, number(11), 30.0)
    for _ in range(50):
        assert budget.address(ALICE, number(3), 0.0) == 0 == budget.address(ALICE, ALICE, 0.0)


def test_30_strangers_a_day_for_an_account_of_less_than_a_week():
    budget, born = make(), 100 * DAY
    budget.opened(ALICE, born)
    budget.opened(BOB, born - 8 * DAY)
    addressed = {ALICE: 0, BOB: 0}
    for n in range(100):
        now = born + n * 30.0
        for account in addressed:
            addressed[account] += budget.address(account, number(n), now) == 0
    assert addressed == {ALICE: 30, BOB: 100}
    assert budget.address(ALICE, number(99), born + 3000) == DAY - 3000
    assert budget.address(ALICE, number(99), born + DAY) == 0
    later = born + 7 * DAY
    budget.opened(ALICE, born)
    assert [budget.address(ALICE, number(n), later) for n in range(200, 210)] == [0] * 10


def test_who_was_heard_from_is_no_stranger():
    budget = make(strangers=Rate(1, 30), numbers=Rate(1, 30))
    for n in range(20):
        budget.heard(ALICE, number(n))
    assert not budget.sees(number(3), ALICE), "who is heard is not answered by that"
    assert all(budget.address(ALICE, number(n), 0.0) == 0 for n in range(20))
    assert budget.sees(number(3), ALICE) and not budget.sees(BOB, ALICE)
    assert budget.address(ALICE, BOB, 0.0) == 0
    budget.forget(ALICE)
    assert not budget.sees(number(3), ALICE) and budget.ask(ALICE, {number(3)}, 0.0) == 0


def test_a_refused_question_teaches_nothing():
    budget = make(numbers=Rate(10, 30))
    assert budget.ask(ALICE, {number(n) for n in range(11)}, 0.0) > 0
    assert budget.ask(ALICE, {number(n) for n in range(10)}, 0.0) == 0
    assert budget.ask(ALICE, {number(10)}, 0.0) > 0
    assert budget.address(ALICE, number(10), 0.0) > 0 and not budget.sees(number(10), ALICE)


def test_no_number_is_kept_and_memory_is_bounded(monkeypatch):
    budget = make(numbers=Rate(1e9, 1))
    budget.ask(ALICE, {f"+1202{n:07d}" for n in range(MAX_PEERS + 500)}, 0.0)
    assert len(budget._accounts[ALICE].peers) == MAX_PEERS == budget._all_peers
    assert all(isinstance(key, int) for key in budget._accounts[ALICE].peers)
    monkeypatch.setattr("signaling.contact_budget.MAX_ALL_PEERS", MAX_PEERS + 10)
    budget.ask(BOB, {number(n) for n in range(11)}, 0.0)
    assert list(budget._accounts) == [BOB] and budget._all_peers == 11


def test_presence_shows_an_account_and_makes_nobody_less_of_a_stranger():
    budget = make(strangers=Rate(1, 30), numbers=Rate(1, 30))
    for n in range(20):
        budget.show(ALICE, number(n))
    assert budget.sees(number(3), ALICE) and not budget.sees(ALICE, number(3))
    assert budget.address(ALICE, number(0), 0.0) == 0 < budget.address(ALICE, number(1), 0.0)
    assert budget.ask(ALICE, {number(2)}, 0.0) > 0
    budget.show(ALICE, number(3), False)
    budget.show(ALICE, BOB, False)
    assert not budget.sees(number(3), ALICE) and budget.sees(ALICE, ALICE)


def test_what_is_kept_of_a_stranger_is_limited_whether_it_is_taken_or_not():
    budget = make()
    assert [budget.keep(ALICE, BOB, 0.0) for _ in range(250)] == [0.0] * 250
    assert budget.keep(ALICE, BOB, 0.0) > 0 == budget.keep(ALICE, number(1), 0.0)
    budget.heard(BOB, ALICE)
    assert budget.keep(ALICE, BOB, 0.0) > 0
    assert budget.address(BOB, ALICE, 0.0) == 0 == budget.keep(ALICE, BOB, 0.0)


def test_an_account_from_the_future_is_not_young_for_ever():
    """It was made while the clock was wrong."""
    budget = make()
    budget.opened(ALICE, 365 * DAY)
    assert [budget.address(ALICE, number(n), n * 30.0) for n in range(50)] == [0] * 50
