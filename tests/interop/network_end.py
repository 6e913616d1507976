"""One end of a call, as a process of its own (test_network_change.py starts it in a network namespace).

`callee` also runs the server and registers both numbers. Says on standard output what happens, a JSON object
a line; reads "again" (tell when ICE was restarted, then when sound is heard after that) and "end" from standard input.
"""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from media import PeerConnection
from media.io.sources import Tone
from signaling import Client
from signaling.client.registration import register
from signaling.server.app import Server
from signaling.server_config import ServerConfig

CALLER, CALLEE = "+12025550100", "+12025550101"
PATIENCE = 60.0


class Ear:
    def __init__(self) -> None:
        self.loud = asyncio.Event()

    def write(self, samples: np.ndarray) -> None:
        if np.abs(samples.astype(np.int32)).max(initial=0) > 300:
            self.loud.set()

    def close(self) -> None:
        pass


def say(what: str, **more: object) -> None:
    print(json.dumps({"what": what} | more), flush=True)


async def read_lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def serve(folder: Path, host: str, **options: Any) -> Server:
    config = ServerConfig(
        data=folder / "data",
        host=host,
        port=0,
        sms=f"file:{folder / 'sms.jsonl'}",
        tls_cert=folder / "cert.pem",
        tls_key=folder / "key.pem",
        **options,
    )
    server = await Server.start(config)

    async def code(progress: object) -> str:
        lines = [json.loads(line) for line in (folder / "sms.jsonl").read_text().splitlines()]
        return re.findall(r"\b\d{6}\b", lines[-1]["text"])[0]

    for number in (CALLER, CALLEE):
        (await register(number, server.url, folder / f"{number}.profile", code)).close()
    return server


async def main(role: str, folder: Path, host: str) -> None:
    server = await serve(folder, host) if role == "callee" else None
    number = CALLEE if role == "callee" else CALLER
    lines = await read_lines()
    ear = Ear()
    async with Client.open(folder / f"{number}.profile", ring_unknown=True) as client:
        await client.wait_online(10)
        connection = PeerConnection(microphone=Tone(), speaker=ear)
        if role == "callee":
            say("ready")
            call = await (await client.next_incoming()).accept(connection)
        else:
            call = await client.call(CALLEE, connection)
        await ear.loud.wait()
        say("heard")
        over = asyncio.create_task(call.ended())
        moved = asyncio.Event()

        async def watch() -> None:
            async for event in call.events():
                if event.name == "ice-restarted":
                    moved.set()

        watching = asyncio.create_task(watch())

        async def either(event: asyncio.Event, what: str) -> None:
            waiting = asyncio.create_task(event.wait())
            await asyncio.wait((waiting, over), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            say(f"ended {call.end_reason} {call.end_text} {call.history}" if over.done() else what)

        while (line := (await lines.readline()).decode().strip()) == "again":
            say("listening")
            await either(moved, "restarted")
            ear.loud.clear()
            await either(ear.loud, "heard")
        report = json.loads(connection.report().to_json())
        say("report", history=[(e.name, e.at, e.by_peer) for e in call.history], report=report, line=line)
        await lines.readline()
        await call.hang_up()
        await asyncio.wait((over, watching))
    if server is not None:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]), PATIENCE))
