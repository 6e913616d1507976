"""The client's side of an XMPP stream (RFC 7395, RFC 6120), sans-IO."""

import random
from collections.abc import Sequence
from typing import ClassVar

from signaling import stanza as st
from signaling.errors import XmlError
from signaling.jid import Jid
from signaling.sasl import PlainCredentials, encode_plain
from signaling.stream import DEFAULT_TIMES, Ended, Online, StanzaUnreadable, State, Stream, StreamTimes
from signaling.stream_management import StreamManagement
from signaling.xml import (
    BIND,
    CLIENT,
    FRAMING,
    PING,
    SASL,
    SM,
    Element,
    byte_length,
    child,
    element,
    is_named,
    local_name,
    parse,
    parse_start,
    serialise,
)

MAX_ID_BYTES = 4000  # XEP-0198 section 3


class ClientStream(Stream):
    """The client's side. `resource` is the device; `password` the access token, with a proof."""

    TRANSITIONS: ClassVar[dict[tuple[State, str], str]] = {
        (State.START, "open"): "_opened",
        (State.START, "features"): "_secure",
        (State.SECURING, "success"): "_restart",
        (State.SECURING, "failure"): "_refused",
        (State.RESTARTING, "open"): "_opened",
        (State.RESTARTING, "features"): "_ask_bind",
        (State.RESUMING, "resumed"): "_resumed",
        (State.RESUMING, "failed"): "_not_resumed",
        (State.BINDING, "stanza"): "_bound",
        (State.ANNOUNCING, "stanza"): "_announced",
        (State.ANNOUNCING, "enabled"): "_enabled",
        (State.ANNOUNCING, "failed"): "_not_enabled",
        (State.ONLINE, "stanza"): "_any_stanza",
        (State.ONLINE, "enabled"): "_enabled",
        (State.ONLINE, "failed"): "_not_enabled",
    }

    def __init__(
        self,
        domain: str,
        username: str,
        password: str,
        resource: str,
        now: float,
        rng: random.Random,
        times: StreamTimes = DEFAULT_TIMES,
        broken: StreamManagement | None = None,
        shown_to: Sequence[Jid] = (),
    ) -> None:
        """
        `shown_to`: who may ask this device while it is online, beside those that it writes to; where the session is
        resumed the server knows that already.

        `broken`: the management of the stream before this one, which was lost. Its session is resumed; where the
        server does not know it any more, its unacknowledged messages are sent again once this stream is online."""
        super().__init__(domain, now, rng, times)
        self._broken = broken
        self._shown_to = shown_to
        self._offers_management = False
        self._credentials = PlainCredentials(username, password)
        self._resource = resource
        self.jid = Jid(username, domain, resource)
        self._open(to=domain)

    def send(self, stanza: Element) -> None:
        """A stanza to send; dropped unless bound (the Ended event says why)."""
        if self.state in (State.ANNOUNCING, State.ONLINE):
            self._send(stanza)

    def _unreadable(self, frame: str | bytes, error: XmlError, now: float) -> None:
        """A stanza is passed over, and counts as handled: the server would send it over each next stream again."""
        head = parse_start(frame) if self.state in (State.ANNOUNCING, State.ONLINE) else None
        if head is not None and st.is_stanza(head):
            self._events.append(StanzaUnreadable(head, str(error)))
        else:
            super()._unreadable(frame, error, now)

    def _ping(self, id_: str) -> Element:
        return st.iq("get", element(PING, "ping"), id=id_, to=self.domain)

    def _opened(self, node: Element, now: float) -> None:
        """The stream header holds nothing that is needed; the features follow."""

    def _secure(self, node: Element, now: float) -> None:
        mechanisms = [m.text for m in node.iter(f"{{{SASL}}}mechanism")]
        if "PLAIN" not in mechanisms:
            return self.end("undefined-condition", "the server does not offer SASL PLAIN", now=now)
        self.state = State.SECURING
        self._send(element(SASL, "auth", {"mechanism": "PLAIN"}, text=encode_plain(self._credentials)))

    def _refused(self, node: Element, now: float) -> None:
        conditions = [local_name(n) for n in node if local_name(n) != "text"]
        text = child(node, SASL, "text")
        self._frames.append(serialise(element(FRAMING, "close")))
        self._finish(
            Ended(
                conditions[0] if conditions else "not-authorized",
                (text.text or "") if text is not None else "",
                in_login=True,
            )
        )

    def _restart(self, node: Element, now: float) -> None:
        self.state = State.RESTARTING
        self._open(to=self.domain)

    def _ask_bind(self, node: Element, now: float) -> None:
        if child(node, BIND, "bind") is None:
            return self.end("undefined-condition", "the server does not offer to bind", now=now)
        self._offers_management = child(node, SM, "sm") is not None
        broken = self._broken
        if self._offers_management and broken is not None and broken.id is not None:
            self.state = State.RESUMING
            return self._send(element(SM, "resume", {"previd": broken.id, "h": str(broken.handled)}))
        self._bind()

    def _bind(self) -> None:
        self.state = State.BINDING
        request = element(BIND, "bind", None, element(BIND, "resource", text=self._resource))
        self._send(st.iq("set", request, id="bind"))

    def _bound(self, node: Element, now: float) -> None:
        if not is_named(node, CLIENT, "iq") or node.get("id") != "bind":
            return
        error = st.error_of(node)
        answer = child(node, BIND, "bind")
        jid = None if answer is None else child(answer, BIND, "jid")
        if error is not None or jid is None or jid.text != str(self.jid):
            why = error.condition if error else "another address than this device's"
            return self.end("undefined-condition", f"cannot bind: {why}", now=now)
        self.state = State.ANNOUNCING
        if self._offers_management:
            self._send(element(SM, "enable", {"resume": "true"}))
            # What is sent counts from here (XEP-0198 section 4), what comes in from <enabled/>, which comes first.
            self.management = StreamManagement()
        for peer in self._shown_to:  # first, so that nobody is refused once this device is online
            self._send(st.presence(to=peer))
        self._send(st.presence())

    def _enabled(self, node: Element, now: float) -> None:
        if self.management is None or self.management.id is not None:
            return self.end("policy-violation", "enabled twice", now=now)
        id_ = node.get("id") or ""
        if node.get("resume") in ("true", "1") and 0 < byte_length(id_) <= MAX_ID_BYTES:
            self.management.id = id_
        self.management.handled = 0

    def _not_enabled(self, node: Element, now: float) -> None:
        self.management = None

    def _resumed(self, node: Element, now: float) -> None:
        assert self._broken is not None
        if node.get("previd") != self._broken.id:
            return self.end("policy-violation", "another session was resumed", now=now)
        self.management, self._broken = self._broken, None
        if not self._acknowledge(node.get("h"), now):
            return
        self._frames.extend(entry.frame for entry in self.management.unacknowledged)
        self._go_online(resumed=True)

    def _not_resumed(self, node: Element, now: float) -> None:
        """The server may still know how much it has handled (XEP-0198 section 5)."""
        assert self._broken is not None
        if node.get("h") is not None:
            self.management = self._broken
            known = self._acknowledge(node.get("h"), now)
            self.management = None
            if not known:
                return
        self._bind()

    def _go_online(self, resumed: bool) -> None:
        self.state = State.ONLINE
        self._deadline = None
        self._events.append(Online(self.jid, resumed))

    def _announced(self, node: Element, now: float) -> None:
        if is_named(node, CLIENT, "presence") and st.sender_of(node) == self.jid and node.get("type") is None:
            if self._broken is not None:
                for entry in self._broken.unacknowledged:
                    if entry.is_message:
                        self._send(parse(entry.frame), entry.at, entry.tag)
            self._go_online(resumed=False)
        else:
            self._any_stanza(node, now)

    def _any_stanza(self, node: Element, now: float) -> None:
        # A ping from the server is answered here; one from a stranger is the application's to judge.
        if (
            is_named(node, CLIENT, "iq")
            and node.get("type") == "get"
            and child(node, PING, "ping") is not None
            and node.get("from") in (None, self.domain, str(self.jid.bare))
        ):
            self._send(st.result(node))
        else:
            self._stanza(node, now)
