"""A phone that counts what comes over the wire: nothing is hidden by what a client mends (duplicates, order, age)."""

import asyncio
import base64
import random
from collections import Counter
from contextlib import AsyncExitStack

from lxml import etree
from wire import CLOSE, PING, PONG, TEXT, Failure, Record, Target, Wire, frame
from world import Account, World

FRAMING, SM = "urn:ietf:params:xml:ns:xmpp-framing", "urn:xmpp:sm:3"
CLIENT, DELAY, DOMAIN = "{jabber:client}", "{urn:xmpp:delay}delay", "calls.localhost"
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
PATIENCE = 30.0


class Phone:
    """A stream of one account. `messages`: (id, canonical payload) in the order in which they came; `answers`: the
    iqs that came back, by id; `errors`: the messages that did; `ended`: why the server ended the stream."""

    def __init__(self, world: World, account: Account, seed: int) -> None:
        self.account, self._world = account, world
        self.rng, self.record = random.Random(seed), Record()
        self.messages: list[tuple[str, str]] = []
        self.answers, self.errors = Counter[str](), Counter[str]()
        self.largest = 0
        self.ended = ""
        self.acknowledged = self.sent = 0
        self.acknowledges = True
        self._handled = 0
        self._stack = AsyncExitStack()
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self.wire: Wire

    async def connect(self) -> None:
        """The WebSocket alone."""
        target = Target(self._world.target.port)
        self.wire = await self._stack.enter_async_context(target.connect(self.rng, self.record))
        await self.wire.push(target.upgrade(self.rng))
        if (await self.wire.response()).status != 101:
            raise Failure("the WebSocket is refused")

    async def sign_in(self, *, present: bool = True) -> None:
        """Connects, logs in, binds, enables XEP-0198 without resumption, shows itself to the others, and is present."""
        await self._world.refresh(self.account)
        await self.connect()
        password = self.account.password(f"{self._world.url}/xmpp")
        secret = base64.b64encode(f"\0{self.account.profile.number}\0{password}".encode()).decode()
        start = f"<open xmlns='{FRAMING}' to='{self.domain}' version='1.0'/>"
        await self.say(start)
        await self.hear(2)
        await self.say(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        (answer,) = await self.hear(1)
        if not answer.tag.endswith("success"):
            raise Failure(f"the login is refused: {etree.tostring(answer)!r}")
        await self.say(start)
        await self.hear(2)
        resource = f"<resource>{self.account.profile.data.device}</resource>"
        bind = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind>"
        await self.say(f"<iq xmlns='jabber:client' type='set' id='bind'>{bind}</iq>")
        await self.hear(1)
        await self.say(f"<enable xmlns='{SM}'/>")
        await self.hear(1)
        self._reader = asyncio.create_task(self._read())
        if present:
            for other in self._world.accounts:
                await self.stanza(f"<presence xmlns='jabber:client' to='{other.bare}'/>")
            await self.stanza("<presence xmlns='jabber:client'/>")
            await self.ping()

    @property
    def domain(self) -> str:
        return self.account.bare.partition("@")[2]

    async def say(self, text: str) -> None:
        await self.wire.send("xml", frame(self.rng, text.encode("utf-8", "surrogatepass")))

    async def stanza(self, text: str) -> None:
        self.sent += 1
        await self.say(text)

    async def message(self, to: str, id: str, payload: str = "<body>x</body>", *, keep: bool = True) -> None:
        hint = "<store xmlns='urn:xmpp:hints'/>" if keep else ""
        await self.stanza(
            f"<message xmlns='jabber:client' to='{to}' id='{id}' type='chat'>{payload}{hint}</message>"
        )

    async def ping(self) -> float:
        """Seconds until the server has answered."""
        loop, id_ = asyncio.get_running_loop(), f"p{self.sent}"
        began = loop.time()
        await self.stanza(
            f"<iq xmlns='jabber:client' type='get' id='{id_}'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        await self.until(lambda: self.answers[id_] > 0, "an answer to a ping")
        return loop.time() - began

    async def acknowledgement(self) -> None:
        """Until the server has acknowledged all that was sent."""
        await self.say(f"<r xmlns='{SM}'/>")
        await self.until(lambda: self.acknowledged >= self.sent, "an acknowledgement")

    async def until(self, is_so: "object", what: str, patience: float = PATIENCE) -> None:
        """Failure if it is not so in time, or the stream ended."""
        assert callable(is_so)
        try:
            async with asyncio.timeout(patience):
                while not is_so():
                    if self.ended:
                        raise Failure(f"no {what}: {self.ended}")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Failure(f"no {what} in {patience:.0f} s") from None

    async def hear(self, count: int) -> list[etree._Element]:
        """The next elements, while nobody else reads."""
        found: list[etree._Element] = []
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                opcode, payload = await self.wire.frame()
                if opcode == TEXT:
                    found.append(etree.fromstring(payload, PARSER))
                elif opcode == CLOSE:
                    raise EOFError
        return found

    async def _read(self) -> None:
        try:
            while True:
                opcode, payload = await self.wire.frame()
                if opcode == TEXT:
                    self.largest = max(self.largest, len(payload))
                    await self._receive(etree.fromstring(payload, PARSER))
                elif opcode == PING:
                    await self.wire.push(frame(self.rng, payload, PONG))
                elif opcode == CLOSE:
                    self.ended = self.ended or f"closed: {payload[:2].hex()}"
                    break
                self._changed.set()
        except EOFError:
            self.ended = self.ended or "cut"
        except etree.XMLSyntaxError as error:
            self.ended = f"the server sent what is not XML: {error}"
        finally:
            self._changed.set()

    async def _receive(self, node: etree._Element) -> None:
        kind, id_ = node.tag, node.get("id") or ""
        if kind == f"{{{SM}}}r":
            if self.acknowledges:
                await self.say(f"<a xmlns='{SM}' h='{self._handled}'/>")
        elif kind == f"{{{SM}}}a":
            self.acknowledged = int(node.get("h") or 0)
        elif kind == "{http://etherx.jabber.org/streams}error":
            self.ended = "stream error " + " ".join(etree.QName(child).localname for child in node)
        elif kind.startswith(CLIENT):
            self._handled += 1
            if kind == CLIENT + "iq" and node.get("type") in ("result", "error"):
                self.answers[id_] += 1
            elif kind == CLIENT + "message" and node.get("type") == "error":
                self.errors[id_] += 1
            elif kind == CLIENT + "message":
                self.messages.append((id_, content(node)))

    async def close(self, *, orderly: bool = True) -> None:
        """The stream's end; without order the connection is just gone."""
        if orderly and self._reader is not None and not self.ended:
            await self.say(f"<close xmlns='{FRAMING}'/>")
            await self.wire.push(frame(self.rng, b"\x03\xe8", CLOSE))
            await asyncio.wait((self._reader,), timeout=5)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._stack.aclose()


def content(message: etree._Element) -> str:
    """What the sender wrote, whatever the spelling: without what the server adds, once (XEP-0203)."""
    payload = [node for node in message if node.tag != DELAY or node.get("from") != DOMAIN]
    extra = len(message) - len(payload)
    whole = "".join(_shape(node) for node in payload)
    return whole if extra <= 1 else f"{extra} delays {whole}"


def _shape(node: etree._Element) -> str:
    inner = "".join(_shape(child) + (child.tail or "") for child in node)
    return f"<{node.tag} {sorted(node.attrib.items())}>{node.text or ''}{inner}</>"


def written(payload: str) -> str:
    """The same of what is about to be sent with the hint to keep it."""
    hint = "<store xmlns='urn:xmpp:hints'/>"
    return content(etree.fromstring(f"<message xmlns='jabber:client'>{payload}{hint}</message>", PARSER))
