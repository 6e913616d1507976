"""An XMPP stream over WebSocket (RFC 7395), sans-IO: what both roles share.

    client (client_stream.py)  open -> auth -> open -> bind -> presence -> the own presence comes back: Online
                               or, where a session is resumed (XEP-0198), ... open -> resume: Online
    server (server_stream.py)  the other half; the application decides on credentials and resource

After any input, drain `frames_to_send()` and `next_event()`; `get_timer()` says when `handle_timer()` is due.
A stanza counts as handled (XEP-0198) when `next_event()` is called after it: so it is acknowledged only then.
The transport is to be closed once `is_closed`, after the frames are sent. What is not in TRANSITIONS ends the
stream.
"""

import random
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from signaling import stanza as st
from signaling.errors import RemoteProtocolError, XmlError
from signaling.jid import Jid
from signaling.sasl import PlainCredentials
from signaling.stream_management import WRAP, StreamManagement
from signaling.xml import (
    FRAMING,
    SASL,
    SM,
    STREAM_ERRORS,
    STREAMS,
    Element,
    child,
    element,
    local_name,
    namespace_of,
    parse,
    serialise,
)
from signaling.xml_parser import ForgettingParser


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Seconds (protocol.md section 3): to log in; silence before a ping; silence until gone; to close."""

    login: float = 10.0
    ping: float = 30.0
    gone: float = 75.0
    close: float = 2.0


DEFAULT_TIMES = StreamTimes()


class State(StrEnum):
    START = "start"  # no stream header yet
    SECURING = "securing"  # before SASL
    DECIDING = "deciding"  # server: the application looks at the credentials
    RESTARTING = "restarting"  # between SASL's success and the second stream header
    RESUMING = "resuming"  # client: asked for the session of before
    BINDING = "binding"
    ANNOUNCING = "announcing"  # client: presence sent, not yet echoed
    ONLINE = "online"  # server: bound
    CLOSING = "closing"  # <close/> sent
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CredentialsGiven:
    """Server: answer with accept() or refuse()."""

    credentials: PlainCredentials


@dataclass(frozen=True, slots=True)
class ResourceAsked:
    """Server: answer with bind() or end(condition). `resource` is empty if the client has no wish."""

    resource: str


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """Server: answer with resume() or refuse_resumption(). The client knows the session by `id` and has handled
    `h` of its stanzas (as text, not looked at yet)."""

    id: str
    h: str | None


@dataclass(frozen=True, slots=True)
class Online:
    """Client: the own presence came back, or the session was `resumed`; messages reach this device from now on."""

    jid: Jid
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer has handled the stanzas with these tags."""

    tags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StanzaReceived:
    stanza: Element


@dataclass(frozen=True, slots=True)
class StanzaUnreadable:
    """Client: a stanza that is larger or deeper than is read here. `head` is its element without the content."""

    head: Element
    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over. `condition` is a stream error (RFC 6120 4.9.3), a SASL failure if `in_login`, or
    None for an orderly close. `by_peer` tells who said so."""

    condition: str | None
    text: str = ""
    by_peer: bool = True
    in_login: bool = False


Event = (
    CredentialsGiven
    | ResourceAsked
    | ResumeAsked
    | Online
    | StanzaReceived
    | StanzaUnreadable
    | Acknowledged
    | Ended
)
# What both roles understand once stream management is enabled.
_MANAGED = {"r": "_asked", "a": "_answered"}


class Stream:
    """What both roles share: frames out, events, keep-alive, the orderly and the disorderly end."""

    TRANSITIONS: ClassVar[dict[tuple[State, str], str]] = {}

    def __init__(self, domain: str, now: float, rng: random.Random, times: StreamTimes) -> None:
        self.domain = domain
        self.state = State.START
        self._rng = rng
        self._times = times
        self._frames: deque[str] = deque()
        self._events: deque[Event] = deque()
        self._deadline: float | None = now + times.login
        self._heard = now
        self._pinged = now
        self._pings: set[str] = set()
        self.management: StreamManagement | None = None
        self._parser: ForgettingParser | None = None
        self._in_hand = False  # the application has a stanza that it has not handled yet
        self._asking = False  # for an acknowledgement

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def is_ending(self) -> bool:
        """Nothing more is accepted, and nothing but the close is sent."""
        return self.state in (State.CLOSING, State.CLOSED)

    def frames_to_send(self) -> list[str]:
        if (
            self.management is not None
            and not (self._asking or self.is_ending)
            and self.management.wants_answer
        ):
            self._asking = True
            self._send(element(SM, "r"))
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def next_event(self) -> Event | None:
        if self._in_hand:
            self._in_hand = False
            self._count_handled()
        event = self._events.popleft() if self._events else None
        self._in_hand = isinstance(event, StanzaReceived | StanzaUnreadable)
        return event

    def _count_handled(self) -> None:
        if self.management is not None:
            self.management.handled = (self.management.handled + 1) % WRAP

    def get_timer(self) -> float | None:
        if self.is_closed:
            return None
        if self._deadline is not None:
            return self._deadline
        return min(max(self._heard, self._pinged) + self._times.ping, self._heard + self._times.gone)

    def handle_timer(self, now: float) -> None:
        timer = self.get_timer()
        if timer is None or now < timer:
            return
        if self.state is State.CLOSING:
            self.state = State.CLOSED
        elif self._deadline is not None or now >= self._heard + self._times.gone:
            self.end("connection-timeout", now=now)
        else:
            self._pinged = now
            id_ = f"p{self._rng.getrandbits(64):016x}"
            self._pings = {*sorted(self._pings)[:7], id_}
            self._send(self._ping(id_))

    def is_there(self, now: float) -> None:
        """The peer takes what is sent to it, so it is no silence that it says nothing."""
        self._heard = max(self._heard, now)

    def _ping(self, id_: str) -> Element:
        raise NotImplementedError

    def receive_frame(self, frame: str | bytes, now: float) -> None:
        """One text frame. Any bytes are survived: what is not allowed ends the stream."""
        if self.is_closed:
            return
        self._heard = now
        try:
            node = parse(frame, parser=self._parser)
        except XmlError as error:
            return self._unreadable(frame, error, now)
        kind = self._kind(node)
        if self.state is State.CLOSING:
            if kind == "close":
                self.state = State.CLOSED
            return
        if kind == "close":
            self._frames.append(serialise(element(FRAMING, "close")))
            return self._finish(Ended(None))
        if kind == "error":
            conditions = [n for n in node if namespace_of(n) == STREAM_ERRORS and local_name(n) != "text"]
            text = child(node, STREAM_ERRORS, "text")
            self._frames.append(serialise(element(FRAMING, "close")))
            return self._finish(
                Ended(
                    local_name(conditions[0]) if conditions else "undefined-condition",
                    (text.text or "") if text is not None else "",
                )
            )
        handler = self.TRANSITIONS.get((self.state, kind))
        if handler is None and self.management is not None:
            handler = _MANAGED.get(kind)
        if handler is None:
            return self.end(self._misfit(kind), f"{kind} while {self.state}", now=now)
        before = len(self._events)
        getattr(self, handler)(node, now)
        if kind == "stanza" and not any(isinstance(e, StanzaReceived) for e in list(self._events)[before:]):
            self._count_handled()  # the application does not see it

    def _unreadable(self, frame: str | bytes, error: XmlError, now: float) -> None:
        self.end(error.condition, str(error), now=now)

    def _asked(self, node: Element, now: float) -> None:
        assert self.management is not None
        self._send(element(SM, "a", {"h": str(self.management.handled)}))

    def _answered(self, node: Element, now: float) -> None:
        self._asking = False
        self._acknowledge(node.get("h"), now)

    def _acknowledge(self, h: str | None, now: float) -> bool:
        """False if the peer acknowledged nonsense: the stream ends."""
        assert self.management is not None
        try:
            tags = self.management.acknowledge(h)
        except RemoteProtocolError as error:
            self.end(error.condition, str(error), now=now)
            return False
        if tags:
            self._events.append(Acknowledged(tuple(tags)))
        return True

    def _kind(self, node: Element) -> str:
        if st.is_stanza(node):
            return "stanza"
        name, namespace = local_name(node), namespace_of(node)
        if namespace in (FRAMING, SASL, SM) or (namespace == STREAMS and name in ("features", "error")):
            return name
        return "invalid-namespace" if name in ("message", "iq", "presence") else "unknown"

    def _misfit(self, kind: str) -> str:
        if kind == "stanza" and self.state in (State.START, State.SECURING, State.DECIDING):
            return "not-authorized"
        return {"invalid-namespace": kind, "unknown": "unsupported-stanza-type"}.get(kind, "bad-format")

    def _send(self, node: Element, at: float = 0.0, tag: int = 0) -> None:
        frame = serialise(node)
        self._frames.append(frame)
        if self.management is not None and st.is_stanza(node):
            self.management.sent(node, frame, at, tag)

    def _open(self, **attributes: str) -> None:
        self._send(element(FRAMING, "open", {**attributes, "version": "1.0"}))

    def end(self, condition: str | None = None, text: str = "", *, now: float) -> None:
        """Ends the stream from this side: with a stream error, or in order if `condition` is None."""
        if self.is_ending:
            return
        if self.management is not None:
            # So the peer knows which of its stanzas it was, if it was one.
            self._send(element(SM, "a", {"h": str(self.management.handled)}))
        if condition is not None:
            texts = (element(STREAM_ERRORS, "text", text=text),) if text else ()
            reason = element(STREAM_ERRORS, condition)
            self._send(element(STREAMS, "error", None, reason, *texts, prefix="stream"))
        self._frames.append(serialise(element(FRAMING, "close")))
        self.state = State.CLOSING
        self._deadline = now + self._times.close
        self._events.append(Ended(condition, text, by_peer=False))

    def connection_lost(self) -> None:
        """The transport is gone."""
        if not self.is_closed:
            ended = self.state is State.CLOSING
            self.state = State.CLOSED
            if not ended:
                self._events.append(Ended("connection-timeout", "connection lost"))

    def _finish(self, event: Ended) -> None:
        self.state = State.CLOSED
        self._deadline = None
        self._events.append(event)

    def _stanza(self, node: Element, now: float) -> None:
        if (
            local_name(node) == "iq"
            and node.get("id") in self._pings
            and node.get("type") in ("result", "error")
        ):
            self._pings.discard(node.get("id", ""))
        else:
            self._events.append(StanzaReceived(node))
