"""Sending again, within a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp.packet import RtpPacket
from media.rtp.retransmission import (
    BUDGET_FLOOR_BYTES,
    BUDGET_SHARE,
    HISTORY,
    MAX_PACKETS,
    RetransmissionHistory,
    from_rtx,
    to_rtx,
)


def packet(number: int, size: int = 1000) -> RtpPacket:
    return RtpPacket(96, number & 0xFFFF, number * 3000 & 0xFFFFFFFF, 7, bytes(size), marker=number % 2 == 0)


def test_a_packet_is_sent_again_while_it_is_known() -> None:
    history = RetransmissionHistory()
    history.add(packet(1), 0.0)
    assert [p.sequence_number for p in history.asked([1, 2], 0.1, 0.1)] == [1]
    history.add(packet(2), HISTORY + 0.01)
    assert history.asked([1], 0.1, HISTORY + 0.01) == []
    assert history.packets_retransmitted == 1 and history.bytes_retransmitted == 1014


def test_the_same_request_twice_is_answered_once_but_a_later_one_again() -> None:
    history = RetransmissionHistory()
    history.add(packet(1), 0.0)
    assert len(history.asked([1, 1], 0.1, 0.0)) == 1
    assert len(history.asked([1], 0.1, 0.03)) == 0
    assert len(history.asked([1], 0.1, 0.095)) == 1, (
        "who measures the round trip a little shorter asks a little earlier"
    )


def test_a_storm_of_requests_never_gets_more_than_the_budget() -> None:
    """Everything asked for again and again, 50 times a second, for 10 s at 1 Mbit/s."""
    history, sent, again = RetransmissionHistory(), 0, 0
    number, most = 0, 0.0
    for turn in range(500):
        now = turn * 0.02
        for _ in range(3):
            history.add(packet(number, 833), now)
            number, sent = number + 1, sent + 833
        numbers = [n & 0xFFFF for n in range(max(0, number - 500), number)]
        again += sum(len(p.payload) + 14 for p in history.asked(numbers, 0.02, now))
        most = max(most, again - BUDGET_SHARE * sent)
    assert most <= BUDGET_FLOOR_BYTES and again > 0.9 * BUDGET_SHARE * sent
    assert history.refused > 0 and again == history.bytes_retransmitted


def test_a_pause_saves_no_budget_up() -> None:
    history = RetransmissionHistory()
    for n in range(5000):
        history.add(packet(n), n * 0.001)
    assert sum(len(p.payload) for p in history.asked(range(4000, 5000), 0.1, 5.0)) <= 4 * BUDGET_FLOOR_BYTES


def test_the_history_is_bounded_and_numbers_wrap() -> None:
    history = RetransmissionHistory()
    for n in range(65536 - 2000, 65536 + 3000):
        history.add(packet(n), 0.0)
    assert len(history._sent) <= MAX_PACKETS
    assert [p.sequence_number for p in history.asked([2999, 60000], 0.1, 0.1)] == [2999]


@given(st.integers(0, 65535), st.binary(max_size=50), st.booleans())
def test_a_retransmission_holds_the_packet(number: int, payload: bytes, marker: bool) -> None:
    original = RtpPacket(96, number, 12345, 7, payload, marker=marker, extensions={1: b"1"})
    copy = to_rtx(original, payload_type=97, ssrc=8, sequence_number=99)
    assert (copy.payload_type, copy.ssrc, copy.sequence_number) == (97, 8, 99)
    assert copy.payload[:2] == number.to_bytes(2, "big")  # OSN, RFC 4588 section 4
    back = from_rtx(RtpPacket.parse(copy.serialize()), payload_type=96, ssrc=7)
    assert back.serialize() == original.serialize()


@pytest.mark.parametrize("payload", [b"", b"\x01"])
def test_a_retransmission_without_an_original(payload: bytes) -> None:
    with pytest.raises(PacketError):
        from_rtx(RtpPacket(97, 1, 2, 8, payload), payload_type=96, ssrc=7)
