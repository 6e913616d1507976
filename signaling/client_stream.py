"""The client's side of an XMPP stream (RFC 7395, RFC 6120), sans-IO."""

import random
from typing import ClassVar

from signaling import stanza as st
from signaling.jid import Jid
from signaling.sasl import PlainCredentials, encode_plain
from signaling.stream import DEFAULT_TIMES, Ended, Online, State, Stream, StreamTimes
from signaling.xml import (
    BIND,
    CLIENT,
    FRAMING,
    PING,
    SASL,
    Element,
    child,
    element,
    is_named,
    local_name,
    serialise,
)


class ClientStream(Stream):
    """The client's side. `resource` is the device; `password` the access token."""

    TRANSITIONS: ClassVar[dict[tuple[State, str], str]] = {
        (State.START, "open"): "_opened",
        (State.START, "features"): "_secure",
        (State.SECURING, "success"): "_restart",
        (State.SECURING, "failure"): "_refused",
        (State.RESTARTING, "open"): "_opened",
        (State.RESTARTING, "features"): "_ask_bind",
        (State.BINDING, "stanza"): "_bound",
        (State.ANNOUNCING, "stanza"): "_announced",
        (State.ONLINE, "stanza"): "_any_stanza",
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
    ) -> None:
        super().__init__(domain, now, rng, times)
        self._credentials = PlainCredentials(username, password)
        self._resource = resource
        self.jid = Jid(username, domain, resource)
        self._open(to=domain)

    def send(self, stanza: Element) -> None:
        """A stanza to send; dropped unless bound (the Ended event says why)."""
        if self.state in (State.ANNOUNCING, State.ONLINE):
            self._send(stanza)

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
        self._send(st.presence())

    def _announced(self, node: Element, now: float) -> None:
        if is_named(node, CLIENT, "presence") and st.sender_of(node) == self.jid and node.get("type") is None:
            self.state = State.ONLINE
            self._deadline = None
            self._events.append(Online(self.jid))
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
