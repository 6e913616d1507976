"""Flows on a link that they share, packet by packet and without sound: voices of ours, libwebrtc's, a download.

In virtual time. Each flow has a tag, the first byte of its datagrams.
"""

import math
from collections.abc import Sequence
from random import Random

from media.congestion.audio_rate import AudioRateController
from media.rtp.congestion_feedback import ArrivalLog, ArrivalReport
from media.simulation.link import HEADER_BYTES, Link
from media.streams.protection import ProtectionController, Scheme

RTCP_BYTES = 100  # on the wire


class VoiceFlow:
    """What a sender does by its schemes; a tag and a number in a link's datagrams are its packets.

    `back`: seconds that its reports take.
    """

    def __init__(self, tag: int, rng: Random, back: float) -> None:
        self.tag, self._rng, self._back = tag, rng, back
        self.rate, self.protection = AudioRateController(), ProtectionController()
        self.log = ArrivalLog(1)
        self.number = 0
        self.next_frame = rng.random() * 0.02
        self.next_report, self.next_rtcp = 0.2, rng.random() * 0.2
        self.reports: list[tuple[float, ArrivalReport]] = []
        self.sent: list[tuple[float, int]] = []
        self.delays: list[tuple[float, float]] = []
        self.times: dict[int, float] = {}

    @property
    def scheme(self) -> Scheme:
        return self.protection.scheme

    def step(self, link: Link, now: float) -> None:
        if now >= self.next_report:
            lossy = self.protection.loss > 0.0 or self.rate.queue > 0.03 or now < 2
            self.next_report = now + (0.2 if lossy else 1.0)
            if (report := self.log.report(now, overlap=5)) is not None:
                self.reports.append((now + self._back, _report_at(report, now)))
        while self.reports and self.reports[0][0] <= now:
            report = self.reports.pop(0)[1]
            self.rate.receive(report, now)
            self.protection.receive(report, budget_bps=self.rate.steady_bps)
        if now >= self.next_rtcp:
            self.next_rtcp = now + (0.2 if now < 2 else 0.7)
            self.rate.sent_other(RTCP_BYTES, now)
            link.send(bytes(RTCP_BYTES - HEADER_BYTES), now)
        if now >= self.next_frame:
            scheme = self.scheme
            self.next_frame += scheme.packet_ms / 1000
            bits = (
                scheme.fitting(self.rate.budget_bps) * (1 + len(scheme.distances)) * scheme.packet_ms / 1000
            )
            payload = round(bits / 8 * self._rng.uniform(0.85, 1.15))
            size = payload + 57 + 4 * len(scheme.distances)
            self.rate.sent(self.number & 0xFFFF, size, now)
            self._send(size, link, now)

    def _send(self, size: int, link: Link, now: float) -> None:
        self.sent.append((now, size))
        self.times[self.number] = now
        link.send(bytes([self.tag]) + self.number.to_bytes(4, "big") + bytes(size - 5 - HEADER_BYTES), now)
        self.number += 1

    def receive(self, data: bytes, at: float) -> None:
        number = int.from_bytes(data[1:5], "big")
        self.log.receive(number & 0xFFFF, at)
        self.delays.append((at, at - self.times[number]))

    def sent_bps(self, begin: float, end: float) -> float:
        return 8 * sum(size for at, size in self.sent if begin <= at < end) / (end - begin)

    def delay(self, begin: float, end: float) -> float:
        """The median, seconds."""
        delays = sorted(delay for at, delay in self.delays if begin <= at < end)
        return delays[len(delays) // 2]


def _report_at(report: ArrivalReport, now: float) -> ArrivalReport:
    return ArrivalReport(report.ssrc, report.begin, report.arrivals, now % 65536)


class ConstantFlow(VoiceFlow):
    """What libwebrtc sends for a voice alone: Opus at 32 kbit/s in packets of 20 ms, whatever the queue."""

    PACKET_BYTES, PERIOD = 137, 0.02

    def step(self, link: Link, now: float) -> None:
        if now >= self.next_frame:
            self.next_frame += self.PERIOD
            self._send(self.PACKET_BYTES, link, now)


class Download:
    """TCP Reno with a sender that never runs dry: slow start, one packet more a round trip, half on a loss."""

    BYTES = 1000

    def __init__(self, tag: int, back: float, begin: float) -> None:
        self.tag, self._back, self.begin = tag, back, begin
        self.window, self._threshold, self.flying, self.number = 2.0, math.inf, 0, 0
        self._acks: list[tuple[float, int]] = []
        self._expected, self._recovered, self.bytes = 0, -1, 0
        self._last = begin

    def step(self, link: Link, now: float) -> None:
        while self._acks and self._acks[0][0] <= now:
            number = self._acks.pop(0)[1]
            lost = number - self._expected  # the link keeps the order
            self._expected, self._last = number + 1, now
            self.flying = max(0, self.flying - 1 - lost)
            if lost and number > self._recovered:
                self.window = self._threshold = max(2.0, self.window / 2)
                self._recovered = self.number
            else:
                self.window += 1.0 if self.window < self._threshold else 1 / self.window
        if self.flying and now - self._last > 2.0:
            self.flying, self.window, self._last = 0, 2.0, now
        while now >= self.begin and self.flying < int(self.window):
            link.send(bytes([self.tag]) + self.number.to_bytes(4, "big") + bytes(self.BYTES - 33), now)
            self.number += 1
            self.flying += 1

    def receive(self, data: bytes, at: float) -> None:
        self.bytes += self.BYTES
        self._acks.append((at + self._back, int.from_bytes(data[1:5], "big")))


def run(flows: Sequence[VoiceFlow | Download], link: Link, seconds: float) -> None:
    by_tag = {flow.tag: flow for flow in flows}
    for turn in range(round(seconds * 500)):
        now = turn / 500
        for at, data in link.receive(now):
            if data[0] in by_tag:
                by_tag[data[0]].receive(data, at)
        for flow in flows:
            flow.step(link, now)
