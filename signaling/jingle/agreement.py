"""What both sides of a running session have agreed on, and how a new offer or answer differs from it.

Both descriptions of an agreement have the same contents, with the same `senders` and `rejected`. The peer's
transports say its DTLS role (`active` or `passive`), which stays (RFC 8842 section 5.5).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from signaling.jingle.content import Content, Group, Role, SessionDescription
from signaling.jingle.description import RtpDescription
from signaling.jingle.transport import Transport

_OPPOSITE = {"active": "passive", "passive": "active"}


@dataclass(frozen=True, slots=True)
class Difference:
    """What a new offer of ours asks for. `added` and `modified` as the offer has them."""

    added: tuple[Content, ...]
    modified: tuple[Content, ...]
    removed: tuple[Content, ...]


def kind_of(content: Content) -> str:
    """audio, video or application."""
    return content.description.kind if isinstance(content.description, RtpDescription) else "application"


def kinds_of(contents: Iterable[Content]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(kind_of, contents)))


def live(description: SessionDescription) -> dict[str, Content]:
    return {c.name: c for c in description.contents if not c.rejected}


def agree(
    local: SessionDescription, remote: SessionDescription, role: Role
) -> tuple[SessionDescription, SessionDescription]:
    """Our and the peer's first descriptions as an agreement; `role` is ours. The answer decides."""
    offer, answer = (local, remote) if role is Role.INITIATOR else (remote, local)
    decided = {c.name: c for c in answer.contents}
    said = next((c.transport.setup for c in answer.contents if not c.rejected), None) or "active"
    peer_setup = said if role is Role.INITIATOR else _OPPOSITE.get(said, "active")

    def adjusted(description: SessionDescription, setup: str | None) -> SessionDescription:
        known = {c.name: c for c in description.contents}
        contents = []
        for offered in offer.contents:
            final = decided.get(offered.name)
            rejected = offered.rejected or final is None or final.rejected
            content = known.get(offered.name, offered)
            transport = content.transport if setup is None else replace(content.transport, setup=setup)
            senders = "none" if rejected or final is None else final.senders
            contents.append(replace(content, senders=senders, rejected=rejected, transport=transport))
        return replace(description, contents=tuple(contents))

    return adjusted(local, None), adjusted(remote, peer_setup)


def changed(
    description: SessionDescription,
    *,
    senders: Mapping[str, str] | None = None,
    removed: Collection[str] = (),
    added: Iterable[Content] = (),
) -> SessionDescription:
    """The agreement after a change. An added content takes the place of a removed one of its name."""
    senders, new = senders or {}, {c.name: c for c in added}
    contents = []
    for content in description.contents:
        if content.name in new:
            contents.append(new.pop(content.name))
        elif content.name in removed:
            contents.append(replace(content, rejected=True, senders="none"))
        else:
            contents.append(replace(content, senders=senders.get(content.name, content.senders)))
    return replace(description, contents=(*contents, *new.values()))


def differences(
    agreed: SessionDescription, offer: SessionDescription, asked: Mapping[str, str]
) -> Difference:
    """`asked`: what was last offered for a content; the peer knows that, and answered it as it did."""
    before, after = live(agreed), live(offer)
    return Difference(
        added=tuple(c for name, c in after.items() if name not in before),
        modified=tuple(
            c
            for name, c in after.items()
            if name in before and c.senders not in (before[name].senders, asked.get(name))
        ),
        removed=tuple(c for name, c in before.items() if name not in after),
    )


def _groups(description: SessionDescription, names: list[str]) -> tuple[Group, ...]:
    return tuple(replace(g, names=tuple(names)) for g in description.groups if g.semantics == "BUNDLE")


def as_offer(remote: SessionDescription, bundled: Collection[str]) -> SessionDescription:
    """The peer's side as an offer of the peer's. `bundled`: new contents that share the session's transport."""
    first = next(iter(remote.groups), None)
    shared = {c.transport.ufrag for c in live(remote).values() if first is not None and c.name in first.names}
    names = [
        c.name
        for c in remote.contents
        if not c.rejected and (c.name in bundled or c.transport.ufrag in shared)
    ]
    contents = tuple(replace(c, transport=replace(c.transport, setup="actpass")) for c in remote.contents)
    return replace(remote, contents=contents, groups=_groups(remote, names))


def as_answer(remote: SessionDescription, offer: SessionDescription) -> SessionDescription:
    """The peer's side as the answer to our `offer`: its contents in its order, those not agreed on rejected."""
    known = live(remote)
    contents = tuple(
        known.get(c.name)
        or Content(c.name, Transport(), c.description, senders="none", creator=c.creator, rejected=True)
        for c in offer.contents
    )
    names = [c.name for c in contents if not c.rejected]
    return replace(remote, contents=contents, groups=_groups(remote, names))


def without_candidates(description: SessionDescription) -> SessionDescription:
    """Candidates are told once."""
    contents = tuple(replace(c, transport=replace(c.transport, candidates=())) for c in description.contents)
    return replace(description, contents=contents)


def with_transports(description: SessionDescription, new: SessionDescription) -> SessionDescription:
    """The agreement under the ICE credentials of a newer description of the same side."""
    transports = {c.name: c.transport for c in new.contents if c.transport.ufrag is not None}
    contents = tuple(
        replace(
            c,
            transport=replace(c.transport, ufrag=t.ufrag, pwd=t.pwd, candidates=t.candidates),
        )
        if (t := transports.get(c.name)) is not None
        else c
        for c in description.contents
    )
    return replace(description, contents=contents)
