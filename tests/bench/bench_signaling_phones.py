"""Very light phones for bench_signaling.py: thousands of them in one process, so that they are not the limit.

Each speaks the protocol of docs/protocol.md section 3 over a bare socket (RFC 6455, RFC 7395, XEP-0198): it looks for
words instead of parsing XML, and masks its frames with zeros. Commands come as lines of JSON, and one line answers each.
"""

import asyncio
import base64
import json
import random
import re
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signaling.jid import Jid
from signaling.tokens import AccessToken, make_access_token

START = re.compile(r"<(\w+)([^>]*)>?")
ATTRIBUTE = re.compile(r"\b(id|type|h)=['\"]([^'\"]*)['\"]")
FRAMING, SM = "urn:ietf:params:xml:ns:xmpp-framing", "urn:xmpp:sm:3"
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
)
PATIENCE = 20.0  # a call or message that takes longer counts as failed


def number(index: int) -> str:
    """In the range of 555-01xx, and too long to be anybody's."""
    return f"+120255501{index:05d}"


def device(index: int) -> str:
    return f"d{index:016x}"


class Phone(asyncio.Protocol):
    """One connection. `on_stanza(phone, kind, type, id)` is told what comes once it is `online`."""

    def __init__(self, world: "World", index: int) -> None:
        self.world, self.index = world, index
        self.number, self.device = number(index), device(index)
        self.bare = f"{self.number}@{world.domain}"
        self.jid = f"{self.bare}/{self.device}"
        self.online: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.busy: Any = None
        self._step = "upgrade"
        self._data = b""
        self._handled = self._sent = self._last_message = 0
        self._asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        world = self.world
        key = base64.b64encode(world.rng.randbytes(16)).decode()
        request = UPGRADE.format(path=world.path, host=f"{world.host}:{world.port}", key=key)
        transport.write(request.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.world.closing:
            self.world.lost += 1
        if not self.online.done():
            self.online.set_exception(ConnectionError("lost while it signed in"))
            self.online.exception()

    def send(self, text: str) -> None:
        data = text.encode()
        size = len(data)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + struct.pack("!H", size)
        self.transport.write(head + b"\0\0\0\0" + data)

    def stanza(self, text: str, is_message: bool = False) -> None:
        """Counted for XEP-0198; after a message an acknowledgement is asked for, as our client does."""
        self._sent += 1
        self.send(text)
        if is_message:
            self._last_message = self._sent
            if not self._asking:
                self._asking = True
                self.send(f"<r xmlns='{SM}'/>")

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        if self._step == "upgrade":
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.online.set_exception(ConnectionError(head.decode()[:80]))
                return self.transport.close()
            self._step = "open"
            self._open()
        at, end = 0, len(data)
        while end - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                begin += 2
                size = int.from_bytes(data[at + 2 : begin], "big")
            elif size == 127:
                begin += 8
                size = int.from_bytes(data[at + 2 : begin], "big")
            if begin + size > end:
                break
            payload, opcode = data[begin : begin + size], data[at] & 15
            at = begin + size
            if opcode == 1:
                self._text(payload.decode())
            elif opcode == 9:
                self.transport.write(bytes((0x8A, 0x80 | size)) + b"\0\0\0\0" + payload)
            elif opcode == 8:
                self.transport.close()
        self._data = data[at:]

    def _open(self) -> None:
        self.send(f"<open xmlns='{FRAMING}' to='{self.world.domain}' version='1.0'/>")

    def _text(self, text: str) -> None:
        if self._step != "online":
            return self._sign_in(text)
        found = START.match(text)
        kind, attributes = (found[1], dict(ATTRIBUTE.findall(found[2]))) if found else ("", {})
        if kind == "r":
            self.send(f"<a xmlns='{SM}' h='{self._handled}'/>")
        elif kind == "a":
            self._asking = int(attributes["h"]) < self._last_message
            if self._asking:
                self.send(f"<r xmlns='{SM}'/>")
        elif kind in ("message", "iq", "presence"):
            self._handled += 1
            type_, id_ = attributes.get("type", ""), attributes.get("id", "")
            if type_ == "get" and "urn:xmpp:ping" in text:
                self.stanza(f"<iq xmlns='jabber:client' type='result' id='{id_}'/>")
            elif self.busy is not None:
                self.busy.on_stanza(self, kind, type_, id_)
        else:
            self.world.strange[text[:80]] += 1

    def _sign_in(self, text: str) -> None:
        step = self._step
        if "mechanism" in text and step == "open":
            self._step = "auth"
            secret = base64.b64encode(f"\0{self.number}\0{self.world.token(self)}".encode()).decode()
            self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        elif "<success" in text and step == "auth":
            self._step = "reopen"
            self._open()
        elif "xmpp-bind" in text and step == "reopen":
            self._step = "bind"
            resource = f"<resource>{self.device}</resource>"
            bind = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind>"
            self.send(f"<iq xmlns='jabber:client' type='set' id='bind'>{bind}</iq>")
        elif "<jid>" in text and step == "bind":
            self._step = "enable"
            self.send(f"<enable xmlns='{SM}' resume='true'/>")
        elif "<enabled" in text and step == "enable":
            self._step = "presence"
            self.stanza("<presence xmlns='jabber:client'/>")
        elif "<presence" in text and step == "presence":
            self._handled += 1
            self._step = "online"
            if not self.online.done():
                self.online.set_result(None)
        elif "failure" in text or "error" in text:
            self.world.strange[text[:200]] += 1
            self.transport.close()


class Message:
    """One message after the other from `a` to `b`: the time until it is there."""

    def __init__(self, world: "World", kind: str, a: Phone, b: Phone, done: Callable[[float], None]) -> None:
        self._done = done
        self.id = f"m-{world.rng.getrandbits(48):012x}"
        a.busy = b.busy = self
        self._began = time.perf_counter()
        a.stanza(world.stanzas[kind].replace("TO", b.bare).replace("SID", self.id), is_message=True)

    def on_stanza(self, phone: Phone, kind: str, type_: str, id_: str) -> None:
        if id_ == self.id:
            self._done(time.perf_counter() - self._began if type_ != "error" else -1.0)


class Call:
    """A whole call of protocol.md section 4 that is taken at once and hung up at once. `set_up` is told the time from
    <propose/> to session-accept, -1 for an error; `done` when the call is over."""

    def __init__(
        self, world: "World", a: Phone, b: Phone, set_up: Callable[[float], None], done: Callable[[], None]
    ) -> None:
        self._stanzas, self._a, self._b, self._set_up, self._done = world.stanzas, a, b, set_up, done
        self.sid = f"{world.rng.getrandbits(64):016x}"
        self._finishes = 0
        a.busy = b.busy = self
        self._began = time.perf_counter()
        self._say(a, "propose", b.bare)

    def _say(self, phone: Phone, what: str, to: str) -> None:
        text = (
            self._stanzas[what].replace("TO", to).replace("INITIATOR", self._a.jid).replace("SID", self.sid)
        )
        phone.stanza(text, text.startswith("<message"))

    def _result(self, phone: Phone, peer: Phone, id_: str) -> None:
        phone.stanza(f"<iq xmlns='jabber:client' type='result' id='{id_}' to='{peer.jid}'/>")

    def on_stanza(self, phone: Phone, kind: str, type_: str, id_: str) -> None:
        what, _, sid = id_.partition("-")
        if sid != self.sid:
            return
        if type_ == "error":
            self._set_up(-1.0)
            return self._done()
        a, b = self._a, self._b
        at_a = phone is a
        if kind == "iq" and type_ == "set":
            self._result(phone, b if at_a else a, id_)
        if kind == "message" and what == "propose" and not at_a:
            self._say(b, "ringing", a.bare)
            self._say(b, "proceed", a.bare)
            self._say(b, "accept", b.bare)
        elif kind == "message" and what == "proceed" and at_a:
            self._say(a, "initiate", b.jid)
        elif what == "initiate" and type_ == "set":
            self._say(b, "answer", a.jid)
            self._say(b, "info", a.jid)
        elif what == "answer" and type_ == "set":
            self._set_up(time.perf_counter() - self._began)
            self._say(a, "info", b.jid)
            self._bye(a, b)
        elif what == "terminate" and type_ == "set":
            self._bye(b, a)
        elif what == "finish":
            self._finishes += 1
            if self._finishes == 4:  # each side to the other and to itself
                a.busy = b.busy = None
                self._done()

    def _bye(self, phone: Phone, peer: Phone) -> None:
        if phone is self._a:
            self._say(phone, "terminate", peer.jid)
        self._say(phone, "finish", peer.bare)
        self._say(phone, "finish", phone.bare)


class World:
    """The phones of this process: `first`, `first` + 1 and so on; each even one calls the next."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.host, self.port, self.path = options["host"], options["port"], options["path"]
        self.domain, self.stanzas = options["domain"], options["stanzas"]
        key = load_pem_private_key(Path(options["key"]).read_bytes(), None)
        self._key, self._key_id = key, options["key_id"]
        self.rng = random.Random(options["seed"])
        self.phones: list[Phone] = []
        self.strange: Counter[str] = Counter()
        self.lost = 0
        self.closing = False

    def token(self, phone: Phone) -> str:
        now, jid = int(time.time()), Jid(phone.number, self.domain)
        id_ = f"{self.rng.getrandbits(128):032x}"
        token = AccessToken("bench", jid, self.domain, now, now + 900, id_, phone.device, 1)
        return make_access_token(self._key, self._key_id, token)  # type: ignore[arg-type]

    async def connect(self, first: int, count: int, at_once: int) -> dict[str, Any]:
        """Signs in; times from the TCP connection to the own presence."""
        loop, times, failed = asyncio.get_running_loop(), list[float](), Counter[str]()
        indices = iter(range(first, first + count))

        async def some() -> None:
            for index in indices:
                began = time.perf_counter()
                phone = Phone(self, index)
                try:
                    async with asyncio.timeout(60):
                        await loop.create_connection(lambda: phone, self.host, self.port)  # noqa: B023
                        await phone.online
                except (OSError, TimeoutError) as error:
                    failed[str(error) or type(error).__name__] += 1
                    continue
                times.append(time.perf_counter() - began)
                self.phones.append(phone)

        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(at_once)))
        return {"times": times, "failed": dict(failed), "seconds": time.perf_counter() - began}

    def _pairs(self) -> list[tuple[Phone, Phone]]:
        by_index = {phone.index: phone for phone in self.phones}
        evens = (index for index in by_index if index % 2 == 0 and index + 1 in by_index)
        return [(by_index[index], by_index[index + 1]) for index in evens]

    async def _work(self, kind: str, a: Phone, b: Phone, times: list[float], failed: Counter[str]) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def note(took: float) -> None:
            if took < 0:
                failed["error"] += 1
            else:
                times.append(took)

        def done() -> None:
            if not over.done():
                over.set_result(None)

        if kind == "call":
            Call(self, a, b, note, done)
        else:
            Message(self, kind, a, b, lambda took: (note(took), done())[1])
        try:
            async with asyncio.timeout(PATIENCE):
                await over
        except TimeoutError:
            failed["timeout"] += 1
        finally:
            a.busy = b.busy = None

    async def load(self, kind: str, seconds: float, at_once: int, rate: float) -> dict[str, Any]:
        """`kind` call, message or kept. `rate` 0: `at_once` of them all the time; else so many begin per second."""
        times, failed = list[float](), Counter[str]()
        free = self._pairs()
        self.rng.shuffle(free)
        began = time.perf_counter()

        async def one(pair: tuple[Phone, Phone]) -> None:
            await self._work(kind, *pair, times, failed)
            free.insert(self.rng.randrange(len(free) + 1), pair)

        async def on_and_on() -> None:
            while time.perf_counter() < began + seconds:
                await one(free.pop())

        if not rate:
            await asyncio.gather(*(on_and_on() for _ in range(at_once)))
        else:
            tasks, due = list[asyncio.Task[None]](), began
            while due < began + seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if free:
                    tasks.append(asyncio.create_task(one(free.pop())))
                else:
                    failed["everybody was busy"] += 1
                due += self.rng.expovariate(rate)
            await asyncio.gather(*tasks)
        return {"times": times, "failed": dict(failed), "seconds": time.perf_counter() - began}

    async def close(self, keep: int) -> dict[str, Any]:
        """All but the first `keep` hang up."""
        self.closing = True
        for phone in self.phones[keep:]:
            phone.transport.abort()
        del self.phones[keep:]
        await asyncio.sleep(0.1)
        self.closing = False
        return {}


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    world = None
    while line := await reader.readline():
        command = json.loads(line)
        do = command.pop("do")
        if do == "world":
            world, answer = World(command), {}
        else:
            assert world is not None
            answer = await getattr(world, do)(**command)
            answer |= {"lost": world.lost, "strange": dict(world.strange.most_common(5))}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
