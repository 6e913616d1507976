"""A second DTLS association beside the first, for peers that make their transport anew.

When the section that carried the transport is stopped, libwebrtc makes that of the next one anew, under the same ICE
credentials, and shakes hands again; others keep it. So a second association is tried for a while. It has to have the
fingerprint of the first, and takes its place only once it stands: who cannot prove to be the peer changes nothing.
"""

from collections.abc import Callable

from media.transport.dtls import (
    DtlsConnected,
    DtlsFailed,
    DtlsKeys,
    DtlsTransport,
    begins_association,
    is_plain,
)
from media.transport.srtp import SrtpKeys

RENEWAL_TIME = 15.0  # seconds: ICE takes some to find the peer's new port


class DtlsRenewal:
    """`make()` gives a new association of the same role with the same peer."""

    def __init__(self, make: Callable[[], DtlsTransport]) -> None:
        self._make = make
        self._until = 0.0
        self._tried: DtlsTransport | None = None
        self._keys: SrtpKeys | None = None

    def allow(self, now: float, *, begin: bool) -> None:
        """From now on for a while; `begin`: it is up to us to say hello."""
        self._until, self._tried = now + RENEWAL_TIME, None
        if begin:
            self._begin(now)

    def receive_datagram(self, data: bytes, now: float) -> bool:
        """Whether it may be for the first association, too: what is encrypted tells only the right one."""
        if self._tried is None and now < self._until and begins_association(data):
            self._begin(now)
        if self._tried is None:
            return True
        self._tried.receive_datagram(data, now)
        return not is_plain(data)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        return [] if self._tried is None else self._tried.datagrams_to_send(now)

    def get_timer(self) -> float | None:
        return None if self._tried is None else self._tried.get_timer()

    def handle_timer(self, now: float) -> None:
        if self._tried is not None:
            self._tried.handle_timer(now)

    def take(self, now: float) -> tuple[DtlsTransport, SrtpKeys] | None:
        """The association that takes over, once."""
        tried = self._tried
        while tried is not None and (event := tried.next_event()) is not None:
            match event:
                case DtlsKeys(keys):
                    self._keys = keys
                case DtlsConnected() if self._keys is not None:
                    self._tried, self._until = None, 0.0
                    return tried, self._keys
                case DtlsFailed():
                    self._tried = tried = None
        if now >= self._until:
            self._tried = None
        return None

    def _begin(self, now: float) -> None:
        self._tried, self._keys = self._make(), None
        self._tried.start(now)
