"""A server for the local network: its own certificate, and clients that accept that one and nothing else."""

import re
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest

from signaling.client import Client, Profile
from signaling.client.api import ServerApi
from signaling.client.registration import Progress, register
from signaling.client.server_trust import is_trust, open_session, read_trust
from signaling.errors import ProfileError, ServerUnreachable
from signaling.server.app import Server
from signaling.server.certificate import certificate_for
from signaling.server.command import for_the_local_network
from signaling.server_config import ServerConfig

ALICE = "+12025550100"


@pytest.fixture
async def lan(tmp_path: Path) -> Any:
    """(the running server, its fingerprint, its certificate file)"""
    config = ServerConfig(data=tmp_path / "data", port=0, sms=f"file:{tmp_path / 'sms.jsonl'}")
    config, proof = for_the_local_network(config, "127.0.0.1")
    server = await Server.start(config)
    yield server, proof, config.tls_cert
    await server.stop()


async def ask(url: str, trust: str) -> None:
    async with open_session(trust) as session:
        await ServerApi(session, url).server()


async def test_only_what_was_named_is_accepted(lan: Any, tmp_path: Path) -> None:
    server, proof, certificate = lan
    assert server.url.startswith("https://127.0.0.1:")
    await ask(server.url, read_trust(proof))
    await ask(server.url, read_trust(proof.upper()))
    await ask(server.url, read_trust(str(certificate)))
    other = certificate_for("127.0.0.1", tmp_path / "other")
    for trust in ("", read_trust(other.fingerprint), read_trust(str(other.certificate))):
        with pytest.raises(ServerUnreachable, match="certificate"):
            await ask(server.url, trust)


async def test_a_client_of_another_machine(lan: Any, tmp_path: Path) -> None:
    server, proof, _ = lan

    async def code(progress: Progress) -> str:
        return re.findall(r"\b\d{6}\b", (tmp_path / "sms.jsonl").read_text())[-1]

    path = tmp_path / "alice.profile"
    (await register(ALICE, server.url, path, code, trust=read_trust(proof))).close()
    with Profile.open(path) as profile:
        assert profile.data.server_trust == proof
    async with Client.open(path) as client:
        await client.wait_online(5)
    with Profile.open(path) as profile, profile.change() as data:
        data.server_trust = "sha256:" + "0" * 64
    async with Client.open(path) as client:
        with pytest.raises(ServerUnreachable, match="another certificate"):
            await client.wait_online(1)


def test_the_certificate_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    first, second = (certificate_for("127.0.0.1", tmp_path / "lan") for _ in range(2))
    assert first == second
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(first.certificate, first.key)


@pytest.mark.parametrize("text", ["sha256:", "sha256:12", "sha256:" + "g" * 64, "none.pem", "."])
def test_what_proves_nothing(text: str) -> None:
    with pytest.raises(ProfileError):
        read_trust(text)
    assert not is_trust("nonsense")
