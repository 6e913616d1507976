"""SRTP and SRTCP (RFC 3711, RFC 7714) by libsrtp, with the two profiles that Ringline speaks."""

from dataclasses import dataclass

import pylibsrtp

from media.errors import PacketError

REPLAY_WINDOW_PACKETS = 1024  # libsrtp needs 64 at least; a retransmission may be a second old


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """A protection profile: names and sizes (RFC 5764 section 4.1.2, RFC 7714 section 14.2)."""

    name: str
    openssl_name: bytes
    libsrtp: int
    key_length: int
    salt_length: int


# In the order of preference.
PROFILES = (
    SrtpProfile(
        "AEAD_AES_128_GCM", b"SRTP_AEAD_AES_128_GCM", pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12
    ),
    SrtpProfile(
        "AES128_CM_SHA1_80",
        b"SRTP_AES128_CM_SHA1_80",
        pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        16,
        14,
    ),
)


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """Master keys (key followed by salt) of both directions."""

    profile: SrtpProfile
    local: bytes
    remote: bytes

    def swapped(self) -> "SrtpKeys":
        """The same keys as the other end holds them."""
        return SrtpKeys(self.profile, self.remote, self.local)


class SrtpSession:
    """Both directions of one transport."""

    def __init__(self, keys: SrtpKeys) -> None:
        self._outbound = self._session(keys.profile, keys.local, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._inbound = self._session(keys.profile, keys.remote, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        self.profile = keys.profile

    @staticmethod
    def _session(profile: SrtpProfile, key: bytes, ssrc_type: int) -> pylibsrtp.Session:
        policy = pylibsrtp.Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile.libsrtp)
        policy.allow_repeat_tx = True
        policy.window_size = REPLAY_WINDOW_PACKETS
        return pylibsrtp.Session(policy)

    def protect(self, data: bytes) -> bytes:
        return bytes(self._outbound.protect(data))

    def protect_rtcp(self, data: bytes) -> bytes:
        return bytes(self._outbound.protect_rtcp(data))

    def unprotect(self, data: bytes) -> bytes:
        """Raises PacketError for a packet that is not authentic, or a replay."""
        try:
            return bytes(self._inbound.unprotect(data))
        except (pylibsrtp.Error, ValueError) as error:
            raise PacketError(f"SRTP: {error}") from None

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """As unprotect, for SRTCP."""
        try:
            return bytes(self._inbound.unprotect_rtcp(data))
        except (pylibsrtp.Error, ValueError) as error:
            raise PacketError(f"SRTCP: {error}") from None
