"""An access token alone, and a device that was removed: neither changes anything of the account."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling import stanza as st
from signaling.blocking import BLOCKING
from signaling.device_link import make_link_proof
from signaling.device_list import DeviceList, sign_device_list
from signaling.external_services import EXTERNAL_SERVICES
from signaling.problem import Problem
from signaling.stream import Ended
from signaling.tokens import encode_public_key
from signaling.xml import HINTS, PING, element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


@pytest.fixture
def send(server, http):
    """await send(method, path, body, token, proof) -> (status, code)"""

    async def run(method, path, body, token, proof=None):
        headers = {"Authorization": f"Bearer {token}"} | ({"DPoP": proof} if proof is not None else {})
        async with http.request(method, f"{server.url}/v1{path}", json=body, headers=headers) as answer:
            return answer.status, None if answer.status == 204 else (await answer.json()).get("code")

    return run


@pytest.fixture
async def changes(server, http, register):
    """(alice, [(method, path, body)]): all that changes an account."""
    alice, key = await register(ALICE), Ed25519PrivateKey.generate()
    public = encode_public_key(key.public_key())
    body = {"device_key": public, "device_name": "x", "proof": make_link_proof(key, server.domain)}
    async with http.post(f"{server.url}/v1/links", json=body) as answer:
        link = (await answer.json())["link"]
    async with http.get(f"{server.url}/v1/links/{link}", headers=await alice.bearer()) as answer:
        new = (await answer.json())["device"]

    def listed(version, devices):
        return {
            "list": sign_device_list(
                alice.key, DeviceList(ALICE, server.domain, version, devices, alice.device)
            )
        }

    own = {alice.device: encode_public_key(alice.key.public_key())}
    return alice, [
        ("PATCH", "/account", {"pin": "654321"}),
        ("PATCH", "/account", {"findable": "nobody"}),
        ("POST", "/contacts/lookup", {"numbers": [BOB], "book": True}),
        ("PUT", "/devices", listed(1, own)),
        ("POST", f"/links/{link}/approve", listed(2, own | {new: public})),
        ("DELETE", f"/devices/{alice.device}", None),
    ]


async def view(server, http, phone):
    async with http.get(f"{server.url}/v1/account", headers=await phone.bearer()) as answer:
        return await answer.json()


async def test_an_access_token_alone_changes_nothing(server, http, send, changes):
    alice, requests = changes
    before = await view(server, http, alice)
    stolen = await alice.access_token()
    thief = Ed25519PrivateKey.generate()
    for method, path, body in requests:
        url = f"{server.url}/v1{path}"
        other = await alice.access_token()
        spent = alice.proof("DELETE", f"{server.url}/v1/devices/d0123456789abcdef", stolen)
        assert await send("DELETE", "/devices/d0123456789abcdef", None, stolen, spent) == (404, "not_found")
        for proof in (
            None,
            "",
            "x.y.z",
            "é",
            alice.assertion(),
            alice.proof(method, url, stolen, key=thief),
            alice.proof("GET", url, stolen),
            alice.proof(method, f"{server.url}/v1/account/x", stolen),
            alice.proof(method, url, other),
            spent,
        ):
            assert await send(method, path, body, stolen, proof) == (401, "proof_needed"), (path, proof)
        old = alice.proof(method, url, stolen, now=server.clock() - 301)
        assert await send(method, path, body, stolen, old) == (401, "clock_skew")
    assert await view(server, http, alice) == before
    # With the device's key each of them does what it says.
    for method, path, body in requests:
        proof = alice.proof(method, f"{server.url}/v1{path}", stolen)
        assert (await send(method, path, body, stolen, proof))[0] in (200, 204), path


async def test_a_proof_counts_once(server, http, send, changes):
    alice, requests = changes
    method, path, body = requests[0]
    token = await alice.access_token()
    proof = alice.proof(method, f"{server.url}/v1{path}", token)
    assert (await send(method, path, body, token, proof))[0] == 200
    assert await send(method, path, {"pin": None}, token, proof) == (401, "proof_needed")
    assert (await view(server, http, alice))["pin"] is True


@pytest.mark.parametrize("removed_by", ["another device", "a new registration"])
async def test_a_removed_device_finishes_nothing_that_it_began(server, http, register, changes, removed_by):
    """Its request came before it was removed, its body after."""
    alice, requests = changes
    bodies = [request for request in requests if request[2] is not None]
    bodies.append(("POST", "/contacts/lookup", {"numbers": [BOB]}))
    await register(BOB)
    gate, began = asyncio.Event(), asyncio.Semaphore(0)

    async def slowly(method, path, body):
        import json

        data = json.dumps(body).encode()

        async def parts():
            yield data[:1]
            began.release()
            await gate.wait()
            yield data[1:]

        token = await alice.access_token()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        headers["DPoP"] = alice.proof(method, f"{server.url}/v1{path}", token)
        async with http.request(method, f"{server.url}/v1{path}", data=parts(), headers=headers) as answer:
            return answer.status, (await answer.json()).get("code")

    tasks = [asyncio.create_task(slowly(*request)) for request in bodies]
    for _ in tasks:
        await began.acquire()
    # Each of them is waiting for its body, so that its device was looked at before.
    async with http.get(f"{server.url}/v1/account", headers=await alice.bearer()):
        pass
    store = server.server._context.store
    if removed_by == "another device":
        assert await store.delete_device(ALICE, alice.device)
    else:
        await register(ALICE)
    gate.set()
    assert await asyncio.gather(*tasks) == [(401, "device_revoked")] * len(tasks)


async def test_a_change_in_the_store_asks_once_more_who_wants_it(server, register):
    """Between the last look at the device and the change: both happen in one transaction."""
    from signaling.reachability import Findable
    from signaling.storage.accounts import AccountStore
    from signaling.storage.store import listings

    alice, store = await register(ALICE), server.server._context.store
    accounts = AccountStore(store, b"pepper")
    old = await store.device(ALICE, alice.device)
    await register(ALICE)
    for change in (
        accounts.set_pin(ALICE, "123456", old),
        store.set_findable(ALICE, Findable.NOBODY, old),
        store.change_pairs(listings, ALICE, {BOB}, set(), old),
        store.delete_device(ALICE, alice.device, old),
    ):
        with pytest.raises(Problem) as refused:
            await change
        assert refused.value.code == "device_revoked"
    assert await store.findable(ALICE) == "everybody" and not await store.pairs(listings, ALICE)
    assert (
        await accounts.view(await store.device(ALICE, (await store.devices_of([ALICE]))[ALICE][0].device))
    )["pin"] is False


# The stream.


def blocking(name, *numbers):
    items = [element(BLOCKING, "item", {"jid": f"{number}@calls.example"}) for number in numbers]
    return st.iq("set" if name != "blocklist" else "get", element(BLOCKING, name, {}, *items), id=name)


@pytest.mark.parametrize("server_options", [{"turn": ("turn:turn.example:3478",), "turn_secret": "secret"}])
async def test_a_token_alone_has_nothing_of_the_account(register, connect):
    alice = await register(ALICE)
    own = await connect(alice)
    assert (await own.ask(blocking("block", BOB))).get("type") == "result"
    own.stream.end(now=0.0)  # a stream that only broke would be the device's for a while
    await own.flush()
    await own.ended()
    stolen = await connect(alice, token=await alice.access_token())
    relays = st.iq("get", element(EXTERNAL_SERVICES, "services"), id="relays")
    for question in (blocking("block", CAROL), blocking("unblock"), blocking("blocklist"), relays):
        answer = await stolen.ask(question)
        assert st.error_of(answer).condition == "forbidden", question.get("id")
    own = await connect(alice)
    listed = (await own.ask(blocking("blocklist"))).findall(f".//{{{BLOCKING}}}item")
    assert [item.get("jid") for item in listed] == [f"{BOB}@calls.example"]
    assert (await own.ask(relays)).get("type") == "result"


async def refused(connect, phone, password):
    """The stream error that ends a login with this."""
    wire = await connect(phone, False, password)
    await wire.flush()
    return (await wire.ended()).condition


async def test_a_token_alone_takes_no_devices_place(register, connect):
    """Neither while the device is connected, nor while it may come back to its stream. The device takes its own."""
    alice = await register(ALICE)
    own = await connect(alice)
    assert await refused(connect, alice, await alice.access_token()) == "not-authorized"
    assert (await own.ask(st.iq("get", element(PING, "ping"), id="p"))).get("type") == "result"
    own.socket._response.connection.transport.abort()
    assert await refused(connect, alice, await alice.access_token()) == "not-authorized"


async def test_the_device_takes_its_place_back(register, connect):
    alice = await register(ALICE)
    stolen = await connect(alice, token=await alice.access_token())
    await connect(alice)
    assert (await stolen.ended()).condition == "conflict"


async def test_a_token_alone_takes_no_message_from_the_device(server, register, connect):
    """Neither what was kept before nor what comes while the guest is there."""
    alice, bob = await register(ALICE), await register(BOB)

    def note(id_):
        return st.message(f"{ALICE}@{server.domain}", element("urn:x", "x"), element(HINTS, "store"), id=id_)

    bobs = await connect(bob)
    await bobs.send(note("before"))
    stolen = await connect(alice, token=await alice.access_token())
    await bobs.send(note("now"))
    assert (await stolen.receive()).get("id") == "now", "and only that"
    await stolen.ask(st.iq("get", element(PING, "ping"), id="p"))  # what came is acknowledged
    own = await connect(alice)
    assert [(await own.receive()).get("id") for _ in range(2)] == ["before", "now"]


async def finds(server, http, phone, number):
    asked = {"numbers": [number]}
    async with http.post(
        f"{server.url}/v1/contacts/lookup", json=asked, headers=await phone.bearer()
    ) as answer:
        return bool((await answer.json())["registered"])


async def test_a_token_alone_shows_the_account_to_nobody(server, http, register, connect):
    """Who finds an account, and may ask its devices, is said by its devices; a guest's word holds for himself only."""
    alice, bob, carol = await register(ALICE), await register(BOB), await register(CAROL)
    hiding = {"findable": "nobody"}
    async with http.patch(f"{server.url}/v1/account", json=hiding, headers=await alice.bearer()) as answer:
        assert answer.status == 200
    bobs, carols = await connect(bob), await connect(carol)
    ping = st.iq("get", element(PING, "ping"), id="p")
    guest = await connect(alice, token=await alice.access_token())
    for other in (BOB, CAROL):
        to = f"{other}@{server.domain}"
        await guest.send(st.presence(to=to))
        await guest.send(st.message(to, element("urn:x", "x"), element(HINTS, "store"), id="hello"))
        await guest.ask(st.iq("get", element(PING, "ping"), id=f"to-{other}", to=to))
    await guest.ask(ping)
    # Whom he turned to may answer him, as long as he is there.
    await bobs.send(st.iq("get", element("urn:x", "q"), id="to-the-guest", to=guest.jid))
    assert (await guest.receive()).get("id") == "to-the-guest"
    assert not await finds(server, http, bob, ALICE) and not await finds(server, http, carol, ALICE)
    own = await connect(alice)
    assert (await guest.ended()).condition == "conflict"
    for other in (bobs, carols):
        asked = st.iq("get", element("urn:x", "q"), id="to-the-device", to=own.jid)
        assert st.error_of(await other.ask(asked)).condition == "service-unavailable"
        note = st.message(own.bare, element("urn:x", "x"), element(HINTS, "store"), id="note")
        await other.send(note)
        while (refusal := await other.receive()).get("id") != "note":
            pass
        assert st.error_of(refusal).condition == "service-unavailable"
    await own.ask(ping)
    assert not own.stanzas
    # The device shows it; a guest does not take that back.
    await own.show(bobs)
    own.socket._response.connection.transport.close()
    assert await finds(server, http, bob, ALICE) and not await finds(server, http, carol, ALICE)


async def test_a_token_alone_takes_back_nothing_that_the_device_shows(server, http, register, connect):
    alice, bob = await register(ALICE), await register(BOB)
    own, bobs = await connect(alice), await connect(bob)
    await own.show(bobs)
    own.stream.end(now=asyncio.get_running_loop().time())
    await own.flush()
    await own.ended()
    guest = await connect(alice, token=await alice.access_token())
    await guest.send(st.presence(to=f"{BOB}@{server.domain}", type="unavailable"))
    await guest.ask(st.iq("get", element(PING, "ping"), id="p"))
    own = await connect(alice)
    await bobs.send(st.iq("get", element("urn:x", "q"), id="still", to=own.jid))
    assert (await own.receive()).get("id") == "still"


async def test_a_token_alone_gets_nothing_while_another_device_is_there(server, register, connect):
    """The stolen token is that of a device which is away; another one of the account rings. Nobody else takes the call."""
    from signaling.storage.store import devices

    alice, bob = await register(ALICE), await register(BOB)
    second = Ed25519PrivateKey.generate()
    row = {"device": "d" + "2" * 16, "number": ALICE, "key": encode_public_key(second.public_key())}
    row |= {
        "name": "second",
        "added": 0.0,
        "used": server.clock(),
        "token_hash": sha256(b"second").hexdigest(),
    }
    database = server.server._context.store.database
    await database.run(lambda db: db.execute(devices.insert().values(**row)))
    other = replace(alice, device=row["device"], device_token="second", key=second)

    def messages(id_):
        to = f"{ALICE}@{server.domain}"
        yield st.message(to, element("urn:x", "x"), element(HINTS, "store"), id=f"kept {id_}")
        yield st.message(to, element("urn:x", "x"), id=f"live {id_}")

    guest, own, bobs = (
        await connect(alice, token=await alice.access_token()),
        await connect(other),
        await connect(bob),
    )
    await own.show(bobs)
    for message in messages("now"):
        await bobs.send(message)
    assert [(await own.receive()).get("id") for _ in range(2)] == ["kept now", "live now"]
    await guest.ask(st.iq("get", element(PING, "ping"), id="p"))
    assert not guest.stanzas
    # Alone, a guest is told who rings, as protocol.md says.
    await own.send(st.presence(type="unavailable"))
    await own.ask(st.iq("get", element(PING, "ping"), id="p"))
    for message in messages("alone"):
        await bobs.send(message)
    assert [(await guest.receive()).get("id") for _ in range(2)] == ["kept alone", "live alone"]


async def test_a_stream_by_a_token_alone_ends_with_it(register, connect, monkeypatch):
    monkeypatch.setattr("signaling.server.websocket.GUEST_LIFE", 0.1)
    alice, bob = await register(ALICE), await register(BOB)
    own = await connect(alice)
    stolen = await connect(bob, False, await bob.access_token())
    await stolen.flush()
    while not isinstance(event := await stolen.event(), Ended):
        pass
    assert event.condition == "not-authorized"
    assert (await own.ask(st.iq("get", element(PING, "ping"), id="p"))).get("type") == "result"


async def test_a_bad_proof_is_no_login(server, register, connect):
    alice, bob = await register(ALICE), await register(BOB)
    token, url = await alice.access_token(), server.url.replace("http", "ws", 1) + "/xmpp"
    spent = alice.proof("GET", url, token)
    assert (await connect(alice, token=f"{token} {spent}")).stream.jid
    for proof in (
        "x",
        spent,
        bob.proof("GET", url, token),
        alice.proof("GET", f"{server.url}/v1/account", token),
        alice.proof("GET", url, await alice.access_token()),
    ):
        assert await refused(connect, alice, f"{token} {proof}") == "not-authorized"


async def test_a_removed_device_blocks_nobody_any_more(server, register):
    """Its request was being looked at when it was removed."""
    from signaling.storage.store import Holder, blocks

    alice, store = await register(ALICE), server.server._context.store
    held = Holder(ALICE, alice.device, alice.generation)
    await store.change_pairs(blocks, ALICE, {BOB}, set(), held)
    await register(ALICE)
    with pytest.raises(Problem, match="device_revoked"):
        await store.change_pairs(blocks, ALICE, set(), {BOB}, held)
    assert await store.pairs(blocks, ALICE) == [BOB]
