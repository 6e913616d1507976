"""What a receiver counts of one source: loss and interarrival jitter (RFC 3550 appendices A.3 and A.8)."""

from media.rtp.rtcp import ReportBlock
from media.rtp.sequence import Unwrapper

MAX_RUN = 50  # longer runs are counted as this


class ReceiveStatistics:
    """Counters of one SSRC; makes its report block."""

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.packets_received = 0
        self.bytes_received = 0  # payload
        self.header_bytes_received = 0  # RTP headers, as W3C counts them
        self.loss_runs: dict[int, int] = {}  # packets missing in a row -> how often; reordered ones are in it
        self._sequence = Unwrapper(16)
        self._base: int | None = None
        self._highest = 0
        self._transit: float | None = None
        self._jitter = 0.0  # RTP clock units
        self._expected_prior = 0
        self._received_prior = 0
        self._last_sr = 0
        self._last_sr_at = 0.0

    def receive(self, sequence_number: int, timestamp: int, payload: int, header: int, now: float) -> int:
        """Count one packet; returns its unwrapped sequence number."""
        number = self._sequence.unwrap(sequence_number)
        self.packets_received += 1
        self.bytes_received += payload
        self.header_bytes_received += header
        if self._base is None:
            self._base = self._highest = number
        self._base = min(self._base, number)
        in_order = number >= self._highest
        if (gap := number - self._highest - 1) > 0:
            length = min(gap, MAX_RUN)
            self.loss_runs[length] = self.loss_runs.get(length, 0) + 1
        self._highest = max(self._highest, number)
        # Jitter of packets in order only: a retransmission says nothing of the path's jitter.
        if in_order:
            transit = now * self.clock_rate - timestamp
            if self._transit is not None:
                step = abs(transit - self._transit)
                if step < self.clock_rate * 10:  # the timestamp wrapped or jumped: not jitter
                    self._jitter += (step - self._jitter) / 16
            self._transit = transit
        return number

    def receive_sender_report(self, ntp_time: int, now: float) -> None:
        self._last_sr = ntp_time >> 16 & 0xFFFFFFFF
        self._last_sr_at = now

    @property
    def jitter(self) -> float:
        """Interarrival jitter in seconds."""
        return self._jitter / self.clock_rate

    @property
    def packets_expected(self) -> int:
        return 0 if self._base is None else self._highest - self._base + 1

    @property
    def packets_lost(self) -> int:
        """Cumulative; negative when duplicates outnumber losses."""
        return self.packets_expected - self.packets_received

    def report(self, now: float) -> ReportBlock:
        """The report block since the last one; begins a new interval."""
        expected = self.packets_expected
        expected_interval = expected - self._expected_prior
        lost_interval = expected_interval - (self.packets_received - self._received_prior)
        self._expected_prior, self._received_prior = expected, self.packets_received
        fraction = 0
        if expected_interval > 0 and lost_interval > 0:
            fraction = min(255, (lost_interval << 8) // expected_interval)
        delay = round((now - self._last_sr_at) * 65536) if self._last_sr else 0
        return ReportBlock(
            self.ssrc,
            fraction,
            self.packets_lost,
            self._highest & 0xFFFFFFFF,
            min(0xFFFFFFFF, round(self._jitter)),
            self._last_sr,
            min(0xFFFFFFFF, max(0, delay)),
        )
