"""Honest phones at a server of their own, and everything is counted: what is promised to who does nothing wrong.

    .venv/bin/python tests/fuzz/counted.py --seed 1

Each iq is answered once; each message comes over the wire once, in order, as it was written, and is there again for who did
not acknowledge it; nothing is left of a stanza or a connection; no broken frame keeps anybody waiting; no stanza of the
registry ends the server; who does not read costs it a bounded queue. The exit code is 1 if one of these is not so.
`make fuzz` runs this before its attack.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from healthy import Pair, make_profile
from phone import FRAMING, Phone, written
from planted import FAULTS
from victim import Victim
from wire import BINARY, PING, Failure, frame
from world import Account, World

from signaling.client.profile import Profile

NUMBERS = tuple(f"+1202555{n:04d}" for n in range(100, 103))
PAIR = ("+12025550103", "+12025550104")
# No limit on honest phones that are in a hurry; all others are the server's own.
LIMITS = """
resumable = 5.0
stanzas = [1000000, 0.000001]
bytes = [1000000000, 0.000000001]
messages_kept_of_one = 1000
"""
IQS, MESSAGES, KEPT, WINDOW = 5000, 3000, 240, 100
LEAK_STANZAS, LEAK_CONNECTIONS, LEAK_CALLS = 3000, 30, 4
HELD = ("tasks", "sockets", "connections")
# Of each stanza: blocks of Python's memory (one would be a leak), and bytes of resident memory.
MOST_OBJECTS, MOST_BYTES = 0.1, 100
# The server's turn for one broken frame, in seconds: the fastest of some tries, so that a busy machine does not count.
LONGEST_TURN, TRIES, FLOODS = 0.12, 6, 20
BESIDE_FLOODS = 0.4  # most of it is spent here, on flooding
DEAF_MIB = 24.0  # for who does not read: 1 MiB is queued, the rest is what an allocator keeps


class Counted:
    def __init__(self, victim: Victim, world: World, pair: Pair, seed: int) -> None:
        self.victim, self.world, self.pair, self.rng = victim, world, pair, random.Random(seed)
        self.problems: list[str] = []
        self.counts: dict[str, float] = {}

    async def run(self, only: str) -> None:
        for promise in PROMISES:
            if only not in promise.__name__:
                continue
            name = promise.__name__.replace("_", " ")
            began = time.monotonic()
            try:
                await promise(self)
            except Failure as failure:
                self.problems.append(f"{name}: {failure}")
            except (EOFError, OSError, TimeoutError, aiohttp.ClientError) as error:
                self.problems.append(f"{name}: the server is gone ({type(error).__name__})")
            self.counts[f"{name}, seconds"] = round(time.monotonic() - began, 1)
            if not self.victim.lives:
                self.problems.append(f"{name}: the server died: {self.victim.log.read_text()[-2000:]}")
                return
            self.problems += [f"{name}: {complaint}" for complaint in self.victim.complaints()]

    def require(self, is_so: bool, why: str) -> None:
        if not is_so:
            raise Failure(why)

    @asynccontextmanager
    async def phones(self, *which: int, **how: bool) -> AsyncIterator[list[Phone]]:
        phones = [Phone(self.world, self.world.accounts[n], self.rng.getrandbits(32)) for n in which]
        try:
            for phone in phones:
                await phone.sign_in(**how)
            yield phones
        finally:
            for phone in phones:
                await phone.close()


async def each_iq_is_answered_once(run: Counted) -> None:
    questions = (
        ("<ping xmlns='urn:xmpp:ping'/>", ""),
        ("<query xmlns='http://jabber.org/protocol/disco#info'/>", "DOMAIN"),
        ("<blocklist xmlns='urn:xmpp:blocking'/>", ""),
        ("<services xmlns='urn:xmpp:extdisco:2'/>", "DOMAIN"),
        ("<query xmlns='jabber:iq:roster'/>", ""),
        ("<query xmlns='jabber:iq:version'/>", "+12025550199@DOMAIN"),
    )
    async with run.phones(0) as (phone,):
        for n in range(IQS):
            payload, to = questions[n % len(questions)]
            address = f" to='{to.replace('DOMAIN', phone.domain)}'" if to else ""
            await phone.stanza(f"<iq xmlns='jabber:client' type='get' id='q{n}'{address}>{payload}</iq>")
            if n % WINDOW == WINDOW - 1:
                await phone.ping()
        await phone.acknowledgement()
        asked = {f"q{n}" for n in range(IQS)}
        missing = [id_ for id_ in asked if not phone.answers[id_]]
        run.require(not missing, f"{len(missing)} of {IQS} iqs are not answered")
        twice = [id_ for id_ in asked if phone.answers[id_] > 1]
        run.require(not twice, f"{len(twice)} of {IQS} iqs are answered more than once")
    run.counts["iqs"] = IQS


async def each_message_comes_once_and_in_order(run: Counted) -> None:
    """To who is online: half of them are to be kept, half are not."""
    for keep in (True, False):
        async with run.phones(0, 1) as (sender, receiver):
            ids = [f"m{keep:d}-{n}" for n in range(MESSAGES)]
            for n in range(0, MESSAGES, WINDOW):
                for id_ in ids[n : n + WINDOW]:
                    await sender.message(receiver.account.bare, id_, keep=keep)
                await sender.acknowledgement()
                await receiver.until(
                    lambda n=n: (
                        len(receiver.messages) + sum(sender.errors.values()) >= min(n + WINDOW, MESSAGES)
                    ),
                    f"message {n + WINDOW}, {len(receiver.messages)} came",
                )
            await receiver.ping()
            _compare(run, ids, [id_ for id_, _ in receiver.messages])
            run.require(not sender.errors, f"{sender.errors.total()} messages came back")
    run.counts["messages"] = 2 * MESSAGES


def _compare(run: Counted, ids: list[str], came: list[str]) -> None:
    count = Counter(came)
    lost, twice = [i for i in ids if not count[i]], [i for i in ids if count[i] > 1]
    run.require(not lost, f"{len(lost)} of {len(ids)} messages never came")
    run.require(not twice, f"{len(twice)} of {len(ids)} messages came more than once over one stream")
    run.require(set(came) <= set(ids), "messages came that nobody sent")
    run.require(came == ids, "messages came in another order than they were sent")


def _letters(rng: random.Random, n: int) -> str:
    """A payload in which everything that can be written in two ways is written in the other one."""
    quotes = "".join(rng.choice(("&apos;", "&quot;", "'", '"', "&amp;", "&lt;", "&gt;", "&#10;", "&#x1F600;", "é"))
                     for _ in range(rng.choice((3, 60, 400))))  # fmt: skip
    attribute = quotes.replace("'", "&#39;")
    return rng.choice(
        (
            f"<body>{n} {quotes}</body>",
            f"<a:x xmlns:a='urn:a' xmlns:b='urn:b' a:k='{attribute}' b:k='2'><b:y/><a:z xmlns:a='urn:c'>{quotes}</a:z></a:x>",
            f"<x xmlns='urn:x' k='{attribute}'>" + "<y k='&quot;'/>" * rng.choice((1, 50)) + "</x>",
            f"<body xml:lang='de'>{n}<![CDATA[<&>{quotes.replace(']]>', '')}]]></body>",
            f"<delay xmlns='urn:xmpp:delay' from='elsewhere.example' stamp='2026-01-01T00:00:00Z'/><body>{n}</body>",
        )
    )


async def what_is_kept_is_there_until_it_is_acknowledged(run: Counted) -> None:
    """For who was away: in order, as it was written; and again, no larger, for who did not acknowledge it."""
    letters = {f"k{n}": _letters(run.rng, n) for n in range(KEPT)}
    address = run.world.accounts[2].bare
    async with run.phones(0) as (sender,):
        for id_, letter in letters.items():
            await sender.message(address, id_, letter)
        await sender.acknowledgement()
        run.require(not sender.errors, f"{sender.errors.total()} messages were not kept")
    largest = 0
    for acknowledges in (False, False, True):
        receiver = Phone(run.world, run.world.accounts[2], run.rng.getrandbits(32))
        receiver.acknowledges = acknowledges
        await receiver.sign_in()
        try:
            # Without an acknowledgement as much comes as may be on its way at once.
            await receiver.until(
                lambda least=KEPT if acknowledges else 50, came=receiver.messages: len(came) >= least,
                "kept message",
            )
            came = [id_ for id_, _ in receiver.messages]
            _compare(run, [*letters][: len(came)], came)
            for id_, content in receiver.messages:
                run.require(
                    content == written(letters[id_]), f"{id_} is not what was written: {content[:200]}"
                )
            if acknowledges:
                run.require(receiver.largest <= largest * 1.05 + 100 or not largest, "a kept message grew")
                await receiver.ping()
            largest = largest or receiver.largest
        finally:
            await receiver.close(orderly=acknowledges)
    async with run.phones(2) as (receiver,):
        await receiver.ping()
        run.require(not receiver.messages, f"{len(receiver.messages)} messages came that were acknowledged")
    run.counts["kept messages"] = KEPT


async def nothing_is_left_of_a_stanza(run: Counted) -> None:
    async with run.phones(0, 1) as (a, b):

        async def some(count: int) -> None:
            for n in range(count):
                match n % 5:
                    case 0:
                        await a.message(b.account.bare, f"l{n}")
                    case 1:
                        await a.message(b.account.bare, f"l{n}", keep=False)
                    case 2:
                        await a.message("+12025550199@" + a.domain, f"l{n}")
                    case 3:
                        await a.stanza(
                            f"<iq xmlns='jabber:client' type='get' id='l{n}'><x xmlns='urn:x{n}'/></iq>"
                        )
                    case 4:
                        await a.stanza(
                            f"<iq xmlns='jabber:client' type='get' id='l{n}'><ping xmlns='urn:xmpp:ping'/></iq>"
                        )
                if n % WINDOW == WINDOW - 1:
                    await a.acknowledgement()
                    await b.ping()

        await some(LEAK_STANZAS)  # until all that is bounded is full
        before = await run.victim.gauges()
        objects: list[float] = []
        sizes: list[float] = []
        for _ in range(3):
            await some(LEAK_STANZAS)
            after = await run.victim.gauges()
            objects.append(
                (after["python_allocated_blocks"] - before["python_allocated_blocks"]) / LEAK_STANZAS
            )
            size = after["process_resident_memory_bytes"] - before["process_resident_memory_bytes"]
            sizes.append(size / LEAK_STANZAS)
            before = after
        least = min(objects)
        run.counts["objects left of a stanza"] = round(least, 3)
        run.require(least <= MOST_OBJECTS, f"{least:.2f} objects are left of each stanza")
        run.counts["bytes left of a stanza"] = round(sum(sizes) / len(sizes))
        run.require(
            sum(sizes) / len(sizes) <= MOST_BYTES,
            f"{sum(sizes) / len(sizes):.0f} bytes are left of each stanza",
        )


async def nothing_is_left_of_a_connection(run: Counted) -> None:
    """However far it got, and however it ended."""

    async def some(count: int) -> None:
        for n in range(count):
            phone = Phone(run.world, run.world.accounts[n % 3], run.rng.getrandbits(32))
            try:
                if n % 4 == 0:
                    await phone.connect()
                elif n % 4 == 1:
                    await phone.connect()
                    await phone.say(f"<open xmlns='{FRAMING}' to='{phone.domain}' version='1.0'/>")
                    await phone.hear(2)
                else:
                    await phone.sign_in(present=n % 4 == 3)
            finally:
                await phone.close(orderly=n % 8 > 3)

    await some(8)
    before = await _settled(run, None)
    await some(LEAK_CONNECTIONS)
    _require_nothing_left(run, before, await _settled(run, before), f"{LEAK_CONNECTIONS} connections")


async def nothing_is_left_of_a_call(run: Counted) -> None:
    await run.pair.round()
    run.require(not run.pair.problems, "; ".join(run.pair.problems))
    before = await _settled(run, None)
    for _ in range(LEAK_CALLS):
        await run.pair.round()
    run.require(not run.pair.problems, "; ".join(run.pair.problems))
    _require_nothing_left(run, before, await _settled(run, before), f"{LEAK_CALLS} calls")


async def _settled(run: Counted, most: dict[str, float] | None) -> dict[str, float]:
    """What the server holds; in the end no more than `most`, if it gives it back in 10 s."""
    if most is None:
        await asyncio.sleep(0.5)
    for _ in range(100):
        now = await run.victim.gauges()
        now["sockets"] = float(run.victim.handles())
        if most is None or all(now[name] <= most[name] for name in HELD):
            break
        await asyncio.sleep(0.1)
    return now


def _require_nothing_left(run: Counted, before: dict[str, float], after: dict[str, float], of: str) -> None:
    for name in HELD:
        left = after[name] - before[name]
        run.require(left <= 0, f"{left:.0f} {name} are left of {of}")


BROKEN: dict[str, bytes] = {
    "no XML": b"nonsense",
    "half an element": b"<message xmlns='jabber:client'><body>",
    "two roots": b"<a/><b/>",
    "no UTF-8": b"<message>\xff\xfe</message>",
    "a zero": b"<message>\0</message>",
    "a DTD": b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
    "a comment": b"<message xmlns='jabber:client'><!-- x --></message>",
    "an instruction": b"<?xml-stylesheet href='x'?><message/>",
    "deep": b"<a>" * 5000 + b"</a>" * 5000,
    "many": b"<x>" + b"<a/>" * 20000 + b"</x>",
    "attributes": b"<x " + b" ".join(b"a%d='1'" % n for n in range(5000)) + b"/>",
    "namespaces": b"<x " + b" ".join(b"xmlns:n%d='urn:%d'" % (n, n) for n in range(4000)) + b"/>",
    "large": b"<x>" + b"y" * 300_000 + b"</x>",
    "an unknown prefix": b"<a:b/>",
    "an attribute twice": b"<a b='1' b='2'/>",
    "no stanza": b"<message xmlns='urn:other'/>",
    "a stanza before the login": b"<message xmlns='jabber:client'/>",
    "a login that is none": b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>!!!</auth>",
    "empty": b"",
    "space": b" " * 100_000,
    "entities": b"<x>" + b"&amp;" * 40_000 + b"</x>",
    "characters": b"<x>" + b"&#x41;" * 40_000 + b"</x>",
}


async def no_broken_frame_keeps_others_waiting(run: Counted) -> None:
    slowest = 0.0
    async with run.phones(0) as (healthy,):
        for name, data in [*BROKEN.items(), ("binary", b"x")]:
            for logged_in in (False, True):
                fastest = 1e9
                for _ in range(TRIES):
                    stranger = Phone(run.world, run.world.accounts[1], run.rng.getrandbits(32))
                    try:
                        if logged_in:
                            await stranger.sign_in(present=False)
                        else:
                            await stranger.connect()
                        await stranger.wire.send(
                            "frame", frame(run.rng, data, BINARY if name == "binary" else 1)
                        )
                        fastest = min(fastest, await healthy.ping())
                    finally:
                        await stranger.close(orderly=False)
                    if fastest < LONGEST_TURN / 4:
                        break
                slowest = max(slowest, fastest)
                run.require(
                    fastest <= LONGEST_TURN,
                    f"a frame ({name}) keeps others waiting for {1000 * fastest:.0f} ms",
                )
    run.counts["slowest turn of a broken frame, ms"] = round(1000 * slowest, 1)


async def no_stranger_goes_before_others(run: Counted) -> None:
    """Floods of pings (RFC 6455), before the login, from as many connections as one address has."""
    chunk = b"".join(frame(run.rng, b"", PING) for _ in range(10_000))

    async def flood() -> None:
        while True:
            stranger = Phone(run.world, run.world.accounts[1], run.rng.getrandbits(32))
            try:
                await stranger.connect()
                open_ = True
                while open_:
                    open_ = await stranger.wire.push(chunk)
            except (Failure, EOFError, OSError, TimeoutError):
                await asyncio.sleep(0.1)
            finally:
                await stranger.close(orderly=False)

    async with run.phones(0) as (healthy,):
        floods = [asyncio.create_task(flood()) for _ in range(FLOODS)]
        try:
            await asyncio.sleep(0.5)
            took = sorted([await healthy.ping() for _ in range(TRIES)])
        finally:
            for task in floods:
                task.cancel()
            await asyncio.gather(*floods, return_exceptions=True)
    usual = took[len(took) // 3]
    run.counts["ping beside floods, ms"] = round(1000 * usual, 1)
    run.require(usual <= BESIDE_FLOODS, f"floods of strangers keep others waiting for {1000 * usual:.0f} ms")


# What XMPP's registries and our own protocol know. One of everything: what is rare in the wild is not rare here.
PAYLOADS = tuple(
    f"<{name} xmlns='{namespace}'/>"
    for namespace, names in {
        "jabber:client": "body subject thread show status priority error",
        "jabber:iq:roster": "query", "jabber:iq:auth": "query", "jabber:iq:register": "query",
        "jabber:iq:private": "query", "jabber:iq:version": "query", "jabber:iq:last": "query",
        "jabber:iq:time": "query", "jabber:iq:rpc": "query", "jabber:iq:search": "query",
        "jabber:iq:gateway": "query", "jabber:iq:oob": "query", "jabber:x:data": "x", "jabber:x:oob": "x",
        "jabber:x:conference": "x", "jabber:x:event": "x", "jabber:x:delay": "x", "jabber:x:signed": "x",
        "jabber:x:encrypted": "x", "vcard-temp": "vCard", "vcard-temp:x:update": "x",
        "storage:bookmarks": "storage", "urn:xmpp:ping": "ping", "urn:xmpp:time": "time",
        "urn:xmpp:delay": "delay", "urn:xmpp:receipts": "request received", "urn:xmpp:carbons:2": "enable disable private",
        "urn:xmpp:forward:0": "forwarded", "urn:xmpp:mam:2": "query fin result prefs", "urn:xmpp:sid:0": "stanza-id origin-id",
        "urn:xmpp:hints": "store no-store no-copy no-permanent-store", "urn:xmpp:blocking": "block unblock blocklist",
        "urn:xmpp:blocking:errors": "blocked", "urn:xmpp:extdisco:2": "services credentials",
        "urn:xmpp:jingle:1": "jingle", "urn:xmpp:jingle-message:0": "propose proceed ringing accept reject retract finish",
        "urn:xmpp:jingle-message:1": "propose", "urn:xmpp:jingle:apps:rtp:1": "description",
        "urn:xmpp:jingle:apps:rtp:info:1": "mute", "urn:xmpp:jingle:apps:dtls:0": "fingerprint",
        "urn:xmpp:jingle:transports:ice-udp:1": "transport", "urn:xmpp:jingle:apps:file-transfer:5": "description",
        "urn:xmpp:omemo:2": "encrypted devices", "eu.siacs.conversations.axolotl": "encrypted list",
        "urn:xmpp:push:0": "enable disable", "urn:xmpp:csi:0": "active inactive", "urn:xmpp:sm:3": "r a enable resume",
        "urn:xmpp:chat-markers:0": "markable displayed", "urn:xmpp:reactions:0": "reactions",
        "urn:xmpp:message-correct:0": "replace", "urn:xmpp:reply:0": "reply", "urn:xmpp:attention:0": "attention",
        "urn:xmpp:bob": "data", "urn:xmpp:http:upload:0": "request", "urn:xmpp:avatar:data": "data",
        "urn:xmpp:idle:1": "idle", "urn:xmpp:mix:core:1": "join", "urn:xmpp:moved:1": "moved",
        "urn:xmpp:styling:0": "unstyled", "urn:xmpp:spoiler:0": "spoiler", "urn:xmpp:sce:1": "envelope",
        "urn:xmpp:eme:0": "encryption", "urn:xmpp:invite": "invite", "urn:xmpp:ibr-token:0": "preauth",
        "http://jabber.org/protocol/disco#info": "query", "http://jabber.org/protocol/disco#items": "query",
        "http://jabber.org/protocol/muc": "x", "http://jabber.org/protocol/muc#user": "x",
        "http://jabber.org/protocol/muc#admin": "query", "http://jabber.org/protocol/muc#owner": "query",
        "http://jabber.org/protocol/pubsub": "pubsub", "http://jabber.org/protocol/pubsub#event": "event",
        "http://jabber.org/protocol/pubsub#owner": "pubsub", "http://jabber.org/protocol/commands": "command",
        "http://jabber.org/protocol/chatstates": "active composing paused inactive gone",
        "http://jabber.org/protocol/caps": "c", "http://jabber.org/protocol/ibb": "open data close",
        "http://jabber.org/protocol/bytestreams": "query", "http://jabber.org/protocol/si": "si",
        "http://jabber.org/protocol/address": "addresses", "http://jabber.org/protocol/amp": "amp",
        "http://jabber.org/protocol/nick": "nick", "http://jabber.org/protocol/geoloc": "geoloc",
        "http://jabber.org/protocol/tune": "tune", "http://jabber.org/protocol/mood": "mood",
        "http://jabber.org/protocol/httpbind": "body", "http://jabber.org/protocol/xhtml-im": "html",
        "http://www.w3.org/1999/xhtml": "body", "urn:ietf:params:xml:ns:xmpp-bind": "bind",
        "urn:ietf:params:xml:ns:xmpp-session": "session", "urn:ietf:params:xml:ns:xmpp-sasl": "auth abort response",
        "urn:ietf:params:xml:ns:xmpp-tls": "starttls", "urn:ietf:params:xml:ns:xmpp-stanzas": "bad-request",
        "urn:ringline:0": "passport answers preconnect attribute rejected description", "urn:example:new": "x",
        "": "x",
    }.items()
    for name in names.split()
)  # fmt: skip
KINDS = {
    "iq": ("get", "set", "result", "error", "other", None),
    "message": ("chat", "normal", "headline", "groupchat", "error", "other", None),
    "presence": ("unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error", "other", None),
}  # fmt: skip
ADDRESSES = (
    None,
    "OWN",
    "BARE",
    "DOMAIN",
    "OTHER",
    "OTHERS",
    "+12025550199@DOMAIN",
    "DOMAIN/x",
    "elsewhere.example",
    "@",
    "",
)


def _rare(names: dict[str, str]) -> list[str]:
    """Each kind, type, address and payload with each other: all of the first three, and each pair with a payload."""
    stanzas = []
    for kind, types in KINDS.items():
        payloads = itertools.cycle(PAYLOADS)
        shapes = [*itertools.product(types, ADDRESSES, (0, 1, 2))]
        shapes += [(t, address, 1) for t in types for address in (None, "OTHER", "DOMAIN") for _ in PAYLOADS]
        for type_, address, count in shapes:
            for name, value in names.items():
                address = address.replace(name, value) if address else address
            given = {"id": f"s{len(stanzas)}", "type": type_, "to": address}
            attributes = "".join(f" {key}='{value}'" for key, value in given.items() if value is not None)
            hint = "<store xmlns='urn:xmpp:hints'/>" if kind == "message" and len(stanzas) % 3 == 0 else ""
            inner = "".join(next(payloads) for _ in range(count)) + hint
            stanzas.append(f"<{kind} xmlns='jabber:client'{attributes}>{inner}</{kind}>")
    return stanzas


async def no_stanza_ends_the_server(run: Counted) -> None:
    account, other = run.world.accounts[1], run.world.accounts[0]
    phone = Phone(run.world, account, run.rng.getrandbits(32))
    names = {"OTHERS": other.jid, "OTHER": other.bare, "OWN": account.jid, "BARE": account.bare}
    stanzas = _rare(names | {"DOMAIN": phone.domain})
    await phone.sign_in()

    async def send(some: list[str]) -> None:
        """All of them; those behind one that ends the stream are sent again."""
        nonlocal phone
        for stanza in some:
            await phone.stanza(stanza)
        try:
            await phone.ping()
        except Failure:
            way = f"a stream ended with {phone.ended!r} at one of {len(some)} stanzas from {some[0]}"
            run.require(phone.ended.startswith("stream error"), way)
            await phone.close(orderly=False)
            phone = Phone(run.world, account, run.rng.getrandbits(32))
            await phone.sign_in()
            if len(some) > 1:
                await send(some[: len(some) // 2])
                await send(some[len(some) // 2 :])

    try:
        for n in range(0, len(stanzas), WINDOW):
            await send(stanzas[n : n + WINDOW])
    finally:
        await phone.close(orderly=False)
    run.counts["rare stanzas"] = len(stanzas)


async def who_does_not_read_costs_a_bounded_queue(run: Counted) -> None:
    async with run.phones(0, 2) as (sender, bystander):
        deaf = Phone(run.world, run.world.accounts[1], run.rng.getrandbits(32))
        await deaf.sign_in()
        try:
            deaf.wire.writer.transport.pause_reading()
            before = run.victim.memory_mib()
            body = f"<body>{'x' * 50_000}</body>"
            for n in range(1500):
                await sender.message(deaf.account.bare, f"d{n}", body, keep=False)
                if n % 50 == 49:
                    await bystander.ping()
            await sender.ping()
            grown = run.victim.memory_mib() - before
            run.counts["MiB for who does not read"] = round(grown, 1)
            run.require(grown <= DEAF_MIB, f"75 MB for who does not read: the server grew by {grown:.0f} MiB")
        finally:
            await deaf.close(orderly=False)


PROMISES: tuple[Callable[[Counted], Awaitable[None]], ...] = (
    each_iq_is_answered_once,
    each_message_comes_once_and_in_order,
    what_is_kept_is_there_until_it_is_acknowledged,
    nothing_is_left_of_a_stanza,
    nothing_is_left_of_a_connection,
    nothing_is_left_of_a_call,
    no_broken_frame_keeps_others_waiting,
    no_stranger_goes_before_others,
    no_stanza_ends_the_server,
    who_does_not_read_costs_a_bounded_queue,
)


async def count(
    seed: int, folder: Path, plant: str = "", only: str = ""
) -> tuple[dict[str, float], list[str]]:
    """Starts a server of its own in the folder. What was counted, and what was promised and is not so."""
    victim = Victim(folder, LIMITS, plant)
    await victim.start()
    try:
        paths = [await make_profile(victim, number, folder) for number in NUMBERS]
        accounts = [Account(Profile.open(path)) for path in paths]
        world = World.of(victim.url, accounts)
        first, second = [await make_profile(victim, number, folder) for number in PAIR]
        run = Counted(victim, world, Pair((first, second)), seed)
        try:
            await run.run(only)
        finally:
            world.close()
    finally:
        code = await victim.stop()
    if code != 0:
        run.problems.append(f"the server ended with {code}")
    return run.counts, run.problems


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", default="", choices=("", *FAULTS), help="a fault that must be noticed")
    parser.add_argument("--only", default="", help="promises with this in their names")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts, problems = asyncio.run(count(arguments.seed, Path(name), arguments.plant, arguments.only))
    print(json.dumps({"seed": arguments.seed, **counts, "problems": problems}, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
