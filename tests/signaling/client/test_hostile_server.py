"""A server that changes what it carries: every such call is refused, says why, and opens no engine."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client import Client, Profile
from signaling.errors import CallUnreachable, CallUntrusted
from signaling.identity import Binding, Party, sign_passport
from signaling.jid import Jid
from signaling.jingle.content import NS_JINGLE, parse_jingle
from signaling.jingle.initiation import NS_JMI, Initiation, Kind, build_initiation
from signaling.jingle.syntax import NS_RINGLINE
from signaling.jingle.transport import NS_DTLS, CandidatePolicy
from signaling.xml import Element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
EVIL = ":".join(["EE"] * 32)

Open = Callable[..., Awaitable[Client]]
Engine = Callable[..., Any]
Connected = Callable[..., Awaitable[tuple[Any, Any]]]


def jingle_of(stanza: Element, action: str) -> Element | None:
    found = stanza.find(f"{{{NS_JINGLE}}}jingle")
    return found if found is not None and found.get("action") == action else None


def only(action: str, change: Callable[[Element, Element], None]) -> Callable[[Element, bool], Element]:
    """A tamper that changes `change(stanza, jingle)` on the way from client to server."""

    def tamper(stanza: Element, to_client: bool) -> Element:
        jingle = jingle_of(stanza, action)
        if jingle is not None and not to_client:
            change(stanza, jingle)
        return stanza

    return tamper


def swap_fingerprints(stanza: Element, jingle: Element) -> None:
    for fingerprint in jingle.iter(f"{{{NS_DTLS}}}fingerprint"):
        fingerprint.text = EVIL


def strip_passport(stanza: Element, jingle: Element) -> None:
    for passport in jingle.findall(f"{{{NS_RINGLINE}}}passport"):
        jingle.remove(passport)


def add_fingerprint(stanza: Element, jingle: Element) -> None:
    for fingerprint in list(jingle.iter(f"{{{NS_DTLS}}}fingerprint")):
        second = copy.deepcopy(fingerprint)
        second.text = EVIL
        fingerprint.addnext(second)


@pytest.fixture
def call_fails(engine: Engine) -> Callable[..., Awaitable[tuple[Any, Any, str]]]:
    """await call_fails(caller, callee) -> (caller's engine, callee's engine, why the caller was told)."""

    async def run(caller: Client, callee: Client) -> tuple[Any, Any, str]:
        one, two = engine(), engine()
        async with asyncio.timeout(8):
            calling = asyncio.create_task(caller.call(callee.number, one))
            incoming = await callee.next_incoming()
            answering = asyncio.create_task(incoming.accept(two))
            with pytest.raises(CallUntrusted) as refused:
                await calling
            with pytest.raises(CallUntrusted):
                await answering
            assert incoming.end_reason == "untrusted"
        assert one.log[-1] == two.log[-1] == "close"
        return one, two, refused.value.why

    return run


OFFERS = [
    pytest.param(swap_fingerprints, "fingerprints are not those", id="swapped-fingerprints"),
    pytest.param(add_fingerprint, "fingerprints are not those", id="added-fingerprint"),
    pytest.param(strip_passport, "passport is missing", id="stripped-passport"),
]


@pytest.mark.parametrize(("change", "why"), OFFERS)
async def test_changed_offer(open_client: Open, between: Any, call_fails: Any, change: Any, why: str) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)
    between.tamper = only("session-initiate", change)
    _, two, told = await call_fails(alice, bob)
    assert why in told
    assert two.log == ["close"], "the callee's engine never saw the offer"


@pytest.mark.parametrize(("change", "why"), OFFERS)
async def test_changed_answer(
    open_client: Open, between: Any, call_fails: Any, change: Any, why: str
) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)
    between.tamper = only("session-accept", change)
    one, _, told = await call_fails(alice, bob)
    assert why in told
    assert one.log == ["configure", "create_offer", "close"], "the caller's engine never saw the answer"


@pytest.mark.parametrize("action", ["session-initiate", "session-accept"])
async def test_stripped_passport_of_a_known_key_even_where_unsigned_is_allowed(
    open_client: Open, between: Any, call_fails: Any, connected: Connected, action: str
) -> None:
    alice = await open_client(ALICE, between.url, allow_unsigned=True)
    bob = await open_client(BOB, between.url, allow_unsigned=True)
    ours, theirs = await connected(alice, bob)
    await ours.hang_up()
    await theirs.ended()
    between.tamper = only(action, strip_passport)
    _, _, told = await call_fails(alice, bob)
    assert "although this number's key is known" in told


async def test_unsigned_is_said_and_never_pinned(
    open_client: Open, between: Any, connected: Connected
) -> None:
    alice, bob = (
        await open_client(ALICE, between.url, allow_unsigned=True),
        await open_client(BOB, between.url, allow_unsigned=True),
    )

    def strip_both(stanza: Element, to_client: bool) -> Element:
        for action in ("session-initiate", "session-accept"):
            if (jingle := jingle_of(stanza, action)) is not None:
                strip_passport(stanza, jingle)
        return stanza

    between.tamper = strip_both
    ours, theirs = await connected(alice, bob)
    assert ours.trust == theirs.trust == "unsigned"
    assert not alice._profile.pins(BOB) and not bob._profile.pins(ALICE)
    await ours.hang_up()
    await theirs.ended()


async def test_replayed_offer(open_client: Open, between: Any, call_fails: Any, connected: Connected) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)
    old: list[Element] = []
    between.tamper = only("session-initiate", lambda stanza, jingle: old.append(copy.deepcopy(jingle)))
    ours, theirs = await connected(alice, bob)
    await ours.hang_up()
    await theirs.ended()

    def replay(stanza: Element, jingle: Element) -> None:
        again = copy.deepcopy(old[0])
        again.set("sid", jingle.get("sid"))
        stanza.replace(jingle, again)

    between.tamper = only("session-initiate", replay)
    _, two, told = await call_fails(alice, bob)
    assert "signed for another call" in told and two.log == ["close"]


async def test_replayed_proposal_does_not_ring(open_client: Open, between: Any, connected: Connected) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)
    ours, theirs = await connected(alice, bob)
    await ours.hang_up()
    await theirs.ended()
    again = build_initiation(
        Initiation(Kind.PROPOSE, ours.sid, media=("audio",)), Jid.parse(theirs.sid + "@x"), "m"
    )
    again.set("from", str(alice._profile.jid))
    bob._on_stanza(again)
    assert bob._waiting.empty() and not bob._dispatch.calls


@pytest.mark.parametrize("action", ["session-initiate", "session-accept"])
async def test_another_devices_key(
    open_client: Open, between: Any, call_fails: Any, connected: Connected, action: str
) -> None:
    """The server signs its own fingerprints with its own key, all claims being right."""
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)
    ours, theirs = await connected(alice, bob)
    await ours.hang_up()
    await theirs.ended()
    evil = Ed25519PrivateKey.generate()
    offers: list[str] = []

    def note_offer(stanza: Element, jingle: Element) -> None:
        offers.append(jingle.findtext(f"{{{NS_RINGLINE}}}passport") or "")

    def sign_anew(stanza: Element, jingle: Element) -> None:
        swap_fingerprints(stanza, jingle)
        signer, peer = (alice, bob) if action == "session-initiate" else (bob, alice)
        binding = Binding(
            Party(signer.number, signer._profile.data.device),
            Party(peer.number, peer._profile.data.device),
            alice._profile.jid.domain,
            jingle.get("sid") or "",
            offers[0] if action == "session-accept" else None,
        )
        prints = parse_jingle(jingle, CandidatePolicy()).description.fingerprints()
        passport = jingle.find(f"{{{NS_RINGLINE}}}passport")
        assert passport is not None
        passport.text = sign_passport(evil, binding, prints, alice._line.wall_clock())

    def tamper(stanza: Element, to_client: bool) -> Element:
        if not to_client and action == "session-accept" and jingle_of(stanza, "session-initiate") is not None:
            note_offer(stanza, jingle_of(stanza, "session-initiate"))  # type: ignore[arg-type]
        return only(action, sign_anew)(stanza, to_client)

    between.tamper = tamper
    _, _, told = await call_fails(alice, bob)
    assert "key of this number has changed" in told
    victim, number = (bob, ALICE) if action == "session-initiate" else (alice, BOB)
    assert victim._profile.data.refused[number]


async def test_another_key_at_first_contact_contradicts_the_directory(
    open_client: Open, between: Any, call_fails: Any
) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)
    # Bob's device signs with a key that is not the one that it registered.
    bob._profile.key = Ed25519PrivateKey.generate()
    _, _, told = await call_fails(alice, bob)
    assert "not signed with the key registered for this device" in told


async def test_a_new_device_of_a_known_number_needs_trust(
    open_client: Open, make_profile: Any, call_fails: Any, connected: Connected, tmp_path: Any
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    await ours.hang_up()
    await theirs.ended()
    await bob.close()
    (tmp_path / f"{BOB}.profile").rename(tmp_path / "old.profile")
    bob = await open_client(BOB)  # registered anew: another device, another key
    alice.contacts.forget(BOB)
    _, _, told = await call_fails(alice, bob)
    assert "new device" in told
    await alice.close()
    with Profile.open(tmp_path / f"{ALICE}.profile") as profile:
        assert profile.trust(BOB) == bob._profile.public_key
        profile.save()
    async with Client.open(tmp_path / f"{ALICE}.profile", ring_unknown=True) as alice:
        await alice.wait_online(5)
        bob._profile.data.pins.clear()
        ours, _ = await connected(alice, bob)
        assert ours.trust == "same key as before"


async def test_stanzas_of_the_wrong_sender_change_nothing(
    open_client: Open, between: Any, engine: Engine, monkeypatch: Any
) -> None:
    monkeypatch.setattr("signaling.client.outgoing.RINGING_TIMEOUT", 0.3)
    alice, _ = await open_client(ALICE, between.url), await open_client(BOB, ring_unknown=False)
    own = alice._profile.jid
    strangers = [own.with_resource("d1"), Jid(CAROL, own.domain, "d2"), Jid(BOB, "elsewhere.example", "d3")]
    proposed = asyncio.Event()

    def watch(stanza: Element, to_client: bool) -> Element:
        if stanza.find(f"{{{NS_JMI}}}propose") is not None:
            proposed.set()
        return stanza

    between.tamper = watch
    calling = asyncio.create_task(alice.call(BOB, engine()))
    async with asyncio.timeout(5):
        await proposed.wait()
        (sid,) = alice._dispatch.calls
        for kind in Kind:
            for stranger in strangers:
                message = build_initiation(Initiation(kind, sid, ("audio",)), own.bare, "m")
                message.set("from", str(stranger))
                alice._on_stanza(message)
        with pytest.raises(CallUnreachable):
            await calling
    assert alice._dispatch.ignored >= len(strangers) * 5
