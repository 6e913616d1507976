"""XML: a recorded session, changed: before the login, at it, and after it, with resumption (XEP-0198)."""

import asyncio
import base64
import random

from lxml import etree
from mutate import WORDS, mutate_xml
from websocket_cases import NO_LOGIN_LIMIT, _listen, _upgraded
from wire import CLOSE, PING, PONG, TEXT, Failure, Record, Wire, frame, now
from world import Account, World

FRAMING, SM = "urn:ietf:params:xml:ns:xmpp-framing", "urn:xmpp:sm:3"
CLIENT, STREAM_ERRORS = "{jabber:client}", "{urn:ietf:params:xml:ns:xmpp-streams}"
OPEN = f"<open xmlns='{FRAMING}' to='calls.localhost' version='1.0'/>"
BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{}</resource></bind>"
IQ_LIMIT = (
    15.0  # seconds for an iq that the server itself has to answer; the client gives up after 10 unloaded ones
)
# What a whole session has beside the recorded calls; TO, OWN, DOMAIN and ID are replaced.
STANZAS = (
    "<iq xmlns='jabber:client' type='get' id='ID'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='ID' to='DOMAIN'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='ID' to='TO'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='ID'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    "<iq xmlns='jabber:client' type='set' id='ID'><block xmlns='urn:xmpp:blocking'><item jid='TO'/></block></iq>",
    "<iq xmlns='jabber:client' type='set' id='ID'><unblock xmlns='urn:xmpp:blocking'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='ID' to='DOMAIN'><services xmlns='urn:xmpp:extdisco:2' type='turn'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='ID' to='DOMAIN'><credentials xmlns='urn:xmpp:extdisco:2'>"
    "<service host='127.0.0.1' type='turn'/></credentials></iq>",
    "<iq xmlns='jabber:client' type='set' id='ID'><query xmlns='urn:xmpp:mam:2' queryid='1'>"
    "<x xmlns='jabber:x:data' type='submit'><field var='with'><value>TO</value></field></x></query></iq>",
    "<iq xmlns='jabber:client' type='get' id='ID'><query xmlns='jabber:iq:roster'/></iq>",
    "<iq xmlns='jabber:client' type='result' id='ID' to='TO'/>",
    "<iq xmlns='jabber:client' type='error' id='ID' to='TO'><error type='cancel'/></iq>",
    "<message xmlns='jabber:client' to='TO' id='ID' type='chat'><body>Hello</body></message>",
    "<message xmlns='jabber:client' to='TO' id='ID' type='chat'><body>Hello</body><store xmlns='urn:xmpp:hints'/></message>",
    "<message xmlns='jabber:client' to='TO' id='ID' type='headline'><body>Hello</body></message>",
    "<message xmlns='jabber:client' to='TO' id='ID' type='error'><error type='cancel'/></message>",
    "<message xmlns='jabber:client' to='TO' id='ID' from='OWN'><delay xmlns='urn:xmpp:delay' from='DOMAIN' stamp='x'/></message>",
    "<message xmlns='jabber:client' to='TO' id='ID'><propose xmlns='urn:xmpp:jingle-message:0' id='ID'>"
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose><store xmlns='urn:xmpp:hints'/></message>",
    "<presence xmlns='jabber:client'/>",
    "<presence xmlns='jabber:client' type='unavailable'/>",
    "<presence xmlns='jabber:client' to='TO' type='subscribe'/>",
    f"<r xmlns='{SM}'/>",
    f"<a xmlns='{SM}' h='3'/>",
    f"<a xmlns='{SM}' h='4294967295'/>",
    f"<enable xmlns='{SM}' resume='true'/>",
    f"<resume xmlns='{SM}' previd='ID' h='0'/>",
    OPEN,
)
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)


def _auth(account: Account, rng: random.Random) -> str:
    secret = f"\0{account.profile.number}\0{account.token}".encode()
    if rng.random() < 0.5:
        other = rng.choice(WORDS).encode("utf-8", "surrogatepass")
        secret = rng.choice((b"\0" + other + b"\0" + other, secret + other, other + secret, other, b""))
    text = base64.b64encode(secret).decode()
    if rng.random() < 0.2:
        text = rng.choice((text[:-1], text + "=", text.replace("A", "é", 1), "=", "\n" + text))
    return f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>"


async def before_login(world: World, rng: random.Random, record: Record) -> None:
    """A changed login: the stream ends, with an error of its own, and in time."""
    account = rng.choice(world.accounts)
    steps = [OPEN, _auth(account, rng), OPEN, rng.choice(STANZAS).replace("TO", account.bare)]
    steps += [f"<iq xmlns='jabber:client' type='set' id='b'>{BIND.format('d0')}</iq>", rng.choice(STANZAS)]
    changed = rng.randrange(len(steps))
    steps[changed] = mutate_xml(rng, steps[changed])
    if rng.random() < 0.3:
        rng.shuffle(steps)
    async with world.target.connect(rng, record) as wire:
        if not await _upgraded(world, wire, rng):
            return record.answered("http 429")
        for step in steps[: rng.randint(1, len(steps))]:
            await wire.send("xml before login", frame(rng, step.encode("utf-8", "surrogatepass")))
        if rng.random() < 0.9:
            await wire.send("xml before login", frame(rng, f"<close xmlns='{FRAMING}'/>".encode()))
            await wire.push(frame(rng, b"\x03\xe8", CLOSE))
        await _listen(wire, record, NO_LOGIN_LIMIT)


class Session:
    """A stream that is logged in. `pending`: the iqs that the server has to answer, and since when."""

    def __init__(
        self, world: World, wire: Wire, rng: random.Random, record: Record, account: Account
    ) -> None:
        self.wire, self.rng, self.record, self.account = wire, rng, record, account
        self.port = world.target.port
        self.pending: dict[str, float] = {}
        # Of its own: when answers come is not the seed's to say.
        self.acknowledging = random.Random(rng.getrandbits(64))
        self.why = ""  # how the server ended it
        self.previd = ""
        self.stanzas = 0
        self.asked = asyncio.Event()

    async def say(self, text: str, kind: str = "xml") -> None:
        await self.wire.send(kind, frame(self.rng, text.encode("utf-8", "surrogatepass")))

    async def hear(self) -> etree._Element:
        """The next frame of the server. EOFError at the end."""
        while True:
            opcode, payload = await self.wire.frame()
            if opcode == TEXT:
                return etree.fromstring(payload.decode().encode(), PARSER)
            if opcode == PING:
                await self.wire.push(frame(self.acknowledging, payload, PONG))
            elif opcode == CLOSE:
                self.wire.half_close()
                if (code := int.from_bytes(payload[:2], "big")) != 1000:
                    self.why = f"websocket close {code}"
                raise EOFError

    async def sign_in(self, previd: str) -> str:
        """Returns what became of it: online, resumed, or the name of the refusal."""
        password = self.account.token  # a guest's
        if self.rng.random() < 0.8:
            password = self.account.password(f"http://127.0.0.1:{self.port}/xmpp")
        secret = base64.b64encode(f"\0{self.account.profile.number}\0{password}".encode()).decode()
        device = self.account.profile.data.device
        await self.wire.push(frame(self.rng, OPEN.encode()))
        async with asyncio.timeout(20):
            for _ in range(2):
                await self.hear()
            auth = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
            await self.wire.push(frame(self.rng, auth.encode()))
            if "success" not in (answer := await self.hear()).tag:
                return etree.tostring(answer, encoding="unicode")
            await self.wire.push(frame(self.rng, OPEN.encode()))
            for _ in range(2):
                await self.hear()
            if previd:
                h = self.rng.choice(("0", "1", "2", "99999", "-1", "x"))
                await self.say(f"<resume xmlns='{SM}' previd='{previd}' h='{h}'/>", "xml resume")
                answer = await self.hear()
                if answer.tag != f"{{{SM}}}failed":
                    return etree.QName(answer).localname
            bind = f"<iq xmlns='jabber:client' type='set' id='b'>{BIND.format(device)}</iq>"
            await self.wire.push(frame(self.rng, bind.encode()))
            await self.hear()
            if self.rng.random() < 0.7:
                resume = " resume='true'" if self.rng.random() < 0.8 else ""
                await self.wire.push(frame(self.rng, f"<enable xmlns='{SM}'{resume}/>".encode()))
                self.previd = (await self.hear()).get("id", "")
            if self.rng.random() < 0.9:
                await self.wire.push(frame(self.rng, b"<presence xmlns='jabber:client'/>"))
        return "online"

    def expect(self, text: str, devices: set[str]) -> None:
        """Notes an iq that has to be answered: well-formed, and not to a device, which answers for itself."""
        try:
            root = etree.fromstring(text.encode(), PARSER)
        except (etree.XMLSyntaxError, ValueError):
            return
        if root.tag == CLIENT + "iq" and root.get("type") in ("get", "set") and root.get("id"):
            _, _, resource = (root.get("to") or "").partition("/")
            if resource not in devices:
                self.pending.setdefault(root.get("id"), now())

    async def listen(self) -> None:
        """Reads to the end of the stream, which must be announced."""
        error, closed = "", False
        try:
            while True:
                node = await self.hear()
                name = etree.QName(node).localname
                if node.tag == CLIENT + "iq" and node.get("type") in ("result", "error"):
                    began = self.pending.pop(node.get("id") or "", None)
                    if began is not None:
                        self.record.answered(f"iq {node.get('type')}", now() - began)
                elif name == "error" and node.tag.startswith("{http://etherx"):
                    error = next(
                        (etree.QName(n).localname for n in node if n.tag.startswith(STREAM_ERRORS)), ""
                    )
                elif name == "close":
                    closed = True
                    if self.acknowledging.random() < 0.8:
                        await self.wire.push(
                            frame(self.acknowledging, f"<close xmlns='{FRAMING}'/>".encode())
                        )
                elif name == "r" and self.acknowledging.random() < 0.8:
                    await self.wire.push(
                        frame(self.acknowledging, f"<a xmlns='{SM}' h='{self.stanzas}'/>".encode())
                    )
                if node.tag in (CLIENT + "iq", CLIENT + "message", CLIENT + "presence"):
                    self.stanzas += 1
        except EOFError:
            self.why = f"stream error {error}" if error else "stream closed" if closed else self.why or "cut"


async def session(world: World, rng: random.Random, record: Record) -> None:
    """A recorded session with changes, on a stream that is logged in: each iq is answered, or the stream ends with
    an error."""
    account = await world.free.get()
    try:
        await world.refresh(account)
        await _session(world, rng, record, account)
    finally:
        world.free.put_nowait(account)


async def _session(world: World, rng: random.Random, record: Record, account: Account) -> None:
    previd, account.previd = account.previd, ""
    async with world.target.connect(rng, record) as wire:
        if not await _upgraded(world, wire, rng):
            return record.answered("http 429")
        stream = Session(world, wire, rng, record, account)
        try:
            state = await stream.sign_in(previd)
        except EOFError:
            raise Failure("the stream ended in the login") from None
        except TimeoutError:
            raise Failure("no answer in the login") from None
        record.answered(f"login {state[:60]}")
        if state not in ("online", "resumed"):
            return
        stream.previd = stream.previd or (previd if state == "resumed" else "")
        listening = asyncio.create_task(stream.listen())
        try:
            await _say(world, rng, stream, listening)
            end = rng.random()
            if end < 0.3 and not listening.done():
                account.previd = stream.previd
                return wire.abort()
            await _ended(stream, listening)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def deaf(world: World, rng: random.Random, record: Record) -> None:
    """Questions from somebody who reads no answer, until he goes or is cut off."""
    account = await world.free.get()
    try:
        await world.refresh(account)
        async with world.target.connect(rng, record) as wire:
            if not await _upgraded(world, wire, rng):
                return record.answered("http 429")
            stream = Session(world, wire, rng, record, account)
            await stream.sign_in("")
            wire.writer.transport.pause_reading()
            for n in range(rng.choice((100, 400))):
                text = rng.choice(STANZAS[:5]).replace("TO", rng.choice(world.accounts).jid)
                ids = {
                    "ID": f"{n}-" + "i" * rng.choice((1, 20_000)),
                    "DOMAIN": account.bare.partition("@")[2],
                }
                for name, value in ids.items():
                    text = text.replace(name, value)
                data = frame(rng, text.encode())
                if not await wire.send("xml", data, patience=1.0):
                    break
            await asyncio.sleep(rng.uniform(0, 2))
            wire.abort()
            record.answered("deaf")
    except EOFError:
        raise Failure("the stream ended in the login") from None
    finally:
        world.free.put_nowait(account)


async def _say(world: World, rng: random.Random, stream: Session, listening: asyncio.Task[None]) -> None:
    own = stream.account
    devices = {jid.partition("/")[2] for jid in (*world.victims, *(a.jid for a in world.accounts))}
    domain = own.bare.partition("@")[2]
    for n in range(rng.randint(1, 60)):
        if listening.done():
            return
        to = rng.choice(
            (
                *(rng.choice(world.victims), rng.choice(world.victims).partition("/")[0]),
                *(a.bare for a in world.accounts),
                *(a.jid for a in world.accounts),
                *(
                    domain,
                    own.bare,
                    "+12025550199@" + domain,
                    own.bare + "/d0",
                    "a@example.org",
                    "@",
                    "x" * 1100,
                ),
            )
        )
        id_ = f"{rng.getrandbits(40):x}-{n}"
        text = rng.choice(STANZAS if rng.random() < 0.5 else world.corpus)
        text = text.replace("TO", to).replace("OWN", own.jid).replace("DOMAIN", domain).replace("ID", id_)
        if rng.random() < 0.7:
            text = mutate_xml(rng, text, rough=0.02)
        stream.expect(text, devices)
        await stream.say(text)
        await asyncio.sleep(0)  # so that what the server says is read, before it may hang up


async def _ended(stream: Session, listening: asyncio.Task[None]) -> None:
    """Whatever has to be answered is, or the stream is over; then it is closed in order."""
    began = now()
    while stream.pending and not listening.done() and now() < began + IQ_LIMIT:
        await asyncio.wait((listening,), timeout=0.02)
    if stream.pending and not listening.done():
        raise Failure(
            f"{len(stream.pending)} iqs are not answered after {IQ_LIMIT:.0f} s: {sorted(stream.pending)}"
        )
    await stream.wire.push(frame(stream.rng, f"<close xmlns='{FRAMING}'/>".encode()))
    await asyncio.wait((listening,), timeout=IQ_LIMIT)
    if not listening.done():
        raise Failure("a stream was not closed")
    await listening
    stream.record.answered(stream.why)


CASES = {before_login: 15, session: 40, deaf: 1}
