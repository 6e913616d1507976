"""The sender's video rate: what the receiver allows (REMB), less what it says it loses."""

MIN_BPS, MAX_BPS, START_BPS = 150_000, 2_000_000, 200_000
LOSS_HIGH, LOSS_LOW = 0.10, 0.02  # GCC's loss-based thresholds: below 2 % loss is no sign of congestion
INCREASE_PER_S = 0.20
FOLLOW_PER_S = 0.6  # towards an estimate of the receiver's, who has tried the path
REMB_LIFE = 5.0  # seconds; an estimate that is not renewed is forgotten
RTT_GROWTH = 0.100  # a round trip this much over the least one is a queue, for peers that send no REMB
RTT_DECREASE = 0.85
SILENCE = 1.5  # seconds without a report, three of the usual intervals: the way back is down or full
SILENCE_DECREASE = 0.7  # a second


class VideoRate:
    """`target_bps` on the wire, with all headers: REMB is taken as that."""

    def __init__(self) -> None:
        self.target_bps = START_BPS
        self._remb: tuple[float, int] | None = None
        self._updated: float | None = None
        self._heard: float | None = None
        self._least_rtt: float | None = None
        self._checked = -1e9

    def receive_remb(self, bitrate_bps: int, now: float) -> None:
        self._remb = (now, bitrate_bps)
        self._heard = now
        self._clamp(self.target_bps, now)

    def receive_report(self, fraction_lost: float, round_trip_time: float | None, now: float) -> None:
        """A receiver report of the video stream."""
        elapsed = 0.0 if self._updated is None else min(2.0, now - self._updated)
        self._updated = self._heard = now
        target = float(self.target_bps)
        queued = False
        if round_trip_time is not None:
            self._least_rtt = min(round_trip_time, self._least_rtt or round_trip_time)
            queued = round_trip_time - self._least_rtt > RTT_GROWTH
        if fraction_lost > LOSS_HIGH:
            target *= 1 - 0.5 * fraction_lost
        elif self._remb is not None:
            target *= 1 + FOLLOW_PER_S * elapsed
        elif queued:
            target *= RTT_DECREASE
        elif fraction_lost < LOSS_LOW:
            target *= 1 + INCREASE_PER_S * elapsed
        self._clamp(target, now)

    def check(self, now: float) -> None:
        """To be called with every picture: silence of the far end lowers the rate step by step."""
        self._heard = now if self._heard is None else self._heard
        if now - self._heard > SILENCE and now - self._checked >= 1.0:
            self._checked = now
            self._clamp(SILENCE_DECREASE * self.target_bps, now)

    def _clamp(self, target: float, now: float) -> None:
        if self._remb is not None:
            at, limit = self._remb
            if now - at > REMB_LIFE:
                self._remb = None
            else:
                target = min(target, limit)
        self.target_bps = round(max(MIN_BPS, min(MAX_BPS, target)))
