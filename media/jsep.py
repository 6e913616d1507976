"""The state of offer and answer over a whole session (RFC 9429): versions, sections, numbers, the pending offer."""

from dataclasses import replace

from media import negotiation, sdp
from media.bundle import is_used
from media.errors import NegotiationError
from media.negotiation import LocalParameters, Negotiated, Section
from media.numbering import Numbering
from media.sdp import SessionDescription


class Jsep:
    """One end's descriptions. `local` says each time what this end has to offer now.

    The peer's offer takes the place of one of ours that is not answered yet (rollback, RFC 9429 section 4.1.10.2): what
    was in it was never agreed.
    """

    def __init__(self) -> None:
        self._version = 0
        self._sections: list[Section] = []  # in the order that is fixed for the session
        self._numbering = Numbering()
        self._offer: SessionDescription | None = None  # ours, not answered yet
        self._agreed: Negotiated | None = None
        self._mid = "0"
        # Kinds that were in use and that the peer stopped: offered again only where somebody asks for it.
        self._refused: set[str] = set()

    def offer(self, local: LocalParameters) -> SessionDescription:
        """A new offer: the sections of before, and those that are new, in the place of stopped ones or behind them."""
        sections = list(self._sections)
        used = {section.kind for section in sections if not section.stopped}
        wanted = ["audio"] + ["video"] * (local.video is not None) + ["application"] * local.data
        for kind in wanted:
            if kind not in used and kind not in self._refused:
                section = Section(self._free_mid(sections), kind)
                stopped = next((i for i, s in enumerate(sections) if s.stopped and s.kind == kind), None)
                if stopped is None:
                    sections.append(section)
                else:
                    sections[stopped] = section
        self._offer = negotiation.create_offer(
            local, version=self._next_version(), sections=sections, numbering=self._numbering
        )
        return self._offer

    def offer_again(self, kind: str) -> None:
        """The user has something new of this kind: it is offered although the peer stopped what there was."""
        self._refused.discard(kind)

    def preview(self, offer: str, local: LocalParameters) -> Negotiated:
        """What answering this offer would settle. Raises SdpError."""
        return negotiation.create_answer(sdp.parse(offer), local, current=self._transport)[1]

    def answer(self, offer: str, local: LocalParameters) -> tuple[SessionDescription, Negotiated]:
        """The answer to the peer's offer and what it settles. Raises SdpError."""
        remote = sdp.parse(offer)
        answer, agreed = negotiation.create_answer(
            remote, local, version=self._next_version(), current=self._transport
        )
        return answer, self._settle(remote, answer, agreed, ours=answer, theirs=remote)

    def set_answer(self, answer: str) -> Negotiated:
        """What the peer's answer settles. Raises SdpError."""
        if self._offer is None:
            raise NegotiationError("there is no offer to be answered")
        remote = sdp.parse(answer)
        agreed = negotiation.apply_answer(self._offer, remote, current=self._transport)
        return self._settle(self._offer, remote, agreed, ours=self._offer, theirs=remote)

    @property
    def mid(self) -> str:
        """Of the section that carries the transport: candidates belong to it."""
        return self._mid if self._offer is None else _carrier(self._offer)

    def _settle(
        self,
        offer: SessionDescription,
        answer: SessionDescription,
        agreed: Negotiated,
        *,
        ours: SessionDescription,
        theirs: SessionDescription,
    ) -> Negotiated:
        """Both descriptions hold from now on."""
        kinds = {"audio": agreed.audio, "video": agreed.video, "application": agreed.data}
        mids = {parameters.mid for parameters in kinds.values() if parameters is not None}
        before = {section.kind for section in self._sections if not section.stopped}
        self._numbering.learn(offer, answer)
        self._sections = [
            Section(m.mid, m.kind, m, stopped=not is_used(ours, m) or m.mid not in mids) for m in ours.media
        ]
        for kind, parameters in kinds.items():
            of_kind = [m for m in theirs.media if m.kind == kind]
            if parameters is not None:
                self._refused.discard(kind)
            elif kind in before and (ours is offer or not any(is_used(theirs, m) for m in of_kind)):
                self._refused.add(kind)
        self._offer = None
        stopped = any(m.mid == self._mid and not is_used(ours, m) for m in ours.media)
        if self._agreed is not None and stopped and _carrier(ours) != self._mid:
            agreed = replace(agreed, carrier_stopped=True)
        self._mid = _carrier(ours)
        self._agreed = _with_stopped(agreed, self._agreed)
        return self._agreed

    @property
    def _transport(self) -> negotiation.TransportParameters | None:
        return None if self._agreed is None else self._agreed.transport

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _free_mid(self, sections: list[Section]) -> str:
        """A section that takes the place of a stopped one has another mid (RFC 9429 section 5.2.2)."""
        used = {section.mid for section in (*sections, *self._sections)}
        return next(str(n) for n in range(len(used) + 1) if str(n) not in used)


def _carrier(description: SessionDescription) -> str:
    """The MID of the tagged section; without a BUNDLE that of the first section that is used."""
    used = [media.mid for media in description.media if is_used(description, media)]
    return next(iter([*description.bundle, *used]), "0")


def _with_stopped(agreed: Negotiated, before: Negotiated | None) -> Negotiated:
    """A stream whose section was stopped is still there, and neither sent nor received."""
    if before is None:
        return agreed
    if agreed.audio is None and before.audio is not None:
        agreed = replace(agreed, audio=replace(before.audio, send=False, receive=False))
    if agreed.video is None and before.video is not None:
        agreed = replace(agreed, video=replace(before.video, send=False, receive=False))
    return agreed
