"""Device lists: what holds, what does not, and that no text does harm."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from signaling.device_link import LinkCode
from signaling.device_list import (
    MAX_DEVICES,
    DeviceList,
    newer_list,
    newest_known,
    read_handed_list,
    sign_device_list,
    verify_device_list,
)
from signaling.errors import TokenError
from signaling.identity import IdentityError, Trust, judge
from signaling.tokens import encode_public_key, sign_jws

ALICE, DOMAIN = "+12025550100", "calls.example"
FIRST, SECOND = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
KEYS = {"d1": encode_public_key(FIRST.public_key()), "d2": encode_public_key(SECOND.public_key())}
LIST = DeviceList(ALICE, DOMAIN, 5, KEYS, "d1")
PINS = {"d1": KEYS["d1"]}


def test_a_list_holds_by_a_key_that_is_known() -> None:
    text = sign_device_list(FIRST, LIST)
    assert verify_device_list(text, ALICE, DOMAIN, PINS) == LIST
    assert newer_list(text, ALICE, DOMAIN, PINS, 5) == LIST
    assert newer_list(text, ALICE, DOMAIN, PINS, 6) is None, "replayed: there was a newer one"
    assert newer_list(None, ALICE, DOMAIN, PINS, 0) is None


FORGERIES = [
    pytest.param(SECOND, LIST, id="another key under a known name"),
    pytest.param(SECOND, replace(LIST, signer="d2"), id="a device that is not known"),
    pytest.param(FIRST, replace(LIST, number="+12025550101"), id="another number's"),
    pytest.param(FIRST, replace(LIST, domain="evil.example"), id="another domain's"),
    pytest.param(FIRST, replace(LIST, devices={"d2": KEYS["d2"]}), id="without its signer"),
    pytest.param(FIRST, replace(LIST, devices=KEYS | {"d1": KEYS["d2"]}), id="another key for its signer"),
    pytest.param(FIRST, replace(LIST, version=0), id="no version"),
    pytest.param(FIRST, replace(LIST, devices=PINS | {"d3": "x"}), id="no key"),
    pytest.param(
        FIRST,
        replace(LIST, devices=PINS | {f"x{n}": KEYS["d2"] for n in range(MAX_DEVICES)}),
        id="too many",
    ),
]


@pytest.mark.parametrize(("key", "listed"), FORGERIES)
def test_forged_lists(key: Ed25519PrivateKey, listed: DeviceList) -> None:
    with pytest.raises(TokenError):
        verify_device_list(sign_device_list(key, listed), ALICE, DOMAIN, PINS)


def test_a_device_twice_on_a_list() -> None:
    entries = [{"device": "d1", "key": KEYS["d1"]}] * 2
    claims = {"sub": ALICE, "aud": DOMAIN, "ver": 1, "devices": entries}
    with pytest.raises(TokenError):
        verify_device_list(
            sign_jws(FIRST, claims, {"typ": "ringline-devices", "kid": "d1"}), ALICE, DOMAIN, PINS
        )


ABSURD = [10**400, -1, 0, 2**53, 1.0, float("nan"), float("inf"), True, "1", None, [[[]]], {"a": 1}]


@pytest.mark.parametrize("value", ABSURD, ids=str)
def test_absurd_versions_are_refused(value: Any) -> None:
    claims = {"sub": ALICE, "aud": DOMAIN, "ver": value, "devices": [{"device": "d1", "key": KEYS["d1"]}]}
    token = sign_jws(FIRST, claims, {"typ": "ringline-devices", "kid": "d1"})
    with pytest.raises(TokenError, match="no version"):
        verify_device_list(token, ALICE, DOMAIN, PINS)
    with pytest.raises(TokenError):
        read_handed_list(token, ALICE, DOMAIN)


def test_a_version_grows_in_steps() -> None:
    """Whoever could name the last version there is would have the last word on an account's devices."""
    for version, believed in ((1000, True), (1001, False), (2**53 - 1, False)):
        text = sign_device_list(FIRST, replace(LIST, version=version))
        assert (newer_list(text, ALICE, DOMAIN, PINS, 0) is not None) is believed
        stated = replace(LIST, version=version)
        assert (newest_known(PINS, 0, ALICE, DOMAIN, None, stated) is not None) is believed


def test_the_chain_begins_at_a_known_key() -> None:
    third = Ed25519PrivateKey.from_private_bytes(b"3" * 32)
    keys = KEYS | {"d3": encode_public_key(third.public_key())}
    by_second = sign_device_list(SECOND, replace(LIST, version=6, devices=keys, signer="d2"))
    by_ghost = sign_device_list(third, replace(LIST, version=6, devices=keys, signer="d3"))
    # The server's list alone, by a device that is not known: nothing.
    assert newest_known(PINS, 0, ALICE, DOMAIN, by_second) is None
    # The known device states that d2 is its sibling; so d2's list counts, and what d2 vouches for.
    stated = replace(LIST, version=5)
    found = newest_known(PINS, 0, ALICE, DOMAIN, by_second, stated)
    assert found is not None and found.devices == keys
    # Nobody but the ghost itself vouches for the ghost; and what a stranger states counts as little.
    found = newest_known(PINS, 0, ALICE, DOMAIN, by_ghost, stated)
    assert found is not None and found.devices == KEYS
    ghostly = replace(LIST, version=7, devices=keys, signer="d3")
    assert newest_known(PINS, 0, ALICE, DOMAIN, by_ghost, ghostly) is None
    # What is not newer changes nothing.
    assert newest_known(PINS, 6, ALICE, DOMAIN, by_second, stated) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["sub", "aud", "ver", "devices"]), JSON, st.text(max_size=40))
def test_any_claim_and_any_text(name: str, value: Any, text: str) -> None:
    claims = {"sub": ALICE, "aud": DOMAIN, "ver": 1, "devices": [{"device": "d1", "key": KEYS["d1"]}]}
    token = sign_jws(FIRST, claims | {name: value}, {"typ": "ringline-devices", "kid": "d1"})
    for candidate in (token, text, f"{token}{text}"):
        listed = newer_list(candidate, ALICE, DOMAIN, PINS, 0)
        assert listed is None or listed.devices == PINS
    try:
        LinkCode.parse(text)
    except TokenError:
        pass


def test_the_table_of_lists() -> None:
    def outcome(device: str, key: str, listed: dict[str, str] | None, pinned: dict[str, str] = PINS) -> str:
        try:
            return str(judge(pinned, device, key, registered=None, allow_unsigned=False, listed=listed).trust)
        except IdentityError as error:
            return str(error)

    assert outcome("d2", KEYS["d2"], KEYS) == Trust.NEW_DEVICE
    assert outcome("d2", KEYS["d2"], None) == "this number has a new device with another key"
    assert outcome("d2", KEYS["d1"], KEYS) == "this device is not on its number's list of devices"
    assert outcome("d1", KEYS["d1"], KEYS) == Trust.SAME_KEY
    assert outcome("d2", KEYS["d2"], PINS, KEYS) == "this device was removed from its number"
    assert outcome("d1", KEYS["d2"], None) == "the key of this number has changed"


def test_the_code_names_the_key_and_seals_the_list() -> None:
    code = LinkCode.make("0" * 32, KEYS["d1"], bytes(16))
    read = LinkCode.parse(f" {code}\n")
    assert read == code and read.names(KEYS["d1"]) and not read.names(KEYS["d2"])
    seal = read.seal("a list")
    assert code.sealed("a list", seal)
    another = LinkCode.make("0" * 32, KEYS["d1"], bytes(15) + b"x")
    for text, forged in (
        ("a lisT", seal),
        ("a list", another.seal("a list")),
        ("a list", ""),
        ("a list", "\ud800é"),
    ):
        assert not code.sealed(text, forged)
    assert code.secret not in repr(code)
