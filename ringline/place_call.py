"""Call a number, talk, hang up, and say how good it was.

    ringline call +12025550101 --profile alice.profile --devices
    ringline call +12025550101 --profile alice.profile --play question.wav --record answer.wav

Without a microphone a generated voice is sent, for 20 s; with one, the call lasts until somebody hangs up.
"""

import argparse
import asyncio

from media import PeerConnection
from ringline.arguments import seconds
from ringline.endpoint import (
    PATIENCE,
    add_call_options,
    come_online,
    finish,
    make_connection,
    run_until_told,
    tell_about_picture,
)
from ringline.ringing import RINGBACK, ringing
from ringline.talking import talk
from ringline.terminal import Keys, say
from signaling import Call, CallEvent, CallFailed, Client, InvalidNumber, Profile
from signaling.phone_number import parse_number, region_of

TALK = 20.0


async def place_call(options: argparse.Namespace) -> int:
    async with Client.open(options.profile, preconnect=options.preconnect) as client:
        await come_online(client, PATIENCE)
        say(f"{client.number} calls {options.number} ...")
        connection = make_connection(options, caller=True)
        asked = asyncio.get_running_loop().time()
        with Keys() as keys:
            call = await ring(client, connection, options, keys)
            say(f"connected after {call.timings['connected']:.2f} s, identity: {call.trust}")
            tell_about_picture(options)
            try:
                await talk(call, connection, keys, options.seconds)
            finally:  # Ctrl-C, too, tells the other end and gives the report
                await call.hang_up()
                say(f"the call ended: {call.end_sentence}")
                finish(call, connection, options, end="caller", number=client.number, asked=asked)
    return 0


async def ring(client: Client, connection: PeerConnection, options: argparse.Namespace, keys: Keys) -> Call:
    """Until somebody takes the call; `q` takes it back. Raises CallError."""
    rings, taken = asyncio.Event(), asyncio.Event()

    def happened(event: CallEvent) -> None:
        (rings if event.name == "ringing" else taken).set()

    async def sound() -> None:
        await rings.wait()
        say("it rings ...")
        async with ringing(options, RINGBACK):
            await taken.wait()

    async def take_back() -> None:
        while await keys.get() != "q":
            pass

    media = ("audio", "video") if connection.camera else ("audio",)
    calling = asyncio.create_task(
        client.call(options.number, connection, options.timeout, media, on_event=happened)
    )
    beside = [asyncio.create_task(sound()), asyncio.create_task(take_back())]
    try:
        await asyncio.wait((calling, beside[1]), return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise CallFailed("cancelled", "you took the call back before it was answered")
        return calling.result()
    finally:
        for task in (calling, *beside):
            task.cancel()
        await asyncio.gather(calling, *beside, return_exceptions=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("number", help="whom to call, e.g. +12025550101")
    add(
        "--seconds",
        type=seconds(0.1, 7 * 86400),
        help=f"how long to talk (default {TALK:g}; with a microphone: until somebody hangs up)",
    )
    add("--timeout", type=seconds(1, 600), default=45.0, help="how long to let it ring (default 45)")
    add_call_options(parser)


def run(options: argparse.Namespace) -> int:
    with Profile.open(options.profile) as profile:
        options.number = parse_number(options.number, region_of(profile.number))
        if options.number == profile.number:
            raise InvalidNumber("that is your own number: call another one")
    if options.seconds is None and not (options.devices or options.microphone is not None):
        options.seconds = TALK
    return run_until_told(place_call, options)
