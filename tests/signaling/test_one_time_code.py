from signaling.one_time_code import CodeRules, Registration

RULES = CodeRules()
PEPPER = b"p" * 32


def fresh():
    return Registration.begin("R", "+12025550100", RULES, 0.0).after_sending("012345", PEPPER, RULES, 0.0)


def test_only_the_code_matches_and_is_not_kept():
    registration = fresh()
    assert registration.matches("012345", PEPPER)
    assert not registration.matches("012346", PEPPER) and not registration.matches("012345", b"other")
    assert "012345" not in str(registration) and registration.code_hash not in repr(registration)
    other = Registration.begin("S", "+12025550100", RULES, 0.0).after_sending("012345", PEPPER, RULES, 0.0)
    assert other.code_hash != registration.code_hash


def test_nothing_matches_before_a_code_is_sent():
    registration = Registration.begin("R", "+12025550100", RULES, 0.0)
    assert registration.is_over(0.0) and not registration.matches("", PEPPER)


def test_tries():
    registration, waits = fresh(), []
    while not registration.is_over(0.0):
        registration = registration.after_wrong_code(RULES, 10.0)
        waits.append(registration.next_try - 10.0)
    assert waits == [0, 0, 60, 120, 0] and registration.tries_left == 0


def test_sends():
    registration, now, waits = fresh(), 0.0, [60.0]
    while registration.sends_left(RULES):
        now = registration.next_send
        registration = registration.after_sending("000000", PEPPER, RULES, now)
        waits.append(registration.next_send - now)
        assert registration.expires == now + 600
    assert waits == [60, 120, 300, 600, 600] and registration.sent == 5
    assert not registration.matches("012345", PEPPER)


def test_new_codes_do_not_renew_the_tries():
    registration = fresh().after_wrong_code(RULES, 0.0).after_sending("1", PEPPER, RULES, 60.0)
    assert registration.tries_left == 4
    assert not registration.is_over(659.9) and registration.is_over(660.0)
