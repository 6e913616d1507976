"""Several devices of a number: linked, vouched for, removed; and what contacts make of them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client import Client, Profile
from signaling.client.devices import NewDevice, OwnDevices
from signaling.client.profile import private_key_text
from signaling.device_list import DeviceList, sign_device_list
from signaling.errors import CallUntrusted, SignalingError
from signaling.safety_number import safety_number
from signaling.tokens import encode_public_key

ALICE, BOB = "+12025550100", "+12025550101"
Engine = Callable[..., Any]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def link(server: Any, session: aiohttp.ClientSession, tmp_path: Path) -> Callable[[Path], Awaitable[Path]]:
    """await link(profile) -> path of the profile of a second device, approved by the first."""

    async def run(first: Path) -> Path:
        new = NewDevice(session, server.url)
        code = await new.begin("tablet")
        with Profile.open(first) as profile:
            assert (await OwnDevices(session, profile).approve(code))[1] == "tablet"
        path = tmp_path / "second.profile"
        Profile.create(path, await new.wait()).close()
        return path

    return run


async def talk(caller: Client, callee: Client, engine: Engine) -> tuple[str | None, str | None]:
    """How far each side trusts the other."""
    async with asyncio.timeout(8):
        await callee.wait_online()
        calling = asyncio.create_task(caller.call(callee.number, engine()))
        incoming = await callee.next_incoming()
        theirs = await incoming.accept(engine())
        ours = await calling
        await ours.hang_up()
        await theirs.ended()
        return ours.trust, theirs.trust


async def refused(caller: Client, callee: Client, engine: Engine) -> str:
    async with asyncio.timeout(8):
        await callee.wait_online()
        calling = asyncio.create_task(caller.call(callee.number, engine()))
        incoming = await callee.next_incoming()
        with pytest.raises(CallUntrusted):
            await incoming.accept(engine())
        with pytest.raises(CallUntrusted) as told:
            await calling
        return told.value.why


async def safety(session: aiohttp.ClientSession, path: Path, number: str) -> str:
    with Profile.open(path) as profile:
        return (await OwnDevices(session, profile).safety_number(number))[0]


async def test_a_linked_device_is_believed_and_a_removed_one_is_not(
    make_profile: Any, link: Any, engine: Engine, session: aiohttp.ClientSession
) -> None:
    alice_path, bob_path = await make_profile(ALICE), await make_profile(BOB)
    assert await safety(session, alice_path, BOB) == await safety(session, bob_path, ALICE)
    async with (
        Client.open(alice_path, ring_unknown=True) as alice,
        Client.open(bob_path, ring_unknown=True) as bob,
    ):
        assert await talk(alice, bob, engine) == ("not verified", "not verified")
    before = await safety(session, bob_path, ALICE)
    second_path = await link(alice_path)
    # Bob knows the first device only; it vouches for the second.
    async with Client.open(second_path) as second, Client.open(bob_path, ring_unknown=True) as bob:
        assert await talk(second, bob, engine) == ("not verified", "new device")
    numbers = {
        await safety(session, bob_path, ALICE),
        await safety(session, alice_path, BOB),
        await safety(session, second_path, BOB),
    }
    assert len(numbers) == 1 and before not in numbers
    with Profile.open(alice_path) as profile, Profile.open(second_path) as second_profile:
        own = OwnDevices(session, profile)
        device = second_profile.data.device
        assert len(await own.own_keys(await own.account())) == 2
        assert device in profile.pins(ALICE)
        await own.remove(device)
        removed = second_profile.data
    assert await safety(session, bob_path, ALICE) == before
    with Profile.open(bob_path) as profile:
        assert profile.pins(ALICE).keys() == profile.data.pins[
            ALICE
        ].keys() and removed.device not in profile.pins(ALICE)


async def test_a_device_that_only_the_server_vouches_for_is_refused(
    server: Any, engine: Engine, open_client: Any, session: Any, tmp_path: Path
) -> None:
    """Silent addition: the server lists, and lets in, a device of its own making for Alice's number."""
    from signaling.storage.store import device_lists, devices

    alice, bob = await open_client(ALICE), await open_client(BOB)
    await talk(alice, bob, engine)
    evil = Ed25519PrivateKey.generate()
    ghost = "d" + "e" * 16
    database = server.server._context.store.database
    values = {"key": encode_public_key(evil.public_key()), "name": "ghost", "added": 0.0}
    values["token_hash"] = hashlib.sha256(b"ghost").hexdigest()
    values["used"] = server.clock()
    added = devices.insert().values(device=ghost, number=ALICE, **values)
    await database.run(lambda db: db.execute(added))
    own = OwnDevices(session, alice._profile)
    assert ghost not in await own.own_keys(await own.account())
    new = NewDevice(session, server.url)
    with pytest.raises(SignalingError, match=f"nobody vouches for the device {ghost}"):
        await own.approve(await new.begin("tablet"))
    # The ghost calls Bob; a list that it has signed itself is worth nothing.
    listed = sign_device_list(evil, DeviceList(ALICE, server.domain, 9, {ghost: values["key"]}, ghost))
    stored = device_lists.insert().values(number=ALICE, version=9, text=listed)
    await database.run(lambda db: db.execute(stored))
    data = replace(
        alice._profile.data, device=ghost, device_token="ghost", private_key=private_key_text(evil)
    )
    Profile.create(tmp_path / "ghost.profile", replace(data, pins={}, lists={})).close()
    await alice.close()
    async with Client.open(tmp_path / "ghost.profile") as caller:
        assert "new device with another key" in await refused(caller, bob, engine)
    assert ghost not in bob._profile.pins(ALICE)


async def test_the_server_cannot_put_another_key_under_the_code(
    make_profile: Any, server: Any, session: Any
) -> None:
    with Profile.open(await make_profile(ALICE)) as profile:
        shown = await NewDevice(session, server.url).begin("mine")
        other = await NewDevice(session, server.url).begin("theirs")
        swapped = other.partition(".")[0] + "." + shown.partition(".")[2]
        with pytest.raises(SignalingError, match="another key"):
            await OwnDevices(session, profile).approve(swapped)
        with pytest.raises(SignalingError, match="not a link code"):
            await OwnDevices(session, profile).approve("12345")


async def test_registered_anew_needs_trust_and_shows_it(
    make_profile: Any, engine: Engine, session: Any, tmp_path: Path
) -> None:
    alice_path, bob_path = await make_profile(ALICE), await make_profile(BOB)
    async with (
        Client.open(alice_path, ring_unknown=True) as alice,
        Client.open(bob_path, ring_unknown=True) as bob,
    ):
        await talk(alice, bob, engine)
    before = await safety(session, bob_path, ALICE)
    anew = await make_profile(ALICE, name="anew")
    async with Client.open(anew, ring_unknown=True) as alice, Client.open(bob_path, ring_unknown=True) as bob:
        assert "new device with another key" in await refused(alice, bob, engine)
    with Profile.open(bob_path) as profile:
        assert profile.trust(ALICE) is not None
    after = await safety(session, bob_path, ALICE)
    assert after != before and after == await safety(session, anew, BOB)


def test_safety_numbers_are_the_same_on_both_sides_and_depend_on_every_key() -> None:
    one, two, three = (encode_public_key(Ed25519PrivateKey.generate().public_key()) for _ in range(3))
    text = safety_number((ALICE, [one, three]), (BOB, [two]))
    assert text == safety_number((BOB, [two]), (ALICE, [three, one]))
    assert len(text.split()) == 12 and all(len(group) == 5 and group.isdecimal() for group in text.split())
    others = [
        safety_number((ALICE, [one]), (BOB, [two])),
        safety_number((ALICE, [one, two]), (BOB, [two])),
        safety_number((BOB, [one, three]), (ALICE, [two])),
    ]
    assert len({text, *others}) == 4
