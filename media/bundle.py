"""Sections that share a transport (BUNDLE, RFC 9143).

What belongs to the transport, or has to be the same for all, stands in the tagged section and may be left out of the
others (RFC 9143 section 7.1.3, RFC 9429 section 5.2.2): it is looked for there first, then in the rest of the group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media.sdp import MediaDescription, SessionDescription


@dataclass(frozen=True, slots=True)
class SharedTransport:
    """The transport of some sections, as their description has it; empty where it does not say."""

    ice_ufrag: str
    ice_pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    rtcp_mux: bool
    rtcp_rsize: bool  # of the tagged section


def is_used(description: SessionDescription, media: MediaDescription) -> bool:
    """Whether a section is offered or accepted: one with port 0 is not, unless it is bundle-only (section 6)."""
    return media.port != 0 or (media.bundle_only and media.mid in description.bundle)


def share(description: SessionDescription, first: MediaDescription, other: MediaDescription) -> bool:
    """Whether two sections have one transport."""
    return {first.mid, other.mid} <= set(description.bundle)


def transport_of(description: SessionDescription, taken: Sequence[MediaDescription]) -> SharedTransport:
    """That of the sections `taken`; the one that comes first in the group is the tagged one (section 7.3.1)."""
    order = {mid: index for index, mid in enumerate(description.bundle)}
    tagged = sorted(taken, key=lambda media: order.get(media.mid, len(order)))
    rest = [m for mid in order for m in description.media if m.mid == mid and m not in tagged]
    used = [m for m in rest if is_used(description, m)]
    group = tagged
    if any(m.mid in order for m in tagged):
        group = tagged + used + [m for m in rest if m not in used]
    credentials = next((m for m in group if m.ice_ufrag and m.ice_pwd), group[0])
    return SharedTransport(
        credentials.ice_ufrag,
        credentials.ice_pwd,
        tuple(next((m.fingerprints for m in group if m.fingerprints), ())),
        next((m.setup for m in group if m.setup), ""),
        any(m.rtcp_mux for m in tagged + used),
        group[0].rtcp_rsize,
    )
