"""Wait for calls and answer them; record, and say how good each call was.

With a microphone and a terminal it rings and asks. Without a microphone it is a robot that answers everybody: with a
generated voice, a file, or an echo.

    ringline answer --profile bob.profile --devices
    ringline answer --profile bob.profile --record heard.wav
    ringline answer --profile bob.profile --echo --once
    ringline answer --profile bob.profile --play news.mp3 --calls 8
"""

import argparse
import asyncio

from media import MediaError
from ringline import terminal
from ringline.arguments import seconds, whole_number
from ringline.endpoint import (
    EXIT_FAILED,
    add_call_options,
    come_online,
    finish,
    make_connection,
    run_until_told,
    tell_about_picture,
)
from ringline.ringing import RING, ringing
from ringline.talking import talk
from ringline.terminal import Keys, say
from signaling import CallError, Client, IncomingCall

QUESTION = "a answer, d decline"


async def answer_calls(options: argparse.Namespace) -> int:
    async with Client.open(
        options.profile,
        ring_unknown=not options.contacts_only,
        preconnect=options.preconnect,
        max_calls=options.calls,
    ) as client:
        await come_online(client)
        say(f"{client.number} waits for calls{_from_whom(options)} (Ctrl-C ends it)")
        calls: set[asyncio.Task[None]] = set()
        failed = False
        try:
            with Keys(wanted=options.calls == 1) as keys:
                async for incoming in client.incoming():
                    call = asyncio.create_task(handle(incoming, options, client.number, keys))
                    calls.add(call)
                    call.add_done_callback(calls.discard)
                    if options.once or options.calls == 1:
                        failed = not await _settled(call)
                    if options.once:
                        break
        finally:
            for call in calls:  # Ctrl-C: each tells the other end and gives its report
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
    return EXIT_FAILED if options.once and failed else 0


async def _settled(call: "asyncio.Task[None]") -> bool:
    """Whether it went well; what went wrong has been told."""
    await asyncio.wait([call])
    return not call.cancelled() and call.exception() is None


async def handle(incoming: IncomingCall, options: argparse.Namespace, number: str, keys: Keys) -> None:
    """One call, from its ringing to its report."""
    try:
        await answer(incoming, options, number, keys)
    except (CallError, MediaError) as error:
        say(f"error: {error}")
        raise


async def answer(incoming: IncomingCall, options: argparse.Namespace, number: str, keys: Keys) -> None:
    asks = asks_first(options)
    stranger = "" if incoming.known else ", who is not among your contacts,"
    if not asks and not incoming.known and strangers_wait(options):
        say(f"{incoming.number}{stranger} calls; not answered: --from-anyone answers everybody")
        await incoming.reject()
        return
    say(f"{incoming.number}{stranger} calls; {QUESTION if asks else 'answering'}")
    asked = asyncio.get_running_loop().time()
    options = argparse.Namespace(**vars(options))  # what is made for this call is kept there
    connection = make_connection(options, caller=False)
    await incoming.prepare(connection)
    if asks:
        async with ringing(options, RING):
            taken = await _ask(incoming, keys)
    else:
        taken = not await _ended_within(incoming, options.ring)
    if not taken:
        say(f"it rings no more: {incoming.end_sentence}")
        return
    call = await incoming.accept()
    say(f"connected, identity: {call.trust}")
    tell_about_picture(options)
    try:
        await talk(call, connection, keys)
    finally:  # Ctrl-C, too, tells the other end and gives the report
        await call.hang_up()
        say(f"the call ended: {call.end_sentence}")
        finish(call, connection, options, end="callee", number=number, asked=asked)


async def _ask(incoming: IncomingCall, keys: Keys) -> bool:
    """Whether the person here takes the call."""
    keys.drop()
    over = asyncio.create_task(incoming.ended(), name="ringline-ended")
    try:
        while not over.done():
            pressed = asyncio.create_task(keys.get(), name="ringline-key")
            await asyncio.wait((over, pressed), return_when=asyncio.FIRST_COMPLETED)
            if not pressed.done():
                pressed.cancel()
                await asyncio.wait([pressed])
            elif pressed.result() in "ay":
                return True
            elif pressed.result() in "dnq":
                await incoming.reject()
        return False
    finally:
        over.cancel()
        await asyncio.wait([over])


async def _ended_within(incoming: IncomingCall, wait: float) -> bool:
    try:
        await asyncio.wait_for(incoming.ended(), wait)
        return True
    except TimeoutError:
        return False


def has_microphone(options: argparse.Namespace) -> bool:
    return options.devices or options.microphone is not None


def asks_first(options: argparse.Namespace) -> bool:
    """A person sits here, who is heard as soon as a call is taken."""
    return has_microphone(options) and terminal.is_there() and not options.from_anyone


def strangers_wait(options: argparse.Namespace) -> bool:
    """Nobody is there to be asked, and a live microphone is not for everybody."""
    return has_microphone(options) and not options.from_anyone


def _from_whom(options: argparse.Namespace) -> str:
    if options.contacts_only:
        return " of its contacts; others do not ring here"
    if asks_first(options):
        return ""
    if strangers_wait(options):
        return " and answers its contacts; --from-anyone answers everybody"
    return " and answers everybody"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--echo", action="store_true", help="send back what is heard")
    add("--once", action="store_true", help="end after the first call")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--contacts-only", action="store_true", help="do not ring for unknown numbers")
    who.add_argument(
        "--from-anyone",
        action="store_true",
        help="answer everybody without asking, also where the microphone is live",
    )
    add(
        "--ring",
        type=seconds(0, 60),
        default=0.0,
        metavar="SECONDS",
        help="answer after so long, where nobody is asked (default 0)",
    )
    add(
        "--calls",
        type=whole_number(1, 100),
        default=1,
        metavar="N",
        help="talk to so many callers at a time; others hear that it is busy (default 1)",
    )
    add_call_options(parser)


def run(options: argparse.Namespace) -> int:
    if options.calls > 1 and (has_microphone(options) or options.speaker is not None):
        raise MediaError("--calls: a microphone and a loudspeaker are for one call at a time")
    return run_until_told(answer_calls, options)
