"""The server as a whole: TLS, proxy, gateways, what is left after many clients, and its own log."""

import asyncio
import datetime
import gc
import json
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from signaling.errors import ServerStartError
from signaling.policy.sms import SmsLimits
from signaling.rate_limit import Quota, Rate
from signaling.server_limits import Limits

ALICE, BOB = "+12025550100", "+12025550101"


def make_certificate(folder, hours=24):
    """The paths of a certificate for localhost and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(1))
    made = made.not_valid_after(now + datetime.timedelta(hours=hours))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    paths = folder / "cert.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    paths[1].write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture
def certificate(tmp_path):
    return make_certificate(tmp_path)


async def test_tls(make_server, http, certificate):
    server = make_server(host="localhost", tls_cert=certificate[0], tls_key=certificate[1])
    await server.start()
    assert server.url.startswith("https://localhost:")
    trust = ssl.create_default_context(cafile=certificate[0])
    async with http.get(f"{server.url}/v1/server", ssl=trust) as answer:
        assert (await answer.json())["websocket"] == server.url.replace("https", "wss") + "/xmpp"
    with pytest.raises(aiohttp.ClientError):
        await http.get(server.url.replace("https", "http") + "/v1/server")
    await server.stop()


async def test_a_renewed_certificate_is_read_without_a_restart(make_server, certificate, tmp_path, caplog):
    server = make_server(host="localhost", tls_cert=certificate[0], tls_key=certificate[1])
    await server.start()

    async def reach(trusted):
        trust = ssl.create_default_context(cadata=trusted)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.url}/healthz", ssl=trust) as answer,
        ):
            return answer.status

    old = certificate[0].read_text()
    assert await reach(old) == 200
    make_certificate(tmp_path, hours=48)
    assert await reach(old) == 200  # nobody said so yet
    server.server.reload_tls()
    assert await reach(certificate[0].read_text()) == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await reach(old)
    await server.stop()


def _another_key(folder):
    other = folder / "other"
    other.mkdir()
    return make_certificate(other)[1].read_bytes()


def _with_passphrase(key):
    private = serialization.load_pem_private_key(key, None)
    secret = serialization.BestAvailableEncryption(b"xyz")
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)


@pytest.mark.parametrize(
    "broken", ["cert: nonsense", "cert: half", "cert: empty", "key: another's", "key: locked"]
)
async def test_a_broken_certificate_changes_nothing_and_is_told(
    make_server, certificate, tmp_path, caplog, broken
):
    server = make_server(host="localhost", tls_cert=certificate[0], tls_key=certificate[1])
    await server.start()
    old = certificate[0].read_text()
    make_certificate(tmp_path, hours=48)  # a new one, of which a half is broken
    cert, key = (path.read_bytes() for path in certificate)
    match broken:
        case "cert: nonsense":
            certificate[0].write_text("damaged")
        case "cert: half":
            certificate[0].write_bytes(cert[: len(cert) // 2])
        case "cert: empty":
            certificate[0].write_bytes(b"")
        case "key: another's":
            certificate[1].write_bytes(_another_key(tmp_path))
        case "key: locked":  # OpenSSL would ask the terminal, and all the server would wait
            certificate[1].write_bytes(_with_passphrase(key))
    server.server.reload_tls()
    assert "cannot read TLS certificate and key" in caplog.text and "stays in use" in caplog.text
    trust = ssl.create_default_context(cadata=old)
    for _ in range(2):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.url}/healthz", ssl=trust) as answer,
        ):
            assert answer.status == 200
    certificate[0].write_bytes(cert)
    certificate[1].write_bytes(key)
    server.server.reload_tls()
    trust = ssl.create_default_context(cadata=cert.decode())
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/healthz", ssl=trust) as answer:
        assert answer.status == 200
    await server.stop()


async def test_behind_a_proxy_the_address_is_the_proxys_word(make_server, http):
    server = make_server(limits=Limits(sms=SmsLimits(network_numbers=Quota(2, 60))), behind_proxy=True)
    await server.start()

    async def ask(address, number):
        headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https", "Host": "calls.example"}
        async with http.post(
            f"{server.url}/v1/registrations", json={"number": number}, headers=headers
        ) as answer:
            return answer.status

    # What the client wrote itself stands first and counts for nothing.
    assert [await ask(f"198.51.100.{n}, 192.0.2.1", f"+1202555010{n}") for n in range(3)] == [201, 201, 429]
    assert await ask("192.0.2.77", "+12025550109") == 429  # the same /24
    assert await ask("203.0.113.2", "+12025550109") == 201
    async with http.get(f"{server.url}/v1/server", headers={"Host": "calls.example"}) as answer:
        assert (await answer.json())["websocket"] == "wss://calls.example/xmpp"
    await server.stop()


async def test_webhook(make_server, http):
    got, answers = [], [204, 500, 302]

    async def take(request):
        got.append(await request.json())
        return web.Response(status=answers.pop(0), headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_post("/sms", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    server = make_server(sms=f"webhook:http://127.0.0.1:{port}/sms")
    await server.start()
    statuses = []
    for n in range(3):
        number = f"+1202555010{n}"
        async with http.post(f"{server.url}/v1/registrations", json={"number": number}) as answer:
            statuses.append(answer.status)
    assert statuses == [201, 502, 502]
    assert [set(message) for message in got] == [{"to", "text"}] * 3 and got[0]["to"] == ALICE
    await server.stop()
    await runner.cleanup()


async def test_the_sms_file_is_private_and_whole_lines(server, register):
    await asyncio.gather(*(register(f"+1202555{n:04d}") for n in range(110, 120)))
    assert len(server.messages()) == 10
    assert Path(server._sms).stat().st_mode & 0o777 == 0o600


@pytest.mark.long
async def test_many_clients_leave_nothing(server, register, connect, http):
    phone = await register(ALICE)
    token = await phone.access_token()

    async def once():
        wire = await connect(phone, token=token)
        await wire.socket.close()
        async with http.get(f"{server.url}/v1/server") as answer:
            await answer.read()

    def count():
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())

    for _ in range(5):
        await once()
    before = count()
    for _ in range(40):
        await once()
    async with asyncio.timeout(5):
        while server.server._connections:
            await once()
    files, tasks = count()
    assert files <= before[0] + 2 and tasks <= before[1] + 2
    # The last stream of the device may wait to be resumed, and no other one.
    assert len(server.server._context.sessions.of(ALICE)) <= 1


class TestFewConnections:
    @pytest.fixture
    def limits(self):
        return Limits(connections=2)

    async def test_too_many_that_are_logged_in(self, server, http, register, connect):
        phones = [await register(number) for number in (ALICE, BOB, "+12025550102")]
        url = server.url.replace("http", "ws") + "/xmpp"
        strangers = [await http.ws_connect(url, protocols=("xmpp",)) for _ in range(5)]
        wires = [await connect(phone) for phone in phones[:2]]  # strangers take no place of theirs
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(phones[2])
        assert refused.value.status == 503 and "Retry-After" in refused.value.headers
        await wires[0].socket.close()
        async with asyncio.timeout(5):
            while server.server._admission.is_full:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await connect(phones[2])
        for socket in strangers:
            await socket.close()


@pytest.mark.parametrize("name", ["keys/signing.pem", "keys/sms-pepper", "ringline.db"])
async def test_damaged_data_is_one_clear_error(make_server, name):
    server = make_server()
    await server.start()
    await server.stop()
    path = server._config.data / name
    for extra in server._config.data.glob("ringline.db-*"):
        extra.unlink()
    path.write_bytes(b"damaged" * 1000)
    with pytest.raises(ServerStartError) as error:
        await server.start()
    assert "\n" not in str(error.value)
    # The folder is free again.
    path.unlink()
    await server.start()
    await server.stop()


async def test_stop_is_safe_twice_and_at_once(server):
    running = server.server
    await server.stop()
    await running.stop()


async def test_requests_while_draining_are_503(server, http, register, connect):
    wire = await connect(await register(ALICE))
    server.server._draining = True
    async with http.get(f"{server.url}/readyz") as answer:
        assert answer.status == 503 and json.loads(await answer.text())["code"] == "unavailable"
    async with http.post(f"{server.url}/v1/registrations", json={"number": ALICE}) as answer:
        assert answer.status == 503
    async with http.get(f"{server.url}/healthz") as answer:
        assert answer.status == 200
    await wire.socket.close()


async def test_web_pages_of_other_origins_are_turned_away(make_server, http, caplog):
    """They would act with the address of whoever looks at them, and from the host of the server itself."""
    server = make_server(
        Limits(requests=Rate(5, 1000)), behind_proxy=True, origins=frozenset({"https://app.example"})
    )
    await server.start()
    page = {"X-Forwarded-For": "192.0.2.1", "Origin": "https://evil.example"}
    for _ in range(20):
        async with http.post(
            f"{server.url}/v1/registrations", json={"number": ALICE}, headers=page
        ) as answer:
            assert answer.status == 403 and (await answer.json(content_type=None))["code"] == "foreign_origin"
            assert "Access-Control-Allow-Origin" not in answer.headers
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{server.url}/xmpp", protocols=("xmpp",), headers=page)
        assert refused.value.status == 403
    # It used up nothing of that address.
    for _ in range(5):
        async with http.get(f"{server.url}/v1/server", headers={"X-Forwarded-For": "192.0.2.1"}) as answer:
            assert answer.status == 200
    # The server's own pages, and those that the operator names, may.
    own = {"X-Forwarded-For": "192.0.2.2", "Host": "calls.example"}
    for origin in ("https://calls.example", "https://app.example"):
        socket = await http.ws_connect(
            f"{server.url}/xmpp", protocols=("xmpp",), headers=own | {"Origin": origin}
        )
        await socket.close()
    app = own | {"Origin": "https://app.example"}
    preflight = app | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    async with http.options(f"{server.url}/v1/tokens", headers=preflight) as answer:
        assert answer.status == 204 and "POST" in answer.headers["Access-Control-Allow-Methods"]
    async with http.post(
        f"{server.url}/v1/tokens", json={}, headers=app
    ) as answer:  # also an error can be read
        assert answer.status == 400 and answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    await server.stop()


async def test_an_origin_that_is_none_is_told_at_the_start(make_server):
    with pytest.raises(ServerStartError, match="is not like https:"):
        await make_server(origins=frozenset({"app.example"})).start()
