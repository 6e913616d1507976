"""The state of offer and answer over a whole session (RFC 9429): versions, the order of sections, the pending offer."""

from media import negotiation, sdp
from media.errors import NegotiationError
from media.negotiation import LocalParameters, Negotiated
from media.sdp import SessionDescription


class Jsep:
    """One end's descriptions. `local` says each time what this end has to offer now."""

    def __init__(self) -> None:
        self._version = 0
        self._sections: list[tuple[str, str]] = []  # (mid, kind), in the order that is fixed for the session
        self._offer: SessionDescription | None = None  # ours, not answered yet

    def offer(self, local: LocalParameters) -> SessionDescription:
        """A new offer: the sections of before, and those that are new, behind them."""
        sections = list(self._sections)
        kinds = [kind for _, kind in sections]
        wanted = ["audio"] + ["video"] * (local.video is not None) + ["application"] * local.data
        for kind in wanted:
            if kind not in kinds:
                sections.append((self._free_mid(sections), kind))
        self._offer = negotiation.create_offer(local, version=self._next_version(), sections=sections)
        return self._offer

    def preview(self, offer: str, local: LocalParameters) -> Negotiated:
        """What answering this offer would settle. Raises SdpError."""
        return negotiation.create_answer(sdp.parse(offer), local)[1]

    def answer(self, offer: str, local: LocalParameters) -> tuple[SessionDescription, Negotiated]:
        """The answer to the peer's offer and what it settles. Raises SdpError."""
        remote = sdp.parse(offer)
        answer, agreed = negotiation.create_answer(remote, local, version=self._next_version())
        self._sections = [(m.mid, m.kind) for m in remote.media]
        self._offer = None
        return answer, agreed

    def set_answer(self, answer: str) -> Negotiated:
        """What the peer's answer settles. Raises SdpError."""
        if self._offer is None:
            raise NegotiationError("there is no offer to be answered")
        agreed = negotiation.apply_answer(self._offer, sdp.parse(answer))
        self._sections = [(m.mid, m.kind) for m in self._offer.media]
        self._offer = None
        return agreed

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    @staticmethod
    def _free_mid(sections: list[tuple[str, str]]) -> str:
        used = {mid for mid, _ in sections}
        return next(str(n) for n in range(len(sections) + 1) if str(n) not in used)
