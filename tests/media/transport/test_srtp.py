"""SRTP and SRTCP (RFC 3711, RFC 7714)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp.packet import RtpPacket
from media.rtp.rtcp import ReceiverReport, serialize_compound
from media.transport.srtp import PROFILES, REPLAY_WINDOW_PACKETS, SrtpKeys, SrtpProfile, SrtpSession

RTCP = serialize_compound([ReceiverReport(7)])


def keys(profile: SrtpProfile) -> SrtpKeys:
    size = profile.key_length + profile.salt_length
    return SrtpKeys(profile, bytes(range(size)), bytes(range(100, 100 + size)))


def pair(profile: SrtpProfile = PROFILES[0]) -> tuple[SrtpSession, SrtpSession]:
    return SrtpSession(keys(profile)), SrtpSession(keys(profile).swapped())


def rtp(number: int, payload: bytes = b"voice" * 20) -> bytes:
    return RtpPacket(111, number & 0xFFFF, number * 960 & 0xFFFFFFFF, 7, payload).serialize()


each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)


@each_profile
def test_both_directions(profile: SrtpProfile) -> None:
    alice, bob = pair(profile)
    for number in range(5):
        for a, b in ((alice, bob), (bob, alice)):
            assert b.unprotect(a.protect(rtp(number))) == rtp(number)
            assert b.unprotect_rtcp(a.protect_rtcp(RTCP)) == RTCP


@each_profile
def test_the_payload_is_hidden_and_the_header_is_not(profile: SrtpProfile) -> None:
    alice, _ = pair(profile)
    sealed = alice.protect(rtp(1))
    assert sealed[:12] == rtp(1)[:12]
    assert b"voice" not in sealed
    assert len(sealed) - len(rtp(1)) == (16 if "GCM" in profile.name else 10)


@each_profile
def test_a_replay_is_refused(profile: SrtpProfile) -> None:
    alice, bob = pair(profile)
    packet, report = alice.protect(rtp(1)), alice.protect_rtcp(RTCP)
    bob.unprotect(packet)
    bob.unprotect_rtcp(report)
    with pytest.raises(PacketError):
        bob.unprotect(packet)
    with pytest.raises(PacketError):
        bob.unprotect_rtcp(report)


@each_profile
def test_a_tampered_packet_is_refused_and_the_true_one_still_taken(profile: SrtpProfile) -> None:
    alice, bob = pair(profile)
    packet, report = alice.protect(rtp(1)), alice.protect_rtcp(RTCP)
    for at in (1, 5, 9, 12, len(packet) - 1):
        with pytest.raises(PacketError):
            bob.unprotect(packet[:at] + bytes((packet[at] ^ 1,)) + packet[at + 1 :])
    for at in range(1, len(report)):
        with pytest.raises(PacketError):
            bob.unprotect_rtcp(report[:at] + bytes((report[at] ^ 1,)) + report[at + 1 :])
    assert bob.unprotect(packet) == rtp(1)
    assert bob.unprotect_rtcp(report) == RTCP


def test_a_packet_of_other_keys_is_refused() -> None:
    alice, _ = pair()
    with pytest.raises(PacketError):
        alice.unprotect(alice.protect(rtp(1)))  # our own, reflected
    with pytest.raises(PacketError):
        pair(PROFILES[1])[1].unprotect(alice.protect(rtp(1)))


def test_the_order_of_arrival_does_not_matter_within_the_window() -> None:
    alice, bob = pair()
    packets = [alice.protect(rtp(n)) for n in range(REPLAY_WINDOW_PACKETS + 200)]
    assert bob.unprotect(packets[REPLAY_WINDOW_PACKETS]) == rtp(REPLAY_WINDOW_PACKETS)
    assert bob.unprotect(packets[5]) == rtp(5)
    bob.unprotect(packets[-1])
    with pytest.raises(PacketError):
        bob.unprotect(packets[6])


def test_the_sequence_number_wraps() -> None:
    alice, bob = pair()
    for number in range(32000, 70000, 200):
        assert bob.unprotect(alice.protect(rtp(number))) == rtp(number)


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda b: b"\x80\xc9\0\1" + b))
def test_any_bytes(data: bytes) -> None:
    _, bob = pair()
    for unprotect in (bob.unprotect, bob.unprotect_rtcp):
        with pytest.raises(PacketError):
            unprotect(data)


@pytest.mark.parametrize("size", [1500, 2047, 2048, 4096, 65507])
def test_datagrams_of_any_size(size: int) -> None:
    _, bob = pair()
    for unprotect in (bob.unprotect, bob.unprotect_rtcp):
        with pytest.raises(PacketError):
            unprotect(b"\x80" + bytes(size - 1))
