"""What the arrivals of one stream tell of the path, for the others that go the same way."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PathReport:
    """As of the last report of arrivals (RFC 8888). `carried_share`: of what is sent, what arrives in the same time."""

    queue: float  # seconds that packets wait
    unevenness: float  # seconds: jitter, which no queue has
    carried_share: float
    link_bps: float | None  # how fast the narrowest link is; None: it is not known
    at_least_bps: float  # and what it carries at least; 0: nothing shows it
    sent_bps: float  # by this stream and what goes beside it, with all headers
