"""Transport-infos of ours: candidates as they are found, and the new credentials of an ICE restart."""

from signaling.client.live_call import LiveCall
from signaling.client.websocket import StanzaError
from signaling.errors import ServerUnreachable
from signaling.jingle.content import Action, Content, Jingle, SessionDescription
from signaling.jingle.transport import Candidate, Transport


async def send_candidates(call: LiveCall, batch: list[tuple[str, Candidate]]) -> None:
    """One transport-info for all of them; sent again when the stream was lost on the way."""
    by_mid = {content.name: content for content in call.local.contents}
    found: dict[str, list[Candidate]] = {}
    for mid, candidate in batch:
        # An engine may bundle before it is told to, under a mid of its own.
        name = mid if mid in by_mid else call.local.contents[0].name
        found.setdefault(name, []).append(candidate)
    await _send(call, [(by_mid[name], tuple(candidates)) for name, candidates in found.items()])


async def send_credentials(call: LiveCall, answers: str | None = None) -> None:
    """What an ICE restart changed, for every content, with the candidates that the description has.

    `answers`: the ufrag of the peer's restart that this one follows.
    """
    parts = [(c, c.transport.candidates) for c in call.local.contents if not c.rejected]
    await _send(call, parts, answers)


async def _send(
    call: LiveCall, parts: list[tuple[Content, tuple[Candidate, ...]]], answers: str | None = None
) -> None:
    contents = tuple(
        Content(
            name=content.name,
            transport=Transport(content.transport.ufrag, content.transport.pwd, candidates=candidates),
            creator=content.creator,
        )
        for content, candidates in parts
    )
    info = Jingle(Action.TRANSPORT_INFO, call.sid, SessionDescription(contents), answers=answers)
    while True:
        try:
            return await call.ask_jingle(info)
        except StanzaError:
            return  # the peer does not want them; those that it has may do
        except ServerUnreachable:
            await call.line.connection.wait_online()
