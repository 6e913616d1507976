"""Proofs, assertions and access tokens: what verifies, and everything that must not."""

import json
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as some

from signaling.errors import TokenError
from signaling.jid import Jid
from signaling.tokens import (
    AccessToken,
    Assertion,
    b64url,
    decode_public_key,
    encode_public_key,
    make_access_token,
    make_assertion,
    make_proof,
    make_request_proof,
    read_jws,
    sign_jws,
    unb64url,
    verify_access_token,
    verify_assertion,
    verify_proof,
    verify_request_proof,
)

NOW = 1_800_000_000
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
NUMBER, DOMAIN = "+12025550100", "calls.example"
ASSERTION = Assertion("d1", NUMBER, DOMAIN, NOW, "an-id-of-length")
TOKEN = AccessToken("http://x", Jid(NUMBER, DOMAIN), DOMAIN, NOW, NOW + 900, "id", "d1", 3)
KEYS = {"k1": KEY.public_key()}


def reason(call, *arguments):
    with pytest.raises(TokenError) as error:
        call(*arguments)
    return error.value.reason


def check(text, now=NOW):
    return verify_access_token(text, KEYS, DOMAIN, now)


def test_proof():
    device_key = encode_public_key(KEY.public_key())
    proof = make_proof(KEY, DOMAIN, "R", NUMBER)
    verify_proof(proof, DOMAIN, "R", NUMBER, device_key)
    for changed in (
        ("other.example", "R", NUMBER, device_key),
        (DOMAIN, "S", NUMBER, device_key),
        (DOMAIN, "R", "+12025550101", device_key),
        (DOMAIN, "R", NUMBER, encode_public_key(OTHER.public_key())),
    ):
        assert reason(verify_proof, proof, *changed) == "signature"
    assert reason(verify_proof, proof[:-1], DOMAIN, "R", NUMBER, device_key) == "malformed"
    # The bytes are the protocol's: an independent client can build them.
    KEY.public_key().verify(
        unb64url(proof), f"ringline-register-1\n{DOMAIN}\nR\n{NUMBER}\n{device_key}".encode()
    )


def test_assertion():
    text = make_assertion(KEY, ASSERTION)
    arguments = (KEY.public_key(), "d1", NUMBER, DOMAIN)
    assert verify_assertion(text, *arguments, NOW + 300) == ASSERTION
    assert reason(verify_assertion, text, *arguments, NOW + 301) == "skew"
    assert reason(verify_assertion, text, *arguments, NOW - 301) == "skew"
    assert reason(verify_assertion, text, OTHER.public_key(), "d1", NUMBER, DOMAIN, NOW) == "signature"
    for change in ({"device": "d2"}, {"number": "+12025550101"}, {"audience": "x"}, {"id": "short"}):
        changed = make_assertion(KEY, replace(ASSERTION, **change))
        assert reason(verify_assertion, changed, *arguments, NOW) == "claims"
    for claims in ({}, {"iss": "d1", "sub": NUMBER, "aud": [DOMAIN], "iat": NOW, "jti": "x" * 10}):
        assert reason(verify_assertion, sign_jws(KEY, claims), *arguments, NOW) == "claims"


def nested(depth):
    return [] if depth == 0 else [nested(depth - 1)]


ABSURD = {
    "400 digits": 10**400,
    "beyond any date": 10**13,
    "negative": -(10**400),
    "a float": float(NOW),
    "infinite": float("inf"),
    "nan": float("nan"),
    "true": True,
    "text": str(NOW),
    "null": None,
    "nested": nested(300),
    "a lone surrogate": "\ud800" * 10,
    "an object": {"a": 1},
}


@pytest.mark.parametrize("value", ABSURD.values(), ids=ABSURD)
def test_absurd_claims_are_refused_with_the_documented_error(value):
    assertion = {"iss": "d1", "sub": NUMBER, "aud": DOMAIN, "iat": NOW, "jti": "x" * 10}
    token = {"iss": "x", "sub": f"{NUMBER}@{DOMAIN}", "aud": DOMAIN, "iat": NOW, "exp": NOW + 9}
    token |= {"jti": "x" * 10, "dev": "d1", "gen": 1}
    proof = {"htm": "GET", "htu": "http://x/v1/account", "iat": NOW, "jti": "x" * 10, "ath": "x"}
    asserted = (KEY.public_key(), "d1", NUMBER, DOMAIN, NOW)
    proved = (KEY.public_key(), "GET", "/v1/account", "token", NOW)
    for name in assertion:
        if not (name == "jti" and value == str(NOW)):
            assert reason(verify_assertion, sign_jws(KEY, assertion | {name: value}), *asserted) == "claims"
    for name in set(token) - {"iss", "jti", "dev"} if isinstance(value, str) else token:
        assert reason(check, sign_jws(KEY, token | {name: value}, {"kid": "k1"})) == "claims"
    for name in proof:
        text = sign_jws(KEY, proof | {name: value}, {"typ": "dpop+jwt"})
        assert reason(verify_request_proof, text, *proved) == "claims"


def test_a_proof_is_for_one_request_with_one_token():
    url = "https://proxy.example/prefix/v1/account?x=1"
    text = make_request_proof(KEY, "PATCH", url, "token", "an-id-of-length", NOW)
    right = (KEY.public_key(), "PATCH", "/v1/account", "token", NOW + 300)
    assert verify_request_proof(text, *right) == ("an-id-of-length", NOW)
    for place, value, why in (
        (0, OTHER.public_key(), "signature"),
        (1, "DELETE", "claims"),
        (2, "/v1/devices/d1", "claims"),
        (3, "another token", "claims"),
        (4, NOW + 301, "skew"),
        (4, NOW - 301, "skew"),
    ):
        assert reason(verify_request_proof, text, *right[:place], value, *right[place + 1 :]) == why
    # An assertion by the same key is no proof.
    assert reason(verify_request_proof, make_assertion(KEY, ASSERTION), *right) == "malformed"
    assert reason(verify_request_proof, "", *right) == "malformed"


def test_access_token():
    text = make_access_token(KEY, "k1", TOKEN)
    assert check(text) == TOKEN
    assert check(text, NOW + 930) == TOKEN
    assert reason(check, text, NOW + 931) == "expired"
    assert reason(check, text, NOW - 31) == "claims"
    assert reason(check, make_access_token(OTHER, "k1", TOKEN)) == "signature"
    assert reason(check, make_access_token(KEY, "k2", TOKEN)) == "signature"
    for change in (
        {"audience": "other.example"},
        {"subject": Jid(NUMBER, "other.example")},
        {"subject": Jid("info", DOMAIN)},
        {"subject": Jid(NUMBER, DOMAIN, "d1")},
        {"generation": True},
        {"expires": float(NOW)},
    ):
        assert reason(check, make_access_token(KEY, "k1", replace(TOKEN, **change))) == "claims"


def test_an_independent_library_reads_it():
    text = make_access_token(KEY, "k1", TOKEN)
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(text, KEY.public_key(), algorithms=["EdDSA"], audience=DOMAIN, options=options)
    assert claims["sub"] == f"{NUMBER}@{DOMAIN}" and claims["dev"] == "d1" and claims["gen"] == 3
    assert jwt.get_unverified_header(text) == {"alg": "EdDSA", "typ": "JWT", "kid": "k1"}


def test_missing_exp_is_refused():
    claims = {
        "iss": "x",
        "sub": f"{NUMBER}@{DOMAIN}",
        "aud": DOMAIN,
        "iat": NOW,
        "jti": "x",
        "dev": "d",
        "gen": 1,
    }
    assert reason(check, sign_jws(KEY, claims, {"kid": "k1"})) == "claims"


def forge(header, claims=None):
    payload = claims or {"sub": f"{NUMBER}@{DOMAIN}", "exp": NOW + 900}
    parts = (b64url(json.dumps(part).encode()) for part in (header, payload))
    return ".".join((*parts, ""))


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS256", "ES256", "", None, 1])
def test_the_algorithm_is_not_the_headers_choice(alg):
    assert reason(check, forge({"alg": alg, "typ": "JWT", "kid": "k1"})) in ("malformed", "signature")


def test_hs256_with_the_public_key_as_secret():
    secret = KEY.public_key().public_bytes_raw()
    text = jwt.encode(
        {"sub": f"{NUMBER}@{DOMAIN}", "exp": NOW + 900}, secret, algorithm="HS256", headers={"kid": "k1"}
    )
    assert reason(check, text) in ("malformed", "signature")


@pytest.mark.parametrize("payload", [b"[]", b"1", b"null", b"\xff", b"[" * 2000, b'{"a":1e999}'])
def test_a_signed_payload_that_is_no_claims(payload):
    text = jwt.PyJWS().encode(payload, KEY, algorithm="EdDSA", headers={"kid": "k1"})
    assert reason(check, text) in ("malformed", "claims")


def test_every_changed_byte_is_noticed():
    text = make_access_token(KEY, "k1", TOKEN)
    # The very last character of a base64 text has bits that mean nothing: left out.
    for n in range(0, len(text) - 1, 5):
        if text[n] != ".":
            changed = text[:n] + ("A" if text[n] != "A" else "B") + text[n + 1 :]
            assert reason(check, changed) in ("malformed", "signature")


@given(
    some.text(max_size=100)
    | some.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,90}")
)
def test_any_text(text):
    for call, arguments in (
        (check, ()),
        (verify_assertion, (KEY.public_key(), "d1", NUMBER, DOMAIN, NOW)),
        (verify_proof, (DOMAIN, "R", NUMBER, encode_public_key(KEY.public_key()))),
        (decode_public_key, ()),
        (read_jws, (lambda header: KEY.public_key(),)),
    ):
        with pytest.raises(TokenError):
            call(text, *arguments)


@given(
    some.dictionaries(
        some.text(max_size=8), some.none() | some.text() | some.integers() | some.lists(some.text())
    )
)
def test_any_header(header):
    with pytest.raises(TokenError):
        check(forge(header))


@given(some.binary(max_size=80))
def test_b64url_round_trip(data):
    assert unb64url(b64url(data)) == data


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A A", "AA\n", "+/", "é", "AAAAA"])
def test_b64url_is_strict(text):
    with pytest.raises(TokenError):
        unb64url(text, 32)
