"""What a receiver counts of one source: loss and interarrival jitter (RFC 3550 appendices A.3 and A.8).

Beside RFC 3550's loss, in which a duplicate stands for a packet, each packet is counted once: packets_expected ==
(packets_received - packets_duplicated) + packets_missing, and packets_recovered <= packets_missing.
"""

from itertools import islice

from media.rtp.rtcp import ReportBlock
from media.rtp.sequence import Unwrapper

MAX_RUN = 50  # longer runs are counted as this
# Numbers that are remembered as missing, half of them at least: 10 s of voice, more than any jitter buffer waits for.
# One that comes later than so many others is a duplicate.
MAX_MISSING = 1024


class ReceiveStatistics:
    """Counters of one SSRC; makes its report block."""

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.packets_received = 0  # duplicates included
        self.packets_duplicated = 0
        self.packets_recovered = 0  # missing ones of which a retransmission came
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
        self._missing: dict[int, bool] = {}  # number -> whether it was recovered
        self._last_sr = 0
        self._last_sr_at = 0.0

    def receive(self, sequence_number: int, timestamp: int, payload: int, header: int, now: float) -> bool:
        """Count one packet; False for one that had come before."""
        number = self._sequence.unwrap(sequence_number)
        self.packets_received += 1
        self.bytes_received += payload
        self.header_bytes_received += header
        if self._base is None:
            self._base = self._highest = number
            new = True
        else:
            new = self._is_new(number)
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
        return new

    def recover(self, sequence_number: int) -> None:
        """A retransmission of this packet came. One that is not missing, or came twice, is not counted."""
        number = self._sequence.near(sequence_number)
        if self._missing.get(number) is False:
            self._missing[number] = True
            self.packets_recovered += 1

    def _is_new(self, number: int) -> bool:
        assert self._base is not None
        if number > self._highest:
            self._miss(max(self._highest + 1, number - MAX_MISSING), number)
        elif number < self._base:
            self._miss(max(number + 1, self._base - MAX_MISSING), self._base)
        elif (recovered := self._missing.pop(number, None)) is not None:
            self.packets_recovered -= recovered  # it was not lost after all
        else:
            self.packets_duplicated += 1
            return False
        return True

    def _miss(self, start: int, stop: int) -> None:
        self._missing |= dict.fromkeys(range(start, stop), False)
        if (excess := len(self._missing) - MAX_MISSING) > 0:  # many at once: each costs all that are left
            excess += MAX_MISSING // 2
            self._missing = dict(islice(self._missing.items(), excess, None))

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

    @property
    def packets_missing(self) -> int:
        """Expected ones that have not come, each counted once; retransmissions bring none of them back."""
        return self.packets_expected - (self.packets_received - self.packets_duplicated)

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
