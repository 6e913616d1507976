"""Passports: what holds, and that anything changed in them does not."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from signaling.device_list import DeviceList
from signaling.identity import (
    MAX_AGE,
    Binding,
    IdentityError,
    Party,
    Passport,
    Trust,
    UsedSids,
    Verdict,
    judge,
    key_fingerprint,
    read_passport,
    sign_passport,
    verify_passport,
)
from signaling.jingle.transport import Fingerprint
from signaling.tokens import b64url, encode_public_key, sign_jws

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = encode_public_key(KEY.public_key())
NOW = 1_800_000_000.0
A, B = Party("+12025550100", "d1"), Party("+12025550101", "d2")
OFFER = Binding(A, B, "calls.example", "sid-1")
PRINT = Fingerprint("sha-256", ":".join(["0A"] * 32))
OTHER = Fingerprint("sha-256", ":".join(["0B"] * 32))
PRINTS = frozenset([PRINT])


def claims_of(token: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def test_the_form_is_rfc_8225s() -> None:
    token = sign_passport(KEY, OFFER, [PRINT, OTHER, PRINT], NOW)
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "EdDSA", "typ": "passport", "jwk": {"crv": "Ed25519", "kty": "OKP", "x": PUBLIC}}
    claims = claims_of(token)
    assert claims == {
        "iat": int(NOW),
        "orig": {"tn": "12025550100"},
        "dest": {"tn": ["12025550101"]},
        "mky": [{"alg": "sha-256", "dig": "0A" * 32}, {"alg": "sha-256", "dig": "0B" * 32}],
        "dom": "calls.example",
        "sid": "sid-1",
        "dev": "d1",
        "peer": "d2",
    }
    assert list(claims) == sorted(claims)
    # An independent verifier agrees with the signature.
    jwt.PyJWS().decode(token, KEY.public_key(), algorithms=["EdDSA"])


def test_offer_and_answer_hold() -> None:
    offer = sign_passport(KEY, OFFER, PRINTS, NOW)
    assert verify_passport(offer, OFFER, PRINTS, NOW + 1, UsedSids()) == PUBLIC
    answer_binding = Binding(B, A, "calls.example", "sid-1", offer)
    answer = sign_passport(KEY, answer_binding, PRINTS, NOW)
    assert verify_passport(answer, answer_binding, PRINTS, NOW - 1) == PUBLIC


CHANGES: list[tuple[str, Callable[[Binding], Binding], str]] = [
    ("caller", lambda b: replace(b, signer=replace(b.signer, number="+12025550102")), "another number"),
    ("callee", lambda b: replace(b, peer=replace(b.peer, number="+12025550102")), "another number"),
    ("device", lambda b: replace(b, signer=replace(b.signer, device="d9")), "another device"),
    ("peer", lambda b: replace(b, peer=replace(b.peer, device="d9")), "another device"),
    ("domain", lambda b: replace(b, domain="evil.example"), "another domain"),
    ("sid", lambda b: replace(b, sid="sid-2"), "another call"),
    ("rsp", lambda b: replace(b, offer="another.offers.token"), "does not answer our offer"),
]


@pytest.mark.parametrize(("name", "change", "why"), CHANGES, ids=[c[0] for c in CHANGES])
def test_another_session(name: str, change: Callable[[Binding], Binding], why: str) -> None:
    token = sign_passport(KEY, OFFER, PRINTS, NOW)
    with pytest.raises(IdentityError, match=why):
        verify_passport(token, change(OFFER), PRINTS, NOW)


@pytest.mark.parametrize("age", [-MAX_AGE - 2, MAX_AGE + 2])
def test_time(age: float) -> None:
    with pytest.raises(IdentityError, match="too old"):
        verify_passport(sign_passport(KEY, OFFER, PRINTS, NOW), OFFER, PRINTS, NOW + age)


@pytest.mark.parametrize(
    "seen",
    [
        frozenset([OTHER]),
        frozenset([PRINT, OTHER]),
        frozenset(),
        frozenset([Fingerprint("sha-384", PRINT.digest)]),
    ],
)
def test_fingerprints_must_be_the_same_set(seen: frozenset[Fingerprint]) -> None:
    with pytest.raises(IdentityError, match="fingerprints are not those"):
        verify_passport(sign_passport(KEY, OFFER, PRINTS, NOW), OFFER, seen, NOW)


def test_a_sid_is_used_once_and_memory_is_bounded() -> None:
    used = UsedSids(limit=2)
    token = sign_passport(KEY, OFFER, PRINTS, NOW)
    used.add("sid-1")
    with pytest.raises(IdentityError, match="used before"):
        verify_passport(token, OFFER, PRINTS, NOW, used)
    for sid in "abc":
        used.add(sid)
    assert "sid-1" not in used and "a" not in used and "c" in used


def forged(header: dict[str, Any], key: Any = KEY, algorithm: str = "EdDSA") -> str:
    claims = json.dumps(claims_of(sign_passport(KEY, OFFER, PRINTS, NOW))).encode()
    return jwt.PyJWS().encode(claims, key, algorithm=algorithm, headers=header)


JWK = {"crv": "Ed25519", "kty": "OKP", "x": PUBLIC}


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (forged({"typ": "JWT", "jwk": JWK}), "malformed"),
        (forged({"typ": "passport"}), "malformed"),
        (forged({"typ": "passport", "jwk": JWK | {"x": "AAAA"}}), "malformed"),
        (forged({"typ": "passport", "jwk": JWK | {"kty": "oct"}}), "malformed"),
        (forged({"typ": "passport", "jwk": JWK}, PUBLIC * 2, "HS256"), "malformed"),
        (forged({"typ": "passport", "jwk": JWK}, None, "none"), "malformed"),
        (forged({"typ": "passport", "jwk": JWK}, Ed25519PrivateKey.generate()), "signature"),
        ("a.b.c", "malformed"),
        ("", "malformed"),
    ],
)
def test_form_and_signature(token: str, why: str) -> None:
    with pytest.raises(IdentityError, match=why):
        verify_passport(token, OFFER, PRINTS, NOW)


@given(st.one_of(st.text(max_size=80), st.binary(max_size=80).map(b64url)), st.integers(0, 2))
def test_any_text_in_any_part_is_refused_or_changes_nothing(junk: str, part: int) -> None:
    parts = sign_passport(KEY, OFFER, PRINTS, NOW).split(".")
    parts[part] = junk
    with pytest.raises(IdentityError):
        verify_passport(".".join(parts), OFFER, PRINTS, NOW)


@given(
    st.dictionaries(
        st.sampled_from(["orig", "dest", "dom", "dev", "peer", "sid", "rsp", "iat", "mky"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
        ),
        min_size=1,
    )
)
def test_signed_nonsense_is_refused(changes: dict[str, Any]) -> None:
    claims = claims_of(sign_passport(KEY, OFFER, PRINTS, NOW))
    changed = claims | changes
    if all(changed.get(k) == claims.get(k) for k in changes):
        return
    token = sign_jws(KEY, changed, {"typ": "passport", "jwk": JWK})
    with pytest.raises(IdentityError):
        verify_passport(token, OFFER, PRINTS, NOW)


ABSURD = [10**400, -(10**400), 2**60, float(NOW), float("nan"), float("inf"), True, str(NOW), None, [[]], {}]


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: str(value)[:12])
def test_absurd_claims_are_refused(value: Any) -> None:
    claims = claims_of(sign_passport(KEY, OFFER, PRINTS, NOW))
    listed = {"ver": 1, "devices": [{"device": "d1", "key": PUBLIC}]}
    for changed in (
        {"iat": value},
        listed | {"ver": value},
        {"devices": value},
        listed | {"devices": [value]},
    ):
        token = sign_jws(KEY, claims | changed, {"typ": "passport", "jwk": JWK})
        with pytest.raises(IdentityError):
            read_passport(token, OFFER, PRINTS, NOW)


def test_a_passport_states_the_devices_that_its_signer_believes() -> None:
    other = encode_public_key(Ed25519PrivateKey.generate().public_key())
    listed = DeviceList(A.number, "calls.example", 3, {"d1": PUBLIC, "d9": other}, "d1")
    token = sign_passport(KEY, OFFER, PRINTS, NOW, listed)
    assert read_passport(token, OFFER, PRINTS, NOW) == Passport(PUBLIC, listed)
    assert read_passport(sign_passport(KEY, OFFER, PRINTS, NOW), OFFER, PRINTS, NOW) == Passport(PUBLIC)
    for devices in (
        {"d9": other},
        {"d1": other},
        {},
        {"d1": PUBLIC, "d9": "x"},
        {"d1": PUBLIC, "d9": PUBLIC},
    ):
        token = sign_passport(KEY, OFFER, PRINTS, NOW, replace(listed, devices=devices))
        with pytest.raises(IdentityError, match="list of devices"):
            read_passport(token, OFFER, PRINTS, NOW)


def test_only_who_was_compared_is_verified() -> None:
    def ask(verified: dict[str, str] | None) -> Trust:
        pins = {"d2": "k", "d3": "l"}
        return judge(pins, "d2", "k", registered=None, allow_unsigned=False, verified=verified).trust

    assert ask({"d2": "k"}) is Trust.VERIFIED
    for verified in (None, {}, {"d2": "old"}, {"d3": "l"}):
        assert ask(verified) is Trust.SAME_KEY


def test_the_table_of_pins() -> None:
    def ask(
        pinned: dict[str, str], key: str | None, registered: str | None = None, unsigned: bool = False
    ) -> Verdict:
        return judge(pinned, "d2", key, registered=registered, allow_unsigned=unsigned)

    assert ask({"d2": "k"}, "k") == Verdict(Trust.SAME_KEY)
    assert ask({}, "k", "k") == Verdict(Trust.NOT_VERIFIED, pin="k")
    assert ask({}, None, unsigned=True) == Verdict(Trust.UNSIGNED)
    for pinned, key, registered, unsigned, why in (
        ({"d2": "k"}, "other", None, True, "changed"),
        ({"d2": "k"}, None, None, True, "missing"),
        ({"d1": "k"}, "k2", None, True, "new device"),
        ({"d1": "k"}, None, None, True, "missing"),
        ({}, None, None, False, "missing"),
        ({}, "k", "other", True, "registered"),
        ({}, "k", None, True, "names no key"),
    ):
        with pytest.raises(IdentityError, match=why):
            ask(pinned, key, registered, unsigned)


def test_only_a_key_that_could_be_trusted_is_offered_to_trust() -> None:
    with pytest.raises(IdentityError) as changed:
        judge({"d2": "k"}, "d2", "other", registered=None, allow_unsigned=False)
    assert changed.value.key == "other"
    with pytest.raises(IdentityError) as missing:
        judge({"d2": "k"}, "d2", None, registered=None, allow_unsigned=False)
    assert missing.value.key is None


def test_key_fingerprints_differ_and_are_readable() -> None:
    one, two = key_fingerprint(PUBLIC), key_fingerprint(PUBLIC[::-1])
    assert one != two and len(one.split()) == 6 and all(len(g) == 5 and g.isdigit() for g in one.split())
