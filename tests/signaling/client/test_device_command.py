"""The commands for devices, as typed: link, approve, devices, remove, pin, safety-number."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from signaling.__main__ import main

ALICE, BOB = "+12025550100", "+12025550101"


async def test_a_second_device_from_the_command_line(
    server: Any, make_profile: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("signaling.client.devices.POLL_INTERVAL", 0.01)
    alice, bob = str(await make_profile(ALICE)), str(await make_profile(BOB))
    tablet = str(tmp_path / "tablet.profile")
    said = ""

    async def run(*arguments: str, code: int = 0) -> str:
        nonlocal said
        assert await asyncio.to_thread(main, list(arguments)) == code
        output = capsys.readouterr()
        said += output.out
        return str(output.err or output.out)

    linking = asyncio.create_task(
        run("link", "--server", server.url, "--name", "tablet", "--profile", tablet)
    )
    async with asyncio.timeout(10):
        while not (shown := re.search(r"approve (\S+) --profile", said)):
            said += capsys.readouterr().out
            await asyncio.sleep(0)
        await run("approve", shown[1], "--profile", alice)
        await linking
    assert "(tablet) is a device" in said  # whichever of the two has read what both have written
    assert Path(tablet).stat().st_mode & 0o777 == 0o600
    listed = await run("devices", "--profile", tablet)
    assert len(listed.splitlines()) == 2 and "tablet  this device" in listed and "NOBODY" not in listed
    numbers = [
        re.findall(r"\b\d{5}\b", await run("safety-number", number, "--profile", profile))
        for number, profile in ((BOB, alice), (BOB, tablet), (ALICE, bob))
    ]
    assert numbers[0] == numbers[1] == numbers[2] and len(numbers[0]) == 12
    assert "verified: its calls say so" in await run("verify", BOB, *numbers[0], "--profile", alice)
    assert "you have compared" in (await run("safety-number", BOB, "--profile", alice)).lower()
    assert ", verified" in await run("whoami", "--profile", alice)
    wrong = ["00000", *numbers[0][1:]]
    assert "not verified: where the digits differ" in await run(
        "verify", BOB, *wrong, "--profile", alice, code=1
    )
    for short in (numbers[0][:3], [*numbers[0], "1"], ["yes"]):
        assert "a safety number has 60 digits" in await run("verify", BOB, *short, "--profile", alice, code=1)
    assert "give the 60 digits" in await run("verify", BOB, "--profile", alice, code=1)
    assert "own number" in await run("verify", ALICE, "--profile", alice, code=1)
    assert "PIN is set" in await run("pin", "123456", "--profile", tablet)
    with pytest.raises(SystemExit):
        await run("pin", "1", "--profile", tablet)
    assert "6 to 20 digits" in capsys.readouterr().err
    device = next(line.split()[0] for line in listed.splitlines() if "tablet" in line)
    assert "no device of this number" in await run("remove", device, "--profile", alice)
    assert "not registered any more" in await run("devices", "--profile", tablet, code=1)
    assert "not a link code" in await run("approve", "1234", "--profile", alice, code=1)
    assert "exists" in await run("link", "--server", server.url, "--profile", alice, code=1)
