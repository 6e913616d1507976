"""One end of a relayed call, as a process of its own (test_relay.py starts it in a network namespace).

`server HOST URLS SECRET`: the signaling server, and sockets that nobody is to reach. `callee`, `caller`: the ends of
a call; they take servers of their own from RELAYS. `attacker HOST URLS SECRET`: asks the relay for peers that it must
refuse. Says on standard output what happens, a JSON object a line; "over" on standard input ends it.
"""

import asyncio
import json
import os
import re
import socket
import sys
import time
from pathlib import Path

from network_end import CALLEE, CALLER, Ear, read_lines, say, serve

from media import PeerConnection
from media.io.ice_syntax import IceServer
from media.io.sources import Tone
from media.quality.html import render_html
from media.quality.report import document
from signaling import CallError, Client, IceServerConfig
from signaling.client.profile import Profile
from signaling.external_services import password_of

PATIENCE = 60.0


async def server(folder: Path, host: str, urls: str, secret: str) -> None:
    running = await serve(folder, host, turn=tuple(urls.split(",")), turn_secret=secret)
    victims = []
    for address in os.environ.get("VICTIMS", "").split():
        victim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        victim.bind((address, 0))
        victim.setblocking(False)
        victims.append(victim)
    say("ready", victims=[victim.getsockname() for victim in victims])
    await (await read_lines()).readline()
    heard = 0
    for victim in victims:
        while True:
            try:
                victim.recv(2000)
            except BlockingIOError:
                break
            heard += 1
        victim.close()
    await running.stop()
    say("victims", heard=heard)


async def end(folder: Path, role: str) -> None:
    number = CALLEE if role == "callee" else CALLER
    path = folder / f"{number}.profile"
    with Profile.open(path) as profile:
        if os.environ.get("KNOWN") and CALLER not in profile.data.contacts:
            profile.data.contacts.append(CALLER)
            profile.save()
    own = [
        IceServerConfig((url,), name, password) for url, name, password in json.loads(os.environ["RELAYS"])
    ]
    lines, ear = await read_lines(), Ear()
    async with Client.open(path, ring_unknown=True, ice_servers=own) as client:
        await client.wait_online(10)
        connection = PeerConnection(microphone=Tone(), speaker=ear)
        try:
            if role == "callee":
                say("ready")
                call = await (await client.next_incoming()).accept(connection)
            else:
                call = await client.call(CALLEE, connection)
        except CallError as error:
            return say("failed", why=str(error))
        await ear.loud.wait()
        await asyncio.sleep(2.2)  # two seconds of the report
        report = connection.report()
        text = document(report)
        page = re.findall(r'class="note">(Path: [^<]*)<', render_html(json.loads(text)))
        say("heard", report=json.loads(text)["ends"][0], table=str(report), page=page)
        await lines.readline()
        await call.hang_up()


async def attacker(targets: str, urls: str, secret: str) -> None:
    """A peer that names addresses behind the relay."""
    name = f"{int(time.time()) + 600}:mallory"
    relays = [IceServer(tuple(urls.split(",")), name, password_of(name, secret.encode()))]
    ours = PeerConnection(ice_servers=relays, ice_transport_policy="relay")
    theirs = PeerConnection(addresses=["127.0.0.1"])
    offer = await theirs.create_offer()
    await ours.create_answer(re.sub(r"a=candidate:.*\r\n", "", offer))
    for host, port in json.loads(targets):
        await ours.add_ice_candidate("0", f"candidate:1 1 udp 2122260223 {host} {port} typ host")
    async with asyncio.timeout(15):
        async for event in ours.events():
            if event[0] == "candidate-error":
                say("refused", url=event[1], why=event[2])
                break
    await asyncio.sleep(2)  # had it been let through, checks would have come by now
    say("report", events=ours.report().to_dict()["events"])
    await ours.close()
    await theirs.close()


def main(role: str, folder: str, *more: str) -> None:
    if role == "server":
        work = server(Path(folder), *more)
    elif role == "attacker":
        work = attacker(*more)
    else:
        work = end(Path(folder), role)
    asyncio.run(asyncio.wait_for(work, PATIENCE))


if __name__ == "__main__":
    main(*sys.argv[1:])
