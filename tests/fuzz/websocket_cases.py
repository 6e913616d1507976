"""WebSocket: upgrades and frames that RFC 6455 forbids, and some that it allows and nobody expects."""

import asyncio
import random
import struct

from mutate import WORDS, mutate_bytes, mutate_xml
from wire import BINARY, CLOSE, PING, PONG, TEXT, Failure, Record, Wire, frame, now
from world import World

OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='calls.localhost' version='1.0'/>"
# 10 s to log in, 3 s for the orderly end (docs/protocol.md section 3), and what a busy machine takes.
NO_LOGIN_LIMIT = 30.0


async def upgrade(world: World, rng: random.Random, record: Record) -> None:
    """A changed request to upgrade: answered by HTTP, or a WebSocket that works."""
    names = (
        "Host",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
    )
    values = (
        "websocket",
        "13",
        "xmpp",
        "8",
        "Upgrade, keep-alive",
        "xmpp, chat",
        "permessage-deflate; client_max_window_bits=99",
        "x" * 3000,
        "",
        *(word.replace("\0", "").replace("\r\n", " ") for word in WORDS),
    )
    chosen = rng.choice((*names, "Sec-WebSocket-Extensions", "Origin", "Content-Length", "Transfer-Encoding"))
    request = world.target.upgrade(rng, **{chosen: rng.choice(values)})
    async with world.target.connect(rng, record) as wire:
        await wire.send("websocket upgrade", request)
        await wire.send("websocket upgrade", frame(rng, OPEN.encode()))
        wire.half_close()
        answer = await wire.until_closed()
    if not answer:
        return record.answered("closed")
    record.answered(f"http {answer[9:12].decode('latin-1')}")
    if not answer.startswith(b"HTTP/") or (answer[9:10] == b"5" and answer[9:12] != b"505"):
        raise Failure(f"an error of the server: {answer[:400]!r}")


def _frames(rng: random.Random) -> bytes:
    """One thing that a client may try with its frames."""
    text = mutate_xml(rng, OPEN).encode("utf-8", "surrogatepass") if rng.random() < 0.7 else rng.randbytes(30)
    match rng.randrange(16):
        case 0:
            return frame(rng, text, mask=False)
        case 1:
            return frame(rng, text, rng.choice((0, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15)))
        case 2:
            return frame(rng, text, reserved=rng.randrange(1, 8))
        case 3:  # a length that lies
            size = rng.choice((0, 125, 2**16, 2**20 + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1))
            return b"\x81\xff" + struct.pack("!Q", size) + rng.randbytes(40)
        case 4:  # not the shortest form
            return b"\x81\xfe" + struct.pack("!H", 2) + b"\0\0\0\0ab"
        case 5:
            cut = rng.randrange(len(text) + 1)
            return frame(rng, text[:cut], fin=False) + frame(rng, text[cut:], 0)
        case 6:  # a message in the middle of another
            return frame(rng, text, fin=False) + frame(rng, text)
        case 7:
            return frame(rng, rng.randbytes(rng.choice((126, 2000))), rng.choice((PING, PONG, CLOSE)))
        case 8:
            return frame(rng, b"x", rng.choice((PING, PONG, CLOSE)), fin=False)
        case 9:
            return frame(
                rng, rng.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\0b"))
            )
        case 10:
            code = rng.choice((0, 999, 1000, 1001, 1004, 1005, 1006, 1015, 2999, 4000, 65535))
            return frame(rng, rng.choice((struct.pack("!H", code), b"\x03", b"\x03\xe8\xff\xfe")), CLOSE)
        case 11:
            return frame(rng, text, BINARY)
        case 12:  # many empty pieces
            return frame(rng, b"", fin=False) + frame(rng, b"", 0, fin=False) * 500 + frame(rng, text, 0)
        case 13:
            return frame(rng, b"a" * 100, PING) * rng.choice((1, 500)) + frame(rng, text)
        case 14:
            return mutate_bytes(rng, frame(rng, text))
        case _:
            return frame(rng, text)


async def _listen(wire: Wire, record: Record, limit: float) -> None:
    """Reads what the server says until it closes. Failure if it says what it must not, or does not close."""
    try:
        async with asyncio.timeout(limit):
            while True:
                opcode, payload = await wire.frame()
                if opcode == TEXT:
                    payload.decode()
                if opcode == CLOSE:
                    record.answered(f"websocket close {int.from_bytes(payload[:2], 'big')}")
                    wire.half_close()
    except EOFError:
        record.answered("closed")
    except TimeoutError:
        raise Failure(f"a WebSocket without login was not closed in {limit:.0f} s") from None


async def _upgraded(world: World, wire: Wire, rng: random.Random) -> bool:
    await wire.push(world.target.upgrade(rng))
    async with asyncio.timeout(10):
        return (await wire.response()).status == 101


async def frames(world: World, rng: random.Random, record: Record) -> None:
    """Any frames, and then perhaps an end: the server closes, within the time for a login."""
    async with world.target.connect(rng, record) as wire:
        if not await _upgraded(world, wire, rng):
            return record.answered("http 429")
        for _ in range(rng.randint(1, 8)):
            await wire.send("websocket frame", _frames(rng))
        end = rng.random()
        if end < 0.1:
            return wire.abort()
        if end < 0.2:
            await wire.send("websocket frame", frame(rng, OPEN.encode())[: rng.randint(1, 30)])
        if end < 0.95:
            await wire.send("websocket frame", frame(rng, b"\x03\xe8", CLOSE))
            wire.half_close()
        await _listen(wire, record, NO_LOGIN_LIMIT)


async def endless(world: World, rng: random.Random, record: Record) -> None:
    """A message that never ends, pings without end, or frames that are never read: over when the login's time is."""
    async with world.target.connect(rng, record) as wire:
        if not await _upgraded(world, wire, rng):
            return record.answered("http 429")
        kind = rng.randrange(4)
        first = {
            0: frame(rng, b"<open", fin=False),
            3: b"\x81\xff" + struct.pack("!Q", 200_000) + b"\0\0\0\0",
        }
        await wire.send("websocket endless", first.get(kind, frame(rng, b"", PING)))
        began, ended = now(), asyncio.create_task(_listen(wire, record, NO_LOGIN_LIMIT))
        while not ended.done():
            match kind:
                case 0:
                    await wire.push(frame(rng, b" x='y'", 0, fin=False))
                case 1:
                    await wire.push(frame(rng, b"", PING))
                case 2:
                    await wire.push(frame(rng, b"a" * 125, PONG) * 20)
                case _:
                    await wire.push(b"<")
            await asyncio.wait((ended,), timeout=0.3)
        await ended
        record.answered("endless ended", None if now() - began > NO_LOGIN_LIMIT else 0.0)


CASES = {upgrade: 8, frames: 30, endless: 2}
