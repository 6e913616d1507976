"""The server's side of an XMPP stream (RFC 7395, RFC 6120), sans-IO."""

import random
from typing import ClassVar

from signaling import stanza as st
from signaling.errors import SaslError
from signaling.jid import Jid
from signaling.sasl import decode_plain
from signaling.stream import (
    DEFAULT_TIMES,
    CredentialsGiven,
    ResourceAsked,
    ResumeAsked,
    State,
    Stream,
    StreamTimes,
)
from signaling.stream_management import StreamManagement
from signaling.xml import (
    BIND,
    CLIENT,
    PING,
    SASL,
    SM,
    STANZA_ERRORS,
    STREAMS,
    Element,
    child,
    element,
    is_named,
)
from signaling.xml_parser import ForgettingParser


class ServerStream(Stream):
    """The server's side. Created when the WebSocket is open; the client speaks first."""

    TRANSITIONS: ClassVar[dict[tuple[State, str], str]] = {
        (State.START, "open"): "_opened",
        (State.SECURING, "auth"): "_auth",
        (State.RESTARTING, "open"): "_reopened",
        (State.BINDING, "stanza"): "_bind_request",
        (State.BINDING, "resume"): "_resume_request",
        (State.ONLINE, "stanza"): "_stanza",
        (State.ONLINE, "enable"): "_enable",
        (State.ONLINE, "resume"): "_too_late",
    }

    def __init__(
        self,
        domain: str,
        now: float,
        rng: random.Random,
        times: StreamTimes = DEFAULT_TIMES,
        resumable: float = 0.0,
        parser: ForgettingParser | None = None,
    ) -> None:
        """`resumable`: for how many seconds after its loss a session can be resumed; told to the client. `parser`:
        the server's, for all its streams."""
        super().__init__(domain, now, rng, times)
        self._parser = parser
        self.jid: Jid | None = None
        self._bind_id: str | None = None
        self._resumable = resumable

    def send(self, stanza: Element, at: float = 0.0, tag: int = 0) -> None:
        """A stanza to the client; dropped unless bound. `at`, `tag`: see stream_management.Unacknowledged."""
        if self.state is State.ONLINE:
            self._send(stanza, at, tag)

    def end(self, condition: str | None = None, text: str = "", *, now: float) -> None:
        if self.state is State.START:
            # RFC 7395 3.4: the error belongs to a stream, so there has to be one.
            self._open(**{"from": self.domain, "id": f"{self._rng.getrandbits(128):032x}"})
        super().end(condition, text, now=now)

    def accept(self, account: Jid) -> None:
        """The credentials are good: this is the account."""
        assert self.state is State.DECIDING
        self.jid = account.bare
        self.state = State.RESTARTING
        self._send(element(SASL, "success"))

    def refuse(self, condition: str, text: str = "", *, now: float) -> None:
        """The credentials are not good (RFC 6120 6.5 names the conditions); the stream ends."""
        if self.is_ending:
            return
        texts = (element(SASL, "text", text=text),) if text else ()
        self._send(element(SASL, "failure", None, element(SASL, condition), *texts))
        self.end(None, now=now)

    def bind(self, jid: Jid) -> None:
        """The stream is now that full JID."""
        assert self.state is State.BINDING and self._bind_id is not None
        self.jid = jid
        self.state = State.ONLINE
        self._deadline = None
        answer = element(BIND, "bind", None, element(BIND, "jid", text=str(jid)))
        self._send(st.iq("result", answer, id=self._bind_id))

    def resume(self, management: StreamManagement, h: str | None, jid: Jid, now: float) -> bool:
        """The stream goes on where another one broke; `resend()` follows. False: `h` was nonsense, the stream ends."""
        assert self.state is State.BINDING and management.id is not None
        self.jid = jid
        self.management = management
        if not self._acknowledge(h, now):
            return False
        self.state = State.ONLINE
        self._deadline = None
        self._send(element(SM, "resumed", {"previd": management.id, "h": str(management.handled)}))
        return True

    def resend(self, frame: str) -> None:
        """One of the session's unacknowledged stanzas again: each of them, in their order, after resume()."""
        self._frames.append(frame)

    def refuse_resumption(self) -> None:
        """There is no such session; the client may bind a new one."""
        self._send(element(SM, "failed", None, element(STANZA_ERRORS, "item-not-found")))

    def _ping(self, id_: str) -> Element:
        ping = st.iq("get", element(PING, "ping"), id=id_, to=self.jid)
        ping.set("from", self.domain)
        return ping

    def _header(self, node: Element, now: float, *features: Element) -> bool:
        self._open(**{"from": self.domain, "id": f"{self._rng.getrandbits(128):032x}"})
        # Past START, so that end() does not open a second time.
        self.state = State.SECURING if self.state is State.START else State.BINDING
        if (node.get("to") or "").lower() != self.domain:
            self.end("host-unknown", now=now)
            return False
        if not (node.get("version") or "").startswith("1."):
            self.end("unsupported-version", now=now)
            return False
        self._send(element(STREAMS, "features", None, *features, prefix="stream"))
        return True

    def _opened(self, node: Element, now: float) -> None:
        self._header(node, now, element(SASL, "mechanisms", None, element(SASL, "mechanism", text="PLAIN")))

    def _reopened(self, node: Element, now: float) -> None:
        self._header(node, now, element(BIND, "bind"), element(SM, "sm"))

    def _auth(self, node: Element, now: float) -> None:
        if node.get("mechanism") != "PLAIN":
            return self.refuse("invalid-mechanism", now=now)
        try:
            credentials = decode_plain(node.text or "")
        except SaslError as error:
            return self.refuse(error.condition, now=now)
        self.state = State.DECIDING
        self._events.append(CredentialsGiven(credentials))

    def _bind_request(self, node: Element, now: float) -> None:
        request = child(node, BIND, "bind")
        if not is_named(node, CLIENT, "iq") or node.get("type") != "set" or request is None or self._bind_id:
            return self.end("not-authorized", "bind first", now=now)
        self._bind_id = node.get("id") or "bind"
        resource = child(request, BIND, "resource")
        self._events.append(ResourceAsked((resource.text or "") if resource is not None else ""))

    def _enable(self, node: Element, now: float) -> None:
        if self.management is not None:
            return self._too_late(node, now)
        wanted = node.get("resume") in ("true", "1") and self._resumable > 0
        self.management = StreamManagement(f"{self._rng.getrandbits(128):032x}" if wanted else None)
        resume = {"id": self.management.id, "resume": "true", "max": str(round(self._resumable))}
        self._send(element(SM, "enabled", resume if wanted else {}))

    def _too_late(self, node: Element, now: float) -> None:
        self._send(element(SM, "failed", None, element(STANZA_ERRORS, "unexpected-request")))

    def _resume_request(self, node: Element, now: float) -> None:
        if self._bind_id is not None:
            return self._too_late(node, now)
        self._events.append(ResumeAsked((node.get("previd") or "")[:64], node.get("h")))
