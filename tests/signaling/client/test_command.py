"""The client's commands, run as a user runs them: one clear line, and the right exit code."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from signaling.client import Profile
from signaling.client.api import ServerApi
from signaling.errors import RegistrationError

ALICE, BOB = "+12025550100", "+12025550101"


async def run(*arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "signaling",
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_register_whoami_trust(server: Any, tmp_path: Path) -> None:
    profile, sms = tmp_path / "alice.profile", server._sms
    code, out, err = await run(
        "register", ALICE, "--server", server.url, "--profile", profile, "--sms-file", sms
    )
    assert (code, err) == (0, "") and ALICE in out and profile.is_file()
    with Profile.open(profile) as opened:
        opened.refuse(BOB, "d1", opened.public_key)
    code, out, _ = await run("whoami", "--profile", profile)
    assert code == 0 and f"REFUSED {BOB}" in out
    code, out, _ = await run("trust", "(202) 555-0101", "--profile", profile)
    assert code == 0 and BOB in out
    with Profile.open(profile) as opened:
        assert opened.pins(BOB) == {"d1": opened.public_key}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["register", "+1202", "--code", "123456"], "not a valid phone number"),
        (["register", BOB], "no code was given"),
        (["whoami"], "does not exist"),
    ],
)
async def test_mistakes_are_one_line(server: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    where = ["--server", server.url] if arguments[0] == "register" else []
    code, _, err = await run(*arguments, *where, "--profile", tmp_path / "p")
    assert code == 1 and message in err
    assert err.count("\n") == 1 and err.startswith("error: ")


@pytest.mark.long
async def test_a_device_that_is_online_does_not_keep_its_commands_out(
    server: Any, make_profile: Any, open_client: Any
) -> None:
    await make_profile(BOB)
    client = await open_client(ALICE)
    profile = client._profile.path
    for command in (
        ["whoami"],
        ["devices"],
        ["safety-number", BOB],
        ["pin", "654321"],
        ["contact", BOB],
        ["findable", "nobody"],
        ["block", BOB],
        ["blocked"],
        ["unblock", BOB],
    ):
        code, _, err = await run(*command, "--profile", profile)
        assert (code, err) == (0, ""), (command, err)
    assert client.online
    assert client._profile.knows(BOB)  # and sees what they changed
    await run("block", BOB, "--profile", profile)
    assert await client.blocks.numbers() == [BOB]


async def test_a_token_alone_neither_reads_nor_changes_the_block_list(server: Any, open_client: Any) -> None:
    client = await open_client(ALICE)
    token = await client.account._tokens.get()
    async with aiohttp.ClientSession() as session:
        api = ServerApi(session, server.url)
        for method, body in (("GET", None), ("PATCH", {"block": [BOB]})):
            with pytest.raises(RegistrationError) as refused:
                await api.request(method, "/blocks", body, token)
            assert refused.value.code == "proof_needed"
    for wrong in ("hello", 5):
        with pytest.raises(RegistrationError):
            await client.account.block(wrong)
    assert await client.blocks.numbers() == []
