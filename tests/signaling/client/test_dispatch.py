"""Any stanza into a client that rings and is in a call: nothing is raised, nothing grows, the call stays."""

import asyncio
import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from signaling.client.contacts import Contacts
from signaling.client.dispatch import Dispatch
from signaling.client.line import Line
from signaling.client.live_call import LiveCall
from signaling.client.websocket import StanzaError
from signaling.identity import UsedSids
from signaling.jid import Jid
from signaling.jingle.content import Action, Jingle, Role, build_jingle
from signaling.jingle.initiation import Initiation, Kind, build_initiation
from signaling.jingle.session import State, Step
from signaling.stanza import iq as make_iq
from signaling.xml import DISCO_INFO, Element, element

OWN = Jid("+12025550100", "calls.example", "d1")
PEER = Jid("+12025550101", "calls.example", "d2")
STRANGER = Jid("+12025550102", "calls.example", "d3")
SENDERS = [
    None,
    "",
    "@",
    str(PEER),
    str(PEER.bare),
    str(OWN),
    str(OWN.bare),
    OWN.domain,
    str(STRANGER),
    "x" * 4000,
]


class Silent:
    """A connection that only counts what is sent, and a profile that knows nobody."""

    def __init__(self) -> None:
        self.sent: list[Element] = []
        self.online = asyncio.Event()

    def send(self, stanza: Element) -> bool:
        etree.tostring(stanza)
        self.sent.append(stanza)
        return True

    def new_id(self) -> str:
        return "id"

    jid = OWN

    def knows(self, number: str) -> bool:
        return number == PEER.local


def stanzas() -> list[Element]:
    messages = [
        build_initiation(Initiation(kind, "sid", ("audio",), reason="busy"), OWN, f"{kind}-sid")
        for kind in Kind
    ]
    queries = [
        make_iq("set", build_jingle(Jingle(action, "sid", reason="success")), id="q", to=OWN)
        for action in Action
    ]
    return messages + queries


async def idle(call: LiveCall) -> None:
    await asyncio.Event().wait()


def change(data: Any, stanza: Element) -> Element:
    words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
        ["sid", "error", "get", "set", "chat", "session-initiate", "transport-info", "propose-sid"]
    )
    stanza = copy.deepcopy(stanza)
    for _ in range(data.draw(st.integers(0, 4))):
        node = data.draw(st.sampled_from(list(stanza.iter())))
        match data.draw(st.integers(0, 3)):
            case 0 if node.attrib:
                node.set(data.draw(st.sampled_from(sorted(node.attrib))), data.draw(words))
            case 1:
                node.set(
                    data.draw(st.sampled_from(["type", "id", "sid", "action", "name"])), data.draw(words)
                )
            case 2:
                node.append(copy.deepcopy(data.draw(st.sampled_from(list(stanza.iter())))))
            case 3 if node.getparent() is not None:
                node.getparent().remove(node)
    sender = data.draw(st.sampled_from(SENDERS))
    if sender is not None:
        stanza.set("from", sender)
    return stanza


@given(st.data())
def test_any_stanza(data: st.DataObject) -> None:
    async def run() -> None:
        silent: Any = Silent()
        loop = asyncio.get_running_loop()
        line = Line(
            profile=silent,
            connection=silent,
            contacts=Contacts(silent, OWN.domain, loop.time),
            used_sids=UsedSids(),
            clock=loop.time,
            wall_clock=loop.time,
            moved=lambda call, old: None,
            gone=lambda call: dispatch.gone(call),
            ice_servers=silent,
        )
        rings: list[Any] = []
        dispatch = Dispatch(
            line, lambda incoming: not rings.append(incoming), lambda missed: None, ring_unknown=True
        )
        state = data.draw(st.sampled_from([State.PROPOSED, State.INITIATED, State.CONNECTED]))
        role = data.draw(st.sampled_from(Role))
        call = LiveCall(line, role, PEER.local, "sid", ("audio",), PEER, idle)
        call.state = state
        dispatch.calls["sid"] = call
        for stanza in random.Random(0).sample(stanzas(), 6):
            dispatch.receive(change(data, stanza))
        assert dispatch.calls.get("sid") is call and call.state is state
        assert len(silent.sent) <= 12 and len(rings) <= 6
        for other in list(dispatch.calls.values()):
            other.step(Step.END)
            if other._task is not None:
                other._task.cancel()
                await asyncio.wait([other._task])

    asyncio.run(run())


async def test_strangers_learn_nothing_by_asking(open_client: Any, connected: Any, server: Any) -> None:
    alice, bob, carol = [await open_client(f"+1202555010{n}") for n in range(3)]
    query = element(DISCO_INFO, "query")
    offline = Jid(PEER.local, server.domain, "d0000000000000000")
    conditions = []
    for jid in (bob._profile.jid, offline):
        with pytest.raises(StanzaError) as error:
            await carol._connection.ask("get", query, jid)
        conditions.append(error.value.info)
    assert conditions[0] == conditions[1]
    ours, _ = await connected(alice, bob)
    answer = await alice._connection.ask("get", query, bob._profile.jid)
    features = {f.get("var") for f in answer.iter(f"{{{DISCO_INFO}}}feature")}
    assert "urn:xmpp:jingle:apps:rtp:audio" in features
    await ours.hang_up()
