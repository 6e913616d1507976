"""The routing table of protocol.md section 3, over real WebSockets."""

from signaling import stanza as st
from signaling.xml import HINTS, child, element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
JMI = "urn:xmpp:jingle-message:0"


def propose(to, sid="s1", store=True):
    hints = (element(HINTS, "store"),) if store else ()
    return st.message(to, element(JMI, "propose", {"id": sid}), *hints, id=f"m-{sid}")


async def two(register, connect):
    return await connect(await register(ALICE)), await connect(await register(BOB))


async def test_message_to_bare_jid_reaches_every_online_device_with_the_real_from(register, connect):
    alice, bob = await two(register, connect)
    await alice.send(propose(bob.bare))
    got = await bob.receive()
    assert got.get("from") == alice.jid
    assert child(got, JMI, "propose") is not None
