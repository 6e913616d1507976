"""Linking, the signed list, removal, the PIN: over HTTP, as clients do it."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.device_link import LIFE, MAX_OPEN, make_link_proof
from signaling.device_list import DeviceList, sign_device_list, verify_device_list
from signaling.registration_pin import LAPSES_AFTER
from signaling.tokens import encode_public_key, make_proof

ALICE, BOB = "+12025550100", "+12025550101"


@pytest.fixture
def call(server, http):
    """await call(method, path, body=None, phone=None) -> (status, JSON)"""

    async def run(method, path, body=None, phone=None):
        headers = await phone.bearer() if phone is not None else {}
        async with http.request(method, f"{server.url}/v1{path}", json=body, headers=headers) as answer:
            return answer.status, (await answer.json() if answer.status != 204 else None)

    return run


def public(key):
    return encode_public_key(key.public_key())


def begun(domain, key, **changes):
    return {
        "device_key": public(key),
        "device_name": "tablet",
        "proof": make_link_proof(key, domain),
    } | changes


def listing(phone, devices, version=1, key=None, signer=None, number=ALICE, domain="calls.example"):
    listed = DeviceList(number, domain, version, devices, signer or phone.device)
    return {"list": sign_device_list(key or phone.key, listed)}


async def link(call, phone, key):
    """A second device of the phone's number; its id and token."""
    status, opened = await call("POST", "/links", begun("calls.example", key))
    assert status == 201
    path = f"/links/{opened['link']}"
    _, asked = await call("GET", path, phone=phone)
    _, account = await call("GET", "/account", phone=phone)
    devices = {d["device"]: d["key"] for d in account["devices"]} | {asked["device"]: asked["device_key"]}
    version = account["list_version"] + 1
    assert await call("POST", f"{path}/approve", listing(phone, devices, version), phone) == (204, None)
    return await call("GET", path)


async def test_a_device_is_linked_by_one_that_is_registered(server, call, register, connect):
    alice, bob, key = await register(ALICE), await register(BOB), Ed25519PrivateKey.generate()
    status, opened = await call("POST", "/links", begun(server.domain, key))
    assert status == 201 and len(opened["link"]) == 32 and opened["expires_in_s"] == 600
    path = f"/links/{opened['link']}"
    assert await call("GET", path) == (202, {})
    status, asked = await call("GET", path, phone=alice)
    assert (asked["device_key"], asked["device_name"]) == (public(key), "tablet")
    devices = {alice.device: public(alice.key), asked["device"]: public(key)}
    assert (await call("POST", f"{path}/approve", listing(alice, devices), alice))[0] == 204
    status, made = await call("GET", path)
    assert status == 201 and (made["number"], made["device"], made["generation"]) == (
        ALICE,
        asked["device"],
        1,
    )
    second = type(alice)(server, alice.http, ALICE, made["device"], made["device_token"], key, 1)
    wires = [await connect(alice), await connect(second)]
    assert [wire.jid.partition("/")[2] for wire in wires] == list(devices)
    # Contacts get the list with the lookup, and it holds by the key that they know.
    _, found = await call("POST", "/contacts/lookup", {"numbers": [ALICE]}, bob)
    (entry,) = found["registered"]
    listed = verify_device_list(entry["list"], ALICE, server.domain, {alice.device: public(alice.key)})
    assert listed.devices == devices == {d["device"]: d["key"] for d in entry["devices"]}
    assert (await call("POST", f"{path}/approve", listing(alice, devices, 2), alice))[1][
        "code"
    ] == "link_over"


async def test_a_removed_device_is_out_and_its_list_is_not_served(server, call, register, connect):
    alice, bob, key = await register(ALICE), await register(BOB), Ed25519PrivateKey.generate()
    _, made = await link(call, alice, key)
    second = type(alice)(server, alice.http, ALICE, made["device"], made["device_token"], key, 1)
    wire = await connect(second)
    assert (await call("DELETE", f"/devices/{second.device}", phone=alice))[0] == 204
    assert (await wire.ended()).condition == "not-authorized"
    _, refused = await call(
        "POST", "/tokens", {"device_token": second.device_token, "assertion": second.assertion()}
    )
    assert refused["code"] == "device_revoked"
    _, found = await call("POST", "/contacts/lookup", {"numbers": [ALICE]}, bob)
    assert found["registered"][0]["list"] is None
    alone = {alice.device: public(alice.key)}
    assert (await call("PUT", "/devices", listing(alice, alone, 1), alice))[1]["code"] == "bad_list", (
        "old version"
    )
    assert (await call("PUT", "/devices", listing(alice, alone, 2), alice))[0] == 204
    _, found = await call("POST", "/contacts/lookup", {"numbers": [ALICE]}, bob)
    assert found["registered"][0]["list"] is not None


async def test_no_device_is_added_silently(server, call, register):
    """Each is refused and says why; the account is as before."""
    alice, bob = await register(ALICE), await register(BOB)
    key, evil = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    _, opened = await call("POST", "/links", begun(server.domain, key))
    path = f"/links/{opened['link']}"
    _, asked = await call("GET", path, phone=alice)
    own, new = {alice.device: public(alice.key)}, {asked["device"]: public(key)}
    for body, why in (
        (listing(alice, own | new, key=evil), "signature is wrong"),
        (listing(alice, own | new, key=evil, signer=asked["device"]), "not known"),
        (listing(alice, own), "exactly"),
        (listing(alice, own | {asked["device"]: public(evil)}), "exactly"),
        (listing(alice, own | new | {"d" + "f" * 16: public(evil)}), "exactly"),
        (listing(alice, new), "not on the list"),
        (listing(alice, own | new, version=0), "version"),
        (listing(alice, own | new, number=BOB), "another account"),
        (listing(alice, own | new, domain="evil.example"), "another account"),
        ({"list": "x.y.z"}, "not a token"),
        ({"list": alice.assertion()}, "not known"),
    ):
        status, problem = await call("POST", f"{path}/approve", body, alice)
        assert (status, problem["code"]) == (400, "bad_list") and why in problem["title"], (why, problem)
    # Somebody else's account cannot take what Alice signs, and nobody can approve without an account.
    status, problem = await call("POST", f"{path}/approve", listing(alice, own | new), bob)
    assert problem["code"] == "bad_list"
    assert (await call("POST", f"{path}/approve", listing(alice, own | new)))[1]["code"] == "bad_token"
    assert await call("GET", path) == (202, {})
    _, account = await call("GET", "/account", phone=alice)
    assert [d["device"] for d in account["devices"]] == [alice.device] and account["list"] is None


async def test_somebody_elses_key_cannot_be_linked(server, call, register):
    alice, key = await register(ALICE), Ed25519PrivateKey.generate()
    for changes, code in (
        ({"device_key": public(alice.key)}, "bad_proof"),
        ({"proof": make_link_proof(key, "evil.example")}, "bad_proof"),
        ({"proof": "x"}, "bad_proof"),
        ({"device_key": "x"}, "bad_key"),
        ({"device_name": ""}, "bad_request"),
    ):
        assert (await call("POST", "/links", begun(server.domain, key, **changes)))[1]["code"] == code


async def test_links_end_and_are_limited(server, call, register):
    alice = await register(ALICE)
    _, opened = await call("POST", "/links", begun(server.domain, Ed25519PrivateKey.generate()))
    server.advance(LIFE + 1)
    for phone in (None, alice):
        assert (await call("GET", f"/links/{opened['link']}", phone=phone))[1]["code"] == "link_over"
    body = begun(server.domain, Ed25519PrivateKey.generate())
    answers = [(await call("POST", "/links", body))[0] for _ in range(12)]
    assert answers == [201] * 10 + [429] * 2


async def test_a_new_registration_voids_devices_and_list(server, call, register):
    alice, bob = await register(ALICE), await register(BOB)
    await link(call, alice, Ed25519PrivateKey.generate())
    new = await register(ALICE)
    _, account = await call("GET", "/account", phone=new)
    assert [d["device"] for d in account["devices"]] == [new.device]
    assert account["list"] is None and account["list_version"] == 1, "old lists stay old"
    _, found = await call("POST", "/contacts/lookup", {"numbers": [ALICE]}, bob)
    assert found["registered"][0]["list"] is None


async def test_the_pin_keeps_out_who_only_has_the_sms(server, call, register):
    alice = await register(ALICE)
    for wrong in ("12345", "x" * 6, 123456, "1" * 21):
        assert (await call("PATCH", "/account", {"pin": wrong}, alice))[1]["code"] == "bad_request"
    status, account = await call("PATCH", "/account", {"pin": "654321"}, alice)
    assert status == 200 and account["pin"] is True

    async def thief(**extra):
        key = Ed25519PrivateKey.generate()
        _, started = await call("POST", "/registrations", {"number": ALICE})
        id_ = started["registration"]
        body = {"code": server.code_for(ALICE), "device_key": public(key), "device_name": "thief"}
        body |= {"proof": make_proof(key, server.domain, id_, ALICE)} | extra
        return await call("POST", f"/registrations/{id_}/verify", body)

    assert (await thief())[1]["code"] == "pin_needed"
    status, problem = await thief(pin="000000")
    assert (status, problem["code"]) == (403, "pin_needed") and "wrong" in problem["title"]
    assert (await call("GET", "/account", phone=alice))[1]["devices"][0]["name"] == "test", "nothing happened"
    status, _ = await thief(pin="654321")
    assert status == 201
    server.advance(LAPSES_AFTER + 60)
    assert (await thief())[0] == 201, "nobody used the account for a week: its number may have another owner"
    assert (await thief())[0] == 201, "and the PIN went with it"


@pytest.fixture
def steal(server, call):
    """await steal() -> (status, answer): who has only Alice's SMS registers her number."""

    async def run():
        key = Ed25519PrivateKey.generate()
        _, started = await call("POST", "/registrations", {"number": ALICE})
        id_ = started["registration"]
        body = {"code": server.code_for(ALICE), "device_key": public(key), "device_name": "thief"}
        body |= {"proof": make_proof(key, server.domain, id_, ALICE)}
        return await call("POST", f"/registrations/{id_}/verify", body)

    return run


async def fresh(server, call, phone):
    """Whether the device still gets a token."""
    body = {"device_token": phone.device_token, "assertion": phone.assertion()}
    status, answer = await call("POST", "/tokens", body)
    return status == 200 or answer["code"]


async def test_a_device_that_is_online_is_in_use(server, call, register, connect, steal):
    """However long it has not asked for a token, and whatever jumps the clock makes."""
    alice = await register(ALICE)
    await call("PATCH", "/account", {"pin": "654321"}, alice)
    await connect(alice)
    for jump in (LAPSES_AFTER + 60, 91 * 86400, 365 * 86400, -200 * 86400):
        server.advance(jump)
        assert (await steal())[1]["code"] == "pin_needed", jump
        assert await fresh(server, call, alice) is True


async def test_a_stream_that_broke_is_in_use_until_it_is_over(server, call, register, connect, steal):
    alice = await register(ALICE)
    await call("PATCH", "/account", {"pin": "654321"}, alice)
    wire = await connect(alice)
    server.advance(LAPSES_AFTER + 60)
    wire.socket._response.connection.transport.abort()
    sessions = server.server._context.sessions
    async with asyncio.timeout(5):
        while sessions.get(ALICE, alice.device).link is not None:
            await call("GET", "/server")
    assert (await steal())[1]["code"] == "pin_needed"


@pytest.mark.parametrize("ends", ["closes", "restart"])
async def test_a_stream_counts_as_use_after_its_end(server, call, register, connect, steal, ends):
    alice = await register(ALICE)
    await call("PATCH", "/account", {"pin": "654321"}, alice)
    wire = await connect(alice)
    server.advance(91 * 86400)
    if ends == "closes":
        wire.stream.end(now=0.0)
        await wire.flush()
        await wire.ended()
        await wire.socket.close()
        async with asyncio.timeout(5):
            while server.server._connections:
                await call("GET", "/server")
    else:

        async def go():
            await wire.ended()
            await wire.socket.close()

        await asyncio.gather(server.restart(), go())
    server.advance(LAPSES_AFTER - 3600)
    assert (await steal())[1]["code"] == "pin_needed"
    assert await fresh(server, call, alice) is True
    server.advance(LAPSES_AFTER + 60)
    assert (await steal())[0] == 201


async def test_use_is_noted_every_hour_for_the_case_of_a_crash(server, call, register, connect):
    alice, bob = await register(ALICE), await register(BOB)
    await connect(alice)
    server.advance(91 * 86400)
    await server.server._sweep_once()
    store = server.server._context.store
    assert server.clock() - (await store.device(ALICE, alice.device)).used < 60
    assert server.clock() - (await store.device(BOB, bob.device)).used > 90 * 86400


async def test_a_clock_that_was_ahead_makes_no_device_used_for_ever(server, call, register, connect, steal):
    alice = await register(ALICE)
    await call("PATCH", "/account", {"pin": "654321"}, alice)
    server.advance(365 * 86400)
    await server.server._accounts.note_used([alice.device], server.clock())
    server.advance(-365 * 86400)
    await server.restart()
    server.advance(LAPSES_AFTER + 60)
    assert (await steal())[0] == 201


async def test_pins_are_tried_ten_times_a_day(server, register, monkeypatch):
    monkeypatch.setattr(
        "signaling.storage.accounts.pin_hash", lambda pin, number, pepper: pin
    )  # no 50 ms each
    from signaling.problem import Problem
    from signaling.storage.accounts import AccountStore

    await register(ALICE)
    accounts = AccountStore(server.server._context.store, b"pepper")
    await accounts.set_pin(ALICE, "123456")
    codes = []
    for _ in range(11):
        with pytest.raises(Problem) as refused:
            await accounts.check_pin(ALICE, "000000", server.clock())
        codes.append(refused.value.code)
    assert codes == ["pin_needed"] * 10 + ["too_many"]


async def test_one_network_with_many_addresses_does_not_use_up_the_links(make_server, http):
    """An IPv6 /56 has 256 networks that count as an address each, a /48 65,536."""
    server = make_server(behind_proxy=True)
    await server.start()

    async def open_link(address):
        key = Ed25519PrivateKey.generate()
        async with http.post(
            f"{server.url}/v1/links", json=begun(server.domain, key), headers={"X-Forwarded-For": address}
        ) as answer:
            return answer.status, (await answer.json(content_type=None)).get("link")

    async def look(link):
        async with http.get(f"{server.url}/v1/links/{link}") as answer:
            return answer.status

    _, mine = await open_link("192.0.2.7")
    for n in range(MAX_OPEN + 20):
        status, _ = await open_link(f"2001:db8:0:{n // 10:x}::1")
        assert status == 201
    status, other = await open_link("198.51.100.7")
    assert status == 201 and await look(mine) == await look(other) == 202
    assert (await open_link("2001:db8:0:ffff::1"))[0] == 201  # a neighbour
    await server.stop()
