"""A raw connection to the server that remembers what it sent, HTTP answers, and WebSocket frames (RFC 6455)."""

import asyncio
import base64
import random
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PATIENCE = 15.0  # the server lets a request that it refused linger for 10 s
KEPT_INPUTS, KEPT_BYTES = 20, 300_000
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Failure(Exception):
    """The server did what it must not do."""


@dataclass
class Record:
    """What one case sent, and what came back."""

    inputs: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    last: deque[bytes] = field(default_factory=lambda: deque(maxlen=KEPT_INPUTS))

    def sent(self, kind: str, data: bytes, count: int = 1) -> None:
        self.inputs[kind] += count
        self.last.append(data[:KEPT_BYTES])

    def answered(self, what: str, took: float | None = None) -> None:
        self.answers[what] += 1
        if took is not None:
            self.slowest = max(self.slowest, took)


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes
    is_last: bool


class Wire:
    """One TCP connection. Everything read raises EOFError at its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Record) -> None:
        self.reader, self.writer, self.record = reader, writer, record
        self._twin = writer.get_extra_info("socket").dup()

    async def send(self, kind: str, data: bytes, count: int = 1, patience: float = PATIENCE) -> bool:
        """False if the server does not take it: it has closed, or does not read."""
        self.record.sent(kind, data, count)
        return await self.push(data, patience)

    async def push(self, data: bytes, patience: float = PATIENCE) -> bool:
        """As send, for what is a part of an input."""
        try:
            self.writer.write(data)
            async with asyncio.timeout(patience):
                await self.writer.drain()
        except (ConnectionError, TimeoutError, RuntimeError):
            return False  # RuntimeError: this side is closed already
        return not self.writer.is_closing()

    def half_close(self) -> None:
        try:
            self.writer.write_eof()
        except OSError:
            pass

    def abort(self) -> None:
        """With RST instead of FIN."""
        handle = self.writer.get_extra_info("socket")
        try:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        self.writer.transport.abort()
        self._twin.close()

    async def read(self, size: int) -> bytes:
        try:
            try:
                return await self.reader.readexactly(size)
            except ConnectionError:
                self._rescue()
                return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise EOFError from None

    def _rescue(self) -> None:
        """A write that failed makes asyncio drop what has come and was not read yet: the server's last words, to who
        was too busy to read them before the server had hung up."""
        reader = asyncio.StreamReader(limit=2**21)
        reader.feed_data(bytes(self.reader._buffer))  # type: ignore[attr-defined]
        try:
            while data := self._twin.recv(65536):
                reader.feed_data(data)
        except OSError:
            pass  # nothing more, or closed by us
        reader.feed_eof()
        self.reader = reader

    async def response(self, is_head: bool = False) -> Response:
        """The next answer that is not 1xx (but for 101). Failure where it is not HTTP."""
        while True:
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise Failure(f"half an answer: {error.partial[:200]!r}") from None
                raise EOFError from None
            except ConnectionError:
                raise EOFError from None
            first, *lines = head.decode("latin-1").split("\r\n")[:-2]
            if not first.startswith("HTTP/") or not first[9:12].isdecimal():
                raise Failure(f"not an answer of HTTP: {first!r}")
            status = int(first[9:12])
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            if status == 100:
                continue
            size = 0 if is_head or status in (101, 204, 304) else int(headers.get("content-length", "-1"))
            if size < 0:
                raise Failure(f"an answer without length: {first!r}")
            keep = headers.get("connection", "close" if first.startswith("HTTP/1.0") else "").lower()
            return Response(status, headers, await self.read(size), keep == "close")

    async def until_closed(self, patience: float = PATIENCE) -> bytes:
        """What comes until the server closes. Failure if it does not."""
        data = bytearray()
        try:
            async with asyncio.timeout(patience):
                while chunk := await self.reader.read(65536):
                    data += chunk
        except ConnectionError:
            pass
        except TimeoutError:
            raise Failure(
                f"neither answered nor closed in {patience:.0f} s; so far {bytes(data[:200])!r}"
            ) from None
        return bytes(data)

    async def frame(self) -> tuple[int, bytes]:
        """The next WebSocket frame of the server: opcode and payload. Failure where RFC 6455 forbids it."""
        first, second = await self.read(2)
        size = second & 127
        if size > 125:
            size = int.from_bytes(await self.read(2 if size == 126 else 8), "big")
        opcode = first & 15
        if first & 0x70 or second & 128 or not first & 128 or opcode not in (TEXT, CLOSE, PING, PONG):
            raise Failure(f"a frame that a server must not send: {first:#x} {second:#x}")
        return opcode, await self.read(size)


class Target:
    """Where the server is. Each connection comes from an address of its own, as an attacker's may: the limits for one
    address are the server's own, and none of them holds for somebody else."""

    def __init__(self, port: int) -> None:
        self.port = port

    @asynccontextmanager
    async def connect(self, rng: random.Random, record: Record) -> AsyncIterator[Wire]:
        source = f"127.{rng.randint(1, 254)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, local_addr=(source, 0), limit=2**21
            )
        wire = Wire(reader, writer, record)
        try:
            yield wire
        finally:
            wire.close()

    def upgrade(self, rng: random.Random, **changes: str) -> bytes:
        headers = {
            "Host": f"127.0.0.1:{self.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(rng.randbytes(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "xmpp",
        } | changes
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
        return f"GET /xmpp HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogatepass")


def frame(
    rng: random.Random,
    payload: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bool = True,
) -> bytes:
    """A frame of a client."""
    size = len(payload)
    head = bytes((fin << 7 | reserved << 4 | opcode,))
    if size < 126:
        head += bytes((mask << 7 | size,))
    elif size < 2**16:
        head += bytes((mask << 7 | 126,)) + struct.pack("!H", size)
    else:
        head += bytes((mask << 7 | 127,)) + struct.pack("!Q", size)
    if not mask:
        return head + payload
    key = rng.randbytes(4)
    wide = key * (size // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(wide[:size], "big")
    return head + key + masked.to_bytes(size, "big")


def now() -> float:
    return time.monotonic()
