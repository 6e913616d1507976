"""Packets spread over time."""

import pytest

from media.congestion.pacer import FACTOR, MAX_PACKETS, OVERHEAD_BYTES, QUANTUM, Pacer
from media.rtp.packet import RtpPacket


def packet(number: int, size: int = 1000) -> RtpPacket:
    return RtpPacket(96, number & 0xFFFF, 0, 7, bytes(size))


def run(pacer: Pacer, until: float, start: float = 0.0) -> list[tuple[float, RtpPacket]]:
    """Driven by its timer alone."""
    sent, now = [], start
    while (due := pacer.get_timer()) is not None and (now := max(now, due)) < until:
        out = pacer.packets_to_send(now)
        assert out, "a timer that sends nothing"
        sent += [(now, p) for p in out]
    return sent


@pytest.mark.parametrize("bitrate_bps", [200_000, 2_000_000])
def test_the_rate_is_kept(bitrate_bps: int) -> None:
    pacer = Pacer()
    pacer.set_target(bitrate_bps)
    for n in range(1000):
        pacer.enqueue(packet(n))
    sent = run(pacer, 2.0)
    rate_bps = sum(len(p.payload) + OVERHEAD_BYTES for _, p in sent) * 8 / 2.0
    assert rate_bps == pytest.approx(FACTOR * bitrate_bps, rel=0.04)
    assert [p.sequence_number for _, p in sent] == list(range(len(sent)))


def test_a_burst_is_at_most_a_quantum_even_when_called_late() -> None:
    pacer = Pacer()
    pacer.set_target(2_000_000)
    for n in range(200):
        pacer.enqueue(packet(n))
    pacer.packets_to_send(0.0)
    late = pacer.packets_to_send(1.0)
    quantum_bytes = QUANTUM * pacer.rate_bps / 8
    assert sum(len(p.payload) + OVERHEAD_BYTES for p in late) <= quantum_bytes + 1000 + OVERHEAD_BYTES


def test_a_single_packet_does_not_wait() -> None:
    pacer = Pacer()
    pacer.set_target(300_000)
    pacer.enqueue(packet(1))
    assert pacer.get_timer() is not None and len(pacer.packets_to_send(5.0)) == 1
    assert pacer.get_timer() is None and pacer.queue_time == 0


def test_retransmissions_go_first() -> None:
    pacer = Pacer()
    pacer.set_target(300_000)
    for n in range(5):
        pacer.enqueue(packet(n))
    pacer.enqueue(packet(99), urgent=True)
    assert next(p.sequence_number for _, p in run(pacer, 1.0)) == 99


def test_the_queue_is_bounded() -> None:
    pacer = Pacer()
    for n in range(MAX_PACKETS + 10):
        pacer.enqueue(packet(n), urgent=n % 2 == 0)
    assert pacer.dropped == 10
    assert len(run(pacer, 1e6)) == MAX_PACKETS


def test_after_a_decrease_what_waits_drains_slower_until_it_is_gone() -> None:
    pacer = Pacer()
    pacer.set_target(1_000_000)
    for n in range(50):
        pacer.enqueue(packet(n))
    pacer.set_target(500_000)
    assert pacer.rate_bps == pytest.approx(550_000)
    run(pacer, 10.0)
    assert pacer.rate_bps == FACTOR * 500_000


def test_the_queue_time_is_how_long_it_takes() -> None:
    pacer = Pacer()
    pacer.set_target(400_000)
    for n in range(40):
        pacer.enqueue(packet(n))
    expected = pacer.queue_time
    last, _ = run(pacer, 10.0)[-1]
    assert last == pytest.approx(expected, rel=0.05)
