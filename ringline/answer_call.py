"""Wait for calls and answer them: play a file or echo what is heard, record, and say how good each call was.

ringline answer --profile bob.profile --record heard.wav
ringline answer --profile bob.profile --echo --once
ringline answer --profile bob.profile --ring 3 --preconnect
"""

import argparse
import asyncio

from media import MediaError
from ringline.endpoint import add_call_options, finish, make_connection, run_until_told
from ringline.sound import show_levels
from signaling import CallError, Client, IncomingCall


async def answer(incoming: IncomingCall, options: argparse.Namespace, number: str) -> None:
    print(f"{incoming.number} calls; answering", flush=True)
    asked = asyncio.get_running_loop().time()
    connection = make_connection(options, caller=False)
    await incoming.prepare(connection)
    try:
        await asyncio.wait_for(incoming.ended(), options.ring)
        print(f"it rings no more: {incoming.end_sentence}", flush=True)
        return
    except TimeoutError:
        call = await incoming.accept()
    print(f"connected, identity: {call.trust}", flush=True)
    try:
        async with show_levels(connection):
            await call.ended()
    finally:  # Ctrl-C, too, tells the other end and gives the report
        await call.hang_up()
        print(f"the call ended: {call.end_sentence}", flush=True)
        finish(call, connection, options, end="callee", number=number, asked=asked)


async def answer_calls(options: argparse.Namespace) -> int:
    async with Client.open(
        options.profile, ring_unknown=not options.contacts_only, preconnect=options.preconnect
    ) as client:
        await client.wait_online()
        print(f"{client.number} waits for calls (Ctrl-C ends it)", flush=True)
        async for incoming in client.incoming():
            try:
                await answer(incoming, options, client.number)
            except (CallError, MediaError) as error:
                print(f"error: {error}", flush=True)
            if options.once:
                break
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--echo", action="store_true", help="send back what is heard")
    parser.add_argument("--once", action="store_true", help="end after the first call")
    parser.add_argument("--contacts-only", action="store_true", help="do not ring for unknown numbers")
    parser.add_argument(
        "--ring", type=float, default=0.0, metavar="SECONDS", help="answer after so long (default 0)"
    )
    add_call_options(parser)


def run(options: argparse.Namespace) -> int:
    return run_until_told(answer_calls, options)
