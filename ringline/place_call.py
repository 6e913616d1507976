"""Call a number, talk for some seconds, hang up, and say how good it was.

ringline call +12025550101 --profile alice.profile --play question.wav --record answer.wav
"""

import argparse
import asyncio

from ringline.endpoint import add_call_options, finish, make_connection, run_until_told
from ringline.sound import show_levels
from signaling import Client


async def place_call(options: argparse.Namespace) -> int:
    async with Client.open(options.profile, preconnect=options.preconnect) as client:
        print(f"{client.number} calls {options.number} ...", flush=True)
        connection = make_connection(options, caller=True)
        asked = asyncio.get_running_loop().time()
        media = ("audio", "video") if connection.camera else ("audio",)
        call = await client.call(options.number, connection, options.timeout, media)
        print(f"connected after {call.timings['connected']:.2f} s, identity: {call.trust}", flush=True)
        try:
            async with show_levels(connection):
                await asyncio.wait_for(call.ended(), options.seconds)
        except TimeoutError:
            pass
        finally:  # Ctrl-C, too, tells the other end and gives the report
            await call.hang_up()
            print(f"the call ended: {call.end_sentence}", flush=True)
            finish(call, connection, options, end="caller", number=client.number, asked=asked)
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", help="whom to call, e.g. +12025550101")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to talk (default 20)")
    parser.add_argument("--timeout", type=float, default=45.0, help="how long to let it ring (default 45)")
    add_call_options(parser)


def run(options: argparse.Namespace) -> int:
    return run_until_told(place_call, options)
