from signaling.contact_budget import MAX_PEERS, ContactBudget
from signaling.rate_limit import Rate

ALICE, BOB = "+12025550100", "+12025550101"
STRANGERS = [f"+1202555{n:04d}" for n in range(110, 199)]


def test_repeats_and_oneself_are_free():
    budget = ContactBudget(Rate(10, 30), b"secret")
    assert budget.ask(ALICE, set(STRANGERS[:10]), 0.0) == 0
    for _ in range(50):
        assert budget.ask(ALICE, {STRANGERS[3]}, 0.0) == 0 == budget.ask(ALICE, {ALICE}, 0.0)
    assert budget.ask(ALICE, {BOB}, 0.0) == 30
    assert budget.ask(ALICE, {BOB}, 30.0) == 0
    # Somebody else has his own.
    assert budget.ask(BOB, set(STRANGERS[:10]), 0.0) == 0


def test_who_was_heard_from_is_known():
    budget = ContactBudget(Rate(1, 30), b"secret")
    budget.know(ALICE, set(STRANGERS[:20]))
    assert budget.ask(ALICE, set(STRANGERS[:20]), 0.0) == 0 == budget.ask(ALICE, {BOB}, 0.0)


def test_a_refused_question_teaches_nothing():
    budget = ContactBudget(Rate(10, 30), b"secret")
    assert budget.ask(ALICE, set(STRANGERS[:11]), 0.0) > 0
    assert budget.ask(ALICE, set(STRANGERS[:10]), 0.0) == 0
    assert budget.ask(ALICE, {STRANGERS[10]}, 0.0) > 0


def test_no_number_is_kept_and_memory_is_bounded():
    budget = ContactBudget(Rate(1e9, 1), b"secret")
    budget.ask(ALICE, {f"+1202{n:07d}" for n in range(MAX_PEERS + 500)}, 0.0)
    kept = repr(budget._known)
    assert "+1202" not in kept.replace(ALICE, "")
    assert len(budget._known[ALICE]) == MAX_PEERS
