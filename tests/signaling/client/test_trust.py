"""Who vouches for whom, against a server that lies in HTTP and on the stream: the table of docs/security.md section 2.

What it does to single stanzas is in test_hostile_server.py; what a token alone may do at the server in
server/test_possession.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client import Client, Profile
from signaling.client.devices import NewDevice, OwnDevices
from signaling.client.profile import ProfileData, private_key_text
from signaling.client.websocket import StanzaError
from signaling.device_link import LinkCode
from signaling.device_list import DeviceList, sign_device_list, verify_device_list
from signaling.errors import CallUntrusted, ServerUnreachable, SignalingError
from signaling.identity import new_device_key
from signaling.jingle.content import Action, Jingle, Role, build_jingle
from signaling.jingle.initiation import Initiation, Kind, build_initiation
from signaling.jingle.sdp import parse_sdp
from signaling.tokens import encode_public_key

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
GHOST = "d" + "e" * 16
Engine = Callable[..., Any]


class Ghost:
    """A device that the server makes up, with the key to it."""

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()
        self.key = encode_public_key(self.private.public_key())

    def list(self, number: str, domain: str, devices: dict[str, str], version: int = 1) -> str:
        listed = DeviceList(number, domain, version, devices | {GHOST: self.key}, GHOST)
        return sign_device_list(self.private, listed)


@pytest.fixture
def ghost() -> Ghost:
    return Ghost()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def link(session: aiohttp.ClientSession, tmp_path: Path) -> Callable[..., Awaitable[Path]]:
    """await link(profile, name) -> path of the profile of a further device, approved by the first."""

    async def run(first: Path, name: str = "second") -> Path:
        with Profile.open(first) as profile:
            new = NewDevice(session, profile.data.server)
            code = await new.begin(name)
            await OwnDevices(session, profile).approve(code)
        path = tmp_path / f"{name}.profile"
        Profile.create(path, await new.wait()).close()
        return path

    return run


@pytest.fixture
def talk(engine: Engine) -> Callable[..., Awaitable[tuple[str | None, str | None]]]:
    """await talk(caller's profile, callee's, **options of the caller) -> how far each trusts the other."""

    async def run(caller: Path, callee: Path) -> tuple[str | None, str | None]:
        async with (
            asyncio.timeout(10),
            Client.open(caller, ring_unknown=True) as one,
            Client.open(callee, ring_unknown=True) as two,
        ):
            await two.wait_online(5)
            calling = asyncio.create_task(one.call(two.number, engine()))
            incoming = await two.next_incoming()
            answering = asyncio.create_task(incoming.accept(engine()))
            done = await asyncio.gather(calling, answering, return_exceptions=True)
            for call in done:
                if isinstance(call, BaseException) and not isinstance(call, CallUntrusted):
                    raise call
            told = tuple(str(call) if isinstance(call, CallUntrusted) else call.trust for call in done)
            return told[0], told[1]

    return run


async def offer_of(engine: Any) -> str:
    engine.configure(())
    text: str = await engine.create_offer()
    return text


def devices_of(path: Path, number: str) -> dict[str, str]:
    with Profile.open(path) as profile:
        return profile.pins(number)


def own(path: Path) -> tuple[str, str]:
    with Profile.open(path) as profile:
        return profile.data.device, profile.public_key


# The account's own devices.


def adds_ghost(ghost: Ghost, domain: str, *, with_list: bool) -> Callable[[str, str, Any, Any], Any]:
    """A server that names a device of its own making in the account, and perhaps a list that this has signed."""

    def rewrite(method: str, path: str, asked: Any, answer: Any) -> Any:
        if (method, path) == ("GET", "/account"):
            named = {entry["device"]: entry["key"] for entry in answer["devices"]}
            entry = answer["devices"][0] | {"device": GHOST, "key": ghost.key, "current": False}
            answer["devices"].append(entry)
            if with_list:
                version = answer["list_version"] + 1
                answer |= {"list": ghost.list(ALICE, domain, named, version), "list_version": version}
        return answer

    return rewrite


@pytest.mark.parametrize("with_list", [False, True])
@pytest.mark.parametrize("how_many", [1, 2])
async def test_the_server_adds_no_device_to_an_account(
    server: Any,
    between: Any,
    make_profile: Any,
    link: Any,
    session: Any,
    ghost: Ghost,
    with_list: bool,
    how_many: int,
) -> None:
    path = await make_profile(ALICE, between.url)
    second = await link(path) if how_many == 2 else None
    handed_in: list[str] = []
    honest = adds_ghost(ghost, server.domain, with_list=with_list)

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        handed_in.extend([asked["list"]] if "list" in asked else [])
        return honest(method, route, asked, answer)

    between.rewrite = rewrite
    with Profile.open(path) as profile:
        devices = OwnDevices(session, profile)
        before = profile.pins(ALICE)
        with pytest.raises(SignalingError, match=f"nobody vouches for the device {GHOST}"):
            await devices.approve(await NewDevice(session, between.url).begin("tablet"))
        if second is not None:
            with pytest.raises(SignalingError, match="nobody vouches"):
                await devices.remove(own(second)[0])
        assert not handed_in and profile.pins(ALICE) == before
        assert GHOST not in await devices.own_keys(await devices.account())


async def test_the_server_leaves_no_device_out(
    server: Any, between: Any, make_profile: Any, link: Any, session: Any
) -> None:
    """Whoever signs a list without a device has removed it: nobody does that unasked."""
    path = await make_profile(ALICE, between.url)
    second = await link(path)
    device = own(second)[0]

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        if (method, route) == ("GET", "/account"):
            answer["devices"] = [entry for entry in answer["devices"] if entry["device"] != device]
        return answer

    between.rewrite = rewrite
    with Profile.open(path) as profile:
        devices = OwnDevices(session, profile)
        with pytest.raises(SignalingError, match=f"names {device} no more"):
            await devices.approve(await NewDevice(session, between.url).begin("third"))
        assert device in profile.pins(ALICE)
        await devices.remove(device)  # asked for, it is done
        assert device not in profile.pins(ALICE)


async def test_removing_goes_on_where_it_was_interrupted(
    server: Any, between: Any, make_profile: Any, link: Any, session: Any
) -> None:
    path = await make_profile(ALICE, between.url)
    device = own(await link(path))[0]
    between.rewrite = lambda method, route, asked, answer: None if route == "/account" else answer
    with Profile.open(path) as profile:
        devices = OwnDevices(session, profile)
        with pytest.raises(ServerUnreachable):
            await devices.remove(device)
        between.rewrite = lambda method, route, asked, answer: answer
        await devices.remove(device)
        account = await devices.account()
        listed = verify_device_list(account["list"], ALICE, server.domain, dict([own(path)]))
        assert listed.devices == dict([own(path)])
        with pytest.raises(SignalingError, match="the server does not know"):
            await devices.remove(GHOST)
        with pytest.raises(SignalingError, match="not a device"):
            await devices.remove("../account")


@pytest.mark.parametrize("what", ["a sibling's name", "nonsense", "an absurd version"])
async def test_what_the_server_says_of_a_link_is_not_signed_unseen(
    server: Any, between: Any, make_profile: Any, link: Any, session: Any, what: str
) -> None:
    path = await make_profile(ALICE, between.url)
    second = own(await link(path))[0]

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        if method == "GET" and route.startswith("/links/") and "device" in answer:
            answer |= {"a sibling's name": {"device": second}, "nonsense": {"device": "\x1b[2J"}}.get(
                what, {}
            )
        if route == "/account" and what == "an absurd version":
            answer["list_version"] = 2**53 - 2
        return answer

    between.rewrite = rewrite
    with Profile.open(path) as profile:
        before = profile.pins(ALICE)
        with pytest.raises(SignalingError, match=r"name of another one|not understood"):
            await OwnDevices(session, profile).approve(await NewDevice(session, between.url).begin("third"))
        assert profile.pins(ALICE) == before


@pytest.mark.parametrize("what", ["ghost's list", "without seal", "another number", "removed"])
async def test_a_linked_device_knows_its_account_from_who_read_the_code(
    server: Any, between: Any, make_profile: Any, session: Any, ghost: Ghost, what: str
) -> None:
    path = await make_profile(ALICE, between.url)
    new = NewDevice(session, between.url)
    code = await new.begin("tablet")
    key = encode_public_key(new._key.public_key())

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        if method == "GET" and "list" in answer and route.startswith("/links/"):
            device = answer["device"]
            if what == "ghost's list":
                forged = ghost.list(ALICE, server.domain, {device: key})
                guessed = LinkCode.make(route.rpartition("/")[2], key, bytes(16))
                answer |= {"list": forged, "seal": guessed.seal(forged)}
            elif what == "without seal":
                answer["seal"] = ""
            elif what == "another number":
                answer["number"] = BOB
            else:
                answer["device"] = GHOST
        return answer

    between.rewrite = rewrite
    with Profile.open(path) as profile:
        await OwnDevices(session, profile).approve(code)
    with pytest.raises(SignalingError, match="does not come from the device that read this code"):
        await new.wait()


async def test_a_linked_device_knows_its_siblings_at_once(make_profile: Any, link: Any, session: Any) -> None:
    path = await make_profile(ALICE)
    second = await link(path)
    third = await link(second, "third")
    every = dict([own(path), own(second), own(third)])
    assert devices_of(third, ALICE) == devices_of(second, ALICE) == every
    with Profile.open(path) as profile:
        devices = OwnDevices(session, profile)
        assert await devices.own_keys(await devices.account()) == every == profile.pins(ALICE)


@pytest.mark.parametrize("how", ["proposal", "session-initiate"])
async def test_nobody_becomes_an_own_device_by_calling(
    server: Any, between: Any, make_profile: Any, engine: Engine, ghost: Ghost, tmp_path: Path, how: str
) -> None:
    """The server's ghost calls Alice from her own number: a first contact, with a key that the directory confirms."""
    path = await make_profile(ALICE, between.url)
    caller = await ghost_profile(path, ghost, server, tmp_path)
    async with (
        asyncio.timeout(10),
        Client.open(path, ring_unknown=True) as alice,
        Client.open(caller, ring_unknown=True) as other,
    ):
        await alice.wait_online(5)
        await other.wait_online(5)
        sid, own_jid = "a-session-of-the-ghosts", alice._profile.jid
        description = parse_sdp(await offer_of(engine()), Role.INITIATOR)
        offer = Jingle(Action.SESSION_INITIATE, sid, description, initiator=str(other._profile.jid))
        if how == "proposal":
            proposal = Initiation(Kind.PROPOSE, sid, media=("audio",))
            other._connection.send(build_initiation(proposal, own_jid, "propose-x"))
        else:
            with pytest.raises(StanzaError):
                await other._connection.ask("set", build_jingle(offer), own_jid)
        await other._connection.probe()
        await alice._connection.probe()
        assert alice._waiting.empty() and not alice._dispatch.calls
    assert not devices_of(path, ALICE)


async def test_what_is_seen_of_the_own_number_pins_nothing(
    make_profile: Any, session: Any, ghost: Ghost
) -> None:
    with Profile.open(await make_profile(ALICE)) as profile:
        profile.refuse(ALICE, GHOST, ghost.key)
        for pin in (
            lambda: profile.trust(ALICE),
            lambda: profile.pin(ALICE, GHOST, ghost.key),
            lambda: profile.verify(ALICE, {GHOST: ghost.key}),
        ):
            with pytest.raises(SignalingError, match="own number"):
                pin()
        with pytest.raises(SignalingError, match="own number"):
            await OwnDevices(session, profile).safety_number(ALICE)
        assert not profile.pins(ALICE)


# Contacts.


async def test_every_device_of_a_number_is_known_after_the_first_call(
    make_profile: Any, link: Any, talk: Any
) -> None:
    """Whichever of them it was with: it says in its passport whom it believes."""
    alice, bob = await make_profile(ALICE), await make_profile(BOB)
    second = await link(alice)
    assert await talk(second, bob) == ("not verified", "not verified")
    assert devices_of(bob, ALICE) == dict([own(alice), own(second)])
    assert await talk(alice, bob) == ("not verified", "same key as before")
    assert await talk(second, bob) == ("same key as before", "same key as before")


async def test_at_first_contact_nobody_is_pinned_but_who_the_peer_vouches_for(
    server: Any, between: Any, make_profile: Any, talk: Any, ghost: Ghost
) -> None:
    """The directory names a ghost as well, and hands out a list with both that the ghost has signed."""
    alice, bob = await make_profile(ALICE, between.url), await make_profile(BOB, between.url)
    device, key = own(alice)

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        for entry in answer.get("registered", ()):
            if entry["number"] == ALICE:
                entry["devices"].append({"device": GHOST, "key": ghost.key})
                entry["list"] = ghost.list(ALICE, server.domain, {device: key})
        return answer

    between.rewrite = rewrite
    assert await talk(alice, bob) == ("not verified", "not verified")
    assert await talk(bob, alice) == ("same key as before", "same key as before")
    assert devices_of(bob, ALICE) == {device: key}


async def ghost_profile(alice: Path, ghost: Ghost, server: Any, tmp_path: Path) -> Path:
    """The server lets its ghost log in for Alice's number."""
    import hashlib

    from signaling.storage.store import devices

    with Profile.open(alice) as profile:
        data = profile.data
    row = {"device": GHOST, "number": ALICE, "key": ghost.key, "name": "ghost", "added": 0.0}
    row |= {"token_hash": hashlib.sha256(b"ghost").hexdigest(), "used": server.clock()}
    database = server.server._context.store.database
    await database.run(lambda db: db.execute(devices.insert().values(**row)))
    made: ProfileData = replace(
        data,
        device=GHOST,
        device_token="ghost",
        private_key=private_key_text(ghost.private),
        pins={},
        lists={},
    )
    return Profile.create(tmp_path / "ghost.profile", made).path


@pytest.mark.parametrize("known", [1, 2])
async def test_a_ghost_calls_no_contact(
    server: Any,
    between: Any,
    make_profile: Any,
    link: Any,
    talk: Any,
    ghost: Ghost,
    tmp_path: Path,
    known: int,
) -> None:
    """With a list of its own in the directory and in its passport: also where the account has one device, and no list."""
    alice, bob = await make_profile(ALICE, between.url), await make_profile(BOB, between.url)
    if known == 2:
        await link(alice)
    await talk(alice, bob)
    before = devices_of(bob, ALICE)
    caller = await ghost_profile(alice, ghost, server, tmp_path)
    with Profile.open(caller) as profile:
        profile.believe(DeviceList(ALICE, server.domain, 9, before | {GHOST: ghost.key}, GHOST))

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        for entry in answer.get("registered", ()):
            if entry["number"] == ALICE:
                entry["list"] = ghost.list(ALICE, server.domain, before, 9)
        return answer

    between.rewrite = rewrite
    told = await talk(caller, bob)
    assert all("new device with another key" in str(words) for words in told)
    assert devices_of(bob, ALICE) == before
    # And nobody reaches the ghost in Alice's place.
    told = await talk(bob, caller)
    assert all("new device with another key" in str(words) for words in told)
    assert devices_of(bob, ALICE) == before


async def test_who_is_off_the_newest_list_is_refused_and_not_offered_to_trust(
    server: Any,
    between: Any,
    make_profile: Any,
    link: Any,
    talk: Any,
    session: Any,
    ghost: Ghost,
    tmp_path: Path,
) -> None:
    alice, bob = await make_profile(ALICE, between.url), await make_profile(BOB, between.url)
    await link(alice)
    await talk(alice, bob)
    caller = await ghost_profile(alice, ghost, server, tmp_path)
    told = await talk(caller, bob)  # the list of the two real devices is served
    assert "not on its number's list" in str(told[1])
    with Profile.open(bob) as profile:
        assert profile.trust(ALICE) is None


async def test_a_removed_device_does_not_come_back_with_an_old_list(
    server: Any, between: Any, make_profile: Any, link: Any, talk: Any, session: Any, tmp_path: Path
) -> None:
    """Bob has seen the new list; the server lets the removed device in again and serves the old list."""
    alice, bob = await make_profile(ALICE, between.url), await make_profile(BOB, between.url)
    second = await link(alice)
    await talk(alice, bob)
    old: dict[str, Any] = {}
    between.rewrite = lambda m, route, asked, answer: (
        old.update(answer) or answer if route == "/account" else answer
    )
    with Profile.open(alice) as profile:
        devices = OwnDevices(session, profile)
        await devices.account()
        text = old["list"]
        between.rewrite = lambda m, route, asked, answer: answer
        await devices.remove(own(second)[0])
    await talk(alice, bob)
    assert devices_of(bob, ALICE) == dict([own(alice)])
    ghost = Ghost()
    with Profile.open(second) as profile:
        ghost.private, ghost.key = profile.key, profile.public_key
    caller = await ghost_profile(alice, ghost, server, tmp_path)

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        for entry in answer.get("registered", ()):
            if entry["number"] == ALICE:
                entry["list"] = text
        return answer

    between.rewrite = rewrite
    told = await talk(caller, bob)
    assert "was removed from its number" in str(told[1])
    # And what Bob acknowledges afterwards does not make the old list new.
    with Profile.open(bob) as profile:
        profile.refuse(ALICE, *own(alice))
        assert profile.trust(ALICE)
        assert profile.list_version(ALICE) == 2
    assert "was removed from its number" in str((await talk(caller, bob))[1])


@pytest.mark.parametrize("says", ["no list", "the old list", "not to be found"])
async def test_a_removed_device_is_not_offered_to_trust_whatever_the_server_keeps_back(
    server: Any,
    between: Any,
    make_profile: Any,
    link: Any,
    talk: Any,
    session: Any,
    tmp_path: Path,
    says: str,
) -> None:
    """Bob has seen the list without it. Its thief has the keys, and the server does what he wants."""
    alice, bob = await make_profile(ALICE, between.url), await make_profile(BOB, between.url)
    second = await link(alice)
    await talk(second, bob)
    with Profile.open(alice) as profile:
        old = (await OwnDevices(session, profile).account())["list"]
        await OwnDevices(session, profile).remove(own(second)[0])
    await talk(alice, bob)
    thief = Ghost()
    with Profile.open(second) as profile:
        thief.private, thief.key = profile.key, profile.public_key
    caller = await ghost_profile(alice, thief, server, tmp_path)

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        for entry in answer.get("registered", ()):
            if entry["number"] == ALICE:
                entry["list"] = old if says == "the old list" else None
                if says == "not to be found":
                    entry["devices"] = []
        return answer

    between.rewrite = rewrite
    told = await talk(caller, bob)
    assert "was removed from its number" in str(told[1]) and "ringline trust" not in str(told[1])
    with Profile.open(bob) as profile:
        assert profile.trust(ALICE) is None and profile.was_removed(ALICE, thief.key)
    assert devices_of(bob, ALICE) == dict([own(alice)])
    # Who registers anew has a new key, and can be acknowledged as ever.
    between.rewrite = lambda method, route, asked, answer: answer
    server.advance(61)
    anew = await make_profile(ALICE, between.url, name="anew")
    assert "ringline trust" in str((await talk(anew, bob))[1])
    with Profile.open(bob) as profile:
        assert profile.trust(ALICE) == own(anew)[1]
    assert (await talk(anew, bob))[1] == "same key as before"


async def test_a_server_that_withholds_the_list_only_refuses(
    between: Any, make_profile: Any, link: Any, talk: Any
) -> None:
    alice, bob = await make_profile(ALICE, between.url), await make_profile(BOB, between.url)
    await talk(alice, bob)
    second = await link(alice)

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        for entry in answer.get("registered", ()):
            entry["list"] = None
        return answer

    between.rewrite = rewrite
    told = await talk(second, bob)
    assert "new device with another key" in str(told[1]) and devices_of(bob, ALICE) == dict([own(alice)])
    # The device that is known vouches for its sibling itself.
    await talk(alice, bob)
    assert devices_of(bob, ALICE) == dict([own(alice), own(second)])
    assert (await talk(second, bob))[1] == "same key as before"


# First contact, and the thief of an access token.


@pytest.mark.parametrize("calls", [True, False])
async def test_an_access_token_is_nobody_at_first_contact(
    make_profile: Any, engine: Engine, calls: bool
) -> None:
    """The thief is in Alice's stream, and calls Bob, or is called by him."""
    alice, bob = await make_profile(ALICE), await make_profile(BOB)
    async with (
        asyncio.timeout(10),
        Client.open(alice, ring_unknown=True) as thief,
        Client.open(bob, ring_unknown=True) as two,
    ):
        await thief.wait_online(5)
        await two.wait_online(5)
        thief._profile.key = new_device_key()
        caller, callee = (thief, two) if calls else (two, thief)
        calling = asyncio.create_task(caller.call(callee.number, engine()))
        incoming = await callee.next_incoming()
        answering = asyncio.create_task(incoming.accept(engine()))
        done = await asyncio.gather(calling, answering, return_exceptions=True)
        bobs = done[1] if calls else done[0]
        assert isinstance(bobs, CallUntrusted) and "not signed with the key registered" in bobs.why
    assert not devices_of(bob, ALICE)


@pytest.mark.parametrize("calls", [True, False])
@pytest.mark.parametrize("what", ["does not answer", "names no such device", "names another key"])
async def test_first_contact_needs_the_directory(
    between: Any, make_profile: Any, talk: Any, ghost: Ghost, calls: bool, what: str
) -> None:
    alice, bob = await make_profile(ALICE, between.url), await make_profile(BOB, between.url)
    asked_for: list[str] = []

    def rewrite(method: str, route: str, asked: Any, answer: Any) -> Any:
        for entry in answer.get("registered", ()):
            if entry["number"] == ALICE:
                asked_for.append(what)
                if what == "does not answer" and (
                    calls or len(asked_for) > 1
                ):  # to call, he looks her up first
                    return None
                entry["devices"] = [
                    {"device": GHOST if what == "names no such device" else d["device"], "key": ghost.key}
                    for d in entry["devices"]
                ]
        return answer

    between.rewrite = rewrite
    told = await (talk(alice, bob) if calls else talk(bob, alice))
    why = "key registered for this device" if what == "names another key" else "names no key for this device"
    if what == "does not answer" and not calls:
        why = "names no key|key registered"
    assert any(word in str(told[1 if calls else 0]) for word in why.split("|"))
    assert not devices_of(bob, ALICE) and asked_for


async def test_who_hides_can_still_call_somebody_for_the_first_time(make_profile: Any, talk: Any) -> None:
    from signaling.reachability import Findable

    alice, bob = await make_profile(ALICE), await make_profile(BOB)
    async with Client.open(alice) as client:
        await client.account.set_findable(Findable.NOBODY)
    assert await talk(alice, bob) == ("not verified", "not verified")


async def test_what_was_looked_up_before_is_asked_for_again(
    between: Any, make_profile: Any, engine: Engine
) -> None:
    """Alice registered anew after Bob looked her up: his cache names a device that is none any more."""
    bob = await make_profile(BOB, between.url)
    await make_profile(ALICE, between.url, name="old")
    async with Client.open(bob, ring_unknown=True) as two, asyncio.timeout(10):
        assert await two.contacts.find(ALICE) is not None
        async with Client.open(await make_profile(ALICE, between.url), ring_unknown=True) as one:
            await one.wait_online(5)
            calling = asyncio.create_task(one.call(BOB, engine()))
            theirs = await (await two.next_incoming()).accept(engine())
            await calling
            assert theirs.trust == "not verified"


# Words.


async def test_a_changed_key_names_the_right_party_and_the_way_out(make_profile: Any, talk: Any) -> None:
    alice, bob = await make_profile(ALICE), await make_profile(BOB)
    await talk(alice, bob)
    with Profile.open(bob) as profile:
        profile.verify(ALICE, profile.pins(ALICE))
    anew = await make_profile(ALICE, name="anew")
    alices, bobs = await talk(anew, bob)
    assert bobs is not None and alices is not None
    assert bobs.startswith(f"the identity of {ALICE} is not trusted") and f"ringline trust {ALICE}" in bobs
    assert "You had verified this number." in bobs
    assert alices.startswith(f"{BOB} does not trust this device") and f"ringline trust {ALICE}" in alices
    assert "verified this number" not in alices, "what Bob has compared is his affair"


async def test_verified_is_who_was_compared_until_a_key_changes(
    make_profile: Any, link: Any, talk: Any, session: Any
) -> None:
    alice, bob = await make_profile(ALICE), await make_profile(BOB)
    assert await talk(alice, bob) == ("not verified", "not verified")
    assert await talk(alice, bob) == ("same key as before", "same key as before")
    with Profile.open(bob) as profile:
        found = await OwnDevices(session, profile).safety_number(ALICE)
        profile.verify(ALICE, found.keys)
    assert await talk(alice, bob) == ("same key as before", "verified")
    # A device more: it was not compared, and those that were are as they were.
    second = await link(alice)
    assert (await talk(second, bob))[1] == "new device"
    assert (await talk(second, bob))[1] == "same key as before"
    assert (await talk(alice, bob))[1] == "verified"
    # Registered anew: the mark is gone with the key.
    anew = await make_profile(ALICE, name="anew")
    await talk(anew, bob)
    with Profile.open(bob) as profile:
        assert profile.trust(ALICE) and profile.verified(ALICE) == {}
    assert (await talk(anew, bob))[1] == "same key as before"


async def test_verifying_before_any_call_pins_what_was_compared(
    make_profile: Any, talk: Any, session: Any
) -> None:
    alice, bob = await make_profile(ALICE), await make_profile(BOB)
    with Profile.open(bob) as profile, Profile.open(alice) as other:
        found = await OwnDevices(session, profile).safety_number(ALICE)
        assert not found.is_pinned
        assert found.text == (await OwnDevices(session, other).safety_number(BOB)).text
        profile.verify(ALICE, found.keys)
    assert await talk(alice, bob) == ("not verified", "verified")
